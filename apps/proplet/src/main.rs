//! The slim worker: `proplet`, configured by the environment, `.env` and `config.toml`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use propeller_proplet::config::SCHEMA;
use propeller_proplet::{Config, Proplet, harden, log};
use propeller_settings::{Settings, Sources};
use tokio::signal::unix::{SignalKind, signal};

/// Runs WebAssembly tasks for a Propeller manager.
///
/// Settings come from PROPLET_* variables, `.env` and the [proplet] section of config.toml.
#[derive(Debug, Parser)]
#[command(name = "proplet", version)]
struct Cli {
    /// The configuration file, instead of config.toml in the working directory.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigVerb),
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print every setting with its value and where it came from; secrets are hidden.
    Show,
}

fn main() -> ExitCode {
    // The first thing: whoever uses TLS later finds one provider, and the same one.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return fail("another TLS provider was installed first");
    }
    if let Err(error) = harden::no_core_dumps() {
        return fail(&error);
    }
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let sources = Sources::from_process("PROPLET", cli.config.as_deref())
        .map_err(|error| error.to_string())?;
    let section = sources
        .environment
        .get("PROPLET_CONFIG_SECTION")
        .filter(|section| !section.is_empty())
        .map_or("proplet", String::as_str)
        .to_owned();
    let settings = Settings::load(SCHEMA, &section, &sources);
    if let Some(Verb::Config(ConfigVerb::Show)) = cli.verb {
        print(&settings.show());
        return Ok(());
    }
    let warnings = settings.warnings.clone();
    let config = Config::from_settings(settings).map_err(|errors| errors.to_string())?;
    log::start(&config.log_level)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?
        .block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), String> {
    let proplet = Proplet::start(config).map_err(|error| {
        let cause = std::error::Error::source(&error);
        cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
    })?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| error.to_string())?,
        _ = terminate.recv() => {}
    }
    proplet.stop().await;
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn print(text: &str) {
    print!("{text}");
}

#[allow(clippy::print_stderr, reason = "logging may not have started")]
fn fail(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
