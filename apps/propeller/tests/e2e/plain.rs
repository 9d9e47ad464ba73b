//! Plain compatibility mode, and that nothing slips into it.

use crate::support::{World, client, guest, ready, request, run, state, until};
use propeller_api::TaskRequest;

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_proplet_runs_tasks_and_is_labelled_so() {
    let world = World::new().await;
    let manager = world
        .manager_part()
        .with("allow_plaintext_proplets", "true")
        .manager()
        .await
        .unwrap();
    let _plain = world
        .part("plain")
        .with("plaintext", "true")
        .with("liveliness_interval", "300ms")
        .proplet("plain")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    assert_eq!(client.proplet_view("plain").await.unwrap().link, "plain");
    let add = TaskRequest {
        inputs: Some(vec!["2".to_owned(), "40".to_owned()]),
        ..request("add", &guest("add.wasm"))
    };
    let task = run(&client, &add).await;
    assert_eq!(
        (state(&task), task.results.as_str()),
        ("completed", Some("42"))
    );
    assert_eq!(task.protection, "plain");
    let wrong = TaskRequest {
        inputs: Some(vec!["2".to_owned()]),
        ..request("add", &guest("add.wasm"))
    };
    let task = run(&client, &wrong).await;
    assert_eq!(state(&task), "failed");
    assert!(!task.error.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_leave_a_plain_proplet_is_not_even_seen() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _plain = world
        .part("plain")
        .with("plaintext", "true")
        .proplet("plain")
        .unwrap();
    let _sealed = world.proplet("sealed");
    let client = client(manager.url());
    ready(&client, 1).await;
    until("the plain announcement is dropped", async || {
        let metrics = reqwest::get(format!("{}/metrics", manager.url()))
            .await
            .unwrap();
        metrics.text().await.unwrap().contains("plain mode is off")
    })
    .await;
    assert!(client.proplet_view("plain").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_was_sealed_once_is_never_served_in_plain() {
    let world = World::new().await;
    let part = world
        .manager_part()
        .with("allow_plaintext_proplets", "true");
    let manager = part.clone().manager().await.unwrap();
    let sealed = world.proplet("p1");
    ready(&client(manager.url()), 1).await;
    sealed.stop().await;
    manager.stop().await;
    let manager = part.manager().await.unwrap();
    let _plain = world
        .part("other")
        .with("plaintext", "true")
        .proplet("p1")
        .unwrap();
    until("the plain announcement is dropped", async || {
        let metrics = reqwest::get(format!("{}/metrics", manager.url()))
            .await
            .unwrap();
        metrics
            .text()
            .await
            .unwrap()
            .contains("of a sealed proplet")
    })
    .await;
    let member = client(manager.url()).proplet_view("p1").await.unwrap();
    assert_eq!(member.link, "not heard from");
}
