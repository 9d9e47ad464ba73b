//! Where a depot is, as an operator writes it.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;

use object_store::path::Path;

use crate::bounds::LOCATION_LEN_MAX;

/// Where a depot is: an absolute folder, or `file:///…`, `s3://BUCKET/PREFIX`, `gs://…`, `az://…`.
///
/// It has no credentials in it: those are variables, which the vendors' own tools know as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(pub(crate) Place);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket {
        vendor: Vendor,
        bucket: String,
        prefix: Path,
    },
}

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    /// Amazon's, and that of many others.
    S3,
    Google,
    Azure,
}

/// Why a text is not a location. The text is not repeated: somebody may have put a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// Nothing is there.
    #[error("it is empty: name a folder, as in /var/lib/depot, or a bucket, as in s3://bucket")]
    Empty,
    /// More than the key of an object leaves room for.
    #[error("it has {len} bytes, and no more than {max} leave room for the names of objects")]
    TooLong {
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// A folder that depends on where a program is started.
    #[error(
        "a folder has to be named from the root on, as in /var/lib/depot: manager and proplets are \
         started in different folders"
    )]
    Relative,
    /// An address of something else.
    #[error("a depot is a folder, or begins with file:///, s3://, gs:// or az://")]
    Scheme,
    /// `file://` with a host or with escapes.
    #[error("after file:// comes a path from the root on, without %: or write the folder alone")]
    File,
    /// No bucket, or none that a vendor has.
    #[error(
        "after {scheme}:// comes the name of a bucket, of letters, digits, `.`, `-` and `_`; \
         credentials and addresses of servers do not belong there, but into the variables of its \
         vendor"
    )]
    Bucket {
        /// The scheme.
        scheme: &'static str,
    },
    /// A prefix that is no path of plain words.
    #[error(
        "after the bucket come words of letters, digits and any of `-_.~=+!`, with one / between \
         two of them"
    )]
    Prefix,
}

impl Location {
    /// The folder, if it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&FilePath> {
        match &self.0 {
            Place::Folder(folder) => Some(folder),
            Place::Bucket { .. } => None,
        }
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        if text.len() > LOCATION_LEN_MAX {
            let (len, max) = (text.len(), LOCATION_LEN_MAX);
            return Err(LocationError::TooLong { len, max });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return folder(text, LocationError::Relative);
        };
        match scheme {
            "file" if rest.contains('%') => Err(LocationError::File),
            "file" => folder(rest, LocationError::File),
            "s3" => bucket(Vendor::S3, rest),
            "gs" => bucket(Vendor::Google, rest),
            "az" => bucket(Vendor::Azure, rest),
            // A folder may have such a name, if anybody wants that.
            _ if text.starts_with('/') => folder(text, LocationError::Relative),
            _ => Err(LocationError::Scheme),
        }
    }
}

fn folder(text: &str, otherwise: LocationError) -> Result<Location, LocationError> {
    let path = PathBuf::from(text);
    match path.is_absolute() && !text.contains('\0') {
        true => Ok(Location(Place::Folder(path))),
        false => Err(otherwise),
    }
}

fn bucket(vendor: Vendor, rest: &str) -> Result<Location, LocationError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(is_plain) {
        let scheme = vendor.scheme();
        return Err(LocationError::Bucket { scheme });
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~=+!".contains(&byte);
    if prefix.starts_with('/') || !prefix.bytes().all(is_plain) {
        return Err(LocationError::Prefix);
    }
    // It knows words that are not allowed, such as `..`.
    let prefix = Path::parse(prefix).map_err(|_| LocationError::Prefix)?;
    let bucket = bucket.to_owned();
    Ok(Location(Place::Bucket {
        vendor,
        bucket,
        prefix,
    }))
}

impl Vendor {
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Folder(folder) => write!(f, "{}", folder.display()),
            Place::Bucket {
                vendor,
                bucket,
                prefix,
            } => {
                write!(f, "{}://{bucket}", vendor.scheme())?;
                match prefix.as_ref() {
                    "" => Ok(()),
                    prefix => write!(f, "/{prefix}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_shown_as_they_are_read() {
        for (text, shown) in [
            ("/var/lib/depot", "/var/lib/depot"),
            ("/", "/"),
            ("/a b/ü", "/a b/ü"),
            ("/odd://name", "/odd://name"),
            ("file:///var/lib/depot", "/var/lib/depot"),
            ("s3://b", "s3://b"),
            ("s3://b/", "s3://b"),
            ("s3://my.bucket-1/x/y/", "s3://my.bucket-1/x/y"),
            ("gs://b_c/x", "gs://b_c/x"),
            ("az://b/x=1/y+z", "az://b/x=1/y+z"),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(location), "{text}");
        }
    }

    #[test]
    fn what_is_no_location_is_refused_without_repeating_it() {
        let scheme = "s3";
        for (text, expected) in [
            ("", LocationError::Empty),
            ("depot", LocationError::Relative),
            ("./depot", LocationError::Relative),
            ("~/depot", LocationError::Relative),
            ("/de\0pot", LocationError::Relative),
            ("http://host/secret", LocationError::Scheme),
            ("S3://bucket", LocationError::Scheme),
            ("file://secret/x", LocationError::File),
            ("file:///a%20b", LocationError::File),
            ("file://", LocationError::File),
            ("s3://", LocationError::Bucket { scheme }),
            ("s3:///x", LocationError::Bucket { scheme }),
            ("s3://k:secret@b/x", LocationError::Bucket { scheme }),
            ("s3://b?k=secret", LocationError::Bucket { scheme }),
            ("s3://b/x?k=secret", LocationError::Prefix),
            ("s3://b/x#secret", LocationError::Prefix),
            ("s3://b//x", LocationError::Prefix),
            ("s3://b/x//y", LocationError::Prefix),
            ("s3://b/../y", LocationError::Prefix),
            ("s3://b/a%2fb", LocationError::Prefix),
            ("s3://b/ü", LocationError::Prefix),
        ] {
            let refused = text.parse::<Location>().unwrap_err();
            assert!(!refused.to_string().contains("secret"), "{refused}");
            assert_eq!(refused, expected, "{text}");
        }
        let long = format!("/{}", "x".repeat(LOCATION_LEN_MAX));
        let expected = LocationError::TooLong { len: 901, max: 900 };
        assert_eq!(long.parse::<Location>(), Err(expected));
    }
}
