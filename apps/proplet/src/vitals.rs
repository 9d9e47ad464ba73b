//! What the proplet can say about its machine and its process, from `/proc`.

use procfs::process::Process;
use procfs::{Current, Meminfo, WithCurrentSystemInfo};
use propeller_wire::message::{About, Vitals};

use crate::config::{Config, Words};

/// What the proplet is.
pub(crate) fn about(config: &Config) -> About {
    let Words {
        description,
        tags,
        location,
    } = config.about.clone();
    let external = config.external.as_ref().and_then(|external| {
        let name = external.program.file_name()?;
        Some(format!("{}-external", name.display()))
    });
    About {
        description,
        tags,
        location,
        os: std::env::consts::OS.to_owned(),
        hostname: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map(|name| name.trim().to_owned())
            .unwrap_or_default(),
        cpu_arch: std::env::consts::ARCH.to_owned(),
        total_memory_bytes: Meminfo::current().map_or(0, |info| info.mem_total),
        proplet_version: env!("CARGO_PKG_VERSION").to_owned(),
        wasm_runtime: external.unwrap_or_else(|| config.engine.runtime_name().to_owned()),
    }
}

/// How the process is doing; zeros where `/proc` does not say.
pub(crate) fn vitals() -> Vitals {
    let Ok(stat) = Process::myself().and_then(|process| process.stat()) else {
        return Vitals::default();
    };
    let ms = |ticks: u64| ticks.saturating_mul(1000) / procfs::ticks_per_second().max(1);
    Vitals {
        cpu_user_ms: ms(stat.utime),
        cpu_system_ms: ms(stat.stime),
        rss_bytes: stat.rss_bytes().get(),
    }
}
