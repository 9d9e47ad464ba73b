//! Tasks that go well.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use propeller_api::TaskRequest;

use crate::support::{World, client, endless, guest, ready, request, run, state, under_way, wait};

fn texts(items: &[&str]) -> Option<Vec<String>> {
    Some(items.iter().map(|item| (*item).to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_every_kind_give_their_results() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let add = TaskRequest {
        invoke: Some("add".to_owned()),
        inputs: texts(&["2", "40"]),
        ..request("sum", &guest("add.wasm"))
    };
    let hello = TaskRequest {
        inputs: texts(&["Ada"]),
        env: Some([("GREETING".to_owned(), "Good morning".to_owned())].into()),
        ..request("hello", &guest("hello.wasm"))
    };
    let words = TaskRequest {
        inputs: texts(&["-w"]),
        stdin: Some(BASE64.encode(b"one two three\n")),
        ..request("wordcount", &guest("wordcount.wasm"))
    };
    for (request, expected) in [
        (add, "42"),
        (hello, "Good morning from Propeller, Ada!\n"),
        (words, "3\n"),
    ] {
        let task = run(&client, &request).await;
        assert_eq!(state(&task), "completed", "{}", task.error);
        assert_eq!(task.results, expected);
        assert_eq!(task.protection, "shared-key");
        assert_eq!(task.attempts.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_becomes_a_thumbnail() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let thumbnail = TaskRequest {
        stdin: Some(BASE64.encode(&guest("testdata/photo.jpg"))),
        inputs: texts(&["64"]),
        ..request("thumbnail", &guest("thumbnail.wasm"))
    };
    let task = run(&client, &thumbnail).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
    let results = client.task_results(&task.id).await.unwrap();
    let png = BASE64.decode(results.stdout_base64.as_bytes()).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let edge = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((edge(16), edge(20)), (64, 48));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_task_runs_again_and_its_attempts_count_on() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let first = run(&client, &request("hello", &guest("hello.wasm"))).await;
    client.task_start(&first.id).await.unwrap();
    let second = wait(&client, &first.id).await;
    assert_eq!(state(&second), "completed");
    assert_eq!(second.attempts.last().unwrap().number, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_stopped_and_its_slot_is_free_again() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world
        .part("p1")
        .with("max_tasks", "1")
        .with("liveliness_interval", "300ms")
        .proplet("p1")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let limits = propeller_api::Limits {
        fuel: Some(1_000_000_000_000),
        wall_ms: Some(3_600_000),
        ..propeller_api::Limits::default()
    };
    let spin = TaskRequest {
        limits: Some(limits),
        ..request("main", &endless())
    };
    let id = client.task_create(&spin, true).await.unwrap().id.clone();
    under_way(&client, &id).await;
    client.task_stop(&id).await.unwrap();
    assert_eq!(state(&wait(&client, &id).await), "interrupted");
    let after = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&after), "completed", "{}", after.error);
    client.task_delete(&id).await.unwrap();
    assert!(client.task_view(&id).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_at_once_all_finish_once_with_their_own_results() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _one = world.proplet("p1");
    let _two = world.proplet("p2");
    let client = client(manager.url());
    ready(&client, 2).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200_u32 {
        let client = client.clone();
        let add = TaskRequest {
            invoke: Some("add".to_owned()),
            inputs: texts(&[&number.to_string(), "1000"]),
            ..request("sum", &guest("add.wasm"))
        };
        tasks.spawn(async move { (number, run(&client, &add).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let (number, task) = done.unwrap();
        assert_eq!(task.results, (number + 1000).to_string(), "{}", task.error);
        assert_eq!(task.attempts.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_nobody_can_take_waits_for_a_proplet() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let pinned = TaskRequest {
        proplet_id: Some("late".to_owned()),
        ..request("hello", &guest("hello.wasm"))
    };
    let id = client.task_create(&pinned, true).await.unwrap().id.clone();
    assert_eq!(state(&client.task_view(&id).await.unwrap()), "scheduled");
    let _proplet = world.proplet("late");
    let task = wait(&client, &id).await;
    assert_eq!(
        (state(&task), task.proplet_id.as_str()),
        ("completed", "late")
    );
    let page = propeller_sdk::Page {
        offset: 0,
        limit: 10,
    };
    let list = client.task_list(page, &BTreeMap::new()).await.unwrap();
    assert_eq!(list.tasks[0].proplet_id, "late");
}
