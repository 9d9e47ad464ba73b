//! `data get` and `data range`: an object, or a part of it, from its shards.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use propeller_ces::{Audit, Object, ReadError};
use serde_json::json;

use super::audit::AuditLog;
use super::bridge::Interruptible;
use super::damage::{Unreadable, lines};
use super::failure::Failure;
use super::key_args::KeyArgs;
use super::part::{Part, Replacement};
use super::shelf::Shelf;
use super::source::Source;
use super::{ObjectArgs, ThreadsArg, Work};
use crate::Ui;
use crate::error::{CliError, Exit};
use crate::units::{bytes_text, parse_bytes};

/// An object, and where it goes.
#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    object: ObjectArgs,
    /// Where the object goes; - for standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Begin anew where an interrupted run could go on
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    keys: KeyArgs,
}

/// A part of an object, and where it goes.
#[derive(Debug, Args)]
pub struct Range {
    #[command(flatten)]
    object: ObjectArgs,
    /// First byte, counted from 0
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    offset: u64,
    /// How many bytes
    #[arg(long, value_name = "N", value_parser = parse_bytes)]
    length: u64,
    /// Where they go; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    keys: KeyArgs,
}

/// An object that is open, and where its shards are.
struct Opened {
    object: Object<Source>,
    shelf: Shelf,
    threads: propeller_ces::Threads,
}

fn open(
    args: &ObjectArgs,
    keys: &KeyArgs,
    threads: ThreadsArg,
    command: &'static str,
    work: &mut Work<'_, '_>,
) -> Result<Opened, Failure> {
    let log = AuditLog::open(keys.audit_log.as_deref(), command)?;
    let ring = keys.ring()?;
    let shelf = args.shelf(work)?;
    let hook = |event: &_| log.tell(event);
    let object = Object::open(shelf.sources(), &ring, args.wanted(), Audit::to(&hook));
    log.check()?;
    let object = object.map_err(|error| Unreadable::new(&error, &shelf))?;
    Ok(Opened {
        object,
        shelf,
        threads: threads.count(),
    })
}

pub(super) fn run(args: &Get, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let mut opened = open(&args.object, &args.keys, args.threads, "get", work)?;
    if args.output == Path::new("-") {
        opened.print(None, work)?;
    } else {
        let part = Part::open(&args.output, &opened.object, args.restart)?;
        opened.save(part, work)?;
        done(
            &args.object,
            &opened,
            &args.output,
            opened.object.plain_len(),
            work,
        )?;
    }
    opened.warn(work);
    Ok(Exit::Success)
}

pub(super) fn range(args: &Range, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let mut opened = open(&args.object, &args.keys, args.threads, "range", work)?;
    let range = args.offset..args.offset.saturating_add(args.length);
    if args.output == Path::new("-") {
        opened.print(Some(range), work)?;
    } else {
        let mut bytes = Replacement::open(&args.output)?;
        let mut none = |_| ();
        let out = &mut bytes.file;
        let read = opened
            .object
            .read_range(range, out, opened.threads, &mut none);
        read.map_err(|error| opened.failure(error, &args.output))?;
        bytes.place()?;
        done(&args.object, &opened, &args.output, args.length, work)?;
    }
    opened.warn(work);
    Ok(Exit::Success)
}

fn done(
    args: &ObjectArgs,
    opened: &Opened,
    output: &Path,
    len: u64,
    work: &mut Work<'_, '_>,
) -> Result<(), CliError> {
    let json = json!({
        "name": args.name.to_string(),
        "object": opened.object.header().id.to_string(),
        "digest": opened.object.digest().to_string(),
        "key": opened.object.key().to_string(),
        "file": output.to_string_lossy(),
        "bytes": len,
        "shards_bad": lines(opened.object.damage(), &opened.shelf),
    });
    let size = bytes_text(len);
    let text = format!("Got {size} of {} into {}\n", args.name, output.display());
    work.show(&json, &text)
}

impl Opened {
    /// Says what is wrong with the shards, as far as they had to be looked at.
    fn warn(&self, work: &mut Work<'_, '_>) {
        let bad = lines(self.object.damage(), &self.shelf);
        for line in &bad {
            work.ui.note(&format!("warning: {line}"));
        }
        if !bad.is_empty() {
            work.ui.note(
                "hint: the object is whole all the same; rebuild what it lacks with: data repair",
            );
        }
    }

    fn failure(&self, error: ReadError, output: &Path) -> Failure {
        match error {
            ReadError::Output(source) => Failure::Write {
                path: output.to_owned(),
                source,
            },
            error => Unreadable::new(&error, &self.shelf).into(),
        }
    }

    fn print(
        &mut self,
        range: Option<std::ops::Range<u64>>,
        work: &mut Work<'_, '_>,
    ) -> Result<(), CliError> {
        let total = range
            .as_ref()
            .map_or_else(|| self.object.plain_len(), |range| range.end - range.start);
        let bar = work.ui.progress(total, "Getting".to_owned());
        let mut out = Interruptible {
            inner: Raw(&mut *work.ui),
            interrupt: work.interrupt.clone(),
        };
        let mut progress = |bytes| bar.set_position(bytes);
        let read = match range {
            Some(range) => self
                .object
                .read_range(range, &mut out, self.threads, &mut progress),
            None => self.object.read_to(&mut out, self.threads, &mut progress),
        };
        bar.finish_and_clear();
        read.map_err(|error| match error {
            ReadError::Output(source) => CliError::Output(source),
            error => self.failure(error, Path::new("-")).into(),
        })
    }

    /// Reads what is not there yet. What is read is kept when the rest cannot be had.
    fn save(&mut self, mut part: Part, work: &mut Work<'_, '_>) -> Result<(), Failure> {
        let (begin, len) = (part.begin(), self.object.plain_len());
        if begin > 0 {
            let (begin, len) = (bytes_text(begin), bytes_text(len));
            work.ui.note(&format!("going on at {begin} of {len}"));
        }
        let bar = work.ui.progress(len, "Getting".to_owned());
        let mut progress = |bytes: u64| bar.set_position(begin + bytes);
        let mut out = Interruptible {
            inner: &mut part,
            interrupt: work.interrupt.clone(),
        };
        let read = match begin {
            0 => self.object.read_to(&mut out, self.threads, &mut progress),
            _ => self
                .object
                .read_range(begin..len, &mut out, self.threads, &mut progress),
        };
        bar.finish_and_clear();
        match read {
            Ok(()) => part.place(),
            Err(error @ (ReadError::Contradiction(_) | ReadError::Segment(_))) => {
                // Somebody with the key wrote something wrong: nothing of it is to be used.
                part.remove();
                Err(self.failure(error, part.output()))
            }
            Err(error) => {
                if let Some(kept) = part.keep() {
                    work.ui
                        .note(&format!("{kept}: the same command goes on there"));
                }
                Err(self.failure(error, part.output()))
            }
        }
    }
}

/// Standard output.
struct Raw<'a, 'u>(&'a mut Ui<'u>);

impl Write for Raw<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.0.raw(buf) {
            Ok(()) => Ok(buf.len()),
            Err(CliError::Output(error)) => Err(error),
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
