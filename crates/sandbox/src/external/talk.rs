//! What a runtime says besides its guest, by where it stands: all else is the guest's and can be
//! told at once.

use super::catalog::{Dialect, On};
use super::plan::{Call, Manner};
use super::template::Slot;

/// What wasmtime's complaint about the guest begins with.
pub(super) const WASMTIME: &str = "Error: failed to run main module";

/// What wasmtime warns of where a function has parameters, before the guest, and where it has
/// results, after it.
pub(super) const WARNING_BEFORE: &str = "warning: using `--invoke` with a function that takes \
     arguments is experimental and may break in the future\n";
pub(super) const WARNING_AFTER: &str = "warning: using `--invoke` with a function that returns \
     values is experimental and may break in the future\n";

/// What wasmi prints before the results.
pub(super) const FUEL: &str = "fuel consumed: ";

/// What wasmi's complaint about a guest begins with.
pub(super) fn wasmi(function: &str) -> String {
    format!("Error: failed during execution of {function}: ")
}

/// What a runtime may print besides the guest.
pub(super) const TALK_BYTES_MAX: usize = 16 * 1024;

/// Where a runtime's own words may stand in one stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Talk {
    /// Stands before everything else, if it is there.
    pub(super) before: &'static str,
    /// What begins with the last one of each may be the runtime's, to the end.
    pub(super) marks: Vec<String>,
    /// So many of the last writes, or of the last lines, may be results.
    pub(super) results: usize,
}

/// What a runtime may say, of both streams.
#[derive(Debug, Default)]
pub(super) struct Talks {
    pub(super) stdout: Talk,
    pub(super) stderr: Talk,
}

impl Talks {
    /// What a runtime of `manner` may say about `call`.
    pub(super) fn of(manner: &Manner, call: &Call) -> Self {
        let mut talks = Self::default();
        let Self { stdout, stderr } = &mut talks;
        let results = match call.command {
            true => 0,
            false => call.results.len(),
        };
        match manner.known.dialect {
            Dialect::Wasmtime => {
                stdout.results = results;
                stderr.marks.push(WASMTIME.to_owned());
                if !call.command && call.params > 0 {
                    stderr.before = WARNING_BEFORE;
                }
                if results > 0 {
                    stderr.marks.push(WARNING_AFTER.to_owned());
                }
            }
            Dialect::Wasmi => {
                stderr.marks.push(wasmi(&call.function));
                match manner.template.has(Slot::Fuel) {
                    true => stdout.marks.push(FUEL.to_owned()),
                    false => stdout.results = results,
                }
            }
            // It answers elsewhere.
            Dialect::Script => {}
            Dialect::Complaint { on, begins, .. } => {
                stdout.results = results;
                let complains = match on {
                    On::Stdout => stdout,
                    On::Stderr => stderr,
                };
                complains.marks.push(begins.to_owned());
            }
            Dialect::Plain => stdout.results = results,
        }
        talks
    }
}
