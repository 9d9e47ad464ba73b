//! `data rotate`: a new key for an object. Its shards keep everything but 64 bytes of their headers.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use clap::Args;
use indicatif::ProgressBar;
use propeller_ces::format::{HEADER_LEN, ObjectHeader, WRAPPED_LEN};
use propeller_ces::{Audit, Damage, Key, KeyRing, Object, ReadAt, RotateError, Rotated, rotate};
use serde_json::json;

use super::audit::AuditLog;
use super::damage::{MOVE_AWAY, Unreadable, stands_for};
use super::failure::{Failure, chain};
use super::files::open_shard;
use super::fresh::plural;
use super::info::read_header;
use super::key_args::{KeyArgs, NewKeyArgs};
use super::place::Place;
use super::shelf::{ShardFile, Shelf};
use super::sink::{Sink, Sinks, Takes};
use super::source::CHUNK_LEN;
use super::{ObjectArgs, Work};
use crate::error::{CliError, Exit};

/// What rotation writes: the key's id, the wrapped key and the check, at the header's end.
const ROTATED_FROM: usize = HEADER_LEN - (8 + WRAPPED_LEN + 16);

/// An object, and the key it gets.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    object: ObjectArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    new_key: NewKeyArgs,
}

/// What rotates the shards of one object.
struct Rotation<'a> {
    from: KeyRing,
    to: Key,
    log: &'a AuditLog,
}

/// Why a shard keeps its key.
#[derive(Debug, thiserror::Error)]
enum Kept {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Rotate(#[from] RotateError),
    #[error(transparent)]
    Log(Box<Failure>),
}

/// What became of the shards.
#[derive(Default)]
struct Outcome {
    rotated: usize,
    already: usize,
    /// Where a shard keeps its key, and why.
    kept: Vec<String>,
    /// Which of the missing shards those stand for that do not know themselves any more.
    known: BTreeSet<u8>,
    /// What is called like a shard and is none of the object's, and why.
    superfluous: Vec<String>,
}

/// The object that is rotated, and what is wrong with its shards as far as that has to be known.
struct Subject<'a> {
    header: ObjectHeader,
    damage: Damage,
    shelf: &'a Shelf,
}

pub(super) fn run(args: &Rotate, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let log = AuditLog::open(args.keys.audit_log.as_deref(), "rotate")?;
    let old = args.keys.keys().map_err(Failure::from)?;
    let to = args.new_key.other_than(&old)?;
    let from = KeyRing::reading(old).map_err(Failure::from)?;
    // A rotation that was interrupted has left shards under either.
    let both = from.clone().and_reading([to.clone()]);
    let both = both.map_err(Failure::from)?;
    let shelf = args.object.shelf(work)?;
    // First, so that nothing is touched with a key that does not open the object.
    let hook = |event: &_| log.tell(event);
    let object = Object::open(
        shelf.sources(),
        &both,
        args.object.wanted(&shelf),
        Audit::to(&hook),
    );
    log.check()?;
    let object = object.map_err(|error| Failure::from(Unreadable::new(&error, &shelf)))?;
    let subject = Subject {
        header: *object.header(),
        damage: object.damage().clone(),
        shelf: &shelf,
    };
    drop(object);
    admit(&to, &subject.header, &log)?;
    let rotation = Rotation {
        from,
        to,
        log: &log,
    };
    let outcome = rotation.each(&subject, work)?;
    tell(args, &rotation, &outcome, &subject, work)?;
    outcome.close(&subject, work)
}

/// Refuses a key of another environment, once for all shards.
fn admit(to: &Key, object: &ObjectHeader, log: &AuditLog) -> Result<(), Failure> {
    if to.is_for(object.label) {
        return Ok(());
    }
    log.refused(to, object);
    log.check()?;
    Err(Failure::NewKeyLabel {
        key: to.id(),
        key_label: to.label(),
        object: object.id,
        label: object.label,
    })
}

impl Outcome {
    /// How many shards are nowhere. One that does not know itself any more is among those that keep
    /// their key.
    fn missing(&self, subject: &Subject<'_>) -> usize {
        let missing = subject.damage.missing().iter();
        missing.filter(|index| !self.known.contains(index)).count()
    }

    /// Says which shards have the old key, as far as anybody knows.
    fn close(self, subject: &Subject<'_>, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
        for line in &self.superfluous {
            work.ui.note(&format!("warning: superfluous: {line}"));
        }
        if !self.superfluous.is_empty() {
            work.ui.note(MOVE_AWAY);
        }
        let missing = self.missing(subject);
        if missing > 0 {
            let told = plural(
                missing,
                "shard is nowhere to be found, and keeps its key",
                "shards are nowhere to be found, and keep their key",
            );
            work.ui.note(&format!("warning: {missing} {told}"));
        }
        if !self.kept.is_empty() {
            let of = self.rotated + self.already + self.kept.len();
            return Err(Failure::NotRotated {
                kept: self.kept,
                of,
            }
            .into());
        }
        // What could not be looked into may be there again.
        match subject.shelf.dark.is_empty() {
            true => Ok(Exit::Success),
            false => Ok(Exit::Failure),
        }
    }
}

fn tell(
    args: &Rotate,
    rotation: &Rotation<'_>,
    outcome: &Outcome,
    subject: &Subject<'_>,
    work: &mut Work<'_, '_>,
) -> Result<(), CliError> {
    let (name, key) = (&args.object.name, rotation.to.id());
    let json = json!({
        "name": name.to_string(),
        "key": key.to_string(),
        "rotated": outcome.rotated,
        "already": outcome.already,
        "kept": outcome.kept,
        "missing": outcome.missing(subject),
        "superfluous": outcome.superfluous,
        "places_dark": subject.shelf.dark_places(),
    });
    let already = match outcome.already {
        0 => String::new(),
        already => format!(", and {already} had it already"),
    };
    let rotated = outcome.rotated;
    let have = plural(rotated, "shard", "shards");
    let has = plural(rotated, "has", "have");
    let text = format!("{rotated} {have} of {name} {has} key {key} now{already}\n");
    work.show(&json, &text)
}

fn is_stored(shelf: &Shelf, file: &ShardFile) -> bool {
    matches!(shelf.places[file.place], Place::Bucket(_))
}

/// What a file that is called like a shard is to the object.
enum Standing {
    Shard,
    /// It stands for this shard by its name alone, and why it does not know itself.
    Damaged(u8, String),
    /// None of its shards, and why.
    Superfluous(String),
}

impl Subject<'_> {
    /// As `verify` tells it.
    fn standing(&self, input: usize, file: &ShardFile) -> Standing {
        let header = match read_header(&self.shelf.source(file)) {
            Ok(header) => header,
            Err(why) => {
                let (damage, geometry) = (&self.damage, self.header.geometry);
                return match stands_for(input, damage, geometry, self.shelf) {
                    Some(index) => Standing::Damaged(index, why),
                    None => Standing::Superfluous(why),
                };
            }
        };
        match header.object() {
            object if *object == self.header => Standing::Shard,
            object => Standing::Superfluous(format!("it is of object {}", object.id)),
        }
    }
}

impl Rotation<'_> {
    /// Rotates all shards of the object that there are.
    fn each(&self, subject: &Subject<'_>, work: &mut Work<'_, '_>) -> Result<Outcome, Failure> {
        let shelf = subject.shelf;
        let stored = shelf.files.iter().filter(|file| is_stored(shelf, file));
        let len = stored.map(|file| file.size).sum();
        let bar = work.ui.progress(len, "Rotating".to_owned());
        let mut outcome = Outcome::default();
        for (input, file) in shelf.files.iter().enumerate() {
            work.interrupt.check().map_err(|_| Failure::Interrupted)?;
            let location = shelf.location(input);
            match subject.standing(input, file) {
                Standing::Superfluous(why) => {
                    outcome.superfluous.push(format!("{location}: {why}"));
                }
                Standing::Damaged(index, why) => {
                    outcome.known.insert(index);
                    outcome.kept.push(format!("{location}: {why}"));
                }
                Standing::Shard => match self.one(shelf, file, &bar, work) {
                    Ok(true) => outcome.rotated += 1,
                    Ok(false) => outcome.already += 1,
                    Err(error) => {
                        let mut why = vec![error.to_string()];
                        why.extend(chain(&error));
                        outcome.kept.push(format!("{location}: {}", why.join(": ")));
                    }
                },
            }
        }
        bar.finish_and_clear();
        Ok(outcome)
    }

    /// Rotates one shard; `false` if it has the new key already.
    fn one(
        &self,
        shelf: &Shelf,
        file: &ShardFile,
        bar: &ProgressBar,
        work: &Work<'_, '_>,
    ) -> Result<bool, Kept> {
        match &shelf.places[file.place] {
            Place::Folder(folder) => self.in_place(&folder.join(&file.name)),
            Place::Bucket(_) => self.anew(shelf, file, bar, work),
        }
    }

    fn header(&self, old: &[u8; HEADER_LEN]) -> Result<Rotated, Kept> {
        let hook = |event: &_| self.log.tell(event);
        let rotated = rotate(old, &self.from, &self.to, Audit::to(&hook));
        self.log
            .check()
            .map_err(|failure| Kept::Log(Box::new(failure)))?;
        Ok(rotated?)
    }

    /// Writes the 64 bytes. If that is cut off half way, the shard's check says so, and repair
    /// rebuilds it; every other shard is whole.
    fn in_place(&self, path: &Path) -> Result<bool, Kept> {
        let file = open_shard(path, true)?;
        let mut old = [0; HEADER_LEN];
        file.read_exact_at(&mut old, 0)?;
        let rotated = self.header(&old)?;
        if rotated.is_changed {
            file.write_all_at(&rotated.header[ROTATED_FROM..], ROTATED_FROM as u64)?;
            file.sync_all()?;
        }
        Ok(rotated.is_changed)
    }

    /// Stores cannot change a part of an object: it is written anew, in place of the old one.
    fn anew(
        &self,
        shelf: &Shelf,
        file: &ShardFile,
        bar: &ProgressBar,
        work: &Work<'_, '_>,
    ) -> Result<bool, Kept> {
        let source = shelf.source(file);
        let mut old = [0; HEADER_LEN];
        source.read_at(&mut old, 0)?;
        let rotated = self.header(&old)?;
        if !rotated.is_changed {
            bar.inc(file.size);
            return Ok(false);
        }
        let place = &shelf.places[file.place];
        let (takes, interrupt) = (Takes::PlaceOfAnother, work.interrupt.clone());
        let sink = Sink::open(place, &file.name, takes, Some(file.size), interrupt)?;
        let mut sinks = Sinks(vec![sink]);
        copy(&source, &rotated, file.size, &mut sinks.0[0], bar)?;
        sinks.place_each().map_err(|error| error.source)?;
        Ok(true)
    }
}

fn copy(
    source: &impl ReadAt,
    rotated: &Rotated,
    size: u64,
    sink: &mut Sink,
    bar: &ProgressBar,
) -> io::Result<()> {
    sink.write_all(&rotated.header)?;
    let mut at = HEADER_LEN as u64;
    let mut buf = Vec::new();
    while at < size {
        let len = CHUNK_LEN.min(size - at);
        buf.resize(usize::try_from(len).map_err(io::Error::other)?, 0);
        source.read_at(&mut buf, at)?;
        sink.write_all(&buf)?;
        at += len;
        bar.inc(len);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_writes_what_the_format_says() {
        assert_eq!((ROTATED_FROM, HEADER_LEN), (56, 120));
    }
}
