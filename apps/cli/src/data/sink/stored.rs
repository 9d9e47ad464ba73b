//! Shards that are written to stores.

use std::fmt;
use std::io;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutMode, PutPayload};
use tokio::task::JoinHandle;

use super::Takes;
use crate::data::place::{Bucket, io_error};

/// What is sent to a store at once, in bytes: one part is gathered while another is under way.
const PART_LEN: u64 = 8 * 1024 * 1024;
/// The most parts that S3 makes an object of.
const PARTS_MAX: u64 = 10_000;

/// An object of a store, sent in parts, or at once if it is small.
pub(super) struct StoredSink {
    bucket: Bucket,
    path: Path,
    part_len: usize,
    buf: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
    under_way: Option<JoinHandle<object_store::Result<()>>>,
}

impl StoredSink {
    pub(super) fn new(bucket: &Bucket, file: &str, len: Option<u64>) -> Self {
        Self {
            bucket: bucket.clone(),
            path: bucket.path(file),
            part_len: part_len(len),
            buf: Vec::new(),
            upload: None,
            under_way: None,
        }
    }

    pub(super) fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.buf.len() == self.part_len {
            self.send()?;
        }
        let len = buf.len().min(self.part_len - self.buf.len());
        self.buf.extend_from_slice(&buf[..len]);
        Ok(len)
    }

    /// Sends what is gathered, when what was sent before has arrived.
    fn send(&mut self) -> io::Result<()> {
        self.wait()?;
        let payload = PutPayload::from(std::mem::take(&mut self.buf));
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let begun = self.bucket.store.put_multipart(&self.path);
                let begun = self.bucket.runtime.block_on(begun).map_err(io_error)?;
                none.insert(begun)
            }
        };
        let part = upload.put_part(payload);
        self.under_way = Some(self.bucket.runtime.spawn(part));
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.under_way.take() {
            Some(part) => {
                let sent = self.bucket.runtime.block_on(part);
                sent.map_err(io::Error::other)?.map_err(io_error)
            }
            None => Ok(()),
        }
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.upload.is_some() && !self.buf.is_empty() {
            self.send()?;
        }
        self.wait()
    }

    /// Has the store show it under its name.
    ///
    /// A store that is sent it at once refuses a name that is taken. One that was sent parts has no
    /// such choice: the name is looked at right before.
    pub(super) fn place(&mut self, takes: Takes) -> io::Result<()> {
        let runtime = &self.bucket.runtime;
        let placed = match &mut self.upload {
            Some(upload) => runtime.block_on(async {
                if takes == Takes::FreeName {
                    is_free(&self.bucket, &self.path).await?;
                }
                upload.complete().await
            }),
            None => {
                let payload = PutPayload::from(std::mem::take(&mut self.buf));
                let mode = match takes {
                    Takes::FreeName => PutMode::Create,
                    Takes::PlaceOfAnother => PutMode::Overwrite,
                };
                let store = &self.bucket.store;
                runtime.block_on(store.put_opts(&self.path, payload, mode.into()))
            }
        };
        placed.map(|_| ()).map_err(io_error)
    }

    pub(super) fn abort(&mut self) -> io::Result<()> {
        if let Some(part) = self.under_way.take() {
            part.abort();
            // Cancelled, or done: in either case nothing of it arrives later.
            self.bucket.runtime.block_on(part).ok();
        }
        match &mut self.upload {
            Some(upload) => {
                let aborted = self.bucket.runtime.block_on(upload.abort());
                aborted.map_err(io_error)
            }
            None => Ok(()),
        }
    }

    pub(super) fn delete(&mut self) -> io::Result<()> {
        let deleted = self.bucket.store.delete(&self.path);
        self.bucket.runtime.block_on(deleted).map_err(io_error)
    }
}

impl fmt::Debug for StoredSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSink")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Fails if something has the name.
async fn is_free(bucket: &Bucket, path: &Path) -> object_store::Result<()> {
    match bucket.store.head(path).await {
        Ok(_) => Err(object_store::Error::AlreadyExists {
            path: path.to_string(),
            source: "it came there meanwhile".into(),
        }),
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Parts that are large enough for as many of them as there may be.
fn part_len(len: Option<u64>) -> usize {
    // A shard is longer than the share of the input that it was estimated from.
    let enough = len.unwrap_or(0).div_ceil(PARTS_MAX - PARTS_MAX / 10);
    let len = PART_LEN.max(enough);
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_large_as_their_number_needs() {
        let mib = 1024 * 1024;
        assert_eq!(part_len(None), 8 * mib);
        assert_eq!(part_len(Some(0)), 8 * mib);
        // A tebibyte in one shard.
        let tebibyte = 1 << 40;
        let parts = tebibyte / part_len(Some(tebibyte)) as u64;
        assert!(parts < PARTS_MAX, "{parts}");
    }
}
