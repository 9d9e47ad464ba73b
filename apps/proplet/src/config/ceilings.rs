//! What no task may exceed.
//!
//! A ceiling that no task can meet is refused: the proplet would start, and then fail every task for a
//! reason that its owner can do nothing about.

use std::time::Duration;

use propeller_settings::{Settings, harden};

use super::{OUTPUT_BYTES_MAX, defaults};
use crate::limits::{Ceilings, open_files};

/// Most of a standard output that is in memory, and not in a message.
const STORED_OUTPUT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Memory has no smaller part: a page of WebAssembly's.
const MEMORY_BYTES_MIN: u64 = 64 * 1024;

/// Nobody counts time in less.
const TIME_MIN: Duration = Duration::from_millis(1);

/// What the settings say about it.
pub(super) fn read(settings: &mut Settings) -> Ceilings {
    let s = settings;
    let output_bytes = s.bytes("max_output");
    if !(1..=OUTPUT_BYTES_MAX).contains(&output_bytes) {
        s.invalid("max_output", "1 to 1MiB".to_owned());
    }
    let memory_bytes = s.bytes("max_memory");
    if memory_bytes < MEMORY_BYTES_MIN {
        s.invalid("max_memory", "at least 64KiB".to_owned());
    }
    let ceilings = Ceilings {
        defaults: defaults::read(s),
        memory_bytes,
        fuel: s.number("max_fuel", 1, u64::MAX),
        wall: time(s, "max_wall"),
        output_bytes,
        stored_output_bytes: stored_output(s),
        handles: s.number("max_handles", 1, 1_000_000),
        open_files: open_files(
            harden::files_max().unwrap_or(u64::MAX),
            u32::try_from(s.number("max_tasks", 1, 4096)).unwrap_or(1),
        ),
        daemons: u32::try_from(s.number("max_daemons", 0, 4096)).unwrap_or(0),
    };
    if s.is_set("policy_file") && ceilings.open_files < ceilings.handles {
        s.warnings.push(format!(
            "a guest with grants has at most {} open handles, so that all of them together leave files for this process: \
             let it have more (ulimit -n), or lower PROPLET_MAX_TASKS",
            ceilings.open_files
        ));
    }
    ceilings
}

/// A time in which something can be done.
pub(super) fn time(settings: &mut Settings, name: &str) -> Duration {
    let time = settings.duration(name);
    if time < TIME_MIN {
        settings.invalid(name, "at least 1ms".to_owned());
    }
    time
}

fn stored_output(settings: &mut Settings) -> Option<u64> {
    let most = settings.bytes("max_stored_output");
    if !(1..=STORED_OUTPUT_BYTES_MAX).contains(&most) {
        settings.invalid("max_stored_output", "1 to 1GiB".to_owned());
    }
    settings.is_set("object_store").then_some(most)
}

#[cfg(test)]
mod tests {
    use crate::config::images::tests::configured;

    #[test]
    fn a_ceiling_that_no_task_can_meet_keeps_the_proplet_from_starting() {
        for (name, value, why) in [
            ("max_memory", "0", "at least 64KiB"),
            ("max_memory", "65535", "at least 64KiB"),
            ("max_wall", "0s", "at least 1ms"),
            ("max_compile", "0s", "at least 1ms"),
            ("max_module", "0", "at least 8"),
            ("max_module", "7", "at least 8"),
            ("max_compile_memory", "0", "at least 64MiB"),
            ("max_compile_memory", "63MiB", "at least 64MiB"),
            ("max_output", "0", "1 to 1MiB"),
            ("max_fuel", "0", "from 1 to"),
            ("max_handles", "0", "from 1 to"),
        ] {
            let said = configured(&[(name, value)]).unwrap_err();
            let variable = format!("PROPLET_{}", name.to_uppercase());
            assert!(said.contains(&variable) && said.contains(why), "{said}");
        }
        for (name, value) in [
            ("max_memory", "64KiB"),
            ("max_wall", "1ms"),
            ("max_compile", "1ms"),
            ("max_module", "8"),
            ("max_compile_memory", "64MiB"),
            // None at all is a choice.
            ("max_daemons", "0"),
        ] {
            let said = configured(&[(name, value)]).err();
            assert_eq!(said, None, "{name}={value}");
        }
    }
}
