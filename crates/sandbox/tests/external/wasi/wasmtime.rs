//! Where wasmtime's own program is not what the documents say: where its library is not, and where
//! the proplet's engine makes more of that.

use super::shared::{ANY_CLOCK, EXIT_CODES, MUCH_RANDOMNESS};
use crate::conformance::wasmtime::{
    EMPTY_READ, ENUMERATION, FLAGS, LONG_LIST, PROCESSOR_TIME, RIGHTS, WHOLE_POLL,
};
use crate::conformance::{Column, Difference};

const LATE_INPUT: Difference = Difference {
    why: "standard input is missing: wasmtime begins to read it when it is first waited for",
    cases: &[("poll_oneoff", "all that are ready are told in their order")],
};

pub(super) const COLUMN: Column = Column {
    name: "wasmtime",
    differences: &[
        ENUMERATION,
        PROCESSOR_TIME,
        FLAGS,
        RIGHTS,
        EMPTY_READ,
        LONG_LIST,
        WHOLE_POLL,
        EXIT_CODES,
        MUCH_RANDOMNESS,
        ANY_CLOCK,
        LATE_INPUT,
    ],
};
