//! Where wasmtime's WASI preview 1 is not what the documents say, in a process of its own or not.
//! The interpreter's follows it. Wasmi's own program has an older one of wasmtime's.

use super::Difference;

pub(crate) const ENUMERATION: Difference = Difference {
    why: "traps: wasmtime takes a number outside of an enumeration for a broken program, and the \
        documents name an error for clocks alone",
    cases: &[
        ("clock_res_get", "a clock that does not exist is inval"),
        ("clock_time_get", "a clock that does not exist is inval"),
        ("fd_advise", "advice that does not exist is inval"),
        ("fd_fdstat_set_flags", "flags that do not exist are inval"),
        ("fd_seek", "a base that does not exist is inval"),
        ("proc_raise", "a signal that does not exist is inval"),
    ],
};

pub(crate) const PROCESSOR_TIME: Difference = Difference {
    why: "`badf`: wasmtime has no such clock, and programs that ask for it know this answer",
    cases: &[
        (
            "clock_res_get",
            "refused: the processor time of the process is inval",
        ),
        (
            "clock_res_get",
            "refused: the processor time of the thread is inval",
        ),
        (
            "clock_time_get",
            "refused: the processor time of the process is inval",
        ),
        (
            "clock_time_get",
            "refused: the processor time of the thread is inval",
        ),
    ],
};

pub(crate) const FLAGS: Difference = Difference {
    why: "`badf`: wasmtime keeps flags for files alone",
    cases: &[
        ("fd_fdstat_set_flags", "no flags are taken"),
        ("fd_fdstat_set_flags", "a flag that is set is shown"),
    ],
};

pub(crate) const RIGHTS: Difference = Difference {
    why: "`badf`: wasmtime keeps no rights; what a descriptor is decides what it may",
    cases: &[("fd_fdstat_set_rights", "rights may be kept or dropped")],
};

pub(crate) const EMPTY_READ: Difference = Difference {
    why: "`intr`: wasmtime reads nothing and says so as if it had been interrupted; a program that \
        tries again for ever ends at its limits",
    cases: &[
        ("fd_read", "without a buffer nothing is read"),
        ("fd_read", "into an empty buffer nothing is read"),
    ],
};

pub(crate) const LONG_LIST: Difference = Difference {
    why: "`nomem`: what one call makes the host copy is bounded before it is looked at",
    cases: &[("fd_write", "a list that is longer than memory traps")],
};

pub(crate) const WHOLE_POLL: Difference = Difference {
    why: "the call fails as a whole with `badf`, as wasmtime has always done",
    cases: &[
        (
            "poll_oneoff",
            "a descriptor that does not exist is badf in its event",
        ),
        (
            "poll_oneoff",
            "an output that is to be read is an error in its event",
        ),
    ],
};

/// What all of our own engines share.
pub(crate) const DIFFERENCES: &[Difference] = &[
    ENUMERATION,
    PROCESSOR_TIME,
    FLAGS,
    RIGHTS,
    EMPTY_READ,
    LONG_LIST,
    WHOLE_POLL,
];
