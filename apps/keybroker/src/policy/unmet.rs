//! What a request lacks of a rule, in words.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use propeller_attest::Tee;
use propeller_attest::verify::TcbStatus;

use super::pattern::Pattern;
use super::{AtMost, Counted};

/// The longest value of somebody else's that is repeated, in characters.
const SHOWN_MAX: usize = 100;

/// One condition of a rule that a request does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmet {
    /// It is about other resources.
    Resource {
        /// About which.
        wants: Vec<Pattern>,
    },
    /// It does not name `sample`.
    Sample,
    /// It is about other kinds of TEE.
    Tee {
        /// What this is.
        found: Tee,
        /// About which.
        wants: BTreeSet<Tee>,
    },
    /// Something else runs.
    Measurement {
        /// What, in hexadecimal.
        found: Option<String>,
    },
    /// Another value in the init-data.
    InitData {
        /// Its name.
        key: String,
        /// What is there.
        found: Option<String>,
        /// What has to be.
        wants: String,
    },
    /// Another value in the evidence.
    Evidence {
        /// Its name.
        name: String,
        /// What is there.
        found: Option<String>,
    },
    /// A number in the evidence is too low.
    TooLow {
        /// Its name.
        name: String,
        /// What is there.
        found: Option<u64>,
        /// The least that is accepted.
        min: u64,
    },
    /// The platform is in a state that the rule does not name.
    Tcb(TcbStatus),
    /// The host can look inside.
    Debug,
    /// The report is signed with a key in the hands of a cloud's operator.
    Vlek,
    /// It begins later.
    NotYet(Timestamp),
    /// It has ended.
    Over(Timestamp),
    /// It has released as much as it may.
    TooOften(AtMost),
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource { wants } => write!(f, "it is for {}", listed(wants)),
            Self::Sample => f.write_str(
                "the evidence is of kind `sample`, which proves nothing, and the rule does not name it in `tee`",
            ),
            Self::Tee { found, wants } => {
                write!(f, "the TEE is {found}, and the rule is for {}", listed(wants))
            }
            Self::Measurement { found } => {
                write!(f, "the measurement {} is none of those in the rule", shown(found))
            }
            Self::InitData { key, found, wants } => {
                let found = shown(found);
                write!(f, "`{key}` of the init-data is {found}, and has to be {wants:?}")
            }
            Self::Evidence { name, found } => {
                let found = shown(found);
                write!(f, "`{name}` of the evidence is {found}, which the rule does not accept")
            }
            Self::TooLow { name, found, min } => {
                let found = shown(&found.map(|number| number.to_string()));
                write!(f, "`{name}` of the evidence is {found}, and has to be at least {min}")
            }
            Self::Tcb(status) => {
                write!(f, "the TCB status is {status}, which the rule does not name in `tcb`")
            }
            Self::Debug => {
                f.write_str("its host can look inside (debug), and the rule does not say `debug = true`")
            }
            Self::Vlek => f.write_str(
                "the report is signed with a key in the hands of a cloud's operator (VLEK), and the rule does not say `vlek = true`",
            ),
            Self::NotYet(from) => write!(f, "the rule holds from {from}"),
            Self::Over(until) => write!(f, "the rule held until {until}"),
            Self::TooOften(at_most) => at_most.fmt(f),
        }
    }
}

impl fmt::Display for AtMost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            releases,
            per_secs,
            counted,
        } = self;
        let of = match counted {
            Counted::Together => "",
            Counted::ByResource => " of this resource",
            Counted::ByWorkload => " to this workload",
        };
        write!(
            f,
            "the rule has made its {releases} releases{of} within {per_secs} s"
        )
    }
}

fn listed<T: fmt::Display>(wants: impl IntoIterator<Item = T>) -> String {
    let wants = wants.into_iter().map(|one| format!("`{one}`"));
    let wants: Vec<String> = wants.collect();
    match wants.is_empty() {
        true => "any hardware".to_owned(),
        false => wants.join(", "),
    }
}

/// What somebody else wrote, in quotes and not too much of it.
fn shown(found: &Option<String>) -> String {
    match found {
        None => "not there".to_owned(),
        Some(found) => format!("{:?}", found.chars().take(SHOWN_MAX).collect::<String>()),
    }
}
