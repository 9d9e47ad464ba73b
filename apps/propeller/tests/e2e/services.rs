//! HTTP services, from a request to the manager to an answer on a granted port.

use std::net::{SocketAddr, TcpListener};

use propeller_api::{Grants, TaskRequest};
use propeller_proplet::Proplet;

use crate::support::{World, client, guest, ready, request, run, state, until};

/// An address of this machine where nobody listens.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A proplet that lets tasks listen on this port alone.
fn proplet(world: &World, port: u16) -> Proplet {
    let policy = world.scratch.path("policy.toml");
    let rules = format!("[listen.web]\naddress = \"127.0.0.1\"\nports = [{port}]\n");
    std::fs::write(&policy, rules).unwrap();
    world
        .part("p1")
        .with("policy_file", policy.display().to_string())
        .with("liveliness_interval", "300ms")
        .proplet("p1")
        .unwrap()
}

fn service(port: u16) -> TaskRequest {
    TaskRequest {
        daemon: Some(true),
        profile: Some("granted".to_owned()),
        grants: Some(Grants {
            ports: vec![port],
            ..Grants::default()
        }),
        env: Some([("NAME".to_owned(), "Ada".to_owned())].into()),
        ..request("web", &guest("web.wasm"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_runs_while_it_serves_and_its_port_is_free_when_it_is_stopped() {
    let world = World::new().await;
    let manager = world.manager().await;
    let address = free();
    let _proplet = proplet(&world, address.port());
    let client = client(manager.url());
    ready(&client, 1).await;
    let task = client
        .task_create(&service(address.port()), true)
        .await
        .unwrap();
    let id = task.id.clone();
    until("it serves and is said to run", async || {
        let serves = tokio::net::TcpStream::connect(address).await.is_ok();
        serves && state(&client.task_view(&id).await.unwrap()) == "running"
    })
    .await;
    let http = reqwest::Client::new();
    let get = async |page: &str| {
        let answer = http.get(format!("http://{address}{page}")).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(
        get("/").await,
        (200, "Hello from Propeller, Ada!\n".to_owned())
    );
    assert_eq!(get("/panic").await.0, 500);
    let task = client.task_view(&id).await.unwrap();
    assert_eq!((state(&task), task.attempts.len()), ("running", 1));

    client.task_stop(&id).await.unwrap();
    let task = client.task_view(&id).await.unwrap();
    assert_eq!(state(&task), "interrupted");
    until("the port is free", async || {
        TcpListener::bind(address).is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_serve_has_failed_and_says_why() {
    let world = World::new().await;
    let manager = world.manager().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = address.port();
    let _proplet = proplet(&world, port);
    let client = client(manager.url());
    ready(&client, 1).await;
    let brief = TaskRequest {
        daemon: Some(false),
        ..service(port)
    };
    let deaf = TaskRequest {
        profile: None,
        grants: None,
        ..service(port)
    };
    for (request, why) in [
        (
            service(port),
            format!("cannot listen on {address}: Address already in use"),
        ),
        (
            service(port - 1),
            format!(
                "grant refused: port {}: rule `listen.web` allows the ports {port}",
                port - 1
            ),
        ),
        (brief, "make its task a daemon".to_owned()),
        (deaf, "its task was granted no port to listen on".to_owned()),
    ] {
        let task = run(&client, &request).await;
        assert_eq!(state(&task), "failed");
        assert!(task.error.contains(&why), "{}", task.error);
    }
}
