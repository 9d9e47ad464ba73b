//! The policy file: TOML, a table `[[allow]]` for every rule.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use propeller_attest::Tee;
use propeller_attest::verify::TcbStatus;
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::value::Datetime;

use super::counts::PER_SECS_MAX;
use super::{AtMost, Counted, Policy, Rule};

/// The largest file that is read, in bytes: thousands of rules.
pub(crate) const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Every rule is looked at for every release.
const RULES_MAX: usize = 1000;
const NAME_CHARS_MAX: usize = 128;
const RELEASES_MAX: usize = 10_000;

/// Why a policy file does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<Spanned<Allow>>,
}

/// One rule, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    name: String,
    resources: Vec<String>,
    tee: Option<Vec<String>>,
    measurements: Option<Vec<String>>,
    #[serde(default)]
    init_data: BTreeMap<String, String>,
    #[serde(default)]
    evidence: BTreeMap<String, OneOrMore>,
    #[serde(default)]
    at_least: BTreeMap<String, u64>,
    tcb: Option<Vec<String>>,
    #[serde(default)]
    debug: bool,
    #[serde(default)]
    vlek: bool,
    from: Option<Datetime>,
    until: Option<Datetime>,
    at_most: Option<Limit>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<Value>),
    One(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    releases: usize,
    per: String,
    counted: Option<String>,
}

/// The rules in `text`.
pub(super) fn parse(text: &str) -> Result<Policy, PolicyError> {
    let line = |at: usize| {
        text.get(..at)
            .map_or(1, |before| before.matches('\n').count() + 1)
    };
    let file: File = toml::from_str(text).map_err(|error| PolicyError {
        line: line(error.span().map_or(0, |span| span.start)),
        why: error.message().to_owned(),
    })?;
    let mut rules = Vec::new();
    let mut names = BTreeSet::new();
    for allow in file.allow {
        let line = line(allow.span().start);
        let wrong = |why: String| PolicyError { line, why };
        let rule = allow.into_inner().rule().map_err(wrong)?;
        if !names.insert(rule.name.clone()) {
            let why = format!(
                "there are two rules `{}`: the log could not tell them apart",
                rule.name
            );
            return Err(wrong(why));
        }
        rules.push(rule);
    }
    match rules.len() > RULES_MAX {
        true => Err(PolicyError {
            line: 1,
            why: format!("there are more than {RULES_MAX} rules"),
        }),
        false => Ok(Policy { rules }),
    }
}

impl Allow {
    fn rule(self) -> Result<Rule, String> {
        let Self {
            name,
            resources,
            tee,
            measurements,
            init_data,
            evidence,
            at_least,
            tcb,
            debug,
            vlek,
            from,
            until,
            at_most,
        } = self;
        let rule = Rule {
            name: checked_name(name)?,
            resources: parsed(resources)?,
            tee: kinds(tee)?,
            measurements: hexadecimal(measurements)?,
            init_data,
            evidence: evidence
                .into_iter()
                .map(accepted)
                .collect::<Result<_, _>>()?,
            at_least,
            tcb: states(tcb)?,
            debug,
            vlek,
            from: from.map(time).transpose()?,
            until: until.map(time).transpose()?,
            at_most: at_most.map(Limit::read).transpose()?,
        };
        if rule.resources.is_empty() {
            return Err("`resources` has to name something".to_owned());
        }
        if matches!((rule.from, rule.until), (Some(from), Some(until)) if until <= from) {
            return Err("it ends before it begins".to_owned());
        }
        let about_evidence =
            !rule.measurements.is_empty() || !rule.evidence.is_empty() || !rule.at_least.is_empty();
        if rule.tee.contains(&Tee::Sample) && about_evidence {
            return Err(
                "evidence of kind `sample` can say anything: write a rule for `sample` without measurements, and another one for hardware"
                    .to_owned(),
            );
        }
        Ok(rule)
    }
}

fn checked_name(name: String) -> Result<String, String> {
    let len = name.chars().count();
    match (1..=NAME_CHARS_MAX).contains(&len) && !name.chars().any(char::is_control) {
        true => Ok(name),
        false => Err(format!(
            "`name` has 1 to {NAME_CHARS_MAX} printable characters"
        )),
    }
}

/// None of them is any hardware; but a list that is there and empty is a mistake.
fn kinds(names: Option<Vec<String>>) -> Result<BTreeSet<Tee>, String> {
    match names {
        None => Ok(BTreeSet::new()),
        Some(names) if names.is_empty() => Err("`tee` has to name something, or go".to_owned()),
        Some(names) => parsed(names),
    }
}

fn states(names: Option<Vec<String>>) -> Result<BTreeSet<TcbStatus>, String> {
    match names {
        None => Ok(BTreeSet::from([TcbStatus::UpToDate])),
        Some(names) => parsed(names),
    }
}

fn parsed<T, C>(texts: Vec<String>) -> Result<C, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    C: FromIterator<T>,
{
    let parse = |text: String| text.parse().map_err(|error| format!("{text:?}: {error}"));
    texts.into_iter().map(parse).collect()
}

/// Measurements have 32 or 48 bytes; in the claims they are in lower case.
fn hexadecimal(texts: Option<Vec<String>>) -> Result<BTreeSet<String>, String> {
    let Some(texts) = texts else {
        return Ok(BTreeSet::new());
    };
    if texts.is_empty() {
        return Err("`measurements` has to name something, or go".to_owned());
    }
    let read = |text: String| {
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
        match digits && [64, 96].contains(&text.len()) {
            true => Ok(text.to_ascii_lowercase()),
            false => Err(format!(
                "{text:?}: a measurement is 64 or 96 hexadecimal digits"
            )),
        }
    };
    texts.into_iter().map(read).collect()
}

fn accepted((name, values): (String, OneOrMore)) -> Result<(String, Vec<Value>), String> {
    let values = match values {
        OneOrMore::One(value) => vec![value],
        OneOrMore::More(values) => values,
    };
    let plain = |value: &Value| value.is_string() || value.is_u64() || value.is_boolean();
    match !values.is_empty() && values.iter().all(plain) {
        true => Ok((name, values)),
        false => Err(format!(
            "`evidence.{name}` has to be a text, a number or a flag, or several"
        )),
    }
}

fn time(written: Datetime) -> Result<Timestamp, String> {
    let why = |_| format!("{written}: write a time with its offset, such as 2026-12-01T00:00:00Z");
    written.to_string().parse().map_err(why)
}

impl Limit {
    fn read(self) -> Result<AtMost, String> {
        let Self {
            releases,
            per,
            counted,
        } = self;
        if !(1..=RELEASES_MAX).contains(&releases) {
            return Err(format!("`at_most.releases` is 1 to {RELEASES_MAX}"));
        }
        Ok(AtMost {
            releases,
            per_secs: seconds(&per)
                .ok_or("`at_most.per` is such as `30s`, `10m`, `1h`, up to `31d`")?,
            counted: match counted.as_deref() {
                None | Some("together") => Counted::Together,
                Some("by-resource") => Counted::ByResource,
                Some("by-workload") => Counted::ByWorkload,
                Some(_) => {
                    return Err(
                        "`at_most.counted` is `together`, `by-resource` or `by-workload`"
                            .to_owned(),
                    );
                }
            },
        })
    }
}

fn seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    let seconds = number.parse::<u32>().ok()?;
    let seconds = i64::from(seconds) * unit;
    (1..=PER_SECS_MAX).contains(&seconds).then_some(seconds)
}
