//! Shards that are written to folders.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::Takes;
use crate::data::files::{create, name_anew, remove_stale, sync_name};

/// Writes to files are gathered to so many bytes.
const BUFFER_LEN: usize = 64 * 1024;

/// A file that is written under another name first.
#[derive(Debug)]
pub(super) struct FileSink {
    pub(super) file: BufWriter<File>,
    pub(super) part: PathBuf,
    pub(super) target: PathBuf,
}

impl FileSink {
    pub(super) fn open(folder: &Path, file: &str) -> io::Result<Self> {
        let part = folder.join(part_name(file));
        remove_stale(&part)?;
        let new = create(&part, false)?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER_LEN, new),
            part,
            target: folder.join(file),
        })
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    pub(super) fn place(&self, takes: Takes) -> io::Result<()> {
        match takes {
            Takes::FreeName => name_anew(&self.part, &self.target),
            Takes::PlaceOfAnother => fs::rename(&self.part, &self.target),
        }
    }

    /// The new name has to survive a power failure as well.
    pub(super) fn sync_name(&self) -> io::Result<()> {
        sync_name(&self.target)
    }
}

/// The name of a shard's file while it is written.
pub(crate) fn part_name(file: &str) -> String {
    format!(".{file}.part")
}
