//! What tasks print, on its way: over other brokers, a hostile one, locked processes, and restarts.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use propeller::demo::tap::Tap;
use propeller_api::{ExitKind, TaskRequest};
use propeller_model::PropletId;
use propeller_proplet::Proplet;
use propeller_sandbox::{Allocator, EngineConfig, WasmtimeRuntime};
use propeller_sdk::ClientError;
use propeller_wire::link::Listen;
use propeller_wire::memory::{Faults, Hub};

use crate::broker::{mosquitto, restart_mosquitto};
use crate::logs::{Act, HOUR_MS, Heard, all, begin, guest, patient};
use crate::processes::{Process, free_port};
use crate::support::{World, client, ready, request, run, setup, skipped, under_way};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_log_can_be_read_on_the_broker() {
    const CANARY: &str = "canary-of-the-log-3f9a17c2";
    let mut world = World::new().await;
    let tap = Tap::start(world.address).await.unwrap();
    world.address = tap.address();
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let acts = [Act::Out(CANARY), Act::Err(CANARY), Act::WaitMs(HOUR_MS)];
    let id = begin(&client, &patient("talk", &acts)).await;
    let mut logs = client.task_logs(&id, true).await.unwrap();
    let mut heard = Heard::default();
    let both = [CANARY.to_owned(), CANARY.to_owned()];
    heard.until(&mut logs, |heard| heard.text() == both).await;
    let seen = tap.search(&[CANARY.as_bytes()]);
    assert!(seen.bytes > 1000, "the tap saw nothing");
    assert_eq!(seen.hits, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_after_a_restart_of_mosquitto() {
    setup();
    let scratch = propeller::stack::Scratch::new().unwrap();
    let Some((broker, address)) = mosquitto(&scratch.path("m")) else {
        return skipped("mosquitto is not installed");
    };
    let world = World::on(address);
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let acts = [
        Act::Out("before\n"),
        Act::WaitMs(1500),
        Act::Out("after\n"),
        Act::WaitMs(HOUR_MS),
    ];
    let id = begin(&client, &patient("talk", &acts)).await;
    let mut logs = client.task_logs(&id, true).await.unwrap();
    let mut heard = Heard::default();
    heard
        .until(&mut logs, |heard| heard.text()[0] == "before\n")
        .await;
    drop(broker);
    let _again = restart_mosquitto(&scratch.path("m"));
    heard
        .until(&mut logs, |heard| heard.text()[0].ends_with("after\n"))
        .await;
    // Whether the attempt outlived the broker or there was a second one: nothing is missing.
    assert_eq!(heard.text()[0], "before\nafter\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_broker_can_delay_a_log_and_not_change_it() {
    setup();
    let engine = EngineConfig {
        stack_bytes_max: 1024 * 1024,
        module_bytes_max: 16 * 1024 * 1024,
        compile_max: Duration::from_secs(60),
        compile_memory_bytes_max: 4 << 30,
        cache_bytes_max: 64 * 1024 * 1024,
        cache_entries_max: 64,
        cache_ttl: Duration::from_secs(3600),
        threads: 2,
        allocator: Allocator::OnDemand,
    };
    let runtime = Arc::new(WasmtimeRuntime::new(engine).unwrap());
    for seed in 0..3 {
        let world = World::new().await;
        let faults = Faults {
            drop_percent: 8,
            repeat_percent: 10,
            delay_percent: 10,
            replay_percent: 10,
            flip_percent: 4,
        };
        let hub = Hub::new(seed, faults);
        let config = world.manager_part().with("attempts_max", "20");
        let (link, carry) = hub.connect(Listen::AsManager);
        let manager =
            propeller_manager::Manager::start_on(config.manager_config().unwrap(), link, carry);
        let manager = manager.await.unwrap();
        let id: PropletId = "p1".parse().unwrap();
        let part = world.part("p1").with("liveliness_interval", "100ms");
        let config = part.proplet_config("p1").unwrap();
        let (link, carry) = hub.connect(Listen::AsProplet(id.clone()));
        let runtime = Arc::clone(&runtime);
        let _proplet = Proplet::start_on(config, id, runtime, link, carry).unwrap();
        let client = client(manager.url());
        let acts = [Act::Count(20_000), Act::WaitMs(HOUR_MS)];
        let task = begin(&client, &patient("talk", &acts)).await;
        let mut logs = client.task_logs(&task, true).await.unwrap();
        let mut heard = Heard::default();
        let lines: String = (0..20_000).map(|n| format!("{n:09}\n")).collect();
        let len = lines.len();
        heard
            .until(&mut logs, |heard| heard.streams[0].len() >= len)
            .await;
        assert!(heard.text()[0] == lines, "seed {seed}");
        assert_eq!(heard.missing, [0, 0], "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_in_locked_processes_are_watched_too_and_name_their_functions() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let Some((_proplet, _)) = Process::locked_proplet(&world, &[]) else {
        return;
    };
    ready(&client, 1).await;
    let acts = [Act::Out("one\n"), Act::Err("oh\n"), Act::WaitMs(HOUR_MS)];
    let id = begin(&client, &patient("talk", &acts)).await;
    let mut logs = client.task_logs(&id, true).await.unwrap();
    let mut heard = Heard::default();
    let both = ["one\n".to_owned(), "oh\n".to_owned()];
    heard.until(&mut logs, |heard| heard.text() == both).await;
    client.task_stop(&id).await.unwrap();
    let task = run(&client, &request("trap", &guest(&[Act::Trap]))).await;
    assert_eq!(task.exit, Some(ExitKind::Trap));
    let names = ["unreachable", "at inner", "at outer"];
    assert!(
        names.iter().all(|name| task.error.contains(name)),
        "{}",
        task.error
    );
    assert!(task.hint.contains("panic"), "{}", task.hint);
    let chatty = TaskRequest {
        daemon: Some(true),
        ..request("daemon", &guest(&[Act::Count(300_000), Act::Trap]))
    };
    let task = run(&client, &chatty).await;
    assert_eq!(task.exit, Some(ExitKind::Trap), "{}", task.error);
    let ended = all(&client, &task.id, false).await;
    assert_eq!(ended.missing[0] + ended.streams[0].len() as u64, 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_where_it_was_after_a_restart_of_the_manager() {
    let world = World::new().await;
    let broker = format!("tcp://{}", world.address);
    let key = world.key.to_hex();
    let port = free_port().to_string();
    let env = [
        ("MANAGER_MQTT_ADDRESS", broker.as_str()),
        ("MANAGER_WORKLOAD_KEY", key.as_str()),
        ("MANAGER_HTTP_PORT", port.as_str()),
        ("MANAGER_DATA_DIR", "manager"),
    ];
    let cwd = world.scratch.path("cwd");
    let mut manager = Process::start(&cwd, &["manager"], &env);
    manager.expect(&["manager ready"]);
    let _proplet = world.proplet("p1");
    let client = client(&format!("http://127.0.0.1:{port}"));
    ready(&client, 1).await;
    let acts = [
        Act::Out("before\n"),
        Act::WaitMs(1500),
        Act::Out("after\n"),
        Act::WaitMs(HOUR_MS),
    ];
    let id = begin(&client, &patient("talk", &acts)).await;
    under_way(&client, &id).await;
    let mut logs = client.task_logs(&id, true).await.unwrap();
    let mut heard = Heard::default();
    heard
        .until(&mut logs, |heard| heard.text()[0] == "before\n")
        .await;
    manager.kill();
    let mut manager = Process::start(&cwd, &["manager"], &env);
    manager.expect(&["manager ready"]);
    heard
        .until(&mut logs, |heard| heard.text()[0].ends_with("after\n"))
        .await;
    assert_eq!(heard.text()[0], "before\nafter\n");
    assert_eq!(heard.attempts.len(), 1, "the attempt went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_proplet_has_no_log_of_what_runs() {
    let world = World::new().await;
    let part = world
        .manager_part()
        .with("allow_plaintext_proplets", "true");
    let manager = part.manager().await.unwrap();
    let plain = world.part("plain").with("plaintext", "true");
    let plain = plain.with("liveliness_interval", "300ms");
    let _plain = plain.proplet("plain").unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let waiting = request("talk", &guest(&[Act::Out("one\n"), Act::WaitMs(HOUR_MS)]));
    let id = begin(&client, &waiting).await;
    let mut why = String::new();
    crate::support::until("the proplet has it", async || {
        match client.task_logs(&id, true).await {
            Err(ClientError::Refused { status, problem }) => {
                assert_eq!(status, 409);
                why.clone_from(&problem.detail);
                true
            }
            _ => false,
        }
    })
    .await;
    assert!(why.contains("plain speaks plain Propeller"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_puts_each_stream_where_it_belongs_and_ends_with_ctrl_c() {
    let world = World::new().await;
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let said = [Act::Out("out\u{1b}[2J\n"), Act::Err("err\n")];
    let ended = run(&client, &request("talk", &guest(&said))).await;
    let waiting = [Act::Out("out\n"), Act::Err("err\n"), Act::WaitMs(HOUR_MS)];
    let running = begin(&client, &patient("talk", &waiting)).await;
    let url = manager.url().to_owned();
    let cwd = world.scratch.path("cwd");
    let looked = tokio::task::spawn_blocking(move || {
        let command = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_propeller"));
            command
                .args(["--manager-url", &url, "tasks", "logs"])
                .args(args);
            command.env_clear().stdin(Stdio::null());
            command.output().unwrap()
        };
        let both = command(&[&ended.id]);
        assert_eq!(both.status.code(), Some(0));
        // Into a pipe it is byte for byte.
        assert_eq!(both.stdout, b"out\x1b[2J\n");
        assert_eq!(both.stderr, b"err\n");
        let one = command(&[&ended.id, "--stream", "stderr"]);
        assert_eq!((one.stdout, one.stderr), (Vec::new(), b"err\n".to_vec()));
        let json = String::from_utf8(command(&[&ended.id, "--json"]).stdout).unwrap();
        let events: Vec<serde_json::Value> = json
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events.first().unwrap()["event"], "attempt");
        assert_eq!(events.last().unwrap()["exit"], "exited");
        let args = ["--manager-url", &url, "tasks", "logs", "-f", &running];
        let mut follower = Process::start(&cwd, &args, &[]);
        follower.expect(&["out"]);
        follower.expect(&["err"]);
        assert_eq!(follower.interrupt(), Some(130));
    });
    looked.await.unwrap();
}
