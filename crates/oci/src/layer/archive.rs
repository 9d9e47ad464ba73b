//! The entries of one archive, with names of any length and in any of the ways that are used.
//!
//! POSIX.1-2001 (pax) and GNU long names. The `tar` crate reads the headers; what names another
//! entry is read here, because there its length has no limit.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::LayerError;

/// The longest name, and the longest list of extensions.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// What the entries before an entry say of it.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
}

/// Calls `each` with the name of every entry that is not about another one.
pub(super) fn entries<R: Read>(
    archive: &mut Archive<R>,
    layer: usize,
    mut each: impl FnMut(&[u8], &mut Entry<'_, R>) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let damaged = |source| LayerError::Damaged { layer, source };
    let mut said = Said::default();
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = bounded(&mut entry).map_err(damaged)?;
                let end = name.iter().position(|byte| *byte == 0);
                name.truncate(end.unwrap_or(name.len()));
                said.name = Some(name);
            }
            EntryType::XHeader => {
                let extensions = bounded(&mut entry).map_err(damaged)?;
                said.read(&extensions, layer)?;
            }
            // Where a link leads does not matter, nor what is said of all entries.
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            EntryType::GNUSparse => {
                let what = "a sparse file";
                return Err(LayerError::Unsupported { layer, what });
            }
            _ => {
                let name = match std::mem::take(&mut said).name {
                    Some(name) => name,
                    None => entry.path_bytes().into_owned(),
                };
                each(&name, &mut entry)?;
            }
        }
    }
    Ok(())
}

impl Said {
    fn read(&mut self, extensions: &[u8], layer: usize) -> Result<(), LayerError> {
        for extension in PaxExtensions::new(extensions) {
            let extension = extension.map_err(|source| LayerError::Damaged { layer, source })?;
            match extension.key_bytes() {
                b"path" => self.name = Some(extension.value_bytes().to_vec()),
                // A file of more than 8 GiB, or one with holes.
                b"size" => {
                    let what = "a file whose size is in an extension";
                    return Err(LayerError::Unsupported { layer, what });
                }
                key if key.starts_with(b"GNU.sparse") => {
                    let what = "a sparse file";
                    return Err(LayerError::Unsupported { layer, what });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn bounded(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry
        .take(EXTENSION_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > EXTENSION_BYTES_MAX {
        return Err(io::Error::other("a name of more than 1 MiB"));
    }
    Ok(bytes)
}
