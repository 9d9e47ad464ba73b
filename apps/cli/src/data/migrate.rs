//! `data migrate`: an object, encrypted anew under a new key.
//!
//! The old object goes when the new one was read back completely and is the same, and only when
//! somebody asked for that.

mod old;

use std::io::{self, PipeReader, Write};
use std::thread;

use clap::Args;
use propeller_ces::{
    Audit, Key, KeyRing, Object, Options, ReadError, Summary, Wanted, Watch, encode,
};
use serde_json::json;

use super::audit::AuditLog;
use super::bridge::Interruptible;
use super::damage::Unreadable;
use super::failure::Failure;
use super::fresh::{Fresh, ShapeArgs, Told, plural};
use super::key_args::{KeyArgs, NewKeyArgs};
use super::name::Name;
use super::place::{Destination, Place, destination};
use super::removal::{Removal, close, remove};
use super::shelf::{ShardFile, Shelf};
use super::{ObjectArgs, Work};
use crate::error::{CliError, Exit};
use old::Old;

/// An object, and what becomes of it.
#[derive(Debug, Args)]
pub struct Migrate {
    #[command(flatten)]
    object: ObjectArgs,
    /// Places that the new object's shards go to in turn
    #[arg(long, value_name = "DEST", num_args = 1.., required = true, value_parser = destination)]
    to: Vec<Destination>,
    /// Name of the new object [default: that of the old one]
    #[arg(long, value_name = "NAME")]
    new_name: Option<Name>,
    /// Read shards of the older implementation: files that are called NAME, then something without
    /// digits, then their index
    #[arg(long, requires_all = ["data", "parity"], conflicts_with_all = ["digest", "label"])]
    from_v0: bool,
    /// Data shards that the older implementation made
    #[arg(long, value_name = "K", requires = "from_v0")]
    data: Option<u8>,
    /// Parity shards that the older implementation made
    #[arg(long, value_name = "M", requires = "from_v0")]
    parity: Option<u8>,
    /// Remove the old object's shards when the new one is read back and is the same; not with
    /// --from-v0
    #[arg(long)]
    remove_old: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    new_key: NewKeyArgs,
}

/// What the plaintext was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Content {
    len: u64,
    hash: blake3::Hash,
}

/// Why there is no new object.
enum Halt {
    /// The old one cannot be read.
    Old(ReadError),
    /// The new one cannot be written.
    New(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::New(failure)
    }
}

/// The new object, in its places.
struct New {
    told: Told,
    summary: Summary,
    content: Content,
}

pub(super) fn run(args: &Migrate, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    if args.from_v0 && args.remove_old {
        return Err(Failure::OldByName.into());
    }
    let log = AuditLog::open(args.keys.audit_log.as_deref(), "migrate")?;
    let keys = args.keys.keys().map_err(Failure::from)?;
    let new_key = args.new_key.other_than(&keys)?;
    let stores = &args.object.stores;
    let reach = stores.reach(args.object.shards.iter().chain(&args.to))?;
    let places = reach.places(&args.object.shards, &work.runtime)?;
    let targets = reach.places(&args.to, &work.runtime)?;
    let name = args.new_name.as_ref().unwrap_or(&args.object.name);
    let (shelf, old) = args.old(places, keys, &log, work)?;
    let known = old.known();
    let label = known.as_ref().map(|known| known.header.label);
    let options = args.shape.options(label.filter(|label| !label.is_empty()));
    let new = write(name, old, targets.clone(), &new_key, &options, &log, work);
    let new = new.map_err(|halt| match halt {
        Halt::Old(error) => Unreadable::new(&error, &shelf).into(),
        Halt::New(failure) => failure,
    })?;
    verify(name, targets, &new_key, &new, &options, &log, work)?;
    let known = known.filter(|_| args.remove_old);
    let removal = known.as_ref().map(|known| remove(&shelf, &known.header));
    // Whatever becomes of the old shards, the new object's digest is told.
    tell(&shelf, new.told, removal.as_ref(), work)?;
    match (known, removal) {
        (Some(known), Some(removal)) => close(&shelf, known.missing, removal, work),
        _ => Ok(Exit::Success),
    }
}

/// Writes the new object. It is put in its places when the old one was read to its end.
fn write(
    name: &Name,
    old: Old,
    targets: Vec<Place>,
    key: &Key,
    options: &Options,
    log: &AuditLog,
    work: &mut Work<'_, '_>,
) -> Result<New, Halt> {
    let len = old.len();
    let mut fresh = Fresh::open(name, targets, *options, Some(len), work)?;
    let bar = work.ui.progress(len, format!("Encrypting {name} anew"));
    let hook = |event: &_| log.tell(event);
    let watch = Watch {
        audit: Audit::to(&hook),
        progress: &mut |bytes| bar.set_position(bytes),
    };
    let interrupt = work.interrupt.clone();
    let (out, input) = pipe()?;
    let (read, summary) = thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut out = Hashing::new(out);
            old.read(&mut out)?;
            Ok::<_, ReadError>(out.content())
        });
        let input = Interruptible {
            inner: input,
            interrupt,
        };
        let sinks = fresh.sinks.0.iter_mut().collect();
        let summary = encode(input, sinks, key, options, watch);
        let read = reading.join();
        (
            read.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            summary,
        )
    });
    bar.finish_and_clear();
    // First what went wrong first: a reader that stops looks like an end to whoever encodes, and
    // an encoder that stops like a broken pipe to whoever reads.
    let summary = summary.map_err(|error| fresh.failure(error))?;
    let content = read.map_err(Halt::Old)?;
    log.check()?;
    Ok(New {
        told: fresh.place(&summary)?,
        summary,
        content,
    })
}

fn pipe() -> Result<(io::PipeWriter, PipeReader), Failure> {
    let (read, write) = io::pipe().map_err(Failure::Bridge)?;
    Ok((write, read))
}

/// Reads the new object back from its places. If it is not the old one, it is removed.
fn verify(
    name: &Name,
    targets: Vec<Place>,
    key: &Key,
    new: &New,
    options: &Options,
    log: &AuditLog,
    work: &mut Work<'_, '_>,
) -> Result<(), Failure> {
    let shelf = Shelf::find(targets, name, work)?;
    let bar = work
        .ui
        .progress(new.content.len, format!("Reading {name} back"));
    let hook = |event: &_| log.tell(event);
    let wanted = Wanted {
        object: Some(new.summary.object),
        digest: Some(new.summary.digest),
        label: Some(new.summary.label),
        is_partial: false,
    };
    let read = (|| {
        let ring = KeyRing::new(key.clone());
        let object = Object::open(shelf.sources(), &ring, wanted, Audit::to(&hook));
        let mut object = object.map_err(|error| Unreadable::new(&error, &shelf))?;
        let mut out = Hashing::new(io::sink());
        let read = object.read_to(&mut out, options.threads, &mut |bytes| {
            bar.set_position(bytes);
        });
        read.map_err(|error| Unreadable::new(&error, &shelf))?;
        // Every shard has to be there, also those that reading does not need.
        match object.damage().is_none() {
            true => Ok(out.content()),
            false => Err(Failure::NotTheSame(None)),
        }
    })();
    bar.finish_and_clear();
    log.check()?;
    let why = match read {
        Ok(content) if content == new.content => return Ok(()),
        Ok(_) | Err(Failure::NotTheSame(_)) => None,
        Err(failure) => Some(Box::new(failure)),
    };
    let count = options.geometry.pieces();
    let places = shelf.places.len();
    for file in shelf
        .files
        .iter()
        .filter(|file| is_own(file, count, places))
    {
        shelf.places[file.place].remove(&file.name).ok();
    }
    Err(Failure::NotTheSame(why))
}

/// Whether this run has put it there, rather than anybody else something of such a name.
fn is_own(file: &ShardFile, count: u16, places: usize) -> bool {
    file.number.count == count && file.place == usize::from(file.number.index) % places
}

fn tell(
    shelf: &Shelf,
    new: Told,
    removal: Option<&Removal>,
    work: &mut Work<'_, '_>,
) -> Result<(), CliError> {
    let Told {
        json: new,
        mut text,
    } = new;
    text.push_str("verified  read back completely: the same bytes, under the new key\n");
    match removal {
        Some(Removal { removed, .. }) => text.push_str(&format!(
            "old       {removed} {} removed\n",
            plural(*removed, "shard", "shards")
        )),
        None => {
            let count = shelf.files.len();
            text.push_str(&format!(
                "old       {count} {}\n",
                plural(
                    count,
                    "shard is still there, and may go",
                    "shards are still there, and may go"
                )
            ));
        }
    }
    let old: Vec<_> = (0..shelf.files.len())
        .map(|input| shelf.location(input))
        .collect();
    let json = json!({
        "new": new,
        "verified": true,
        "old": old,
        "old_removed": removal.map_or(0, |removal| removal.removed),
        "old_left_alone": removal.map_or(&[][..], |removal| &removal.left_alone),
        "old_remaining": removal.map_or(&[][..], |removal| &removal.remaining),
        "places_dark": shelf.dark_places(),
    });
    work.show(&json, &text)
}

/// Passes on what is written, and remembers what it was.
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
    len: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
            len: 0,
        }
    }

    fn content(&self) -> Content {
        Content {
            len: self.len,
            hash: self.hasher.finalize(),
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(buf)?;
        self.hasher.update(&buf[..len]);
        self.len += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::name::Numbered;
    use super::*;

    #[test]
    fn only_what_this_run_put_is_taken_back() {
        let own = |index, count, place| {
            let file = ShardFile {
                place,
                name: String::new(),
                size: 0,
                number: Numbered { index, count },
            };
            is_own(&file, 3, 2)
        };
        assert!(own(0, 3, 0) && own(1, 3, 1) && own(2, 3, 0));
        // Of another geometry, or where this run puts no such shard.
        assert!(!own(0, 12, 0) && !own(0, 3, 1) && !own(1, 3, 0));
    }
}
