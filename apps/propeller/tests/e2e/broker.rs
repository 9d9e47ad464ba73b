//! The same path over Debian's mosquitto, and what a hostile broker achieves.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{World, client, guest, ready, request, run, setup, skipped, state, until};

struct Mosquitto(Child);

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

fn start(folder: &Path) -> Option<(Mosquitto, SocketAddr)> {
    let binary = binary()?;
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
    let child = Command::new(binary)
        .arg("-c")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Some((Mosquitto(child), address))
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_run_over_mosquitto_and_survive_its_restart() {
    setup();
    let scratch = propeller::stack::Scratch::new().unwrap();
    let Some((mosquitto, address)) = start(&scratch.path("m")) else {
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
    let again = Command::new(binary().unwrap())
        .arg("-c")
        .arg(scratch.path("m/mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _again = Mosquitto(again);
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
    let port = crate::processes::free_port();
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
    let _proplet = tls(world.part("p1")).proplet("p1").unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let task = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&task), "completed", "{}", task.error);
}
