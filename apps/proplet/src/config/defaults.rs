//! What guests may use whose tasks ask for nothing.

use propeller_model::{Bound, Limits, SetBy};
use propeller_settings::Settings;

/// The defaults of this proplet. One that is above its ceiling can never hold, and is refused;
/// where nobody has set it, it is lowered.
pub(super) fn read(settings: &mut Settings) -> Limits {
    let shipped = Limits::default();
    let s = settings;
    let memory_bytes = s.bytes("default_memory");
    let memory_max = s.bytes("max_memory");
    let memory_bytes = within(
        s,
        "default_memory",
        memory_bytes,
        ("PROPLET_MAX_MEMORY", memory_max),
    );
    let fuel = s.number("default_fuel", 1, u64::MAX);
    let fuel_max = s.number("max_fuel", 1, u64::MAX);
    let fuel = within(s, "default_fuel", fuel, ("PROPLET_MAX_FUEL", fuel_max));
    let millis =
        |s: &mut Settings, name| u64::try_from(s.duration(name).as_millis()).unwrap_or(u64::MAX);
    let (wall_ms, wall_max) = (millis(s, "default_wall"), millis(s, "max_wall"));
    let wall_ms = within(s, "default_wall", wall_ms, ("PROPLET_MAX_WALL", wall_max));
    let output = s.bytes("default_output");
    let output_max = s.bytes("max_output");
    let output = within(
        s,
        "default_output",
        output,
        ("PROPLET_MAX_OUTPUT", output_max),
    );
    // The same for all: its bounds are the engine's.
    let stack = s.bytes("max_stack");
    let stack_bytes = set(s, "max_stack", stack);
    Limits {
        memory_bytes,
        fuel,
        wall_ms,
        stack_bytes,
        stdout_bytes: output,
        stderr_bytes: output,
        result_bytes: output,
        ..shipped
    }
}

/// A default and who has set it.
fn within(
    settings: &mut Settings,
    name: &'static str,
    value: u64,
    (variable, ceiling): (&str, u64),
) -> Bound {
    if settings.is_set(name) && (value == 0 || value > ceiling) {
        settings.invalid(
            name,
            format!("more than 0, and at most what {variable} allows"),
        );
    }
    set(settings, name, value)
}

/// A value and who has set it.
fn set(settings: &Settings, name: &'static str, value: u64) -> Bound {
    let set_by = match settings.is_set(name) {
        true => SetBy::Proplet,
        false => SetBy::Default,
    };
    Bound { value, set_by }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::images::tests::configured;

    fn defaults(flags: &[(&str, &str)]) -> Result<Limits, String> {
        configured(flags).map(|config| config.ceilings.defaults)
    }

    #[test]
    fn an_operator_chooses_what_tasks_have_that_ask_for_nothing() {
        assert_eq!(defaults(&[]).unwrap(), Limits::default());
        let chosen = defaults(&[
            ("default_memory", "64MiB"),
            ("default_wall", "2s"),
            ("default_output", "1KiB"),
        ]);
        let chosen = chosen.unwrap();
        let memory = chosen.memory_bytes;
        assert_eq!((memory.value, memory.set_by), (64 << 20, SetBy::Proplet));
        let (wall, output) = (chosen.wall_ms.value, chosen.stderr_bytes.value);
        assert_eq!((wall, output), (2_000, 1_024));
        assert_eq!(chosen.fuel, Limits::default().fuel);
        // For engines of others too, which are told.
        let stack = defaults(&[("max_stack", "2MiB")]).unwrap().stack_bytes;
        assert_eq!((stack.value, stack.set_by), (2 << 20, SetBy::Proplet));
    }

    #[test]
    fn a_default_above_its_ceiling_is_refused_where_somebody_has_set_it() {
        let refused = defaults(&[("default_fuel", "10"), ("max_fuel", "9")]).unwrap_err();
        let why = "at most what PROPLET_MAX_FUEL allows";
        assert!(refused.contains(why), "{refused}");
        assert!(defaults(&[("default_wall", "0s")]).is_err());
        assert!(defaults(&[("max_fuel", "9")]).is_ok());
    }
}
