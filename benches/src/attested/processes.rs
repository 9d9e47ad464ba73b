//! What the kernel says of the memory of a process, of those that it starts, and of the memory files
//! that they hold: code and modules go from one to another in such files, which are in nobody's
//! resident memory until they are mapped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often all of it is looked at; what comes and goes in between is missed, except for the peak of
/// the process itself, which the kernel keeps.
const LOOK: Duration = Duration::from_micros(500);

/// Bytes at their most, each by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Peak {
    /// Resident in the process itself, by the kernel's own account.
    pub(super) own: u64,
    /// Resident in a process that compiles, without what is in files.
    pub(super) compiler: u64,
    /// The same of all others that it started, together.
    pub(super) others: u64,
    /// In memory files, each once.
    pub(super) files: u64,
    /// Of all of them without what is in other files, at one time.
    pub(super) together: u64,
}

impl Peak {
    /// What is above `idle`, each by itself.
    pub(super) fn above(self, idle: Self) -> Self {
        Self {
            own: self.own.saturating_sub(idle.own),
            compiler: self.compiler.saturating_sub(idle.compiler),
            others: self.others.saturating_sub(idle.others),
            files: self.files.saturating_sub(idle.files),
            together: self.together.saturating_sub(idle.together),
        }
    }

    /// Whichever is more, each by itself.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            own: self.own.max(other.own),
            compiler: self.compiler.max(other.compiler),
            others: self.others.max(other.others),
            files: self.files.max(other.files),
            together: self.together.max(other.together),
        }
    }
}

/// Looks at a process, and at what it starts, until it is told to stop.
#[derive(Debug)]
pub(super) struct Watch {
    pid: u32,
    stop: Arc<AtomicBool>,
    looking: JoinHandle<io::Result<Peak>>,
}

impl Watch {
    /// From now on.
    ///
    /// # Errors
    /// If this process may not look into that one: guests' proplets let only root do so.
    pub(super) fn start(pid: u32) -> io::Result<Self> {
        // The peak begins anew at what is resident (proc_pid_clear_refs(5)).
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looking = thread::spawn(move || {
            let mut peak = Peak::default();
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(look(pid)?);
                thread::sleep(LOOK);
            }
            Ok(peak)
        });
        Ok(Self { pid, stop, looking })
    }

    /// What it came to.
    pub(super) fn end(self) -> io::Result<Peak> {
        self.stop.store(true, Ordering::Relaxed);
        let looked = self.looking.join();
        let peak = looked.map_err(|_| io::Error::other("looking at a process panicked"))??;
        let own = resident(self.pid, "VmHWM:").ok_or(io::ErrorKind::NotFound)?;
        Ok(Peak { own, ..peak })
    }
}

/// All of it, at one time.
fn look(pid: u32) -> io::Result<Peak> {
    let mut now = Peak::default();
    let mut files = BTreeMap::new();
    memory_files(pid, &mut files)?;
    let own_name = name(pid)?;
    for child in below(pid) {
        // It may be gone by now.
        let (Some(bytes), Ok(name)) = (resident(child, "RssAnon:"), name(child)) else {
            continue;
        };
        if name == own_name {
            // Between its start and its program it has our memory, and none of its own.
            continue;
        }
        memory_files(child, &mut files).ok();
        match name.starts_with(b"proplet-compiler") {
            true => now.compiler += bytes,
            false => now.others += bytes,
        }
    }
    now.files = files.values().sum();
    let own = resident(pid, "RssAnon:").ok_or(io::ErrorKind::NotFound)?;
    now.together = own + now.compiler + now.others + now.files;
    Ok(now)
}

/// What a process was started as.
fn name(pid: u32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/cmdline"))
}

/// The processes that one has started, and those that these have started.
fn below(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        let threads = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten();
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok());
            for child in children {
                found.push(child);
                next.push(child);
            }
        }
    }
    found
}

/// Notes the memory files that a process holds open, by their number, and what is in each.
fn memory_files(pid: u32, into: &mut BTreeMap<u64, u64>) -> io::Result<()> {
    /// What `st_blocks` counts in.
    const BLOCK_BYTES: u64 = 512;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let path = entry.path();
        let leads = fs::read_link(&path).unwrap_or_default();
        if leads.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")
            && let Ok(file) = fs::metadata(&path)
        {
            into.insert(file.ino(), file.blocks() * BLOCK_BYTES);
        }
    }
    Ok(())
}

/// A line of `/proc/PID/status`, in bytes.
fn resident(pid: u32, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let found = status.lines().find_map(|found| found.strip_prefix(line))?;
    let kib: u64 = found.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
