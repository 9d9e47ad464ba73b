//! What a guest may use, and who said so.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who set a limit, so that an error can say where to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetBy {
    /// Nobody: the value that ships with Propeller.
    Default,
    /// The task asked for it.
    Task,
    /// The proplet's operator caps it.
    Proplet,
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Task => "task",
            Self::Proplet => "proplet",
        })
    }
}

/// One limit and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The limit, in the unit its field names.
    pub value: u64,
    /// Who set it.
    pub set_by: SetBy,
}

impl Bound {
    const fn default(value: u64) -> Self {
        Self {
            value,
            set_by: SetBy::Default,
        }
    }

    /// This bound, replaced by what the task asks for, if it asks.
    #[must_use]
    pub fn or_task(self, asked: Option<u64>) -> Self {
        asked.map_or(self, |value| Self {
            value,
            set_by: SetBy::Task,
        })
    }

    /// This bound, lowered to what the proplet allows.
    #[must_use]
    pub fn capped(self, ceiling: Option<u64>) -> Self {
        match ceiling {
            Some(value) if value < self.value => Self {
                value,
                set_by: SetBy::Proplet,
            },
            _ => self,
        }
    }
}

/// Everything a guest is limited in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory and tables, in bytes.
    pub memory_bytes: Bound,
    /// Wasmtime fuel: about one unit per executed instruction.
    pub fuel: Bound,
    /// Wall-clock time from instantiation to the end, in milliseconds.
    pub wall_ms: Bound,
    /// The guest's stack, in bytes.
    pub stack_bytes: Bound,
    /// Captured standard output, in bytes.
    pub stdout_bytes: Bound,
    /// Captured standard error, in bytes.
    pub stderr_bytes: Bound,
    /// The text of a function's results, in bytes.
    pub result_bytes: Bound,
    /// Open handles: streams, timers and whatever else the host keeps for the guest.
    pub handles: Bound,
}

impl Default for Limits {
    /// The defaults of the design: 256 MiB, 10⁹ fuel, 30 s, 1 MiB of stack and of each output.
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            memory_bytes: Bound::default(256 * MIB),
            fuel: Bound::default(1_000_000_000),
            wall_ms: Bound::default(30_000),
            stack_bytes: Bound::default(MIB),
            stdout_bytes: Bound::default(MIB),
            stderr_bytes: Bound::default(MIB),
            result_bytes: Bound::default(MIB),
            handles: Bound::default(1024),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_names_whoever_set_it_last() {
        let bound = Bound::default(10);
        assert_eq!(bound.or_task(None).set_by, SetBy::Default);
        assert_eq!(bound.or_task(Some(20)).set_by, SetBy::Task);
        let capped = bound.or_task(Some(20)).capped(Some(15));
        assert_eq!((capped.value, capped.set_by), (15, SetBy::Proplet));
        assert_eq!(bound.capped(Some(15)), bound);
    }
}
