//! `data get` and `data range`: an object, or a part of it, from its shards.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use propeller_ces::{Audit, Object, ReadError};
use serde_json::json;

use super::audit::AuditLog;
use super::bridge::{Interrupt, Interruptible};
use super::damage::{Findings, MOVE_AWAY, Unreadable};
use super::failure::Failure;
use super::key_args::KeyArgs;
use super::part::{Output, Part, Replacement};
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
    /// Where the object goes: a file, which is replaced when the object is whole, a pipe or a
    /// device; - for standard output
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
    /// Where they go: a file, which is replaced when they are all there, a pipe or a device; - for
    /// standard output
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
    let object = Object::open(
        shelf.sources(),
        &ring,
        args.wanted(&shelf),
        Audit::to(&hook),
    );
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
    match Output::open(&args.output)? {
        Output::Standard => opened.print(None, work)?,
        Output::Stream(to) => opened.pass(None, to, &args.output, work)?,
        Output::File(path) => {
            let part = Part::open(&path, &opened.object, args.restart)?;
            opened.save(part, work)?;
            let len = opened.object.plain_len();
            done(&args.object, &opened, &args.output, len, work)?;
        }
    }
    opened.warn(work);
    Ok(Exit::Success)
}

pub(super) fn range(args: &Range, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let mut opened = open(&args.object, &args.keys, args.threads, "range", work)?;
    let range = Some(args.offset..args.offset.saturating_add(args.length));
    match Output::open(&args.output)? {
        Output::Standard => opened.print(range, work)?,
        Output::Stream(to) => opened.pass(range, to, &args.output, work)?,
        Output::File(path) => {
            let mut bytes = Replacement::open(&path, opened.object.digest())?;
            opened.pass(range, &mut bytes.file, &args.output, work)?;
            bytes.place()?;
            done(&args.object, &opened, &args.output, args.length, work)?;
        }
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
    let found = opened.found();
    let json = json!({
        "name": args.name.to_string(),
        "object": opened.object.header().id.to_string(),
        "digest": opened.object.digest().to_string(),
        "key": opened.object.key().to_string(),
        "file": output.to_string_lossy(),
        "bytes": len,
        "shards_bad": found.bad,
        "shards_superfluous": found.superfluous,
    });
    let size = bytes_text(len);
    let text = format!("Got {size} of {} into {}\n", args.name, output.display());
    work.show(&json, &text)
}

impl Opened {
    /// What is wrong with the shards, as far as they had to be looked at.
    fn found(&self) -> Findings {
        let geometry = self.object.header().geometry;
        Findings::new(self.object.damage(), geometry, &self.shelf)
    }

    /// Tells it.
    fn warn(&self, work: &mut Work<'_, '_>) {
        let Findings { bad, superfluous } = self.found();
        for line in &bad {
            work.ui.note(&format!("warning: {line}"));
        }
        if !bad.is_empty() {
            work.ui.note(
                "hint: the object is whole all the same; rebuild what it lacks with: data repair",
            );
        }
        for line in &superfluous {
            work.ui.note(&format!("warning: superfluous: {line}"));
        }
        if !superfluous.is_empty() {
            work.ui.note(MOVE_AWAY);
        }
    }

    fn failure(&self, error: ReadError, output: &Path) -> Failure {
        match error {
            ReadError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => {
                Failure::ReaderLeft
            }
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
        let (bar, interrupt) = (self.bar(range.as_ref(), work), work.interrupt.clone());
        let read = self.read(range, Raw(&mut *work.ui), interrupt, &bar);
        // What is left of it goes out here, to find out whether anybody reads it.
        let read = read.and_then(|()| Raw(&mut *work.ui).flush().map_err(ReadError::Output));
        read.map_err(|error| match self.failure(error, Path::new("-")) {
            Failure::Write { source, .. } => CliError::Output(source),
            failure => failure.into(),
        })
    }

    /// Writes to something that is there, and stays there whatever comes of it.
    fn pass(
        &mut self,
        range: Option<std::ops::Range<u64>>,
        to: impl Write,
        output: &Path,
        work: &Work<'_, '_>,
    ) -> Result<(), Failure> {
        let bar = self.bar(range.as_ref(), work);
        let read = self.read(range, to, work.interrupt.clone(), &bar);
        read.map_err(|error| self.failure(error, output))
    }

    fn bar(&self, range: Option<&std::ops::Range<u64>>, work: &Work<'_, '_>) -> ProgressBar {
        let len = range.map_or_else(|| self.object.plain_len(), |range| range.end - range.start);
        work.ui.progress(len, "Getting".to_owned())
    }

    fn read(
        &mut self,
        range: Option<std::ops::Range<u64>>,
        to: impl Write,
        interrupt: Interrupt,
        bar: &ProgressBar,
    ) -> Result<(), ReadError> {
        let mut to = Interruptible {
            inner: to,
            interrupt,
        };
        let (threads, mut progress) = (self.threads, |bytes| bar.set_position(bytes));
        let object = &mut self.object;
        let read = match range {
            Some(range) => object.read_range(range, &mut to, threads, &mut progress),
            None => object.read_to(&mut to, threads, &mut progress),
        };
        bar.finish_and_clear();
        read
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
        self.0.raw(buf).map(|()| buf.len()).map_err(output_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(output_error)
    }
}

fn output_error(error: CliError) -> io::Error {
    match error {
        CliError::Output(error) => error,
        error => io::Error::other(error.to_string()),
    }
}
