//! The settings of the engine that runs guests.

use propeller_sandbox::{Allocator, EngineConfig};
use propeller_settings::Settings;

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
