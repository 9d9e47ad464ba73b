//! The flags that say where the manager is and how to show its answers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use propeller_sdk::{Client, ClientOptions, Token};

use crate::error::CliError;

/// How long to wait for an answer. The manager answers in milliseconds; this bears a slow link.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How to reach the manager, and how to show what it says.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection and output")]
pub struct Connection {
    /// Address of the manager
    #[arg(
        short,
        long,
        global = true,
        value_name = "URL",
        default_value = "http://localhost:7070",
        env = "PROPELLER_MANAGER_URL",
        hide_env_values = true
    )]
    pub manager_url: String,

    /// Token that the manager asks for; other users can see it here, not in the environment
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "PROPELLER_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<Secret>,

    /// File with the token; wins over --token
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// PEM file with the only authorities to trust for https, instead of the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,

    /// Accept any certificate: anyone on the way can read and change everything
    #[arg(long, global = true)]
    pub insecure: bool,

    /// Verify the manager's certificate; -v=false is the same as --insecure
    #[arg(
        short = 'v',
        long,
        global = true,
        value_name = "true|false",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        hide_possible_values = true
    )]
    pub tls_verification: bool,

    /// Trace that the tasks belong to, a W3C traceparent
    #[arg(
        long,
        global = true,
        value_name = "CONTEXT",
        env = "TRACEPARENT",
        hide_env_values = true
    )]
    pub traceparent: Option<String>,

    /// Upstream's identity service, which this version does not have.
    #[arg(short, long, global = true, value_name = "URL", hide = true)]
    pub atom_url: Option<String>,

    /// Print the manager's JSON instead of tables and sentences
    #[arg(long, global = true)]
    pub json: bool,
}

impl Connection {
    /// A client for the manager that is meant.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        if self.atom_url.is_some() {
            return Err(CliError::Unsupported { flag: "--atom-url" });
        }
        let client = Client::new(ClientOptions {
            base_url: self.manager_url.clone(),
            token: self.token()?,
            ca_cert: self.ca_cert.clone(),
            insecure_skip_verify: self.insecure || !self.tls_verification,
            timeout: TIMEOUT,
        })?;
        Ok(client.in_trace(self.traceparent.as_deref()))
    }

    /// Refuses what says how to trust the manager, where only registries are asked: it would pass for
    /// trust in them.
    pub(crate) fn without_manager(&self) -> Result<(), CliError> {
        match self.about_trust() {
            Some(flag) => Err(CliError::AboutManager(flag)),
            None => Ok(()),
        }
    }

    /// A flag that says how to trust the manager, if one was given.
    pub(crate) fn about_trust(&self) -> Option<&'static str> {
        let flags = [
            (self.insecure, "--insecure"),
            (!self.tls_verification, "--tls-verification=false"),
            (self.ca_cert.is_some(), "--ca-cert"),
        ];
        let given = flags.into_iter().find(|(given, _)| *given);
        given.map(|(_, flag)| flag)
    }

    /// A client for another manager than the one that is meant, with the same token and trust.
    ///
    /// # Errors
    ///
    /// In words, what cannot be used.
    pub fn client_of(&self, url: &str) -> Result<Client, String> {
        let other = Self {
            manager_url: url.to_owned(),
            ..self.clone()
        };
        other.client().map_err(|error| error.to_string())
    }

    fn token(&self) -> Result<Option<Token>, CliError> {
        let text = match (&self.token_file, &self.token) {
            (Some(path), _) => std::fs::read_to_string(path).map_err(|source| CliError::Read {
                path: path.clone(),
                source,
            })?,
            (None, Some(Secret(text))) if !text.is_empty() => text.clone(),
            // An empty variable is how many scripts say that there is none.
            (None, _) => return Ok(None),
        };
        Token::parse(&text).map(Some).map_err(CliError::Token)
    }
}

/// A text that no message and no `Debug` output shows.
#[derive(Clone)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
