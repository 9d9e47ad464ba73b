//! What can be cut out of the words of a runtime.

use wasmparser::ValType;

use super::printed::find_last;
use crate::engine::split::trap_message;
use crate::excerpt::excerpt;
use crate::exit::{Status, Trap};
use crate::numbers::Number;

/// Frames of a backtrace that a message has.
const FRAMES_MAX: usize = 20;

/// The end of a guest that trapped.
pub(super) fn trapped(reason: &str, frames: Vec<String>) -> Status {
    let mut message = reason.trim_end().replace('\n', " ");
    for frame in frames.into_iter().take(FRAMES_MAX) {
        message.push_str("\n    at ");
        message.push_str(&frame);
    }
    Status::Trapped {
        trap: Trap::Other,
        message: trap_message(&message),
    }
}

/// What wasmtime says before the functions that were active.
const BACKTRACE: &str = "wasm backtrace:";

/// Why a guest ended, of wasmtime's complaint; `None` if no function was active. Where a host call
/// has ended it, that is the last cause.
pub(super) fn reason(complaint: &str) -> Option<String> {
    let trap = complaint.lines().find_map(|line| {
        let at = line.find("wasm trap: ")?;
        Some(line[at..].to_owned())
    });
    if trap.is_some() || !complaint.contains(BACKTRACE) {
        return trap;
    }
    let last = complaint.trim_end().lines().next_back()?.trim_start();
    let numbered = last.split_once(": ");
    let numbered = numbered.filter(|(number, _)| number.parse::<u32>().is_ok());
    Some(numbered.map_or(last, |(_, cause)| cause).to_owned())
}

/// The functions of wasmtime's backtrace: `0:    0x1fb - <unknown>!inner`.
pub(super) fn frames(complaint: &str) -> Vec<String> {
    let after = complaint.split_once(BACKTRACE);
    let lines = after.map_or("", |(_, after)| after).lines().skip(1);
    lines
        .map_while(|line| line.split_once('!').map(|(_, name)| name.to_owned()))
        .collect()
}

/// A number from its bits.
pub(super) fn value(ty: ValType, bits: u64) -> Option<Number> {
    let low = u32::try_from(bits & u64::from(u32::MAX)).ok()?;
    match ty {
        ValType::I32 => Some(Number::I32(low.cast_signed())),
        ValType::I64 => Some(Number::I64(bits.cast_signed())),
        ValType::F32 => Some(Number::F32(low)),
        ValType::F64 => Some(Number::F64(bits)),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

/// Where the last `count` lines begin; `None` if there are fewer, or the last one is not whole.
pub(super) fn results_at(bytes: &[u8], count: usize) -> Option<usize> {
    if count == 0 {
        return None;
    }
    let body = bytes.strip_suffix(b"\n")?;
    let mut at = body.len();
    for left in (0..count).rev() {
        match body[..at].iter().rposition(|byte| *byte == b'\n') {
            Some(newline) if left == 0 => return Some(newline + 1),
            Some(newline) => at = newline,
            None if left == 0 => return Some(0),
            None => return None,
        }
    }
    None
}

/// How much of `bytes` stands before the last complaint.
pub(super) fn guest_len(bytes: &[u8], begins: &str) -> usize {
    find_last(bytes, begins.as_bytes()).unwrap_or(bytes.len())
}

/// The beginning of a complaint, on one line.
pub(super) fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_ascii_whitespace().take(60).collect();
    if words.is_empty() {
        return "it gave no reason".to_owned();
    }
    excerpt(&words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_the_last_lines() {
        assert_eq!(results_at(b"1\n", 1), Some(0));
        assert_eq!(results_at(b"text\n1\n-2\n", 2), Some(5));
        assert_eq!(results_at(b"text\n1", 1), None);
        assert_eq!(results_at(b"1\n", 2), None);
        assert_eq!(results_at(b"1\n", 0), None);
    }

    #[test]
    fn the_reason_is_the_trap_or_the_last_cause_of_a_call() {
        let check = |causes: &str, expected: Option<&str>| {
            let complaint = format!("Error: failed to run main module `x`\n\nCaused by:\n{causes}");
            assert_eq!(reason(&complaint).as_deref(), expected);
        };
        let invoked =
            "    0: failed to invoke `f`\n    1: error while executing at wasm backtrace:\n";
        check(
            &format!("{invoked}    2: wasm trap: unreachable\n"),
            Some("wasm trap: unreachable"),
        );
        check(
            &format!("{invoked}    2: Pointer out of bounds: Region\n"),
            Some("Pointer out of bounds: Region"),
        );
        check("    unknown import: `env::f`\n", None);
    }

    #[test]
    fn frames_end_where_the_backtrace_ends() {
        let complaint = "Error: x\n\nCaused by:\n    1: error while executing at wasm backtrace:\n    \
                         0:    0x1fb - <unknown>!inner\n    1: <unknown>!a!b\n    2: wasm trap: x\n";
        assert_eq!(frames(complaint), ["inner", "a!b"]);
        assert_eq!(frames("no backtrace"), [""; 0]);
    }
}
