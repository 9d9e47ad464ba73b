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
    name: Spanned<String>,
    resources: Spanned<Texts>,
    tee: Option<Spanned<Texts>>,
    measurements: Option<Spanned<Texts>>,
    #[serde(default)]
    init_data: BTreeMap<String, String>,
    #[serde(default)]
    evidence: BTreeMap<String, Spanned<OneOrMore>>,
    #[serde(default)]
    at_least: BTreeMap<String, u64>,
    tcb: Option<Texts>,
    #[serde(default)]
    debug: bool,
    #[serde(default)]
    vlek: bool,
    from: Option<Spanned<Datetime>>,
    until: Option<Spanned<Datetime>>,
    at_most: Option<Limit>,
}

/// Each with its place, since a list may go over many lines.
type Texts = Vec<Spanned<String>>;

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    More(Vec<Value>),
    One(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    releases: Spanned<usize>,
    per: Spanned<String>,
    counted: Option<Spanned<String>>,
}

/// What is wrong with a rule, and where.
struct Wrong {
    /// Bytes from the beginning of the file; the rule's own place, if it is about all of it.
    at: Option<usize>,
    why: String,
}

impl Wrong {
    fn of<T>(written: &Spanned<T>, why: impl Into<String>) -> Self {
        Self {
            at: Some(written.span().start),
            why: why.into(),
        }
    }

    fn altogether(why: &str) -> Self {
        Self {
            at: None,
            why: why.to_owned(),
        }
    }
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
        let begin = allow.span().start;
        let wrong = |Wrong { at, why }: Wrong| PolicyError {
            line: line(at.unwrap_or(begin)),
            why,
        };
        let name = allow.get_ref().name.clone();
        let rule = allow.into_inner().rule().map_err(wrong)?;
        if !names.insert(rule.name.clone()) {
            let why = format!(
                "there are two rules `{}`: the log could not tell them apart",
                rule.name
            );
            return Err(wrong(Wrong::of(&name, why)));
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
    fn rule(self) -> Result<Rule, Wrong> {
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
        if resources.get_ref().is_empty() {
            let why = "`resources` has to name something";
            return Err(Wrong::of(&resources, why));
        }
        let rule = Rule {
            name: checked_name(name)?,
            resources: parsed(resources.into_inner())?,
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
        if matches!((rule.from, rule.until), (Some(from), Some(until)) if until <= from) {
            return Err(Wrong::altogether("it ends before it begins"));
        }
        let about_evidence =
            !rule.measurements.is_empty() || !rule.evidence.is_empty() || !rule.at_least.is_empty();
        if rule.tee.contains(&Tee::Sample) && about_evidence {
            return Err(Wrong::altogether(
                "evidence of kind `sample` can say anything: write a rule for `sample` without measurements, and another one for hardware",
            ));
        }
        Ok(rule)
    }
}

fn checked_name(name: Spanned<String>) -> Result<String, Wrong> {
    let len = name.get_ref().chars().count();
    let printable = !name.get_ref().chars().any(char::is_control);
    match (1..=NAME_CHARS_MAX).contains(&len) && printable {
        true => Ok(name.into_inner()),
        false => {
            let why = format!("`name` has 1 to {NAME_CHARS_MAX} printable characters");
            Err(Wrong::of(&name, why))
        }
    }
}

/// None of them is any hardware; but a list that is there and empty is a mistake.
fn kinds(names: Option<Spanned<Texts>>) -> Result<BTreeSet<Tee>, Wrong> {
    match names {
        None => Ok(BTreeSet::new()),
        Some(names) if names.get_ref().is_empty() => {
            Err(Wrong::of(&names, "`tee` has to name something, or go"))
        }
        Some(names) => parsed(names.into_inner()),
    }
}

fn states(names: Option<Texts>) -> Result<BTreeSet<TcbStatus>, Wrong> {
    match names {
        None => Ok(BTreeSet::from([TcbStatus::UpToDate])),
        Some(names) => parsed(names),
    }
}

fn parsed<T, C>(texts: Texts) -> Result<C, Wrong>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    C: FromIterator<T>,
{
    let parse = |written: Spanned<String>| {
        let text = written.get_ref();
        let read = text.parse();
        read.map_err(|error| Wrong::of(&written, format!("{text:?}: {error}")))
    };
    texts.into_iter().map(parse).collect()
}

/// Measurements have 32 or 48 bytes; in the claims they are in lower case.
fn hexadecimal(texts: Option<Spanned<Texts>>) -> Result<BTreeSet<String>, Wrong> {
    let Some(texts) = texts else {
        return Ok(BTreeSet::new());
    };
    if texts.get_ref().is_empty() {
        let why = "`measurements` has to name something, or go";
        return Err(Wrong::of(&texts, why));
    }
    let read = |written: Spanned<String>| {
        let text = written.get_ref();
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
        match digits && [64, 96].contains(&text.len()) {
            true => Ok(text.to_ascii_lowercase()),
            false => {
                let why = format!("{text:?}: a measurement is 64 or 96 hexadecimal digits");
                Err(Wrong::of(&written, why))
            }
        }
    };
    texts.into_inner().into_iter().map(read).collect()
}

fn accepted((name, written): (String, Spanned<OneOrMore>)) -> Result<(String, Vec<Value>), Wrong> {
    let plain = |value: &Value| value.is_string() || value.is_u64() || value.is_boolean();
    let usable = match written.get_ref() {
        OneOrMore::One(value) => plain(value),
        OneOrMore::More(values) => !values.is_empty() && values.iter().all(plain),
    };
    if !usable {
        let why = format!("`evidence.{name}` has to be a text, a number or a flag, or several");
        return Err(Wrong::of(&written, why));
    }
    match written.into_inner() {
        OneOrMore::One(value) => Ok((name, vec![value])),
        OneOrMore::More(values) => Ok((name, values)),
    }
}

fn time(written: Spanned<Datetime>) -> Result<Timestamp, Wrong> {
    let text = written.get_ref().to_string();
    text.parse().map_err(|_| {
        let why = format!("{text}: write a time with its offset, such as 2026-12-01T00:00:00Z");
        Wrong::of(&written, why)
    })
}

impl Limit {
    fn read(self) -> Result<AtMost, Wrong> {
        let Self {
            releases,
            per,
            counted,
        } = self;
        if !(1..=RELEASES_MAX).contains(releases.get_ref()) {
            let why = format!("`at_most.releases` is 1 to {RELEASES_MAX}");
            return Err(Wrong::of(&releases, why));
        }
        let per_secs = seconds(per.get_ref()).ok_or_else(|| {
            let why = "`at_most.per` is such as `30s`, `10m`, `1h`, up to `31d`";
            Wrong::of(&per, why)
        })?;
        Ok(AtMost {
            releases: releases.into_inner(),
            per_secs,
            counted: counted.map_or(Ok(Counted::Together), counted_how)?,
        })
    }
}

fn counted_how(written: Spanned<String>) -> Result<Counted, Wrong> {
    match written.get_ref().as_str() {
        "together" => Ok(Counted::Together),
        "by-resource" => Ok(Counted::ByResource),
        "by-workload" => Ok(Counted::ByWorkload),
        _ => {
            let why = "`at_most.counted` is `together`, `by-resource` or `by-workload`";
            Err(Wrong::of(&written, why))
        }
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
