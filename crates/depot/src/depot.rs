//! A place that has been tried out, and what can be done in it.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::bucket::{Bucket, connect};
use crate::directory::Directory;
use crate::error::{DepotError, Doing, OpenError, if_there};
use crate::folder::Folder;
use crate::location::{Location, Place};
use crate::mark::{Claim, MARK_LEN, MARK_NAME, Mark};
use crate::name::Name;
use crate::range::judge;
use crate::reader::Reader;
use crate::tally::Tasks;
use crate::writer::{BlockingWriter, Writer};

/// What is written, read back and removed when a depot is opened.
const PROBE: &[u8] = b"whether this can be used as a depot";

/// The store for the large inputs and outputs of tasks. Cheap to clone.
///
/// It belongs to the tokio runtime that it was opened in, and so do its writers and readers.
#[derive(Debug, Clone)]
pub struct Depot {
    location: Arc<Location>,
    backend: Backend,
    runtime: Handle,
}

#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Folder(Directory),
    Bucket(Bucket),
}

impl Depot {
    /// Opens a depot, and finds out whether it can be used: a small object is written, read back and
    /// removed.
    ///
    /// `variables` are the environment's, of which a store's credentials and address are read as
    /// its vendor's other tools do: `AWS_…`, `GOOGLE_…` or `AZURE_…`. A request is tried three times
    /// in 30 seconds, and takes no more than two minutes, unless `AWS_TIMEOUT` or its like says
    /// otherwise. A store's TLS is that of the process-wide provider of rustls.
    ///
    /// # Errors
    /// See [`OpenError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime, and if the process has no provider of rustls.
    pub async fn open<N: Into<String>, V: Into<String>>(
        location: &Location,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, OpenError> {
        let runtime = Handle::current();
        let backend = match &location.0 {
            Place::Folder(folder) => {
                Backend::Folder(Directory::new(Folder::open(folder)?, runtime.clone()))
            }
            Place::Bucket {
                vendor,
                bucket,
                prefix,
            } => Backend::Bucket(connect(*vendor, bucket, prefix, &owned(variables))?),
        };
        let depot = Self {
            location: Arc::new(location.clone()),
            backend,
            runtime,
        };
        depot.probe().await?;
        Ok(depot)
    }

    /// Finds out without asking anybody whether variables say how a store is reached. What is wrong
    /// with them does not pass by itself, so a service looks here before it starts.
    ///
    /// # Errors
    /// See [`OpenError`].
    ///
    /// # Panics
    /// If the process has no provider of rustls.
    pub fn judge<N: Into<String>, V: Into<String>>(
        location: &Location,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), OpenError> {
        match &location.0 {
            Place::Folder(_) => Ok(()),
            Place::Bucket {
                vendor,
                bucket,
                prefix,
            } => connect(*vendor, bucket, prefix, &owned(variables)).map(|_| ()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The depot's mark, which is made if there is none: this is what a manager does. Of several that
    /// do it at the same time one has made it, and all get the same.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn claim(&self) -> Result<Claim, OpenError> {
        let mark = Mark::random().map_err(|source| self.mark_error(Doing::Write, source))?;
        self.claim_with(mark).await
    }

    /// The same with a mark that was drawn before: whoever remembers it first knows after a crash
    /// that the depot is its own.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn claim_with(&self, mark: Mark) -> Result<Claim, OpenError> {
        if let Some(mark) = self.find_mark().await? {
            return Ok(Claim::Found(mark));
        }
        let failed = |source| self.mark_error(Doing::Write, source);
        let line = mark.to_line().into_bytes();
        let written = match &self.backend {
            Backend::Folder(folder) => folder.write_anew(MARK_NAME, line).await,
            Backend::Bucket(bucket) => bucket.write_anew(MARK_NAME, line).await,
        };
        match written.map_err(failed)? {
            true => Ok(Claim::Made(mark)),
            false => self.mark().await.map(Claim::Found),
        }
    }

    /// The depot's mark: this is what a proplet does.
    ///
    /// # Errors
    /// [`OpenError::Unclaimed`] if there is none, or another [`OpenError`].
    pub async fn mark(&self) -> Result<Mark, OpenError> {
        let location = self.location.to_string();
        let mark = self.find_mark().await?;
        mark.ok_or(OpenError::Unclaimed { location })
    }

    /// Begins to write an object: nothing is there under its name until it is finished, and then
    /// all of it, in the place of what had the name. A folder takes one only while it has its mark.
    #[must_use]
    pub fn writer(&self, name: Name) -> Writer {
        Writer::new(self.backend.clone(), self.runtime.clone(), name)
    }

    /// The same, for a thread that encodes.
    #[must_use]
    pub fn writer_blocking(&self, name: Name) -> BlockingWriter {
        BlockingWriter::new(self.writer(name), self.runtime.clone())
    }

    /// The length of an object in bytes, if it is there.
    ///
    /// # Errors
    /// See [`DepotError`].
    pub async fn len(&self, name: Name) -> Result<Option<u64>, DepotError> {
        let what = name.to_string();
        let len = match &self.backend {
            Backend::Folder(folder) => folder.open(&what).await.map(|(_, len)| len),
            Backend::Bucket(bucket) => bucket.find(&what).await.map(|found| found.len),
        };
        if_there(len)
    }

    /// Reads a range of an object, as it is now: if another one takes its place meanwhile, a folder
    /// still gives this one, and a store an error.
    ///
    /// # Errors
    /// [`DepotError::Missing`], [`DepotError::Range`], and others, also from the stream.
    pub async fn read(
        &self,
        name: Name,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, DepotError>>, DepotError> {
        let what = name.to_string();
        match &self.backend {
            Backend::Folder(folder) => {
                let (file, len) = folder.open(&what).await?;
                judge(&what, &range, len)?;
                Ok(folder.clone().stream(file, what, range))
            }
            Backend::Bucket(bucket) => {
                let found = bucket.find(&what).await?;
                judge(&what, &range, found.len)?;
                Ok(bucket.clone().stream(found, range))
            }
        }
    }

    /// Opens an object for a thread that decodes it, if it is there, as it is now: see
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// See [`DepotError`].
    pub async fn reader(&self, name: Name) -> Result<Option<Reader>, DepotError> {
        let what = name.to_string();
        let reader = match &self.backend {
            Backend::Folder(folder) => {
                let opened = folder.open(&what).await;
                opened.map(|(file, len)| Reader::of_file(file, len))
            }
            Backend::Bucket(bucket) => {
                let found = bucket.find(&what).await;
                let runtime = self.runtime.clone();
                found.map(|found| Reader::of_object(bucket.clone(), found, runtime))
            }
        };
        if_there(reader)
    }

    /// Removes an object. That it is not there is no error.
    ///
    /// # Errors
    /// See [`DepotError`].
    pub async fn remove(&self, name: Name) -> Result<(), DepotError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let remove = move |folder: &Folder| folder.remove(name);
                folder.does(Doing::Remove, name, remove).await
            }
            Backend::Bucket(bucket) => bucket.remove(&name.to_string()).await,
        }
    }

    /// Removes all objects of a task, and says how many files or objects that were. That there are
    /// none is no error.
    ///
    /// In a folder, what is being written for the task cannot be finished after that. In a store it
    /// can, and a later look at [`tasks`](Self::tasks) finds it.
    ///
    /// # Errors
    /// See [`DepotError`]. Some may be removed already.
    pub async fn remove_task(&self, task: Uuid) -> Result<usize, DepotError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let remove = move |folder: &Folder| folder.remove_task(task);
                folder.does(Doing::Remove, task, remove).await
            }
            Backend::Bucket(bucket) => bucket.remove_task(task).await,
        }
    }

    /// Removes what somebody began to write for a task and has not written to since `older_than`,
    /// and says how many files that were. In a store nobody sees such a thing, and there are none.
    ///
    /// # Errors
    /// See [`DepotError`]. Some may be removed already.
    pub async fn remove_unfinished(
        &self,
        task: Uuid,
        older_than: SystemTime,
    ) -> Result<usize, DepotError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let remove = move |folder: &Folder| folder.remove_unfinished(task, older_than);
                folder.does(Doing::Remove, task, remove).await
            }
            Backend::Bucket(_) => Ok(0),
        }
    }

    /// Looks at the first `limit` tasks behind `after`, in the order of their ids, and gives those
    /// whose newest object was written before `older_than`, and what else was: for a sweep of what
    /// a crash left.
    ///
    /// At least one task is looked at, and one that cannot be is passed over. What is not exactly a
    /// name of ours is passed over.
    ///
    /// # Errors
    /// See [`DepotError`].
    pub async fn tasks(
        &self,
        older_than: SystemTime,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Tasks, DepotError> {
        match &self.backend {
            Backend::Folder(folder) => {
                let look = move |folder: &Folder| folder.tasks(older_than, after, limit);
                folder.does(Doing::List, "tasks", look).await
            }
            Backend::Bucket(bucket) => bucket.tasks(older_than, after, limit).await,
        }
    }

    /// Finds out whether the depot can be used.
    async fn probe(&self) -> Result<(), OpenError> {
        let location = || self.location.to_string();
        let failed = |doing, source| OpenError::Probe {
            location: location(),
            doing,
            source,
        };
        let random = getrandom::u64().map_err(|_| failed(Doing::Write, DepotError::Random))?;
        // Others open the same depot at the same time.
        let what = format!("{MARK_NAME}-probe-{random:016x}");
        let written = match &self.backend {
            Backend::Folder(folder) => folder.write(&what, PROBE.to_vec()).await,
            Backend::Bucket(bucket) => bucket.write(&what, PROBE.to_vec()).await,
        };
        written.map_err(|source| failed(Doing::Write, source))?;
        let read = self.read_small(&what, PROBE.len()).await;
        let path = what.clone();
        let removed = match &self.backend {
            Backend::Folder(folder) => {
                let remove = move |folder: &Folder| folder.remove_beside(&path);
                folder.does(Doing::Remove, what, remove).await
            }
            Backend::Bucket(bucket) => bucket.remove(&what).await,
        };
        let read = read.map_err(|source| failed(Doing::Read, source))?;
        removed.map_err(|source| failed(Doing::Remove, source))?;
        match read.is_some_and(|read| read == PROBE) {
            true => Ok(()),
            false => Err(OpenError::Changed {
                location: location(),
            }),
        }
    }

    async fn find_mark(&self) -> Result<Option<Mark>, OpenError> {
        let location = || self.location.to_string();
        let line = if_there(self.read_small(MARK_NAME, MARK_LEN).await);
        let line = line.map_err(|source| self.mark_error(Doing::Read, source))?;
        let Some(line) = line else {
            return Ok(None);
        };
        let mark = line.and_then(|line| Mark::of_line(&line));
        mark.map(Some).ok_or_else(|| OpenError::NotAMark {
            location: location(),
        })
    }

    /// Reads an object of so many bytes, and none that is longer or shorter.
    async fn read_small(&self, what: &str, len: usize) -> Result<Option<Bytes>, DepotError> {
        let len = len as u64;
        let read = match &self.backend {
            Backend::Folder(folder) => match folder.open_beside(what).await? {
                (file, found) if found == len => folder.read(file.into(), what, 0..len).await,
                _ => return Ok(None),
            },
            Backend::Bucket(bucket) => match bucket.find(what).await? {
                found if found.len == len => bucket.read(found, 0..len).await,
                _ => return Ok(None),
            },
        };
        read.map(Some)
    }

    fn mark_error(&self, doing: Doing, source: DepotError) -> OpenError {
        OpenError::Mark {
            location: self.location.to_string(),
            doing,
            source,
        }
    }
}

fn owned<N: Into<String>, V: Into<String>>(
    variables: impl IntoIterator<Item = (N, V)>,
) -> Vec<(String, String)> {
    let variables = variables.into_iter();
    variables.map(|(n, v)| (n.into(), v.into())).collect()
}
