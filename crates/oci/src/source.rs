//! Where images come from: a registry, or whoever fetches for us.

use std::pin::Pin;

use propeller_model::Digest;

use crate::Pieces;
use crate::Reference;
use crate::manifest::Descriptor;
use crate::registry::{Fetched, Kind, Progress, Registry, RegistryError, Stage};

/// What a source gives, when it is there.
pub type Coming<'a, T> = Pin<Box<dyn Future<Output = Result<T, RegistryError>> + Send + 'a>>;

/// Gives documents and blobs, held against their digests.
pub trait Source: Send + Sync {
    /// What `reference` leads to; see [`Registry::document`].
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched>;

    /// A blob; see [`Registry::blob`].
    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        descriptor: &'a Descriptor,
        progress: Progress<'a>,
    ) -> Coming<'a, Pieces>;
}

impl Source for Registry {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        Box::pin(self.document(reference))
    }

    fn blob<'a>(
        &'a self,
        reference: &'a Reference,
        descriptor: &'a Descriptor,
        progress: Progress<'a>,
    ) -> Coming<'a, Pieces> {
        Box::pin(self.blob(reference, descriptor, progress))
    }
}

/// What `reference` leads to, or nothing if there is no such manifest.
pub(crate) async fn find(
    source: &dyn Source,
    reference: &Reference,
) -> Result<Option<Fetched>, RegistryError> {
    match source.document(reference).await {
        Ok(fetched) => Ok(Some(fetched)),
        Err(error) if error.kind() == Kind::Name => Ok(None),
        Err(error) => Err(error),
    }
}

/// Holds a blob that somebody has fetched for us against its size and digest.
///
/// # Errors
///
/// [`RegistryError::Size`] and [`RegistryError::Digest`].
pub fn hold(descriptor: &Descriptor, len: usize, got: Digest) -> Result<(), RegistryError> {
    held(descriptor.digest, descriptor.size, len as u64, got)
}

/// As [`hold`], of a blob that should have `size` bytes.
pub(crate) fn held(
    expected: Digest,
    size: u64,
    len: u64,
    got: Digest,
) -> Result<(), RegistryError> {
    let stage = Stage::Blob;
    if len != size {
        return Err(RegistryError::Size {
            stage,
            bytes: len,
            at_least: false,
            why: format!("and its manifest says {size}"),
        });
    }
    match got == expected {
        true => Ok(()),
        false => Err(RegistryError::Digest {
            stage,
            expected,
            got,
        }),
    }
}
