//! Where Node's WASI is not what the documents say.

use super::shared::{ANY_CLOCK, MUCH_RANDOMNESS, OUTPUT_TO_READ};
use crate::conformance::{Column, Difference};

pub(super) const COLUMN: Column = Column {
    name: "node",
    differences: &[
        MUCH_RANDOMNESS,
        ANY_CLOCK,
        OUTPUT_TO_READ,
        Difference {
            why: "`overflow`: node answers a pointer outside of memory with an error",
            cases: &[
                ("args_get", "a pointer to the list outside of memory traps"),
                ("args_get", "a pointer to the text outside of memory traps"),
                ("args_sizes_get", "a pointer outside of memory traps"),
                ("clock_res_get", "a pointer outside of memory traps"),
                ("clock_time_get", "a pointer outside of memory traps"),
                (
                    "environ_get",
                    "a pointer to the list outside of memory traps",
                ),
                (
                    "environ_get",
                    "a pointer to the text outside of memory traps",
                ),
                ("environ_sizes_get", "a pointer outside of memory traps"),
                ("fd_fdstat_get", "a pointer outside of memory traps"),
                ("fd_filestat_get", "a pointer outside of memory traps"),
                ("fd_read", "a buffer outside of memory traps"),
                ("fd_read", "a list outside of memory traps"),
                ("fd_read", "a pointer to the count outside of memory traps"),
                ("fd_write", "a buffer outside of memory traps"),
                (
                    "fd_write",
                    "a buffer around the end of the address space traps",
                ),
                ("fd_write", "a list outside of memory traps"),
                ("fd_write", "a pointer to the count outside of memory traps"),
                ("fd_write", "a list that is longer than memory traps"),
                ("poll_oneoff", "subscriptions outside of memory trap"),
                ("poll_oneoff", "events outside of memory trap"),
                ("random_get", "a buffer outside of memory traps"),
            ],
        },
        Difference {
            why: "goes on: node takes a pointer that is not aligned",
            cases: &[
                ("args_get", "a list that is not aligned traps"),
                ("args_sizes_get", "a pointer that is not aligned traps"),
                ("clock_time_get", "a pointer that is not aligned traps"),
                ("environ_get", "a list that is not aligned traps"),
                ("environ_sizes_get", "a pointer that is not aligned traps"),
                ("fd_fdstat_get", "a pointer that is not aligned traps"),
                ("fd_write", "a list that is not aligned traps"),
                ("poll_oneoff", "subscriptions that are not aligned trap"),
            ],
        },
        Difference {
            why: "node has these clocks",
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
        },
        Difference {
            why: "`inval`: node cannot list no variables",
            cases: &[("environ_get", "an empty environment is empty")],
        },
        Difference {
            why: "a pipe is a `socket_stream` to node",
            cases: &[
                ("fd_fdstat_get", "standard input may be read"),
                ("fd_fdstat_get", "standard output may be written"),
                ("fd_fdstat_get", "standard error may be written"),
                ("fd_filestat_get", "a stream has no size and no kind"),
            ],
        },
        Difference {
            why: "node shows the flags of the system, by the system's numbers",
            cases: &[("fd_fdstat_set_flags", "a flag that is set is shown")],
        },
        Difference {
            why: "goes on: node passes over flags that it does not know",
            cases: &[("fd_fdstat_set_flags", "flags that do not exist are inval")],
        },
        Difference {
            why: "succeeds: node adds what a stream of its kind may have",
            cases: &[("fd_fdstat_set_rights", "refused: rights cannot be added")],
        },
        Difference {
            why: "`notcapable`: node gives a stream no right to offsets",
            cases: &[
                ("fd_pread", "a pipe has no offsets"),
                ("fd_pwrite", "a pipe has no offsets"),
                ("fd_seek", "a pipe has no offset"),
                ("fd_seek", "a base that does not exist is inval"),
                ("fd_tell", "a pipe has no offset"),
            ],
        },
        Difference {
            why: "succeeds: node does not look where both numbers are the same",
            cases: &[("fd_renumber", "what does not exist takes no number")],
        },
        Difference {
            why: "node does not say how many bytes there are",
            cases: &[(
                "poll_oneoff",
                "standard input is ready while there is something",
            )],
        },
        Difference {
            why: "node writes behind the events too, as far as there is room",
            cases: &[("poll_oneoff", "all that are ready are told in their order")],
        },
        Difference {
            why: "only the first of them is told of",
            cases: &[("poll_oneoff", "one descriptor may be waited for twice")],
        },
        Difference {
            why: "a clock is told of in its place",
            cases: &[(
                "poll_oneoff",
                "a descriptor that does not exist is badf in its event",
            )],
        },
        Difference {
            why: "waits for ever: node takes every time for one on the wall clock, and \
                one that has passed for one in centuries",
            cases: &[
                ("poll_oneoff", "a monotonic clock wakes at a time"),
                ("poll_oneoff", "a time that has passed wakes at once"),
            ],
        },
        Difference {
            why: "goes on: node looks at neither clocks nor flags",
            cases: &[("poll_oneoff", "what does not exist cannot be waited for")],
        },
        Difference {
            why: "the guest's process ends: node raises the signal",
            cases: &[("proc_raise", "refused: there are no signals")],
        },
        Difference {
            why: "`nosys`: node says so of a signal that it does not know",
            cases: &[("proc_raise", "a signal that does not exist is inval")],
        },
        Difference {
            why: "the guest's process ends: node crashes",
            cases: &[("sock_accept", "refused: a stream is no socket")],
        },
        Difference {
            why: "`inval`: node looks for a buffer first",
            cases: &[
                ("sock_recv", "refused: a stream is no socket"),
                ("sock_recv", "refused: there are no sockets"),
                ("sock_send", "refused: a stream is no socket"),
                ("sock_send", "refused: there are no sockets"),
            ],
        },
        Difference {
            why: "`notsup`: node shuts down the writing side alone",
            cases: &[
                ("sock_shutdown", "refused: a stream is no socket"),
                ("sock_shutdown", "refused: there are no sockets"),
            ],
        },
    ],
};
