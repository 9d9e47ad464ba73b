//! Large inputs and outputs of tasks, which are sealed and opened by the command line.

use std::path::Path;
use std::sync::Arc;

use propeller_ces::{
    Audit, Geometry, Key, KeyRing, Object, Options, Threads, Wanted, Watch, encode,
};
use propeller_cli::Exit;

use crate::support::{Act, Manager, Ran, answer, run, run_at};

pub(crate) const MIB: usize = 1024 * 1024;
pub(crate) const TASK: &str = r#"{"id":"7","name":"wc","state":0,"image_url":"x/y:1","stdin_object":{"digest":"d","length":1}}"#;
pub(crate) const STARTED: &str = r#"{"started":true}"#;

/// Bytes that no compression makes smaller, and no two blocks of which are the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next)
        .take(len.div_ceil(8))
        .flatten()
        .collect();
    bytes.truncate(len);
    bytes
}

/// A file with these bytes.
pub(crate) fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("there is room for an input");
    std::fs::write(file.path(), bytes).expect("there is room for an input");
    file
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary files have plain names")
}

pub(crate) fn opened(shard: Vec<u8>, key: &str) -> Vec<u8> {
    let ring = KeyRing::new(Key::from_hex(key).expect("it is a key"));
    let object = Object::open(vec![shard], &ring, Wanted::default(), Audit::none());
    let mut plain = Vec::new();
    let mut object = object.expect("it opens");
    object
        .read_to(&mut plain, Threads::ONE, &mut |_| ())
        .expect("it is whole");
    plain
}

/// The object key in a request.
pub(crate) fn object_key(request: &str) -> &str {
    let (_, after) = request.split_once(r#""object_key":""#).expect("a key");
    &after[..64]
}

/// A stored output: its shard, and what the manager says of it.
struct Stored {
    shard: Vec<u8>,
    results: String,
}

fn stored(plain: &[u8]) -> Stored {
    let key = Key::random().expect("there is randomness");
    let mut shard = Vec::new();
    let options = Options {
        geometry: Geometry::WHOLE,
        ..Options::new()
    };
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |_| (),
    };
    let summary = encode(plain, vec![&mut shard], &key, &options, watch);
    let summary = summary.expect("memory takes what is written");
    let results = format!(
        r#"{{"results":null,"state":3,"exit_code":0,"stderr":"note\n","stdout_object":{{"digest":"{}","length":{},"key":"{}"}}}}"#,
        summary.digest,
        summary.plain_len,
        key.to_hex().as_str()
    );
    Stored { shard, results }
}

/// Asks for results that are stored as `shard`, and for no more of it than there are parts.
fn fetch(results: &str, shard: Vec<u8>, args: &[&str]) -> (Ran, Vec<String>) {
    let shard = Arc::new(shard);
    let mut script = vec![answer(200, results)];
    script.extend(vec![
        Act::Part(Arc::clone(&shard));
        2 + shard.len().div_ceil(MIB)
    ]);
    run(&[&["tasks", "results", "7"], args].concat(), &script)
}

#[test]
fn a_large_input_is_sealed_and_uploaded_before_the_task_is_started() {
    let plain = noise(3 * MIB + 5);
    let input = file(&plain);
    let manager = Manager::new(&[
        answer(201, r#"{"id":"7","name":"wc","state":0}"#),
        Act::Keep,
        answer(200, TASK),
        answer(200, STARTED),
        answer(200, TASK),
    ]);
    let line = [
        "tasks",
        "create",
        "wc",
        "--start",
        "--stdin",
        text(input.path()),
    ];
    let ran = run_at(&manager.url, &line);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let out = String::from_utf8(ran.out).unwrap();
    assert!(
        out.starts_with("Created task 7\nUploaded its standard input (3.0 MiB), sealed as "),
        "{out}"
    );
    let requests = manager.requests();
    let key = object_key(&requests[0]);
    assert_eq!(
        requests[0],
        format!(r#"POST /tasks {{"name":"wc","object_key":"{key}"}}"#)
    );
    assert_eq!(
        requests[1..],
        [
            "PUT /tasks/7/stdin",
            "GET /tasks/7",
            "POST /tasks/7/start",
            "GET /tasks/7"
        ]
    );
    assert!(opened(manager.kept(), key) == plain);
}

#[test]
fn an_input_through_a_pipe_is_judged_by_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    for (len, is_large) in [(MIB, false), (MIB + 1, true), (2 * MIB, true)] {
        let (pipe, plain) = (folder.path().join(len.to_string()), noise(len));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let (to, bytes) = (pipe.clone(), plain.clone());
        let writer = std::thread::spawn(move || std::fs::write(to, bytes).unwrap());
        let manager = Manager::new(&[answer(201, TASK), Act::Keep, answer(200, TASK)]);
        let ran = run_at(
            &manager.url,
            &["tasks", "create", "wc", "--stdin", text(&pipe)],
        );
        assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
        writer.join().unwrap();
        let requests = manager.requests();
        assert_eq!(requests.len() > 1, is_large, "{len}");
        match is_large {
            true => assert!(opened(manager.kept(), object_key(&requests[0])) == plain),
            false => assert!(requests[0].contains(r#""stdin":""#), "{len}"),
        }
    }
}

#[test]
fn a_task_that_does_not_get_its_input_is_removed_again() {
    let input = file(&noise(2 * MIB));
    let line = [
        "tasks",
        "create",
        "wc",
        "--start",
        "--stdin",
        text(input.path()),
    ];
    let created = answer(201, TASK);
    let another = answer(200, r#"{"digest":"00","length":7}"#);
    let no = answer(
        400,
        r#"{"error":"this manager has no object store: set MANAGER_OBJECT_STORE"}"#,
    );
    let (ran, requests) = run(&line, &[created.clone(), no.clone(), answer(204, "")]);
    assert_eq!(requests[2..], ["DELETE /tasks/7"]);
    insta::assert_snapshot!("a_task_that_is_removed_again", ran.transcript());
    let (ran, _) = run(
        &line,
        &[created.clone(), no, answer(409, r#"{"error":"busy"}"#)],
    );
    insta::assert_snapshot!("a_task_that_could_not_be_removed", ran.transcript());
    let (ran, requests) = run(&line, &[created, another, answer(204, "")]);
    assert_eq!(requests[2..], ["DELETE /tasks/7"]);
    let told = "1: the manager has object 00 of 7 bytes, and object ";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert_eq!(ran.exit, Exit::Failure);
}

#[test]
fn an_update_that_is_refused_or_breaks_off_says_how_the_task_stands() {
    let input = file(&noise(MIB + 1));
    let line = ["tasks", "update", "7", "--stdin", text(input.path())];
    let conflict = answer(409, r#"{"error":"another key is in use"}"#);
    let bare = r#"{"id":"7","name":"wc","state":2}"#;
    let full = answer(507, r#"{"error":"the store is full"}"#);
    let pages = [
        run(&line, &[conflict.clone(), answer(200, TASK)]).0,
        run(&line, &[conflict, answer(200, bare)]).0,
        run(&line, &[answer(200, TASK), full]).0,
    ];
    let pages = pages.map(|ran| ran.transcript()).join("\n");
    insta::assert_snapshot!(pages.replace(text(input.path()), "FILE"));
}

#[test]
fn a_stored_output_is_opened_and_printed() {
    for len in [1, 5 * MIB + 3] {
        let plain = noise(len);
        let Stored { shard, results } = stored(&plain);
        let (ran, requests) = fetch(&results, shard, &[]);
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Success, "note\n"));
        assert!(ran.out == plain, "{len}");
        // Its length, and each of its parts once: the last one perhaps twice, for its end comes
        // first.
        assert!(requests.len() <= 3 + len.div_ceil(MIB), "{requests:?}");
    }
}

#[test]
fn waiting_prints_a_stored_output_as_well() {
    let plain = noise(2 * MIB);
    let Stored { shard, results } = stored(&plain);
    let mut script = vec![
        answer(200, r#"{"id":"7","name":"wc","state":3}"#),
        answer(200, &results),
    ];
    script.extend(vec![Act::Part(Arc::new(shard)); 4]);
    let (ran, _) = run(&["tasks", "wait", "7"], &script);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert!(ran.out == plain);
}

#[test]
fn json_is_the_managers_own_and_nothing_is_fetched() {
    let Stored { results, .. } = stored(b"plain");
    let (ran, requests) = fetch(&results, Vec::new(), &["--json"]);
    assert_eq!((ran.exit, requests.len()), (Exit::Success, 1));
    assert!(
        String::from_utf8(ran.out)
            .unwrap()
            .contains("stdout_object")
    );
}

#[test]
fn an_output_goes_into_a_file_when_all_of_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let args = ["-o", text(&path)];
    let plain = noise(2 * MIB);
    let Stored { shard, results } = stored(&plain);
    let (ran, _) = fetch(&results, shard.clone(), &args);
    let said = format!("Wrote 2.0 MiB to {}\n", path.display());
    assert_eq!(String::from_utf8(ran.out).unwrap(), said);
    assert!(std::fs::read(&path).unwrap() == plain);
    // One that breaks off leaves what was there.
    let mut damaged = shard;
    damaged[3 * MIB / 2] ^= 1;
    let (ran, _) = fetch(&results, damaged, &args);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(std::fs::read(&path).unwrap() == plain);
    // And so does a task that failed.
    let failed = r#"{"results":null,"state":4,"stdout_base64":"AP8K"}"#;
    let (ran, _) = fetch(failed, Vec::new(), &args);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(std::fs::read(&path).unwrap() == plain);
    // A small one is written as it would be printed.
    let small = r#"{"results":"3","state":3}"#;
    let (ran, _) = fetch(small, Vec::new(), &args);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert_eq!(std::fs::read(&path).unwrap(), b"3\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn nothing_is_printed_of_an_output_that_is_not_the_tasks() {
    let (one, other) = (stored(&noise(MIB)), stored(b"other"));
    let refused = |results: &str, shard: &[u8]| {
        let (ran, _) = fetch(results, shard.to_vec(), &[]);
        assert_eq!((ran.exit, ran.out), (Exit::Failure, Vec::new()));
        ran.err
    };
    let err = refused(&one.results, &other.shard);
    let said = "error: cannot read the standard output of task 7\n  1: it cannot be opened\n";
    assert!(err.contains(said), "{err}");
    // The right key, and another digest.
    let digest = "00".repeat(32);
    let (before, after) = one.results.split_once(r#""digest":""#).unwrap();
    let results = format!(r#"{before}"digest":"{digest}{}"#, &after[64..]);
    let err = refused(&results, &one.shard);
    assert!(err.contains("it was replaced"), "{err}");
    // What cannot be a key or a digest.
    let no_key = one.results.replace(r#""key":""#, r#""key":"x"#);
    let err = refused(&no_key, &one.shard);
    assert!(err.contains("sent no key that could be one"), "{err}");
    let no_digest = one.results.replace(r#""digest":""#, r#""digest":"x"#);
    let err = refused(&no_digest, &one.shard);
    assert!(err.contains("for a digest"), "{err}");
    // Cut off, and gone.
    let err = refused(&one.results, &one.shard[..MIB / 2]);
    assert!(err.contains("segment 0 is lost"), "{err}");
    let gone = answer(404, r#"{"error":"there is no such object"}"#);
    let line = ["tasks", "results", "7"];
    let (ran, _) = run(&line, &[answer(200, &one.results), gone]);
    insta::assert_snapshot!("an_output_that_is_gone", ran.transcript());
}

#[test]
fn an_output_that_breaks_off_is_no_success() {
    let plain = noise(4 * MIB);
    let Stored { mut shard, results } = stored(&plain);
    // The manager goes away: its length, the first three blocks and the last one.
    let mut script = vec![answer(200, &results)];
    script.extend(vec![Act::Part(Arc::new(shard.clone())); 4]);
    let (ran, _) = run(&["tasks", "results", "7"], &script);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(plain.starts_with(&ran.out));
    assert!(ran.err.contains("cannot reach the manager"), "{}", ran.err);
    // A segment is damaged.
    shard[5 * MIB / 2] ^= 1;
    let (ran, _) = fetch(&results, shard, &[]);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.out == plain[..2 * MIB]);
    insta::assert_snapshot!("an_output_that_breaks_off", ran.err);
}

#[test]
fn why_a_task_failed_is_told_also_when_its_output_is_gone() {
    let Stored { results, .. } = stored(b"half");
    let results = results.replace(
        r#""state":3,"exit_code":0"#,
        r#""state":4,"exit_code":9,"error":"exit code 9""#,
    );
    let gone = answer(404, r#"{"error":"there is no such object"}"#);
    let task = answer(
        200,
        r#"{"id":"7","name":"wc","state":4,"error":"exit code 9"}"#,
    );
    let failed = |verb: &str, script: &[Act]| {
        let (ran, _) = run(&["tasks", verb, "7"], script);
        assert_eq!(
            ran.transcript(),
            "--- Failure\n\
             note\n\
             note: cannot read the standard output of task 7: there is no such object\n\
             error: task 7 failed: exit code 9\n\
             hint: see its attempts with: propeller-cli tasks view 7\n"
        );
    };
    failed("results", &[answer(200, &results), gone.clone()]);
    failed("wait", &[task, answer(200, &results), gone]);
    let nonsense = r#"{"results":null,"state":4,"error":"exit code 9","stdout_base64":"?"}"#;
    let (ran, _) = run(&["tasks", "results", "7"], &[answer(200, nonsense)]);
    let said = "output that is not base64";
    assert!(ran.err.contains(said) && ran.err.contains("failed: exit code 9"));
}

#[test]
fn a_view_names_the_objects_of_a_task() {
    let task = format!(
        r#"{{"id":"7","name":"wc","state":3,"created_at":"2026-01-02T03:04:04Z","stdin_object":{{"digest":"{}","length":1073741824}}}}"#,
        "ab".repeat(32)
    );
    let results = format!(
        r#"{{"results":null,"state":3,"stdout_object":{{"digest":"{}","length":3145728,"key":"k"}}}}"#,
        "cd".repeat(32)
    );
    let line = ["tasks", "view", "7"];
    let (ran, requests) = run(&line, &[answer(200, &task), answer(200, &results)]);
    assert_eq!(requests, ["GET /tasks/7", "GET /tasks/7/results"]);
    insta::assert_snapshot!(ran.transcript());
}
