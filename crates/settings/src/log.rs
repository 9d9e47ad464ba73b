//! The log of a service: one line an event, on standard error.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Starts logging at a level or with a filter. Called once, by `main`; a second call does nothing.
///
/// # Errors
/// Says what is wrong with the filter.
pub fn start(filter: &str) -> Result<(), String> {
    // The MQTT client and the broker log what is our business to judge.
    let quiet = format!("{filter},rumqttc=error,rumqttc_core=error,mqtt5=error");
    let filter = EnvFilter::try_new(quiet).map_err(|error| error.to_string())?;
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .try_init();
    drop(started);
    Ok(())
}
