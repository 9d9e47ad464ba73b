//! What goes wrong, each with a clear answer.

use propeller_api::TaskRequest;
use serde_json::{Value, json};

use crate::support::{World, client, guest, ready, request, run, state, wat};

/// Sends a request as it is and returns status, problem and content type.
async fn send(
    method: reqwest::Method,
    url: String,
    content_type: Option<&str>,
    body: Vec<u8>,
) -> (u16, Value) {
    let mut request = reqwest::Client::new().request(method, url).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body: Value = response.json().await.unwrap();
    if status >= 400 {
        assert_eq!(kind, "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["error"], body["detail"]);
    }
    (status, body)
}

const POST: reqwest::Method = reqwest::Method::POST;
const GET: reqwest::Method = reqwest::Method::GET;

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "it is a table")]
async fn requests_that_make_no_sense_are_refused_with_a_reason() {
    let world = World::new().await;
    let manager = world.manager().await;
    let url = |path: &str| format!("{}{path}", manager.url());
    let json = Some("application/json");
    let unknown = "/tasks/01a1f8e8-4f70-71e7-9924-7458af7c38f3";
    for (method, path, content_type, body, status, says) in [
        (POST, "/tasks", json, "{", 400, "malformed JSON"),
        (
            POST,
            "/tasks",
            json,
            r#"{"nam":"x"}"#,
            400,
            "unknown field `nam`",
        ),
        (
            POST,
            "/tasks",
            Some("text/plain"),
            "{}",
            415,
            "application/json",
        ),
        (POST, "/tasks", json, "{}", 400, "name is 1 to 256"),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","priority":101}"#,
            400,
            "priority is 0 to 100",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","file":"?"}"#,
            400,
            "base64",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","file":"TVo="}"#,
            400,
            "not a WebAssembly module",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","file":"AGFzbQ=="}"#,
            400,
            "cut off",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","file":"AGFzbQ4AAQA="}"#,
            400,
            "unknown WebAssembly version",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","proplet_id":"a/b"}"#,
            400,
            "proplet id",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","module":"sha256:00"}"#,
            400,
            "digest",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","cli_args":["--dir=/"]}"#,
            400,
            "cli_args --dir=/",
        ),
        (
            POST,
            "/tasks",
            json,
            r#"{"name":"x","env":{"A=B":"c"}}"#,
            400,
            "env",
        ),
        (GET, "/tasks/not-a-uuid", None, "", 400, "UUID"),
        (GET, unknown, None, "", 404, "not found"),
        (
            POST,
            &format!("{unknown}/start"),
            None,
            "",
            404,
            "not found",
        ),
        (POST, &format!("{unknown}/stop"), None, "", 404, "not found"),
        (GET, "/tasks?limit=0", None, "", 400, "limit"),
        (GET, "/tasks?limit=101", None, "", 400, "limit"),
        (GET, "/tasks?offset=x", None, "", 400, "offset"),
        (GET, "/tasks?metadata=x", None, "", 400, "metadata"),
        (GET, &format!("{unknown}?wait=soon"), None, "", 400, "wait"),
        (GET, &format!("{unknown}?wait=-1"), None, "", 400, "wait"),
        (POST, "/tasks?start=maybe", json, "{}", 400, "start"),
        (GET, "/proplets?status=sleepy", None, "", 400, "status"),
        (GET, "/proplets/nobody", None, "", 404, "nobody"),
        (GET, "/nowhere", None, "", 404, "/nowhere"),
        (
            GET,
            "/jobs",
            None,
            "",
            501,
            "not supported by this version: jobs",
        ),
        (
            POST,
            "/workflows/",
            None,
            "",
            501,
            "not supported by this version: workflows",
        ),
        (reqwest::Method::PATCH, "/tasks", None, "", 405, "PATCH"),
    ] {
        let (got, body) = send(method.clone(), url(path), content_type, body.into()).await;
        let detail = body["detail"].as_str().unwrap();
        assert_eq!(got, status, "{method} {path}: {detail}");
        assert!(detail.contains(says), "{method} {path}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_version_cannot_do_is_refused_by_name_and_zero_values_are_not() {
    let world = World::new().await;
    let manager = world.manager().await;
    let url = format!("{}/tasks", manager.url());
    for (field, set, zero) in [
        ("latent", json!(true), json!(false)),
        ("depends_on", json!(["x"]), json!([])),
        ("run_if", json!("success"), json!("")),
        ("workflow_id", json!("w"), json!("")),
        ("job_id", json!("j"), json!("")),
        ("monitoring_profile", json!({"enabled": true}), json!(null)),
        ("mode", json!("train"), json!("")),
        ("kind", json!("federated"), json!("standard")),
        ("schedule", json!("* * * * *"), json!("")),
        ("is_recurring", json!(true), json!(false)),
        ("timezone", json!("UTC"), json!("")),
        ("broadcast", json!(true), json!(false)),
        ("hal_storage_path", json!("/x"), json!("")),
    ] {
        let body = |value: Value| json!({"name": "x", field: value}).to_string().into_bytes();
        let kind = Some("application/json");
        let (status, problem) = send(POST, url.clone(), kind, body(set)).await;
        assert_eq!(status, 400, "{field}");
        assert_eq!(
            problem["error"],
            format!("not supported by this version: {field}")
        );
        let (status, problem) = send(POST, url.clone(), kind, body(zero)).await;
        assert_eq!(status, 201, "{field}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_the_limit_is_refused_and_the_limit_is_named() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let id = client
        .task_create(
            &TaskRequest {
                name: Some("big".to_owned()),
                ..TaskRequest::default()
            },
            false,
        )
        .await
        .unwrap()
        .id
        .clone();
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.resize(101 * 1024 * 1024, 0);
    let upload = propeller_sdk::Upload::from_bytes("big.wasm", wasm.into());
    let error = client.task_upload(&id, upload).await.unwrap_err();
    let propeller_sdk::ClientError::Refused { problem, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(problem.status, 413, "{}", problem.detail);
    assert!(problem.detail.contains("104857600"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_cannot_run_fail_their_task_with_the_reason() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let add = guest("add.wasm");
    let mut truncated = guest("hello.wasm");
    truncated.truncate(20_000);
    let with = |name: &str, wasm: &[u8], invoke: Option<&str>, inputs: &[&str]| TaskRequest {
        invoke: invoke.map(ToOwned::to_owned),
        inputs: Some(inputs.iter().map(|i| (*i).to_owned()).collect()),
        ..request(name, wasm)
    };
    let needs = wat(r#"(module (import "env" "magic" (func)) (func (export "main")))"#);
    let traps = wat(r#"(module (func (export "main") unreachable))"#);
    for (request, says) in [
        (with("cut", &truncated, None, &[]), "unexpected end"),
        (with("x", &add, Some("sub"), &[]), "sub"),
        (with("x", &add, Some("add"), &["1"]), "2"),
        (with("x", &add, Some("add"), &["1", "two"]), "two"),
        (with("x", &needs, Some("main"), &[]), "magic"),
        (with("x", &traps, Some("main"), &[]), "unreachable"),
        (
            with("wordcount", &guest("wordcount.wasm"), None, &["--nope"]),
            "exit code 2",
        ),
    ] {
        let task = run(&client, &request).await;
        assert_eq!(state(&task), "failed", "{says}");
        assert!(task.error.contains(says), "{says}: {}", task.error);
        assert_eq!(
            task.attempts.len(),
            1,
            "a guest's own failure is not tried again"
        );
    }
}
