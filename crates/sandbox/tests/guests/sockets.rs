//! `wasi:sockets`: connections to and from where the job says, and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use bytes::Bytes;
use propeller_model::{Profile, Stream};
use propeller_sandbox::{Capabilities, Exit, Job, ReachableHost, Status, Transcript};

use crate::support::{exit, job_of, line, run, until};

/// `examples/guests/dial/` says what it does with its arguments.
fn dial(args: &[&str], capabilities: Capabilities) -> Job {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/guests/dial.wasm"
    );
    Job {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        profile: Profile::Granted,
        capabilities,
        ..job_of(std::fs::read(path).expect("the guest is checked in"))
    }
}

fn host(name: &str, port: u16, private: bool) -> Capabilities {
    let host = format!("{name}:{port}").parse().expect("it is a host");
    Capabilities {
        hosts: vec![ReachableHost { host, private }],
        ..Capabilities::default()
    }
}

/// An address of this machine where nobody listens.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address")
}

/// Whoever connects here gets back what it sends, once.
fn echo() -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    let echo = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).expect("it is read");
        stream.write_all(&said).expect("it is sent back");
    });
    (address, echo)
}

fn said(exit: &Exit) -> String {
    String::from_utf8_lossy(&exit.stderr).into_owned()
}

#[tokio::test]
async fn a_guest_connects_to_a_host_of_its_job_by_name_and_by_address() {
    for name in ["127.0.0.1", "localhost"] {
        let (address, echo) = echo();
        let port = address.port();
        let job = Job {
            stdin: Bytes::from_static(b"there and back").into(),
            ..dial(
                &["connect", name, &port.to_string()],
                host(name, port, true),
            )
        };
        let exit = exit(job).await;
        assert_eq!(exit.stdout, b"there and back", "{name}: {}", said(&exit));
        echo.join().expect("it was asked");
    }
}

#[tokio::test]
async fn nobody_else_is_connected_to_and_no_other_name_looked_up() {
    let (listener, closed) = (echo().0, free());
    let granted = || host("127.0.0.1", closed.port(), false);
    let port = listener.port().to_string();
    for (args, capabilities, code) in [
        (["connect", "127.0.0.1", &port], granted(), "access-denied"),
        (["connect", "localhost", &port], granted(), "access-denied"),
        (
            ["connect", "127.0.0.1", &closed.port().to_string()],
            granted(),
            "connection-refused",
        ),
        // A name that means this machine, where the policy wants public addresses.
        (
            ["connect", "localhost", &port],
            host("localhost", listener.port(), false),
            "access-denied",
        ),
    ] {
        let exit = exit(dial(&args, capabilities)).await;
        assert_eq!(exit.status, Status::Exited(1), "{args:?}");
        assert!(said(&exit).contains(code), "{args:?}: {}", said(&exit));
    }
    let lookup = exit(dial(&["lookup", "example.com"], granted())).await;
    assert!(said(&lookup).contains("access-denied"), "{}", said(&lookup));
    let own = exit(dial(&["lookup", "localhost"], host("localhost", 1, true))).await;
    let own = String::from_utf8_lossy(&own.stdout).into_owned();
    assert!(own.lines().any(|line| line == "127.0.0.1"), "{own}");
}

#[tokio::test]
async fn without_a_grant_there_is_no_network() {
    let (address, _echo) = echo();
    let port = address.port().to_string();
    for args in [
        ["connect", "127.0.0.1", &port],
        ["listen", "127.0.0.1", &free().port().to_string()],
    ] {
        let exit = exit(dial(&args, Capabilities::default())).await;
        assert_eq!(exit.status, Status::Exited(1), "{args:?}");
        assert!(said(&exit).contains("access-denied"), "{}", said(&exit));
    }
}

#[tokio::test]
async fn a_guest_listens_where_its_job_says_and_nowhere_else() {
    let address = free();
    let capabilities = || Capabilities {
        listen: vec![address],
        ..Capabilities::default()
    };
    let port = address.port().to_string();
    let job = Job {
        transcript: Transcript::whole(),
        ..dial(&["listen", "127.0.0.1", &port], capabilities())
    };
    let transcript = job.transcript.clone();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(async move { line(&run(job).await) });
    until(|| {
        let piece = transcript.read(Stream::Stdout, 0, 100);
        piece.is_some_and(|piece| piece.bytes == b"listening\n")
    })
    .await;
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).expect("it listens");
        stream.write_all(b"who is there").expect("it is sent");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("all of it");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    });
    assert_eq!(
        asked.await.expect("the client does not panic"),
        "who is there"
    );
    let ended = running.join_next().await.expect("it ran");
    assert_eq!(ended.expect("it does not panic"), "exit 0");

    let other = free().port().to_string();
    for args in [
        ["listen", "127.0.0.1", &other],
        ["listen", "0.0.0.0", &port],
    ] {
        let exit = exit(dial(&args, capabilities())).await;
        assert!(
            said(&exit).contains("access-denied"),
            "{args:?}: {}",
            said(&exit)
        );
    }
}

#[tokio::test]
async fn no_grant_gives_datagrams() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
    let address = receiver.local_addr().expect("it has an address");
    let port = address.port().to_string();
    let capabilities = Capabilities {
        listen: vec![address],
        ..host("127.0.0.1", address.port(), true)
    };
    let exit = exit(dial(&["udp", "127.0.0.1", &port], capabilities)).await;
    assert_eq!(exit.status, Status::Exited(1));
    assert!(said(&exit).contains("access-denied"), "{}", said(&exit));
}
