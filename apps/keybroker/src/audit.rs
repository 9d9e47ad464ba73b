//! What happened, one JSON line each, and each with the hash of the one before.
//!
//! ```text
//!  record ─▶ audit.jsonl ──full──▶ audit.SEQ.jsonl     nothing here deletes or changes a line
//!     └────▶ tracing, target `security`                 whoever collects logs has a copy of the hashes
//!  start  ◀─ both: is every line what the next one says it was?
//! ```
//!
//! A line that is changed, left out or put in between breaks the chain, and the next start says where.
//! Whoever can write the files can also make a new chain: it is the copy elsewhere that tells. The
//! lines are specified in `docs/formats/keybroker.md`.

mod chain;
mod entry;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use chain::{Broken, Chain};
pub(crate) use entry::{Entry, Event, printable};

use crate::limits::Limits;

const FILE: &str = "audit.jsonl";
/// What is read again at the start, at most: the newest files.
const VERIFIED_BYTES_MAX: u64 = 256 << 20;
/// A file of ours ends a little after its bound, and no bound is longer.
const READ_BYTES_MAX: u64 = 80 << 20;
/// Lines per second that anybody can cause, such as refusals: whoever knocks must not fill the disk.
/// What is left out is counted, and the next line says how much it was.
const NOISE_PER_SEC: u32 = 50;
/// Lines in one answer.
pub(crate) const LINES_MAX: usize = 1000;

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the audit log {path}")]
pub struct AuditError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// The log. Whoever opens it has seen to it that nobody else does.
#[derive(Debug)]
pub(crate) struct Audit {
    folder: PathBuf,
    file_bytes_max: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    len: u64,
    /// Number of the first line in the file.
    first: u64,
    chain: Chain,
    noise: Limits<()>,
    unwritten: u64,
}

/// What was found in the files that were there.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Where the chain breaks first.
    pub(crate) broken: Option<Broken>,
    /// Bytes of a last line that was not written whole, which are cut off.
    pub(crate) torn: usize,
}

impl Audit {
    /// Opens the log and holds every line against the next. `each` is given all that are read.
    pub(crate) fn open(
        folder: &Path,
        file_bytes_max: u64,
        mut each: impl FnMut(&Value),
    ) -> Result<(Self, Found), AuditError> {
        let path = folder.join(FILE);
        let failed = |cause| AuditError {
            path: path.clone(),
            cause,
        };
        let mut found = Found::default();
        let mut chain = Chain::default();
        for old in recent(folder).map_err(failed)? {
            let bytes = bounded(&old).map_err(failed)?;
            let broken = chain.follow(&file_name(&old), &bytes, &mut each);
            found.broken = found.broken.or(broken);
        }
        let first = chain.next_number();
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(0o600);
        let file = options.open(&path).map_err(failed)?;
        let bytes = bounded(&path).map_err(failed)?;
        let whole = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        found.torn = bytes.len() - whole;
        let broken = chain.follow(FILE, &bytes[..whole], &mut each);
        found.broken = found.broken.or(broken);
        file.set_len(whole as u64).map_err(failed)?;
        let state = State {
            file,
            len: whole as u64,
            first,
            chain,
            noise: Limits::new(NOISE_PER_SEC),
            unwritten: 0,
        };
        let audit = Self {
            folder: folder.to_owned(),
            file_bytes_max,
            state: Mutex::new(state),
        };
        Ok((audit, found))
    }

    /// Records something, and says it to the security log. What must not be done without being
    /// recorded is on the disk when this returns. Blocks.
    pub(crate) fn record(&self, entry: &Entry, now: Timestamp) -> Result<(), AuditError> {
        let mut state = self.state();
        if entry.event.is_noise() && state.noise.take((), Instant::now()).is_err() {
            state.unwritten += 1;
            return Ok(());
        }
        let line = state.chain.line(entry, now, state.unwritten);
        let written = self.append(&mut state, &line, entry);
        written.map_err(|cause| AuditError {
            path: self.folder.join(FILE),
            cause,
        })?;
        state.chain.take(&line);
        state.unwritten = 0;
        entry.trace(&state.chain);
        Ok(())
    }

    fn append(&self, state: &mut State, line: &str, entry: &Entry) -> io::Result<()> {
        let bytes = line.len() as u64 + 1;
        if state.len > 0 && state.len + bytes > self.file_bytes_max {
            self.begin_file(state)?;
        }
        let written = state.file.write_all(format!("{line}\n").as_bytes());
        let written = written.and_then(|()| match entry.event.is_noise() {
            true => Ok(()),
            false => state.file.sync_data(),
        });
        if let Err(error) = written {
            // Half a line would make the next one part of it.
            state.file.set_len(state.len)?;
            return Err(error);
        }
        state.len += bytes;
        Ok(())
    }

    fn begin_file(&self, state: &mut State) -> io::Result<()> {
        let path = self.folder.join(FILE);
        let full = self.folder.join(format!("audit.{:020}.jsonl", state.first));
        state.file.sync_all()?;
        fs::rename(&path, full)?;
        let mut options = OpenOptions::new();
        state.file = options.append(true).create(true).mode(0o600).open(&path)?;
        File::open(&self.folder)?.sync_all()?;
        state.len = 0;
        state.first = state.chain.next_number();
        Ok(())
    }

    /// Lines after number `since` that `shown` lets through, the oldest first, and the number to go
    /// on from. Blocks.
    pub(crate) fn since(
        &self,
        since: u64,
        shown: impl Fn(&Value) -> bool,
    ) -> Result<(Vec<Value>, u64), AuditError> {
        let failed = |cause| AuditError {
            path: self.folder.join(FILE),
            cause,
        };
        let files = self.opened().map_err(failed)?;
        let (mut lines, mut last) = (Vec::new(), since);
        for (file, len) in files {
            let mut bytes = Vec::new();
            file.take(len).read_to_end(&mut bytes).map_err(failed)?;
            for line in bytes.split(|b| *b == b'\n') {
                let Ok(line) = serde_json::from_slice::<Value>(line) else {
                    continue;
                };
                let number = line["seq"].as_u64().unwrap_or_default();
                if number <= last {
                    continue;
                }
                if lines.len() == LINES_MAX {
                    return Ok((lines, last));
                }
                last = number;
                if shown(&line) {
                    lines.push(line);
                }
            }
        }
        Ok((lines, last))
    }

    /// All files that are read again, with how much of each is whole lines, the oldest first.
    ///
    /// Nobody who wants to record something waits for them to be read.
    fn opened(&self) -> io::Result<Vec<(File, u64)>> {
        // Held, so that no file begins meanwhile.
        let state = self.state();
        let mut opened = Vec::new();
        for path in recent(&self.folder)? {
            opened.push((File::open(path)?, READ_BYTES_MAX));
        }
        opened.push((File::open(self.folder.join(FILE))?, state.len));
        Ok(opened)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it had written a whole line, or none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest full files, the oldest of them first, as many as are read again.
fn recent(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| {
            let number = name.strip_prefix("audit.")?.strip_suffix(".jsonl")?;
            number.parse::<u64>().ok()
        });
        if let Some(number) = number {
            files.push((number, entry.metadata()?.len(), entry.path()));
        }
    }
    files.sort_unstable_by_key(|(number, ..)| std::cmp::Reverse(*number));
    let mut bytes = 0;
    let mut recent: Vec<PathBuf> = files
        .into_iter()
        .map_while(|(_, len, path)| {
            bytes += len;
            (bytes <= VERIFIED_BYTES_MAX).then_some(path)
        })
        .collect();
    recent.reverse();
    Ok(recent)
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.len() > READ_BYTES_MAX {
        true => Err(io::Error::other(format!(
            "{} is longer than any file of the log: move it away",
            path.display()
        ))),
        false => fs::read(path),
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
