//! ttrpc, over a Unix socket: one question on one connection.
//!
//! ```text
//!  length u32 │ stream u32 │ 1 question, 2 answer │ 0 │ message in protobuf
//!  question   1 service │ 2 method │ 3 its message │ 4 nanoseconds that it may take
//!  answer     1 status (1 code │ 2 words) │ 2 its message
//! ```
//!
//! Numbers of the header are big-endian.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::error::{Fault, excerpt};
use super::{MESSAGE_BYTES_MAX, PATIENCE, Question, SERVICE, answered, protobuf};

const HEADER_BYTES: usize = 10;
/// The first of a client's, which are odd.
const STREAM: u32 = 1;
const QUESTION: u8 = 1;
const ANSWER: u8 = 2;

pub(super) async fn ask(
    socket: &Path,
    question: Question<'_>,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(&frame(question)).await?;
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let mut message = Zeroizing::new(vec![0; length(header)?]);
    stream.read_exact(&mut message).await?;
    answer(&message)
}

fn frame(question: Question<'_>) -> Vec<u8> {
    let mut message = Vec::new();
    protobuf::put_bytes(&mut message, 1, SERVICE.as_bytes());
    protobuf::put_bytes(&mut message, 2, question.method().as_bytes());
    protobuf::put_always(&mut message, 3, &question.message());
    let nanoseconds = u64::try_from(PATIENCE.as_nanos()).expect("it is less than a minute");
    protobuf::put_number(&mut message, 4, nanoseconds);
    let length = u32::try_from(message.len()).expect("a question has a few hundred bytes");
    [
        &length.to_be_bytes()[..],
        &STREAM.to_be_bytes(),
        &[QUESTION, 0],
        &message,
    ]
    .concat()
}

/// How long an answer is.
fn length(header: [u8; HEADER_BYTES]) -> Result<usize, Fault> {
    let [a, b, c, d, stream @ .., kind, _flags] = header;
    if u32::from_be_bytes(stream) != STREAM || kind != ANSWER {
        return Err(Fault::Malformed("it is no answer in ttrpc to the question"));
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d]));
    length
        .ok()
        .filter(|length| *length <= MESSAGE_BYTES_MAX)
        .ok_or(Fault::TooLong)
}

fn answer(message: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let status = protobuf::bytes(message, 1)?;
    match protobuf::number(status, 1)? {
        0 => answered(protobuf::bytes(message, 2)?),
        code => {
            let words = excerpt(protobuf::bytes(status, 2)?);
            Err(Fault::Refused(format!("{words} (code {code})")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_these_bytes() {
        let expected = [
            &[0, 0, 0, 0x40, 0, 0, 0, 1, 1, 0][..],
            b"\x0a\x29attestation_agent.AttestationAgentService",
            b"\x12\x0aGetTeeType\x1a\0\x20",
            &[0x80, 0xe8, 0xed, 0xa1, 0xba, 0x01],
        ];
        assert_eq!(frame(Question::Tee), expected.concat());
    }
}
