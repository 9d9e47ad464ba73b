//! Zero persistence: nothing readable on any disk or on the broker, searched byte by byte.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use propeller::demo::tap::Tap;
use propeller_api::TaskRequest;

use crate::support::{World, client, ready, request, run, state, wat};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    let encoded = BASE64.encode(needle.as_bytes());
    // The middle of the encoding, which does not depend on what stands around it.
    let middle = &encoded[4..encoded.len() - 4];
    [needle, middle].iter().any(|text| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn module_input_and_result_are_nowhere_to_be_read() {
    const MODULE: &str = "canary-of-the-module-9f3a";
    const INPUT: &str = "canary-of-the-input-71bc";
    const ENV: &str = "canary-of-the-environment-0d";
    const ARG: &str = "canary-of-an-argument-5e";
    let mut world = World::new().await;
    let broker = world.address;
    let tap = Tap::start(broker).await.unwrap();
    world.address = tap.address();
    let manager = world.manager().await;
    let proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    // Writes its own canary and then whatever it reads.
    let echo = wat(&format!(
        r#"(module
             (import "wasi_snapshot_preview1" "fd_read"
               (func $read (param i32 i32 i32 i32) (result i32)))
             (import "wasi_snapshot_preview1" "fd_write"
               (func $write (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 1024) "{MODULE}")
             (func (export "_start")
               (i32.store (i32.const 0) (i32.const 1024))
               (i32.store (i32.const 4) (i32.const {}))
               (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
               (i32.store (i32.const 0) (i32.const 2048))
               (i32.store (i32.const 4) (i32.const 4096))
               (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
               (i32.store (i32.const 4) (i32.load (i32.const 8)))
               (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        MODULE.len()
    ));
    let task = run(
        &client,
        &TaskRequest {
            stdin: Some(BASE64.encode(INPUT.as_bytes())),
            env: Some([("SECRET".to_owned(), ENV.to_owned())].into()),
            inputs: Some(vec![ARG.to_owned()]),
            ..request("echo", &echo)
        },
    )
    .await;
    assert_eq!(state(&task), "completed", "{}", task.error);
    assert_eq!(task.results, format!("{MODULE}{INPUT}"));
    let secrets = [MODULE, INPUT, ENV, ARG];
    let bytes: Vec<&[u8]> = secrets.iter().map(|s| s.as_bytes()).collect();
    let seen = tap.search(&bytes);
    assert!(seen.bytes > 1000, "the tap saw nothing");
    assert_eq!(seen.hits, 0);
    // While everything runs, and again when it has been stopped.
    search(&world, &secrets);
    proplet.stop().await;
    manager.stop().await;
    search(&world, &secrets);
}

fn search(world: &World, secrets: &[&str]) {
    let files = files(&world.scratch.path(""));
    assert!(files.iter().any(|path| path.ends_with("manager.db")));
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        for secret in secrets {
            assert!(!contains(&bytes, secret), "{secret} in {}", path.display());
        }
    }
}
