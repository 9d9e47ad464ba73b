//! What can be wrong with a configuration.

use crate::value::Source;

/// Everything that is wrong with a configuration, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingsError(pub Vec<SettingError>);

/// One thing that is wrong. Values are never repeated: they may be secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A value that its key does not take.
    #[error("{key} ({from}): {why}")]
    Invalid {
        /// The key.
        key: String,
        /// Where the value came from.
        from: Source,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// A key without which the service cannot run.
    #[error("{key} is not set: {help}")]
    Missing {
        /// The key's environment variable.
        key: String,
        /// What it is for.
        help: &'static str,
    },
    /// A key that nobody knows, in a file.
    #[error("{file}: unknown key `{key}` in [{section}]{hint}")]
    Unknown {
        /// The file.
        file: String,
        /// The section.
        section: String,
        /// The key.
        key: String,
        /// What was perhaps meant.
        hint: String,
    },
    /// Two names of one thing, with different values.
    #[error(
        "{first} and {second} ({from}) are two names of one setting and differ: set one of them"
    )]
    Contradiction {
        /// One name.
        first: String,
        /// The other.
        second: String,
        /// Where both are set.
        from: Source,
    },
    /// A file that cannot be read or parsed.
    #[error("{file}: {why}")]
    File {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
}
