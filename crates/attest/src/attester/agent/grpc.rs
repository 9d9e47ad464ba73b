//! gRPC over HTTP/2 without TLS: one question is one POST.
//!
//! ```text
//!  body      0 │ length u32 big-endian │ message in protobuf
//!  trailers  grpc-status, 0 where the body is an answer, and grpc-message
//! ```
//!
//! Who has no answer sends the status as headers, and no body.

use std::net::SocketAddr;

use data_encoding::HEXLOWER_PERMISSIVE;
use http_body_util::BodyExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use reqwest::{Body, Client, Response, StatusCode};
use zeroize::Zeroizing;

use super::error::{AgentError, Fault, excerpt};
use super::{MESSAGE_BYTES_MAX, PATIENCE, Question, SERVICE, answered, local};

const MEDIA_TYPE: &str = "application/grpc";
const HEADER_BYTES: usize = 5;

#[derive(Debug, Clone)]
pub(super) struct Peer {
    http: Client,
    address: SocketAddr,
}

impl Peer {
    pub(super) fn new(address: SocketAddr) -> Result<Self, AgentError> {
        let http = local::client(address, reqwest::ClientBuilder::http2_prior_knowledge)?;
        Ok(Self { http, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let url = format!("http://{}/{SERVICE}/{}", self.address, question.method());
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .header(TE, "trailers")
            .header("grpc-timeout", format!("{}S", PATIENCE.as_secs()))
            .body(framed(&question.message()));
        let response = request.send().await?;
        if response.status() != StatusCode::OK || !is_grpc(response.headers()) {
            return Err(Fault::Malformed("it does not speak gRPC"));
        }
        if response.headers().contains_key("grpc-status") {
            accepted(response.headers())?;
        }
        let (body, trailers) = received(response).await?;
        accepted(&trailers)?;
        answered(message(&body)?)
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a question has less than a hundred bytes");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(MEDIA_TYPE.as_bytes()))
}

async fn received(response: Response) -> Result<(Zeroizing<Vec<u8>>, HeaderMap), Fault> {
    let mut frames = Body::from(response);
    let mut body = Zeroizing::new(Vec::new());
    let mut trailers = HeaderMap::new();
    while let Some(frame) = frames.frame().await {
        match frame?.into_data() {
            Ok(piece) if piece.len() > MESSAGE_BYTES_MAX + HEADER_BYTES - body.len() => {
                return Err(Fault::TooLong);
            }
            Ok(piece) => body.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((body, trailers))
}

/// Whether the status is that of an answer.
fn accepted(headers: &HeaderMap) -> Result<(), Fault> {
    let status = headers.get("grpc-status");
    match status.map(HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        Some(status) => {
            let words = headers.get("grpc-message");
            let words = words.map_or_else(Vec::new, |words| unescaped(words.as_bytes()));
            let (words, status) = (excerpt(&words), excerpt(status));
            Err(Fault::Refused(format!("{words} (gRPC status {status})")))
        }
        None => Err(Fault::Malformed("its answer ends without a status")),
    }
}

/// Its message without `%XX`, which stands for a byte.
fn unescaped(words: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(words.len());
    let mut rest = words;
    while let [first, after @ ..] = rest {
        let byte = match first {
            b'%' => after.first_chunk::<2>(),
            _ => None,
        };
        let byte = byte.and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex).ok());
        rest = match byte {
            Some(_) => &after[2..],
            None => after,
        };
        plain.extend(byte.unwrap_or_else(|| vec![*first]));
    }
    plain
}

/// The one message of a body.
fn message(body: &[u8]) -> Result<&[u8], Fault> {
    let (header, message) = body
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or(Fault::Malformed("its answer has no message"))?;
    let [compressed, length @ ..] = *header;
    let whole = usize::try_from(u32::from_be_bytes(length)) == Ok(message.len());
    match (compressed, whole) {
        (0, true) => Ok(message),
        (0, false) => Err(Fault::Malformed("its answer is not one whole message")),
        _ => Err(Fault::Malformed("its answer is compressed, unasked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_without_escapes() {
        for (words, expected) in [
            ("Attest%20failed%3A no", "Attest failed: no"),
            ("100%", "100%"),
            ("%zz%4%+4", "%zz%4%+4"),
            ("%25", "%"),
        ] {
            assert_eq!(unescaped(words.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn a_body_is_one_message_to_its_end() {
        assert_eq!(message(&framed(b"kbs")).unwrap(), b"kbs");
        assert_eq!(message(&framed(b"")).unwrap(), b"");
        for body in [
            &[][..],
            &[0; 4],
            &[0, 0, 0, 0, 2, 1],
            &[0, 0, 0, 0, 0, 1],
            &[1, 0, 0, 0, 1, 1],
            &[0, 255, 255, 255, 255, 1],
        ] {
            assert!(message(body).is_err(), "{body:?}");
        }
    }
}
