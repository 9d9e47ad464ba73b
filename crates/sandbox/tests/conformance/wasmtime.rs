//! Where wasmtime's WASI preview 1 is not what the documents say, in a process of its own or not.
//! The interpreter's follows it.

use super::Difference;

const ENUMERATION: &str = "traps: wasmtime takes a number outside of an enumeration for a broken \
    program, and the documents name an error for clocks alone";

const PROCESSOR_TIME: &str = "`badf`: wasmtime has no such clock, and programs that ask for it \
    know this answer";

const EMPTY_READ: &str = "`intr`: wasmtime reads nothing and says so as if it had been \
    interrupted; a program that tries again for ever ends at its limits";

const WHOLE_POLL: &str = "the call fails as a whole with `badf`, as wasmtime has always done";

const NO_FLAGS: &str = "`badf`: wasmtime keeps flags for files alone";

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        call: "clock_res_get",
        case: "a clock that does not exist is inval",
        why: ENUMERATION,
    },
    Difference {
        call: "clock_res_get",
        case: "refused: the processor time of the process is inval",
        why: PROCESSOR_TIME,
    },
    Difference {
        call: "clock_res_get",
        case: "refused: the processor time of the thread is inval",
        why: PROCESSOR_TIME,
    },
    Difference {
        call: "clock_time_get",
        case: "a clock that does not exist is inval",
        why: ENUMERATION,
    },
    Difference {
        call: "clock_time_get",
        case: "refused: the processor time of the process is inval",
        why: PROCESSOR_TIME,
    },
    Difference {
        call: "clock_time_get",
        case: "refused: the processor time of the thread is inval",
        why: PROCESSOR_TIME,
    },
    Difference {
        call: "fd_advise",
        case: "advice that does not exist is inval",
        why: ENUMERATION,
    },
    Difference {
        call: "fd_fdstat_set_flags",
        case: "a flag that is set is shown",
        why: NO_FLAGS,
    },
    Difference {
        call: "fd_fdstat_set_flags",
        case: "flags that do not exist are inval",
        why: ENUMERATION,
    },
    Difference {
        call: "fd_fdstat_set_flags",
        case: "no flags are taken",
        why: NO_FLAGS,
    },
    Difference {
        call: "fd_fdstat_set_rights",
        case: "rights may be kept or dropped",
        why: "`badf`: wasmtime keeps no rights; what a descriptor is decides what it may",
    },
    Difference {
        call: "fd_read",
        case: "into an empty buffer nothing is read",
        why: EMPTY_READ,
    },
    Difference {
        call: "fd_read",
        case: "without a buffer nothing is read",
        why: EMPTY_READ,
    },
    Difference {
        call: "fd_seek",
        case: "a base that does not exist is inval",
        why: ENUMERATION,
    },
    Difference {
        call: "fd_write",
        case: "a list that is longer than memory traps",
        why: "`nomem`: what one call makes the host copy is bounded before it is looked at",
    },
    Difference {
        call: "poll_oneoff",
        case: "a descriptor that does not exist is badf in its event",
        why: WHOLE_POLL,
    },
    Difference {
        call: "poll_oneoff",
        case: "an output that is to be read is an error in its event",
        why: WHOLE_POLL,
    },
    Difference {
        call: "proc_raise",
        case: "a signal that does not exist is inval",
        why: ENUMERATION,
    },
];
