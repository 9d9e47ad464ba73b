//! `keys set`: what a key broker is given, and what is said of what cannot be a key.

use std::fs;

use tempfile::TempDir;

use crate::support::{Act, Manager, Ran, answer, run_at};

/// Has a broker with these answers keep a file of these bytes, and says how often it was asked.
fn set(bytes: &[u8], script: &[Act]) -> (Ran, usize) {
    let folder = TempDir::new().expect("a folder can be made");
    let broker = Manager::new(script);
    let ran = set_at(&folder, bytes, &broker.url);
    (ran, broker.requests().len())
}

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
fn an_empty_file_is_no_key_and_is_not_sent() {
    let (ran, asked) = set(b"", &[answer(200, "")]);
    assert_eq!(ran.err, "error: %/key is empty, and no key\n");
    assert_eq!(asked, 0);
}

#[test]
fn a_public_key_is_kept_with_a_warning_and_everything_else_without() {
    let pair = rcgen::KeyPair::generate().expect("it can be made");
    for (bytes, warned) in [
        (pair.public_key_pem().into_bytes(), true),
        (pair.serialize_pem().into_bytes(), false),
        (vec![7; 32], false),
        (b"any secret".to_vec(), false),
    ] {
        let (ran, asked) = set(&bytes, &[answer(200, "")]);
        assert_eq!(asked, 1, "{ran:?}");
        let warning = "warning: %/key is a public key, which opens no image: that takes the private \
                       half\n";
        assert_eq!(ran.err, if warned { warning } else { "" });
        assert_eq!(ran.out, b"The key broker keeps kbs:///default/key/app\n");
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

#[test]
fn a_key_that_wraps_others_is_made_with_another_command_than_a_pair() {
    let folder = TempDir::new().expect("a folder can be made");
    let file = |name: &str| folder.path().join(name);
    let module = wat::parse_str("(module)").expect("the test's text is right");
    fs::write(file("m.wasm"), module).expect("there is room");
    fs::write(file("kek"), [7; 33]).expect("there is room");
    let key = format!(
        "provider:attestation-agent:keypath={}::keyid=kbs:///default/key/a",
        file("kek").display()
    );
    let module = file("m.wasm").display().to_string();
    let words = ["push", &module, "http://127.0.0.1:9/a:1", "--encrypt", &key];
    let ran = run_at("http://127.0.0.1:9", &words);
    assert!(
        ran.err
            .ends_with("hint: make one with: openssl rand -out FILE 32\n"),
        "{}",
        ran.err
    );
}
