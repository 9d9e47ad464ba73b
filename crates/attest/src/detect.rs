//! Which TEE this is, from what only a guest of one sees.
//!
//! ```text
//!  a Machine ─▶ eight probes, each with its outcome in words ─▶ decide ─▶ Detected
//! ```
//!
//! What hosts of TEEs have (`/dev/sev`, `/dev/sgx_enclave`, flags of processors, parameters of KVM)
//! says that guests could be TEEs, not that this is one: nothing of it is looked at. Nothing found is
//! nothing, and never `sample`.

pub(crate) mod entry;
mod machine;
#[cfg(feature = "azure-attester")]
mod metadata;
mod probes;
mod sev_guest;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::Tee;

pub use machine::{Host, Kind, Machine, TPM};
pub use sev_guest::{ANSWER_BYTES, SEV_GUEST, SevGuestAnswer};

/// What a machine is, and how that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Detected {
    /// The kind of TEE; `None` if nothing says that this is one, or if facts contradict each other.
    pub tee: Option<Tee>,
    /// Why.
    pub fact: String,
    /// Everything that was looked at, in this order.
    pub looked: Vec<Probe>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Probe {
    /// Where.
    pub place: &'static str,
    /// What that means.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was there, and what to do about it where something is in the way.
    pub says: String,
}

/// What a [`Probe`] means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Only guests of this kind see that.
    Found {
        /// The kind.
        tee: Tee,
    },
    /// Nothing there says that this is a TEE.
    Absent,
    /// It could not be looked at, so it says nothing.
    Blocked,
    /// It was not looked at: it could say nothing here.
    Skipped,
}

/// Looks at a machine.
///
/// It makes a folder in configfs and removes it again, and on Azure reads from the TPM; both take
/// root. Blocks for as long as these take, usually a few milliseconds.
#[must_use]
pub fn detect(machine: &dyn Machine) -> Detected {
    decide(probes::all(machine))
}

impl Detected {
    /// Whether this may be a TEE after all: something could not be looked at, or facts contradict
    /// each other.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        let open = |probe: &Probe| !matches!(probe.outcome, Outcome::Absent | Outcome::Skipped);
        self.tee.is_none() && self.looked.iter().any(open)
    }
}

/// The rule: one kind is a TEE, two are a contradiction that nobody may choose from.
fn decide(looked: Vec<Probe>) -> Detected {
    let found = || looked.iter().filter_map(Probe::found);
    let mut kinds: BTreeSet<Tee> = found().map(|(tee, _)| tee).collect();
    // Below Azure's paravisor is the hardware, and evidence comes from the paravisor.
    for (azure, hardware) in [(Tee::AzSnpVtpm, Tee::Snp), (Tee::AzTdxVtpm, Tee::Tdx)] {
        if kinds.contains(&azure) {
            kinds.remove(&hardware);
        }
    }
    let (tee, fact) = match (kinds.len(), kinds.first()) {
        (1, Some(kind)) => {
            let probe = found().find(|(tee, _)| tee == kind);
            let fact = probe.map(|(_, probe)| format!("{}: {}", probe.place, probe.says));
            (Some(*kind), fact.unwrap_or_default())
        }
        (0, _) => (None, nothing(&looked)),
        _ => {
            let facts = found().map(|(tee, probe)| format!("{} says {tee}", probe.place));
            let facts: Vec<String> = facts.collect();
            (None, format!("contradictory, {}", facts.join(", ")))
        }
    };
    Detected { tee, fact, looked }
}

fn nothing(looked: &[Probe]) -> String {
    let blocked = |probe: &&Probe| probe.outcome == Outcome::Blocked;
    match looked.iter().filter(blocked).count() {
        0 => "nothing says that this is a TEE".to_owned(),
        count => format!("nothing says that this is a TEE, but {count} could not be looked at"),
    }
}

impl Probe {
    fn found(&self) -> Option<(Tee, &Self)> {
        match self.outcome {
            Outcome::Found { tee } => Some((tee, self)),
            Outcome::Absent | Outcome::Blocked | Outcome::Skipped => None,
        }
    }
}

/// One line that says what it is, and one for each probe.
impl fmt::Display for Detected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.tee.map_or("none", Tee::name);
        write!(f, "{kind}: {}", self.fact)?;
        for probe in &self.looked {
            write!(f, "\n  {probe}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Found { .. } => "found",
            Outcome::Absent => "absent",
            Outcome::Blocked => "blocked",
            Outcome::Skipped => "skipped",
        };
        write!(f, "{outcome:<8} {}: {}", self.place, self.says)
    }
}
