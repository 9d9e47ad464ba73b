//! Upstream's JSON, as its manager and proplet send it: payloads written from its documentation.
#![cfg(test)]

use std::collections::BTreeMap;

use propeller_wire::upstream::{
    Alive, Chunk, Create, Fetch, Metadata, Results, Start, Stop, UpstreamError, read, write,
};
use serde_json::{Value, json};

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_start_message_carries_what_upstreams_proplet_requires() {
    let start = Start {
        id: "6f1c".to_owned(),
        name: "add".to_owned(),
        file: Some("AGFzbQEAAAA=".to_owned()),
        inputs: Some(vec!["1".to_owned(), "2".to_owned()]),
        env: Some(BTreeMap::from([("K".to_owned(), "V".to_owned())])),
        proplet_id: Some("p1".to_owned()),
        ..Start::default()
    };
    let expected = json!({
        "id": "6f1c", "name": "add", "state": 0, "file": "AGFzbQEAAAA=", "inputs": ["1", "2"],
        "cli_args": null, "broadcast": false, "daemon": false, "latent": false,
        "env": {"K": "V"}, "encrypted": false, "proplet_id": "p1",
    });
    assert_eq!(value(&write(&start)), expected);
    assert_eq!(read::<Start>(&write(&start)).unwrap(), start);
}

#[test]
fn a_start_message_of_upstreams_manager_is_understood_with_nulls_and_zero_values() {
    let sent = json!({
        "id": "6f1c", "name": "add", "state": 0, "image_url": null, "file": "AGFzbQEAAAA=",
        "inputs": null, "cli_args": null, "broadcast": false, "daemon": false, "latent": false,
        "encrypted": false, "some_later_field": 1,
    });
    let start: Start = read(sent.to_string().as_bytes()).unwrap();
    assert_eq!(
        (start.inputs.as_ref(), start.cli_args.as_ref()),
        (None, None)
    );
    assert!(start.supported().is_ok());
}

#[test]
fn what_this_version_cannot_run_is_refused_by_name() {
    let base = json!({"id": "1", "name": "x"});
    for (field, set) in [
        ("broadcast", json!(true)),
        ("latent", json!(true)),
        ("encrypted", json!(true)),
        ("kbs_resource_path", json!("a/b/c")),
        ("monitoring_profile", json!({"enabled": true})),
        ("hal_storage_path", json!("/x")),
        ("parent_results", json!({"a": 1})),
    ] {
        let mut sent = base.clone();
        sent[field] = set;
        let start: Start = read(sent.to_string().as_bytes()).unwrap();
        let error = start.supported().unwrap_err();
        assert!(
            matches!(error, UpstreamError::Unsupported(name) if name == field),
            "{error}"
        );
    }
}

#[test]
fn discovery_beats_and_last_wills_have_upstreams_shape() {
    let create = Create {
        proplet_id: "p1".to_owned(),
        namespace: "default".to_owned(),
        metadata: Metadata {
            environment: "binary".to_owned(),
            os: "linux".to_owned(),
            cpu_arch: "x86_64".to_owned(),
            total_memory_bytes: 1,
            proplet_version: "0.1.0".to_owned(),
            wasm_runtime: "wasmtime-internal".to_owned(),
            ..Metadata::default()
        },
    };
    let expected = json!({
        "proplet_id": "p1", "namespace": "default",
        "metadata": {"environment": "binary", "os": "linux", "cpu_arch": "x86_64",
            "total_memory_bytes": 1, "proplet_version": "0.1.0",
            "wasm_runtime": "wasmtime-internal"},
    });
    assert_eq!(value(&write(&create)), expected);
    let alive = Alive {
        proplet_id: "p1".to_owned(),
        status: "alive".to_owned(),
        namespace: "default".to_owned(),
    };
    let expected = json!({"proplet_id": "p1", "status": "alive", "namespace": "default"});
    assert_eq!(value(&write(&alive)), expected);
    let will: Alive = read(br#"{"status":"offline","proplet_id":"p1"}"#).unwrap();
    assert_eq!(will.status, "offline");
}

#[test]
fn results_are_read_in_every_form_upstream_sends() {
    let check = |sent: Value, text: &str, failure: Option<&str>| {
        let results: Results = read(sent.to_string().as_bytes()).unwrap();
        assert_eq!(
            (results.text().as_str(), results.failure()),
            (text, failure),
            "{sent}"
        );
    };
    check(
        json!({"task_id": "t", "proplet_id": "p", "results": "42", "error": null}),
        "42",
        None,
    );
    check(
        json!({"task_id": "t", "proplet_id": "p", "results": "42", "error": ""}),
        "42",
        None,
    );
    check(
        json!({"task_id": "t", "proplet_id": "p", "results": "42"}),
        "42",
        None,
    );
    check(
        json!({"task_id": "t", "proplet_id": "p", "results": "", "error": "trap"}),
        "",
        Some("trap"),
    );
    check(
        json!({"task_id": "t", "results": {"round_id": "r"}, "error": null}),
        r#"{"round_id":"r"}"#,
        None,
    );
    let ours = Results {
        task_id: "t".to_owned(),
        proplet_id: "p".to_owned(),
        results: json!("42"),
        error: None,
    };
    let expected = json!({"task_id": "t", "proplet_id": "p", "results": "42", "error": null});
    assert_eq!(value(&write(&ours)), expected);
}

#[test]
fn a_stop_message_names_the_attempt_and_whom_it_is_for() {
    let stop = Stop {
        id: "6f1c".to_owned(),
        broadcast: false,
        proplet_id: Some("p1".to_owned()),
    };
    let expected = json!({"id": "6f1c", "broadcast": false, "proplet_id": "p1"});
    assert_eq!(value(&write(&stop)), expected);
    let short: Stop = read(br#"{"id":"6f1c"}"#).unwrap();
    assert_eq!((short.broadcast, short.proplet_id), (false, None));
}

#[test]
fn what_is_not_their_json_is_an_error() {
    for bad in [
        "",
        "{",
        "[]",
        r#"{"id":1,"name":"x"}"#,
        r#"{"name":"x"}"#,
        "PRPL\u{1}\u{3}",
    ] {
        assert!(read::<Start>(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn an_image_is_asked_for_and_comes_in_chunks() {
    let fetch = Fetch {
        app_name: "docker.io/me/add:1".to_owned(),
    };
    assert_eq!(
        value(&write(&fetch)),
        json!({"app_name": "docker.io/me/add:1"})
    );
    let sent = json!({
        "app_name": "docker.io/me/add:1", "chunk_idx": 0, "total_chunks": 2, "data": "AGFzbQ==",
    });
    let chunk: Chunk = read(sent.to_string().as_bytes()).unwrap();
    assert_eq!(value(&write(&chunk)), sent);
    for wrong in [
        json!({"app_name": "x", "chunk_idx": -1, "total_chunks": 2, "data": ""}),
        json!({"app_name": "x", "chunk_idx": 0, "data": ""}),
    ] {
        assert!(
            read::<Chunk>(wrong.to_string().as_bytes()).is_err(),
            "{wrong}"
        );
    }
}
