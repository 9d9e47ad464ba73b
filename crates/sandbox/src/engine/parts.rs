//! Components that are made of others.
//!
//! Text that one component of a composition gives to another, the engine copies at one go, in which
//! nobody can stop the guest; of a list it copies one element after the other. A mebibyte takes 0.4 to
//! 1.0 ms the first time, when the system makes the pages. Text that one has in UTF-8 and the other in
//! UTF-16 is converted, and takes several times as long. So the guest has only as much memory as is
//! copied or converted well within the 50 ms after which a task that is stopped is gone.
//!
//! In a process of its own a guest is stopped with it, and has no such bound; but a deterministic one
//! ends the same way everywhere.

use propeller_model::{Bound, Limits, SetBy};
use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, Parser, Payload};

use crate::runtime::RunError;

/// Memory of all parts together where they may give each other text: half of it is copied into the
/// other half in some 15 ms, and in twice that where others have the processors too.
const COPIED_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The same where text is converted, which takes as long for half as much.
const CONVERTED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a guest may have less memory than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtOneGo {
    /// Its parts give each other what lies in memory, which may be text.
    Copied,
    /// One of its parts has text in another encoding than others.
    Converted,
}

impl AtOneGo {
    /// What this module or component does at one go. What cannot be read is for the compiler to say.
    pub(super) fn of(wasm: &[u8]) -> Option<Self> {
        match Parts::read(wasm)? {
            Parts { inner: false, .. } => None,
            Parts { wide: true, .. } => Some(Self::Converted),
            Parts { wide: false, .. } => Some(Self::Copied),
        }
    }

    /// Lowers what a job may have; refuses one that asks for more.
    pub(super) fn lower(self, limits: &mut Limits) -> Result<(), RunError> {
        let memory_max = self.memory_max();
        let Bound { value, set_by } = limits.memory_bytes;
        if set_by == SetBy::Task && value > memory_max {
            return Err(self.refused(value));
        }
        limits.memory_bytes = limits.memory_bytes.capped(Some(memory_max));
        Ok(())
    }

    fn memory_max(self) -> u64 {
        match self {
            Self::Copied => COPIED_BYTES_MAX,
            Self::Converted => CONVERTED_BYTES_MAX,
        }
    }

    fn refused(self, asked: u64) -> RunError {
        let memory_max = self.memory_max();
        match self {
            Self::Copied => RunError::CopiesAtOneGo { asked, memory_max },
            Self::Converted => RunError::ConvertsText { asked, memory_max },
        }
    }
}

/// What there is to see of the parts of a component.
#[derive(Default)]
struct Parts {
    /// Whether a component in another one gives or takes what lies in a memory. Tools put components
    /// without any into every one that exports an interface, to give it its types.
    inner: bool,
    /// Whether text of some part has another encoding than UTF-8.
    wide: bool,
}

impl Parts {
    fn read(wasm: &[u8]) -> Option<Self> {
        let mut parts = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.ok()? {
                // A module has no parts, and need not be read to its end.
                Payload::Version { encoding, .. } if depth == 0 && encoding == Encoding::Module => {
                    return None;
                }
                Payload::Version { .. } => depth = depth.saturating_add(1),
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentCanonicalSection(functions) => {
                    for function in functions {
                        parts.look_at(options(&function.ok()?), depth > 1);
                    }
                }
                _ => {}
            }
        }
        Some(parts)
    }

    fn look_at(&mut self, options: &[CanonicalOption], is_inner: bool) {
        for option in options {
            match option {
                CanonicalOption::Memory(_) => self.inner |= is_inner,
                CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => self.wide = true,
                _ => {}
            }
        }
    }
}

fn options(function: &CanonicalFunction) -> &[CanonicalOption] {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options
        }
        // The others give and take nothing in memory, or belong to asynchronous functions, which
        // are off.
        _ => &[],
    }
}
