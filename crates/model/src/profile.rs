//! How a guest sees the world, and what a result says about the engine that made it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a guest sees the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// Arguments, environment, standard streams, real clocks and real randomness.
    #[default]
    Pure,
    /// As `Pure`, with a virtual clock, seeded randomness and floating point without loose ends:
    /// the same module, input and environment give the same bytes, fuel and trap wherever the same
    /// release runs. What ends a guest by stack, time or the host's memory is no result.
    Deterministic,
    /// As `Pure`, and what the proplet's policy grants of what the task asks for.
    Granted,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pure, Self::Deterministic, Self::Granted];

    /// Its name, as it is written everywhere.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Deterministic => "deterministic",
            Self::Granted => "granted",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a profile is `pure`, `deterministic` or `granted`")]
pub struct ProfileError;

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|profile| profile.name() == text)
            .ok_or(ProfileError)
    }
}

/// What ran a guest: everything but module and input that its result may depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// `wasmtime`, …
    pub name: String,
    /// Its version.
    pub version: String,
    /// The version of Propeller's sandbox around it, which defines clocks, seeds and limits.
    pub sandbox: String,
    /// `x86_64`, …
    pub arch: String,
    /// How the guest saw the world.
    pub profile: Profile,
    /// `in-process`, `process` or `external`.
    pub isolation: String,
    /// What the engine was told beyond its defaults, sorted.
    pub features: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_reads_what_it_writes() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert_eq!("Pure".parse::<Profile>(), Err(ProfileError));
    }
}
