//! The REST API as upstream's clients use it, and as strangers try it.

use std::io::Write;

use propeller_api::TaskRequest;
use serde_json::{Value, json};

use crate::support::{World, client, guest, ready, request, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_upstreams_fields_and_zero_values() {
    let world = World::new().await;
    let manager = world.manager().await;
    let http = reqwest::Client::new();
    // Upstream's Go client sends all of this.
    let body = json!({
        "id": "", "name": "add", "state": 0, "cli_args": null, "inputs": [1, "2"],
        "daemon": false, "encrypted": false, "start_time": "0001-01-01T00:00:00Z",
        "finish_time": "0001-01-01T00:00:00Z", "created_at": "0001-01-01T00:00:00Z",
        "updated_at": "0001-01-01T00:00:00Z", "next_run": "0001-01-01T00:00:00Z",
        "metadata": {"team": "a", "n": 1},
    });
    let response = http
        .post(format!("{}/tasks/", manager.url()))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 201);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let task: Value = response.json().await.unwrap();
    assert_eq!(location, format!("/tasks/{}", task["id"].as_str().unwrap()));
    assert_eq!(task["kind"], "standard");
    assert_eq!(task["state"], 0);
    assert_eq!(task["cli_args"], Value::Null);
    assert_eq!(task["inputs"], json!(["1", "2"]));
    assert_eq!(task["priority"], 50);
    assert_eq!(task["start_time"], "0001-01-01T00:00:00Z");
    assert_eq!(task.get("results"), None);
    let url = format!("{}{location}/results", manager.url());
    let results: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(results["results"], Value::Null);
    for (filter, found) in [
        (r#"{"team":"a"}"#, 1),
        (r#"{"team":"b"}"#, 0),
        (r#"{"n":1,"team":"a"}"#, 1),
    ] {
        let page: Value = http
            .get(format!("{}/tasks", manager.url()))
            .query(&[("metadata", filter)])
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(page["total"], found, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_keeps_what_it_does_not_mention() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let before = TaskRequest {
        inputs: Some(vec!["1".to_owned()]),
        env: Some([("A".to_owned(), "b".to_owned())].into()),
        priority: Some(7),
        ..request("before", &guest("add.wasm"))
    };
    let task = client.task_create(&before, false).await.unwrap();
    let change = TaskRequest {
        name: Some("after".to_owned()),
        ..TaskRequest::default()
    };
    let after = client.task_update(&task.id, &change).await.unwrap();
    assert_eq!(after.name, "after");
    assert_eq!(
        (after.priority, &after.inputs, &after.env),
        (7, &task.inputs, &task.env)
    );
    assert_eq!(after.module, task.module);
}

#[tokio::test(flavor = "multi_thread")]
async fn proplets_show_who_they_are_and_how_they_are() {
    let world = World::new().await;
    let manager = world.manager().await;
    let proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let view = client.proplet_view("p1").await.unwrap();
    assert_eq!(
        (view.link.as_str(), view.alive, view.slots),
        ("sealed", true, 64)
    );
    assert_eq!(view.metadata.wasm_runtime, "wasmtime-internal");
    assert!(view.metadata.total_memory_bytes > 0);
    let sdf = client.proplet_sdf("p1").await.unwrap();
    assert_eq!(sdf["info"]["license"], "Apache-2.0");
    let page = propeller_sdk::Page {
        offset: 0,
        limit: 10,
    };
    crate::support::until("a measurement", async || {
        client.proplet_metrics("p1", page).await.unwrap().total > 0
    })
    .await;
    assert!(client.proplet_history("p1", page).await.unwrap().total > 0);
    let task = run(&client, &request("hello", &guest("hello.wasm"))).await;
    let metrics = client.task_metrics(&task.id, page).await.unwrap();
    assert!(metrics.metrics[0].metrics.fuel > 0);
    proplet.stop().await;
    client.proplet_delete("p1").await.unwrap();
    assert!(client.proplet_view("p1").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_cannot_use_a_manager_on_loopback() {
    let world = World::new().await;
    let manager = world.manager().await;
    let http = reqwest::Client::new();
    let get = |name: &'static str, value: String| {
        http.get(format!("{}/tasks", manager.url()))
            .header(name, value)
    };
    let port = manager.address().port();
    for (name, value, status) in [
        ("origin", "https://evil.example".to_owned(), 403),
        ("host", format!("evil.example:{port}"), 403),
        ("origin", format!("http://localhost:{port}"), 200),
        ("host", format!("localhost:{port}"), 200),
    ] {
        let response = get(name, value.clone()).send().await.unwrap();
        assert_eq!(response.status(), status, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_and_tls_only_holders_get_in() {
    let world = World::new().await;
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = world.scratch.path(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        path
    };
    let cert = write("cert.pem", key.cert.pem());
    let private = write("key.pem", key.signing_key.serialize_pem());
    let manager = world
        .manager_part()
        .with("http_host", "0.0.0.0")
        .with("http_server_cert", cert.display().to_string())
        .with("http_server_key", private.display().to_string())
        .with("http_token", "a-token-of-some-length")
        .manager()
        .await
        .unwrap();
    let url = format!("https://localhost:{}", manager.address().port());
    let client = |token: Option<&str>| {
        propeller_sdk::Client::new(propeller_sdk::ClientOptions {
            base_url: url.clone(),
            token: token.map(|t| propeller_sdk::Token::parse(t).unwrap()),
            ca_cert: Some(cert.clone()),
            insecure_skip_verify: false,
            timeout: crate::support::PATIENCE,
        })
        .unwrap()
    };
    let page = propeller_sdk::Page {
        offset: 0,
        limit: 10,
    };
    assert!(client(None).health().await.is_ok(), "health needs no token");
    assert!(client(None).proplet_list(page, None).await.is_err());
    assert!(
        client(Some("another-token-of-some"))
            .proplet_list(page, None)
            .await
            .is_err()
    );
    let right = client(Some("a-token-of-some-length"));
    assert!(right.proplet_list(page, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_a_manager_without_a_token_does_not_start() {
    let world = World::new().await;
    let part = world.manager_part().with("http_behind_tls_proxy", "true");
    let error = part.manager().await.unwrap_err();
    let text = propeller::stack::chain(&error);
    assert!(text.contains("MANAGER_HTTP_TOKEN"), "{text}");
}

#[test]
fn what_is_printed_for_debugging_holds_no_key() {
    let key = propeller_envelope::WorkloadKey::generate().unwrap();
    let part = propeller::stack::Part::new(([127, 0, 0, 1], 1).into(), std::path::Path::new("x"))
        .key(&key)
        .with("client_id", "user")
        .with("client_key", "a-password-of-the-broker");
    let config = part.clone().manager_config().unwrap();
    let shown = format!("{part:?} {config:?}");
    assert!(!shown.contains(key.to_hex().as_str()), "{shown}");
    assert!(!shown.contains("a-password-of-the-broker"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_a_manager_without_protection_does_not_start() {
    let world = World::new().await;
    let error = world
        .manager_part()
        .with("http_host", "0.0.0.0")
        .manager()
        .await
        .unwrap_err();
    let text = propeller::stack::chain(&error);
    assert!(text.contains("MANAGER_HTTP_TOKEN"), "{text}");
}
