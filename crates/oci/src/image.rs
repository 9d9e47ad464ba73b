//! From a reference to a module: which manifest, which layers, opened and unpacked.

mod diff_ids;
mod error;
mod place;
mod survey;

use std::io::{self, BufRead, Read};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use propeller_model::Digest;
use zeroize::Zeroizing;

pub use error::ImageError;
pub use place::Place;
pub use survey::{Next, Packed, Survey};

use diff_ids::DiffIds;

use crate::crypt::{self, Keys};
use crate::digest::finished;
use crate::layer::{LayerError, Unearthed, UnpackLimits, Unpacked};
use crate::manifest::{
    Config, DOCUMENT_BYTES_MAX, Descriptor, Document, Manifest, ManifestError, essence,
};
use crate::pieces::Consumed;
use crate::registry::{Progress, RegistryError, SILENTLY, Stage};
use crate::signatures::Admitted;
use crate::source::Source;
use crate::{Pieces, Reference, Room, media, sha256};

/// How every module and component begins.
const MAGIC: &[u8] = b"\0asm";

/// What may come out of an image, and what opens it.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// How many layers are fetched at a time, at least 1.
    pub layers_at_once: usize,
    /// The largest module, in bytes.
    pub module_bytes_max: u64,
    /// The most bytes of all layers together, as they are fetched and as they unpack.
    pub unpacked_bytes_max: u64,
    /// The most entries of archives.
    pub entries_max: usize,
    /// What encrypted layers are opened with.
    pub keys: Keys,
}

/// What a reference leads to.
#[derive(Clone, Debug)]
pub struct Resolved {
    pinned: Reference,
    image: Digest,
    manifest: Manifest,
}

impl Resolved {
    /// The reference, with the digest of what it leads to: the same bytes from now on.
    #[must_use]
    pub fn pinned(&self) -> &Reference {
        &self.pinned
    }

    /// The digest of what the reference leads to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.pinned.digest().unwrap_or(self.image)
    }

    /// The image in it, which is another document if that is an index.
    #[must_use]
    pub fn image(&self) -> Digest {
        self.image
    }

    /// What the image says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

/// A module out of an image.
pub struct Pulled {
    /// The module or component.
    pub module: Zeroizing<Room>,
    /// Its digest.
    pub digest: Digest,
    /// Whether it was encrypted in the registry.
    pub encrypted: bool,
    /// What checking and decrypting took, of all encrypted layers together.
    pub decrypting: Duration,
}

/// Finds out what a reference leads to, and chooses the image for WebAssembly if there are several.
///
/// # Errors
///
/// [`ImageError`].
pub async fn resolve(source: &dyn Source, reference: &Reference) -> Result<Resolved, ImageError> {
    let top = source.document(reference).await?;
    let pinned = reference.pinned(top.digest);
    let (image, document) = match top.document {
        Document::Image(manifest) => {
            return Ok(Resolved {
                pinned,
                image: top.digest,
                manifest: *manifest,
            });
        }
        Document::Index(index) => {
            let chosen = index.choose()?.digest;
            let fetched = source.document(&reference.pinned(chosen)).await?;
            (chosen, fetched.document)
        }
    };
    match document {
        Document::Image(manifest) => Ok(Resolved {
            pinned,
            image,
            manifest: *manifest,
        }),
        // An index in an index could go on for ever.
        Document::Index(_) => Err(ManifestError::NoImage.into()),
    }
}

/// Fetches the module of an image: layers side by side, each checked, opened and unpacked.
///
/// # Errors
///
/// [`ImageError`].
pub async fn pull(
    source: &dyn Source,
    admitted: &Admitted,
    options: &PullOptions,
    progress: Progress<'_>,
) -> Result<Pulled, ImageError> {
    let resolved = admitted.resolved();
    let manifest = &resolved.manifest;
    let place = manifest.place()?;
    let (wanted, limit): (Vec<usize>, u64) = match place {
        Place::Layer(index) => (vec![index], options.module_bytes_max),
        Place::Archives => (
            (0..manifest.layers.len()).collect(),
            options.unpacked_bytes_max,
        ),
    };
    let bytes = wanted.iter().map(|index| manifest.layers[*index].size);
    let bytes = bytes.fold(0, u64::saturating_add);
    if bytes > limit {
        return Err(ImageError::TooLarge { bytes, limit });
    }
    let config = match place {
        Place::Layer(_) => None,
        Place::Archives => Some(config(source, resolved).await?),
    };
    let layers = fetch(source, resolved, wanted, options, progress).await?;
    let decrypting = layers.iter().map(|layer| layer.decrypting).sum();
    // What is held against a digest as a whole is not hashed again.
    let known = match place {
        Place::Layer(index) => match &manifest.layers[index] {
            encrypted if encrypted.is_encrypted() => {
                layers.first().and_then(|layer| layer.sealed_digest)
            }
            plain => Some(plain.digest),
        },
        Place::Archives => None,
    };
    let limits = options.clone();
    let module = aside(move || {
        let found = match config {
            None => whole(layers),
            Some(config) => unpacked(layers, &config, &limits),
        }?;
        let digest = known.unwrap_or_else(|| sha256(&found.module));
        Ok((found, digest))
    });
    let (Unearthed { module, layer }, digest) = module.await?;
    // Of the layer that it was in: a plain one may lie above an encrypted one.
    let encrypted = manifest
        .layers
        .get(layer - 1)
        .is_some_and(Descriptor::is_encrypted);
    match module.starts_with(MAGIC) {
        true => Ok(Pulled {
            module,
            digest,
            encrypted,
            decrypting,
        }),
        false => Err(ImageError::NotWasm),
    }
}

/// Does what takes a processor for long where nobody else waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    let done = tokio::task::spawn_blocking(work).await;
    // Only a runtime that is shutting down drops work.
    done.unwrap_or(Err(ImageError::Stopped))
}

/// A layer, opened if it was encrypted.
struct Layer {
    bytes: Zeroizing<Pieces>,
    /// What it, or what it unpacks to, is said to be by whoever encrypted it.
    sealed_digest: Option<Digest>,
    /// From 1.
    number: usize,
    decrypting: Duration,
}

async fn fetch(
    source: &dyn Source,
    resolved: &Resolved,
    wanted: Vec<usize>,
    options: &PullOptions,
    progress: Progress<'_>,
) -> Result<Vec<Layer>, ImageError> {
    let fetches = wanted.into_iter().map(|index| async move {
        let descriptor = &resolved.manifest.layers[index];
        let blob = source.blob(&resolved.pinned, descriptor, progress).await?;
        let (descriptor, keys) = (descriptor.clone(), options.keys.clone());
        aside(move || opened(blob, &descriptor, index + 1, &keys)).await
    });
    let at_once = options.layers_at_once.max(1);
    // In the order of the layers, however they arrive.
    stream::iter(fetches).buffered(at_once).try_collect().await
}

fn opened(
    blob: Pieces,
    descriptor: &Descriptor,
    number: usize,
    keys: &Keys,
) -> Result<Layer, ImageError> {
    if !descriptor.is_encrypted() {
        return Ok(Layer {
            bytes: Zeroizing::new(blob),
            sealed_digest: None,
            number,
            decrypting: Duration::ZERO,
        });
    }
    let begun = Instant::now();
    let opened = crypt::decrypt(blob, &descriptor.annotations, keys);
    let opened = opened.map_err(|source| ImageError::Decrypt {
        layer: number,
        source,
    })?;
    Ok(Layer {
        bytes: opened.bytes,
        sealed_digest: opened.digest,
        number,
        decrypting: begun.elapsed(),
    })
}

fn whole(layers: Vec<Layer>) -> Result<Unearthed, ImageError> {
    let only = layers.into_iter().next();
    let mut only = only.ok_or(ImageError::Ambiguous { count: 0 })?;
    let sealed = only.sealed_digest;
    if sealed.is_some_and(|digest| digest != only.bytes.digest()) {
        return Err(ImageError::Content { layer: only.number });
    }
    let bytes = only.bytes.len();
    let module = std::mem::take(&mut *only.bytes).into_room();
    let module = module.map_err(|source| LayerError::Memory { bytes, source })?;
    Ok(Unearthed {
        module: Zeroizing::new(module),
        layer: only.number,
    })
}

fn unpacked(
    layers: Vec<Layer>,
    config: &Config,
    options: &PullOptions,
) -> Result<Unearthed, ImageError> {
    let diff_ids = DiffIds::of(config, layers.len())?;
    let limits = UnpackLimits {
        unpacked_bytes: options.unpacked_bytes_max,
        module_bytes: options.module_bytes_max,
        entries: options.entries_max,
    };
    let mut files = Unpacked::new(config.program(), limits);
    for mut layer in layers {
        let number = layer.number;
        // Of one that has a diff id, its bytes are authentic since its MAC was checked. The digest
        // beside its key is not asked: of a layer that skopeo compresses anew while it encrypts, that
        // is the digest of what skopeo has read, which nobody sees.
        let asked = match diff_ids.says(number) {
            true => None,
            false => layer.sealed_digest,
        };
        let mut layer = Hashing::new(layer.bytes.consumed(), asked.is_some());
        let got = files.add(&mut layer)?;
        diff_ids.hold(number, got)?;
        if asked.is_some_and(|sealed| sealed != got && Some(sealed) != layer.finish()) {
            return Err(ImageError::Content { layer: number });
        }
    }
    Ok(files.module()?)
}

/// Reads a layer that is gone when it has been read, and hashes it on the way if somebody asks what
/// it was: tools name the digest of the layer as they encrypted it, or that of the archive in it.
struct Hashing<'a> {
    from: Consumed<'a>,
    hash: Option<Context>,
}

impl<'a> Hashing<'a> {
    fn new(from: Consumed<'a>, is_asked: bool) -> Self {
        let hash = is_asked.then(|| Context::new(&SHA256));
        Self { from, hash }
    }

    /// What all of it hashes to, also what comes after the end of its archive.
    fn finish(mut self) -> Option<Digest> {
        let rest = io::copy(&mut self, &mut io::sink());
        rest.ok().and(self.hash).map(finished)
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Hashing<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(hash) = &mut self.hash
            && let Ok(bytes) = self.from.fill_buf()
        {
            hash.update(&bytes[..amount]);
        }
        self.from.consume(amount);
    }
}

/// The configuration of an image whose module is in archives.
async fn config(source: &dyn Source, resolved: &Resolved) -> Result<Config, ImageError> {
    let descriptor = &resolved.manifest.config;
    let known = [
        media::OCI_CONFIG,
        media::DOCKER_CONFIG,
        media::WASM_CONFIG,
        media::WASM_CONFIG_OLD,
    ];
    if !known.contains(&essence(&descriptor.media_type)) {
        return Ok(Config::default());
    }
    if descriptor.size > DOCUMENT_BYTES_MAX {
        return Err(RegistryError::Size {
            stage: Stage::Blob,
            bytes: descriptor.size,
            at_least: false,
            why: format!("and a configuration has at most {DOCUMENT_BYTES_MAX}"),
        }
        .into());
    }
    let bytes = source.blob(&resolved.pinned, descriptor, SILENTLY).await?;
    Ok(Config::parse(&Vec::from(bytes))?)
}

impl std::fmt::Debug for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulled")
            .field("bytes", &self.module.len())
            .field("encrypted", &self.encrypted)
            .finish_non_exhaustive()
    }
}
