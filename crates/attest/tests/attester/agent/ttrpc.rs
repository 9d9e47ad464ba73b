//! ttrpc, in the bytes that were seen of a real agent.

use std::time::Duration;

use propeller_attest::Tee;
use propeller_attest::attester::agent::{Agent, AgentError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::{EVIDENCE, SECRET, TOKEN, check};

/// Fifty seconds, in nanoseconds: the last field of a question.
const PATIENCE: &[u8] = &[0x20, 0x80, 0xe8, 0xed, 0xa1, 0xba, 0x01];

struct Peer {
    folder: TempDir,
    listener: UnixListener,
}

impl Peer {
    fn new() -> (Self, Agent) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let agent = Agent::ttrpc(socket);
        (Self { folder, listener }, agent)
    }

    /// Takes one question, and gives these bytes back.
    async fn answer(self, answer: &[u8]) -> Vec<u8> {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut question = vec![0; 10];
        stream.read_exact(&mut question).await.unwrap();
        let length = u32::from_be_bytes(question[..4].try_into().unwrap());
        question.resize(10 + usize::try_from(length).unwrap(), 0);
        stream.read_exact(&mut question[10..]).await.unwrap();
        stream.write_all(answer).await.unwrap();
        drop(self.folder);
        question
    }
}

/// A field of bytes, which are fewer than 16,384.
fn field(key: u8, bytes: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(bytes.len()) {
        Ok(length) if length < 128 => vec![length],
        _ => {
            let [low, high] = u16::try_from(bytes.len()).unwrap().to_le_bytes();
            vec![low | 0x80, high << 1 | low >> 7]
        }
    };
    [&[key][..], &length, bytes].concat()
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], &[0, 0, 0, 1, 2, 0], message].concat()
}

/// An answer with an empty status.
fn good(answer: &[u8]) -> Vec<u8> {
    let message = field(0x0a, answer);
    frame(&[&field(0x0a, b""), &field(0x12, &message)[..]].concat())
}

fn question(method: &[u8], message: &[u8]) -> Vec<u8> {
    let message = [
        field(0x0a, b"attestation_agent.AttestationAgentService"),
        field(0x12, method),
        field(0x1a, message),
        PATIENCE.to_vec(),
    ]
    .concat();
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], &[0, 0, 0, 1, 1, 0], &message].concat()
}

async fn failure(answer: &[u8]) -> AgentError {
    let (peer, agent) = Peer::new();
    let (_, token) = tokio::join!(peer.answer(answer), agent.token());
    let error = token.unwrap_err();
    let chain = format!("{error} {:?}", std::error::Error::source(&error));
    assert!(!chain.contains(SECRET), "{chain}");
    error
}

#[tokio::test]
async fn a_token_comes_with_its_key() {
    let (peer, agent) = Peer::new();
    let good = good(TOKEN.as_bytes());
    let (asked, token) = tokio::join!(peer.answer(&good), agent.token());
    assert_eq!(asked, question(b"GetToken", b"\x0a\x03kbs"));
    check(&token.unwrap());
}

#[tokio::test]
async fn an_agent_says_what_it_attests() {
    let (peer, agent) = Peer::new();
    let good = good(b"az-snp-vtpm");
    let (asked, tee) = tokio::join!(peer.answer(&good), agent.tee());
    // The frame that was recorded.
    let recorded = [
        &[0, 0, 0, 0x40, 0, 0, 0, 1, 1, 0][..],
        b"\x0a\x29attestation_agent.AttestationAgentService",
        b"\x12\x0aGetTeeType\x1a\x00",
        PATIENCE,
    ];
    assert_eq!(asked, recorded.concat());
    assert_eq!(tee.unwrap(), Tee::AzSnpVtpm);
}

#[tokio::test]
async fn an_agent_makes_evidence_of_data_as_they_are() {
    let (peer, agent) = Peer::new();
    let good = good(EVIDENCE.as_bytes());
    let (asked, evidence) = tokio::join!(peer.answer(&good), agent.evidence(&[7; 48]));
    let message = field(0x0a, &[7; 48]);
    assert_eq!(asked, question(b"GetEvidence", &message));
    let expected = serde_json::json!({ "svn": "1", "report_data": "BwcH" });
    assert_eq!(evidence.unwrap(), expected);
    let (_peer, agent) = Peer::new();
    let error = agent.evidence(&[0; 65]).await.unwrap_err();
    assert!(matches!(error, AgentError::ReportDataTooLong { bytes: 65 }));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_agents_words() {
    let words = b"kbs token config\nnot configured";
    let status = [&[0x08, 13][..], &field(0x12, words)].concat();
    let error = failure(&frame(&field(0x0a, &status))).await;
    assert!(matches!(error, AgentError::Refused { .. }), "{error:?}");
    let text = error.to_string();
    let end = "refuses GetToken: kbs token config not configured (code 13)";
    assert!(text.ends_with(end), "{text}");
}

#[tokio::test]
async fn what_is_no_answer_is_refused() {
    let good = good(TOKEN.as_bytes());
    let with = |at: usize, byte: u8| {
        let mut other = good.clone();
        other[at] = byte;
        other
    };
    for answer in [
        // Of another stream, a question, data.
        with(7, 3),
        with(8, 1),
        with(8, 3),
        // Not protobuf, not JSON, and another JSON.
        frame(b"\xff"),
        self::good(b"no"),
        self::good(br#"{"token":"c2VjcmV0"}"#),
        self::good(br#"{"token":1,"tee_keypair":"c2VjcmV0"}"#),
        self::good(b""),
        frame(b""),
    ] {
        let error = failure(&answer).await;
        assert!(matches!(error, AgentError::Malformed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_has_a_bound_and_an_end() {
    let header = |length: u32| [&length.to_be_bytes()[..], &[0, 0, 0, 1, 2, 0]].concat();
    let error = failure(&header((4 << 20) + 1)).await;
    assert!(matches!(error, AgentError::TooLong { .. }), "{error:?}");
    for cut in [
        header(4 << 20),
        header(1),
        header(1)[..9].to_vec(),
        Vec::new(),
    ] {
        let error = failure(&cut).await;
        assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_kind_that_nobody_knows_is_named() {
    let (peer, agent) = Peer::new();
    let good = good(b"csv\x1b");
    let (_, tee) = tokio::join!(peer.answer(&good), agent.tee());
    let error = tee.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("attests `csv `, which is not known here"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_waits_for_an_agent_for_ever() {
    let (peer, agent) = Peer::new();
    let agent = agent.with_patience(Duration::from_millis(50));
    let error = agent.token().await.unwrap_err();
    assert!(matches!(error, AgentError::Patience { .. }), "{error:?}");
    drop(peer);
    let error = agent.token().await.unwrap_err();
    assert!(matches!(error, AgentError::Unreachable { .. }), "{error:?}");
}
