//! Every vector in `testdata/vectors/wire` reads, opens or fails in the way it says.
#![cfg(test)]

mod attested;
mod file;
mod parts;
mod proxy;
mod samples;

use std::io::Write;
use std::process::Command;

use file::{File, folder, hex};
use propeller_envelope::WorkloadKey;
use propeller_model::PropletId;
use propeller_wire::Channel;
use propeller_wire::frame::{
    Announce, Answer, FRAME_LEN_MAX, Frame, FrameError, Reject, looks_like_frame, solicit,
};
use propeller_wire::session::{Pair, Session, SessionError, Side, Subject};
use serde_json::{Value, json};

fn text(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The kind and the fields of a frame, as its vector shows them.
fn shown(frame: &Frame<'_>) -> (&'static str, Value) {
    match frame {
        Frame::Announce(Announce {
            proplet,
            key_id,
            nonce,
        }) => (
            "announce",
            json!({"proplet": proplet, "key_id": text(&key_id.0), "nonce": text(nonce)}),
        ),
        Frame::Answer(answer) => (
            "answer",
            json!({
                "manager": answer.manager, "proplet": answer.proplet,
                "key_id": text(&answer.key_id.0), "proplet_nonce": text(&answer.proplet_nonce),
                "manager_nonce": text(&answer.manager_nonce), "mac": text(&answer.mac),
            }),
        ),
        Frame::Sealed(sealed) => (
            "sealed",
            json!({
                "key_id": text(&sealed.key_id.0), "session": text(&sealed.session.0),
                "sender": sealed.sender, "counter": sealed.counter.to_string(),
                "body": text(sealed.body),
            }),
        ),
        Frame::Solicit { manager } => ("solicit", json!({"manager": manager})),
        Frame::Reject(Reject {
            proplet,
            session,
            counter,
        }) => (
            "reject",
            json!({"proplet": proplet, "session": text(&session.0), "counter": counter.to_string()}),
        ),
    }
}

/// The bytes of a frame that has been read.
fn written(frame: &Frame<'_>) -> Vec<u8> {
    match frame {
        Frame::Announce(announce) => announce.write(),
        Frame::Answer(answer) => answer.write(),
        Frame::Sealed(sealed) => [sealed.head, sealed.body].concat(),
        Frame::Solicit { manager } => solicit(manager),
        Frame::Reject(reject) => reject.write(),
    }
}

fn check_frame(file: &File) {
    let [body] = &*file.bodies else {
        panic!("one body")
    };
    match Frame::read(body) {
        Ok(frame) => {
            let (kind, fields) = shown(&frame);
            let expected: Value = serde_json::from_str(file.field("fields")).unwrap();
            assert_eq!((kind, fields), (file.field("expect"), expected));
            assert_eq!(text(&written(&frame)), text(body));
            assert!(looks_like_frame(body));
        }
        Err(FrameError::Malformed(_)) => assert_eq!(file.field("expect"), "malformed"),
        Err(FrameError::Version(version)) => {
            assert_eq!(file.field("expect"), "version");
            assert_eq!(version, body[4]);
            assert!(looks_like_frame(body));
        }
        Err(other) => panic!("{other}"),
    }
}

fn check_answer(file: &File) {
    let [body] = &*file.bodies else {
        panic!("one body")
    };
    let key = key(file);
    let Ok(Frame::Answer(answer)) = Frame::read(body) else {
        panic!("no answer")
    };
    match answer.authenticate(&key, subject(file)) {
        Some(pair) => {
            assert_eq!(file.field("expect"), "ok");
            assert_eq!(text(&Answer::authentic(&key, &pair).write()), text(body));
        }
        None => assert_eq!(file.field("expect"), "forged"),
    }
}

fn check_session(file: &File) {
    let pair = pair(file);
    let (reader, writer) = match file.field("reader") {
        "manager" => (Side::Manager, Side::Proplet),
        "proplet" => (Side::Proplet, Side::Manager),
        other => panic!("no side {other}"),
    };
    let mut reader = Session::new(&key(file), pair.clone(), reader);
    let mut writer = Session::new(&key(file), pair.clone(), writer);
    assert_eq!(text(&reader.binding()), file.field("binding"));
    assert_eq!(writer.binding(), reader.binding());
    let steps = file.fields("step");
    assert_eq!(steps.len(), file.bodies.len());
    let mut resealed = 0;
    for (index, (step, body)) in steps.iter().zip(&file.bodies).enumerate() {
        let step: Value = serde_json::from_str(step).unwrap();
        let channel = channel(step["topic"].as_u64().unwrap(), &pair.proplet);
        let Ok(Frame::Sealed(sealed)) = Frame::read(body) else {
            panic!("no sealed frame")
        };
        let opened = match reader.open(&channel, &sealed) {
            Ok(plain) => {
                assert_eq!(Some(text(&plain).as_str()), step["plain"].as_str());
                if sealed.counter == resealed {
                    resealed += 1;
                    let (again, _) = writer.seal(&channel, &plain).unwrap();
                    assert_eq!(text(&again), text(body));
                }
                "ok"
            }
            Err(SessionError::Forged) => "forged",
            Err(SessionError::Repeated { counter }) => {
                assert_eq!(counter, sealed.counter);
                "repeated"
            }
            Err(other) => panic!("{other}"),
        };
        assert_eq!(opened, step["expect"], "step {index}");
    }
}

fn key(file: &File) -> WorkloadKey {
    WorkloadKey::from_bytes(hex(file.field("key")).try_into().unwrap())
}

/// What a vector is about: tasks, unless it says something else.
fn subject(file: &File) -> Subject {
    match &*file.fields("subject") {
        [] => Subject::Tasks,
        ["images"] => Subject::Images,
        other => panic!("no subject {other:?}"),
    }
}

fn pair(file: &File) -> Pair {
    let pair: Value = serde_json::from_str(file.field("pair")).unwrap();
    let name = |field: &str| pair[field].as_str().unwrap().parse().unwrap();
    let nonce = |field: &str| hex(pair[field].as_str().unwrap()).try_into().unwrap();
    Pair {
        subject: subject(file),
        manager: name("manager"),
        proplet: name("proplet"),
        proplet_nonce: nonce("proplet_nonce"),
        manager_nonce: nonce("manager_nonce"),
    }
}

fn channel(code: u64, proplet: &PropletId) -> Channel {
    let channel = match code {
        1 => Channel::Create,
        2 => Channel::Alive,
        3 => Channel::Results,
        4 => Channel::Start,
        5 => Channel::StartTo(proplet.clone()),
        6 => Channel::Stop,
        7 => Channel::StopTo(proplet.clone()),
        8 => Channel::Ask,
        9 => Channel::Serve,
        10 => Channel::ServeTo(proplet.clone()),
        _ => panic!("no topic {code}"),
    };
    assert_eq!(u64::from(channel.code()), code);
    channel
}

#[test]
fn every_vector_reads_opens_or_fails_as_it_says() {
    let files = file::all();
    assert!(files.len() >= 160, "only {} vectors found", files.len());
    for file in files {
        println!("{}", file.name);
        match file.field("what") {
            "frame" => check_frame(&file),
            "answer" => check_answer(&file),
            "session" => check_session(&file),
            "message" => samples::check(&file),
            other => panic!("{}: no vectors of {other}", file.name),
        }
    }
}

#[test]
fn every_variant_of_every_message_has_a_vector() {
    let names: Vec<String> = file::all().into_iter().map(|file| file.name).collect();
    for name in samples::names() {
        assert!(names.contains(&format!("message-{name}")), "{name}");
    }
}

#[test]
fn a_frame_has_a_largest_length() {
    let mut bytes = b"PRPL\x01\x03".to_vec();
    bytes.extend([0; 16]);
    bytes.extend(b"\x01m");
    bytes.resize(FRAME_LEN_MAX, 0);
    assert!(matches!(Frame::read(&bytes), Ok(Frame::Sealed(_))));
    bytes.push(0);
    assert_eq!(
        Frame::read(&bytes),
        Err(FrameError::Malformed("longer than a frame may be")),
    );
}

#[test]
fn the_independent_implementation_agrees_with_the_files() {
    let Some(python) = std::env::var_os("PROPELLER_TEST_PYTHON") else {
        skipped("no Python with the `cryptography` package: run the tests with `cargo xtask test`");
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/independent/wire.py");
    let output = Command::new(python)
        .args(["-B", script, "check"])
        .arg(folder())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}
