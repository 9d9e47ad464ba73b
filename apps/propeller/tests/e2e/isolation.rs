//! Guests in locked processes, through the whole path and in the real program.

use std::time::Instant;

use data_encoding::BASE64;
use propeller_api::{DirectoryGrant, Grants, Limits, TaskRequest};

use crate::processes::Process;
use crate::support::{
    World, client, endless, guest, ready, request, run, state, under_way, until, wait,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_runs_its_guests_in_locked_processes() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let Some((mut proplet, line)) = Process::locked_proplet(&world, &[]) else {
        return;
    };
    for mechanism in [
        "isolation process: on:",
        "seccomp",
        "rlimits",
        "no-capabilities",
    ] {
        assert!(line.contains(mechanism), "{line}");
    }
    ready(&client, 1).await;

    let hello = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&hello), "completed", "{}", hello.error);

    let photo = std::fs::read(crate::support::guest_path("testdata/photo.jpg")).unwrap();
    let thumbnail = TaskRequest {
        stdin: Some(BASE64.encode(&photo)),
        ..request("thumbnail", &guest("thumbnail.wasm"))
    };
    let thumbnail = run(&client, &thumbnail).await;
    assert_eq!(state(&thumbnail), "completed", "{}", thumbnail.error);

    let limited = TaskRequest {
        limits: Some(Limits {
            fuel: Some(1_000_000),
            ..Limits::default()
        }),
        ..request("main", &endless())
    };
    let limited = run(&client, &limited).await;
    assert!(
        limited.error.contains("limit: fuel 1000000 (set by task)"),
        "{}",
        limited.error
    );

    let unlimited = TaskRequest {
        daemon: Some(true),
        ..request("main", &endless())
    };
    let task = client.task_create(&unlimited, true).await.unwrap();
    let id = task.id.clone();
    under_way(&client, &id).await;
    let begun = Instant::now();
    client.task_stop(&id).await.unwrap();
    wait(&client, &id).await;
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());

    assert_eq!(proplet.terminate(), Some(0));
    until("it has left", async || {
        !client.proplet_view("locked").await.unwrap().alive
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_isolation_may_do_without_is_a_short_list() {
    let world = World::new().await;
    let key = world.key.to_hex();
    for (name, value, says) in [
        ("PROPLET_ISOLATION", "container", "in-process"),
        ("PROPLET_ISOLATION_ALLOW_MISSING", "seccomp", "namespaces"),
        ("PROPLET_METERING", "fuel", "`full` or `time`"),
        ("PROPLET_METERING", "time", "PROPLET_ISOLATION=process"),
    ] {
        let env = [("PROPLET_WORKLOAD_KEY", key.as_str()), (name, value)];
        let mut proplet = Process::start(&world.scratch.path("cwd"), &["proplet"], &env);
        proplet.expect(&["error", name, says]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_check_nothing_end_by_time_and_results_say_so() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let Some((_proplet, _)) = Process::locked_proplet(&world, &[("PROPLET_METERING", "time")])
    else {
        return;
    };
    ready(&client, 1).await;
    let endless = TaskRequest {
        limits: Some(Limits {
            wall_ms: Some(100),
            ..Limits::default()
        }),
        ..request("main", &endless())
    };
    let task = run(&client, &endless).await;
    assert!(
        task.error
            .contains("limit: wall clock 100 ms (set by task)"),
        "{}",
        task.error
    );
    let hello = run(&client, &request("hello", &guest("hello.wasm"))).await;
    let results = client.task_results(&hello.id).await.unwrap();
    let engine = results.engine.clone().unwrap();
    assert_eq!(engine.isolation, "process");
    assert!(!engine.features.contains(&"fuel".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_locked_process_can_have_another_proplet_may_give() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let policy = world.scratch.path("policy.toml");
    let shared = world.scratch.path("shared");
    std::fs::create_dir_all(&shared).unwrap();
    let rules = format!("[directory.shared]\npath = \"{}\"\n", shared.display());
    std::fs::write(&policy, rules).unwrap();
    let policy = policy.display().to_string();
    let Some((_locked, _)) =
        Process::locked_proplet(&world, &[("PROPLET_POLICY_FILE", policy.as_str())])
    else {
        return;
    };
    ready(&client, 1).await;
    let directory = DirectoryGrant {
        host: shared.display().to_string(),
        guest: None,
        access: Some("read".to_owned()),
    };
    let granted = TaskRequest {
        profile: Some("granted".to_owned()),
        grants: Some(Grants {
            directories: vec![directory],
            ..Grants::default()
        }),
        ..request("hello", &guest("hello.wasm"))
    };
    // Alone, it is the reason; and no reason for any other.
    let alone = run(&client, &granted).await;
    assert_eq!(state(&alone), "failed");
    assert!(
        alone.error.contains("process of its own"),
        "{}",
        alone.error
    );
    let _open = world
        .part("open")
        .with("policy_file", policy)
        .proplet("open")
        .unwrap();
    ready(&client, 2).await;
    for _ in 0..3 {
        let task = run(&client, &granted).await;
        assert_eq!(state(&task), "completed", "{}", task.error);
        assert_eq!(task.proplet_id, "open");
    }
}
