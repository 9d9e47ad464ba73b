//! Components whose parts have text in different encodings.
//!
//! What one component of a composition gives to another, the engine copies at one go, in which nobody
//! can stop the guest. Bytes are quick: a hundred megabytes take some 20 ms. Text that one has in
//! UTF-8 and the other in UTF-16 is converted, and takes ten times as long; so there is less of it.

use propeller_model::{Bound, Limits, SetBy};
use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, Parser, Payload};

use crate::runtime::RunError;

/// Memory of all parts together: what fits into it is converted in some 30 ms.
const MEMORY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// How much memory a guest of this module or component may have at most, if that is less than others
/// may have. What cannot be read is for the compiler to say.
pub(super) fn memory_max(wasm: &[u8]) -> Option<u64> {
    converts(wasm).unwrap_or(false).then_some(MEMORY_BYTES_MAX)
}

/// Lowers what a job may have; refuses one that asks for more.
pub(super) fn lower(limits: &mut Limits, memory_max: u64) -> Result<(), RunError> {
    let Bound { value, set_by } = limits.memory_bytes;
    if set_by == SetBy::Task && value > memory_max {
        return Err(RunError::ConvertsText {
            asked: value,
            memory_max,
        });
    }
    limits.memory_bytes = limits.memory_bytes.capped(Some(memory_max));
    Ok(())
}

/// Whether it is made of components, of which one has text in another encoding than UTF-8.
fn converts(wasm: &[u8]) -> Option<bool> {
    let (mut components, mut wide) = (0, false);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::Version {
                encoding: Encoding::Component,
                ..
            } => components += 1,
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    wide |= options(&function.ok()?).iter().any(is_wide);
                }
            }
            _ => {}
        }
    }
    Some(wide && components > 1)
}

fn options(function: &CanonicalFunction) -> &[CanonicalOption] {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options
        }
        // The others give and take no text, or belong to asynchronous functions, which are off.
        _ => &[],
    }
}

fn is_wide(option: &CanonicalOption) -> bool {
    matches!(
        option,
        CanonicalOption::UTF16 | CanonicalOption::CompactUTF16
    )
}
