//! The same path over Debian's mosquitto and over a broker that knows only MQTT 3.1.1, and what a
//! hostile broker achieves.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::processes::{Process, free_port};
use crate::support::{World, client, guest, ready, request, run, setup, skipped, state, until};

pub(crate) struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn binary() -> Option<PathBuf> {
    std::env::var_os("PROPELLER_TEST_MOSQUITTO")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from("/usr/sbin/mosquitto")))
        .filter(|path| path.exists())
}

pub(crate) fn mosquitto(folder: &Path) -> Option<(Mosquitto, SocketAddr)> {
    binary()?;
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    std::fs::create_dir_all(folder).unwrap();
    let config = folder.join("mosquitto.conf");
    let text = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\nuser root\n",
        address.port()
    );
    std::fs::write(&config, text).unwrap();
    restart_mosquitto(folder).map(|broker| (broker, address))
}

/// Starts the broker of a folder once more, on its port.
pub(crate) fn restart_mosquitto(folder: &Path) -> Option<Mosquitto> {
    let child = Command::new(binary()?)
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some(Mosquitto(child))
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_over_mosquitto_and_survive_its_restart() {
    setup();
    let scratch = propeller::stack::Scratch::new().unwrap();
    let Some((mosquitto, address)) = mosquitto(&scratch.path("m")) else {
        return skipped("mosquitto is not installed");
    };
    let world = World::on(address);
    let manager = world.manager().await;
    let _proplet = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let hello = request("hello", &guest("hello.wasm"));
    assert_eq!(state(&run(&client, &hello).await), "completed");
    // A module that needs several pieces.
    let thumbnail = request("thumbnail", &guest("thumbnail.wasm"));
    let task = run(&client, &thumbnail).await;
    assert!(task.error.contains("exit code 1"), "{}", task.error);
    drop(mosquitto);
    until("the manager notices", async || {
        !client.health().await.unwrap().broker_connected
    })
    .await;
    let id = client.task_create(&hello, true).await.unwrap().id.clone();
    let _again = restart_mosquitto(&scratch.path("m"));
    let task = crate::support::wait(&client, &id).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
}

/// amqtt, which knows only MQTT 3.1.1.
struct OldBroker(Child);

impl Drop for OldBroker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl OldBroker {
    fn start(python: &OsStr, address: SocketAddr) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../crates/wire/tests/mqtt/old_broker.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(address.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let broker = Self(child);
        let line = stdout.lines().next();
        assert_eq!(line.expect("it does not start").unwrap(), "running");
        broker
    }
}

fn python_with_amqtt() -> Option<OsString> {
    let python = std::env::var_os("PROPELLER_TEST_PYTHON")?;
    let mut import = Command::new(&python);
    import.args(["-c", "import amqtt.broker"]);
    let found = import.stderr(Stdio::null()).status().unwrap();
    found.success().then_some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_over_a_broker_that_knows_only_mqtt_3_1_1_and_survive_its_restart() {
    let Some(python) = python_with_amqtt() else {
        return skipped("no Python with amqtt: name one with PROPELLER_TEST_PYTHON");
    };
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let broker = OldBroker::start(&python, address);
    let world = World::on(address);
    let manager = world.manager().await;
    let mqtt_address = format!("tcp://{address}");
    let key = world.key.to_hex();
    let env = [
        ("PROPLET_MQTT_ADDRESS", mqtt_address.as_str()),
        ("PROPLET_WORKLOAD_KEY", key.as_str()),
        ("PROPLET_ID", "p1"),
        ("PROPLET_DATA_DIR", "p1"),
    ];
    let mut proplet = Process::start(&world.scratch.path("cwd"), &["proplet"], &env);
    proplet.expect(&[
        "WARN",
        "no MQTT handshake with broker",
        "mqtt=5",
        "next=3.1.1",
    ]);
    proplet.expect(&["INFO", "connected to broker", &mqtt_address, "mqtt=3.1.1"]);
    let client = client(manager.url());
    ready(&client, 1).await;
    let hello = request("hello", &guest("hello.wasm"));
    let task = run(&client, &hello).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
    // A module that needs several pieces.
    let task = run(&client, &request("thumbnail", &guest("thumbnail.wasm"))).await;
    assert!(task.error.contains("exit code 1"), "{}", task.error);
    drop(broker);
    until("the manager notices", async || {
        !client.health().await.unwrap().broker_connected
    })
    .await;
    let id = client.task_create(&hello, true).await.unwrap().id.clone();
    let _again = OldBroker::start(&python, address);
    let task = crate::support::wait(&client, &id).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_with_another_key_opens_nothing_and_the_task_says_why() {
    let world = World::new().await;
    let manager = world.manager().await;
    let other = propeller_envelope::WorkloadKey::generate().unwrap();
    let _stranger = world
        .part("stranger")
        .key(&other)
        .proplet("stranger")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    assert_eq!(
        client.proplet_view("stranger").await.unwrap().link,
        "key mismatch"
    );
    let task = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&task), "failed");
    assert!(
        task.error.contains("cipher: message authentication failed"),
        "{}",
        task.error
    );
    assert_eq!(task.attempts.len(), 1);
    let _friend = world.proplet("friend");
    ready(&client, 2).await;
    let task = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(
        (state(&task), task.proplet_id.as_str()),
        ("completed", "friend")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_with_the_next_key_joins_during_a_rotation() {
    let world = World::new().await;
    let next = propeller_envelope::WorkloadKey::generate().unwrap();
    let manager = world
        .manager_part()
        .with("workload_keys_open", next.to_hex().as_str())
        .manager()
        .await
        .unwrap();
    let _rotated = world
        .part("rotated")
        .key(&next)
        .with("workload_keys_open", world.key.to_hex().as_str())
        .proplet("rotated")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let task = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_proplet_with_another_key_is_recognised_after_it_has_left() {
    let world = World::new().await;
    let manager = world.manager().await;
    let right = world.proplet("p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    let hello = request("hello", &guest("hello.wasm"));
    assert_eq!(state(&run(&client, &hello).await), "completed");
    right.stop().await;
    let other = propeller_envelope::WorkloadKey::generate().unwrap();
    let _wrong = world.part("p1").key(&other).proplet("p1").unwrap();
    until("it announces itself", async || {
        client.proplet_view("p1").await.unwrap().link == "key mismatch"
    })
    .await;
    let task = run(&client, &hello).await;
    assert_eq!(state(&task), "failed");
    assert!(
        task.error.contains("cipher: message authentication failed"),
        "{}",
        task.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing_while_a_friend_is_expected_back() {
    let world = World::new().await;
    let manager = world.manager().await;
    let friend = world.proplet("friend");
    let other = propeller_envelope::WorkloadKey::generate().unwrap();
    let _stranger = world
        .part("stranger")
        .key(&other)
        .proplet("stranger")
        .unwrap();
    let first = client(manager.url());
    ready(&first, 2).await;
    friend.kill().await;
    manager.stop().await;
    // After a restart the stranger is heard first: its word must not fail what waits.
    let manager = world
        .manager_part()
        .with("lease", "5s")
        .manager()
        .await
        .unwrap();
    let client = client(manager.url());
    until("the stranger is there", async || {
        client.proplet_view("stranger").await.is_ok_and(|p| p.alive)
    })
    .await;
    let id = client
        .task_create(&request("hello", &guest("hello.wasm")), true)
        .await
        .unwrap()
        .id
        .clone();
    let _friend = world.proplet("friend");
    let task = crate::support::wait(&client, &id).await;
    assert_eq!(
        (state(&task), task.proplet_id.as_str()),
        ("completed", "friend"),
        "{}",
        task.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_behind_tls_is_reached_with_its_own_root() {
    setup();
    let scratch = propeller::stack::Scratch::new().unwrap();
    let Some(binary) = binary() else {
        return skipped("mosquitto is not installed");
    };
    let folder = scratch.path("m");
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port();
    let config = folder.join("mosquitto.conf");
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n\
         user root\ncertfile {}\nkeyfile {}\n",
        cert.display(),
        key.display()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(binary)
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _mosquitto = Mosquitto(child);
    let world = World::on(([127, 0, 0, 1], port).into());
    let tls = |part: propeller::stack::Part| {
        part.with("mqtt_address", format!("mqtts://localhost:{port}"))
            .with("mqtt_tls_ca_cert", cert.display().to_string())
    };
    let manager = tls(world.manager_part()).manager().await.unwrap();
    // The manager speaks MQTT 5 to the same broker.
    let proplet = tls(world.part("p1")).with("mqtt_version", "3.1.1");
    let _proplet = proplet.proplet("p1").unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let task = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
}
