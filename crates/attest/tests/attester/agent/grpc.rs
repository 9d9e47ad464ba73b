//! gRPC, with the HTTP/2 of a real server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use propeller_attest::Tee;
use propeller_attest::attester::agent::{Agent, AgentError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::{EVIDENCE, SECRET, TOKEN, check, provider};

/// What a server says: headers besides its media type, body, trailers.
#[derive(Clone, Default)]
struct Answer {
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    trailers: Vec<(&'static str, &'static str)>,
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// A message of one field of bytes, which are fewer than 16,384.
fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let low = u8::try_from(length & 0x7f).unwrap() | 0x80;
    let high = u8::try_from(length >> 7).unwrap();
    [&[0x0a, low, high][..], bytes].concat()
}

fn good(bytes: &[u8]) -> Answer {
    Answer {
        body: framed(&message(bytes)),
        trailers: vec![("grpc-status", "0")],
        ..Answer::default()
    }
}

/// What was asked: path, selected headers, body.
type Asked = (String, Vec<String>, Vec<u8>);

async fn recorded(request: Request<Incoming>) -> Asked {
    let path = request.uri().path().to_owned();
    let of = |name| {
        let value = request.headers().get(name).cloned();
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let headers = ["content-type", "te", "grpc-timeout"].map(of).to_vec();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    (path, headers, body.to_vec())
}

fn response(answer: &Answer) -> Response<impl Body<Data = Bytes, Error = Infallible> + use<>> {
    let trailers = map(&answer.trailers);
    let trailers = (!trailers.is_empty()).then_some(Ok(trailers));
    let body = Full::new(Bytes::from(answer.body.clone()));
    let mut response = Response::new(body.with_trailers(std::future::ready(trailers)));
    *response.headers_mut() = map(&answer.headers);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().entry("content-type").or_insert(kind);
    response
}

/// Answers one agent's client, for as long as that asks.
async fn served<T>(answer: Answer, ask: impl AsyncFnOnce(Agent) -> T) -> (T, Option<Asked>) {
    provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = Agent::grpc(listener.local_addr().unwrap()).unwrap();
    let asked = Arc::new(Mutex::new(None));
    let place = asked.clone();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request| {
            let (place, answer) = (place.clone(), answer.clone());
            async move {
                let asked = recorded(request).await;
                *place.lock().unwrap() = Some(asked);
                Ok::<_, Infallible>(response(&answer))
            }
        });
        let server = http2::Builder::new(TokioExecutor::new());
        let connection = server.serve_connection(TokioIo::new(stream), service);
        connection.await.ok();
        std::future::pending::<T>().await
    };
    let answer = tokio::select! {
        answer = ask(agent) => answer,
        never = serve => never,
    };
    let asked = asked.lock().unwrap().take();
    (answer, asked)
}

async fn failure(answer: Answer) -> AgentError {
    let (token, _) = served(answer, async |agent| agent.token().await).await;
    let error = token.unwrap_err();
    let chain = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(!chain.contains(SECRET), "{chain}");
    error
}

#[tokio::test]
async fn a_token_comes_with_its_key() {
    let answer = good(TOKEN.as_bytes());
    let (token, asked) = served(answer, async |agent| agent.token().await).await;
    let (path, headers, body) = asked.unwrap();
    assert_eq!(path, "/attestation_agent.AttestationAgentService/GetToken");
    assert_eq!(headers, ["application/grpc", "trailers", "50S"]);
    assert_eq!(body, b"\0\0\0\0\x05\x0a\x03kbs");
    check(&token.unwrap());
}

#[tokio::test]
async fn an_agent_says_what_it_attests() {
    let (tee, asked) = served(good(b"snp"), async |agent| agent.tee().await).await;
    let (path, _, body) = asked.unwrap();
    assert_eq!(
        path,
        "/attestation_agent.AttestationAgentService/GetTeeType"
    );
    assert_eq!(body, [0; 5]);
    assert_eq!(tee.unwrap(), Tee::Snp);
}

#[tokio::test]
async fn an_agent_makes_evidence_of_data_as_they_are() {
    let ask = async |agent: Agent| agent.evidence(&[7; 48]).await;
    let (evidence, asked) = served(good(EVIDENCE.as_bytes()), ask).await;
    let (path, _, body) = asked.unwrap();
    assert_eq!(
        path,
        "/attestation_agent.AttestationAgentService/GetEvidence"
    );
    assert_eq!(body, [&b"\0\0\0\0\x32\x0a\x30"[..], &[7; 48]].concat());
    assert_eq!(evidence.unwrap()["svn"], "1");
}

#[tokio::test]
async fn a_refusal_is_told_in_the_agents_words() {
    let status = vec![
        ("grpc-status", "13"),
        ("grpc-message", "RCAR%20failed%3A no"),
    ];
    // Before anything else, as tonic does, and behind a message.
    let before = Answer {
        headers: status.clone(),
        ..Answer::default()
    };
    let behind = Answer {
        trailers: status,
        ..good(TOKEN.as_bytes())
    };
    for answer in [before, behind] {
        let error = failure(answer).await;
        assert!(matches!(error, AgentError::Refused { .. }), "{error:?}");
        let text = error.to_string();
        let end = "refuses GetToken: RCAR failed: no (gRPC status 13)";
        assert!(text.ends_with(end), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    let token = good(TOKEN.as_bytes());
    let with_body = |body: Vec<u8>| Answer {
        body,
        ..token.clone()
    };
    let mut compressed = token.body.clone();
    compressed[0] = 1;
    for answer in [
        // Without a status, of another media type, with no message, with half of one, compressed,
        // with two, with no protobuf, with no JSON.
        Answer {
            trailers: Vec::new(),
            ..token.clone()
        },
        Answer {
            headers: vec![("content-type", "text/html")],
            ..token.clone()
        },
        with_body(Vec::new()),
        with_body(token.body[..token.body.len() - 1].to_vec()),
        with_body(compressed),
        with_body([token.body.clone(), token.body.clone()].concat()),
        with_body(framed(b"\xff")),
        good(b"no"),
    ] {
        let error = failure(answer).await;
        assert!(matches!(error, AgentError::Malformed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_has_a_bound() {
    let answer = Answer {
        body: vec![0; (4 << 20) + 6],
        trailers: vec![("grpc-status", "0")],
        ..Answer::default()
    };
    let error = failure(answer).await;
    assert!(matches!(error, AgentError::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_of_something_else_is_unreachable() {
    provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = Agent::grpc(listener.local_addr().unwrap()).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .ok();
        stream.shutdown().await.ok();
    };
    let ((), token) = tokio::join!(serve, agent.token());
    let error = token.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    drop(listener);
    let error = agent.token().await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
}
