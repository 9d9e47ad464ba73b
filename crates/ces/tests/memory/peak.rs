//! The peak of the process's memory.

use std::fs::File;
use std::io::Write as _;

pub(crate) const MIB: u64 = 1 << 20;
/// What a stream may take beyond the caller's buffers at the default segment size and geometry.
pub(crate) const MEMORY_MAX: u64 = 32 * MIB;

/// The peak of the process's memory in bytes, of which the kernel is told to forget the past.
pub(crate) fn forget_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    peak()
}

pub(crate) fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

pub(crate) fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}
