//! Objects that are written as a stream.

use std::fmt;
use std::io;

use object_store::{MultipartUpload, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::bounds::{FILE_PART_LEN, OBJECT_LEN_MAX, PARTS_IN_FLIGHT, part_len};
use crate::bucket::Bucket;
use crate::depot::Backend;
use crate::directory::Directory;
use crate::error::{DepotError, Doing};
use crate::folder::{Folder, Staged};
use crate::name::Name;

/// An object that is being written. If it is dropped before it is finished, there is none.
///
/// A write that failed, or whose future was dropped, leaves a writer that cannot be finished.
pub struct Writer {
    name: Name,
    sink: Sink,
    gathered: Vec<u8>,
    len: u64,
    /// From the start of a write to its success.
    is_broken: bool,
    runtime: Handle,
}

enum Sink {
    Folder {
        directory: Directory,
        staged: Option<Staged>,
    },
    Bucket {
        bucket: Bucket,
        upload: Option<Upload>,
    },
}

/// Parts on their way to a store.
struct Upload {
    upload: Box<dyn MultipartUpload>,
    parts: JoinSet<object_store::Result<()>>,
    sent: u32,
}

impl Writer {
    pub(crate) fn new(backend: Backend, runtime: Handle, name: Name) -> Self {
        let sink = match backend {
            Backend::Folder(directory) => Sink::Folder {
                directory,
                staged: None,
            },
            Backend::Bucket(bucket) => Sink::Bucket {
                bucket,
                upload: None,
            },
        };
        Self {
            name,
            sink,
            gathered: Vec::new(),
            len: 0,
            is_broken: false,
            runtime,
        }
    }

    /// Writes more bytes. Most calls only copy them; some wait for the disk or the store.
    ///
    /// # Errors
    /// See [`DepotError`].
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), DepotError> {
        self.begin()?;
        self.len += bytes.len() as u64;
        if matches!(self.sink, Sink::Bucket { .. }) && self.len > OBJECT_LEN_MAX {
            return Err(DepotError::TooLong {
                what: self.name.to_string(),
                max: OBJECT_LEN_MAX,
            });
        }
        while !bytes.is_empty() {
            let part_len = self.sink.part_len();
            if self.gathered.len() == part_len {
                self.sink
                    .send(self.name, &mut self.gathered, &self.runtime)
                    .await?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(part_len - self.gathered.len()));
            if self.gathered.capacity() - self.gathered.len() < now.len() {
                self.gathered.reserve_exact(part_len - self.gathered.len());
            }
            self.gathered.extend_from_slice(now);
            bytes = later;
        }
        self.is_broken = false;
        Ok(())
    }

    /// Writes the rest, gives the object its name, and says how many bytes it has.
    ///
    /// # Errors
    /// See [`DepotError`]. There is no object then; after an answer of a store that was lost there
    /// may be a whole one.
    pub async fn finish(mut self) -> Result<u64, DepotError> {
        self.begin()?;
        let gathered = std::mem::take(&mut self.gathered);
        self.sink.finish(self.name, gathered, &self.runtime).await?;
        Ok(self.len)
    }

    fn begin(&mut self) -> Result<(), DepotError> {
        match std::mem::replace(&mut self.is_broken, true) {
            false => Ok(()),
            true => Err(DepotError::Broken {
                what: self.name.to_string(),
            }),
        }
    }
}

impl Sink {
    /// How much is gathered before it is sent.
    fn part_len(&self) -> usize {
        match self {
            Self::Folder { .. } => FILE_PART_LEN,
            Self::Bucket { upload, .. } => part_len(upload.as_ref().map_or(0, |up| up.sent)),
        }
    }

    /// Sends what is gathered.
    async fn send(
        &mut self,
        name: Name,
        gathered: &mut Vec<u8>,
        runtime: &Handle,
    ) -> Result<(), DepotError> {
        match self {
            Self::Folder { directory, staged } => {
                let (begun, mut bytes) = (staged.take(), std::mem::take(gathered));
                let write = move |folder: &Folder| {
                    let mut staged = begin(folder, name, begun)?;
                    staged.write(&bytes)?;
                    bytes.clear();
                    Ok((staged, bytes))
                };
                let (begun, bytes) = directory.does(Doing::Write, name, write).await?;
                (*staged, *gathered) = (Some(begun), bytes);
                Ok(())
            }
            Self::Bucket { bucket, upload } => {
                let upload = match upload {
                    Some(upload) => upload,
                    none => none.insert(Upload {
                        upload: bucket.begin(&name.to_string()).await?,
                        parts: JoinSet::new(),
                        sent: 0,
                    }),
                };
                upload.send(name, std::mem::take(gathered), runtime).await
            }
        }
    }

    /// Sends the rest, and gives the object its name.
    async fn finish(
        &mut self,
        name: Name,
        gathered: Vec<u8>,
        runtime: &Handle,
    ) -> Result<(), DepotError> {
        match self {
            Self::Folder { directory, staged } => {
                let begun = staged.take();
                let write = move |folder: &Folder| {
                    let mut staged = begin(folder, name, begun)?;
                    staged.write(&gathered)?;
                    folder.name(staged)
                };
                directory.does(Doing::Write, name, write).await
            }
            Self::Bucket { bucket, upload } => match upload {
                // What is short is not worth an upload of three requests.
                None => bucket.write(&name.to_string(), gathered).await,
                Some(begun) => {
                    if !gathered.is_empty() {
                        begun.send(name, gathered, runtime).await?;
                    }
                    begun.finish(name).await?;
                    *upload = None;
                    Ok(())
                }
            },
        }
    }
}

fn begin(folder: &Folder, name: Name, begun: Option<Staged>) -> io::Result<Staged> {
    match begun {
        Some(staged) => Ok(staged),
        None => folder.begin(name),
    }
}

impl Upload {
    async fn send(
        &mut self,
        name: Name,
        bytes: Vec<u8>,
        runtime: &Handle,
    ) -> Result<(), DepotError> {
        while self.parts.len() >= PARTS_IN_FLIGHT {
            self.wait(name).await?;
        }
        let part = self.upload.put_part(PutPayload::from(bytes));
        self.parts.spawn_on(part, runtime);
        self.sent += 1;
        Ok(())
    }

    /// Waits for a part to arrive, if one is under way.
    async fn wait(&mut self, name: Name) -> Result<(), DepotError> {
        let arrived = self.parts.join_next().await.unwrap_or(Ok(Ok(())));
        let arrived = arrived.map_err(|_| DepotError::Ended)?;
        arrived.map_err(|error| DepotError::store(Doing::Write, name, error))
    }

    async fn finish(&mut self, name: Name) -> Result<(), DepotError> {
        while !self.parts.is_empty() {
            self.wait(name).await?;
        }
        let completed = self.upload.complete().await;
        completed.map_err(|error| DepotError::store(Doing::Write, name, error))?;
        Ok(())
    }

    /// Ends it without an object.
    async fn abort(mut self) {
        // Nothing of it arrives after the store has been told.
        self.parts.shutdown().await;
        // A store that cannot be told keeps the parts, until a rule of the bucket removes them.
        self.upload.abort().await.ok();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Sink::Bucket { upload, .. } = &mut self.sink
            && let Some(upload) = upload.take()
        {
            // It ends by itself, after as many tries as any other request has.
            drop(self.runtime.spawn(upload.abort()));
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("name", &self.name)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// A [`Writer`] for a thread that may wait, which is none of the runtime's own.
#[derive(Debug)]
pub struct BlockingWriter {
    writer: Writer,
    runtime: Handle,
}

impl BlockingWriter {
    pub(crate) fn new(writer: Writer, runtime: Handle) -> Self {
        Self { writer, runtime }
    }

    /// Writes the rest, gives the object its name, and says how many bytes it has.
    ///
    /// # Errors
    /// See [`Writer::finish`].
    ///
    /// # Panics
    /// Within asynchronous code, like every write.
    pub fn finish(self) -> Result<u64, DepotError> {
        self.runtime.block_on(self.writer.finish())
    }
}

impl io::Write for BlockingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.runtime.block_on(self.writer.write(bytes));
        written.map_err(DepotError::into_io)?;
        Ok(bytes.len())
    }

    /// Does nothing: what is not finished is not there.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
