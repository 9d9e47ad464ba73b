//! What a process with keys and plaintext in its memory gives up.

use rustix::process::{Resource, Rlimit, setrlimit};

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
