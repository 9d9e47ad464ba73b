//! Where something was measured: without it a number means nothing.

use std::fs;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::BenchError;
use crate::processes;
use crate::samples::Samples;

/// Syncs that the disk's speed is the median of.
const SYNCS: usize = 100;
/// What is synced each time: a page of the database.
const SYNC_BYTES: [u8; 4096] = [0x5a; 4096];
/// What stands for something that this machine does not tell.
const UNKNOWN: &str = "unknown";

/// The machine, the disk and the build.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Environment {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) profile: &'static str,
    pub(crate) commit: String,
    pub(crate) binary: Option<PathBuf>,
    /// Where the data directories are, on which filesystem.
    pub(crate) data_dir: PathBuf,
    pub(crate) filesystem: String,
    /// Median of syncing 4 KiB there. A durable task waits for two commits.
    pub(crate) fsync_ms: Option<f64>,
    /// Over 1, 5 and 15 minutes, before anything is measured.
    pub(crate) load_average: String,
}

impl Environment {
    /// Looks at the machine; `data_dir` is where data directories will be.
    pub(crate) fn gather(data_dir: &Path) -> Result<Self, BenchError> {
        let load_average = first_words(&read("/proc/loadavg"), 3);
        let cpuinfo = read("/proc/cpuinfo");
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        Ok(Self {
            cpu: value(&cpuinfo, "model name").unwrap_or_else(unknown),
            cores: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            memory: value(&read("/proc/meminfo"), "MemTotal").unwrap_or_else(unknown),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: said(Command::new(rustc).arg("--version")),
            profile: if cfg!(debug_assertions) {
                "debug: these numbers mean nothing"
            } else {
                "release"
            },
            commit: said(
                Command::new("git")
                    .args(["describe", "--always", "--dirty", "--abbrev=12"])
                    .current_dir(if source.is_dir() {
                        source
                    } else {
                        Path::new(".")
                    }),
            ),
            binary: processes::binary(),
            filesystem: filesystem(&read("/proc/mounts"), data_dir),
            fsync_ms: fsync(data_dir)
                .map_err(BenchError::io("sync a file"))?
                .median_ms(),
            data_dir: data_dir.parent().unwrap_or(data_dir).to_owned(),
            load_average,
        })
    }
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn first_words(text: &str, count: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().take(count).collect();
    words.join(" ")
}

/// The value of the first line `name: value`.
fn value(text: &str, name: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
}

/// What a program says on standard output.
fn said(command: &mut Command) -> String {
    let output = command.output().ok().filter(|out| out.status.success());
    output.map_or_else(unknown, |out| {
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    })
}

/// The type of the filesystem that `path` is on: of the deepest mount point above it.
fn filesystem(mounts: &str, path: &Path) -> String {
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.nth(1)?, words.next()?))
        })
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(unknown, |(_, kind)| kind.to_owned())
}

fn fsync(folder: &Path) -> std::io::Result<Samples> {
    let mut file = fs::File::create(folder.join("fsync"))?;
    let mut took: Vec<Duration> = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.rewind()?;
        file.write_all(&SYNC_BYTES)?;
        let begun = Instant::now();
        file.sync_all()?;
        took.push(begun.elapsed());
    }
    Ok(took.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_point_counts() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(filesystem(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(filesystem(mounts, Path::new("/var/tmp/x")), "ext4");
        assert_eq!(filesystem("", Path::new("/x")), UNKNOWN);
    }

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let cpuinfo = "model\t\t: 207\nmodel name\t: A Processor\n";
        assert_eq!(value(cpuinfo, "model name").as_deref(), Some("A Processor"));
        assert_eq!(value(cpuinfo, "flags"), None);
    }
}
