//! Why no module comes out of an image.

use crate::crypt::DecryptError;
use crate::layer::LayerError;
use crate::manifest::ManifestError;
use crate::media;
use crate::registry::RegistryError;

/// Why no module comes out of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layers.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// An encrypted layer does not open.
    #[error("key: layer {layer} cannot be decrypted")]
    Decrypt {
        /// Which, from 1.
        layer: usize,
        /// Why.
        #[source]
        source: DecryptError,
    },
    /// An opened layer is not what its key says.
    #[error("digest: layer {layer} decrypts to other bytes than were encrypted")]
    Content {
        /// Which, from 1.
        layer: usize,
    },
    /// An index, a manifest or a configuration.
    #[error("media type: {0}")]
    Manifest(ManifestError),
    /// It has layers, but none that could hold a module.
    #[error(
        "media type: its layers are {types}; a module is {}, or in a tar archive",
        media::WASM_LAYER
    )]
    NoWasm {
        /// What they are.
        types: String,
    },
    /// Several layers say that they are the module.
    #[error("media type: {count} of its layers are modules, and nothing says which one to run")]
    Ambiguous {
        /// How many.
        count: usize,
    },
    /// Its layers are larger than what is fetched.
    #[error("size: its layers have {bytes} bytes, and at most {limit} are fetched")]
    TooLarge {
        /// How many they have.
        bytes: u64,
        /// How many they may have.
        limit: u64,
    },
    /// The configuration does not fit the layers.
    #[error("media type: its configuration is for {diff_ids} layers, and it has {layers}")]
    Layers {
        /// For how many.
        diff_ids: usize,
        /// How many there are.
        layers: usize,
    },
    /// There is nothing to find: its module is one of its layers.
    #[error("media type: its module is a layer by itself, and in no archive")]
    NoArchives,
    /// What is encrypted is not opened here.
    #[error("key: layer {layer} is encrypted, and is read here only as it is")]
    Encrypted {
        /// Which, from 1.
        layer: usize,
    },
    /// The process is on its way out.
    #[error("it is not opened any more: the process stops")]
    Stopped,
    /// What comes out is something else.
    #[error("media type: what the image holds is no WebAssembly: it does not begin with `\\0asm`")]
    NotWasm,
}

impl From<ManifestError> for ImageError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error)
    }
}
