//! What is wrong with shards, by the places where they are.

use std::error::Error;

use propeller_ces::{
    Damage, GatherError, Geometry, ObjectError, ReadError, RepairError, RingError, ShardFaults,
    Why, WitnessError,
};

use super::failure::chain;
use super::shelf::Shelf;

/// Why an object cannot be read, verified or repaired.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Unreadable {
    message: String,
    causes: Vec<String>,
    hint: Option<&'static str>,
}

impl Unreadable {
    pub(crate) fn causes(&self) -> Vec<String> {
        self.causes.clone()
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// The core counts the shards that it is handed; people know them by their places.
    pub(crate) fn new(error: &impl Judged, shelf: &Shelf) -> Self {
        let text = error.located(shelf).unwrap_or_else(|| error.to_string());
        let mut causes = chain(error);
        let message = match error.damage() {
            Some(damage) => {
                causes.extend(lines(damage, shelf));
                let end = format!(": {damage}");
                text.strip_suffix(&end).unwrap_or(&text).to_owned()
            }
            None => text,
        };
        Self {
            message,
            causes,
            hint: error.hint(),
        }
    }
}

/// An error that knows which shards are bad, and what to do.
pub(crate) trait Judged: Error + 'static {
    fn damage(&self) -> Option<&Damage>;
    fn hint(&self) -> Option<&'static str>;
    /// Its text with places, if its own has the numbers of shards that were handed over.
    fn located(&self, shelf: &Shelf) -> Option<String>;
}

const LOST: &str = "name all places where its shards are with --shards; damaged ones can be \
    repaired only while enough good ones are left";

impl Judged for GatherError {
    fn damage(&self) -> Option<&Damage> {
        match self {
            Self::NoShard { damage }
            | Self::OtherObject { damage, .. }
            | Self::TooFew { damage, .. } => Some(damage),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::TooFew { .. } => LOST,
            Self::Ambiguous { .. } => {
                "say which one is wanted with --digest, as whoever put the object was told it"
            }
            Self::Label { found, .. } if found.is_empty() => {
                "it has no label: leave --label out, if that is the object you mean"
            }
            Self::Label { .. } => "give its label with --label, if that is the object you mean",
            _ => return None,
        })
    }

    fn located(&self, _: &Shelf) -> Option<String> {
        None
    }
}

impl Judged for ReadError {
    fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Lost { damage, .. } | Self::LostRecord { damage, .. } => Some(damage),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        self.damage().map(|_| LOST)
    }

    fn located(&self, _: &Shelf) -> Option<String> {
        None
    }
}

impl Judged for ObjectError {
    fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Gather(error) => error.damage(),
            Self::Read(error) => error.damage(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Gather(error) => return error.hint(),
            Self::Read(error) => return error.hint(),
            Self::Missing {
                source: RingError::Missing { .. },
                ..
            } => "give that key with --key-file, --key-fd, --key-command or CES_ENCRYPTION_KEY",
            Self::Label { .. } => "take the key of that environment",
            Self::Digest { .. } => "do not use it, unless you know who replaced it, and why",
            _ => return None,
        })
    }

    fn located(&self, _: &Shelf) -> Option<String> {
        None
    }
}

impl Judged for WitnessError {
    fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Gather(error) => error.damage(),
            Self::Digest { damage, .. } | Self::Disagreement { damage, .. } => Some(damage),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Gather(error) => return error.hint(),
            Self::Digest { .. } => "check --digest: it is what put printed",
            Self::Disagreement { .. } | Self::Contested { .. } | Self::Rivals { .. } => {
                "give the object's digest with --digest"
            }
            _ => return None,
        })
    }

    fn located(&self, shelf: &Shelf) -> Option<String> {
        match self {
            Self::Rivals {
                object,
                index,
                one,
                other,
            } => {
                let (one, other) = (shelf.location(*one), shelf.location(*other));
                Some(format!(
                    "{one} and {other} are both shard {index} of object {object}, and they differ"
                ))
            }
            Self::Reread { input, .. } => Some(format!(
                "{}, which the others are compared with, cannot be read once more: try again",
                shelf.location(*input)
            )),
            _ => None,
        }
    }
}

impl Judged for RepairError {
    fn damage(&self) -> Option<&Damage> {
        match self {
            Self::Witness(error) => error.damage(),
            Self::Lost { damage, .. } => Some(damage),
            _ => None,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Witness(error) => error.hint(),
            Self::Lost { .. } => Some(LOST),
            _ => None,
        }
    }

    fn located(&self, shelf: &Shelf) -> Option<String> {
        match self {
            Self::Witness(error) => error.located(shelf),
            _ => None,
        }
    }
}

/// What to do about files that an object does not need, which nobody can judge by their bytes.
pub(crate) const MOVE_AWAY: &str = "hint: move away what is superfluous; of a shard that is there \
    twice, the one in the place that holds more shards";

/// What is wrong with shards, told apart by what helps.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What the object lacks, for `repair`: a line for each shard that is damaged or nowhere.
    pub(crate) bad: Vec<String>,
    /// What it does not lack: a line for each file that could be moved away.
    pub(crate) superfluous: Vec<String>,
}

impl Findings {
    pub(crate) fn new(damage: &Damage, geometry: Geometry, shelf: &Shelf) -> Self {
        let mut findings = Self::default();
        let mut known = Vec::new();
        for faults in damage.shards() {
            let stands_for = stands_for(faults.input, damage, geometry, shelf);
            let is_superfluous = match faults.index {
                Some(_) => is_only_twice(faults),
                None => is_of_another(faults) || stands_for.is_none(),
            };
            let line = line(faults, shelf);
            match is_superfluous {
                true => findings.superfluous.push(line),
                false => {
                    findings.bad.push(line);
                    known.extend(stands_for.filter(|_| faults.index.is_none()));
                }
            }
        }
        let missing = damage.missing().iter();
        let missing = missing.filter(|index| !known.contains(index));
        let missing = missing.map(|index| format!("shard {index} is nowhere"));
        findings.bad.extend(missing);
        findings
    }
}

/// The missing shard that a file stands for: one that does not know itself any more is known by its
/// name.
pub(crate) fn stands_for(
    input: usize,
    damage: &Damage,
    geometry: Geometry,
    shelf: &Shelf,
) -> Option<u8> {
    let number = shelf.files.get(input)?.number;
    let mut missing = damage.missing().iter().copied();
    let is_of_geometry = number.count == geometry.pieces();
    missing.find(|index| is_of_geometry && number.index == u16::from(*index))
}

/// Whether nothing is wrong with a shard but that another one is the same.
pub(crate) fn is_only_twice(faults: &ShardFaults) -> bool {
    let is_kept = faults.count == faults.first.len() as u64;
    let mut kept = faults.first.iter();
    is_kept && kept.all(|fault| matches!(fault.why, Why::Twice { .. }))
}

fn is_of_another(faults: &ShardFaults) -> bool {
    let mut kept = faults.first.iter();
    kept.any(|fault| matches!(fault.why, Why::Foreign { .. } | Why::Disguised))
}

/// One line for each shard with which something is wrong.
pub(crate) fn lines(damage: &Damage, shelf: &Shelf) -> Vec<String> {
    let bad = damage.shards().iter().map(|faults| line(faults, shelf));
    // A shard that does not know itself any more is known by its name.
    let known = |index: &&u8| {
        let mut bad = damage
            .shards()
            .iter()
            .filter(|faults| faults.index.is_none());
        bad.any(|faults| shelf.index(faults.input) == Some(u16::from(**index)))
    };
    let missing = damage.missing().iter().filter(|index| !known(index));
    let missing = missing.map(|index| format!("shard {index} is nowhere"));
    bad.chain(missing).collect()
}

fn line(faults: &ShardFaults, shelf: &Shelf) -> String {
    let place = shelf.location(faults.input);
    let mut line = match faults.index {
        Some(index) => format!("shard {index} in {place}"),
        None => place,
    };
    // That it is there twice says less than what is wrong with it.
    let mut more = faults.first.iter();
    let more = more.find(|fault| !matches!(fault.why, Why::Twice { .. }));
    if let Some(first) = more.or_else(|| faults.first.first()) {
        let why = reason(&first.why, shelf);
        line.push_str(&format!(": {why}"));
        if let (Some(segment), Why::Read { .. }) = (first.segment, &first.why) {
            line.push_str(&format!(" (segment {segment})"));
        }
    }
    if faults.count > 1 {
        line.push_str(&format!(", and {} more", faults.count - 1));
    }
    line
}

/// Why a shard is missing, with the place of the other one where there are two.
pub(crate) fn reason(why: &Why, shelf: &Shelf) -> String {
    match why {
        Why::Twice { other } => format!("{} is the same shard", shelf.location(*other)),
        why => why.to_string(),
    }
}
