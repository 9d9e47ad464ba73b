//! Where wasmi's own program is not what the documents say.

use super::shared::{ANY_CLOCK, EXIT_CODES, MUCH_RANDOMNESS, OUTPUT_TO_READ};
use crate::conformance::wasmtime::{ENUMERATION, FLAGS, PROCESSOR_TIME};
use crate::conformance::{Column, Difference};

pub(super) const COLUMN: Column = Column {
    name: "wasmi",
    differences: &[
        ENUMERATION,
        PROCESSOR_TIME,
        FLAGS,
        EXIT_CODES,
        MUCH_RANDOMNESS,
        ANY_CLOCK,
        OUTPUT_TO_READ,
        Difference {
            why: "the name is `/proc/self/fd/3`: wasmi has no option for it",
            cases: &[
                ("args_get", "a command has its name"),
                ("args_get", "arguments follow the name"),
                ("args_get", "an argument may be empty"),
                ("args_get", "an argument may be any text"),
                ("args_get", "there may be thousands of arguments"),
                ("args_get", "an argument may be long"),
                ("args_sizes_get", "a function has its name alone"),
            ],
        },
        Difference {
            why: "refused: wasmi's command line takes no empty variable",
            cases: &[("environ_get", "a value may be empty or any text")],
        },
        Difference {
            why: "succeeds: wasmi does with a stream what it does with a file",
            cases: &[
                (
                    "fd_datasync",
                    "refused: there is no file, and a stream is none",
                ),
                (
                    "fd_filestat_set_times",
                    "refused: there is no file, and a stream is none",
                ),
                ("fd_sync", "refused: there is no file, and a stream is none"),
            ],
        },
        Difference {
            why: "wasmi shows outputs with the flag `append`",
            cases: &[
                ("fd_fdstat_get", "standard output may be written"),
                ("fd_fdstat_get", "standard error may be written"),
            ],
        },
        Difference {
            why: "succeeds and changes nothing: wasmi keeps no rights",
            cases: &[("fd_fdstat_set_rights", "refused: rights cannot be added")],
        },
        Difference {
            why: "`notdir`: wasmi says so of a descriptor that does not exist as well",
            cases: &[("fd_prestat_dir_name", "refused: there are no directories")],
        },
        Difference {
            why: "`notsup`: wasmi does not wait for a time on the wall clock",
            cases: &[
                ("poll_oneoff", "a wall clock wakes at a time"),
                ("poll_oneoff", "a time that has passed wakes at once"),
                ("poll_oneoff", "the longest time is no error"),
            ],
        },
        Difference {
            why: "wasmi tells of inputs before outputs",
            cases: &[("poll_oneoff", "all that are ready are told in their order")],
        },
        Difference {
            why: "the call fails as a whole with `badf`",
            cases: &[(
                "poll_oneoff",
                "a descriptor that does not exist is badf in its event",
            )],
        },
        Difference {
            why: "returns 0: wasmi prints results, all 0, of a function that has left with 0 too",
            cases: &[("proc_exit", "exit 0")],
        },
        Difference {
            why: "traps: wasmi takes whoever raises a signal for a broken program",
            cases: &[("proc_raise", "refused: there are no signals")],
        },
        Difference {
            why: "`badf`: wasmi says so of whatever is no socket",
            cases: &[
                ("sock_accept", "refused: a stream is no socket"),
                ("sock_recv", "refused: a stream is no socket"),
                ("sock_send", "refused: a stream is no socket"),
                ("sock_shutdown", "refused: a stream is no socket"),
            ],
        },
    ],
};
