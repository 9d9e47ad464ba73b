//! A guest that has broken out where standard input is a pipe: the one descriptor that it may read
//! besides, and everything that stays forbidden all the same.

use std::io::Write;
use std::path::Path;

use propeller_sandbox::Job;

use crate::Outside;
use crate::attempts::{ATTEMPTS, Attempt, read};
use crate::table::DONE;

/// What a job with a pipe adds: the pipe has number 1, and nothing else may be read, whether it is
/// there or not.
pub(crate) const WITH_A_PIPE: &[Attempt] = &[
    (ITS_PIPE, |_| read(1)),
    ("read its socket", |_| read(0)),
    ("read its standard error", |_| read(2)),
    ("read descriptor 4", |_| read(4)),
    ("read descriptor 5", |_| read(5)),
    ("read from anywhere", |_| read(usize::MAX)),
    ("read a place of its pipe", |_| {
        crate::attempts::call(libc::SYS_pread64, [1, 0, 0, 0, 0, 0])
    }),
    ("read its pipe into several places", |_| {
        crate::attempts::call(libc::SYS_readv, [1, 0, 0, 0, 0, 0])
    }),
    ("put something else in place of its pipe", |_| {
        crate::attempts::call(libc::SYS_dup3, [0, 1, 0, 0, 0, 0])
    }),
    ("change its pipe", |_| {
        crate::attempts::call(libc::SYS_fcntl, [1, 4, 0, 0, 0, 0])
    }),
];

/// The only one that works.
const ITS_PIPE: &str = "read its pipe";

/// What is wrong with guests' processes whose job has a pipe, `ends` being how every attempt ended
/// without.
pub(crate) fn wrong(outside: &Outside, program: &Path, ends: &[String]) -> Vec<String> {
    let names = ATTEMPTS.iter().chain(WITH_A_PIPE).map(|(name, _)| *name);
    let names: Vec<&str> = names.collect();
    let (with, _) = outside.all(program, &names, piped);
    let forbidden = |name: &str| match name {
        ITS_PIPE => DONE,
        _ => "SIGSYS",
    };
    let expected = ends.iter().map(String::as_str);
    let expected = expected.chain(WITH_A_PIPE.iter().map(|(name, _)| forbidden(name)));
    let all = names.iter().zip(with).zip(expected);
    let differing = all.filter(|((_, end), expected)| end != expected);
    differing
        .map(|((name, end), expected)| format!("{name}, with a pipe: {end}, not {expected}"))
        .collect()
}

/// The same job with something in a pipe.
fn piped(job: Job) -> Job {
    let (read, mut write) = std::io::pipe().expect("there are pipes");
    write.write_all(b"input").expect("there is room");
    Job {
        stdin: read.into(),
        ..job
    }
}
