//! What is released to whom: rules that people can read, and a decision that says why not.
//!
//! Nothing is released that no rule allows. Every denial names all rules, the nearest first, and
//! every condition that each of them lacks. [`decide`] has no clock and no memory: what has been
//! released before is an argument.
//!
//! A broker never sees an image. "This image" is said by giving each image a key of its own, so that
//! a rule for `tenant-a/key/app-1` is a rule for whatever that key opens.

mod claims;
mod counts;
mod file;
mod pattern;
mod unmet;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use propeller_attest::Tee;
use propeller_attest::rcar::ResourcePath;
use propeller_attest::verify::TcbStatus;
use serde_json::Value;

pub use claims::Claims;
pub use counts::{Counts, Release};
pub(crate) use file::FILE_BYTES_MAX;
pub use file::PolicyError;
pub use pattern::{Pattern, PatternError};
pub use unmet::Unmet;

/// What a rule says that releases what evidence of nothing asks for.
const UNVERIFIED: &str = "evidence of kind `sample` proves nothing: anybody can make it";
/// And one that goes by init-data besides.
const UNVERIFIED_INIT_DATA: &str =
    "the init-data is what the client says: nobody measured or verified it";

/// The rules of one broker. Without a file there are none.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    resources: Vec<Pattern>,
    /// Any hardware, if there are none.
    tee: BTreeSet<Tee>,
    /// Any, if there are none.
    measurements: BTreeSet<String>,
    init_data: BTreeMap<String, String>,
    /// By name in the claims of the evidence.
    evidence: BTreeMap<String, Vec<Value>>,
    at_least: BTreeMap<String, u64>,
    tcb: BTreeSet<TcbStatus>,
    debug: bool,
    vlek: bool,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    at_most: Option<AtMost>,
}

/// How often a rule releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost {
    /// So many times.
    pub releases: usize,
    /// In any span of so many seconds.
    pub per_secs: i64,
    /// What is counted together.
    pub counted: Counted,
}

/// What a rule counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counted {
    /// All that it releases.
    #[default]
    Together,
    /// Every resource by itself.
    ByResource,
    /// Every workload by itself: kind of TEE, measurement, init-data. Not every token, since anybody
    /// gets another one by attesting again.
    ByWorkload,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The first rule that allows it.
    Allow(Allowed),
    /// Why each rule does not, the nearest first. There may be no rules.
    Deny(Vec<Why>),
}

/// What a rule allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Name of the rule.
    pub rule: String,
    /// Whether it counts what it releases.
    pub counts: bool,
    /// What whoever reads the log should know.
    pub notes: Vec<&'static str>,
}

/// Why one rule does not allow a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// Name of the rule.
    pub rule: String,
    /// Everything that it lacks; there is something.
    pub unmet: Vec<Unmet>,
}

impl Policy {
    /// Reads a policy file's text.
    ///
    /// # Errors
    /// Says which line is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        file::parse(text)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether nothing is ever released.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Whether `path` may be released to whom `claims` are about.
#[must_use]
pub fn decide(
    policy: &Policy,
    claims: &Claims,
    path: &ResourcePath,
    now: Timestamp,
    counts: &Counts,
) -> Decision {
    let mut whys = Vec::new();
    for rule in &policy.rules {
        let unmet = rule.unmet(claims, path, now, counts);
        if unmet.is_empty() {
            return Decision::Allow(rule.allowed(claims));
        }
        let rule = rule.name.clone();
        whys.push(Why { rule, unmet });
    }
    whys.sort_by_key(Why::distance);
    Decision::Deny(whys)
}

impl Why {
    /// A rule about another resource is farther than any that is about this one.
    fn distance(&self) -> (bool, usize) {
        let elsewhere = |unmet: &Unmet| matches!(unmet, Unmet::Resource { .. });
        (self.unmet.iter().any(elsewhere), self.unmet.len())
    }

    /// In words: `rule \`x\`: this, and that`.
    #[must_use]
    pub fn explain(&self) -> String {
        let Self { rule, unmet } = self;
        let unmet: Vec<String> = unmet.iter().map(ToString::to_string).collect();
        format!("rule `{rule}`: {}", unmet.join("; and "))
    }
}

impl Decision {
    /// In words; of a denial, the rule that came nearest.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Allow(Allowed { rule, notes, .. }) => match notes.as_slice() {
                [] => format!("rule `{rule}` allows it"),
                notes => format!("rule `{rule}` allows it ({})", notes.join("; ")),
            },
            Self::Deny(whys) => match whys.first() {
                None => {
                    "there are no rules, so that nothing is released: set KEYBROKER_POLICY".into()
                }
                Some(nearest) => format!("no rule allows it; the nearest is {}", nearest.explain()),
            },
        }
    }
}

impl Rule {
    fn allowed(&self, claims: &Claims) -> Allowed {
        let mut notes = Vec::new();
        if !claims.tee.is_hardware() {
            notes.push(UNVERIFIED);
            if !self.init_data.is_empty() {
                notes.push(UNVERIFIED_INIT_DATA);
            }
        }
        Allowed {
            rule: self.name.clone(),
            counts: self.at_most.is_some(),
            notes,
        }
    }

    fn unmet(
        &self,
        claims: &Claims,
        path: &ResourcePath,
        now: Timestamp,
        counts: &Counts,
    ) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        if !self.resources.iter().any(|pattern| pattern.matches(path)) {
            let wants = self.resources.clone();
            unmet.push(Unmet::Resource { wants });
        }
        unmet.extend(self.kind(claims));
        unmet.extend(self.contents(claims));
        unmet.extend(self.from.filter(|from| now < *from).map(Unmet::NotYet));
        unmet.extend(self.until.filter(|until| *until <= now).map(Unmet::Over));
        if let Some(at_most) = self.at_most {
            let Self { name, .. } = self;
            if !counts.have_room(name, at_most, claims, path, now) {
                unmet.push(Unmet::TooOften(at_most));
            }
        }
        unmet
    }

    fn kind(&self, claims: &Claims) -> Option<Unmet> {
        let found = claims.tee;
        match (self.tee.is_empty(), found.is_hardware()) {
            (true, true) => None,
            (false, _) if self.tee.contains(&found) => None,
            (_, false) => Some(Unmet::Sample),
            (_, true) => Some(Unmet::Tee {
                found,
                wants: self.tee.clone(),
            }),
        }
    }

    /// What the claims have to say.
    fn contents(&self, claims: &Claims) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        let measurement = claims.measurement();
        let approved = measurement.is_some_and(|found| self.measurements.contains(found));
        if !self.measurements.is_empty() && !approved {
            let found = measurement.map(ToOwned::to_owned);
            unmet.push(Unmet::Measurement { found });
        }
        for (key, wants) in &self.init_data {
            let found = claims.init_data.get(key).and_then(Value::as_str);
            if found != Some(wants) {
                let found = found.map(ToOwned::to_owned);
                let (key, wants) = (key.clone(), wants.clone());
                unmet.push(Unmet::InitData { key, found, wants });
            }
        }
        for (name, wants) in &self.evidence {
            let found = claims.evidence(name);
            if !found.is_some_and(|found| wants.contains(found)) {
                let text =
                    |value: &Value| value.as_str().map_or_else(|| value.to_string(), Into::into);
                let (name, found) = (name.clone(), found.map(text));
                unmet.push(Unmet::Evidence { name, found });
            }
        }
        for (name, min) in &self.at_least {
            let found = claims.evidence(name).and_then(Value::as_u64);
            if found.is_none_or(|found| found < *min) {
                let (name, min) = (name.clone(), *min);
                unmet.push(Unmet::TooLow { name, found, min });
            }
        }
        let status = claims.tcb_status();
        if status.is_some_and(|status| !self.tcb.contains(&status)) {
            unmet.extend(status.map(Unmet::Tcb));
        }
        // Of sample evidence, everything is open, and a rule that names it knows.
        if claims.is_debug() && !self.debug && claims.tee.is_hardware() {
            unmet.push(Unmet::Debug);
        }
        if claims.is_of_operators_key() && !self.vlek {
            unmet.push(Unmet::Vlek);
        }
        unmet
    }
}

#[cfg(test)]
mod tests;
