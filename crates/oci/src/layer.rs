//! Finding the module in layers that are tar archives.
//!
//! Layers come from strangers: what they unpack to is bounded, nothing is written anywhere, and a
//! name that leads out of the archive, twice to the same place, or to something else is refused.

mod archive;
mod files;
mod found;
mod unpacked;

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Cursor, Read};
use std::rc::Rc;

use aws_lc_rs::digest::{Context, SHA256};
use propeller_model::Digest;
use zstd::zstd_safe::DCtx;

use crate::digest::finished;

pub use files::UnpackLimits;
pub use found::{Finding, Module, Spot};
pub use unpacked::{Unearthed, Unpacked};

/// How compressed bytes begin: RFC 1952 and RFC 8878. Media types are not always true about it.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How much memory decompression may use for what it looks back at; 8 MiB is what RFC 8878 (section
/// 3.1.1.1.2) asks every decoder for, and whoever compresses to stay within. Each layer that is
/// unpacked at a time takes that much beside the image.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why no module comes out of layers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// It is damaged, or something else.
    #[error("media type: layer {layer} is no tar archive, or a damaged one")]
    Damaged {
        /// Which, from 1.
        layer: usize,
        /// Where it ends.
        #[source]
        source: io::Error,
    },
    /// It looks back further than anybody has to.
    #[error(
        "size: layer {layer} needs a zstd window of more than {} MiB to be unpacked: compress it \
         without `--long`, and without `--ultra` or with a level of at most 19",
        1 << (ZSTD_WINDOW_LOG_MAX - 20)
    )]
    Window {
        /// Which, from 1.
        layer: usize,
    },
    /// It unpacks to more than it may.
    #[error("size: the layers unpack to more than {limit} bytes")]
    TooLarge {
        /// How many there may be.
        limit: u64,
    },
    /// Its modules are too large.
    #[error("size: the modules in the layers have more than {limit} bytes")]
    ModuleTooLarge {
        /// How many they may have.
        limit: u64,
    },
    /// There is no memory for a module.
    #[error("this machine has not the memory for a module of {bytes} bytes")]
    Memory {
        /// How many there are.
        bytes: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It has too many entries.
    #[error("size: the layers have more than {limit} entries")]
    TooManyEntries {
        /// How many they may have.
        limit: usize,
    },
    /// A name that leads elsewhere.
    #[error("media type: `{name}` in layer {layer} leads out of the archive")]
    Outside {
        /// Which.
        name: String,
        /// In which layer, from 1.
        layer: usize,
    },
    /// Two files of one name.
    #[error(
        "media type: `{name}` in layer {layer} is there twice, so that nobody can say which one is \
         meant"
    )]
    Twice {
        /// Which.
        name: String,
        /// In which layer, from 1.
        layer: usize,
    },
    /// What should be the module is no file.
    #[error(
        "media type: `{name}` in layer {layer} is {kind}, not a file: put the module itself there"
    )]
    NoFile {
        /// Which.
        name: String,
        /// In which layer, from 1.
        layer: usize,
        /// What it is.
        kind: &'static str,
    },
    /// A kind of entry that is not read.
    #[error("media type: layer {layer} has {what}, which is not read")]
    Unsupported {
        /// Which.
        layer: usize,
        /// What.
        what: &'static str,
    },
    /// It has too many files that could be the module.
    #[error("size: the layers have more than {limit} files that could be the module")]
    TooManyFiles {
        /// How many they may have.
        limit: usize,
    },
    /// What the image says it runs is not there.
    #[error("media type: the layers have no `{name}`, which the image's entry point names")]
    NoProgram {
        /// What it says.
        name: String,
    },
    /// There is no module.
    #[error(
        "media type: the layers have no module: no entry point that is there, and no file ending in \
         .wasm"
    )]
    NoModule,
    /// There are several, and none is named.
    #[error(
        "media type: the layers have {count} modules, such as {names}: name one of them as the image's \
         entry point"
    )]
    Ambiguous {
        /// How many.
        count: usize,
        /// The first.
        names: String,
    },
    /// The layer is not what the configuration says.
    #[error(
        "digest: layer {layer} unpacks to {got}, and the image's configuration says {expected}"
    )]
    DiffId {
        /// Which, from 1.
        layer: usize,
        /// What the configuration says.
        expected: Digest,
        /// What it is.
        got: Digest,
    },
}

/// What decompression has in memory, up to 9 MB with zstd, from one layer to the next: whoever reads many
/// asks for it once.
#[derive(Default)]
pub struct Scratch(Option<DCtx<'static>>);

impl Scratch {
    fn zstd(&mut self) -> io::Result<&mut DCtx<'static>> {
        if self.0.is_none() {
            self.0 = DCtx::try_create();
        }
        self.0
            .as_mut()
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scratch(zstd: {})", self.0.is_some())
    }
}

/// The archive in a layer, decompressed while it is read, counted and hashed.
struct Unpacking<'a> {
    from: Box<dyn Read + 'a>,
    left: u64,
    hash: Context,
    /// Why it stopped, which an error of the archive hides.
    beyond: Rc<Cell<Option<Beyond>>>,
}

/// What stops unpacking although nothing is damaged.
#[derive(Clone, Copy)]
enum Beyond {
    /// It may unpack to no more.
    Length,
    /// It may look back no further.
    Window,
}

impl<'a> Unpacking<'a> {
    fn of(layer: impl BufRead + 'a, scratch: &'a mut Scratch, bytes_max: u64) -> io::Result<Self> {
        Ok(Self {
            from: decompressed(layer, scratch)?,
            left: bytes_max,
            hash: Context::new(&SHA256),
            beyond: Rc::default(),
        })
    }

    fn beyond(&self) -> Rc<Cell<Option<Beyond>>> {
        Rc::clone(&self.beyond)
    }

    /// Reads what is left, and says what all of it is.
    fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((finished(self.hash), self.left))
    }
}

impl Read for Unpacking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer).inspect_err(|error| {
            if is_about_the_window(error) {
                self.beyond.set(Some(Beyond::Window));
            }
        })?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            self.beyond.set(Some(Beyond::Length));
            return Err(io::Error::other("more than it may unpack to"));
        };
        self.left = left;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

/// The archive in a layer, whatever it was compressed with.
fn decompressed<'a>(
    mut layer: impl BufRead + 'a,
    scratch: &'a mut Scratch,
) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    let longest = ZSTD.len() as u64;
    layer.by_ref().take(longest).read_to_end(&mut start)?;
    let (gzip, zstd) = (start.starts_with(&GZIP), start.starts_with(&ZSTD));
    let layer = Cursor::new(start).chain(layer);
    if gzip {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(layer)));
    }
    if zstd {
        let context = scratch.zstd()?;
        let mut decoder = zstd::Decoder::with_context(layer, context);
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(layer))
}

/// Whether zstd says that a frame looks back too far. Its errors come as their texts.
fn is_about_the_window(error: &io::Error) -> bool {
    use zstd::zstd_safe::{get_error_name, zstd_sys::ZSTD_ErrorCode};
    let code = ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize;
    // zstd_errors.h: a function returns the code's negative.
    error.to_string() == get_error_name(code.wrapping_neg())
}
