//! What is asked of the manager, in which order, and what is made of the answers.

use propeller_cli::Exit;

use crate::support::{Act, Manager, Ran, answer, run, run_at};

const PENDING: &str =
    r#"{"id":"7","name":"add","state":0,"app_name":"add.wasm","module":"sha256:00"}"#;
const RUNNING: &str = r#"{"id":"7","name":"add","state":2}"#;
const COMPLETED: &str = r#"{"id":"7","name":"add","state":3,"results":"3"}"#;
const FAILED: &str = r#"{"id":"7","name":"add","state":4,"error":"out of fuel"}"#;
const RESULTS: &str = r#"{"results":"3","state":3}"#;

/// A module in a directory of its own, so that it has the name it would have.
struct Module(tempfile::TempDir);

impl Module {
    fn new(len: usize) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a module");
        let module = Self(directory);
        std::fs::write(module.path(), vec![b'm'; len]).expect("there is room for a module");
        module
    }

    fn path(&self) -> String {
        self.0.path().join("add.wasm").display().to_string()
    }
}

/// First lines of requests.
fn lines(requests: &[String]) -> Vec<&str> {
    requests
        .iter()
        .map(|request| request.lines().next().unwrap_or_default())
        .collect()
}

fn success(ran: &Ran) -> &str {
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    std::str::from_utf8(&ran.out).expect("this output is text")
}

#[test]
fn create_alone_says_what_is_missing() {
    let bare = r#"{"id":"7","name":"add","state":0}"#;
    let (ran, requests) = run(&["tasks", "create", "add"], &[answer(201, bare)]);
    assert_eq!(
        success(&ran),
        "Created task 7\nGive it a module with: propeller-cli tasks upload 7 FILE\n"
    );
    assert_eq!(requests, [r#"POST /tasks {"name":"add"}"#]);
}

#[test]
fn create_without_a_file_starts_in_the_same_request() {
    let line = ["tasks", "create", "add", "--start"];
    let (ran, requests) = run(&line, &[answer(201, PENDING)]);
    assert_eq!(
        success(&ran),
        "Created task 7\nStarted it; wait for it with: propeller-cli tasks wait 7\n"
    );
    assert_eq!(requests, [r#"POST /tasks?start=true {"name":"add"}"#]);
}

#[test]
fn create_with_a_file_uploads_it_under_its_name() {
    let module = Module::new(5);
    let line = ["tasks", "create", "add", "--file", &module.path()];
    let (ran, requests) = run(&line, &[answer(201, PENDING), answer(200, PENDING)]);
    assert_eq!(
        success(&ran),
        "Created task 7\nUploaded its module as add.wasm\nStart it with: propeller-cli tasks start 7\n"
    );
    assert!(
        requests[1].starts_with("PUT /tasks/7/upload "),
        "{}",
        requests[1]
    );
    let part =
        "Content-Disposition: form-data; name=\"file\"; filename=\"add.wasm\"\r\n\r\nmmmmm\r\n";
    assert!(requests[1].contains(part), "{}", requests[1]);
}

#[test]
fn create_and_wait_prints_the_result_alone() {
    let module = Module::new(5);
    let line = ["tasks", "create", "add", "--wait", "--file", &module.path()];
    let script = [
        answer(201, PENDING),
        answer(200, PENDING),
        answer(200, r#"{"started":true}"#),
        answer(200, RUNNING),
        answer(200, COMPLETED),
        answer(200, RESULTS),
    ];
    let (ran, requests) = run(&line, &script);
    assert_eq!(success(&ran), "3\n");
    assert_eq!(ran.err, "Created task 7\nUploaded its module as add.wasm\n");
    assert_eq!(
        lines(&requests)[2..],
        [
            "POST /tasks/7/start",
            "GET /tasks/7",
            "GET /tasks/7?wait=30",
            "GET /tasks/7/results"
        ]
    );
}

#[test]
fn an_upload_is_sent_whole() {
    let module = Module::new(300_000);
    let line = ["tasks", "upload", "7", &module.path()];
    let (ran, requests) = run(&line, &[answer(200, PENDING)]);
    assert_eq!(
        success(&ran),
        "Uploaded add.wasm (293.0 KiB) to task 7\nStart it with: propeller-cli tasks start 7\n"
    );
    assert!(
        requests[0].contains(&"m".repeat(300_000)),
        "a part is missing"
    );
}

#[test]
fn update_sends_what_is_mentioned_and_then_the_file() {
    let module = Module::new(5);
    let line = [
        "tasks",
        "update",
        "7",
        "--priority",
        "9",
        "--file",
        &module.path(),
    ];
    let (ran, requests) = run(&line, &[answer(200, PENDING), answer(200, PENDING)]);
    assert_eq!(success(&ran), "Updated task 7\n");
    assert_eq!(requests[0], r#"PUT /tasks/7 {"priority":9}"#);
    assert!(requests[1].starts_with("PUT /tasks/7/upload "));
}

#[test]
fn lists_are_asked_for_in_pages_and_with_filters() {
    let empty = r#"{"offset":5,"limit":2,"total":0,"tasks":[],"proplets":[]}"#;
    let tasks = [
        "tasks",
        "list",
        "-o",
        "5",
        "-l",
        "2",
        "--metadata",
        "team=a&b",
    ];
    let (_, requests) = run(&tasks, &[answer(200, empty)]);
    assert_eq!(
        requests,
        ["GET /tasks?offset=5&limit=2&metadata=%7B%22team%22%3A%22a%26b%22%7D"]
    );
    let proplets = ["proplets", "list", "--status", "inactive"];
    let (_, requests) = run(&proplets, &[answer(200, empty)]);
    assert_eq!(
        requests,
        ["GET /proplets?offset=0&limit=10&status=inactive"]
    );
}

#[test]
fn start_stop_and_delete() {
    let (ran, requests) = run(
        &["tasks", "start", "7"],
        &[answer(200, r#"{"started":true}"#)],
    );
    assert_eq!(
        success(&ran),
        "Started task 7\nWait for it with: propeller-cli tasks wait 7\n"
    );
    assert_eq!(requests, ["POST /tasks/7/start"]);
    let line = ["tasks", "stop", "7", "--json"];
    let (ran, requests) = run(&line, &[answer(200, r#"{"stopped":true}"#)]);
    assert_eq!(success(&ran), "{\n  \"stopped\": true\n}\n");
    assert_eq!(requests, ["POST /tasks/7/stop"]);
    let (ran, requests) = run(&["proplets", "delete", "p"], &[answer(204, "")]);
    assert_eq!(success(&ran), "Deleted proplet p\n");
    assert_eq!(requests, ["DELETE /proplets/p"]);
}

#[test]
fn delete_goes_on_after_one_that_cannot_be_deleted() {
    let missing = answer(404, r#"{"error":"there is no task 8"}"#);
    let line = ["tasks", "delete", "7", "8", "9"];
    let (ran, requests) = run(&line, &[answer(204, ""), missing, answer(204, "")]);
    assert_eq!(requests.len(), 3);
    insta::assert_snapshot!(ran.transcript());
}

#[test]
fn ids_cannot_lead_to_another_path() {
    let (ran, requests) = run(&["tasks", "view", "a/../b?c"], &[answer(200, PENDING)]);
    success(&ran);
    assert_eq!(requests, ["GET /tasks/a%2F..%2Fb%3Fc"]);
    for id in ["", ".", ".."] {
        let ran = run_at("http://127.0.0.1:9", &["tasks", "view", id]);
        assert_eq!(
            ran.err,
            format!(
                "error: {id:?} is not an id\nhint: see which there are with: propeller-cli tasks list\n"
            )
        );
    }
}

#[test]
fn a_prefix_in_the_managers_address_stays() {
    let manager = Manager::new(&[answer(200, PENDING)]);
    success(&run_at(
        &format!("{}/propeller/", manager.url),
        &["tasks", "view", "7"],
    ));
    assert_eq!(manager.requests(), ["GET /propeller/tasks/7"]);
}

#[test]
fn reading_is_tried_again_after_a_broken_connection_and_writing_is_not() {
    let (ran, requests) = run(
        &["tasks", "view", "7"],
        &[Act::HangUp, answer(200, PENDING)],
    );
    success(&ran);
    assert_eq!(requests, ["GET /tasks/7", "GET /tasks/7"]);
    let (ran, requests) = run(
        &["tasks", "start", "7"],
        &[Act::HangUp, answer(200, PENDING)],
    );
    assert_eq!((ran.exit, requests.len()), (Exit::Failure, 1));
}

#[test]
fn waiting_survives_a_manager_that_is_away_for_a_moment() {
    let script = [
        answer(200, RUNNING),
        Act::HangUp,
        Act::HangUp,
        answer(503, r#"{"error":"starting"}"#),
        answer(200, COMPLETED),
        answer(200, RESULTS),
    ];
    let (ran, _) = run(&["tasks", "wait", "7"], &script);
    assert_eq!(success(&ran), "3\n");
}

#[test]
fn waiting_for_a_task_that_fails_fails() {
    let results = r#"{"results":null,"state":4,"error":"out of fuel","stderr":"tick\n"}"#;
    let line = ["tasks", "wait", "7"];
    let (ran, _) = run(&line, &[answer(200, FAILED), answer(200, results)]);
    insta::assert_snapshot!(ran.transcript());
    let (ran, _) = run(&["tasks", "wait", "7", "--json"], &[answer(200, FAILED)]);
    assert_eq!(ran.exit, Exit::Failure);
    assert!(ran.out.starts_with(b"{\n  \"id\": \"7\","));
}

#[test]
fn waiting_gives_up_in_time() {
    let line = ["tasks", "wait", "7", "--timeout", "0s"];
    let (ran, requests) = run(&line, &[answer(200, RUNNING)]);
    assert_eq!(requests, ["GET /tasks/7?wait=0"]);
    insta::assert_snapshot!(ran.transcript());
}
