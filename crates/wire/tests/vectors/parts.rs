//! What has an envelope of its own, as values.

use propeller_model::{Access, Directory, Engine, Grants, Host, Profile};
use propeller_wire::message::{AskedLimits, Input, InputObjects, ObjectKey, Output, StoredObject};
use serde_bytes::ByteBuf;

use crate::samples::module_digest;

pub(crate) fn inputs() -> [(&'static str, Input); 4] {
    let full = Input {
        invoke: Some("add".to_owned()),
        task_name: "sum".to_owned(),
        args: vec!["1".to_owned(), "2".to_owned()],
        env: vec![("LANG".to_owned(), "C".to_owned())],
        stdin: ByteBuf::from(b"stdin"),
        limits: AskedLimits {
            memory_bytes: Some(1 << 26),
            fuel: Some(1_000_000_000),
            wall_ms: Some(60_000),
            output_bytes: Some(1 << 20),
        },
        daemon: true,
        profile: Profile::Granted,
        grants: Grants {
            directories: vec![Directory {
                host: "/srv/photos".to_owned(),
                guest: "/photos".to_owned(),
                access: Access::ReadWrite,
            }],
            hosts: vec![Host {
                name: "api.example.com".to_owned(),
                port: 443,
            }],
            ports: vec![8080],
            env: vec!["LANG".to_owned()],
        },
        objects: None,
    };
    let key = InputObjects {
        key: ObjectKey([7; 32]),
        stdin: None,
    };
    let stdin = InputObjects {
        stdin: Some(stored(u64::MAX)),
        ..key.clone()
    };
    let with = |objects| Input {
        objects: Some(objects),
        ..Input::default()
    };
    [
        ("full", full),
        ("empty", Input::default()),
        ("object-key", with(key)),
        ("object-stdin", with(stdin)),
    ]
}

pub(crate) fn outputs() -> [(&'static str, Output); 4] {
    let full = Output {
        result: Some("42".to_owned()),
        stdout: ByteBuf::from(b"out"),
        stderr: ByteBuf::from(b"err\xff"),
        exit_code: Some(-1),
        error: Some("trap: unreachable".to_owned()),
        engine: Some(Engine {
            name: "wasmtime".to_owned(),
            version: "48.0.8".to_owned(),
            sandbox: "0.1.0".to_owned(),
            arch: "x86_64".to_owned(),
            profile: Profile::Deterministic,
            isolation: "process".to_owned(),
            features: vec!["fuel".to_owned()],
        }),
        hint: Some("look there".to_owned()),
        gone: [300, 0],
        stdout_object: None,
    };
    let largest = Output {
        exit_code: Some(i32::MAX),
        ..Output::default()
    };
    let in_store = Output {
        stdout_object: Some(stored(3)),
        ..Output::default()
    };
    [
        ("full", full),
        ("empty", Output::default()),
        ("exit-code-largest", largest),
        ("object", in_store),
    ]
}

fn stored(name: u64) -> StoredObject {
    StoredObject {
        name,
        digest: module_digest().0,
        plain_len: 1 << 40,
    }
}
