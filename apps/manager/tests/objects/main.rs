//! Large inputs and outputs through the REST API: over a link in memory, with a proplet that runs
//! nothing and does with the store as it is told.
#![cfg(test)]

mod away;
mod bed;
mod reply;
mod seal;

use bed::{AWAY, Bed, Deed, KEY, TOKEN};
use propeller_depot::{Name, Part};
use propeller_wire::message::Refusal;
use seal::{object, opened};
use serde_json::{Value, json};

const NO_HEADERS: &str = "";

fn task(more: &Value) -> Value {
    let mut task = json!({
        "name": "app",
        "object_key": seal::hex(&KEY),
        "image_url": format!("http://127.0.0.1:9/app:1@sha256:{}", "1".repeat(64)),
    });
    let fields = more.as_object().unwrap().clone();
    task.as_object_mut().unwrap().extend(fields);
    task
}

/// What a task asks for that may print more than a message has room for.
fn large_output() -> Value {
    json!({"limits": {"output_bytes": 2 * 1024 * 1024}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_goes_to_the_proplet_and_its_output_comes_back() {
    let mut bed = Bed::new(&[]).await;
    let (link, deed) = (bed.link(), Deed::Store(b"a large output".to_vec()));
    bed.proplet(link, deed);
    let id = bed.create(&task(&json!({}))).await;
    let early = bed.get(&format!("/tasks/{id}/stdout"), NO_HEADERS).await;
    assert_eq!(early.status, 404);
    assert!(early.text().contains("has not ended"), "{}", early.text());
    let (bytes, digest) = object(b"a large input", KEY);
    let put = bed.put(&format!("/tasks/{id}/stdin"), &bytes).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let info = json!({"digest": seal::hex(&digest), "length": 13});
    assert_eq!(put.json(), info);
    let shown = bed.get(&format!("/tasks/{id}"), NO_HEADERS).await.json();
    assert_eq!(shown["stdin_object"], info);
    let ended = bed.run(&id).await;
    assert_eq!(ended["state"], 3, "{ended}");
    assert_eq!(ended["results"], Value::Null);
    assert_eq!(bed.seen(), [(KEY, Some(b"a large input".to_vec()))]);
    let proplets = bed.get("/proplets", NO_HEADERS).await.json();
    assert_eq!(proplets["proplets"][0]["object_store"], true);
    let results = bed.get(&format!("/tasks/{id}/results"), NO_HEADERS).await;
    let sealed = results.json()["stdout_object"].clone();
    assert_eq!(sealed["key"], seal::hex(&KEY));
    assert_eq!(sealed["length"], 14);
    let whole = bed.get(&format!("/tasks/{id}/stdout"), NO_HEADERS).await;
    assert_eq!(whole.status, 200);
    assert_eq!(opened(whole.body.clone(), KEY), b"a large output");
    let tag = format!("\"{}\"", sealed["digest"].as_str().unwrap());
    assert_eq!(whole.header("etag"), Some(tag.as_str()));
    for (range, slice) in [("0-4", 0..5), ("5-", 5..whole.body.len())] {
        let headers = format!("Range: bytes={range}\r\nIf-Range: {tag}\r\n");
        let part = bed.get(&format!("/tasks/{id}/stdout"), &headers).await;
        assert_eq!(part.status, 206);
        assert_eq!(part.body, whole.body[slice], "{range}");
    }
    let behind = "Range: bytes=9999-\r\n";
    let none = bed.get(&format!("/tasks/{id}/stdout"), behind).await;
    assert_eq!(none.status, 416);
    let has = format!("bytes */{}", whole.body.len());
    assert_eq!(none.header("content-range"), Some(has.as_str()));
    let head = bed
        .ask("HEAD", &format!("/tasks/{id}/stdout"), "", b"")
        .await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let len = whole.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(len.as_str()));
    let logs = bed.get(&format!("/tasks/{id}/logs"), NO_HEADERS).await;
    assert!(
        logs.text()
            .contains(r#""offset":14,"data_base64":"","stored":true"#),
        "{}",
        logs.text()
    );
    let other = json!({"object_key": seal::hex(&[9; 32]), "stdin": "aGk="});
    let refused = bed.put_json(&format!("/tasks/{id}"), &other).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_when_another_takes_their_place_and_when_their_task_is_deleted() {
    let bed = Bed::new(&[]).await;
    let id = bed.create(&task(&json!({}))).await;
    let stdin = format!("/tasks/{id}/stdin");
    assert_eq!(bed.put(&stdin, &object(b"one", KEY).0).await.status, 200);
    let first = bed.objects(&id);
    assert_eq!(first.len(), 1);
    assert_eq!(bed.put(&stdin, &object(b"two", KEY).0).await.status, 200);
    bed.until(|bed| bed.objects(&id).len() == 1 && bed.objects(&id) != first)
        .await;
    let text = json!({"stdin": "aGk="});
    let changed = bed.put_json(&format!("/tasks/{id}"), &text).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json().get("stdin_object"), None);
    bed.until(|bed| bed.objects(&id).is_empty()).await;
    assert_eq!(bed.put(&stdin, &object(b"three", KEY).0).await.status, 200);
    assert_eq!(bed.objects(&id).len(), 1);
    let deleted = bed.ask("DELETE", &format!("/tasks/{id}"), "", b"").await;
    assert_eq!(deleted.status, 204);
    bed.until(|bed| bed.objects(&id).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_manager_was_writing_goes_when_it_is_old() {
    let bed = Bed::new(&[]).await;
    let id = bed.create(&task(&json!({}))).await;
    let stdin = format!("/tasks/{id}/stdin");
    assert_eq!(bed.put(&stdin, &object(b"one", KEY).0).await.status, 200);
    let own = bed.objects(&id);
    bed.leave(&id, &own[0]);
    bed.leave(&id, ".stdin-0000000000000001.0123456789abcdef.part");
    assert_eq!(bed.objects(&id).len(), 2);
    let bed = bed.restart().await;
    bed.until(|bed| bed.objects(&id) == own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_object_of_the_task_is_refused_and_leaves_nothing() {
    let bed = Bed::new(&[("object_max", "2000"), ("inline_max", "4")]).await;
    let id = bed.create(&task(&json!({}))).await;
    let stdin = format!("/tasks/{id}/stdin");
    let good = object(b"input", KEY).0;
    let long = [&good[..], &[0; 2000]].concat();
    for (bytes, status, why) in [
        (&b"hello"[..], 400, "no CES object"),
        (b"", 400, "no CES object"),
        (&good[..good.len() - 1], 400, "not sent to its end"),
        (&object(b"input", [8; 32]).0[..], 400, "another key"),
        (&long, 413, "MANAGER_OBJECT_MAX"),
    ] {
        let refused = bed.put(&stdin, bytes).await;
        assert_eq!(refused.status, status, "{}", refused.text());
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    let unknown = format!("/tasks/{}/stdin", uuid::Uuid::nil());
    assert_eq!(bed.put(&unknown, &good).await.status, 404);
    let text = bed
        .ask("PUT", &stdin, "Content-Type: text/plain\r\n", &good)
        .await;
    assert_eq!(text.status, 415);
    bed.until(|bed| bed.objects(&id).is_empty()).await;
    let long = task(&json!({"stdin": "aGVsbG8="}));
    let long = bed.ask_json("POST", "/tasks", &long).await;
    assert_eq!(long.status, 413);
    assert!(
        long.text().contains("MANAGER_INLINE_MAX"),
        "{}",
        long.text()
    );
    let daemon = bed.create(&task(&json!({"daemon": true}))).await;
    let refused = bed.put(&format!("/tasks/{daemon}/stdin"), &good).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(bed.put(&stdin, &good).await.status, 200);
    let daemon = json!({"daemon": true});
    let refused = bed.put_json(&format!("/tasks/{id}"), &daemon).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    for key in ["1", &"0".repeat(64)] {
        let wrong = task(&json!({"object_key": key}));
        assert_eq!(bed.ask_json("POST", "/tasks", &wrong).await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let bed = Bed::new(&[("object_max", "2000"), ("http_token", TOKEN)]).await;
    let id = bed.create(&task(&json!({}))).await;
    let unknown = uuid::Uuid::nil();
    for (id, token, status) in [
        (&*id, TOKEN, 413),
        (&*unknown.to_string(), TOKEN, 404),
        (&*id, "another", 401),
    ] {
        // More than the system has room for between the two.
        let sent = bed.send(&format!("/tasks/{id}/stdin"), token, 64).await;
        let reply = sent.expect("a client that looks up when all is sent gets there");
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.header("connection"), Some("close"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_input_nobody_reaches_fails_and_says_what_to_do() {
    let mut bed = Bed::new(&[("lease", "500ms")]).await;
    let id = bed.create(&task(&json!({}))).await;
    let input = object(b"x", KEY).0;
    let put = bed.put(&format!("/tasks/{id}/stdin"), &input).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let link = bed.link();
    bed.proplet(link, Deed::ReachNothing);
    let ended = bed.run(&id).await;
    assert_eq!(ended["state"], 4, "{ended}");
    let error = ended["error"].as_str().unwrap();
    assert!(error.contains("PROPLET_OBJECT_STORE"), "{error}");
    assert_eq!(bed.seen(), []);
    let ordinary = bed.create(&task(&json!({}))).await;
    assert_eq!(bed.run(&ordinary).await["state"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_not_what_it_should_be_counts_as_an_attempt_and_is_told() {
    let mut bed = Bed::new(&[("attempts_max", "2"), ("retry_backoff", "10ms")]).await;
    let link = bed.link();
    let why = "the input was changed";
    bed.proplet(link, Deed::Refuse(Refusal::NoInput, why));
    let id = bed.create(&task(&json!({}))).await;
    let ended = bed.run(&id).await;
    assert_eq!(ended["state"], 4, "{ended}");
    let error = ended["error"].as_str().unwrap();
    assert_eq!(error.matches(why).count(), 2, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_waited_for_and_counts_as_no_attempt() {
    let mut bed = Bed::new(&[("attempts_max", "1"), ("retry_backoff", "10ms")]).await;
    let link = bed.link();
    bed.proplet(link, Deed::Recover(b"output".to_vec()));
    let id = bed.create(&task(&large_output())).await;
    let begun = std::time::Instant::now();
    let ended = bed.run(&id).await;
    assert_eq!(ended["state"], 3, "{ended}");
    assert!(begun.elapsed().as_secs() >= 5, "it is not tried at once");
    let attempts = ended["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["outcome"], AWAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_goes_when_another_takes_its_place() {
    let mut bed = Bed::new(&[]).await;
    let link = bed.link();
    bed.proplet(link, Deed::Store(b"output".to_vec()));
    let id = bed.create(&task(&large_output())).await;
    for number in 1..=3 {
        let ended = bed.run(&id).await;
        assert_eq!(ended["state"], 3, "{ended}");
        let last = [format!("stdout-{number}")];
        bed.until(|bed| bed.objects(&id) == last).await;
    }
    let stdout = bed.get(&format!("/tasks/{id}/stdout"), NO_HEADERS).await;
    assert_eq!(opened(stdout.body, KEY), b"output");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_task_that_may_need_the_store_has_a_key() {
    let bed = Bed::new(&[]).await;
    let input = object(b"input", KEY).0;
    let ordinary = bed.create(&json!({"name": "app"})).await;
    let refused = bed.put(&format!("/tasks/{ordinary}/stdin"), &input).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("object_key"), "{}", refused.text());
    let key = json!({"object_key": seal::hex(&KEY)});
    let given = bed.put_json(&format!("/tasks/{ordinary}"), &key).await;
    assert_eq!(given.status, 200, "{}", given.text());
    let put = bed.put(&format!("/tasks/{ordinary}/stdin"), &input).await;
    assert_eq!(put.status, 200, "{}", put.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_somebody_removed_is_told_as_such() {
    let mut bed = Bed::new(&[]).await;
    let link = bed.link();
    bed.proplet(link, Deed::Store(b"output".to_vec()));
    let id = bed.create(&task(&json!({}))).await;
    bed.run(&id).await;
    let name = Name {
        task: id.parse().unwrap(),
        part: Part::Stdout(1),
    };
    bed.depot().await.remove(name).await.unwrap();
    let gone = bed.get(&format!("/tasks/{id}/stdout"), NO_HEADERS).await;
    assert_eq!(gone.status, 404);
    assert!(gone.text().contains("not in the object store any more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_it_is_said_how_to_get_one() {
    let bed = Bed::without_store().await;
    let id = bed.create(&json!({"name": "app"})).await;
    let put = bed.put(&format!("/tasks/{id}/stdin"), b"x").await;
    let keyed = bed.ask_json("POST", "/tasks", &task(&json!({}))).await;
    for refused in [put, keyed] {
        assert_eq!(refused.status, 400);
        assert!(
            refused.text().contains("MANAGER_OBJECT_STORE"),
            "{}",
            refused.text()
        );
    }
}
