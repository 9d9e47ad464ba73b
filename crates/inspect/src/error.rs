//! Why a file says nothing about itself.

use crate::BYTES_MAX;

/// Why there is no report about some bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There are no bytes.
    #[error("it is empty")]
    Empty,
    /// There are more bytes than Propeller takes.
    #[error("it has {bytes} bytes, and no module may have more than {BYTES_MAX}")]
    TooLarge {
        /// How many there are, as far as is known.
        bytes: u64,
    },
    /// The text format, which is for people.
    #[error("it is WebAssembly text, which has to be compiled")]
    Text,
    /// Something else.
    #[error("it is not WebAssembly but {looks_like}")]
    NotWasm {
        /// What it begins like.
        looks_like: &'static str,
    },
    /// WebAssembly of another time.
    #[error("it is WebAssembly of version {version}, layer {layer}, which nothing here knows")]
    Version {
        /// The version in the header: 1 for core modules, 13 for components.
        version: u16,
        /// 0 for core modules, 1 for components.
        layer: u16,
    },
    /// The file ends before it has to.
    #[error("it ends in the middle, after {bytes} bytes")]
    Truncated {
        /// How many bytes there are.
        bytes: u64,
    },
    /// It begins like WebAssembly and breaks the rules later.
    #[error("it is not valid WebAssembly: at byte {offset}: {reason}")]
    Invalid {
        /// Where, from the beginning of the file.
        offset: u64,
        /// Which rule.
        reason: String,
    },
}
