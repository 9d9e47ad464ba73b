//! What a proplet's evidence is worth to this manager.

use std::time::Duration;

use propeller_attest::Tee;
use propeller_attest::verify::{
    Anchors, Basis, Collateral, Evidence, Expected, Policy, Rule, UnixTime, verify,
};
use propeller_wire::message::EVIDENCE_LEN_MAX;
use serde_json::Value;

/// Longest name of a kind of TEE.
const KIND_LEN_MAX: usize = 32;

/// Judges evidence by the operator's policy, if there is one.
#[derive(Debug)]
pub struct Judge {
    policy: Option<Policy>,
    collateral: Vec<Collateral>,
    anchors: Anchors,
}

/// What was found out about evidence that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What it is evidence of.
    pub tee: Tee,
    /// Whether a policy was held against it.
    pub checked: bool,
}

impl Standing {
    /// What people are told, and not more than is known.
    #[must_use]
    pub fn label(self) -> String {
        match (self.tee, self.checked) {
            (Tee::Sample, _) => format!("attested ({})", Tee::Sample.label()),
            (tee, true) => format!("attested ({tee})"),
            (tee, false) => format!("attested ({tee}: not checked by the manager)"),
        }
    }
}

/// The beginning of words that may repeat what a proplet sent, without what could change a terminal.
fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 512;
    text.chars()
        .map(|c| if c.is_ascii_graphic() { c } else { ' ' })
        .take(SHOWN_MAX)
        .collect()
}

/// The kind of TEE that a proplet says.
///
/// # Errors
/// If it is none that is known here, in words.
pub fn kind(said: &str) -> Result<Tee, String> {
    let known = (said.len() <= KIND_LEN_MAX).then(|| said.parse().ok());
    known
        .flatten()
        .ok_or_else(|| "it names a kind of TEE that this manager does not know".to_owned())
}

/// One without a policy.
impl Default for Judge {
    fn default() -> Self {
        Self::new(None, Vec::new())
    }
}

impl Judge {
    /// A judge with a policy, and what its operator has of the vendors' collateral.
    #[must_use]
    pub fn new(policy: Option<Policy>, collateral: Vec<Collateral>) -> Self {
        Self {
            policy,
            collateral,
            anchors: Anchors::vendors(),
        }
    }

    /// Whether there is a policy: then nothing counts that it was not held against.
    #[must_use]
    pub fn has_policy(&self) -> bool {
        self.policy.is_some()
    }

    /// What evidence is worth that has to be about `report_data`, at `now_ms` since 1970.
    ///
    /// Without a policy, what hardware signed is believed to the proplet; whether it is about the
    /// right thing is held against sample evidence all the same.
    ///
    /// # Errors
    /// Why it is refused, in words.
    pub fn judge(
        &self,
        kind: &str,
        json: &[u8],
        report_data: &[u8],
        now_ms: i64,
    ) -> Result<Standing, String> {
        let tee = self::kind(kind)?;
        if json.len() > EVIDENCE_LEN_MAX {
            return Err(format!("it is longer than {EVIDENCE_LEN_MAX} bytes"));
        }
        let value: Value = serde_json::from_slice(json).map_err(|_| "it is no JSON".to_owned())?;
        let only_form = Policy {
            sample: Rule::Allow,
            ..Policy::default()
        };
        let checked = self.has_policy();
        let policy = match (&self.policy, tee) {
            (Some(policy), _) => policy,
            (None, Tee::Sample) => &only_form,
            (None, _) => return Ok(Standing { tee, checked }),
        };
        let since = Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
        let expected = Expected {
            report_data,
            init_data: None,
        };
        let evidence = Evidence { tee, value: &value };
        let by = |collateral: &Collateral| {
            let basis = Basis {
                collateral,
                anchors: &self.anchors,
                now: UnixTime::since_unix_epoch(since),
            };
            verify(&evidence, &basis, policy, &expected).map(|_| ())
        };
        let mut judged =
            Err("no collateral is set for this kind (MANAGER_ATTESTATION_POLICY)".to_owned());
        let none = [Collateral::None];
        for collateral in match tee {
            Tee::Tdx | Tee::Sgx | Tee::AzTdxVtpm => self.collateral.as_slice(),
            _ => &none,
        } {
            judged = by(collateral).map_err(|error| shown(&propeller_oci::chain(&error)));
            if judged.is_ok() {
                break;
            }
        }
        judged?;
        Ok(Standing { tee, checked })
    }
}
