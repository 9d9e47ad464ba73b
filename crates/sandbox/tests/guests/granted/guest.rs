//! The guests, one for each host call, and what makes a module of their texts.

use std::fmt::Write;

/// Where the texts of a guest begin; its prelude leaves the memory from here on alone.
const TEXTS_AT: usize = 65_536;

/// What a guest has that tries the ways out of a directory.
const ATTEMPT: &str = "(func $attempt ";

/// A function of the host, and its guest.
pub(super) struct Guest {
    pub(super) name: &'static str,
    text: &'static str,
}

macro_rules! guests {
    ($($name:ident)*) => {
        /// All of them, in the order of their names.
        pub(super) const ALL: &[Guest] = &[$(Guest {
            name: stringify!($name),
            text: include_str!(concat!(
                "../../conformance/granted/calls/",
                stringify!($name),
                ".wat"
            )),
        }),*];
    };
}

guests! {
    fd_advise
    fd_allocate
    fd_close
    fd_datasync
    fd_fdstat_get
    fd_fdstat_set_flags
    fd_fdstat_set_rights
    fd_filestat_get
    fd_filestat_set_size
    fd_filestat_set_times
    fd_pread
    fd_prestat_dir_name
    fd_prestat_get
    fd_pwrite
    fd_read
    fd_readdir
    fd_renumber
    fd_seek
    fd_sync
    fd_tell
    fd_write
    path_create_directory
    path_filestat_get
    path_filestat_set_times
    path_link
    path_open
    path_readlink
    path_remove_directory
    path_rename
    path_symlink
    path_unlink_file
    poll_oneoff
}

impl Guest {
    /// All of the guest, as the assembler takes it.
    pub(super) fn text(&self) -> String {
        let prelude = include_str!("../../conformance/granted/prelude.wat");
        let escapes = if self.text.contains(ATTEMPT) {
            include_str!("../../conformance/granted/escapes.wat")
        } else {
            ""
        };
        placed(&[prelude, self.text, escapes].concat())
    }
}

/// `guest` with each `@"text"` as an address and a length, and the data that is there.
fn placed(guest: &str) -> String {
    let mut parts = guest.split("@\"");
    let mut code = parts.next().unwrap_or_default().to_owned();
    let (mut data, mut at) = (String::new(), TEXTS_AT);
    for part in parts {
        let (text, rest) = part.split_once('"').expect("a text ends");
        // What is escaped is one byte, by two digits.
        let len = text.len() - 2 * text.matches('\\').count();
        write!(code, "(i32.const {at}) (i32.const {len}){rest}").expect("a string takes any text");
        writeln!(data, "(data (i32.const {at}) \"{text}\")").expect("a string takes any text");
        at += len;
    }
    code + &data
}
