//! Which version of MQTT is spoken, and which one is tried after a failure. No I/O.
//!
//! A broker cannot be asked for its version: one that knows only 3.1.1 refuses the CONNECT of
//! MQTT 5, answers what MQTT 5 cannot read, or hangs up. So the other version is tried whenever
//! there was a connection and no understanding on it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// First pause after a failed connection; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// OASIS MQTT 3.1.1, protocol level 4.
    V311,
    /// OASIS MQTT 5.0, protocol level 5.
    V5,
}

/// The versions that may be spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versions {
    /// Both; MQTT 5 is tried first.
    #[default]
    Auto,
    /// One alone.
    Only(Version),
}

/// Why a text does not name versions.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("use `auto`, `5` or `3.1.1`")]
pub struct VersionsError;

impl Version {
    fn other(self) -> Self {
        match self {
            Self::V311 => Self::V5,
            Self::V5 => Self::V311,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

impl FromStr for Versions {
    type Err = VersionsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "5" => Ok(Self::Only(Version::V5)),
            "3.1.1" => Ok(Self::Only(Version::V311)),
            _ => Err(VersionsError),
        }
    }
}

/// Where a connection, or the try to make one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Before MQTT: nobody listens, the network is silent, TLS does not succeed.
    Unreachable,
    /// After TCP and TLS, without an answer that the version understands.
    NoHandshake,
    /// With an answer that is understood: not you, or not now.
    Refused,
    /// After it had worked.
    Lost,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) version: Version,
    /// How long to wait first.
    pub(super) pause: Duration,
}

/// Decides which version is tried, and when.
#[derive(Debug)]
pub(super) struct Negotiation {
    version: Version,
    may_change: bool,
    pause: Duration,
    /// The handshake has just failed in one version: the other one's turn is part of the same try.
    is_second_turn: bool,
}

impl Negotiation {
    pub(super) fn new(versions: Versions) -> Self {
        let (version, may_change) = match versions {
            Versions::Auto => (Version::V5, true),
            Versions::Only(version) => (version, false),
        };
        Self {
            version,
            may_change,
            pause: PAUSE_MIN,
            is_second_turn: false,
        }
    }

    /// The version to try, or the one that is spoken.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// The broker has accepted the connection.
    pub(super) fn agreed(&mut self) {
        self.pause = PAUSE_MIN;
        self.is_second_turn = false;
    }

    pub(super) fn failed(&mut self, cause: Cause) -> Next {
        let changes = self.may_change && cause == Cause::NoHandshake;
        if changes {
            self.version = self.version.other();
        }
        // Two versions must not make two pauses of one, or a broker that comes back while the
        // wrong one has its turn would be found late.
        self.is_second_turn = changes && !self.is_second_turn;
        let pause = if self.is_second_turn {
            PAUSE_MIN
        } else {
            let pause = self.pause;
            self.pause = (pause * 2).min(PAUSE_MAX);
            pause
        };
        Next {
            version: self.version,
            pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cause::{Lost, NoHandshake, Refused, Unreachable};
    use super::Version::{V5, V311};
    use super::*;

    /// Each failure, the version that is tried after it, and after how many milliseconds.
    fn check(negotiation: &mut Negotiation, expected: &[(Cause, Version, u64)]) {
        for (turn, (cause, version, pause)) in expected.iter().enumerate() {
            let next = Next {
                version: *version,
                pause: Duration::from_millis(*pause),
            };
            assert_eq!(negotiation.failed(*cause), next, "{turn}: {cause:?}");
            assert_eq!(negotiation.version(), *version);
        }
    }

    #[test]
    fn versions_are_named_as_people_name_them() {
        for (text, expected) in [
            ("auto", Ok(Versions::Auto)),
            ("5", Ok(Versions::Only(V5))),
            ("3.1.1", Ok(Versions::Only(V311))),
            ("4", Err(VersionsError)),
            ("", Err(VersionsError)),
        ] {
            assert_eq!(text.parse::<Versions>(), expected, "{text}");
        }
    }

    #[test]
    fn a_broker_that_is_not_there_changes_no_version_and_is_tried_ever_less_often() {
        let mut negotiation = Negotiation::new(Versions::Auto);
        assert_eq!(negotiation.version(), V5);
        let pauses = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
        check(
            &mut negotiation,
            &pauses.map(|pause| (Unreachable, V5, pause)),
        );
    }

    #[test]
    fn versions_take_turns_until_one_works_and_that_one_stays() {
        let mut negotiation = Negotiation::new(Versions::Auto);
        check(
            &mut negotiation,
            &[
                (NoHandshake, V311, 50),
                (NoHandshake, V5, 50),
                (NoHandshake, V311, 50),
                (NoHandshake, V5, 100),
                (NoHandshake, V311, 50),
            ],
        );
        negotiation.agreed();
        check(
            &mut negotiation,
            &[
                (Lost, V311, 50),
                (Unreachable, V311, 100),
                (Unreachable, V311, 200),
                // Somebody has replaced the broker.
                (NoHandshake, V5, 50),
            ],
        );
        negotiation.agreed();
        check(&mut negotiation, &[(Lost, V5, 50)]);
    }

    #[test]
    fn a_second_turn_is_over_when_the_broker_goes_away_during_it() {
        let mut negotiation = Negotiation::new(Versions::Auto);
        check(
            &mut negotiation,
            &[
                (Unreachable, V5, 50),
                (NoHandshake, V311, 50),
                (Unreachable, V311, 100),
                (NoHandshake, V5, 50),
                (NoHandshake, V311, 200),
            ],
        );
    }

    #[test]
    fn a_refusal_is_an_answer_and_keeps_the_version() {
        let mut negotiation = Negotiation::new(Versions::Auto);
        check(&mut negotiation, &[(Refused, V5, 50), (Refused, V5, 100)]);
        let mut negotiation = Negotiation::new(Versions::Auto);
        check(
            &mut negotiation,
            &[
                (NoHandshake, V311, 50),
                (Refused, V311, 50),
                (Refused, V311, 100),
            ],
        );
    }

    #[test]
    fn a_version_that_was_set_stays_whatever_happens() {
        for version in [V5, V311] {
            let mut negotiation = Negotiation::new(Versions::Only(version));
            check(
                &mut negotiation,
                &[
                    (NoHandshake, version, 50),
                    (NoHandshake, version, 100),
                    (Refused, version, 200),
                    (Unreachable, version, 400),
                ],
            );
        }
    }
}
