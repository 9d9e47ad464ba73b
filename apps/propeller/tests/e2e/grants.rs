//! Profiles and grants, through the whole path.

use propeller_api::{DirectoryGrant, Grants, TaskRequest};

use crate::support::{World, client, ready, request, run, state, wat};

/// Draws 8 random bytes.
fn dice() -> Vec<u8> {
    wat(r#"
        (module
          (import "wasi_snapshot_preview1" "random_get"
            (func $random (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "main") (result i64)
            (drop (call $random (i32.const 0) (i32.const 8)))
            (i64.load (i32.const 0))))
    "#)
}

/// Prints the file `note` of its first directory, after writing to it if it may: prints the errors
/// of opening it to read, of opening it to write, and the content.
fn reader() -> Vec<u8> {
    wat(r#"
        (module
          (import "wasi_snapshot_preview1" "path_open" (func $open
            (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read"
            (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write"
            (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "note")
          (func $digit (param $at i32) (param $number i32)
            (i32.store8 (local.get $at) (i32.add (i32.const 48) (local.get $number))))
          (func (export "_start") (local $error i32)
            ;; To read.
            (local.set $error (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
              (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))
            (call $digit (i32.const 256) (i32.ne (local.get $error) (i32.const 0)))
            ;; To create another file.
            (i32.store8 (i32.const 0) (i32.const 78))
            (call $digit (i32.const 257) (i32.ne (i32.const 0)
              (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
                (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 68))))
            (i32.store8 (i32.const 258) (i32.const 32))
            (i32.store (i32.const 80) (i32.const 259))
            (i32.store (i32.const 84) (i32.const 100))
            (if (i32.eqz (local.get $error)) (then
              (drop (call $read (i32.load (i32.const 64)) (i32.const 80) (i32.const 1) (i32.const 72)))))
            (i32.store (i32.const 80) (i32.const 256))
            (i32.store (i32.const 84) (i32.add (i32.const 3) (i32.load (i32.const 72))))
            (drop (call $write (i32.const 1) (i32.const 80) (i32.const 1) (i32.const 76)))))
    "#)
}

fn granted(wasm: &[u8], grants: Grants) -> TaskRequest {
    TaskRequest {
        profile: Some("granted".to_owned()),
        grants: Some(grants),
        ..request("main", wasm)
    }
}

fn directory(host: &str, access: &str) -> Grants {
    Grants {
        directories: vec![DirectoryGrant {
            host: host.to_owned(),
            guest: Some("/in".to_owned()),
            access: Some(access.to_owned()),
        }],
        ..Grants::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deterministic_task_draws_the_same_numbers_again_and_says_what_ran_it() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let deterministic = TaskRequest {
        profile: Some("deterministic".to_owned()),
        ..request("main", &dice())
    };
    let mut seen = Vec::new();
    for request in [&deterministic, &deterministic, &request("main", &dice())] {
        let task = run(&client, request).await;
        assert_eq!(state(&task), "completed", "{}", task.error);
        seen.push(task.results);
        let results = client.task_results(&task.id).await.unwrap();
        let engine = results.engine.clone().unwrap();
        assert_eq!(
            (engine.name.as_str(), &engine.profile),
            ("wasmtime", &task.profile)
        );
        assert!(engine.features.contains(&"fuel".to_owned()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_directory_is_read_and_nothing_else_is() {
    let world = World::new().await;
    let manager = world.manager().await;
    let shared = world.scratch.path("shared");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::write(shared.join("note"), "what the file says").unwrap();
    let policy = world.scratch.path("policy.toml");
    let rules = format!("[directory.notes]\npath = \"{}\"\n", shared.display());
    std::fs::write(&policy, rules).unwrap();
    let _proplet = world
        .part("p1")
        .with("policy_file", policy.display().to_string())
        .proplet("p1")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;

    let host = shared.display().to_string();
    let task = run(&client, &granted(&reader(), directory(&host, "read"))).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
    // Read, but nothing created.
    assert_eq!(task.results, "01 what the file says");
    assert!(!shared.join("Note").exists());

    let write = run(&client, &granted(&reader(), directory(&host, "read-write"))).await;
    assert_eq!(state(&write), "failed");
    let why =
        format!("grant refused: directory {host} (read-write): rule `directory.notes` allows read");
    assert!(write.error.contains(&why), "{}", write.error);

    let none = run(&client, &request("main", &reader())).await;
    assert_eq!((state(&none), &none.results), ("completed", &"11 ".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_without_a_policy_grants_nothing() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let asked = Grants {
        env: vec!["PATH".to_owned()],
        ..Grants::default()
    };
    let task = run(&client, &granted(&reader(), asked)).await;
    assert_eq!(state(&task), "failed");
    let why = "grant refused: variable PATH: this proplet grants nothing: \
               its operator has set no PROPLET_POLICY_FILE";
    assert!(task.error.contains(why), "{}", task.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_and_grants_have_to_fit_each_other() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let grants = |grants| TaskRequest {
        grants: Some(grants),
        ..request("main", &dice())
    };
    for (request, why) in [
        (
            TaskRequest {
                profile: Some("fast".to_owned()),
                ..request("main", &dice())
            },
            "profile: a profile is `pure`, `deterministic` or `granted`",
        ),
        (
            granted(&dice(), Grants::default()),
            "the profile `granted` needs grants: name directories, hosts, ports or env",
        ),
        (
            grants(directory("/srv", "read")),
            "grants need the profile `granted`, and this task has `pure`",
        ),
        (
            granted(&dice(), directory("srv", "read")),
            "grants: `srv` is not an absolute path on the proplet's machine",
        ),
        (
            granted(&dice(), directory("/srv", "write")),
            "grants: access is `read` or `read-write`",
        ),
    ] {
        let error = client.task_create(&request, false).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}
