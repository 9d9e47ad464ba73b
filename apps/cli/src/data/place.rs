//! Where shards are kept: folders, and prefixes in object stores.

mod advice;
mod stores;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Handle;

pub(crate) use advice::advice;
pub use stores::StoreArgs;

/// The most files that are taken for shards of one object in one place: an object has at most 256,
/// and somebody may have left those of another geometry.
pub(crate) const FILES_MAX: usize = 512;
/// The most answers that a store may need to list what is called like shards of one object, each
/// with up to 1,000 names.
const PAGES_MAX: usize = 64;

/// A place as it is typed: a folder, or `s3://…`, `gs://…` or `az://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A folder.
    Folder(PathBuf),
    /// A prefix of a bucket or container.
    Bucket {
        /// As it is shown: without a `/` at its end.
        text: String,
        /// Whose protocol.
        kind: StoreKind,
        /// The bucket's or container's name.
        bucket: String,
        /// What stands behind it.
        prefix: Path,
    },
}

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// Amazon's, and that of many others.
    S3,
    /// Google's.
    Google,
    /// Microsoft's.
    Azure,
}

/// Reads a place. A text that looks like the address of something else is no folder.
pub(crate) fn destination(text: &str) -> Result<Destination, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return match text {
            "" => Err("name a folder".to_owned()),
            text => Ok(Destination::Folder(text.into())),
        };
    };
    let kind = match scheme {
        "s3" => StoreKind::S3,
        "gs" => StoreKind::Google,
        "az" => StoreKind::Azure,
        _ => return Err("a place is a folder, or begins with s3://, gs:// or az://".to_owned()),
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() || !bucket.bytes().all(is_of_buckets) {
        return Err(format!(
            "write {scheme}://BUCKET, or {scheme}://BUCKET/PREFIX: a bucket's name is of letters, \
             digits, `.`, `-` and `_`, and who you are and which server it is stands elsewhere"
        ));
    }
    let prefix = prefix_of(prefix)?;
    let text = match prefix.as_ref() {
        "" => format!("{scheme}://{bucket}"),
        prefix => format!("{scheme}://{bucket}/{prefix}"),
    };
    Ok(Destination::Bucket {
        text,
        kind,
        bucket: bucket.to_owned(),
        prefix,
    })
}

fn is_of_buckets(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_".contains(&byte)
}

/// What stands between a bucket's name and those of files. There is one way to write each: the client
/// of stores would forgive a `/` too many, and another tool take `?` and `#` for the end.
fn prefix_of(text: &str) -> Result<Path, String> {
    if text.starts_with('/') || text.contains(['?', '#', '%']) {
        return Err(
            "behind a bucket's name come words with one `/` between two of them, and no `?`, `#` \
             or `%`"
                .to_owned(),
        );
    }
    Path::parse(text).map_err(|error| error.to_string())
}

/// A place where shards are kept.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket(Bucket),
}

/// A prefix in a store.
#[derive(Clone)]
pub(crate) struct Bucket {
    text: String,
    kind: StoreKind,
    name: String,
    prefix: Path,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same: by name, and not by folder.
    list: Arc<dyn PaginatedListStore>,
    pub(crate) runtime: Handle,
}

/// A file in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) size: u64,
}

impl Place {
    /// The files whose names begin like this and are wanted, in the order of their names.
    ///
    /// Fails if there are more than [`FILES_MAX`]: nobody who puts shards makes so many.
    pub(crate) fn list(
        &self,
        stem: &str,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> io::Result<Vec<Entry>> {
        let mut entries = match self {
            Self::Folder(folder) => list_folder(folder, stem, is_wanted)?,
            Self::Bucket(bucket) => bucket.runtime.block_on(bucket.list(stem, is_wanted))?,
        };
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    pub(crate) fn remove(&self, file: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => fs::remove_file(folder.join(file)),
            Self::Bucket(bucket) => {
                let path = bucket.path(file);
                let removed = bucket.runtime.block_on(bucket.store.delete(&path));
                removed.map_err(io_error)
            }
        }
    }

    /// Where a file of this name is.
    pub(crate) fn location(&self, file: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(file).display().to_string(),
            Self::Bucket(bucket) => format!("{}/{file}", bucket.text),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket(bucket) => f.write_str(&bucket.text),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.text).finish()
    }
}

fn list_folder(
    folder: &FilePath,
    stem: &str,
    is_wanted: &dyn Fn(&str) -> bool,
) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Shards have names that are text; nothing else is one.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with(stem) && is_wanted(&name) {
            // Of what a link leads to. What cannot be looked at is found when it is opened.
            let size = fs::metadata(entry.path()).map_or(0, |meta| meta.len());
            add(&mut entries, Entry { name, size })?;
        }
    }
    Ok(entries)
}

fn add(entries: &mut Vec<Entry>, entry: Entry) -> io::Result<()> {
    if entries.len() == FILES_MAX {
        return Err(too_many());
    }
    entries.push(entry);
    Ok(())
}

fn too_many() -> io::Error {
    io::Error::other(format!(
        "there are more than {FILES_MAX} files that are called like shards of one object"
    ))
}

impl Bucket {
    /// The path of a file, whose name is one of an object's: taken as it is, and not escaped, so
    /// that other tools find it by the name it has in a folder.
    pub(crate) fn path(&self, file: &str) -> Path {
        let path = Path::parse(format!("{}{file}", self.folder()));
        path.expect("names have no slashes and no control characters")
    }

    /// What stands before the names of files.
    fn folder(&self) -> String {
        match self.prefix.as_ref() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    async fn list(&self, stem: &str, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
        let folder = self.folder();
        let prefix = format!("{folder}{stem}");
        let mut entries = Vec::new();
        let mut token = None;
        for _ in 0..PAGES_MAX {
            let options = PaginatedListOptions {
                page_token: token,
                // What is in folders below is not ours.
                delimiter: Some("/".into()),
                ..PaginatedListOptions::default()
            };
            let page = self.list.list_paginated(Some(&prefix), options).await;
            let page = page.map_err(io_error)?;
            for object in page.result.objects {
                let name = object.location.as_ref().strip_prefix(&folder);
                if let Some(name) = name.filter(|name| !name.contains('/') && is_wanted(name)) {
                    let (name, size) = (name.to_owned(), object.size);
                    add(&mut entries, Entry { name, size })?;
                }
            }
            token = page.page_token;
            if token.is_none() {
                return Ok(entries);
            }
        }
        Err(too_many())
    }
}

/// What a store says, as files would say it.
pub(crate) fn io_error(error: object_store::Error) -> io::Error {
    let kind = match error {
        object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_folders_or_prefixes_of_buckets() {
        assert_eq!(
            destination("/mnt/a"),
            Ok(Destination::Folder("/mnt/a".into()))
        );
        for (typed, kind, prefix, text) in [
            ("s3://b", StoreKind::S3, "", "s3://b"),
            ("s3://b/x/y/", StoreKind::S3, "x/y", "s3://b/x/y"),
            ("gs://b/x", StoreKind::Google, "x", "gs://b/x"),
            ("az://b/x", StoreKind::Azure, "x", "az://b/x"),
        ] {
            let expected = Destination::Bucket {
                text: text.to_owned(),
                kind,
                bucket: "b".to_owned(),
                prefix: prefix.into(),
            };
            assert_eq!(destination(typed), Ok(expected));
        }
        for text in ["", "http://host/x", "s3://", "s3:///x", "s3://b/x//y"] {
            assert!(destination(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bucket_has_one_name() {
        for text in [
            "s3://b?two",
            "s3://b#three",
            "s3://u@b",
            "s3://u:p@b",
            "s3://b:9000",
            "s3://b?x/sub",
            "s3://b%20/x",
            "s3://b//x",
            "s3://b/x?y",
            "s3://b/x#y",
            "s3://b/a%2fb",
            "s3://b/../x",
            "s3://b/x//",
            "az://c@account.blob.core.windows.net/x",
        ] {
            assert!(destination(text).is_err(), "{text}");
        }
        for (one, other) in [("s3://b", "s3://b/"), ("gs://b/ü x", "gs://b/ü x/")] {
            assert_eq!(destination(one), destination(other));
            assert!(destination(one).is_ok(), "{one}");
        }
    }
}
