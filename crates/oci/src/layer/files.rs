//! Which files of an image could be its module, layer upon layer: the rules, whatever is kept of them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Read, Write};

use propeller_model::Digest;
use tar::{Archive, Entry, EntryType};

use super::archive::{NAME_BYTES_MAX, entries};
use super::{Beyond, LayerError, Scratch, Unpacking};
use crate::excerpt::excerpt;

/// How a layer says that something of the layers below is gone (OCI image specification, layers).
const WHITEOUT: &str = ".wh.";
const WHITEOUT_ALL: &str = ".wh..wh..opq";

/// How many files could be the module, at most. Each whiteout is held against all of them.
const FILES_MAX: usize = 1000;

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

/// What could be the module in the layers so far, lowest layer first; of each, what was kept of it.
#[derive(Debug)]
pub(super) struct Files<K> {
    program: Option<Program>,
    files: BTreeMap<String, Found<K>>,
    layers: usize,
    left: UnpackLimits,
    limits: UnpackLimits,
}

/// What the image says it runs.
#[derive(Debug)]
struct Program {
    /// Nothing, which is the name of no file, if it is longer than the name of any.
    path: String,
    shown: String,
    is_wasm: bool,
}

struct Found<K> {
    content: Content<K>,
    /// Its layer, from 1.
    layer: usize,
}

enum Content<K> {
    File { kept: K, len: u64 },
    Other(&'static str),
}

/// Where a file begins, and how long it says it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    /// In its archive, decompressed, in bytes from the start.
    pub(super) at: u64,
    /// In bytes.
    pub(super) len: usize,
}

/// The module.
pub(super) struct Chosen<K> {
    pub(super) kept: K,
    /// Its layer, from 1.
    pub(super) layer: usize,
}

impl<K: Write> Files<K> {
    /// Nothing yet, of an image that says it runs `program`.
    pub(super) fn new(program: Option<&str>, limits: UnpackLimits) -> Self {
        Self {
            program: program.and_then(Program::new),
            files: BTreeMap::new(),
            layers: 0,
            left: limits,
            limits,
        }
    }

    /// Unpacks the next layer, each file that could be the module to what `keep` makes for it, and says
    /// what its archive hashes to.
    pub(super) fn add(
        &mut self,
        layer: impl BufRead,
        scratch: &mut Scratch,
        keep: impl Fn(Begun) -> io::Result<K>,
    ) -> Result<Digest, LayerError> {
        self.layers += 1;
        let number = self.layers;
        let limit = self.limits.unpacked_bytes;
        let damaged = |source| LayerError::Damaged {
            layer: number,
            source,
        };
        let left = self.left.unpacked_bytes;
        let unpacking = Unpacking::of(layer, scratch, left).map_err(damaged)?;
        let beyond = unpacking.beyond();
        let mut archive = Archive::new(unpacking);
        let walked = entries(&mut archive, number, |name, entry| {
            self.entry(name, entry, &keep)
        });
        let finished = walked.and_then(|()| archive.into_inner().finish().map_err(damaged));
        match finished {
            Err(LayerError::Damaged { layer, source }) => Err(match beyond.get() {
                Some(Beyond::Length) => LayerError::TooLarge { limit },
                Some(Beyond::Window) => LayerError::Window { layer },
                None => LayerError::Damaged { layer, source },
            }),
            Err(error) => Err(error),
            Ok((digest, left)) => {
                self.left.unpacked_bytes = left;
                Ok(digest)
            }
        }
    }

    /// The module: what the image says it runs, or else the only one there is.
    pub(super) fn module(mut self) -> Result<Chosen<K>, LayerError> {
        if let Some(program) = self.program.take() {
            if let Some(found) = self.files.remove(&program.path) {
                return found.file(&program.path);
            }
            if program.is_wasm {
                // Another one would be a guess.
                let name = program.shown;
                return Err(LayerError::NoProgram { name });
            }
        }
        match self.files.len() {
            0 => Err(LayerError::NoModule),
            1 => {
                let only = self.files.pop_first();
                let (name, found) = only.ok_or(LayerError::NoModule)?;
                found.file(&name)
            }
            count => {
                let names = self.files.keys().take(NAMES_SHOWN);
                let names: Vec<_> = names.map(|name| excerpt(name)).collect();
                let names = names.join(", ");
                Err(LayerError::Ambiguous { count, names })
            }
        }
    }

    fn entry(
        &mut self,
        name: &[u8],
        entry: &mut Entry<'_, impl Read>,
        keep: &impl Fn(Begun) -> io::Result<K>,
    ) -> Result<(), LayerError> {
        let (layer, limit) = (self.layers, self.limits.entries);
        let left = self.left.entries.checked_sub(1);
        self.left.entries = left.ok_or(LayerError::TooManyEntries { limit })?;
        let Some(name) = path(name, layer)? else {
            return Ok(());
        };
        if self.takes_away(&name) {
            return Ok(());
        }
        let kind = entry.header().entry_type();
        if kind != EntryType::Directory {
            // What is a file now has nothing below it any more.
            self.remove(|path| is_below(path, &name));
        }
        if !self.could_be_it(&name) {
            return Ok(());
        }
        if self
            .files
            .get(&name)
            .is_some_and(|found| found.layer == layer)
        {
            let name = excerpt(&name);
            return Err(LayerError::Twice { name, layer });
        }
        self.remove(|path| path == name);
        let content = match kind {
            EntryType::Regular | EntryType::Continuous => self.file(entry, keep)?,
            EntryType::Directory => return Ok(()),
            EntryType::Symlink | EntryType::Link => Content::Other("a link"),
            _ => Content::Other("a device or a pipe"),
        };
        if self.files.len() >= FILES_MAX {
            let limit = FILES_MAX;
            return Err(LayerError::TooManyFiles { limit });
        }
        self.files.insert(name, Found { content, layer });
        Ok(())
    }

    /// Forgets files of lower layers, and gives back the room that they took.
    fn remove(&mut self, gone: impl Fn(&str) -> bool) {
        let (layer, mut freed) = (self.layers, 0);
        self.files.retain(|path, found| {
            let stays = found.layer == layer || !gone(path);
            if let (false, Content::File { len, .. }) = (stays, &found.content) {
                freed += len;
            }
            stays
        });
        self.left.module_bytes = self.left.module_bytes.saturating_add(freed);
    }

    fn file(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        keep: &impl Fn(Begun) -> io::Result<K>,
    ) -> Result<Content<K>, LayerError> {
        let layer = self.layers;
        let limit = self.limits.module_bytes;
        // By what it says, before anything of it is read: more than that never comes out of it.
        let size = entry.size();
        let left = self.left.module_bytes.checked_sub(size);
        self.left.module_bytes = left.ok_or(LayerError::ModuleTooLarge { limit })?;
        let len = usize::try_from(size);
        let len = len.map_err(|_| LayerError::ModuleTooLarge { limit })?;
        let at = entry.raw_file_position();
        let kept = keep(Begun { at, len });
        let mut kept = kept.map_err(|source| LayerError::Memory { bytes: len, source })?;
        let read = io::copy(entry, &mut kept);
        let read = read.map_err(|source| LayerError::Damaged { layer, source })?;
        if read != size {
            let source = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(LayerError::Damaged { layer, source });
        }
        Ok(Content::File { kept, len: size })
    }

    fn could_be_it(&self, name: &str) -> bool {
        let program = self.program.as_ref();
        program.is_some_and(|program| program.path == name) || is_wasm(name)
    }

    /// Whether an entry only says that files of lower layers are gone; then they are.
    fn takes_away(&mut self, name: &str) -> bool {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        if file == WHITEOUT_ALL {
            self.remove(|path| is_below(path, folder));
            return true;
        }
        let Some(gone) = file.strip_prefix(WHITEOUT) else {
            return false;
        };
        let gone = match folder {
            "" => gone.to_owned(),
            folder => format!("{folder}/{gone}"),
        };
        self.remove(|path| path == gone || is_below(path, &gone));
        true
    }
}

impl Program {
    fn new(program: &str) -> Option<Self> {
        let path = path(program.as_bytes(), 0).ok()??;
        Some(Self {
            shown: excerpt(&path),
            is_wasm: is_wasm(&path),
            path: Some(path)
                .filter(|path| path.len() <= NAME_BYTES_MAX)
                .unwrap_or_default(),
        })
    }
}

impl<K> Found<K> {
    fn file(self, name: &str) -> Result<Chosen<K>, LayerError> {
        let layer = self.layer;
        match self.content {
            Content::File { kept, .. } => Ok(Chosen { kept, layer }),
            Content::Other(kind) => Err(LayerError::NoFile {
                name: excerpt(name),
                layer,
                kind,
            }),
        }
    }
}

impl<K> fmt::Debug for Found<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Found(layer {})", self.layer)
    }
}

fn is_wasm(name: &str) -> bool {
    let extension = std::path::Path::new(name).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("wasm"))
}

/// Whether a path is in a folder, at any depth; all are in the root, which has no name.
fn is_below(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    folder.is_empty() || rest.is_some_and(|rest| rest.starts_with('/'))
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
