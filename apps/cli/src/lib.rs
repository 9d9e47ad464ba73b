//! Everything a person does with tasks, modules and a manager in a terminal.
//!
//! `propeller-cli` is [`Cli`] and [`run`]. A larger program flattens [`Connection`] and [`Verb`]
//! into its own command line and calls [`run`] with its own [`clap::Command`], so that messages
//! and completions speak of that program.

pub mod attest;
mod clock;
mod connection;
pub mod data;
mod error;
pub mod images;
pub mod inspect;
mod json;
pub mod keys;
mod new_file;
mod page;
mod pair;
mod printable;
pub mod proplets;
mod table;
pub mod tasks;
mod ui;
mod units;

pub use connection::{Connection, Secret};
pub use error::Exit;
pub use page::PageArgs;
pub use printable::{printable, printable_json};
pub use tasks::{GrantArgs, LimitArgs};
pub use ui::Ui;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use propeller_sdk::Client;

use crate::error::{CliError, Noun};

/// Run WebAssembly tasks on proplets, and look after both
#[derive(Debug, Parser)]
#[command(name = "propeller-cli", version, arg_required_else_help = true)]
pub struct Cli {
    /// How to reach the manager, and how to show what it says.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Create, start, watch and delete tasks
    #[command(arg_required_else_help = true)]
    Tasks {
        /// What to do with tasks.
        #[command(subcommand)]
        verb: tasks::TaskVerb,
    },
    /// See which proplets there are and how they are
    #[command(arg_required_else_help = true)]
    Proplets {
        /// What to do with proplets.
        #[command(subcommand)]
        verb: proplets::PropletVerb,
    },
    /// Push a module to a registry, encrypted and signed if you like
    Push(Box<images::Push>),
    /// Pull a module from a registry, opened and checked
    Pull(images::Pull),
    /// Say what a module or an image is, what it needs, and how to run it, without running it
    Inspect(inspect::Inspect),
    /// Find out what this machine is
    #[command(arg_required_else_help = true)]
    Attest {
        /// What to find out.
        #[command(subcommand)]
        verb: attest::AttestVerb,
    },
    /// Keep data as encrypted shards in several places, and get it back
    #[command(arg_required_else_help = true)]
    Data {
        /// What to do with data.
        #[command(subcommand)]
        verb: data::DataVerb,
    },
    /// Give keys to a key broker, and take them away
    #[command(arg_required_else_help = true)]
    Keys {
        /// What to do with keys.
        #[command(subcommand)]
        verb: keys::KeyVerb,
    },
    /// Ask the manager how it is
    Health,
    /// Print completions for a shell, to be sourced by it
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// What every verb works with.
pub(crate) struct Session<'s, 'u> {
    pub(crate) client: Client,
    pub(crate) json: bool,
    /// Name of the program, for messages that say what to type next.
    pub(crate) program: &'s str,
    pub(crate) ui: &'s mut Ui<'u>,
}

impl Session<'_, '_> {
    /// Says what was done, where the manager said nothing worth showing. JSON has no sentences.
    pub(crate) fn done(&mut self, sentence: &str) -> Result<(), CliError> {
        if self.json {
            Ok(())
        } else {
            self.ui.say(sentence)
        }
    }

    /// Shows a part of a list, and says how to see more.
    pub(crate) fn page<const N: usize>(
        &mut self,
        table: &table::Table<N>,
        rest: Option<String>,
    ) -> Result<(), CliError> {
        self.ui.text(&table.render())?;
        if let Some(rest) = rest {
            self.ui.note(&rest);
        }
        Ok(())
    }
}

/// Does what a command line says, and tells how it went.
///
/// `program` is the whole command line's grammar: completions are made from it, and its name is in
/// messages that say what to type next.
pub async fn run(
    verb: Verb,
    connection: &Connection,
    mut program: clap::Command,
    ui: &mut Ui<'_>,
) -> Exit {
    let name = program.get_name().to_owned();
    let noun = match &verb {
        Verb::Tasks { .. } => Noun::Task,
        Verb::Proplets { .. } => Noun::Proplet,
        Verb::Push(_)
        | Verb::Pull(_)
        | Verb::Inspect(_)
        | Verb::Attest { .. }
        | Verb::Data { .. }
        | Verb::Keys { .. }
        | Verb::Health
        | Verb::Completions { .. } => Noun::Manager,
    };
    let done = match verb {
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program, &name, &mut script);
            ui.raw(&script).map(|()| Exit::Success)
        }
        Verb::Inspect(args) => match connection.without_manager() {
            Ok(()) => inspect::run(args, connection.json, ui).await,
            Err(error) => Err(error),
        },
        Verb::Attest { verb } => attest::run(&verb, connection.json, ui),
        Verb::Data { verb } => match connection.about_trust() {
            Some(flag) => Err(data::Failure::AboutManager(flag).into()),
            None => data::run(verb, connection.json, ui),
        },
        Verb::Keys { verb } => keys::run(verb, connection.json, ui).await,
        Verb::Push(args) => match connection.without_manager() {
            Ok(()) => images::push(*args, connection.json, ui).await,
            Err(error) => Err(error),
        },
        Verb::Pull(args) => match connection.without_manager() {
            Ok(()) => images::pull(args, connection.json, ui).await,
            Err(error) => Err(error),
        },
        verb => ask(verb, connection, &name, ui).await,
    };
    let flushed = ui.flush();
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit,
        // Of an object nobody knows before its end that it is whole.
        Err(CliError::Data(data::Failure::ReaderLeft)) => Exit::ReaderLeft,
        // Whoever read our output has seen enough.
        Err(error) if error.is_broken_pipe() => Exit::Success,
        Err(error) => ui.fail(&error.explain(&name, noun)),
    }
}

/// Does what needs a manager.
async fn ask(
    verb: Verb,
    connection: &Connection,
    program: &str,
    ui: &mut Ui<'_>,
) -> Result<Exit, CliError> {
    let client = connection.client()?;
    if client.is_exposed() {
        ui.note(&format!(
            "warning: {} is not encrypted: anyone on the way can read modules, inputs and results",
            connection.manager_url
        ));
    }
    let mut session = Session {
        client,
        json: connection.json,
        program,
        ui,
    };
    match verb {
        Verb::Tasks { verb } => tasks::run(verb, &mut session).await,
        Verb::Proplets { verb } => proplets::run(verb, &mut session).await,
        Verb::Health => health(&mut session).await,
        Verb::Push(_)
        | Verb::Pull(_)
        | Verb::Inspect(_)
        | Verb::Attest { .. }
        | Verb::Data { .. }
        | Verb::Keys { .. }
        | Verb::Completions { .. } => Ok(Exit::Success),
    }
}

async fn health(session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let health = session.client.health().await?;
    if session.json {
        session.ui.json(&health)?;
    } else {
        let mut facts = table::Facts::default();
        facts.add("status", &health.status);
        facts.add(
            "broker",
            if health.broker_connected {
                "connected"
            } else {
                "not connected"
            },
        );
        if let Some(is_reached) = health.object_store_reached {
            let word = if is_reached { "reached" } else { "not reached" };
            facts.add("object store", word);
        }
        facts.add("version", &health.version);
        facts.add("commit", &health.commit);
        facts.add("built", &health.build_time);
        facts.add("instance", &health.instance_id);
        session.ui.text(&facts.render())?;
    }
    Ok(if health.status == "fail" {
        Exit::Failure
    } else {
        Exit::Success
    })
}
