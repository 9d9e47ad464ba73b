//! Real processes, killed for real.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use propeller_api::TaskRequest;

use crate::support::{World, client, guest, ready, request, skipped, state, until, wait};

/// A process that dies with its test, and what it logs.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    /// The proplet `locked`, whose guests have processes of their own, with `more` settings, and what
    /// it says of what holds them. Nothing where the machine lacks that, which is noted.
    pub(crate) fn locked_proplet(world: &World, more: &[(&str, &str)]) -> Option<(Self, String)> {
        let broker = format!("tcp://{}", world.address);
        let key = world.key.to_hex();
        let mut env = vec![
            ("PROPLET_MQTT_ADDRESS", broker.as_str()),
            ("PROPLET_WORKLOAD_KEY", key.as_str()),
            ("PROPLET_ID", "locked"),
            ("PROPLET_DATA_DIR", "locked"),
            ("PROPLET_ISOLATION", "process"),
        ];
        env.extend(more);
        let mut proplet = Self::start(&world.scratch.path("cwd"), &["proplet"], &env);
        let line = proplet.expect(&["isolat"]);
        if line.contains("needs what this machine does not have") {
            skipped(&line);
            return None;
        }
        Some((proplet, line))
    }

    pub(crate) fn start(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_propeller"))
            .args(args)
            .env_clear()
            .envs(env.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let streams: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines() {
                    if line.is_ok_and(|line| sender.send(line).is_err()) {
                        return;
                    }
                }
            });
        }
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line with all of these texts.
    pub(crate) fn expect(&mut self, texts: &[&str]) -> String {
        let has = |line: &String| texts.iter().all(|text| line.contains(text));
        if let Some(line) = self.seen.iter().find(|line| has(line)) {
            return line.clone();
        }
        let begun = std::time::Instant::now();
        loop {
            let left = Duration::from_secs(30).saturating_sub(begun.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if has(&line) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with {texts:?} in:\n{}", self.seen.join("\n")),
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGINT, as by Ctrl-C; the exit code.
    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status().unwrap();
        self.child.wait().unwrap().code()
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_killed_at_any_moment_has_lost_nothing_it_acknowledged() {
    let world = World::new().await;
    let port = free_port().to_string();
    let broker = format!("tcp://{}", world.address);
    let data = world.scratch.path("manager").display().to_string();
    let key = world.key.to_hex();
    let env = [
        ("MANAGER_HTTP_PORT", port.as_str()),
        ("MANAGER_MQTT_ADDRESS", broker.as_str()),
        ("MANAGER_DATA_DIR", data.as_str()),
        ("MANAGER_WORKLOAD_KEY", key.as_str()),
        ("MANAGER_LEASE", "2s"),
    ];
    let folder = world.scratch.path("cwd");
    let url = format!("http://127.0.0.1:{port}");
    let _proplet = world.proplet("p1");
    let mut acknowledged = Vec::new();
    for round in 0..4_u64 {
        let mut manager = Process::start(&folder, &["manager"], &env);
        manager.expect(&["manager ready"]);
        let client = client(&url);
        let mut submitters = tokio::task::JoinSet::new();
        for number in 0..8 {
            let client = client.clone();
            submitters.spawn(async move {
                let mut ids = Vec::new();
                for count in 0..1000 {
                    let add = TaskRequest {
                        invoke: Some("add".to_owned()),
                        inputs: Some(vec![number.to_string(), count.to_string()]),
                        ..request("sum", &guest("add.wasm"))
                    };
                    match client.task_create(&add, true).await {
                        Ok(task) => ids.push((task.id.clone(), number + count)),
                        Err(_) => break,
                    }
                }
                ids
            });
        }
        tokio::time::sleep(Duration::from_millis(150 + 70 * round)).await;
        manager.kill();
        while let Some(ids) = submitters.join_next().await {
            acknowledged.extend(ids.unwrap());
        }
    }
    let mut manager = Process::start(&folder, &["manager"], &env);
    manager.expect(&["manager ready"]);
    let client = client(&url);
    assert!(
        acknowledged.len() > 20,
        "only {} tasks were accepted",
        acknowledged.len()
    );
    for (id, sum) in acknowledged {
        let task = wait(&client, &id).await;
        assert_eq!(state(&task), "completed", "{id}: {}", task.error);
        assert_eq!(task.results, sum.to_string(), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_makes_its_key_once_stops_cleanly_and_resumes() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let folder = world.scratch.path("up");
    let (port, mqtt) = (
        free_port().to_string(),
        format!("127.0.0.1:{}", free_port()),
    );
    let broker = format!("tcp://{mqtt}");
    let env = [
        ("MANAGER_HTTP_PORT", port.as_str()),
        ("MANAGER_MQTT_ADDRESS", broker.as_str()),
        ("PROPLET_MQTT_ADDRESS", broker.as_str()),
        ("BROKER_LISTEN", mqtt.as_str()),
    ];
    let client = client(&format!("http://127.0.0.1:{port}"));
    let mut keys = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..2 {
        let mut up = Process::start(&folder, &["up"], &env);
        up.expect(&["Propeller is up"]);
        ready(&client, 1).await;
        for id in &ids {
            assert_eq!(state(&client.task_view(id).await.unwrap()), "completed");
        }
        let task = crate::support::run(&client, &request("hello", &guest("hello.wasm"))).await;
        assert_eq!(state(&task), "completed", "{}", task.error);
        ids.push(task.id);
        let key = folder.join("propeller-data/workload.key");
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        keys.push(std::fs::read_to_string(key).unwrap());
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", up.id())).unwrap();
        let core = limits
            .lines()
            .find(|line| line.contains("core file"))
            .unwrap();
        assert!(core.contains(" 0 "), "core dumps are on: {core}");
        assert_eq!(up.terminate(), Some(0));
    }
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_key_stops_a_service_before_it_starts_and_is_not_repeated() {
    let world = World::new().await;
    let folder = world.scratch.path("cwd");
    let bad = "deadbeef-not-a-key";
    for (service, variable) in [
        ("manager", "MANAGER_WORKLOAD_KEY"),
        ("proplet", "PROPLET_WORKLOAD_KEY"),
    ] {
        let mut process = Process::start(&folder, &[service], &[(variable, bad)]);
        let line = process.expect(&["error", variable, "64 hexadecimal digits"]);
        assert!(!line.contains(bad));
        let mut process = Process::start(&folder, &[service], &[]);
        process.expect(&["error", variable, "not set"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_of_the_seed_word_for_word() {
    let world = World::new().await;
    let manager = world.manager().await;
    let broker = format!("tcp://{}", world.address);
    let key = world.key.to_hex();
    let other = propeller_envelope::WorkloadKey::generate()
        .unwrap()
        .to_hex();
    let folder = world.scratch.path("cwd");
    let wasm = crate::support::guest_path("hello.wasm")
        .display()
        .to_string();
    let client = client(manager.url());
    for (key, id) in [(key, "right"), (other, "wrong")] {
        let env = [
            ("PROPLET_MQTT_ADDRESS", broker.as_str()),
            ("PROPLET_WORKLOAD_KEY", key.as_str()),
            ("PROPLET_ID", id),
            ("PROPLET_DATA_DIR", id),
        ];
        let mut proplet = Process::start(&folder, &["proplet"], &env);
        until("the proplet is there", async || {
            client.proplet_view(id).await.is_ok_and(|p| p.alive)
        })
        .await;
        let cli = |args: &[&str]| {
            let mut all = vec!["-m", manager.url(), "--json"];
            all.extend_from_slice(args);
            let output = Command::new(env!("CARGO_BIN_EXE_propeller"))
                .args(all)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        let created = cli(&["tasks", "create", "my-secure-task", "--file", &wasm]);
        let created: serde_json::Value = serde_json::from_str(&created).unwrap();
        let task = created["id"].as_str().unwrap().to_owned();
        cli(&["tasks", "start", &task]);
        let ended = wait(&client, &task).await;
        if id == "right" {
            proplet.expect(&["INFO", "Received start command", "app_name=hello.wasm"]);
            proplet.expect(&["INFO", "Finished running app", &format!("id={task}")]);
            assert_eq!(state(&ended), "completed");
            proplet.terminate();
            until("it has left", async || {
                !client.proplet_view(id).await.unwrap().alive
            })
            .await;
        } else {
            proplet.expect(&[
                "ERROR",
                "Failed to decrypt workload",
                r#"error="cipher: message authentication failed""#,
            ]);
            assert_eq!(state(&ended), "failed");
            assert!(
                ended
                    .error
                    .contains("cipher: message authentication failed")
            );
            assert!(ended.attempts.iter().all(|attempt| attempt.usage.is_none()));
        }
    }
}
