//! The host calls of WASI preview 1, each with the guest that tries it.
//!
//! A guest is a file of functions without a module around them: the imports that it uses and
//! `prelude.wat` are put before it. Every function that it exports is a case; its name says what
//! the documents of WASI say, and how the case ends:
//!
//! - `_start` leaves with 0, once for each of its inputs
//! - `exit N` leaves with N
//! - what ends in `trap` or `traps` does that
//! - every other one gives 0; else the step that failed, times 1000, plus what that step got
//!
//! What begins with `refused: ` is something that WASI has and guests here do not get.

use std::collections::HashSet;
use std::fmt::Write;

/// The module that all of them are imported from.
const MODULE: &str = "wasi_snapshot_preview1";

/// What begins the name of a case that a guest is refused something in.
pub(crate) const REFUSED: &str = "refused: ";

/// A function of the host, and its guest.
pub(super) struct HostCall {
    pub(super) name: &'static str,
    params: &'static str,
    guest: &'static str,
}

macro_rules! host_calls {
    ($($name:ident($($param:ident)*);)*) => {
        /// All of them, in the order of their names.
        pub(super) const ALL: &[HostCall] = &[$(HostCall {
            name: stringify!($name),
            params: stringify!($($param)*),
            guest: include_str!(concat!("wasi/", stringify!($name), ".wat")),
        }),*];
    };
}

host_calls! {
    args_get(i32 i32);
    args_sizes_get(i32 i32);
    clock_res_get(i32 i32);
    clock_time_get(i32 i64 i32);
    environ_get(i32 i32);
    environ_sizes_get(i32 i32);
    fd_advise(i32 i64 i64 i32);
    fd_allocate(i32 i64 i64);
    fd_close(i32);
    fd_datasync(i32);
    fd_fdstat_get(i32 i32);
    fd_fdstat_set_flags(i32 i32);
    fd_fdstat_set_rights(i32 i64 i64);
    fd_filestat_get(i32 i32);
    fd_filestat_set_size(i32 i64);
    fd_filestat_set_times(i32 i64 i64 i32);
    fd_pread(i32 i32 i32 i64 i32);
    fd_prestat_dir_name(i32 i32 i32);
    fd_prestat_get(i32 i32);
    fd_pwrite(i32 i32 i32 i64 i32);
    fd_read(i32 i32 i32 i32);
    fd_readdir(i32 i32 i32 i64 i32);
    fd_renumber(i32 i32);
    fd_seek(i32 i64 i32 i32);
    fd_sync(i32);
    fd_tell(i32 i32);
    fd_write(i32 i32 i32 i32);
    path_create_directory(i32 i32 i32);
    path_filestat_get(i32 i32 i32 i32 i32);
    path_filestat_set_times(i32 i32 i32 i32 i64 i64 i32);
    path_link(i32 i32 i32 i32 i32 i32 i32);
    path_open(i32 i32 i32 i32 i32 i64 i64 i32 i32);
    path_readlink(i32 i32 i32 i32 i32 i32);
    path_remove_directory(i32 i32 i32);
    path_rename(i32 i32 i32 i32 i32 i32);
    path_symlink(i32 i32 i32 i32 i32);
    path_unlink_file(i32 i32 i32);
    poll_oneoff(i32 i32 i32 i32);
    proc_exit(i32);
    proc_raise(i32);
    random_get(i32 i32);
    sched_yield();
    sock_accept(i32 i32 i32);
    sock_recv(i32 i32 i32 i32 i32 i32);
    sock_send(i32 i32 i32 i32 i32);
    sock_shutdown(i32 i32);
}

impl HostCall {
    /// The guest as a module.
    pub(super) fn module(&self) -> Vec<u8> {
        module(self.name, self.guest)
    }

    /// The functions that the guest exports.
    pub(super) fn exports(&self) -> impl Iterator<Item = &'static str> {
        exports(self.guest)
    }
}

/// The guest of the host call `name` as a module, with all that it imports.
pub(crate) fn module(name: &str, guest: &str) -> Vec<u8> {
    let prelude = include_str!("prelude.wat");
    let text = format!("(module {} {prelude} {guest})", imports(guest));
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}.wat: {error}"))
}

fn imports(guest: &str) -> String {
    let apart = |c: char| c.is_whitespace() || "()".contains(c);
    let used: HashSet<&str> = guest.split(apart).collect();
    let mut imports = String::new();
    for call in ALL {
        let HostCall { name, params, .. } = call;
        // The only one that does not come back.
        let result = if *name == "proc_exit" { "" } else { "i32" };
        if used.contains(format!("${name}").as_str()) {
            let ty = format!("(param {params}) (result {result})");
            writeln!(imports, "(import {MODULE:?} {name:?} (func ${name} {ty}))")
                .expect("a string takes any text");
        }
    }
    imports
}

/// The functions that a guest exports.
pub(crate) fn exports(guest: &str) -> impl Iterator<Item = &str> {
    let mut parts = guest.split("(export \"");
    parts.next();
    parts.map(|part| part.split('"').next().unwrap_or_default())
}
