//! Limits that really stop a guest, through the whole path.

use propeller_api::{Limits, TaskRequest};

use crate::support::{World, client, endless, ready, request, run, state, wat};

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "it is a table")]
async fn every_limit_stops_its_guest_and_says_so() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let bomb = wat(r#"(module (memory 1) (func (export "main")
             (loop (drop (memory.grow (i32.const 16))) (br 0))))"#);
    let deep = wat(r#"(module (func $f (export "main") (call $f)))"#);
    let flood = wat(r#"(module
             (import "wasi_snapshot_preview1" "fd_write"
               (func $write (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (func (export "_start")
               (i32.store (i32.const 0) (i32.const 16))
               (i32.store (i32.const 4) (i32.const 4096))
               (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                     (br 0))))"#);
    let mib = 1024 * 1024;
    let none = Limits::default();
    let fuel = Limits {
        fuel: Some(1_000_000),
        ..none
    };
    let wall = Limits {
        fuel: Some(1_000_000_000_000),
        wall_ms: Some(200),
        ..none
    };
    let memory = Limits {
        memory_bytes: Some(4 * mib),
        ..none
    };
    let output = Limits {
        output_bytes: Some(10_000),
        ..none
    };
    for (name, wasm, limits, says) in [
        ("main", endless(), fuel, "limit: fuel 1000000 (set by task)"),
        (
            "main",
            endless(),
            none,
            "limit: fuel 1000000000 (set by default)",
        ),
        (
            "main",
            endless(),
            wall,
            "limit: wall clock 200 ms (set by task)",
        ),
        (
            "main",
            bomb.clone(),
            memory,
            "limit: memory 4194304 bytes (set by task)",
        ),
        (
            "main",
            bomb,
            none,
            "limit: memory 268435456 bytes (set by default)",
        ),
        ("main", deep, none, "limit: stack 1048576 bytes"),
        (
            "_start",
            flood,
            output,
            "limit: stdout 10000 bytes (set by task)",
        ),
    ] {
        let request = TaskRequest {
            limits: Some(limits),
            ..request(name, &wasm)
        };
        let task = run(&client, &request).await;
        assert_eq!(state(&task), "failed", "{says}");
        assert!(task.error.contains(says), "{says}: {}", task.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_with_which_no_task_can_run_is_refused_by_name() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let none = Limits::default();
    for (name, limits) in [
        (
            "memory_bytes",
            Limits {
                memory_bytes: Some(0),
                ..none
            },
        ),
        (
            "fuel",
            Limits {
                fuel: Some(0),
                ..none
            },
        ),
        (
            "wall_ms",
            Limits {
                wall_ms: Some(0),
                ..none
            },
        ),
        (
            "output_bytes",
            Limits {
                output_bytes: Some(0),
                ..none
            },
        ),
    ] {
        let asks = TaskRequest {
            limits: Some(limits),
            ..request("main", &endless())
        };
        let refused = client.task_create(&asks, true).await.unwrap_err();
        let expected = format!("limits.{name} is 0");
        assert!(refused.to_string().contains(&expected), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplets_operator_sets_what_tasks_have_that_ask_for_nothing() {
    let world = World::new().await;
    let manager = world.manager().await;
    let part = world.part("p1").with("default_fuel", "1000".to_owned());
    let part = part.with("max_stack", "128KiB".to_owned());
    let _proplet = part.proplet("p1").unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let task = run(&client, &request("main", &endless())).await;
    let why = "limit: fuel 1000 (set by proplet)";
    assert!(task.error.contains(why), "{}", task.error);
    let asks = |limits| TaskRequest {
        limits: Some(limits),
        ..request("main", &endless())
    };
    let more = Limits {
        fuel: Some(2000),
        ..Limits::default()
    };
    let task = run(&client, &asks(more)).await;
    let why = "limit: fuel 2000 (set by task)";
    assert!(task.error.contains(why), "{}", task.error);
    let fuel = Limits {
        fuel: Some(1_000_000),
        ..Limits::default()
    };
    let deep = r#"(module (func $deep (export "main") (result i32) (i32.add (call $deep) (i32.const 1))))"#;
    let request = TaskRequest {
        limits: Some(fuel),
        ..request("main", &wat::parse_str(deep).unwrap())
    };
    let task = run(&client, &request).await;
    let why = "limit: stack 131072 bytes (set by proplet)";
    assert!(task.error.contains(why), "{}", task.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_task_that_its_proplet_does_not_allow_ends_at_once() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplets = ["p1", "p2"].map(|id| world.proplet(id));
    let client = client(manager.url());
    ready(&client, 2).await;
    let beyond = Limits {
        fuel: Some(u64::MAX),
        ..Limits::default()
    };
    let asks = TaskRequest {
        limits: Some(beyond),
        ..request("main", &endless())
    };
    let pinned = TaskRequest {
        proplet_id: Some("p1".to_owned()),
        ..asks.clone()
    };
    let task = run(&client, &pinned).await;
    assert_eq!((state(&task), task.attempts.len()), ("failed", 1));
    assert!(task.error.contains("PROPLET_MAX_FUEL"), "{}", task.error);
    // Another one might allow it.
    let task = run(&client, &asks).await;
    assert_eq!(state(&task), "failed");
    assert!(task.attempts.len() > 1, "{}", task.error);
}
