//! Layers that are read twice, and never in memory as a whole: once to find the module, and once for
//! its bytes.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use propeller_model::Digest;

use super::files::{Begun, Files, UnpackLimits};
use super::{LayerError, Scratch, decompressed};
use crate::digest::finished;

/// How much of a file is kept: how every module and component begins.
const START_LEN: usize = 4;

/// What could be the module in the layers so far, lowest layer first, without its bytes.
#[derive(Debug)]
pub struct Finding(Files<Trace>);

/// Where a module is in its layer, and what it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Its layer, from 1.
    pub layer: usize,
    /// Where it begins in its layer's archive, decompressed, in bytes.
    pub at: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Its digest.
    pub digest: Digest,
    /// How it begins; with zeros, if it is shorter.
    pub start: [u8; START_LEN],
}

/// What is kept of a file.
struct Trace {
    begun: Begun,
    hash: Context,
    start: [u8; START_LEN],
    /// Bytes of `start` that are there.
    started: usize,
}

/// A module on its way out of its layer. Its last bytes come when all of it is what was found, and not
/// before.
pub struct Module<'a> {
    archive: Box<dyn Read + 'a>,
    left: u64,
    hash: Context,
    expected: Digest,
}

impl Finding {
    /// Nothing yet, of an image that says it runs `program`.
    #[must_use]
    pub fn new(program: Option<&str>, limits: UnpackLimits) -> Self {
        Self(Files::new(program, limits))
    }

    /// Reads the next layer to its end, and says what its archive hashes to, which is its diff id.
    ///
    /// # Errors
    ///
    /// [`LayerError`].
    pub fn add(
        &mut self,
        layer: impl BufRead,
        scratch: &mut Scratch,
    ) -> Result<Digest, LayerError> {
        self.0.add(layer, scratch, |begun| Ok(Trace::new(begun)))
    }

    /// The module: what the image says it runs, or else the only one there is.
    ///
    /// # Errors
    ///
    /// [`LayerError`].
    pub fn module(self) -> Result<Spot, LayerError> {
        let chosen = self.0.module()?;
        let Trace {
            begun, hash, start, ..
        } = chosen.kept;
        Ok(Spot {
            layer: chosen.layer,
            at: begun.at,
            len: begun.len as u64,
            digest: finished(hash),
            start,
        })
    }
}

impl Spot {
    /// The module, out of its layer as it was when it was found.
    ///
    /// # Errors
    ///
    /// The layer cannot be read, or is another one.
    pub fn read<'a>(
        &self,
        layer: impl BufRead + 'a,
        scratch: &'a mut Scratch,
    ) -> io::Result<Module<'a>> {
        let mut archive = decompressed(layer, scratch)?;
        let before = io::copy(&mut archive.by_ref().take(self.at), &mut io::sink())?;
        if before < self.at {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Module {
            archive,
            left: self.len,
            hash: Context::new(&SHA256),
            expected: self.digest,
        })
    }
}

impl Read for Module<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.archive.by_ref().take(self.left).read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hash.update(&buffer[..read]);
        self.left -= read as u64;
        if self.left == 0 && finished(self.hash.clone()) != self.expected {
            return Err(io::Error::other("the layer is not what it was"));
        }
        Ok(read)
    }
}

impl Trace {
    fn new(begun: Begun) -> Self {
        Self {
            begun,
            hash: Context::new(&SHA256),
            start: [0; START_LEN],
            started: 0,
        }
    }
}

impl Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        let start = &mut self.start[self.started..];
        let fits = start.len().min(bytes.len());
        start[..fits].copy_from_slice(&bytes[..fits]);
        self.started += fits;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} bytes)", self.begun.len)
    }
}

impl fmt::Debug for Module<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({} bytes to come)", self.left)
    }
}
