//! `data`: streams of any length into encrypted shards in several places, and back. No manager is
//! asked.
//!
//! The core (`propeller-ces`) reads and writes like files, so a command works on a thread of its
//! own, and what talks to stores has a runtime of its own:
//!
//! ```text
//! file or pipe ─▶ encode ─▶ sinks ─▶ temporary files, parts of uploads ─▶ shards, all or none
//! shards ─▶ sources (read ahead) ─▶ Object ─▶ FILE.part ─▶ file
//! ```

mod audit;
mod bridge;
mod check;
mod damage;
mod failure;
mod files;
mod fresh;
mod get;
mod handed;
mod info;
mod key_args;
mod key_text;
mod keys;
mod migrate;
mod name;
mod part;
mod passphrase;
mod place;
mod put;
mod removal;
mod repair;
mod rotate;
mod shelf;
mod sink;
mod source;

pub(crate) use failure::Failure;

pub use check::Verify;
pub use fresh::{CipherArg, ShapeArgs};
pub use get::{Get, Range};
pub use info::Info;
pub use key_args::{KeyArgs, KeySources, NewKeyArgs};
pub use keys::{Backup, Id, KeyVerb, New, Restore};
pub use migrate::Migrate;
pub use name::{Name, NameError};
pub use passphrase::PassphraseArgs;
pub use place::{Destination, StoreArgs, StoreKind};
pub use put::Put;
pub use repair::Repair;
pub use rotate::Rotate;

use std::num::NonZeroUsize;
use std::thread;

use clap::{Args, Subcommand};
use propeller_ces::{Digest, Label, Threads, Wanted};
use tokio::runtime::Handle;

use crate::Ui;
use crate::error::{CliError, Exit};
use crate::table::visible;
use bridge::{Bridge, Interrupt};
use place::{Place, destination};
use shelf::Shelf;

/// What to do with data.
#[derive(Debug, Subcommand)]
pub enum DataVerb {
    /// Turn a file, or what comes through a pipe, into encrypted shards
    Put(Box<Put>),
    /// Get an object back from its shards
    Get(Box<Get>),
    /// Get a part of an object, and read only what that takes
    Range(Box<Range>),
    /// Look at every byte of an object's shards, without its key; 0 if all are there and good
    Verify(Verify),
    /// Rebuild shards that are missing or damaged, without the key
    Repair(Repair),
    /// Put an object under a new key, without touching what it holds
    Rotate(Box<Rotate>),
    /// Say what an object is and where its shards are, without its key
    Info(Info),
    /// Encrypt an object anew, under a new key, and verify the new one before the old may go
    Migrate(Box<Migrate>),
    /// Make, back up and restore keys
    #[command(arg_required_else_help = true)]
    Keys {
        /// What to do with keys.
        #[command(subcommand)]
        verb: KeyVerb,
    },
}

/// An object, and where its shards are.
#[derive(Debug, Args)]
pub struct ObjectArgs {
    /// Name of the object
    name: Name,
    /// Places where its shards are: folders, or s3://BUCKET/PREFIX, gs://…, az://…
    #[arg(long, value_name = "DEST", num_args = 1.., required = true, value_parser = destination)]
    shards: Vec<Destination>,
    /// The object's digest, as put printed it: nothing else will do
    #[arg(long, value_name = "HEX")]
    digest: Option<Digest>,
    /// Refuse an object of another environment
    #[arg(long, value_name = "NAME")]
    label: Option<Label>,
    #[command(flatten)]
    stores: StoreArgs,
}

impl ObjectArgs {
    fn shelf(&self, work: &mut Work<'_, '_>) -> Result<Shelf, Failure> {
        let places = self.places(work)?;
        Shelf::find(places, &self.name, work)
    }

    fn places(&self, work: &Work<'_, '_>) -> Result<Vec<Place>, Failure> {
        let reach = self.stores.reach(&self.shards)?;
        reach.places(&self.shards, &work.runtime)
    }

    /// What is looked for among what was found.
    fn wanted(&self, shelf: &Shelf) -> Wanted {
        Wanted {
            object: None,
            digest: self.digest,
            label: self.label,
            is_partial: !shelf.dark.is_empty(),
        }
    }
}

/// How many segments are worked on at once.
#[derive(Debug, Clone, Copy, Args)]
pub struct ThreadsArg {
    /// Threads to compute with [default: one for each processor]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

impl ThreadsArg {
    fn count(self) -> Threads {
        let count = self
            .threads
            .or_else(|| thread::available_parallelism().ok());
        Threads::new(count.map_or(1, NonZeroUsize::get))
    }
}

/// What every command about data works with.
#[derive(Debug)]
pub(crate) struct Work<'w, 'u> {
    pub(crate) ui: &'w mut Ui<'u>,
    pub(crate) json: bool,
    pub(crate) runtime: Handle,
    pub(crate) interrupt: Interrupt,
}

impl Work<'_, '_> {
    /// Shows what there is to know, as JSON or as the text for people.
    fn show(&mut self, json: &serde_json::Value, text: &str) -> Result<(), CliError> {
        match self.json {
            true => self.ui.text(&crate::json::pretty(&json.to_string())),
            // Names and paths are what anybody called a file.
            false => self.ui.text(&lines(text)),
        }
    }
}

/// A text of several lines, each fit for a terminal.
fn lines(text: &str) -> String {
    let lines = text.split_terminator('\n');
    lines.map(|line| format!("{}\n", visible(line))).collect()
}

/// Does what a command line says. It holds the caller's thread until that is done.
pub(crate) fn run(verb: DataVerb, json: bool, ui: &mut Ui<'_>) -> Result<Exit, CliError> {
    let bridge = Bridge::new().map_err(Failure::Bridge)?;
    let (runtime, interrupt) = (bridge.handle(), bridge.interrupt());
    // Not the caller's thread: it belongs to a runtime, on which nobody may wait for another.
    let done = thread::scope(|scope| {
        let working = scope.spawn(|| {
            let mut work = Work {
                ui,
                json,
                runtime,
                interrupt,
            };
            act(verb, &mut work)
        });
        working.join()
    });
    let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let is_interrupted = bridge.interrupt().is_set();
    bridge.end();
    match done {
        // Whatever it was that failed because of it.
        Err(_) if is_interrupted => Err(Failure::Interrupted.into()),
        done => done,
    }
}

fn act(verb: DataVerb, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    match verb {
        DataVerb::Put(args) => put::run(&args, work),
        DataVerb::Get(args) => get::run(&args, work),
        DataVerb::Range(args) => get::range(&args, work),
        DataVerb::Verify(args) => check::run(&args, work),
        DataVerb::Repair(args) => repair::run(&args, work),
        DataVerb::Rotate(args) => rotate::run(&args, work),
        DataVerb::Info(args) => info::run(&args, work),
        DataVerb::Migrate(args) => migrate::run(&args, work),
        DataVerb::Keys { verb } => keys::run(&verb, work),
    }
}
