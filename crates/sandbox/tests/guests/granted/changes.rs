//! What the cases leave behind in a directory that they may change.

/// Host calls, cases and what they change: what is there no more, and what is new. All others
/// change nothing.
pub(super) const ALL: &[(&str, &str, &str)] = &[
    (
        "fd_datasync",
        "what was written is synchronised",
        "- file = 0123456789, + file = new",
    ),
    (
        "fd_fdstat_set_flags",
        "from then on a file may be appended to",
        "- file = 0123456789, + file = 0123456789new",
    ),
    (
        "fd_filestat_get",
        "a file with two names has two links",
        "+ new = 0123456789",
    ),
    (
        "fd_filestat_get",
        "what is written moves the size and the time of change",
        "- file = 0123456789, + file = new",
    ),
    (
        "fd_filestat_get",
        "what is written moves the time of the last change of status",
        "- file = 0123456789, + file = ",
    ),
    (
        "fd_filestat_set_size",
        "a file is cut",
        "- file = 0123456789, + file = 0123",
    ),
    (
        "fd_filestat_set_size",
        "a file grows by zeros",
        "- file = 0123456789, + file = 0123456789\\x00\\x00",
    ),
    (
        "fd_pwrite",
        "bytes are written at an offset, and the descriptor stays where it is",
        "- file = 0123456789, + file = 0123new789",
    ),
    (
        "fd_pwrite",
        "behind the end zeros come before",
        "- file = 0123456789, + file = 0123456789\\x00\\x00new",
    ),
    (
        "fd_pwrite",
        "a file that is appended to is written at its end",
        "- file = 0123456789, + file = 0123456789new",
    ),
    (
        "fd_readdir",
        "a list from the start has what has come since",
        "+ new/",
    ),
    (
        "fd_sync",
        "what was written is synchronised",
        "- file = 0123456789, + file = new",
    ),
    (
        "fd_tell",
        "what is appended moves it to the end",
        "- file = 0123456789, + file = 0123456789new",
    ),
    (
        "fd_write",
        "a file is written over, from where the last write ended",
        "- file = 0123456789, + file = abcd456789",
    ),
    (
        "fd_write",
        "another descriptor sees at once what is written",
        "- file = 0123456789, + file = ab23456789",
    ),
    (
        "fd_write",
        "a file that is appended to is written at its end, wherever it is",
        "- file = 0123456789, + file = 0123456789abcd",
    ),
    (
        "fd_write",
        "behind the end zeros come before",
        "- file = 0123456789, + file = 0123456789\\x00\\x00new",
    ),
    (
        "path_create_directory",
        "a directory is made",
        "+ new/, + new/inner/",
    ),
    (
        "path_create_directory",
        "a directory is made through a link",
        "+ folder/new/",
    ),
    (
        "path_link",
        "a file gets another name",
        "+ new = 0123456789",
    ),
    (
        "path_link",
        "names are from their descriptors on",
        "+ new = inner",
    ),
    (
        "path_link",
        "a link gets another name itself",
        "+ new -> file",
    ),
    (
        "path_open",
        "a file is created, and written",
        "+ folder/new = new",
    ),
    (
        "path_open",
        "a file is emptied",
        "- file = 0123456789, + file = ",
    ),
    (
        "path_open",
        "a file is created only if there is none",
        "+ new = ",
    ),
    (
        "path_open",
        "a file is created where a link leads",
        "+ nothing = ",
    ),
    (
        "path_remove_directory",
        "an empty directory is removed",
        "- empty/",
    ),
    (
        "path_rename",
        "a file gets another name",
        "- file = 0123456789, + new = 0123456789",
    ),
    (
        "path_rename",
        "a file takes the place of another one",
        "- file = 0123456789, - folder/inner = inner, + folder/inner = 0123456789",
    ),
    (
        "path_rename",
        "a directory moves with what is in it",
        "- folder/, - folder/inner = inner, - folder/up -> ../file, \
         + new/, + new/inner = inner, + new/up -> ../file",
    ),
    (
        "path_rename",
        "a directory takes the place of an empty one",
        "- folder/, - folder/inner = inner, - folder/up -> ../file, \
         + empty/inner = inner, + empty/up -> ../file",
    ),
    (
        "path_rename",
        "a link moves itself",
        "- to-file -> file, + new -> file",
    ),
    (
        "path_rename",
        "names are from their descriptors on",
        "- file = 0123456789, + empty/file = 0123456789",
    ),
    (
        "path_symlink",
        "a link is made, and followed",
        "+ new -> file",
    ),
    (
        "path_symlink",
        "a link may lead to what does not exist",
        "+ new -> nothing",
    ),
    (
        "path_symlink",
        "a link that leads out may be made, and is not followed",
        "+ new -> ../outside/secret",
    ),
    (
        "path_unlink_file",
        "a file is removed, and can be read by who has it open",
        "- file = 0123456789",
    ),
    (
        "path_unlink_file",
        "a link is removed, and what it leads to stays",
        "- out -> ../outside/secret, - to-file -> file",
    ),
];

/// What a case changes.
pub(super) fn of(call: &str, case: &str) -> &'static str {
    let known = ALL.iter().find(|of| (of.0, of.1) == (call, case));
    known.map_or("", |of| of.2)
}
