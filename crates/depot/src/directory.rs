//! A depot in a folder, for whoever must not block.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::runtime::Handle;

use crate::bounds::FILE_BLOCK_LEN;
use crate::error::{DepotError, Doing};
use crate::folder::{Folder, Staged};
use crate::range::blocks;

/// A folder, and the threads that wait for its disk.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    folder: Arc<Folder>,
    runtime: Handle,
}

impl Directory {
    pub(crate) fn new(folder: Folder, runtime: Handle) -> Self {
        Self {
            folder: Arc::new(folder),
            runtime,
        }
    }

    /// Does something in the folder.
    pub(crate) async fn does<T: Send + 'static>(
        &self,
        doing: Doing,
        what: impl ToString,
        act: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DepotError> {
        let folder = Arc::clone(&self.folder);
        let done = self.runtime.spawn_blocking(move || act(&folder)).await;
        let done = done.map_err(|_| DepotError::Ended)?;
        done.map_err(|source| DepotError::file(doing, what.to_string(), source))
    }

    /// Opens an object, and says how long it is.
    pub(crate) async fn open(&self, what: &str) -> Result<(File, u64), DepotError> {
        self.open_as(what, Folder::read_object).await
    }

    /// The same of what is beside the folders of tasks.
    pub(crate) async fn open_beside(&self, what: &str) -> Result<(File, u64), DepotError> {
        self.open_as(what, Folder::read).await
    }

    async fn open_as(
        &self,
        what: &str,
        open: impl FnOnce(&Folder, &str) -> io::Result<File> + Send + 'static,
    ) -> Result<(File, u64), DepotError> {
        let path = what.to_owned();
        let open = move |folder: &Folder| {
            let file = open(folder, &path)?;
            let len = file.metadata()?.len();
            Ok((file, len))
        };
        self.does(Doing::Read, what, open).await
    }

    /// Reads bytes of a file that has them.
    pub(crate) async fn read(
        &self,
        file: Arc<File>,
        what: &str,
        range: Range<u64>,
    ) -> Result<Bytes, DepotError> {
        let read = move |_: &Folder| read(&file, range);
        self.does(Doing::Read, what, read).await
    }

    /// The same, block by block, each when somebody wants it.
    pub(crate) fn stream(
        self,
        file: File,
        what: String,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, DepotError>> {
        let (this, file) = (Arc::new((self, what)), Arc::new(file));
        let read = move |block| {
            let (this, file) = (Arc::clone(&this), Arc::clone(&file));
            async move { this.0.read(file, &this.1, block).await }
        };
        stream::iter(blocks(range, FILE_BLOCK_LEN))
            .then(read)
            .boxed()
    }

    /// Writes what is beside the folders of tasks, in the place of what has the name.
    pub(crate) async fn write(&self, what: &str, bytes: Vec<u8>) -> Result<(), DepotError> {
        self.write_beside(what, bytes, Staged::name).await
    }

    /// The same, unless something has the name: then says `false`.
    pub(crate) async fn write_anew(&self, what: &str, bytes: Vec<u8>) -> Result<bool, DepotError> {
        self.write_beside(what, bytes, Staged::name_anew).await
    }

    async fn write_beside<T: Send + 'static>(
        &self,
        what: &str,
        bytes: Vec<u8>,
        name: impl FnOnce(Staged) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DepotError> {
        let path = what.to_owned();
        let write = move |folder: &Folder| {
            let mut staged = folder.begin_beside(&path)?;
            staged.write(&bytes)?;
            name(staged)
        };
        self.does(Doing::Write, what, write).await
    }
}

fn read(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}
