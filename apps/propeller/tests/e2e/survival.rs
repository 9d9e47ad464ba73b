//! Nothing acknowledged is lost, whatever part goes away.

use propeller_api::{Limits, TaskRequest};

use crate::support::{
    World, client, guest, ready, request, run, state, under_way, until, wait, wat,
};

/// A guest that takes a while: a loop of about a second, then an answer.
fn slow() -> TaskRequest {
    let wasm = wat(r#"(module (func (export "main") (result i32) (local $i i64)
             (loop (local.set $i (i64.add (local.get $i) (i64.const 1)))
                   (br_if 0 (i64.lt_u (local.get $i) (i64.const 300000000))))
             (i32.const 7)))"#);
    TaskRequest {
        limits: Some(Limits {
            fuel: Some(1_000_000_000_000),
            wall_ms: Some(60_000),
            ..Limits::default()
        }),
        ..request("main", &wasm)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_on_a_killed_proplet_finishes_on_another() {
    let world = World::new().await;
    let manager = world.manager().await;
    let first = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let id = client.task_create(&slow(), true).await.unwrap().id.clone();
    assert_eq!(under_way(&client, &id).await, "p1");
    first.kill().await;
    let _second = world.proplet("p2");
    let task = wait(&client, &id).await;
    assert_eq!(
        (state(&task), task.results.as_str()),
        ("completed", Some("7"))
    );
    let attempts: Vec<(u32, &str)> = task
        .attempts
        .iter()
        .map(|a| (a.number, a.proplet_id.as_str()))
        .collect();
    assert_eq!(attempts, [(1, "p1"), (2, "p2")]);
    assert_eq!(
        task.attempts[0].outcome.as_deref(),
        Some("no sign of life within the lease")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_that_leaves_in_peace_gives_its_task_back_at_once() {
    let world = World::new().await;
    let manager = world.manager().await;
    let first = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let id = client.task_create(&slow(), true).await.unwrap().id.clone();
    under_way(&client, &id).await;
    first.stop().await;
    let _second = world.proplet("p2");
    let task = wait(&client, &id).await;
    assert_eq!(state(&task), "completed");
    assert_eq!(
        task.attempts[0].outcome.as_deref(),
        Some("the proplet was shut down")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_the_manager_mid_task_kills_and_loses_nothing() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let before = client(manager.url());
    ready(&before, 1).await;
    let id = before.task_create(&slow(), true).await.unwrap().id.clone();
    under_way(&before, &id).await;
    manager.stop().await;
    let manager = world.manager().await;
    let after = client(manager.url());
    let task = wait(&after, &id).await;
    assert_eq!(
        (state(&task), task.results.as_str()),
        ("completed", Some("7"))
    );
    assert_eq!(task.attempts.len(), 1, "the attempt went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_waits_for_a_manager_that_is_away() {
    let world = World::new().await;
    let manager = world.manager().await;
    let proplet = world.proplet("p1");
    let before = client(manager.url());
    ready(&before, 1).await;
    let id = before.task_create(&slow(), true).await.unwrap().id.clone();
    under_way(&before, &id).await;
    manager.stop().await;
    // The guest ends while nobody listens; the report is written down when the proplet stops.
    proplet.stop().await;
    let _proplet = world.proplet("p1");
    let manager = world.manager().await;
    let task = wait(&client(manager.url()), &id).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_broker_restart_everybody_finds_each_other_again() {
    let mut world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let hello = request("hello", &guest("hello.wasm"));
    assert_eq!(state(&run(&client, &hello).await), "completed");
    world.broker.take().unwrap().stop().await;
    until("the manager notices", async || {
        !client.health().await.unwrap().broker_connected
    })
    .await;
    let id = client.task_create(&hello, true).await.unwrap().id.clone();
    let options = propeller_broker::Options::new(world.address);
    world.broker = Some(propeller_broker::start(options).await.unwrap());
    let task = wait(&client, &id).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_succeeds_fails_with_the_reason_of_every_attempt() {
    let world = World::new().await;
    let manager = world
        .manager_part()
        .with("attempts_max", "2")
        .manager()
        .await
        .unwrap();
    let client = client(manager.url());
    let id = client.task_create(&slow(), true).await.unwrap().id.clone();
    for name in ["p1", "p2"] {
        let proplet = world.proplet(name);
        until("the attempt is under way", async || {
            let task = client.task_view(&id).await.unwrap();
            task.state == 2 && task.proplet_id == name
        })
        .await;
        proplet.kill().await;
    }
    let task = wait(&client, &id).await;
    assert_eq!(state(&task), "failed");
    assert_eq!(
        task.error,
        "attempt 1 on p1: no sign of life within the lease\n\
         attempt 2 on p2: no sign of life within the lease"
    );
}
