//! Where in an image its module is, by what the manifest says of the layers.

use super::ImageError;
use crate::excerpt::excerpt;
use crate::manifest::{Descriptor, Manifest, essence};
use crate::media;

/// How many media types an error lists.
const TYPES_SHOWN: usize = 3;

/// Where the module of an image is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// It is this layer.
    Layer(usize),
    /// It is a file in the layers, which are archives.
    Archives,
}

/// What kind of layer a media type is of, and whether it is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Wasm,
    Tar,
    Other,
}

impl Manifest {
    /// Where the module is.
    ///
    /// # Errors
    ///
    /// [`ImageError::NoWasm`], [`ImageError::Ambiguous`].
    pub fn place(&self) -> Result<Place, ImageError> {
        let of = |kind| {
            let all = self.layers.iter().enumerate();
            all.filter(move |(_, layer)| layer.kind() == kind)
        };
        match (of(Kind::Wasm).count(), of(Kind::Wasm).next()) {
            (1, Some((index, _))) => return Ok(Place::Layer(index)),
            (0, _) => {}
            (count, _) => return Err(ImageError::Ambiguous { count }),
        }
        if !self.layers.is_empty() && of(Kind::Tar).count() == self.layers.len() {
            return Ok(Place::Archives);
        }
        let types = self.layers.iter().take(TYPES_SHOWN);
        let types: Vec<_> = types.map(|layer| excerpt(&layer.media_type)).collect();
        Err(ImageError::NoWasm {
            types: if types.is_empty() {
                "none".to_owned()
            } else {
                types.join(", ")
            },
        })
    }

    /// Whether its module is encrypted, wherever in its layers that is: one plain layer could bring
    /// another module.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        match self.place() {
            Ok(Place::Layer(index)) => self.layers[index].is_encrypted(),
            Ok(Place::Archives) => self.layers.iter().all(Descriptor::is_encrypted),
            Err(_) => false,
        }
    }

    /// How many bytes its layers have, as they are fetched.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sizes = self.layers.iter().map(|layer| layer.size);
        sizes.fold(0, u64::saturating_add)
    }
}

impl Descriptor {
    /// Whether it is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        essence(&self.media_type).ends_with(media::ENCRYPTED)
    }

    fn kind(&self) -> Kind {
        let media_type = essence(&self.media_type);
        let inner = media_type.strip_suffix(media::ENCRYPTED);
        match inner.unwrap_or(media_type) {
            media::WASM_LAYER | media::WASM_LAYER_OLD => Kind::Wasm,
            inner if is_tar(inner) => Kind::Tar,
            _ => Kind::Other,
        }
    }
}

/// Compression is seen in the bytes, so any is taken here.
fn is_tar(media_type: &str) -> bool {
    const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    const DOCKER_PLAIN: &str = "application/vnd.docker.image.rootfs.diff.tar";
    [media::TAR_LAYER, FOREIGN, DOCKER_PLAIN]
        .into_iter()
        .any(|known| {
            let rest = media_type.strip_prefix(known);
            rest.is_some_and(|rest| matches!(rest, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
        })
}
