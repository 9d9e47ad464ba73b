//! What an operator does while everything runs.

use std::path::Path;

use propeller_envelope::WorkloadKey;

use crate::processes::{Process, free_port};
use crate::support::{
    World, client, endless, guest, guest_path, ready, request, run, state, until,
};

/// One part that reads its keys from `.env` in a folder of its own.
struct Part {
    prefix: &'static str,
    folder: std::path::PathBuf,
    process: Process,
}

impl Part {
    fn start(world: &World, prefix: &'static str, keys: [&str; 2], more: &[(&str, &str)]) -> Self {
        let verb = prefix.to_lowercase();
        let folder = world.scratch.path(&verb);
        std::fs::create_dir_all(&folder).unwrap();
        write_keys(prefix, &folder, keys);
        let broker = format!("tcp://{}", world.address);
        let address = format!("{prefix}_MQTT_ADDRESS");
        let mut env = vec![(address.as_str(), broker.as_str())];
        env.extend_from_slice(more);
        Self {
            prefix,
            process: Process::start(&folder, &[&verb], &env),
            folder,
        }
    }

    /// Other keys, without a restart.
    fn rekey(&mut self, keys: [&str; 2]) {
        write_keys(self.prefix, &self.folder, keys);
        self.process.hang_up();
    }
}

fn write_keys(prefix: &str, folder: &Path, [seals, opens]: [&str; 2]) {
    let text = format!("{prefix}_WORKLOAD_KEY={seals}\n{prefix}_WORKLOAD_KEYS_OPEN={opens}\n");
    std::fs::write(folder.join(".env"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_a_guest_runs_and_nothing_restarts() {
    let world = World::new().await;
    let next = WorkloadKey::generate().unwrap();
    let (old, new) = (world.key.to_hex(), next.to_hex());
    let (old, new) = (old.as_str(), new.as_str());
    let port = free_port().to_string();
    let more = [("MANAGER_HTTP_PORT", port.as_str())];
    let mut manager = Part::start(&world, "MANAGER", [old, ""], &more);
    manager.process.expect(&["manager ready"]);
    let limits = [
        ("PROPLET_ID", "p1"),
        ("PROPLET_MAX_FUEL", "18446744073709551615"),
    ];
    let mut proplet = Part::start(&world, "PROPLET", [old, ""], &limits);
    let client = client(&format!("http://127.0.0.1:{port}"));
    ready(&client, 1).await;
    let mut spin = request("spin", &endless());
    spin.limits = Some(propeller_api::Limits {
        fuel: Some(u64::MAX),
        ..propeller_api::Limits::default()
    });
    let long = client.task_create(&spin, true).await.unwrap().id.clone();
    let steps = [
        ([old, new], world.key.id(), "both open both"),
        ([new, old], next.id(), "the next key seals"),
        ([new, ""], next.id(), "the old key is gone"),
    ];
    for (keys, seals, step) in steps {
        let opens = match keys[1] {
            "" => seals.to_string(),
            _ if seals == next.id() => format!("{seals},{}", world.key.id()),
            _ => format!("{seals},{}", next.id()),
        };
        for part in [&mut manager, &mut proplet] {
            part.rekey(keys);
            let line = ["workload keys read again", &format!("opens={opens}")];
            part.process.expect(&line);
        }
        let hello = run(&client, &request("hello", &guest("hello.wasm"))).await;
        assert_eq!(state(&hello), "completed", "{step}: {}", hello.error);
    }
    let mistake = ["not a key", ""];
    for part in [&mut manager, &mut proplet] {
        part.rekey(mistake);
        part.process
            .expect(&["ERROR", "workload keys not changed", "WORKLOAD_KEY"]);
    }
    let hello = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&hello), "completed", "{}", hello.error);
    // A finished task's input is read for the list only; this one never lost its attempt.
    client.task_stop(&long).await.unwrap();
    let stopped = client.task_view(&long).await;
    assert!(stopped.is_err(), "its input was sealed with the old key");
    manager.rekey([new, old]);
    let line = format!("opens={},{}", next.id(), world.key.id());
    manager.process.expect(&["workload keys read again", &line]);
    until("it can be read again", async || {
        client.task_view(&long).await.is_ok()
    })
    .await;
    let stopped = client.task_view(&long).await.unwrap();
    assert_eq!(
        (state(&stopped), stopped.attempts.len()),
        ("interrupted", 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_caller_into_both_logs() {
    let world = World::new().await;
    let key = world.key.to_hex();
    let port = free_port().to_string();
    let more = [("MANAGER_HTTP_PORT", port.as_str())];
    let mut manager = Part::start(&world, "MANAGER", [&key, ""], &more);
    manager.process.expect(&["manager ready"]);
    let mut proplet = Part::start(&world, "PROPLET", [&key, ""], &[]);
    let url = format!("http://127.0.0.1:{port}");
    let client = client(&url);
    ready(&client, 1).await;
    let cli = |args: &[&str], trace: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_propeller"))
            .args(["-m", &url, "--json"])
            .args(args)
            .env("TRACEPARENT", trace)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let file = guest_path("hello.wasm").display().to_string();
    let create = ["tasks", "create", "hello", "--file", &file];
    let first = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let task = cli(&create, first);
    assert_eq!(task["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    let id = task["id"].as_str().unwrap();
    cli(&["tasks", "start", id], "what is no trace counts as none");
    let both = |trace: &str| (format!("trace={trace}"), format!("={id}"));
    let (trace, task) = both("4bf92f3577b34da6a3ce929d0e0e4736");
    for leg in ["submitted", "assigned", "done"] {
        manager.process.expect(&[leg, &trace, &task]);
    }
    for line in ["Received start command", "Finished running app"] {
        proplet.process.expect(&[line, &trace, &task]);
    }
    // Another run, another trace.
    let second = "00-11111111111111111111111111111111-2222222222222222-00";
    cli(&["tasks", "start", id], second);
    let (trace, task) = both("11111111111111111111111111111111");
    manager.process.expect(&["done", &trace, &task]);
    proplet
        .process
        .expect(&["Finished running app", &trace, &task]);
    // Without a caller's trace, the task's id is the trace's.
    let own = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(own.trace_id, own.id.replace('-', ""));
}
