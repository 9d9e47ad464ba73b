//! What a run comes to: how it ended, what it said, and what it cost.

use std::sync::Arc;

use propeller_model::ExitKind;
use propeller_sandbox::{Exit, RunError, Status};
use propeller_wire::message::{Output, Usage};
use serde_bytes::ByteBuf;

use crate::work::chain;

/// Longest error text, in bytes.
const ERROR_LEN_MAX: usize = 16 * 1024;

/// What a run comes to.
pub(crate) struct Judged {
    /// Whether the guest ended well.
    pub(crate) success: bool,
    /// How it ended, in a word.
    pub(crate) exit: ExitKind,
    /// What it said.
    pub(crate) output: Output,
    /// What it cost.
    pub(crate) usage: Usage,
}

/// What a run comes to: whether the guest ended well, what it said, what it cost.
pub(crate) fn judge(ran: Result<Exit, RunError>) -> Judged {
    match ran {
        Ok(exit) => {
            let usage = Usage {
                prepare_us: 0,
                compile_us: exit.usage.compile_us,
                run_us: exit.usage.wall_us,
                fuel: exit.usage.fuel,
                memory_peak_bytes: exit.usage.memory_peak_bytes,
                cpu_us: exit.usage.cpu_us,
                input_bytes: exit.usage.input_bytes,
                output_bytes: exit.usage.output_bytes,
            };
            let (success, exit_code, error) = verdict(&exit.status, &exit.stderr);
            let (kind, hint) = (kind(&exit.status), exit.status.hint());
            let output = Output {
                result: exit.result,
                stdout: ByteBuf::from(exit.stdout),
                stderr: ByteBuf::from(exit.stderr),
                exit_code,
                error: error.map(bounded),
                engine: exit.engine.map(Arc::unwrap_or_clone),
                hint: hint.map(str::to_owned),
                gone: [0; 2],
                stdout_object: None,
            };
            Judged {
                success,
                exit: kind,
                output,
                usage,
            }
        }
        Err(error) => Judged {
            success: false,
            exit: kind_of_failure(&error),
            output: Output {
                error: Some(bounded(chain(&error))),
                hint: error.hint().map(str::to_owned),
                ..Output::default()
            },
            usage: Usage::default(),
        },
    }
}

/// The end of a guest in a word.
fn kind(status: &Status) -> ExitKind {
    match status {
        Status::Returned => ExitKind::Returned,
        Status::Exited(_) => ExitKind::Exited,
        Status::Trapped { .. } => ExitKind::Trap,
        Status::LimitHit(_) => ExitKind::Limit,
        Status::Inconclusive(_) => ExitKind::Inconclusive,
    }
}

/// Why there was no guest, or no end of one, in a word.
fn kind_of_failure(error: &RunError) -> ExitKind {
    match error {
        RunError::TooLarge { .. }
        | RunError::StdinTooLong { .. }
        | RunError::StdinTime(_)
        | RunError::Instances { .. }
        | RunError::CompileTime { .. }
        | RunError::CompileMemory { .. } => ExitKind::Limit,
        RunError::Escaped | RunError::Forged => ExitKind::Escaped,
        RunError::Lost => ExitKind::Lost,
        RunError::Stopped
        | RunError::CompilersBusy
        | RunError::Runtime(_)
        | RunError::Killed { .. }
        | RunError::Listen { .. } => ExitKind::Host,
        _ => ExitKind::Refused,
    }
}

fn verdict(status: &Status, stderr: &[u8]) -> (bool, Option<i32>, Option<String>) {
    match status {
        Status::Returned => (true, None, None),
        Status::Exited(0) => (true, Some(0), None),
        Status::Exited(code) => {
            let said = String::from_utf8_lossy(stderr);
            let said = said.trim();
            let error = if said.is_empty() {
                format!("exit code {code}")
            } else {
                format!("exit code {code}: {said}")
            };
            (false, Some(*code), Some(error))
        }
        Status::Trapped { message, .. } => (false, None, Some(message.clone())),
        Status::LimitHit(hit) => (false, None, Some(hit.to_string())),
        Status::Inconclusive(why) => (false, None, Some(why.to_string())),
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > ERROR_LEN_MAX {
        let end = (0..=ERROR_LEN_MAX)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
