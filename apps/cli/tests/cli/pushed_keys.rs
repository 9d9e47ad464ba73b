//! `push` of an image whose key a key broker is to keep.

use std::fs;

use propeller_cli::Exit;
use tempfile::TempDir;

use crate::images::{MODULE, NOBODY, Place};
use crate::support::{Manager, Ran, answer, run_at};

/// Files for a push whose key a broker is to keep, and the arguments that say so.
fn kept(folder: &TempDir, broker: &Manager) -> String {
    let file = |name: &str| folder.path().join(name);
    let module = wat::parse_str(MODULE).expect("the test's text is right");
    fs::write(file("add.wasm"), module).expect("there is room");
    fs::write(file("kek"), [7; 32]).expect("there is room");
    let admin = rcgen::KeyPair::generate().expect("it can be made");
    fs::write(file("admin.pem"), admin.serialize_pem()).expect("there is room");
    format!(
        "--encrypt provider:attestation-agent:keypath=%/kek::keyid=kbs:///default/key/order \
         --kbs {} --kbs-admin-key %/admin.pem",
        broker.url
    )
}

/// What a broker was asked, without tokens.
fn asked(broker: &Manager) -> Vec<String> {
    let line = |request: String| {
        let (first, rest) = request.split_once(" [").expect("it has a token");
        let (_, rest) = rest.split_once(']').expect("it ends");
        format!("{first}{rest}")
    };
    broker.requests().into_iter().map(line).collect()
}

#[test]
fn a_push_that_reaches_no_registry_changes_no_key() {
    let folder = TempDir::new().expect("a folder can be made");
    let broker = Manager::new(&[answer(200, "")]);
    let arguments = kept(&folder, &broker);
    let line = format!("push %/add.wasm {NOBODY}/o:1 {arguments}");
    let path = folder.path().to_str().expect("it is text");
    let words: Vec<_> = line
        .split(' ')
        .map(|word| word.replace('%', path))
        .collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let Ran { exit, err, .. } = run_at(NOBODY, &words);
    assert_eq!(exit, Exit::Failure);
    assert!(err.contains("no blob"), "{err}");
    assert!(broker.requests().is_empty(), "{:?}", broker.requests());
}

#[test]
fn a_push_replaces_another_images_key_only_if_it_is_told_to() {
    let Some(place) = Place::new() else { return };
    let broker = Manager::new(&[answer(412, "{}"), answer(200, ""), answer(200, "")]);
    let arguments = kept(&place.folder, &broker);
    let mut said = String::new();
    for line in [
        &format!("push %/add.wasm http://@/o:1 {arguments}"),
        "pull http://@/o:1 -o %/no.wasm",
        &format!("push %/add.wasm http://@/o:1 {arguments} --replace-key"),
        &format!("push %/add.wasm http://@/o:2 {arguments}"),
    ] {
        let shown = format!("$ {line}\n{}\n", place.says(line));
        said.push_str(&shown.replace(&broker.url, "BROKER"));
    }
    said.push_str(&format!("{:#?}", asked(&broker)));
    insta::assert_snapshot!(said);
}
