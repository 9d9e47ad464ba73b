//! A depot in an object store.

mod connect;

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
};
use uuid::Uuid;

use crate::bounds::{LISTED_MAX, STREAM_BLOCK_LEN, STREAM_BLOCKS};
use crate::error::{DepotError, Doing};
use crate::name::Name;
use crate::range::blocks;
use crate::tally::{Tally, Tasks};

pub(crate) use connect::connect;

/// A prefix in a store.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// An object as it was when it was looked at: another one of the same name is not read for it.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    path: Path,
    e_tag: Option<String>,
    pub(crate) len: u64,
}

impl Bucket {
    pub(crate) async fn find(&self, what: &str) -> Result<Found, DepotError> {
        let path = self.path(what);
        let found = self.store.head(&path).await;
        let found = found.map_err(|error| DepotError::store(Doing::Read, what, error))?;
        Ok(Found {
            path,
            e_tag: found.e_tag,
            len: found.size,
        })
    }

    /// Reads bytes of an object that has them, and no more than that, whatever the store sends.
    pub(crate) async fn read(&self, object: Found, range: Range<u64>) -> Result<Bytes, DepotError> {
        let what = &object.path;
        let failed = |error| DepotError::store(Doing::Read, what, error);
        let expected = range.end - range.start;
        let options = GetOptions {
            if_match: object.e_tag,
            range: Some(range.into()),
            ..GetOptions::default()
        };
        let sent = self.store.get_opts(&object.path, options).await;
        let mut sent = sent.map_err(failed)?.into_stream();
        let mut bytes = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
        let mut got = 0;
        while let Some(some) = sent.try_next().await.map_err(failed)? {
            got += some.len() as u64;
            if got > expected {
                break;
            }
            bytes.extend_from_slice(&some);
        }
        match got == expected {
            true => Ok(bytes.freeze()),
            false => Err(DepotError::Short {
                what: what.to_string(),
                expected,
                got,
            }),
        }
    }

    /// The same, block by block, a few at a time.
    pub(crate) fn stream(
        self,
        object: Found,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, DepotError>> {
        let read = move |block| {
            let (bucket, object) = (self.clone(), object.clone());
            async move { bucket.read(object, block).await }
        };
        stream::iter(blocks(range, STREAM_BLOCK_LEN))
            .map(read)
            .buffered(STREAM_BLOCKS)
            .boxed()
    }

    /// Writes a whole object.
    pub(crate) async fn write(&self, what: &str, bytes: Vec<u8>) -> Result<(), DepotError> {
        let payload = PutPayload::from(bytes);
        let written = self.store.put(&self.path(what), payload).await;
        written.map_err(|error| DepotError::store(Doing::Write, what, error))?;
        Ok(())
    }

    /// Writes a whole object, unless there is one: then says `false`.
    pub(crate) async fn write_anew(&self, what: &str, bytes: Vec<u8>) -> Result<bool, DepotError> {
        let mode = PutMode::Create.into();
        let payload = PutPayload::from(bytes);
        match self.store.put_opts(&self.path(what), payload, mode).await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(DepotError::store(Doing::Write, what, error)),
        }
    }

    /// Begins to write an object in parts.
    pub(crate) async fn begin(&self, what: &str) -> Result<Box<dyn MultipartUpload>, DepotError> {
        let begun = self.store.put_multipart(&self.path(what)).await;
        begun.map_err(|error| DepotError::store(Doing::Write, what, error))
    }

    /// Removes an object, if it is there.
    pub(crate) async fn remove(&self, what: &str) -> Result<(), DepotError> {
        match self.store.delete(&self.path(what)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(DepotError::store(Doing::Remove, what, error)),
        }
    }

    /// Removes all objects of a task.
    pub(crate) async fn remove_task(&self, task: Uuid) -> Result<usize, DepotError> {
        let what = task.hyphenated().to_string();
        let mut objects = self.store.list(Some(&self.path(&what)));
        let mut removed = 0;
        let failed = |error| DepotError::store(Doing::List, &what, error);
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            // Another task's would be an answer to something else.
            if let Some(name) = self.name(&object.location).filter(|name| name.task == task) {
                self.remove(&name.to_string()).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Looks at `limit` tasks behind `after`, and at one in any case.
    pub(crate) async fn tasks(
        &self,
        older_than: SystemTime,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Tasks, DepotError> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        let mut objects = match after {
            // Behind all names that begin with the id and a slash, which stands before the digits.
            Some(after) => {
                let behind = self.path(&format!("{}0", after.hyphenated()));
                self.store.list_with_offset(prefix, &behind)
            }
            None => self.store.list(prefix),
        };
        let mut tally = Tally::new(older_than, limit);
        let mut listed = 0;
        let failed = |error| DepotError::store(Doing::List, "objects", error);
        while let Some(object) = objects.try_next().await.map_err(failed)? {
            if listed == LISTED_MAX {
                return tally.end_within().ok_or(DepotError::Crowded { listed });
            }
            listed += 1;
            let name = self.name(&object.location);
            if let Some(name) = name.filter(|name| after.is_none_or(|after| name.task > after))
                && !tally.add(name, object.last_modified.into())?
            {
                return Ok(tally.end(false));
            }
        }
        Ok(tally.end(true))
    }

    /// The name of an object that is one of ours.
    fn name(&self, path: &Path) -> Option<Name> {
        let path = path.as_ref();
        let name = match self.prefix.as_ref() {
            "" => path,
            prefix => path.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        name.parse().ok()
    }

    fn path(&self, what: &str) -> Path {
        let path = match self.prefix.as_ref() {
            "" => Path::parse(what),
            prefix => Path::parse(format!("{prefix}/{what}")),
        };
        path.expect("names have neither empty words nor control characters")
    }
}
