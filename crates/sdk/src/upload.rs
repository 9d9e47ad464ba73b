//! A module on its way to the manager.

use std::fmt;
use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use reqwest::Body;
use reqwest::multipart::{Form, Part};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

/// How much is read, sent and counted at a time: large enough to be cheap, small enough that a
/// progress bar moves.
const CHUNK_BYTES: usize = 64 << 10;

/// The slowest link that uploads and downloads are made for: 100 MiB take 27 minutes.
const BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// A file for a task.
pub struct Upload {
    file_name: String,
    reader: Box<dyn AsyncRead + Send + Unpin>,
    len: u64,
    progress: Box<dyn FnMut(u64) + Send>,
}

impl Upload {
    /// A file in memory.
    #[must_use]
    pub fn from_bytes(file_name: impl Into<String>, bytes: Bytes) -> Self {
        let len = bytes.len() as u64;
        Self::from_reader(file_name, Cursor::new(bytes), len)
    }

    /// A file of `len` bytes that is read while it is sent; what comes after them is left alone.
    #[must_use]
    pub fn from_reader(
        file_name: impl Into<String>,
        reader: impl AsyncRead + Send + Unpin + 'static,
        len: u64,
    ) -> Self {
        Self {
            file_name: file_name.into(),
            reader: Box::new(reader),
            len,
            progress: Box::new(|_| ()),
        }
    }

    /// Calls `progress` with the number of bytes sent so far, after every few of them.
    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// How long a file of this length may take on the slowest link.
    pub(crate) fn time_max(&self) -> Duration {
        time_max(self.len)
    }

    pub(crate) fn into_form(self) -> Form {
        let Self {
            file_name,
            reader,
            len,
            mut progress,
        } = self;
        let mut sent = 0;
        let chunks = ReaderStream::with_capacity(reader.take(len), CHUNK_BYTES);
        let counted = chunks.inspect_ok(move |chunk| {
            sent += chunk.len() as u64;
            progress(sent);
        });
        let part = Part::stream_with_length(Body::wrap_stream(counted), len).file_name(file_name);
        Form::new().part("file", part)
    }
}

/// How long so many bytes may take on the slowest link.
pub(crate) fn time_max(bytes: u64) -> Duration {
    Duration::from_secs(bytes / BYTES_PER_SECOND_MIN)
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("file_name", &self.file_name)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
