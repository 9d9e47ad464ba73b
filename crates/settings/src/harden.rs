//! What a process with keys and plaintext in its memory gives up.

#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Writes no core dump, whatever happens: it would put keys and modules on a disk.
///
/// # Errors
/// In words, if the system does not allow it.
pub fn no_core_dumps() -> Result<(), String> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(|error| format!("cannot turn off core dumps: {error}"))
}

/// Lets this process have as many open files as the system allows: compiled code, connections and
/// guests' processes take one or a few each, and the usual 1,024 are for programs that wait with
/// `select`.
///
/// # Errors
/// In words, if the system does not allow it.
pub fn many_files() -> Result<(), String> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, all)
        .map_err(|error| format!("cannot have more open files: {error}"))
}

/// How many files this process has open at most, once [`many_files`] was called; `None` without a limit.
#[must_use]
pub fn files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Closes this process's memory and environment to others of the same user.
///
/// # Errors
/// In words, if the system does not allow it.
#[cfg(target_os = "linux")]
pub fn not_dumpable() -> Result<(), String> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("cannot close this process to others: {error}"))
}
