//! What every service's process does with its settings: a command line, and signals.
//!
//! Ctrl-C and SIGTERM end a service; SIGHUP makes it read its workload keys anew. Everything else
//! is read once: what half of a process has changed to is harder to reason about than a restart,
//! which loses nothing.

use std::path::PathBuf;

use clap::Subcommand;
use propeller_envelope::{KeyId, Keyring};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use crate::shared;
use crate::{Schema, Settings, Sources};

/// How a service is started.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file, instead of config.toml in the working directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print every setting with its value and where it came from; secrets are hidden
    Show,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// Run with these settings.
    Run(Settings),
    /// Print this and end.
    Show(String),
}

impl Args {
    /// Reads the settings of a service.
    ///
    /// # Errors
    /// In words: a file that cannot be read.
    pub fn settings(&self, schema: Schema) -> Result<Asked, String> {
        let settings = self.load(schema)?;
        Ok(match self.verb {
            Some(Verb::Config(ConfigVerb::Show)) => Asked::Show(settings.show()),
            None => Asked::Run(settings),
        })
    }

    /// Reads the workload keys of a running service anew.
    ///
    /// # Errors
    /// In words: what is wrong with the files, or with the keys.
    pub fn keys(&self, schema: Schema) -> Result<Keyring, String> {
        let mut settings = self.load(schema)?;
        let keys = shared::keys(&mut settings);
        settings.finish(keys).map_err(|errors| errors.to_string())
    }

    fn load(&self, schema: Schema) -> Result<Settings, String> {
        let sources = Sources::from_process(schema.prefix, self.config.as_deref())
            .map_err(|error| error.to_string())?;
        Ok(Settings::load(schema, &section(&sources, schema), &sources))
    }
}

/// The section of `config.toml`: upstream lets a proplet choose among several.
#[must_use]
pub fn section(sources: &Sources, schema: Schema) -> String {
    let variable = format!("{}_CONFIG_SECTION", schema.prefix);
    let named = sources.environment.get(&variable);
    let named = named.filter(|section| !section.is_empty());
    named.map_or(schema.section, String::as_str).to_owned()
}

/// Waits for Ctrl-C or SIGTERM. Every SIGHUP until then is passed to `reload`.
///
/// # Errors
/// In words: the system takes no handler for signals.
pub async fn until_stopped(mut reload: impl FnMut()) -> Result<(), String> {
    let handler = |kind| signal(kind).map_err(|error| error.to_string());
    let mut terminate = handler(SignalKind::terminate())?;
    let mut hangup = handler(SignalKind::hangup())?;
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => {
                return interrupted.map_err(|error| error.to_string());
            }
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => reload(),
        }
    }
}

/// Hands over keys that were read anew. After a mistake the old ones stay in use.
pub fn rekey(keys: Result<Keyring, String>, hand_over: impl FnOnce(Keyring)) {
    match keys {
        Ok(keys) => {
            let ids: Vec<String> = keys.ids().map(|id: KeyId| id.to_string()).collect();
            info!(seals = %ids[0], opens = %ids.join(","), "workload keys read again");
            hand_over(keys);
        }
        Err(error) => error!(error, "workload keys not changed"),
    }
}
