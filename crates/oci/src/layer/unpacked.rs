//! Layers that are unpacked in memory, with every file that could be the module.

use std::fmt;
use std::io::{self, BufRead, Write};

use propeller_model::Digest;
use zeroize::Zeroizing;

use super::files::{Files, UnpackLimits};
use super::{LayerError, Scratch};
use crate::room::Room;

/// What could be the module in the layers so far, lowest layer first.
#[derive(Debug)]
pub struct Unpacked(Files<Bytes>);

/// A module out of layers.
pub struct Unearthed {
    /// The module.
    pub module: Zeroizing<Room>,
    /// The layer it was in, from 1.
    pub layer: usize,
}

/// What a file has.
struct Bytes(Zeroizing<Room>);

impl Unpacked {
    /// Nothing yet, of an image that says it runs `program`.
    #[must_use]
    pub fn new(program: Option<&str>, limits: UnpackLimits) -> Self {
        Self(Files::new(program, limits))
    }

    /// Unpacks the next layer, and says what its archive hashes to, which is its diff id.
    ///
    /// # Errors
    ///
    /// [`LayerError`].
    pub fn add(&mut self, layer: impl BufRead) -> Result<Digest, LayerError> {
        // In one place from the start: what grows leaves copies of itself behind.
        let room = |len| Room::with_capacity(len).map(|room| Bytes(Zeroizing::new(room)));
        self.0
            .add(layer, &mut Scratch::default(), |begun| room(begun.len))
    }

    /// The module: what the image says it runs, or else the only one there is.
    ///
    /// # Errors
    ///
    /// [`LayerError`].
    pub fn module(self) -> Result<Unearthed, LayerError> {
        let chosen = self.0.module()?;
        Ok(Unearthed {
            module: chosen.kept.0,
            layer: chosen.layer,
        })
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl fmt::Debug for Unearthed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unearthed({} bytes)", self.module.len())
    }
}
