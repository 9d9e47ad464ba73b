//! The program as people type it.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use propeller_api::Task;
use propeller_sdk::{Client, Page};

use crate::processes::Process;
use crate::support::{World, client, endless, guest_path, ready, state, until, wat};

fn propeller(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_propeller"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn run(guest: &str, args: &[&str]) -> (i32, String, String) {
    let path = guest_path(guest).display().to_string();
    let mut all = vec!["run", &path];
    all.extend_from_slice(args);
    let output = propeller(&all);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn the_demo_holds_every_claim_and_says_so_in_json() {
    let output = propeller(&["demo", "--json"]);
    let story: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{story:#}");
    assert_eq!(story["ok"], true);
    assert_eq!(story["encrypted"]["broker"]["hits"], 0);
    assert!(story["plain"]["broker"]["hits"].as_u64().unwrap() > 0);
    assert_eq!(story["claims"].as_array().unwrap().len(), 6);
    let text = propeller(&["demo"]);
    assert!(
        String::from_utf8(text.stdout)
            .unwrap()
            .contains("Every claim held.")
    );
}

#[test]
fn run_prints_only_the_result_and_ends_with_the_guests_code() {
    let (code, out, err) = run("add.wasm", &["--invoke", "add", "--", "2", "40"]);
    assert_eq!((code, out.as_str()), (0, "42\n"), "{err}");
    let (code, out, _) = run("hello.wasm", &["--env", "GREETING=Hi", "--", "Ada"]);
    assert_eq!((code, out.as_str()), (0, "Hi from Propeller, Ada!\n"));
    let greet = ["--invoke", "greet", "--", r#""Ada""#];
    let (code, out, err) = run("greet.wasm", &greet);
    assert_eq!((code, out.as_str()), (0, "\"Hello, Ada!\"\n"), "{err}");
    let words = guest_path("testdata/words.txt").display().to_string();
    let (code, out, _) = run("wordcount.wasm", &["--stdin", &words]);
    assert_eq!((code, out.as_str()), (0, "11 84 477\n"));
    let (code, out, err) = run("wordcount.wasm", &["--", "--nope"]);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
}

#[test]
fn run_keeps_125_to_127_for_what_is_not_the_guests() {
    let (code, _, err) = run("nothing.wasm", &[]);
    assert_eq!(code, 127, "{err}");
    let (code, _, err) = run("README.md", &[]);
    assert_eq!(code, 126, "{err}");
    assert!(err.contains("README.md is no WebAssembly module"), "{err}");
    let (code, _, err) = run("add.wasm", &["--invoke", "sub"]);
    assert_eq!(code, 126, "{err}");
    let (code, _, err) = run("hello.wasm", &["--manager", "http://127.0.0.1:1"]);
    assert_eq!(code, 125, "{err}");
}

#[test]
fn run_says_an_exit_code_that_it_cannot_end_with() {
    let exits = |code: i32| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const {code}))))"#
        )
    };
    let scratch = propeller::stack::Scratch::new().unwrap();
    let path = scratch.path("exits.wasm").display().to_string();
    std::fs::write(&path, wat(&exits(300))).unwrap();
    let (code, _, err) = run(&path, &[]);
    assert_eq!(code, 126, "{err}");
    assert!(err.contains("error: exit code 300, "), "{err}");
    std::fs::write(&path, wat(&exits(255))).unwrap();
    let (code, _, err) = run(&path, &[]);
    assert_eq!(code, 255, "{err}");
    assert!(!err.contains("error"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_goes_to_a_manager_that_is_named_and_to_no_other() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("named");
    ready(&client(manager.url()), 1).await;
    let add = ["--invoke", "add", "--", "2", "40"];
    for flag in ["-m", "--manager-url", "--manager"] {
        let (code, out, err) = run("add.wasm", &[&[flag, manager.url()], &add[..]].concat());
        assert_eq!((code, out.as_str()), (0, "42\n"), "{err}");
        assert!(err.contains("completed on named"), "{err}");
        assert!(!err.contains("in this process"), "{err}");
    }
    let nobody = "http://127.0.0.1:1";
    let (code, out, err) = run("add.wasm", &[&["-m", nobody], &add[..]].concat());
    assert_eq!((code, out.as_str()), (125, ""), "{err}");
    // It says where the manager is, and not that `run` is to use it.
    let path = guest_path("add.wasm").display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_propeller"))
        .args([&["run", path.as_str()], &add[..]].concat())
        .env("PROPELLER_MANAGER_URL", nobody)
        .env("PROPELLER_TOKEN", "secret")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"42\n");
    let (code, out, err) = run("add.wasm", &[&["--token", "x"], &add[..]].concat());
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("--manager URL"), "{err}");
}

/// The only task of a manager.
async fn task_of(client: &Client) -> Option<Task> {
    let page = Page {
        offset: 0,
        limit: 10,
    };
    let list = client.task_list(page, &BTreeMap::new()).await.unwrap();
    list.into_value().tasks.pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_interrupted_stops_its_task_elsewhere() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("named");
    let client = client(manager.url());
    ready(&client, 1).await;
    let folder = world.scratch.path("cwd");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("main.wasm"), endless()).unwrap();
    let args = ["run", "-m", manager.url(), "main.wasm", "--timeout", "1h"];
    let args = [&args[..], &["--fuel", "1000000000000"]].concat();
    let mut run = Process::start(&folder, &args, &[]);
    until("it runs", async || {
        let task = task_of(&client).await;
        task.is_some_and(|task| state(&task) == "running")
    })
    .await;
    assert_eq!(run.interrupt(), Some(130));
    let task = task_of(&client).await.unwrap();
    assert_eq!(state(&task), "interrupted");
    run.expect(&["task", &task.id, "is stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_to_be_started_is_also_when_nobody_reads_that() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let file = guest_path("add.wasm").display().to_string();
    let args = ["tasks", "create", "add", "--file", &file, "--invoke", "add"];
    let mut create = Command::new(env!("CARGO_BIN_EXE_propeller"));
    create.args(args).args(["--inputs", "2,40", "--start"]);
    create.args(["-m", manager.url()]).stdout(writer);
    assert_eq!(create.status().unwrap().code(), Some(0));
    let task = task_of(&client).await.unwrap();
    let task = client.task_wait(&task.id, None).await.unwrap();
    assert_eq!(state(&task), "completed", "{}", task.error);
}

#[test]
fn what_cannot_be_printed_is_no_panic() {
    for args in [&["demo"][..], &["manager", "config", "show"]] {
        let run = |stdout: Stdio| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_propeller"));
            program.args(args).env_clear().stdout(stdout);
            let output = program.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            (output.status.code(), said)
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(writer.into()).0, Some(0), "{args:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let (code, said) = run(full.unwrap().into());
        assert_eq!(code, Some(1), "{args:?}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}

#[test]
fn config_show_says_where_a_value_comes_from_and_hides_secrets() {
    let secret = "aa11".repeat(16);
    let output = Command::new(env!("CARGO_BIN_EXE_propeller"))
        .args(["manager", "config", "show"])
        .env("MANAGER_WORKLOAD_KEY", &secret)
        .env("MANAGER_HTTP_PORT", "7171")
        .env("MANAGER_TENANT_ID", "acme")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(!text.contains(&secret));
    for (key, rest) in [
        ("workload_key ", "(secret)  # environment"),
        ("http_port ", "\"7171\"  # environment"),
        ("domain_id ", "\"acme\"  # environment"),
        ("lease ", "\"30s\"  # default"),
    ] {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line.ends_with(rest), "{line}");
    }
}
