//! A guest that has broken out where it may end itself as a process does that has no memory left:
//! with one signal, to itself alone, after last words that nobody hears.

#![allow(
    clippy::cast_sign_loss,
    reason = "a raw system call takes every argument as a machine word"
)]

use std::path::Path;

use propeller_model::Profile;
use propeller_sandbox::Job;

use crate::Outside;
use crate::attempts::{Attempt, call};

/// What only a process is told of that had no memory left.
pub(crate) const NO_MEMORY: &str = "no memory";

/// What may be done is the end of whoever does it; all else is the same as everywhere.
pub(crate) const ABORTING: &[Attempt] = &[
    ("abort", |_| signal(itself(), libc::SIGABRT)),
    ("allocate more than there is", |_| {
        let all = vec![1_u8; 8 << 30];
        i64::from(all[all.len() / 2])
    }),
    ("send itself another signal", |_| {
        signal(itself(), libc::SIGUSR1)
    }),
    ("stop itself", |_| signal(itself(), libc::SIGSTOP)),
    ("abort its zygote", |_| signal(1, libc::SIGABRT)),
    ("abort the process before it", |_| {
        signal(itself().wrapping_sub(1), libc::SIGABRT)
    }),
    ("abort the parent", |world| {
        signal(world.parent, libc::SIGABRT)
    }),
    ("abort everybody", |_| signal(usize::MAX, libc::SIGABRT)),
    ("abort by another call", |_| {
        call(
            libc::SYS_kill,
            [itself(), libc::SIGABRT as usize, 0, 0, 0, 0],
        )
    }),
    ("write to its standard error", |_| {
        call(libc::SYS_write, [2, c"x".as_ptr() as usize, 1, 0, 0, 0])
    }),
];

/// How each of them ends.
const ENDS: [&str; 10] = [
    NO_MEMORY,
    NO_MEMORY,
    "SIGSYS",
    "SIGSYS",
    "SIGSYS",
    "SIGSYS",
    "SIGSYS",
    "SIGSYS",
    "SIGSYS",
    "bad file descriptor",
];

/// What ended otherwise, of a guest of each profile.
pub(crate) fn wrong(outside: &Outside, program: &Path) -> Vec<String> {
    let names: Vec<&str> = ABORTING.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for profile in [Profile::Pure, Profile::Deterministic] {
        let (ends, _) = outside.all(program, &names, |job| Job { profile, ..job });
        let all = names.iter().zip(ends).zip(ENDS);
        let differing = all.filter(|((_, end), expected)| end != expected);
        wrong
            .extend(differing.map(|((name, end), expected)| {
                format!("{name}, {profile}: {end}, not {expected}")
            }));
    }
    wrong
}

fn itself() -> usize {
    usize::try_from(call(libc::SYS_getpid, [0; 6])).unwrap_or_default()
}

/// Sends a signal to a process of one thread.
fn signal(process: usize, signal: i32) -> i64 {
    call(
        libc::SYS_tgkill,
        [process, process, signal as usize, 0, 0, 0],
    )
}
