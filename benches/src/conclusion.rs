//! What the numbers say: ratios, and goals that were met or missed.

use serde::Serialize;

use crate::brokers::Kind;
use crate::latency::Latency;
use crate::processes::Memory;
use crate::report::{Report, ms};
use crate::throughput::Throughput;

/// Submit-to-result latency that we aim at.
const LATENCY_MS_GOAL: f64 = 3.0;
/// Durable tasks a second that we aim at, on two cores.
const TASKS_PER_SECOND_GOAL: f64 = 3000.0;
/// From the start of the process until it is ready.
const READY_MS_GOAL: f64 = 150.0;
/// Resident memory of an idle proplet, in units of 10^6 bytes.
const MEMORY_MB_GOAL: f64 = 40.0;

/// What encryption may cost.
const ENCRYPTION_GOAL: f64 = 1.1;

/// Two numbers, divided.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) what: String,
    pub(crate) ratio: f64,
}

/// What we aim at, and whether it was reached.
#[derive(Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) goal: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// What is compared.
pub(crate) fn ratios(report: &Report) -> Vec<Ratio> {
    let latency = |kind| report.latency.iter().find(|l| l.broker == kind)?.p50_ms;
    let level = |kind, in_flight| {
        let of_kind = |t: &&Throughput| t.broker == kind && t.in_flight == in_flight;
        Some(report.throughput.iter().find(of_kind)?.tasks_per_second)
    };
    let mut ratios = Vec::new();
    let mut add = |what: String, above: Option<f64>, below: Option<f64>| {
        if let (Some(above), Some(below)) = (above, below)
            && below > 0.0
        {
            let ratio = (above / below * 1000.0).round() / 1000.0;
            ratios.push(Ratio { what, ratio });
        }
    };
    add(
        "latency p50, mosquitto / embedded".to_owned(),
        latency(Kind::Mosquitto),
        latency(Kind::Embedded),
    );
    for embedded in &report.throughput {
        if embedded.broker == Kind::Embedded {
            let in_flight = embedded.in_flight;
            let what = format!("tasks/s with {in_flight} in flight, mosquitto / embedded");
            let mosquitto = level(Kind::Mosquitto, in_flight);
            add(what, mosquitto, Some(embedded.tasks_per_second));
        }
    }
    if let Some(module) = &report.module {
        let what = "run of a large module, cached / cold".to_owned();
        add(what, module.cached_ms, module.cold_ms);
    }
    ratios
}

/// What was aimed at, as far as it was measured.
pub(crate) fn goals(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    for Latency { broker, p50_ms, .. } in &report.latency {
        goals.push(Goal {
            what: format!("latency p50, {}", broker.word()),
            goal: format!("≤ {LATENCY_MS_GOAL} ms"),
            measured: ms(*p50_ms),
            met: p50_ms.is_some_and(|p50| p50 <= LATENCY_MS_GOAL),
        });
    }
    for level in &report.throughput {
        let per_second = level.tasks_per_second;
        goals.push(Goal {
            what: format!("{} in flight, {}", level.in_flight, level.broker.word()),
            goal: format!("≥ {TASKS_PER_SECOND_GOAL} tasks/s, 0 lost"),
            measured: format!("{per_second:.0} tasks/s, {} lost", level.lost),
            met: per_second >= TASKS_PER_SECOND_GOAL && level.lost == 0,
        });
    }
    if let Some(start_up) = &report.start_up {
        goals.push(Goal {
            what: "`propeller up` is ready".to_owned(),
            goal: format!("≤ {READY_MS_GOAL} ms"),
            measured: ms(start_up.p50_ms),
            met: start_up.p50_ms.is_some_and(|p50| p50 <= READY_MS_GOAL),
        });
    }
    if let Some(memory) = &report.memory {
        let measured = megabytes(*memory);
        goals.push(Goal {
            what: "idle proplet, resident".to_owned(),
            goal: format!("≤ {MEMORY_MB_GOAL} MB"),
            measured: format!("{measured:.1} MB"),
            met: measured <= MEMORY_MB_GOAL,
        });
    }
    if let Some(sealed) = &report.sealed {
        let ratios = [
            (
                "first run of 1 MB, encrypted / unencrypted",
                sealed.first.ratio(),
            ),
            (
                "later run of 1 MB, encrypted / unencrypted",
                sealed.later.ratio(),
            ),
            (
                "first run of 1 MB, unencrypted / without envelopes in the store, at most",
                sealed.plain_over_nothing(),
            ),
        ];
        goals.extend(ratios.map(|(what, ratio)| Goal {
            what: what.to_owned(),
            goal: format!("≤ {ENCRYPTION_GOAL:.2}"),
            measured: ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
            met: ratio.is_some_and(|ratio| ratio <= ENCRYPTION_GOAL),
        }));
    }
    goals
}

/// In units of 10^6 bytes.
pub(crate) fn megabytes(memory: Memory) -> f64 {
    let kib = u32::try_from(memory.resident_kib).unwrap_or(u32::MAX);
    f64::from(kib) * 1024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_megabyte_is_a_million_bytes() {
        let memory = Memory {
            resident_kib: 31_250,
        };
        assert!((megabytes(memory) - 32.0).abs() < 1e-9);
    }
}
