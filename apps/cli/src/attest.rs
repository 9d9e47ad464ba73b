//! `attest`: what this machine is. No manager is asked.

use clap::Subcommand;
use propeller_attest::detect::{Detected, Host, detect};

use crate::Ui;
use crate::error::{CliError, Exit};
use crate::json::pretty;

/// What to find out about this machine.
#[derive(Debug, Subcommand)]
pub enum AttestVerb {
    /// Say whether this is a trusted execution environment (TEE), and from which fact
    Detect,
}

pub(crate) fn run(verb: &AttestVerb, json: bool, ui: &mut Ui<'_>) -> Result<Exit, CliError> {
    let AttestVerb::Detect = verb;
    let detected = detect(&Host::new());
    if json {
        let value = serde_json::to_value(&detected).unwrap_or_default();
        ui.text(&pretty(&value.to_string()))?;
    } else {
        ui.text(&format!("{detected}\n"))?;
    }
    Ok(exit(&detected))
}

/// As of `systemd-detect-virt`: where there is none, scripts hear it by the exit code.
fn exit(detected: &Detected) -> Exit {
    match detected.tee {
        Some(_) => Exit::Success,
        None => Exit::Failure,
    }
}
