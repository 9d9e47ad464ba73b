//! Reading what a registry sends: no more than was agreed, and only what was named.

use std::io::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use propeller_model::Digest;
use reqwest::{Response, Url};
use tokio::sync::mpsc;

use super::pace::Paced;
use super::{Pace, RegistryError, Stage};
use crate::digest::finished;
use crate::excerpt::excerpt;
use crate::pieces::Pieces;

/// Told how many more bytes have moved.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// Reads a body that has at most `limit` bytes.
pub(super) async fn read_at_most(
    response: Response,
    limit: u64,
    pace: Pace,
    stage: Stage,
    host: &str,
) -> Result<Vec<u8>, RegistryError> {
    let too_large = |bytes, at_least| RegistryError::Size {
        stage,
        bytes,
        at_least,
        why: format!("and at most {limit} are read"),
    };
    if let Some(said) = response.content_length().filter(|said| *said > limit) {
        return Err(too_large(said, false));
    }
    let mut bytes = Vec::new();
    let mut pieces = Paced::new(response.bytes_stream(), pace, stage, host);
    while let Some(piece) = pieces.next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > limit {
            return Err(too_large(limit, true));
        }
    }
    Ok(bytes)
}

/// Where the pieces of a blob go, in their order.
pub(super) trait Sink {
    /// Takes the next piece; without a place for more, the rest is not read.
    async fn take(&mut self, piece: Bytes) -> Result<(), RegistryError>;
}

/// Everything in memory, for as long as it is read.
pub(super) struct Whole<'a> {
    pub(super) bytes: Pieces,
    progress: Progress<'a>,
}

impl<'a> Whole<'a> {
    /// For a blob of `size` bytes, which take no memory before they come.
    pub(super) fn new(size: u64, progress: Progress<'a>) -> Result<Self, RegistryError> {
        let pieces = Pieces::with_capacity(usize::try_from(size).unwrap_or(usize::MAX));
        let bytes = pieces.map_err(|source| RegistryError::Memory {
            bytes: size,
            source,
        })?;
        Ok(Self { bytes, progress })
    }
}

impl Sink for Whole<'_> {
    async fn take(&mut self, piece: Bytes) -> Result<(), RegistryError> {
        let taken = self.bytes.write_all(&piece);
        // Whoever reads a body holds it against the size that there is room for.
        taken.map_err(|_| RegistryError::Stopped)?;
        (self.progress)(piece.len() as u64);
        Ok(())
    }
}

impl Sink for mpsc::Sender<Bytes> {
    async fn take(&mut self, piece: Bytes) -> Result<(), RegistryError> {
        let taken = self.send(piece).await;
        taken.map_err(|_| RegistryError::Stopped)
    }
}

/// Reads a body that has `size` bytes and this digest, from `registry` or from wherever that has sent
/// us.
pub(super) async fn read_exactly(
    response: Response,
    size: u64,
    expected: Digest,
    pace: Pace,
    registry: &str,
    sink: &mut impl Sink,
) -> Result<(), RegistryError> {
    let stage = Stage::Blob;
    let host = authority(response.url());
    let by = match host == registry {
        true => String::new(),
        false => format!(", from {host}"),
    };
    let lies = |bytes, at_least| RegistryError::Size {
        stage,
        bytes,
        at_least,
        why: format!("and its manifest says {size}{by}"),
    };
    if let Some(said) = response.content_length().filter(|said| *said != size) {
        return Err(lies(said, false));
    }
    let mut read = 0;
    let mut hash = Context::new(&SHA256);
    let mut pieces = Paced::new(response.bytes_stream(), pace, stage, &host);
    while let Some(piece) = pieces.next().await? {
        read += piece.len() as u64;
        if read > size {
            return Err(lies(size, true));
        }
        hash.update(&piece);
        sink.take(piece).await?;
    }
    if read < size {
        return Err(lies(read, false));
    }
    held(stage, expected, finished(hash))
}

/// Holds a digest against the one that was named.
pub(super) fn held(stage: Stage, expected: Digest, got: Digest) -> Result<(), RegistryError> {
    match got == expected {
        true => Ok(()),
        false => Err(RegistryError::Digest {
            stage,
            expected,
            got,
        }),
    }
}

/// Who answers at an address, with the port where that says more.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => excerpt(&format!("{host}:{port}")),
        None => excerpt(host),
    }
}

pub(super) fn network(source: reqwest::Error, stage: Stage, host: &str) -> RegistryError {
    RegistryError::Network {
        stage,
        host: host.to_owned(),
        // An address may have a signature in it.
        source: source.without_url(),
    }
}
