//! The module of an image whose layers are archives, for whoever has no room for any of them.
//!
//! The layers are read one after the other, and the one that has the module once more. The first time
//! says which file it is, how long, and that every layer is what its digests say.

use std::io::{self, BufRead, Read};

use aws_lc_rs::digest::{Context, SHA256};
use propeller_model::Digest;

use super::diff_ids::DiffIds;
use super::{ImageError, MAGIC, Place, config};
use crate::digest::finished;
use crate::layer::{Finding, LayerError, Scratch, Spot, UnpackLimits};
use crate::manifest::Descriptor;
use crate::signatures::Admitted;
use crate::source::{Source, held};

/// An image with a layer that is to be looked through. It has of manifest and configuration what that
/// takes, and no more: a few kilobytes.
#[derive(Debug)]
pub struct Survey {
    layers: Vec<Packed>,
    /// The next one, which there always is, from 1.
    number: usize,
    diff_ids: DiffIds,
    finding: Finding,
}

/// What comes after a layer.
#[derive(Debug)]
pub enum Next {
    /// Another layer.
    Layer(Survey),
    /// The module: all layers are what their digests say.
    Found {
        /// Where it is.
        module: Spot,
        /// In which layer.
        layer: Packed,
    },
}

/// A layer as its registry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub len: u64,
}

impl Survey {
    /// Fetches the configuration of an image, and holds what is said of the layers against the limits.
    ///
    /// # Errors
    ///
    /// [`ImageError`]; of an image whose module is a layer by itself as well: there is nothing to find.
    pub async fn begin(
        source: &dyn Source,
        admitted: &Admitted,
        limits: UnpackLimits,
    ) -> Result<Self, ImageError> {
        let resolved = admitted.resolved();
        let layers = &resolved.manifest.layers;
        if let Place::Layer(_) = resolved.manifest.place()? {
            return Err(ImageError::NoArchives);
        }
        if let Some(index) = layers.iter().position(Descriptor::is_encrypted) {
            return Err(ImageError::Encrypted { layer: index + 1 });
        }
        let (bytes, limit) = (resolved.manifest.bytes(), limits.unpacked_bytes);
        if bytes > limit {
            return Err(ImageError::TooLarge { bytes, limit });
        }
        let config = config(source, resolved).await?;
        Ok(Self {
            diff_ids: DiffIds::of(&config, layers.len())?,
            layers: layers.iter().map(Packed::of).collect(),
            number: 1,
            finding: Finding::new(config.program(), limits),
        })
    }

    /// All layers, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Packed] {
        &self.layers
    }

    /// The layer that is next, which is the one above the last.
    #[must_use]
    pub fn next(&self) -> Packed {
        self.layers[self.number - 1]
    }

    /// Reads the next layer to its end. It blocks.
    ///
    /// # Errors
    ///
    /// [`ImageError`]. What is read may end too early or have other bytes: that is told.
    pub fn look_through(
        mut self,
        layer: impl BufRead,
        scratch: &mut Scratch,
    ) -> Result<Next, ImageError> {
        let mut layer = Hashed::new(layer);
        let archive = self.finding.add(&mut layer, scratch)?;
        layer.hold(self.next(), self.number)?;
        self.diff_ids.hold(self.number, archive)?;
        if self.number < self.layers.len() {
            self.number += 1;
            return Ok(Next::Layer(self));
        }
        let module = self.finding.module()?;
        match module.start == MAGIC {
            true => Ok(Next::Found {
                layer: self.layers[module.layer - 1],
                module,
            }),
            false => Err(ImageError::NotWasm),
        }
    }
}

impl Packed {
    fn of(layer: &Descriptor) -> Self {
        Self {
            digest: layer.digest,
            len: layer.size,
        }
    }
}

/// What is hashed while it is read.
struct Hashed<R> {
    from: R,
    hash: Context,
    len: u64,
}

impl<R: BufRead> Hashed<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            hash: Context::new(&SHA256),
            len: 0,
        }
    }

    /// Reads what is left, and holds all of it against what it should be.
    fn hold(mut self, packed: Packed, layer: usize) -> Result<(), ImageError> {
        let read = io::copy(&mut self, &mut io::sink());
        read.map_err(|source| LayerError::Damaged { layer, source })?;
        held(packed.digest, packed.len, self.len, finished(self.hash))?;
        Ok(())
    }
}

impl<R: BufRead> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Hashed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        // Of what is there already: nothing is read for it.
        if let Some(bytes) = self.from.fill_buf().ok().and_then(|there| there.get(..len)) {
            self.hash.update(bytes);
            self.len += len as u64;
        }
        self.from.consume(len);
    }
}
