//! Says what a WebAssembly file is, what it needs, and whether Propeller can run it.
//!
//! [`inspect`] takes bytes and gives a [`Report`]: no I/O, no engine, nothing is compiled or run.
//!
//! ```text
//!  bytes ─▶ header ─▶ check ─▶ module | component ─▶ Report
//!           format    valid?   imports, exports,     what it is, what it needs,
//!                              needs, calls          how to run it or why not
//! ```
//!
//! The file may be anybody's, so whatever comes out is bounded: lists have at most [`ITEMS_MAX`]
//! entries and say how many more there are, names and types are cut, and no character in them
//! moves a cursor.
//!
//! ```
//! let report = propeller_inspect::inspect(b"\0asm\x01\0\0\0")?;
//! assert_eq!(report.size_bytes, 8);
//! assert!(report.exports.items.is_empty());
//! # Ok::<(), propeller_inspect::InspectError>(())
//! ```

mod check;
mod component;
mod error;
mod header;
mod module;
mod offer;
mod preview1;
mod preview2;
mod report;
mod text;
mod verdict;
mod wit;

pub use error::InspectError;
pub use offer::{Capability, Need, Standing};
pub use report::{Export, Format, Import, ItemKind, Listed, Memory, Report, Role};
pub use verdict::{Call, Obstacle, Verdict};

use aws_lc_rs::digest;
use propeller_model::Digest;

use check::Checked;

/// Longest file that is looked at, and more than a manager takes. Checking it takes seconds.
pub const BYTES_MAX: usize = 128 * 1024 * 1024;

/// Entries in every list of a report. A program has some tens; more than this nobody reads.
pub const ITEMS_MAX: usize = 256;

/// What `bytes` are, what they need, and whether Propeller can run them.
///
/// # Errors
/// See [`InspectError`]: the bytes are no valid WebAssembly, or too many.
pub fn inspect(bytes: &[u8]) -> Result<Report, InspectError> {
    if bytes.len() > BYTES_MAX {
        return Err(InspectError::TooLarge {
            bytes: bytes.len() as u64,
        });
    }
    let format = header::format(bytes)?;
    let checked = Checked::new(bytes)?;
    let found = match format {
        Format::Core => module::read(&checked),
        Format::Component => component::read(&checked),
    };
    Ok(Report {
        format,
        role: found.role,
        chunked: found.chunked,
        size_bytes: bytes.len() as u64,
        digest: digest_of(bytes),
        memory: checked.memory,
        verdict: verdict::verdict(&found, checked.switched_off),
        imports: found.imports,
        exports: found.exports,
        needs: found.needs,
        missing: found.missing,
    })
}

fn digest_of(bytes: &[u8]) -> Digest {
    let hash = digest::digest(&digest::SHA256, bytes);
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.as_ref());
    Digest(digest)
}
