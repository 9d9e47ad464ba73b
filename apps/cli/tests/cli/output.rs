//! What people and programs see.

use propeller_cli::Exit;

use crate::support::{answer, run, run_on_terminal};

const ID: &str = "01997c7e-0000-7000-8000-000000000001";
const OTHER: &str = "01997c7e-0000-7000-8000-000000000002";
const PROPLET: &str = "5f0c1f9e-3a77-4d0c-9b1e-5d3b1a2c4e6f";

/// Runs a command line and shows everything it printed.
fn shown(args: &[&str], json: &str) -> String {
    run(args, &[answer(200, json)]).0.transcript()
}

fn tasks() -> String {
    format!(
        r#"{{"offset":0,"limit":2,"total":3,"tasks":[
            {{"id":"{ID}","name":"add","state":3,"proplet_id":"{PROPLET}","created_at":"2026-01-02T03:04:05Z"}},
            {{"id":"{OTHER}","name":"evil\u001b[2J","state":0,"created_at":"2026-01-02T03:04:06.5Z"}}]}}"#
    )
}

#[test]
fn a_list_of_tasks() {
    insta::assert_snapshot!(shown(&["tasks", "list", "-l", "2"], &tasks()));
}

#[test]
fn an_empty_list_of_tasks() {
    let empty = r#"{"offset":0,"limit":10,"total":0,"tasks":[]}"#;
    insta::assert_snapshot!(shown(&["tasks", "list"], empty));
}

#[test]
fn json_is_the_managers_own_also_what_this_client_does_not_know() {
    let json = r#"{"offset":0,"total":0,"new":{"z":1.50,"a":[]},"tasks":[],"limit":10}"#;
    insta::assert_snapshot!(shown(&["tasks", "list", "--json"], json));
}

#[test]
fn one_task_with_all_there_is_to_know() {
    let json = format!(
        r#"{{"id":"{ID}","name":"add","kind":"standard","state":4,"cli_args":["--invoke","add"],
        "inputs":["1","2"],"env":{{"A":"b","C":""}},"proplet_id":"{PROPLET}","error":"out of fuel\nafter 10",
        "start_time":"2026-01-02T03:04:05Z","finish_time":"2026-01-02T03:04:06Z",
        "created_at":"2026-01-02T03:04:04Z","updated_at":"2026-01-02T03:04:06Z",
        "next_run":"0001-01-01T00:00:00Z","priority":50,"metadata":{{"team":"x","n":1}},
        "invoke":"add","app_name":"add.wasm","module":"sha256:00","protection":"shared-key",
        "limits":{{"memory_bytes":67108864,"fuel":10,"wall_ms":1500}},"exit_code":3,
        "exit":"exited","hint":"look at its standard error",
        "attempts":[
          {{"number":1,"proplet_id":"{PROPLET}","reason":"free","assigned_at":"2026-01-02T03:04:05Z",
            "ended_at":"2026-01-02T03:04:06Z","outcome":"failed","exit":"exited",
            "usage":{{"prepare_us":1,"compile_us":2,"run_us":1234,"fuel":10,"memory_peak_bytes":65536}}}},
          {{"number":2,"proplet_id":"{PROPLET}","reason":"free","assigned_at":"2026-01-02T03:04:07Z"}}]}}"#
    );
    insta::assert_snapshot!(shown(&["tasks", "view", ID], &json));
}

#[test]
fn a_new_task_shows_no_times_that_have_not_been() {
    let json = format!(
        r#"{{"id":"{ID}","name":"add","state":0,"start_time":"0001-01-01T00:00:00Z","created_at":"2026-01-02T03:04:04Z"}}"#
    );
    insta::assert_snapshot!(shown(&["tasks", "view", ID], &json));
}

#[test]
fn measurements_of_a_task() {
    let json = format!(
        r#"{{"offset":0,"limit":10,"total":1,"metrics":[{{"task_id":"{ID}","proplet_id":"{PROPLET}",
        "metrics":{{"prepare_us":90,"compile_us":12000,"run_us":2500000,"fuel":123456789,"memory_peak_bytes":1114112}},
        "timestamp":"2026-01-02T03:04:06Z"}}]}}"#
    );
    insta::assert_snapshot!(shown(&["tasks", "metrics", ID], &json));
}

#[test]
fn a_list_of_proplets() {
    let json = format!(
        r#"{{"offset":0,"limit":10,"total":2,"proplets":[
        {{"id":"{PROPLET}","name":"edge","task_count":2,"alive":true,"last_alive_at":"2026-01-02T03:04:05Z",
          "metadata":{{}},"link":"sealed","slots":4}},
        {{"id":"old","name":"old","task_count":0,"alive":false,"metadata":{{}},"link":"plain","slots":1}}]}}"#
    );
    insta::assert_snapshot!(shown(&["proplets", "list"], &json));
}

#[test]
fn one_proplet() {
    let json = format!(
        r#"{{"id":"{PROPLET}","name":"edge","task_count":2,"alive":true,"last_alive_at":"2026-01-02T03:04:05Z",
        "metadata":{{"tags":["a","b"],"os":"linux","cpu_arch":"x86_64","total_memory_bytes":8589934592,
        "proplet_version":"0.1.0","wasm_runtime":"wasmtime"}},"link":"sealed","slots":4}}"#
    );
    insta::assert_snapshot!(shown(&["proplets", "view", PROPLET], &json));
}

#[test]
fn measurements_and_history_of_a_proplet() {
    let metrics = format!(
        r#"{{"offset":0,"limit":10,"total":1,"metrics":[{{"proplet_id":"{PROPLET}","namespace":"default",
        "timestamp":"2026-01-02T03:04:06Z","cpu_metrics":{{"user_seconds":1.5,"system_seconds":0.25,"percent":12.34}},
        "memory_metrics":{{"rss_bytes":33554432}}}}]}}"#
    );
    let history = r#"{"offset":0,"limit":1,"total":10,"history":["2026-01-02T03:04:06Z"]}"#;
    insta::assert_snapshot!(format!(
        "{}\n{}",
        shown(&["proplets", "metrics", PROPLET], &metrics),
        shown(&["proplets", "alive-history", PROPLET, "-l", "1"], history)
    ));
}

#[test]
fn health() {
    let json = |status: &str, broker: bool| {
        format!(
            r#"{{"status":"{status}","version":"0.1.0","commit":"abc","description":"manager service",
            "build_time":"","instance_id":"m1","broker_connected":{broker}}}"#
        )
    };
    let pass = run(&["health"], &[answer(200, &json("pass", true))]).0;
    let fail = run(&["health"], &[answer(503, &json("fail", false))]).0;
    assert_eq!((pass.exit, fail.exit), (Exit::Success, Exit::Failure));
    insta::assert_snapshot!(format!("{}\n{}", pass.transcript(), fail.transcript()));
    for (is_reached, expected) in [(true, " reached"), (false, "not reached")] {
        let field = format!(r#","object_store_reached":{is_reached}}}"#);
        let json = json("warn", true).replace('}', &field);
        let ran = run(&["health"], &[answer(200, &json)]).0;
        let mut lines = ran.out.split(|byte| *byte == b'\n');
        let store = lines.find(|line| line.starts_with(b"object store"));
        assert!(store.is_some_and(|line| line.ends_with(expected.as_bytes())));
    }
}

#[test]
fn output_is_printed_byte_for_byte() {
    let json = r#"{"results":null,"state":3,"stdout_base64":"AP8K","stderr":"note\n"}"#;
    let (ran, _) = run(&["tasks", "results", ID], &[answer(200, json)]);
    assert_eq!(
        (ran.exit, ran.out, ran.err.as_str()),
        (Exit::Success, vec![0, 255, 10], "note\n")
    );
}

#[test]
fn no_guest_writes_on_a_terminal_that_shows_its_output() {
    // `\e]0;t\a`, half a character, and `\e[2J` with a turn of the text.
    let json =
        r#"{"results":null,"state":3,"stdout_base64":"G10wO3QH5pcK","stderr":"\u001b[2J\u202e\n"}"#;
    let task = format!(r#"{{"id":"{ID}","name":"x","state":3}}"#);
    let results = ["tasks", "results", ID];
    let wait = ["tasks", "wait", ID];
    let script = [answer(200, &task), answer(200, json)];
    for ran in [
        run_on_terminal(&results, &script[1..]),
        run_on_terminal(&wait, &script),
    ] {
        let out = String::from_utf8(ran.out).unwrap();
        assert_eq!(out, "\\u{1b}]0;t\\u{7}\\xe6\\x97\n");
        assert_eq!(ran.err, "\\u{1b}[2J\\u{202e}\n");
    }
    // What a function returned, and the rest of a terminal while the output goes to a file.
    let json = r#"{"results":"\u009b2J","state":3}"#;
    let ran = run_on_terminal(&results, &[answer(200, json)]);
    assert_eq!(ran.out, b"\\u{9b}2J\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let json = r#"{"results":"\u009b2J","state":3,"stderr":"\u001b[2J"}"#;
    let to_file = [&results[..], &["--output", path]].concat();
    let ran = run_on_terminal(&to_file, &[answer(200, json)]);
    assert!(ran.err.starts_with("\\u{1b}[2J"), "{}", ran.err);
    assert_eq!(std::fs::read(path).unwrap(), "\u{9b}2J\n".as_bytes());
}

#[test]
fn json_on_a_terminal_moves_nothing_and_is_json() {
    let json = "{\"results\":\"\u{9b}2J\",\"state\":3}";
    let line = ["tasks", "results", ID, "--json"];
    let ran = run_on_terminal(&line, &[answer(200, json)]);
    let shown = "{\n  \"results\": \"\\u009b2J\",\n  \"state\": 3\n}\n";
    assert_eq!(String::from_utf8(ran.out).unwrap(), shown);
    let (ran, _) = run(&line, &[answer(200, json)]);
    assert_eq!(ran.out, shown.replace("\\u009b", "\u{9b}").as_bytes());
}

#[test]
fn what_a_function_returned_is_a_line() {
    let line = ["tasks", "results", ID];
    let (text, _) = run(&line, &[answer(200, r#"{"results":"3","state":3}"#)]);
    let (object, _) = run(&line, &[answer(200, r#"{"results":{"a":1},"state":3}"#)]);
    assert_eq!(text.out, b"3\n");
    assert_eq!(object.out, b"{\n  \"a\": 1\n}\n");
}

/// Lines of a log: an attempt, both streams with a gap, an end.
const LOG: &str = concat!(
    r#"{"event":"attempt","attempt":1,"proplet_id":"edge-1"}"#,
    "\n\n",
    r#"{"event":"output","stream":"stdout","offset":0,"data_base64":"b25lCg=="}"#,
    "\n",
    r#"{"event":"output","stream":"stderr","offset":7,"data_base64":"b2ggbm8K"}"#,
    "\n",
    r#"{"event":"attempt","attempt":2,"proplet_id":"edge-2"}"#,
    "\n",
    r#"{"event":"output","stream":"stdout","offset":0,"data_base64":"dHdvCg==","new":1}"#,
    "\n",
    r#"{"event":"end","state":4,"exit":"trap","error":"wasm trap: x\n    at f","hint":"look there"}"#,
    "\n",
);

#[test]
fn the_log_of_a_task_that_has_ended() {
    insta::assert_snapshot!(shown(&["tasks", "logs", ID], LOG));
}

#[test]
fn a_log_says_where_an_output_is_that_is_in_the_object_store() {
    let log = concat!(
        r#"{"event":"attempt","attempt":1,"proplet_id":"edge-1"}"#,
        "\n",
        r#"{"event":"output","stream":"stdout","offset":9000000,"data_base64":"","stored":true}"#,
        "\n",
        r#"{"event":"end","state":3}"#,
        "\n",
    );
    let (ran, _) = run(&["tasks", "logs", ID], &[answer(200, log)]);
    assert_eq!((ran.exit, ran.out), (Exit::Success, Vec::new()));
    let place = "are in the object store: get all of it with: propeller-cli tasks results";
    let expected = format!("9000000 bytes of standard output {place} {ID}\n");
    assert_eq!(ran.err, expected);
}

#[test]
fn the_log_of_a_task_that_fails_while_it_is_followed() {
    let (ran, requests) = run(&["tasks", "logs", ID, "-f"], &[answer(200, LOG)]);
    insta::assert_snapshot!(ran.transcript());
    assert_eq!(requests, [format!("GET /tasks/{ID}/logs?follow=true")]);
}

#[test]
fn the_log_as_json_is_the_managers_own_lines_of_one_stream_if_one_is_wanted() {
    let args = ["tasks", "logs", ID, "--json", "--stream", "stdout"];
    insta::assert_snapshot!(shown(&args, LOG));
}

#[test]
fn a_log_that_is_cut_off_is_no_success() {
    let cut = LOG.split_inclusive('\n').take(3).collect::<String>();
    insta::assert_snapshot!(shown(&["tasks", "logs", ID], &cut));
}

#[test]
fn a_follower_says_where_it_was_when_the_connection_breaks() {
    let mut lines = LOG.split_inclusive('\n');
    let before: String = lines.by_ref().take(4).collect();
    let after = format!(
        "{}{}",
        LOG.lines().next().unwrap_or_default().to_owned() + "\n",
        LOG.lines().last().unwrap_or_default().to_owned() + "\n",
    );
    let script = [
        answer(200, &before),
        crate::support::Act::HangUp,
        answer(200, &after),
    ];
    let (ran, requests) = run(&["tasks", "logs", ID, "-f", "--stream", "stdout"], &script);
    assert_eq!(ran.exit, Exit::Success);
    assert_eq!(ran.out, b"one\n");
    let place = "attempt=1&stdout=4&stderr=13";
    let again = format!("GET /tasks/{ID}/logs?follow=true&{place}");
    assert_eq!(requests[1..], [again.clone(), again]);
}
