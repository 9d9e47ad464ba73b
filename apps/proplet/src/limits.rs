//! What a task may use on this proplet: the defaults, what it asks for, and the ceilings.

use std::time::Duration;

use propeller_model::{Bound, Limits};
use propeller_wire::message::Input;

/// What no task may exceed on this proplet.
#[derive(Debug, Clone, Copy)]
pub struct Ceilings {
    /// What a task has that asks for nothing.
    pub defaults: Limits,
    /// Memory of one guest, in bytes.
    pub memory_bytes: u64,
    /// Fuel of one guest.
    pub fuel: u64,
    /// Time of one guest; daemons have no end.
    pub wall: Duration,
    /// Standard output, standard error and result, each, in bytes.
    pub output_bytes: u64,
    /// Standard output of a task that may leave it in the object store, in bytes; `None` without one.
    pub stored_output_bytes: Option<u64>,
    /// Open handles of one guest.
    pub handles: u64,
    /// The same of one that was granted what may open files or sockets: see [`open_files`].
    pub open_files: u64,
    /// Daemons at a time.
    pub daemons: u32,
}

/// A task asks for more than the proplet allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the task asks for {what} {asked}{unit}, this proplet allows at most {ceiling} ({variable})"
)]
pub struct Excess {
    what: &'static str,
    unit: &'static str,
    asked: u64,
    ceiling: u64,
    variable: &'static str,
}

/// Open handles of each guest with folders, hosts or ports, so that all of them together leave files
/// for the rest of the process: connections, compiled code, guests' processes, and whatever runs
/// beside the proplet. `files` is how many the process may have, `slots` how many tasks there are.
#[must_use]
pub fn open_files(files: u64, slots: u32) -> u64 {
    const RESERVED: u64 = 2048;
    /// Requests to services have guests of their own, all services together so many.
    const REQUESTS: u64 = 64;
    /// With fewer a guest opens next to nothing.
    const LEAST: u64 = 8;
    let guests = u64::from(slots) + REQUESTS;
    let share = (files - RESERVED.min(files / 2)) / guests;
    share.max(LEAST)
}

impl Ceilings {
    /// The limits of a task, and of a daemon also those of one request, if it answers any. A default
    /// that is above the ceiling is lowered to it: nobody asked.
    ///
    /// # Errors
    /// The first limit that the task wants above its ceiling.
    pub fn limits(&self, input: &Input) -> Result<(Limits, Option<Limits>), Excess> {
        let default = &self.defaults;
        let asked = &input.limits;
        let wall_max = u64::try_from(self.wall.as_millis()).unwrap_or(u64::MAX);
        let memory = ceiling("memory", " bytes", self.memory_bytes, "PROPLET_MAX_MEMORY");
        let fuel = ceiling("fuel", "", self.fuel, "PROPLET_MAX_FUEL");
        let wall = ceiling("wall clock", " ms", wall_max, "PROPLET_MAX_WALL");
        let output = ceiling("output", " bytes", self.output_bytes, "PROPLET_MAX_OUTPUT");
        let stored = self.stored_output_bytes.filter(|_| input.objects.is_some());
        let stdout = match stored {
            None => output(default.stdout_bytes, asked.output_bytes)?,
            Some(stored) => {
                let variable = "PROPLET_MAX_STORED_OUTPUT";
                let stdout = ceiling("output", " bytes", stored, variable);
                stdout(default.stdout_bytes, asked.output_bytes)?
            }
        };
        // The others have to fit into a message, whatever standard output may have: if that was
        // taken, what they lack is the proplet's doing and not the task's.
        let beside = |default: Bound| {
            let asked = default.or_task(asked.output_bytes);
            asked.capped(Some(self.output_bytes))
        };
        let limits = Limits {
            memory_bytes: memory(default.memory_bytes, asked.memory_bytes)?,
            fuel: fuel(default.fuel, asked.fuel)?,
            wall_ms: wall(default.wall_ms, asked.wall_ms)?,
            stack_bytes: default.stack_bytes,
            stdout_bytes: stdout,
            stderr_bytes: beside(default.stderr_bytes),
            result_bytes: beside(default.result_bytes),
            handles: default.handles.capped(Some(self.handles)),
        };
        if !input.daemon {
            return Ok((limits, None));
        }
        // What is to run until it is stopped has an end only where its owner wants one.
        let endless = |bound: Bound, asked: Option<u64>| match asked {
            Some(_) => bound,
            None => Bound {
                value: u64::MAX,
                ..bound
            },
        };
        let endless = Limits {
            fuel: endless(limits.fuel, asked.fuel),
            wall_ms: endless(limits.wall_ms, asked.wall_ms),
            ..limits
        };
        Ok((endless, Some(limits)))
    }
}

/// Lowers a default to its ceiling, and refuses what was asked for beyond it.
fn ceiling(
    what: &'static str,
    unit: &'static str,
    ceiling: u64,
    variable: &'static str,
) -> impl Fn(Bound, Option<u64>) -> Result<Bound, Excess> {
    move |default, asked| match asked {
        Some(asked) if asked > ceiling => Err(Excess {
            what,
            unit,
            asked,
            ceiling,
            variable,
        }),
        asked => Ok(default.or_task(asked).capped(Some(ceiling))),
    }
}

#[cfg(test)]
mod tests {
    use propeller_model::SetBy;
    use propeller_wire::message::{AskedLimits, InputObjects, ObjectKey};

    use super::*;

    const fn default(value: u64) -> Bound {
        let set_by = SetBy::Default;
        Bound { value, set_by }
    }

    const DEFAULTS: Limits = Limits {
        memory_bytes: default(500_000),
        fuel: default(500_000),
        wall_ms: default(500_000),
        stack_bytes: default(500_000),
        stdout_bytes: default(500_000),
        stderr_bytes: default(500_000),
        result_bytes: default(500_000),
        handles: default(500_000),
    };

    const CEILINGS: Ceilings = Ceilings {
        defaults: DEFAULTS,
        memory_bytes: 1000,
        fuel: 2000,
        wall: Duration::from_secs(3),
        output_bytes: 4000,
        stored_output_bytes: Some(9000),
        handles: 5,
        open_files: 5,
        daemons: 1,
    };

    fn input(limits: AskedLimits) -> Input {
        Input {
            limits,
            ..Input::default()
        }
    }

    #[test]
    fn what_is_asked_beyond_a_ceiling_is_refused_with_both_numbers() {
        let none = AskedLimits::default();
        for (asked, says) in [
            (
                AskedLimits {
                    memory_bytes: Some(1001),
                    ..none
                },
                "the task asks for memory 1001 bytes, this proplet allows at most 1000 (PROPLET_MAX_MEMORY)",
            ),
            (
                AskedLimits {
                    fuel: Some(u64::MAX),
                    ..none
                },
                "the task asks for fuel 18446744073709551615, this proplet allows at most 2000 (PROPLET_MAX_FUEL)",
            ),
            (
                AskedLimits {
                    wall_ms: Some(3001),
                    ..none
                },
                "the task asks for wall clock 3001 ms, this proplet allows at most 3000 (PROPLET_MAX_WALL)",
            ),
            (
                AskedLimits {
                    output_bytes: Some(4001),
                    ..none
                },
                "the task asks for output 4001 bytes, this proplet allows at most 4000 (PROPLET_MAX_OUTPUT)",
            ),
        ] {
            let excess = CEILINGS.limits(&input(asked)).unwrap_err();
            assert_eq!(excess.to_string(), says);
        }
    }

    #[test]
    fn a_default_is_lowered_and_says_who_lowered_it() {
        let (limits, none) = CEILINGS.limits(&input(AskedLimits::default())).unwrap();
        assert_eq!(none, None);
        let memory = limits.memory_bytes;
        assert_eq!((memory.value, memory.set_by), (1000, SetBy::Proplet));
        assert_eq!(limits.handles.value, 5);
        let asked = AskedLimits {
            memory_bytes: Some(1000),
            ..AskedLimits::default()
        };
        let memory = CEILINGS.limits(&input(asked)).unwrap().0.memory_bytes;
        assert_eq!((memory.value, memory.set_by), (1000, SetBy::Task));
    }

    #[test]
    fn guests_that_may_open_files_leave_some_to_the_proplet() {
        for (files, slots, each) in [
            (1_048_576, 64, 8176),
            (20_000, 64, 140),
            (20_000, 16, 224),
            (1024, 64, 8),
            (0, 1, 8),
        ] {
            assert_eq!(open_files(files, slots), each, "{files} for {slots}");
        }
    }

    #[test]
    fn a_default_of_this_proplet_is_for_those_who_ask_for_nothing() {
        let ceilings = Ceilings {
            defaults: Limits {
                fuel: Bound {
                    value: 700,
                    set_by: SetBy::Proplet,
                },
                ..DEFAULTS
            },
            ..CEILINGS
        };
        let fuel = |asked| {
            let asked = AskedLimits {
                fuel: asked,
                ..AskedLimits::default()
            };
            let (limits, _) = ceilings.limits(&input(asked)).unwrap();
            (limits.fuel.value, limits.fuel.set_by)
        };
        assert_eq!(fuel(None), (700, SetBy::Proplet));
        assert_eq!(fuel(Some(2000)), (2000, SetBy::Task));
    }

    #[test]
    fn only_standard_output_of_who_has_a_key_for_objects_is_larger_than_a_message() {
        let mut large = input(AskedLimits {
            output_bytes: Some(9000),
            ..AskedLimits::default()
        });
        assert!(CEILINGS.limits(&large).is_err());
        large.objects = Some(InputObjects {
            key: ObjectKey([1; 32]),
            stdin: None,
        });
        let (limits, _) = CEILINGS.limits(&large).unwrap();
        assert_eq!(limits.stdout_bytes.value, 9000);
        for beside in [limits.stderr_bytes, limits.result_bytes] {
            assert_eq!((beside.value, beside.set_by), (4000, SetBy::Proplet));
        }
        large.limits.output_bytes = Some(9001);
        let excess = CEILINGS.limits(&large).unwrap_err().to_string();
        assert!(
            excess.ends_with("at most 9000 (PROPLET_MAX_STORED_OUTPUT)"),
            "{excess}"
        );
    }

    #[test]
    fn a_daemon_ends_by_the_clock_only_if_its_owner_wants_it() {
        let mut daemon = Input {
            daemon: true,
            ..Input::default()
        };
        let (limits, request) = CEILINGS.limits(&daemon).unwrap();
        let request = request.unwrap();
        assert_eq!((request.fuel.value, request.wall_ms.value), (2000, 3000));
        assert_eq!(
            (limits.fuel.value, limits.wall_ms.value),
            (u64::MAX, u64::MAX)
        );
        assert_eq!(limits.memory_bytes.value, 1000);
        daemon.limits.wall_ms = Some(10);
        assert_eq!(CEILINGS.limits(&daemon).unwrap().0.wall_ms.value, 10);
    }
}
