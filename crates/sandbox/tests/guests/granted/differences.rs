//! Where the cases do not end as the documents of WASI say.

use crate::conformance::Difference;

const RIGHTS: Difference = Difference {
    why: "`notsup`: wasmtime keeps no rights; how a file was opened decides what it may",
    cases: &[
        (
            "fd_fdstat_set_rights",
            "rights may be dropped, and are gone",
        ),
        (
            "fd_fdstat_set_rights",
            "rights that are added are notcapable",
        ),
    ],
};

const ALL_RIGHTS: Difference = Difference {
    why: "every right is shown, but those to read and to write a file that was not opened for it; \
        what may not be done is refused when it is tried",
    cases: &[(
        "fd_fdstat_get",
        "a descriptor has the rights that were asked for and no other",
    )],
};

const SHOWN_RIGHTS: Difference = Difference {
    why: "rights to change the directory are shown, because the libraries of most languages look \
        for them, and refused when they are used",
    cases: &[(
        "fd_fdstat_get",
        "rights to change a directory are shown where they are given",
    )],
};

const ABOVE: Difference = Difference {
    why: "`..` has the number of the directory itself: wasmtime does not look above it",
    cases: &[("fd_readdir", "what is above a directory has its own number")],
};

const FAR: Difference = Difference {
    why: "succeeds: wasmtime keeps the offset itself, up to 2^64; a read or a write there is an \
        error",
    cases: &[("fd_seek", "an offset that no file has is an error")],
};

const SLASH: Difference = Difference {
    why: "succeeds, with what the path names without the slash: a link is not followed for it",
    cases: &[
        (
            "path_filestat_get",
            "a file with a slash behind it is notdir",
        ),
        (
            "path_filestat_get",
            "a link with a slash behind it is what it leads to",
        ),
    ],
};

const SYNCHRONISED: Difference = Difference {
    why: "`notsup`: wasmtime opens no file that way; `fd_sync` and `fd_datasync` are there",
    cases: &[
        ("path_open", "synchronised reading may be asked for"),
        ("path_open", "synchronised writing may be asked for"),
    ],
};

const ONE_BYTE: Difference = Difference {
    why: "wasmtime says that there is 1 byte, however many there are",
    cases: &[(
        "poll_oneoff",
        "a file is ready to be read, and says how much there is",
    )],
};

/// In a directory that may be changed.
pub(super) const READ_WRITE: &[Difference] = &[
    RIGHTS,
    ALL_RIGHTS,
    ABOVE,
    FAR,
    SLASH,
    SYNCHRONISED,
    ONE_BYTE,
    Difference {
        why: "`notsup`: wasmtime allocates nothing, because not every system can",
        cases: &[("fd_allocate", "a file grows to what is allocated")],
    },
    Difference {
        why: "`inval`: wasmtime opens no file that way, and cannot change it later",
        cases: &[(
            "fd_fdstat_set_flags",
            "synchronised writing may be asked for",
        )],
    },
    Difference {
        why: "the time stands still: wasmtime gives that at which the file was created",
        cases: &[(
            "fd_filestat_get",
            "what is written moves the time of the last change of status",
        )],
    },
    Difference {
        why: "`inval`: wasmtime follows no link here, where a way out could be",
        cases: &[(
            "path_link",
            "what a link leads to gets another name if that is asked for",
        )],
    },
];

/// In a directory that may only be read.
pub(super) const READ: &[Difference] = &[
    RIGHTS,
    ALL_RIGHTS,
    SHOWN_RIGHTS,
    ABOVE,
    FAR,
    SLASH,
    SYNCHRONISED,
    ONE_BYTE,
];
