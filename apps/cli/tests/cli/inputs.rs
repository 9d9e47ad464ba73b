//! Inputs that a manager takes in another way than their length would have it, and those of tasks
//! that there are already.

use data_encoding::BASE64;
use propeller_cli::Exit;

use crate::objects::{MIB, STARTED, TASK, file, noise, object_key, opened, text};
use crate::support::{Act, Manager, Ran, answer, run, run_at};

const NO_STORE: &str = r#"{"error":"object_key: this manager has no object store"}"#;
const TOO_LONG: &str = r#"{"error":"stdin is longer than MANAGER_INLINE_MAX"}"#;

/// Creates and starts a task that reads these bytes.
fn create(input: &[u8], script: &[Act]) -> (Ran, Manager) {
    let (input, manager) = (file(input), Manager::new(script));
    let args = [
        "tasks",
        "create",
        "wc",
        "--start",
        "--stdin",
        text(input.path()),
    ];
    (run_at(&manager.url, &args), manager)
}

#[test]
fn a_small_input_that_is_too_long_for_a_manager_is_sealed() {
    let script = [
        answer(413, TOO_LONG),
        answer(201, TASK),
        Act::Keep,
        answer(200, TASK),
        answer(200, STARTED),
        answer(200, TASK),
    ];
    let (ran, manager) = create(b"words", &script);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let requests = manager.requests();
    let key = object_key(&requests[1]);
    let inline = r#"POST /tasks?start=true {"name":"wc","stdin":"d29yZHM="}"#;
    let sealed = format!(r#"POST /tasks {{"name":"wc","object_key":"{key}"}}"#);
    assert_eq!(requests[..3], [inline, &sealed, "PUT /tasks/7/stdin"]);
    assert_eq!(requests[4], "POST /tasks/7/start");
    assert_eq!(opened(manager.kept(), key), b"words");
}

#[test]
fn a_manager_without_a_store_gets_in_the_request_what_one_can_be_told_to_take() {
    let plain = noise(3 * MIB);
    let script = [answer(400, NO_STORE), answer(201, TASK)];
    let (ran, manager) = create(&plain, &script);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let requests = manager.requests();
    assert!(requests[0].starts_with(r#"POST /tasks {"name":"wc","object_key":""#));
    let encoded = BASE64.encode(&plain);
    let expected = format!(r#"POST /tasks?start=true {{"name":"wc","stdin":"{encoded}"}}"#);
    assert!(requests[1..] == [expected]);
}

#[test]
fn an_input_that_goes_neither_way_is_refused_with_the_first_reason() {
    let refused = |input: &[u8], script: &[Act]| {
        let (ran, manager) = create(input, script);
        assert_eq!((ran.exit, ran.out), (Exit::Failure, Vec::new()));
        assert_eq!(manager.requests().len(), script.len());
        ran.err
    };
    let (no_store, too_long) = (answer(400, NO_STORE), answer(413, TOO_LONG));
    let err = refused(b"words", &[too_long.clone(), no_store.clone()]);
    assert!(err.contains("MANAGER_INLINE_MAX"), "{err}");
    let err = refused(&noise(2 * MIB), &[no_store.clone(), too_long.clone()]);
    assert!(err.contains("no object store"), "{err}");
    // Too long for any request, a reason of another kind, and nothing that could be sealed.
    let err = refused(&noise(3 * MIB + 1), &[no_store]);
    assert!(err.contains("no object store"), "{err}");
    let other = answer(400, r#"{"error":"priority is 0 to 100"}"#);
    let err = refused(&noise(2 * MIB), &[other]);
    assert!(err.contains("priority"), "{err}");
    let err = refused(b"", std::slice::from_ref(&too_long));
    assert!(err.contains("MANAGER_INLINE_MAX"), "{err}");
    // What comes between is not hidden.
    let busy = answer(503, r#"{"error":"too much is under way"}"#);
    let err = refused(b"words", &[too_long, busy]);
    assert!(err.contains("under way"), "{err}");
}

#[test]
fn an_update_gives_a_task_the_key_of_its_new_input_first() {
    let plain = noise(MIB + 1);
    let input = file(&plain);
    let line = ["tasks", "update", "7", "--stdin", text(input.path())];
    let manager = Manager::new(&[answer(200, TASK), Act::Keep, answer(200, TASK)]);
    let ran = run_at(&manager.url, &line);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert_eq!(ran.out, b"Updated task 7\n");
    let requests = manager.requests();
    let key = object_key(&requests[0]);
    assert_eq!(
        requests[0],
        format!(r#"PUT /tasks/7 {{"object_key":"{key}"}}"#)
    );
    assert_eq!(requests[1..], ["PUT /tasks/7/stdin", "GET /tasks/7"]);
    assert!(opened(manager.kept(), key) == plain);
}

#[test]
fn an_empty_input_does_not_take_the_place_of_a_sealed_one() {
    let empty = file(b"");
    let line = ["tasks", "update", "7", "--stdin", text(empty.path())];
    let (ran, requests) = run(&line, &[answer(200, TASK)]);
    assert_eq!(requests, ["GET /tasks/7"]);
    assert_eq!(
        ran.transcript(),
        "--- Failure\n\
         error: task 7 has a sealed standard input, and an empty one does not take its place\n\
         hint: create another task, without an input\n"
    );
    let bare = answer(200, r#"{"id":"7","name":"wc","state":0}"#);
    let (ran, requests) = run(&line, &[bare.clone(), bare]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    assert_eq!(requests[1], r#"PUT /tasks/7 {"stdin":""}"#);
}
