//! Each part as a process of its own: settings, log, start, wait for a signal, stop.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use propeller_broker::Options;
use propeller_keybroker::KeyBroker;
use propeller_manager::Manager;
use propeller_proplet::Proplet;
use propeller_proxy::Proxy;
use propeller_settings::service::{Asked, rekey, until_stopped};
use propeller_settings::{Key, Kind, Schema, Settings, log};

use crate::stack::chain;

pub use propeller_settings::service::Args;

/// Every setting of the embedded broker.
pub const BROKER_SCHEMA: Schema = Schema {
    section: "broker",
    prefix: "BROKER",
    shared: &[],
    own: &[
        Key::new(
            "log_level",
            &[],
            Kind::Text,
            Some("info"),
            "What is logged: `error`, `warn`, `info`, `debug`, or a filter.",
        ),
        Key::new(
            "listen",
            &[],
            Kind::Text,
            Some("127.0.0.1:1883"),
            "Address and port. It has no authentication: on anything but loopback, put a broker of your own in its place.",
        ),
        Key::new(
            "clients_max",
            &[],
            Kind::Number,
            Some("10000"),
            "Clients at a time.",
        ),
        Key::new(
            "max_packet_size",
            &[],
            Kind::Bytes,
            Some("12MiB"),
            "Largest packet to accept.",
        ),
    ],
};

/// Whoever supervises the process starts it again, and nothing is lost.
pub(crate) const DISPATCHER_FAILED: &str =
    "the manager's dispatcher failed, its log says why: start it again";

/// Runs the manager until it is told to stop.
pub async fn manager(args: &Args) -> ExitCode {
    ended(serve_manager(args).await)
}

/// Runs a proplet until it is told to stop.
pub async fn proplet(args: &Args) -> ExitCode {
    ended(serve_proplet(args).await)
}

/// Runs a proxy until it is told to stop.
pub async fn proxy(args: &Args) -> ExitCode {
    ended(serve_proxy(args).await)
}

/// Runs a key broker until it is told to stop.
pub async fn keybroker(args: &Args) -> ExitCode {
    ended(serve_keybroker(args).await)
}

/// Runs the broker until it is told to stop.
pub async fn broker(args: &Args) -> ExitCode {
    ended(serve_broker(args).await)
}

async fn serve_manager(args: &Args) -> Result<(), String> {
    let Some(settings) = settings(args, propeller_manager::config::SCHEMA)? else {
        return Ok(());
    };
    let warnings = settings.warnings.clone();
    let config = propeller_manager::Config::from_settings(settings).map_err(|e| e.to_string())?;
    log::start(&config.log_level)?;
    warn(&warnings);
    let manager = Manager::start(config).await.map_err(|e| chain(&e))?;
    let keys = || args.keys(propeller_manager::config::SCHEMA);
    let stopped = until_stopped(|| rekey(keys(), |keys| manager.rekey(keys)));
    tokio::select! {
        stopped = stopped => stopped?,
        () = manager.failed() => return Err(DISPATCHER_FAILED.to_owned()),
    }
    manager.stop().await;
    Ok(())
}

async fn serve_proplet(args: &Args) -> Result<(), String> {
    let Some(settings) = settings(args, propeller_proplet::config::SCHEMA)? else {
        return Ok(());
    };
    let config = propeller_proplet::Config::from_settings(settings).map_err(|e| e.to_string())?;
    log::start(&config.log_level)?;
    warn(&config.warnings);
    let proplet = Proplet::start(config).map_err(|e| chain(&e))?;
    let keys = || args.keys(propeller_proplet::config::SCHEMA);
    until_stopped(|| rekey(keys(), |keys| proplet.rekey(keys))).await?;
    proplet.stop().await;
    Ok(())
}

async fn serve_proxy(args: &Args) -> Result<(), String> {
    let Some(settings) = settings(args, propeller_proxy::config::SCHEMA)? else {
        return Ok(());
    };
    let warnings = settings.warnings.clone();
    let config = propeller_proxy::Config::from_settings(settings).map_err(|e| e.to_string())?;
    log::start(&config.log_level)?;
    warn(&warnings);
    let proxy = Proxy::start(config).await.map_err(|e| chain(&e))?;
    let keys = || args.keys(propeller_proxy::config::SCHEMA);
    until_stopped(|| rekey(keys(), |keys| proxy.rekey(keys))).await?;
    proxy.stop().await;
    Ok(())
}

async fn serve_keybroker(args: &Args) -> Result<(), String> {
    let Some(settings) = settings(args, propeller_keybroker::config::SCHEMA)? else {
        return Ok(());
    };
    let warnings = settings.warnings.clone();
    let config = propeller_keybroker::Config::from_settings(settings).map_err(|e| e.to_string())?;
    log::start(&config.log_level)?;
    warn(&warnings);
    let keybroker = KeyBroker::start(config).await.map_err(|e| chain(&e))?;
    let reload = || match keybroker.reload() {
        Ok(()) => {}
        Err(error) => {
            tracing::error!("everything stays as it was: {}", chain(&error));
        }
    };
    until_stopped(reload).await?;
    keybroker.stop().await;
    Ok(())
}

async fn serve_broker(args: &Args) -> Result<(), String> {
    let Some(mut settings) = settings(args, BROKER_SCHEMA)? else {
        return Ok(());
    };
    let filter = settings.text("log_level").unwrap_or("info").to_owned();
    let warnings = settings.warnings.clone();
    let options = broker_options(&mut settings);
    let options = settings.finish(options).map_err(|e| e.to_string())?;
    log::start(&filter)?;
    warn(&warnings);
    let broker = propeller_broker::start(options)
        .await
        .map_err(|e| chain(&e))?;
    tracing::info!(address = %broker.address(), "broker ready");
    // It has no keys: there is nothing to read again.
    until_stopped(|| ()).await?;
    broker.stop().await;
    Ok(())
}

/// The options of the embedded broker.
pub fn broker_options(settings: &mut Settings) -> Options {
    let listen = settings
        .parse("listen", |text| {
            text.parse::<SocketAddr>()
                .map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:1883")
        })
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 1883)));
    let clients = settings.number("clients_max", 1, propeller_broker::CLIENTS_MAX as u64);
    let packet = settings.bytes("max_packet_size");
    Options {
        clients_max: usize::try_from(clients).unwrap_or(1),
        packet_len_max: u32::try_from(packet).unwrap_or(u32::MAX),
        ..Options::new(listen)
    }
}

/// The settings of a service, or nothing if they were only to be shown.
fn settings(args: &Args, schema: Schema) -> Result<Option<Settings>, String> {
    match args.settings(schema)? {
        Asked::Run(settings) => Ok(Some(settings)),
        Asked::Show(text) => show(&text).map(|()| None),
    }
}

pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Prints what a command is for. Whoever has stopped reading has seen enough.
pub(crate) fn show(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// The exit code of a service, after saying what went wrong.
#[must_use]
pub fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not have started, and nobody may read this.
            writeln!(io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
