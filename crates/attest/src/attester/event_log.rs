//! The firmware's log of what it measured (ACPI's CCEL, in the format of the TCG), for verifiers that
//! want to know what a TDX register is made of.
//!
//! ```text
//!  first  register u32 │ kind u32 = 3 │ SHA-1 │ size u32 │ what follows is of the TCG's 2nd format
//!  then   register u32 │ kind u32 │ count u32 │ (algorithm u16 │ digest) … │ size u32 │ event
//!  end    ff ff ff ff ff ff ff ff, in a table that is longer
//! ```
//!
//! An attestation-agent that runs here extends registers as well, and keeps a log of that, which
//! belongs behind the firmware's: a verifier that replays one without the other finds a difference.

use std::io::{self, ErrorKind};

use crate::detect::Machine;

const CCEL: &str = "/sys/firmware/acpi/tables/data/CCEL";
/// Of an attestation-agent.
const RUNTIME_LOG: &str = "/run/attestation-agent/eventlog";

/// Of either log: firmware has 64 KiB for it, and key brokers take bodies of 2 MiB.
const LOG_BYTES_MAX: usize = 512 << 10;

/// `EV_NO_ACTION`.
const NO_ACTION: u32 = 3;
const END: [u8; 8] = [0xff; 8];
/// What a table is filled up with where nobody wrote an end.
const UNUSED: [u8; 8] = [0; 8];

/// The log; nothing where there is none. Verifiers take evidence without it, with a warning, so
/// what is wrong with a log is worth a warning too, and no evidence lost.
pub(super) fn read(machine: &dyn Machine) -> Option<Vec<u8>> {
    let table = match optional(machine, CCEL) {
        Ok(table) => table?,
        Err(error) => return unusable(CCEL, &error),
    };
    let Some(log) = trimmed(&table) else {
        return unusable(CCEL, &"it is no log of the TCG's 2nd format");
    };
    match optional(machine, RUNTIME_LOG) {
        Ok(more) => Some([log, &more.unwrap_or_default(), &END].concat()),
        Err(error) => unusable(RUNTIME_LOG, &error),
    }
}

fn unusable(path: &str, error: &dyn std::fmt::Display) -> Option<Vec<u8>> {
    tracing::warn!(path, %error, "the evidence goes without the event log");
    None
}

fn optional(machine: &dyn Machine, path: &str) -> io::Result<Option<Vec<u8>>> {
    match machine.read(path, LOG_BYTES_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        content => content.map(Some),
    }
}

/// A table up to its end mark.
fn trimmed(table: &[u8]) -> Option<&[u8]> {
    let mut rest = first(table)?;
    while !rest.is_empty() && !rest.starts_with(&END) && !rest.starts_with(&UNUSED) {
        rest = event(rest)?;
    }
    table.get(..table.len() - rest.len())
}

/// What follows the first event.
fn first(log: &[u8]) -> Option<&[u8]> {
    let (_register, rest) = number(log)?;
    let (kind, rest) = number(rest)?;
    let sized = rest.get(20..)?;
    match kind {
        NO_ACTION => sized_event(sized),
        _ => None,
    }
}

/// What follows another event.
fn event(log: &[u8]) -> Option<&[u8]> {
    let (_register, rest) = number(log)?;
    let (_kind, rest) = number(rest)?;
    let (count, mut rest) = number(rest)?;
    for _ in 0..count {
        let (algorithm, after) = rest.split_first_chunk()?;
        rest = after.get(digest_bytes(u16::from_le_bytes(*algorithm))?..)?;
    }
    sized_event(rest)
}

fn sized_event(log: &[u8]) -> Option<&[u8]> {
    let (size, rest) = number(log)?;
    rest.get(usize::try_from(size).ok()?..)
}

fn number(log: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = log.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// By the TCG's algorithm registry.
fn digest_bytes(algorithm: u16) -> Option<usize> {
    match algorithm {
        0x0004 => Some(20),
        0x000b | 0x0012 => Some(32),
        0x000c => Some(48),
        0x000d => Some(64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<u8> {
        let mut log = [&[0; 4][..], &3_u32.to_le_bytes(), &[0; 20]].concat();
        log.extend([&2_u32.to_le_bytes()[..], b"id"].concat());
        // The mark of the end within an event is none.
        for event in [&END[..], b"", b"kernel"] {
            log.extend([&1_u32.to_le_bytes()[..], &0xd_u32.to_le_bytes()].concat());
            log.extend([&1_u32.to_le_bytes()[..], &0xc_u16.to_le_bytes(), &[7; 48]].concat());
            let size = u32::try_from(event.len()).unwrap();
            log.extend([&size.to_le_bytes()[..], event].concat());
        }
        log
    }

    fn check(end: &[u8], expected: bool) {
        let table = [&log()[..], end].concat();
        assert_eq!(trimmed(&table), expected.then_some(&log()[..]), "{end:?}");
    }

    #[test]
    fn a_log_ends_at_its_mark() {
        check(&END, true);
        check(&[&END[..], b"more"].concat(), true);
        check(&UNUSED, true);
        check(&[], true);
    }

    #[test]
    fn what_follows_no_format_is_no_log() {
        check(&[0xff; 7], false);
        check(b"x", false);
        assert_eq!(trimmed(&[]), None);
        let mut other = log();
        other[4] = 4;
        assert_eq!(trimmed(&other), None);
    }

    #[test]
    fn a_log_that_is_cut_anywhere_between_events_is_none() {
        let log = log();
        let whole: Vec<usize> = (0..log.len())
            .filter(|at| trimmed(&log[..*at]).is_some())
            .collect();
        // After the first event, and after each but the last of the others.
        assert_eq!(whole, [34, 34 + 74, 34 + 74 + 66]);
    }

    #[test]
    fn a_digest_of_unknown_length_ends_nothing_by_chance() {
        let mut log = log();
        log[34 + 12] = 0x99;
        assert_eq!(trimmed(&log), None);
    }
}
