//! What guests ask the host for, and what Propeller makes of it.

use crate::report::Listed;

/// Something outside the sandbox that a module may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Capability {
    /// Standard input, output and error.
    Stdio,
    /// Its command line.
    Arguments,
    /// Environment variables.
    Environment,
    /// Clocks, and sleeping.
    Clocks,
    /// Random numbers.
    Randomness,
    /// Directories and what is in them.
    Files,
    /// Network connections.
    Sockets,
    /// HTTP requests to others.
    OutgoingHttp,
}

/// What a module gets when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It gets it.
    Given,
    /// It may ask, and gets what its task was granted.
    Withheld,
}

/// A capability that a module may want, and how that shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it may want.
    pub capability: Capability,
    /// The imports that say so.
    pub imports: Listed<String>,
}

impl Capability {
    /// Its name, also in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Arguments => "arguments",
            Self::Environment => "environment",
            Self::Clocks => "clocks",
            Self::Randomness => "randomness",
            Self::Files => "files",
            Self::Sockets => "sockets",
            Self::OutgoingHttp => "outgoing-http",
        }
    }

    /// What Propeller makes of it.
    #[must_use]
    pub fn standing(self) -> Standing {
        match self {
            Self::Stdio | Self::Arguments | Self::Environment => Standing::Given,
            Self::Clocks | Self::Randomness => Standing::Given,
            Self::Files | Self::Sockets | Self::OutgoingHttp => Standing::Withheld,
        }
    }

    /// What Propeller makes of it, for people.
    #[must_use]
    pub fn answer(self) -> &'static str {
        match self {
            Self::Stdio => "given: the task's input, kept output",
            Self::Arguments => "given: the task's",
            Self::Environment => "given: the task's, nothing of the host's",
            Self::Clocks | Self::Randomness => "given",
            Self::Files => "withheld but for what is granted (--grant-dir)",
            Self::Sockets => "withheld but for what is granted (--grant-host, --grant-port)",
            Self::OutgoingHttp => "withheld but for what is granted (--grant-host)",
        }
    }
}

impl Standing {
    /// Its name in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Withheld => "withheld",
        }
    }
}

/// Needs while they are collected.
#[derive(Debug, Default)]
pub(crate) struct Needs(Vec<Need>);

impl Needs {
    /// Notes that `import` asks for `capability`.
    pub(crate) fn add(&mut self, capability: Capability, import: &str) {
        let at = match self
            .0
            .binary_search_by_key(&capability, |need| need.capability)
        {
            Ok(at) => at,
            Err(at) => {
                let imports = Listed::default();
                self.0.insert(
                    at,
                    Need {
                        capability,
                        imports,
                    },
                );
                at
            }
        };
        let imports = &mut self.0[at].imports;
        // A module may import one thing twice, and those come one after the other.
        if imports.items.last().is_none_or(|last| last != import) {
            imports.add(|| import.to_owned());
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Need> {
        self.0
    }
}
