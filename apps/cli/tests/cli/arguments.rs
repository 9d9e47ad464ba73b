//! What the command line takes, and what it does not take.

use clap::Parser;
use propeller_cli::{Cli, Exit};

use crate::support::{answer, run, run_at};

const TASK: &str = r#"{"id":"7","name":"add","state":0}"#;

/// Creates a task with these flags and shows the JSON that the manager gets.
fn sent(flags: &[&str]) -> String {
    let line = [&["tasks", "create", "add"], flags].concat();
    let (ran, mut requests) = run(&line, &[answer(201, TASK)]);
    assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
    let request = requests.remove(0);
    request
        .strip_prefix("POST /tasks ")
        .expect("it is a creation")
        .to_owned()
}

/// The first line of what a command line that makes no sense gets told.
fn refused(line: &[&str]) -> String {
    let line = [&["propeller-cli"], line].concat();
    let error = Cli::try_parse_from(line).expect_err("it makes no sense");
    assert_eq!(error.exit_code(), 2);
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn what_is_not_said_is_not_sent() {
    assert_eq!(sent(&[]), r#"{"name":"add"}"#);
}

#[test]
fn lists_are_separated_by_commas_and_repeated() {
    assert_eq!(
        sent(&[
            "--inputs",
            "1,-2",
            "--inputs",
            "3",
            "--cli-args",
            "--invoke,add"
        ]),
        r#"{"name":"add","cli_args":["--invoke","add"],"inputs":["1","-2","3"]}"#
    );
    assert_eq!(
        sent(&["--cli-args=--invoke,add"]),
        r#"{"name":"add","cli_args":["--invoke","add"]}"#
    );
}

#[test]
fn an_argument_of_its_own_keeps_its_commas() {
    assert_eq!(
        sent(&["--arg", "[1,2,3]", "--arg", r#""a,b""#, "--arg", "-1"]),
        r#"{"name":"add","inputs":["[1,2,3]","\"a,b\"","-1"]}"#
    );
    assert_eq!(sent(&["--arg="]), r#"{"name":"add","inputs":[""]}"#);
    let both = ["tasks", "create", "add", "--inputs", "1", "--arg", "2"];
    assert_eq!(
        refused(&both),
        "error: the argument '--inputs <ARG,ARG>' cannot be used with '--arg <VALUE>'"
    );
}

#[test]
fn values_may_contain_commas_and_equal_signs() {
    assert_eq!(
        sent(&[
            "--env",
            "A=1,2",
            "--env",
            "B=c=d",
            "--env",
            "EMPTY=",
            "--metadata",
            "team=x"
        ]),
        r#"{"name":"add","env":{"A":"1,2","B":"c=d","EMPTY":""},"metadata":{"team":"x"}}"#
    );
}

#[test]
fn limits_have_units() {
    assert_eq!(
        sent(&[
            "--memory",
            "64MiB",
            "--fuel",
            "9",
            "--timeout",
            "10s",
            "--output-limit",
            "1KiB"
        ]),
        r#"{"name":"add","limits":{"memory_bytes":67108864,"fuel":9,"wall_ms":10000,"output_bytes":1024}}"#
    );
}

#[test]
fn the_rest_is_passed_on_as_it_is() {
    let flags = [
        "--invoke",
        "run",
        "--proplet-id",
        "edge-1",
        "--priority",
        "-1",
        "--daemon",
    ];
    assert_eq!(
        sent(&[&flags[..], &["--latent=false", "--schedule", "* * * * *"]].concat()),
        r#"{"name":"add","proplet_id":"edge-1","priority":-1,"invoke":"run","daemon":true,"latent":false,"schedule":"* * * * *"}"#
    );
}

#[test]
fn standard_input_comes_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [0, 255]).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(sent(&["--stdin", path]), r#"{"name":"add","stdin":"AP8="}"#);
}

#[test]
fn nonsense_is_refused_with_the_reason() {
    let create = |flag, value| refused(&["tasks", "create", "add", flag, value]);
    insta::assert_snapshot!(
        [
            create("--env", "A"),
            create("--metadata", "=1"),
            create("--memory", "64MB"),
            create("--timeout", "soon"),
            create("--fuel", "-1"),
            refused(&["tasks", "list", "--limit", "ten"]),
            refused(&["proplets", "list", "--status", "tired"]),
            refused(&["tasks", "delete"]),
            refused(&["-v=perhaps", "health"]),
            refused(&["tasks", "invoke", "7"]),
        ]
        .join("\n")
    );
}

#[test]
fn a_bare_v_takes_no_value_and_verification_can_be_turned_off() {
    let verifies = |line: &[&str]| {
        let line = [&["propeller-cli"], line].concat();
        Cli::try_parse_from(line)
            .unwrap()
            .connection
            .tls_verification
    };
    assert!(verifies(&["health"]));
    assert!(verifies(&["-v", "health"]));
    assert!(verifies(&["health", "--tls-verification"]));
    assert!(!verifies(&["-v=false", "health"]));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let line = ["propeller-cli", "--token", "s3cret", "health"];
    let cli = Cli::try_parse_from(line).unwrap();
    assert!(!format!("{cli:?}").contains("s3cret"));
}

#[test]
fn a_token_file_wins_over_a_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let health = r#"{"status":"pass","version":"1","commit":"","description":"","build_time":"","instance_id":"","broker_connected":true}"#;
    let line = ["--token", "from-flag", "--token-file", path, "health"];
    let (ran, requests) = run(&line, &[answer(200, health)]);
    assert_eq!(
        (ran.exit, requests),
        (
            Exit::Success,
            vec!["GET /health [Bearer from-file]".to_owned()]
        )
    );
}

#[test]
fn what_this_version_does_not_have_is_named() {
    let nobody = "http://127.0.0.1:9";
    let ran = run_at(nobody, &["-a", "http://localhost:8080", "health"]);
    insta::assert_snapshot!(ran.transcript());
}

#[test]
fn completions_need_no_manager() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef"),
        ("fish", "complete -c"),
    ] {
        let ran = run_at("http://127.0.0.1:9", &["completions", shell]);
        assert_eq!(ran.exit, Exit::Success, "{}", ran.err);
        assert!(
            String::from_utf8(ran.out).unwrap().contains(sign),
            "{shell}"
        );
    }
}
