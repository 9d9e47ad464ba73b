//! Where several runtimes differ alike.

use crate::conformance::Difference;

/// What ends with such a code on the command line of wasmtime and wasmi.
pub(super) const EXIT_CODES: Difference = Difference {
    why: "traps: to wasmtime's and wasmi's own programs, what is above 125 is no exit code",
    cases: &[
        ("proc_exit", "exit 126"),
        ("proc_exit", "exit 127"),
        ("proc_exit", "exit 128"),
        ("proc_exit", "exit 254"),
        ("proc_exit", "exit 255"),
        ("proc_exit", "exit -1"),
        ("proc_exit", "exit 256"),
    ],
};

pub(super) const MUCH_RANDOMNESS: Difference = Difference {
    why: "all of it comes: only our engines bound what one call gives",
    cases: &[("random_get", "refused: more than a mebibyte at once traps")],
};

pub(super) const ANY_CLOCK: Difference = Difference {
    why: "it waits: for a while, every clock is as good as another",
    cases: &[(
        "poll_oneoff",
        "refused: processor time is no clock to wait for",
    )],
};

pub(super) const OUTPUT_TO_READ: Difference = Difference {
    why: "waits for ever: the pipe is asked, and nothing to read ever comes",
    cases: &[(
        "poll_oneoff",
        "an output that is to be read is an error in its event",
    )],
};
