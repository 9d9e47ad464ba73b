//! What the layers of an image unpack to, as far as its configuration says.

use propeller_model::Digest;

use super::ImageError;
use crate::layer::LayerError;
use crate::manifest::Config;

/// The digests of the archives in the layers, lowest first; none, if the configuration has none.
#[derive(Debug)]
pub(super) struct DiffIds(Vec<Digest>);

impl DiffIds {
    /// Those of an image of so many layers.
    pub(super) fn of(config: &Config, layers: usize) -> Result<Self, ImageError> {
        let diff_ids = &config.rootfs.diff_ids;
        match diff_ids.is_empty() || diff_ids.len() == layers {
            true => Ok(Self(diff_ids.clone())),
            false => Err(ImageError::Layers {
                diff_ids: diff_ids.len(),
                layers,
            }),
        }
    }

    /// Whether anything is said of a layer.
    pub(super) fn says(&self, layer: usize) -> bool {
        self.0.get(layer - 1).is_some()
    }

    /// Holds what a layer unpacks to against what is said of it, if anything is.
    pub(super) fn hold(&self, layer: usize, got: Digest) -> Result<(), LayerError> {
        match self.0.get(layer - 1) {
            Some(&expected) if expected != got => Err(LayerError::DiffId {
                layer,
                expected,
                got,
            }),
            _ => Ok(()),
        }
    }
}
