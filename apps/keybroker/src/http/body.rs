//! Reads a request's body, so that nobody can hold the broker's memory with it.

use axum::extract::Request;
use axum::http::header;
use futures_util::StreamExt as _;
use propeller_attest::rcar::BODY_BYTES_MAX;
use zeroize::Zeroizing;

use super::Api;
use crate::refusal::Refusal;

/// A handshake with a quote has some 20 KB, with the event log of its firmware ten times as much:
/// none of them is to wait for bodies that never come.
const SMALL_BYTES_MAX: usize = 256 * 1024;
/// What is read of a body that is too large, so that whoever sends it gets to read why.
const DRAINED_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

impl Api {
    /// The whole body. One that may be large waits until there is room for it.
    pub(super) async fn body(&self, request: Request) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let len = request.headers().get(header::CONTENT_LENGTH);
        let len = len.and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
        let small = len.filter(|len| *len <= SMALL_BYTES_MAX);
        let _slot = match small {
            Some(_) => None,
            None => Some(
                self.large_bodies
                    .acquire()
                    .await
                    .map_err(|_| Refusal::TooSlow)?,
            ),
        };
        // At its full length from the start, so that growing leaves no copy of a secret behind.
        let reserve = len.unwrap_or(BODY_BYTES_MAX).min(BODY_BYTES_MAX);
        let mut body = Zeroizing::new(Vec::with_capacity(reserve));
        let mut pieces = request.into_body().into_data_stream();
        let mut seen = 0_usize;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Refusal::Invalid("the body ends early".to_owned()))?;
            seen = seen.saturating_add(piece.len());
            if seen <= BODY_BYTES_MAX {
                body.extend_from_slice(&piece);
            } else if seen > DRAINED_BYTES_MAX {
                break;
            }
        }
        match seen > BODY_BYTES_MAX {
            true => Err(Refusal::TooLarge),
            false => Ok(body),
        }
    }
}
