//! The settings of the engine that runs guests.

use std::ops::RangeInclusive;

use propeller_sandbox::{Allocator, EngineConfig, Metering};
use propeller_settings::Settings;

use super::ceilings;
use crate::engine::Engine;
use crate::isolation::{AllowMissing, Isolation};

/// Modules that are kept compiled. Each is at least a page of code.
const CODE_CACHE_ENTRIES_MAX: usize = 1024;
/// What the stack of guests may be. Less is not enough for a program's first calls; more has no place
/// in what a guest's process may have beside its memory.
const STACK_BYTES: RangeInclusive<u64> = 64 * 1024..=16 * 1024 * 1024;

/// What the shortest module has: the header.
const MODULE_BYTES_MIN: u64 = 8;
/// What a compiler needs for a small module, and some: its own tables, and the stacks of its threads.
const COMPILE_MEMORY_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// What the settings say about it.
pub(super) fn read(settings: &mut Settings, engine: Engine) -> EngineConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match settings.number("threads", 0, 1024) {
        0 => cores,
        threads => usize::try_from(threads).unwrap_or(cores),
    };
    EngineConfig {
        stack_bytes_max: stack(settings),
        module_bytes_max: module(settings),
        compile_max: ceilings::time(settings, "max_compile"),
        compile_memory_bytes_max: compile_memory(settings),
        cache_bytes_max: settings.bytes("code_cache"),
        cache_entries_max: CODE_CACHE_ENTRIES_MAX,
        cache_ttl: settings.duration("code_cache_ttl"),
        threads,
        allocator: allocator(settings, engine),
    }
}

fn stack(settings: &mut Settings) -> u64 {
    let bytes = settings.bytes("max_stack");
    if !STACK_BYTES.contains(&bytes) {
        settings.invalid("max_stack", "from 64KiB to 16MiB".to_owned());
    }
    bytes
}

fn module(settings: &mut Settings) -> u64 {
    let bytes = settings.bytes("max_module");
    if bytes < MODULE_BYTES_MIN {
        let why = "at least 8, which the shortest module has";
        settings.invalid("max_module", why.to_owned());
    }
    bytes
}

fn compile_memory(settings: &mut Settings) -> u64 {
    let bytes = settings.bytes("max_compile_memory");
    if bytes < COMPILE_MEMORY_BYTES_MIN {
        settings.invalid("max_compile_memory", "at least 64MiB".to_owned());
    }
    bytes
}

fn allocator(settings: &mut Settings, engine: Engine) -> Allocator {
    if settings.is_set("allocator") && engine == Engine::Interpreter {
        let why = "the interpreter has its own: unset this, or PROPLET_ENGINE";
        settings.invalid("allocator", why.to_owned());
    }
    let guests_max = u32::try_from(settings.number("max_tasks", 1, 4096)).unwrap_or(1);
    match settings.text("allocator") {
        Some("pooling") | None => Allocator::Pooling { guests_max },
        Some("on-demand") => Allocator::OnDemand,
        Some(_) => {
            settings.invalid("allocator", "write `pooling` or `on-demand`".to_owned());
            Allocator::OnDemand
        }
    }
}

/// Where guests run, and what their code checks there; the same for guests whose module only a TEE
/// may open, `None` if they run nowhere.
pub(super) fn isolation(settings: &mut Settings, engine: Engine) -> (Isolation, Option<Isolation>) {
    let pool = settings.number("isolation_pool", 1, 256);
    let allow_missing = settings.parse("isolation_allow_missing", str::parse::<AllowMissing>);
    let metering = metering(settings);
    let in_process = |settings: &mut Settings| {
        if metering == Metering::Time {
            let why = "`time` needs PROPLET_ISOLATION=process: a guest that checks nothing can \
                       only be stopped together with its process";
            settings.invalid("metering", why.to_owned());
        }
        Isolation::InProcess
    };
    let process = Isolation::Process {
        pool: usize::try_from(pool).unwrap_or(1),
        allow_missing: allow_missing.unwrap_or_default(),
        metering,
    };
    let isolation = match settings.text("isolation") {
        Some("auto") | None => {
            let attested = (engine == Engine::Wasmtime).then_some(process);
            return (in_process(settings), attested);
        }
        Some("process") if engine == Engine::Interpreter => {
            let why = "`process` needs the engine wasmtime; with the engine interpreter, write `in-process`";
            settings.invalid("isolation", why.to_owned());
            Isolation::InProcess
        }
        Some("process") => process,
        Some("in-process") => in_process(settings),
        Some(_) => {
            let why = "write `auto`, `in-process` or `process`";
            settings.invalid("isolation", why.to_owned());
            Isolation::InProcess
        }
    };
    (isolation, Some(isolation))
}

fn metering(settings: &mut Settings) -> Metering {
    match settings.text("metering") {
        Some("full") | None => Metering::Full,
        Some("time") => Metering::Time,
        Some(_) => {
            settings.invalid("metering", "write `full` or `time`".to_owned());
            Metering::Full
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::images::tests::configured;

    #[cfg(all(target_os = "linux", feature = "wasmtime", feature = "interpreter"))]
    #[test]
    fn an_engine_that_runs_nothing_and_what_is_for_another_one_are_refused() {
        let external = ("external_wasm_runtime", "/bin/sh");
        let template = ("external_wasm_runtime_args", "{module}");
        let interpreter = ("engine", "interpreter");
        let pool = ("allocator", "pooling");
        for (set, why) in [
            (
                &[external, template, interpreter][..],
                "unset this, or PROPLET_ENGINE=interpreter",
            ),
            (
                &[external, template, pool],
                "unset this, or PROPLET_EXTERNAL_WASM_RUNTIME",
            ),
            (&[interpreter, pool], "unset this, or PROPLET_ENGINE"),
        ] {
            let said = configured(set).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        for set in [&[external, template][..], &[interpreter], &[pool]] {
            let said = configured(set).err();
            assert_eq!(said, None, "{set:?}");
        }
    }

    #[test]
    fn an_operator_chooses_how_much_stack_guests_have() {
        let stack = |value: &str| {
            let config = configured(&[("max_stack", value)]);
            config.map(|config| config.sandbox.stack_bytes_max)
        };
        assert_eq!(stack("8MiB").unwrap(), 8 << 20);
        for value in ["63KiB", "17MiB", "0"] {
            let refused = stack(value).unwrap_err();
            assert!(refused.contains("from 64KiB to 16MiB"), "{refused}");
        }
    }
}
