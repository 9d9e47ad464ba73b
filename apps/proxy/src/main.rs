//! The proxy alone: `propeller-proxy`, configured by the environment, `.env` and `config.toml`.

use std::process::ExitCode;

use clap::Parser;
use propeller_proxy::config::SCHEMA;
use propeller_proxy::{Config, Proxy};
use propeller_settings::service::{Args, Asked, rekey, until_stopped};
use propeller_settings::{harden, log};

/// Fetches images for proplets that reach no registry.
///
/// Settings come from PROXY_* variables, `.env` and the [proxy] section of config.toml.
#[derive(Debug, Parser)]
#[command(name = "propeller-proxy", version)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn main() -> ExitCode {
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
    let warnings = settings.warnings.clone();
    let config = Config::from_settings(settings).map_err(|errors| errors.to_string())?;
    log::start(&config.log_level)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    // It has little to compute and large buffers: one thread has them from one heap, where several
    // would keep one each.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?
        .block_on(serve(config, &cli.args))
}

async fn serve(config: Config, args: &Args) -> Result<(), String> {
    let proxy = Proxy::start(config)
        .await
        .map_err(|error| propeller_oci::chain(&error))?;
    until_stopped(|| rekey(args.keys(SCHEMA), |keys| proxy.rekey(keys))).await?;
    proxy.stop().await;
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
