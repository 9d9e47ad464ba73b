//! `keys set`: what a key broker is given.

use std::fs;

use tempfile::TempDir;

use crate::support::{Ran, run_at};

fn set_at(folder: &TempDir, bytes: &[u8], url: &str) -> Ran {
    let file = |name: &str| {
        let path = folder.path().join(name);
        path.into_os_string().into_string().expect("it is text")
    };
    let admin = rcgen::KeyPair::generate().expect("it can be made");
    fs::write(file("admin.pem"), admin.serialize_pem()).expect("there is room");
    fs::write(file("key"), bytes).expect("there is room");
    let (key, admin) = (file("key"), file("admin.pem"));
    let words = ["keys", "set", "default/key/app", &key, "--kbs", url];
    let words = [&words[..], &["--kbs-admin-key", &admin]].concat();
    let ran = run_at("http://127.0.0.1:9", &words);
    let folder = folder.path().to_str().expect("it is text");
    Ran {
        err: ran.err.replace(folder, "%").replace(url, "BROKER"),
        ..ran
    }
}

#[test]
fn http_is_allowed_with_a_word_that_can_be_typed() {
    let folder = TempDir::new().expect("a folder can be made");
    let ran = set_at(&folder, b"key", "http://10.1.2.3:8080");
    assert!(
        ran.err.ends_with("or allow http with --kbs-allow-http\n"),
        "{}",
        ran.err
    );
}
