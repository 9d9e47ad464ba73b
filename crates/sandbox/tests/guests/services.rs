//! HTTP services: components that export `wasi:http/incoming-handler`, and what they may reach.

mod client;
mod connections;
mod places;

use std::net::SocketAddr;
use std::sync::Arc;

use propeller_model::{Limits, Profile, Stream};
use propeller_sandbox::{
    Allocator, Capabilities, EngineConfig, Entry, Job, ReachableHost, Runtime, Transcript,
    WasmtimeRuntime,
};
use tokio::task::JoinSet;

use crate::support::{CONFIG, bound, job_of, line, run, until};
use client::{Answer, get, post, send};

/// `examples/guests/web/` says what its pages do.
fn web() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/guests/web.wasm"
    );
    std::fs::read(path).expect("the guest is checked in")
}

/// An address of this machine where nobody listens.
fn free() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address")
}

fn service(address: SocketAddr) -> Job {
    Job {
        daemon: Some(Limits::default()),
        transcript: Transcript::tail(),
        profile: Profile::Granted,
        capabilities: Capabilities {
            listen: vec![address],
            ..Capabilities::default()
        },
        ..job_of(web())
    }
}

/// Runs a service on `runtime`, until what comes back is dropped.
async fn begin(runtime: &Arc<WasmtimeRuntime>, job: Job) -> (SocketAddr, JoinSet<String>) {
    let address = job.capabilities.listen[0];
    let mut running = JoinSet::new();
    let host = Arc::clone(runtime);
    running.spawn(async move { line(&host.run(job).await) });
    client::listens(address).await;
    (address, running)
}

/// A service that runs as long as this lives.
struct Served {
    address: SocketAddr,
    transcript: Transcript,
    _running: JoinSet<()>,
}

impl Served {
    async fn new(job: Job) -> Self {
        let address = job.capabilities.listen[0];
        let transcript = job.transcript.clone();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let ended = line(&run(job).await);
            panic!("the service ended: {ended}");
        });
        client::listens(address).await;
        Self {
            address,
            transcript,
            _running: running,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        get(self.address, path).await
    }

    fn said(&self, stream: Stream) -> String {
        let piece = self.transcript.read(stream, 0, usize::MAX);
        String::from_utf8(piece.expect("it runs").bytes).expect("it is text")
    }

    /// Waits until its owner is told `text`.
    async fn told(&self, text: &str) {
        until(|| self.said(Stream::Stderr).contains(text)).await;
    }
}

#[tokio::test]
async fn a_service_answers_requests_each_with_a_guest_of_its_own() {
    let job = Job {
        env: vec![("NAME".to_owned(), "Ada".to_owned())],
        ..service(free())
    };
    let served = Served::new(job).await;
    for (path, status, body) in [
        ("/", 200, "Hello from Propeller, Ada!\n"),
        ("/count", 200, "1\n"),
        ("/count", 200, "1\n"),
        ("/lines?3", 200, "line 1\nline 2\nline 3\n"),
        ("/nowhere", 404, "no such page\n"),
    ] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{path}");
    }
    // One after the other on one connection, and each by a guest of its own.
    let answers = send(
        served.address,
        b"GET /count HTTP/1.1\r\nhost: a\r\n\r\nGET /count HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(answers.matches("1\n\r\n").count(), 2, "{answers}");
    assert_eq!(served.said(Stream::Stderr), "");
}

#[tokio::test]
async fn bodies_go_through_whole() {
    let served = Served::new(service(free())).await;
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let answer = post(served.address, "/echo", &body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "{} bytes", answer.body.len());
}

#[tokio::test]
async fn what_a_guest_prints_is_in_the_log_of_its_service() {
    let served = Served::new(service(free())).await;
    assert_eq!(served.get("/log?found").await.status, 204);
    served.told("logged").await;
    assert_eq!(served.said(Stream::Stdout), "found\n");
}

#[tokio::test]
async fn a_request_that_fails_is_told_to_the_owner_and_the_service_goes_on() {
    let mut job = service(free());
    job.daemon = Some(Limits {
        memory_bytes: bound(32 * 1024 * 1024),
        fuel: bound(100_000_000),
        ..Limits::default()
    });
    let served = Served::new(job).await;
    for (path, told) in [
        ("/panic", "asked to"),
        ("/panic", "propeller: GET /panic: wasm trap: "),
        ("/panic", "\n    at std::process::abort\n"),
        ("/panic", "\n    at web::asked_to_panic\n"),
        (
            "/grow",
            "propeller: GET /grow: limit: memory 33554432 bytes (set by task)",
        ),
        (
            "/spin",
            "propeller: GET /spin: limit: fuel 100000000 (set by task)",
        ),
        ("/silent", "propeller: GET /silent: "),
    ] {
        let answer = served.get(path).await;
        assert_eq!(
            (answer.status, answer.text()),
            (500, "the service failed; its log says why\n"),
            "{path}"
        );
        served.told(told).await;
        assert_eq!(served.get("/count").await.text(), "1\n");
    }
}

#[tokio::test]
async fn half_an_answer_is_told_from_a_whole_one() {
    let served = Served::new(service(free())).await;
    let whole = "GET /lines?1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let whole = send(served.address, whole.as_bytes()).await;
    assert!(whole.ends_with("\r\n0\r\n\r\n"), "{whole}");
    // Its client does not close: it is cut off.
    let half = send(served.address, b"GET /half HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Some of it may have gone out, and never the end.
    assert!(
        half.is_empty() || half.starts_with("HTTP/1.1 200 "),
        "{half}"
    );
    assert!(!half.ends_with("0\r\n\r\n"), "{half}");
    served.told("propeller: GET /half: wasm trap: ").await;
}

#[tokio::test]
async fn whoever_floods_a_service_takes_no_place_from_tasks() {
    let pool = Allocator::Pooling { guests_max: 1 };
    let runtime = Arc::new(crate::runtime::with(EngineConfig {
        allocator: pool,
        ..CONFIG
    }));
    let job = service(free());
    let (address, _running) = begin(&runtime, job).await;
    // More than there may be guests, and none sends what it says it will.
    let slow = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
    let mut slows = Vec::new();
    for _ in 0..20 {
        slows.push(client::begin(address, slow).await);
    }
    until(|| runtime.running() == 16).await;
    let task = crate::support::job(
        r#"(module (func (export "add") (result i32) (i32.const 42)))"#,
        "add",
        &[],
    );
    assert_eq!(line(&runtime.run(task).await), "42");
    // When there is room again, the others have their turn.
    slows.truncate(4);
    until(|| runtime.running() <= 4).await;
    assert_eq!(get(address, "/count").await.text(), "1\n");
}

#[tokio::test]
async fn a_request_has_an_end_even_if_nobody_asked_for_one() {
    let mut job = service(free());
    // As a daemon's limits are: without an end.
    job.limits.fuel = bound(u64::MAX);
    job.limits.wall_ms = bound(u64::MAX);
    job.daemon = Some(Limits {
        wall_ms: bound(100),
        ..Limits::default()
    });
    let served = Served::new(job).await;
    let answer = served.get("/spin").await;
    assert!(
        matches!(answer.status, 500 | 504),
        "fuel by default, or the clock: {}",
        answer.status
    );
    let default = Limits::default().fuel.value;
    let fuel = format!("limit: fuel {default} (set by default)");
    until(|| {
        let said = served.said(Stream::Stderr);
        said.contains(&fuel) || said.contains("limit: wall clock 100 ms (set by task)")
    })
    .await;
}

#[tokio::test]
async fn requests_that_are_none_are_turned_away() {
    let served = Served::new(service(free())).await;
    for request in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    ] {
        let answer = send(served.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000));
    let answer = send(served.address, long.as_bytes()).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(served.get("/count").await.text(), "1\n");
}

#[tokio::test]
async fn a_service_that_is_stopped_has_let_go_of_its_port_and_its_guests() {
    let runtime = Arc::new(crate::support::runtime());
    let job = service(free());
    let (address, mut running) = begin(&runtime, job).await;
    let mut busy = JoinSet::new();
    busy.spawn(async move { send(address, b"GET /spin HTTP/1.1\r\nhost: a\r\n\r\n").await });
    until(|| runtime.running() > 0).await;
    running.abort_all();
    until(|| runtime.running() == 0).await;
    let answer = busy.join_next().await.expect("it was sent");
    assert_eq!(answer.expect("the client does not panic"), "");
    until(|| std::net::TcpListener::bind(address).is_ok()).await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_guest_along() {
    let runtime = Arc::new(crate::support::runtime());
    let mut job = service(free());
    job.daemon = Some(Limits {
        fuel: bound(u64::MAX),
        ..Limits::default()
    });
    let (address, _running) = begin(&runtime, job).await;
    let gone = client::begin(address, b"GET /spin HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(|| runtime.running() > 0).await;
    drop(gone);
    // Long before the thirty seconds that its request may take.
    until(|| runtime.running() == 0).await;
}

#[tokio::test]
async fn what_is_no_service_as_it_should_be_is_refused() {
    let address = free();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let taken = taken.local_addr().map(|address| (taken, address));
    let (_held, taken) = taken.expect("it has an address");
    let brief = Job {
        daemon: None,
        ..service(address)
    };
    let mut deaf = service(address);
    deaf.capabilities.listen.clear();
    let mut tight = service(address);
    tight.daemon = Some(Limits {
        memory_bytes: bound(1000),
        ..Limits::default()
    });
    for (job, said) in [
        (
            brief,
            "error: the component is an HTTP service, which runs until it is stopped: \
             make its task a daemon"
                .to_owned(),
        ),
        (
            deaf,
            "error: the component is an HTTP service, and its task was granted no port to \
             listen on"
                .to_owned(),
        ),
        (
            service(taken),
            format!("error: cannot listen on {taken}: Address already in use (os error 98)"),
        ),
        (tight, "limit: memory 1000 bytes (set by task)".to_owned()),
    ] {
        assert_eq!(line(&run(job).await), said);
    }
    let named = Job {
        entry: Entry::Named("wasi:http/incoming-handler@0.2.0#handle".to_owned()),
        ..service(address)
    };
    let served = Served::new(named).await;
    assert_eq!(served.get("/count").await.status, 200);
}

/// Hosts as a job names them; by a name that may stand for this machine.
fn hosts(names: &[String]) -> Vec<ReachableHost> {
    let hosts = names.iter().map(|name| ReachableHost {
        host: name.parse().expect("it is a host"),
        private: true,
    });
    hosts.collect()
}

#[tokio::test]
async fn a_guest_sends_requests_to_the_hosts_of_its_job_and_to_no_others() {
    let backend = Served::new(service(free())).await;
    let port = backend.address.port();
    let mut job = service(free());
    job.capabilities.hosts = hosts(&[format!("127.0.0.1:{port}"), format!("localhost:{port}")]);
    let front = Served::new(job).await;
    for (url, status, starts) in [
        (format!("http://127.0.0.1:{port}/count"), 200, "200\n1\n"),
        (
            format!("http://localhost:{port}/nowhere"),
            200,
            "404\nno such page\n",
        ),
        (
            "http://127.0.0.1:9/".to_owned(),
            502,
            "ErrorCode::HttpRequestDenied",
        ),
        (
            "http://example.com/".to_owned(),
            502,
            "ErrorCode::HttpRequestDenied",
        ),
        (format!("https://localhost:{port}/"), 502, "ErrorCode::Tls"),
    ] {
        let answer = front.get(&format!("/fetch?{url}")).await;
        assert_eq!(answer.status, status, "{url}: {}", answer.text());
        assert!(
            answer.text().starts_with(starts),
            "{url}: {}",
            answer.text()
        );
    }
}
