//! api-server-rest, in the bytes of HTTP.

use std::time::Duration;

use propeller_attest::Tee;
use propeller_attest::attester::agent::{Agent, AgentError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{EVIDENCE, SECRET, TOKEN, check, provider};

struct Peer(TcpListener);

impl Peer {
    async fn new() -> (Self, Agent) {
        provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Self(listener), Agent::rest(address).unwrap())
    }

    /// Takes one request, gives this back, and returns the request's first line.
    async fn answer(self, answer: &[u8]) -> String {
        let (mut stream, _) = self.0.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        // Whoever has read enough hangs up.
        stream.write_all(answer).await.ok();
        stream.shutdown().await.ok();
        let request = String::from_utf8(request).unwrap();
        request.lines().next().unwrap().to_owned()
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    head.into_bytes()
}

async fn failure(answer: &[u8]) -> AgentError {
    let (peer, agent) = Peer::new().await;
    let (_, token) = tokio::join!(peer.answer(answer), agent.token());
    let error = token.unwrap_err();
    assert!(!error.to_string().contains(SECRET), "{error}");
    error
}

#[tokio::test]
async fn a_token_comes_with_its_key() {
    let (peer, agent) = Peer::new().await;
    let answer = http("200 OK", TOKEN);
    let (asked, token) = tokio::join!(peer.answer(&answer), agent.token());
    assert_eq!(asked, "GET /aa/token?token_type=kbs HTTP/1.1");
    check(&token.unwrap());
}

#[tokio::test]
async fn an_agent_says_what_it_attests() {
    let (peer, agent) = Peer::new().await;
    let info = r#"{"additional_tees":[],"feature":"all","tee":"tdx","version":"v1.0.0"}"#;
    let answer = http("200 OK", info);
    let (asked, tee) = tokio::join!(peer.answer(&answer), agent.tee());
    assert_eq!(asked, "GET /info HTTP/1.1");
    assert_eq!(tee.unwrap(), Tee::Tdx);
    for info in [r#"{"tee":null}"#, "{}"] {
        let (peer, agent) = Peer::new().await;
        let answer = http("200 OK", info);
        let (_, tee) = tokio::join!(peer.answer(&answer), agent.tee());
        let error = tee.unwrap_err();
        assert!(matches!(error, AgentError::Refused { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn report_data_are_encoded_for_an_address() {
    let (peer, agent) = Peer::new().await;
    let answer = http("200 OK", EVIDENCE);
    let (asked, evidence) = tokio::join!(peer.answer(&answer), agent.evidence(&[0xfb; 4]));
    let expected = "GET /aa/evidence?runtime_data=-_v7-w&encoding=base64 HTTP/1.1";
    assert_eq!(asked, expected);
    assert_eq!(evidence.unwrap()["svn"], "1");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let error = failure(&http("500 Internal Server Error", "ttrpc: get token\n")).await;
    let text = error.to_string();
    let end = "refuses GetToken: ttrpc: get token (500 Internal Server Error)";
    assert!(text.ends_with(end), "{text}");
    let error = failure(&http("404 Not Found", "")).await;
    assert!(
        error.to_string().contains("--features attestation"),
        "{error}"
    );
    let error = failure(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n").await;
    assert!(matches!(error, AgentError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    let error = failure(&http("200 OK", r#"{"token":"c2VjcmV0"}"#)).await;
    assert!(matches!(error, AgentError::Malformed { .. }), "{error:?}");
    let error = failure(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    let error = failure(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_has_a_bound_and_an_end() {
    let longest = http("200 OK", &" ".repeat(4 << 20));
    let error = failure(&longest).await;
    assert!(matches!(error, AgentError::Malformed { .. }), "{error:?}");
    let longer = http("200 OK", &" ".repeat((4 << 20) + 1));
    let error = failure(&longer).await;
    assert!(matches!(error, AgentError::TooLong { .. }), "{error:?}");
    let (peer, agent) = Peer::new().await;
    let agent = agent.with_patience(Duration::from_millis(50));
    let error = agent.token().await.unwrap_err();
    assert!(matches!(error, AgentError::Patience { .. }), "{error:?}");
    drop(peer);
}
