//! `data migrate`: an object, encrypted anew under a new key.
//!
//! The old object goes when the new one was read back completely and is the same, and only when
//! somebody asked for that.

use std::io::{self, PipeReader, Write};
use std::thread;

use clap::Args;
use propeller_ces::{
    Audit, Geometry, Key, KeyRing, Object, Options, ReadAt as _, ReadError, Summary, Threads,
    Wanted, Watch, encode, v0,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::audit::AuditLog;
use super::bridge::Interruptible;
use super::damage::Unreadable;
use super::failure::Failure;
use super::fresh::{Fresh, ShapeArgs, Told};
use super::key_args::{KeyArgs, NewKeyArgs};
use super::name::Name;
use super::place::{Destination, Place, destination};
use super::shelf::Shelf;
use super::source::Source;
use super::{ObjectArgs, Work};
use crate::error::{CliError, Exit};

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
    /// Remove the old shards when the new object is read back and is the same
    #[arg(long)]
    remove_old: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    new_key: NewKeyArgs,
}

/// The old object's plaintext.
enum Old {
    Object(Box<Object<Source>>),
    /// The older implementation could hold it in memory only, and so does whoever reads it.
    Whole(Zeroizing<Vec<u8>>),
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
    let log = AuditLog::open(args.keys.audit_log.as_deref(), "migrate")?;
    let keys = args.keys.keys().map_err(Failure::from)?;
    let new_key = args.new_key.key().map_err(Failure::from)?;
    let places = args.object.places(work)?;
    let targets = args.object.stores.places(&args.to, &work.runtime)?;
    let name = args.new_name.as_ref().unwrap_or(&args.object.name);
    let (shelf, old) = args.old(places, keys, &log, work)?;
    let label = match &old {
        Old::Object(object) => Some(object.header().label),
        Old::Whole(_) => None,
    };
    let options = args.shape.options(label.filter(|label| !label.is_empty()));
    let new = write(name, old, targets.clone(), &new_key, &options, &log, work);
    let new = new.map_err(|halt| match halt {
        Halt::Old(error) => Unreadable::new(&error, &shelf).into(),
        Halt::New(failure) => failure,
    })?;
    verify(name, targets, &new_key, &new, &options, &log, work)?;
    let mut removed = 0;
    if args.remove_old {
        removed = remove(&shelf)?;
    }
    tell(args, &shelf, new.told, removed, work)?;
    Ok(Exit::Success)
}

impl Migrate {
    /// Finds the old object, and opens it.
    fn old(
        &self,
        places: Vec<Place>,
        keys: Vec<Key>,
        log: &AuditLog,
        work: &mut Work<'_, '_>,
    ) -> Result<(Shelf, Old), Failure> {
        let hook = |event: &_| log.tell(event);
        let audit = Audit::to(&hook);
        let name = &self.object.name;
        let opened = match (self.data, self.parity) {
            (Some(data), Some(parity)) if self.from_v0 => {
                let geometry =
                    Geometry::new(data, parity).map_err(|e| Failure::Geometry(e.into()))?;
                let shelf = Shelf::find_old(places, name, geometry.pieces(), work)?;
                let whole = read_old(&shelf, geometry, &keys, audit)?;
                (shelf, Old::Whole(whole))
            }
            _ => {
                let shelf = Shelf::find(places, name, work)?;
                let ring = KeyRing::reading(keys)?;
                let object = Object::open(shelf.sources(), &ring, self.object.wanted(), audit);
                let object = object.map_err(|error| Unreadable::new(&error, &shelf))?;
                (shelf, Old::Object(Box::new(object)))
            }
        };
        log.check()?;
        Ok(opened)
    }
}

/// The plaintext of shards that say nothing of themselves.
fn read_old(
    shelf: &Shelf,
    geometry: Geometry,
    keys: &[Key],
    audit: Audit<'_>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let [key] = keys else {
        return Err(Failure::OldIsOpenedByOneKey);
    };
    let mut shards: Vec<Option<Vec<u8>>> = vec![None; geometry.pieces().into()];
    let mut from: Vec<Option<usize>> = vec![None; shards.len()];
    for (input, file) in shelf.files.iter().enumerate() {
        let index = usize::from(file.number.index);
        if let Some(other) = from[index].replace(input) {
            return Err(Failure::OldTwice {
                one: shelf.location(other),
                other: shelf.location(input),
                index: file.number.index,
            });
        }
        shards[index] = Some(read_whole(shelf, input)?);
    }
    let shards: Vec<Option<&[u8]>> = shards.iter().map(Option::as_deref).collect();
    let reader = v0::Reader {
        geometry,
        plain_len_max: v0::PLAIN_LEN_MAX,
        audit,
    };
    Ok(reader.reconstruct(&shards, key)?)
}

fn read_whole(shelf: &Shelf, input: usize) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::Place {
        place: shelf.location(input),
        source,
    };
    let source = shelf.source(&shelf.files[input]);
    let size = source.size().map_err(failed)?;
    if size > v0::PLAIN_LEN_MAX as u64 {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let size = usize::try_from(size).map_err(|error| failed(io::Error::other(error)))?;
    let mut bytes = vec![0; size];
    source.read_at(&mut bytes, 0).map_err(failed)?;
    Ok(bytes)
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
    let len = match &old {
        Old::Object(object) => object.plain_len(),
        Old::Whole(plain) => plain.len() as u64,
    };
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
            read(old, &mut out)?;
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

/// Reads the old object; the new one's threads have the processors.
fn read(old: Old, out: &mut Hashing<impl Write>) -> Result<(), ReadError> {
    match old {
        Old::Object(mut object) => object.read_to(out, Threads::ONE, &mut |_| ()),
        Old::Whole(plain) => out.write_all(&plain).map_err(ReadError::Output),
    }
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
    for file in &shelf.files {
        shelf.places[file.place].remove(&file.name).ok();
    }
    Err(Failure::NotTheSame(why))
}

fn remove(shelf: &Shelf) -> Result<usize, Failure> {
    let mut remaining = Vec::new();
    for (input, file) in shelf.files.iter().enumerate() {
        if let Err(error) = shelf.places[file.place].remove(&file.name) {
            remaining.push(format!("{}: {error}", shelf.location(input)));
        }
    }
    match remaining.is_empty() {
        true => Ok(shelf.files.len()),
        false => Err(Failure::OldRemain(remaining)),
    }
}

fn tell(
    args: &Migrate,
    shelf: &Shelf,
    new: Told,
    removed: usize,
    work: &mut Work<'_, '_>,
) -> Result<(), CliError> {
    let Told {
        json: new,
        mut text,
    } = new;
    text.push_str("verified  read back completely: the same bytes, under the new key\n");
    match args.remove_old {
        true => text.push_str(&format!("old       {removed} shards removed\n")),
        false => {
            let count = shelf.files.len();
            text.push_str(&format!(
                "old       {count} shards are still there, and may go\n"
            ));
        }
    }
    let old: Vec<_> = (0..shelf.files.len())
        .map(|input| shelf.location(input))
        .collect();
    let json = json!({ "new": new, "verified": true, "old": old, "old_removed": removed });
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
