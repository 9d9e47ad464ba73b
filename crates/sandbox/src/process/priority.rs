//! Guests and compilers come after the proplet.
//!
//! However many of them compute, the proplet has to hear a stop, and to kill for it. With equal
//! rights it waits for its turn among all of them.

use std::fs;
use std::io;

use rustix::process::{Resource, nice};

use super::lock::limit;

/// How much nicer than the proplet. The scheduler then gives a process about a ninth of what it
/// gives the proplet; more would let whatever else runs on the machine keep guests from computing.
pub(crate) const NICE: i32 = 10;

/// Lowers the priority of this process and of all that it starts. Nothing raises it again: the
/// limits that would allow it are 0, and no capability is kept.
pub(crate) fn give_way() -> io::Result<()> {
    limit(Resource::Nice, 0)?;
    limit(Resource::Rtprio, 0)?;
    nice(NICE)?;
    Ok(())
}

/// Lowers the priority of this process's session among all sessions, where the kernel divides
/// processors among these first: a process that has left the proplet's session would be as urgent as
/// all of the proplet, however nice it is. Without privileges, the kernel takes one such wish every
/// 100 ms of a machine, and refuses others with [`io::ErrorKind::WouldBlock`].
pub(crate) fn session_gives_way() -> io::Result<()> {
    match fs::write("/proc/self/autogroup", NICE.to_string()) {
        // There are no such groups in this kernel.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
