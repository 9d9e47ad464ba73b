//! The files of an image that could be its module, layer upon layer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use propeller_model::Digest;
use tar::{Archive, Entry, EntryType};

use super::archive::entries;
use super::{Beyond, LayerError, Unpacking};
use crate::excerpt::excerpt;

/// How a layer says that something of the layers below is gone (OCI image specification, layers).
const WHITEOUT: &str = ".wh.";
const WHITEOUT_ALL: &str = ".wh..wh..opq";

/// How many names an error lists.
const NAMES_SHOWN: usize = 3;

/// How much may come out of layers.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// Of all layers together, decompressed, in bytes.
    pub unpacked_bytes: u64,
    /// Of what could be the module, together, in bytes.
    pub module_bytes: u64,
    /// Entries of all archives together.
    pub entries: usize,
}

/// What could be the module in the layers so far, lowest layer first.
#[derive(Debug)]
pub struct Unpacked {
    /// What the image says it runs.
    program: Option<String>,
    files: BTreeMap<String, Found>,
    layers: usize,
    left: UnpackLimits,
    limits: UnpackLimits,
}

#[derive(Debug)]
enum Found {
    File(Vec<u8>),
    Other { kind: &'static str, layer: usize },
}

impl Unpacked {
    /// Nothing yet, of an image that says it runs `program`.
    #[must_use]
    pub fn new(program: Option<&str>, limits: UnpackLimits) -> Self {
        Self {
            program: program.map(str::to_owned),
            files: BTreeMap::new(),
            layers: 0,
            left: limits,
            limits,
        }
    }

    /// Unpacks the next layer, and says what its archive hashes to, which is its diff id.
    ///
    /// # Errors
    ///
    /// [`LayerError`].
    pub fn add(&mut self, layer: &[u8]) -> Result<Digest, LayerError> {
        self.layers += 1;
        let number = self.layers;
        let told = |source| self.limits.told(source, number);
        let unpacking = Unpacking::of(layer, self.left.unpacked_bytes).map_err(told)?;
        let mut archive = Archive::new(unpacking);
        let mut seen = BTreeSet::new();
        let walked = entries(&mut archive, number, |name, entry| {
            self.entry(name, entry, &mut seen)
        });
        match walked {
            Err(LayerError::Damaged { source, .. }) => {
                return Err(self.limits.told(source, number));
            }
            walked => walked?,
        }
        let finished = archive.into_inner().finish();
        let (digest, left) = finished.map_err(|source| self.limits.told(source, number))?;
        self.left.unpacked_bytes = left;
        Ok(digest)
    }

    /// The module: what the image says it runs, or else the only one there is.
    ///
    /// # Errors
    ///
    /// [`LayerError`].
    pub fn module(mut self) -> Result<Vec<u8>, LayerError> {
        if let Some((name, found)) = self.program.and_then(|name| self.files.remove_entry(&name)) {
            return found.file(name);
        }
        match self.files.len() {
            0 => Err(LayerError::NoModule),
            1 => {
                let only = self.files.pop_first();
                let (name, found) = only.ok_or(LayerError::NoModule)?;
                found.file(name)
            }
            count => {
                let names: Vec<_> = self
                    .files
                    .keys()
                    .take(NAMES_SHOWN)
                    .map(|name| excerpt(name))
                    .collect();
                let names = names.join(", ");
                Err(LayerError::Ambiguous { count, names })
            }
        }
    }

    fn entry(
        &mut self,
        name: &[u8],
        entry: &mut Entry<'_, impl Read>,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), LayerError> {
        let (layer, limit) = (self.layers, self.limits.entries);
        let left = self.left.entries.checked_sub(1);
        self.left.entries = left.ok_or(LayerError::TooManyEntries { limit })?;
        let Some(name) = path(name, layer)? else {
            return Ok(());
        };
        if self.takes_away(&name) || !self.could_be_it(&name) {
            return Ok(());
        }
        if !seen.insert(name.clone()) {
            let name = excerpt(&name);
            return Err(LayerError::Twice { name, layer });
        }
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => None,
            EntryType::Directory => return Ok(()),
            EntryType::Symlink | EntryType::Link => Some("a link"),
            _ => Some("a device or a pipe"),
        };
        let found = match kind {
            Some(kind) => Found::Other { kind, layer },
            None => Found::File(self.file(entry)?),
        };
        self.files.insert(name, found);
        Ok(())
    }

    fn file(&mut self, entry: &mut impl Read) -> Result<Vec<u8>, LayerError> {
        let mut bytes = Vec::new();
        let layer = self.layers;
        let read = entry
            .take(self.left.module_bytes + 1)
            .read_to_end(&mut bytes);
        read.map_err(|source| LayerError::Damaged { layer, source })?;
        let left = self.left.module_bytes.checked_sub(bytes.len() as u64);
        let limit = self.limits.module_bytes;
        self.left.module_bytes = left.ok_or(LayerError::ModuleTooLarge { limit })?;
        Ok(bytes)
    }

    fn could_be_it(&self, name: &str) -> bool {
        let wasm = std::path::Path::new(name).extension();
        self.program.as_deref() == Some(name)
            || wasm.is_some_and(|extension| extension.eq_ignore_ascii_case("wasm"))
    }

    /// Whether an entry only says that files of lower layers are gone; then they are.
    fn takes_away(&mut self, name: &str) -> bool {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let below = |path: &str, folder: &str| {
            let rest = path.strip_prefix(folder);
            folder.is_empty() || rest.is_some_and(|rest| rest.starts_with('/'))
        };
        if file == WHITEOUT_ALL {
            self.files.retain(|path, _| !below(path, folder));
            return true;
        }
        let Some(gone) = file.strip_prefix(WHITEOUT) else {
            return false;
        };
        let gone = match folder {
            "" => gone.to_owned(),
            folder => format!("{folder}/{gone}"),
        };
        self.files
            .retain(|path, _| *path != gone && !below(path, &gone));
        true
    }
}

impl Found {
    fn file(self, name: String) -> Result<Vec<u8>, LayerError> {
        match self {
            Self::File(bytes) => Ok(bytes),
            Self::Other { kind, layer } => Err(LayerError::NoFile {
                name: excerpt(&name),
                layer,
                kind,
            }),
        }
    }
}

impl UnpackLimits {
    /// The error that a reader's error stands for.
    fn told(&self, source: io::Error, layer: usize) -> LayerError {
        let beyond = source.get_ref().is_some_and(|inner| inner.is::<Beyond>())
            || source.to_string().contains(&Beyond.to_string());
        match beyond {
            true => LayerError::TooLarge {
                limit: self.unpacked_bytes,
            },
            false => LayerError::Damaged { layer, source },
        }
    }
}

/// The name of an entry without what leads nowhere; nothing for the root. Names that are no text are
/// of no module.
fn path(name: &[u8], layer: usize) -> Result<Option<String>, LayerError> {
    let Ok(name) = std::str::from_utf8(name) else {
        return Ok(None);
    };
    let parts: Vec<_> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if parts.contains(&"..") {
        let name = excerpt(name);
        return Err(LayerError::Outside { name, layer });
    }
    Ok(Some(parts.join("/")).filter(|path| !path.is_empty()))
}
