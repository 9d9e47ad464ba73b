//! The settings of the engine that runs guests.

use propeller_sandbox::{Allocator, EngineConfig, Metering};
use propeller_settings::Settings;

use crate::engine::Engine;
use crate::isolation::{AllowMissing, Isolation};

/// Modules that are kept compiled. Each is at least a page of code.
const CODE_CACHE_ENTRIES_MAX: usize = 1024;
/// The guest's stack: the default of the limits, which is also the ceiling.
const STACK_BYTES: u64 = 1024 * 1024;

/// What the settings say about it.
pub(super) fn read(settings: &mut Settings) -> EngineConfig {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match settings.number("threads", 0, 1024) {
        0 => cores,
        threads => usize::try_from(threads).unwrap_or(cores),
    };
    EngineConfig {
        stack_bytes_max: STACK_BYTES,
        module_bytes_max: settings.bytes("max_module"),
        compile_max: settings.duration("max_compile"),
        compile_memory_bytes_max: settings.bytes("max_compile_memory"),
        cache_bytes_max: settings.bytes("code_cache"),
        cache_entries_max: CODE_CACHE_ENTRIES_MAX,
        cache_ttl: settings.duration("code_cache_ttl"),
        threads,
        allocator: allocator(settings),
    }
}

fn allocator(settings: &mut Settings) -> Allocator {
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
