//! The slim worker: `proplet`, configured by the environment, `.env` and `config.toml`.

use std::process::ExitCode;

use clap::Parser;
use propeller_proplet::config::SCHEMA;
use propeller_proplet::{Config, Proplet, engine, isolation};
use propeller_settings::service::{Args, Asked, rekey, until_stopped};
use propeller_settings::{harden, log};

/// Runs WebAssembly tasks for a Propeller manager.
///
/// Settings come from PROPLET_* variables, `.env` and the [proplet] section of config.toml.
#[derive(Debug, Parser)]
#[command(name = "proplet", version, long_version = engine::VERSION)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
    // The first thing: a guest's process has one thread and has opened nothing.
    isolation::enter_if_child();
    // Before anything else: whoever uses TLS later finds one provider, and the same one.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return fail("another TLS provider was installed first");
    }
    if let Err(error) = harden::no_core_dumps().and_then(|()| harden::many_files()) {
        return fail(&error);
    }
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let settings = match cli.args.settings(SCHEMA)? {
        Asked::Run(settings) => settings,
        Asked::Show(text) => {
            print(&text);
            return Ok(());
        }
    };
    let config = Config::from_settings(settings).map_err(|errors| errors.to_string())?;
    log::start(&config.log_level)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?
        .block_on(serve(config, &cli.args))
}

async fn serve(config: Config, args: &Args) -> Result<(), String> {
    let proplet = Proplet::start(config).map_err(|error| {
        let cause = std::error::Error::source(&error);
        cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
    })?;
    until_stopped(|| rekey(args.keys(SCHEMA), |keys| proplet.rekey(keys))).await?;
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
