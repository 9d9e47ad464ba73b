//! `propeller demo`: shows, and checks, what Propeller claims.
//!
//! Everything runs in this process, on loopback, with keys made on the spot. Between the parts and
//! the broker is a [`tap`] that keeps every byte. A second run in plain mode shows that the tap
//! would have found the secrets, had they been there.

mod report;
mod story;
pub mod tap;

use std::process::ExitCode;

use crate::stack::chain;

/// How the demo is shown.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Log what the parts do, at this level
    #[arg(long, value_name = "LEVEL", default_value = "off")]
    log: String,
}

/// Runs the demo. Success only if every claim held.
pub async fn demo(args: &Args, json: bool) -> ExitCode {
    if let Err(error) = propeller_settings::log::start(&args.log) {
        return crate::services::ended(Err(error));
    }
    let story = match story::tell().await {
        Ok(story) => story,
        Err(error) => return crate::services::ended(Err(chain(&error))),
    };
    let text = if json {
        report::json(&story)
    } else {
        report::text(&story)
    };
    if let Err(error) = crate::services::show(&text) {
        return crate::services::ended(Err(error));
    }
    if story.held() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
