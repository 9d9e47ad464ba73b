//! What is wrong with shards, by the places where they are.

use std::error::Error;

use propeller_ces::{
    Damage, GatherError, ObjectError, ReadError, RepairError, RingError, ShardFaults, Why,
    WitnessError,
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
        let text = error.to_string();
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
            Self::Label { .. } => "give its label with --label, if that is the object you mean",
            _ => return None,
        })
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
    if let Some(first) = faults.first.first() {
        let why = match &first.why {
            Why::Twice { other } => format!("{} is the same shard", shelf.location(*other)),
            why => why.to_string(),
        };
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
