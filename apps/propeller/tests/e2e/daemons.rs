//! Tasks that run until they are stopped or fail.

use propeller_api::TaskRequest;

use crate::support::{World, client, endless, ready, request, run, state, until, wat};

fn daemon(name: &str, wasm: &[u8]) -> TaskRequest {
    TaskRequest {
        daemon: Some(true),
        ..request(name, wasm)
    }
}

/// A command that ends at once, and well.
fn brief() -> Vec<u8> {
    wat(r#"(module (func (export "_start")))"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_runs_until_it_is_stopped_also_one_that_ends_well() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    for wasm in [endless(), brief()] {
        let task = client
            .task_create(&daemon("main", &wasm), true)
            .await
            .unwrap();
        let id = task.id.clone();
        until("it runs", async || {
            state(&client.task_view(&id).await.unwrap()) == "running"
        })
        .await;
        // The default fuel and time of other tasks are no end for it, and its proplet is not full.
        let other = run(&client, &request("main", &brief())).await;
        assert_eq!(state(&other), "completed", "{}", other.error);
        let task = client.task_view(&id).await.unwrap();
        assert!(task.daemon);
        assert_eq!((state(&task), task.attempts.len()), ("running", 1));
        client.task_stop(&id).await.unwrap();
        let task = client.task_view(&id).await.unwrap();
        assert_eq!(state(&task), "interrupted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_fails_has_failed_and_says_why() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let trap = wat(r#"(module (func (export "main") unreachable))"#);
    let task = run(&client, &daemon("main", &trap)).await;
    assert_eq!(state(&task), "failed");
    assert!(task.error.contains("unreachable"), "{}", task.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_outlives_its_proplets_however_many() {
    let world = World::new().await;
    let manager = world
        .manager_part()
        .with("attempts_max", "1")
        .manager()
        .await
        .unwrap();
    let client = client(manager.url());
    let mut proplet = world.proplet("p0");
    ready(&client, 1).await;
    let task = client
        .task_create(&daemon("main", &endless()), true)
        .await
        .unwrap();
    let id = task.id.clone();
    for next in 1..=2 {
        let holder = format!("p{}", next - 1);
        until("it runs", async || {
            let task = client.task_view(&id).await.unwrap();
            state(&task) == "running" && task.proplet_id == holder
        })
        .await;
        proplet.kill().await;
        proplet = world.proplet(&format!("p{next}"));
    }
    until("it runs on the last one", async || {
        let task = client.task_view(&id).await.unwrap();
        state(&task) == "running" && task.proplet_id == "p2"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proplet_does_not_allow_is_refused_with_both_numbers() {
    let world = World::new().await;
    let manager = world.manager().await;
    let small = world
        .part("small")
        .with("max_memory", "1MiB")
        .with("max_daemons", "0");
    let _small = small.proplet("small").unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let mut greedy = request("main", &brief());
    greedy.limits = Some(propeller_api::Limits {
        memory_bytes: Some(2 * 1024 * 1024),
        ..propeller_api::Limits::default()
    });
    let task = run(&client, &greedy).await;
    assert_eq!(
        (state(&task), task.attempts.len(), task.error.as_str()),
        (
            "failed",
            1,
            "attempt 1 on small: the task asks for memory 2097152 bytes, \
             this proplet allows at most 1048576 (PROPLET_MAX_MEMORY)"
        )
    );
    let task = run(&client, &daemon("main", &endless())).await;
    assert!(task.error.contains("PROPLET_MAX_DAEMONS"), "{}", task.error);
    // Somebody else allows more, and whoever has to have this one is not asked again.
    let _large = world.proplet("large");
    ready(&client, 2).await;
    let task = run(&client, &greedy).await;
    assert_eq!(
        (state(&task), task.proplet_id.as_str()),
        ("completed", "large"),
        "{}",
        task.error
    );
    for (asks, why) in [
        (greedy.clone(), "PROPLET_MAX_MEMORY"),
        (request("main", &endless()), "PROPLET_MAX_DAEMONS"),
    ] {
        let pinned = TaskRequest {
            daemon: Some(true),
            proplet_id: Some("small".to_owned()),
            ..asks
        };
        let task = run(&client, &pinned).await;
        assert_eq!((state(&task), task.attempts.len()), ("failed", 1), "{why}");
        assert!(task.error.contains(why), "{}", task.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_waits_for_the_place_of_another() {
    let world = World::new().await;
    let manager = world
        .manager_part()
        .with("attempts_max", "50")
        .manager()
        .await
        .unwrap();
    let one = world.part("p1").with("max_daemons", "1");
    let _one = one.proplet("p1").unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let [first, second] = [daemon("first", &endless()), daemon("second", &endless())];
    let first = client.task_create(&first, true).await.unwrap();
    until("the first runs", async || {
        state(&client.task_view(&first.id).await.unwrap()) == "running"
    })
    .await;
    let second = client.task_create(&second, true).await.unwrap();
    until("the second is refused", async || {
        let task = client.task_view(&second.id).await.unwrap();
        let mut outcomes = task
            .attempts
            .iter()
            .filter_map(|made| made.outcome.as_ref());
        outcomes.any(|why| why.contains("at most 1 daemons at a time"))
    })
    .await;
    client.task_stop(&first.id).await.unwrap();
    until("the second runs", async || {
        state(&client.task_view(&second.id).await.unwrap()) == "running"
    })
    .await;
}
