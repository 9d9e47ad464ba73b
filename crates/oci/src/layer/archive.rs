//! The entries of one archive, with names of any length and in any of the ways that are used.
//!
//! POSIX.1-2001 (pax) and GNU long names. The `tar` crate reads the headers; what names another
//! entry is read here, because there its length has no limit.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

use super::LayerError;

/// The longest list of extensions.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// The longest name, which is Linux's.
pub(super) const NAME_BYTES_MAX: usize = 4096;

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
                if name.len() > NAME_BYTES_MAX {
                    let what = "a name of more than 4096 bytes";
                    return Err(LayerError::Unsupported { layer, what });
                }
                each(&name, &mut entry)?;
            }
        }
    }
    Ok(())
}

impl Said {
    fn read(&mut self, extensions: &[u8], layer: usize) -> Result<(), LayerError> {
        let damaged = || LayerError::Damaged {
            layer,
            source: io::Error::other("an extension that is none"),
        };
        let mut rest = extensions;
        while !rest.is_empty() {
            let (key, value, more) = record(rest).ok_or_else(damaged)?;
            rest = more;
            match key {
                b"path" => self.name = Some(value.to_vec()),
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

/// The first `LEN KEY=VALUE\n` of a list of extensions, and what comes after it. Its length says
/// where it ends: a value may have line feeds in it.
fn record(list: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = list.iter().position(|byte| *byte == b' ')?;
    let len = std::str::from_utf8(list.get(..space)?).ok()?;
    let len: usize = len.parse().ok()?;
    let body = list.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((&body[..equals], &body[equals + 1..], list.get(len..)?))
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
