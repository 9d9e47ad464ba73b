//! `propeller-bench e2e`: which measurements there are, and in which order.
//!
//! Each runs on a fresh stack with an empty data directory and has a deadline, so that one that
//! hangs costs itself and not the others.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use propeller::stack::chain;

use crate::bed::Bed;
use crate::brokers::{Kind, mosquitto};
use crate::environment::Environment;
use crate::error::{BenchError, within};
use crate::report::{Report, ms};
use crate::throughput::{Level, Throughput};
use crate::{latency, module, processes, sealed, throughput};

/// Starting takes a fraction of a second.
const START_MAX: Duration = Duration::from_secs(20);
/// The longest measurement bounds itself at two minutes; this is for those that hang.
const PHASE_MAX: Duration = Duration::from_secs(180);
/// Tasks in flight, and how many tasks each level is measured with.
const LEVELS: [Level; 3] = [
    Level {
        in_flight: 64,
        tasks: 3000,
    },
    Level {
        in_flight: 512,
        tasks: 6000,
    },
    Level {
        in_flight: 2048,
        tasks: 8192,
    },
];
/// How much less `--quick` does.
const QUICK: usize = 10;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure a tenth: enough to see that it works, not to quote
    #[arg(long)]
    quick: bool,
    /// The brokers to measure
    #[arg(long, value_enum, default_value_t = Choice::Both)]
    broker: Choice,
    /// Tasks of every throughput level, instead of 3000, 6000 and 8192
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tasks: Option<u32>,
}

/// Which brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// The one inside Propeller
    Embedded,
    /// Debian's, as a child process
    Mosquitto,
    /// One after the other
    Both,
}

/// How much of everything.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) brokers: Vec<Kind>,
    pub(crate) warm_up: usize,
    pub(crate) samples: usize,
    pub(crate) levels: Vec<Level>,
    pub(crate) starts: usize,
    pub(crate) modules: usize,
    pub(crate) cached_runs: usize,
}

impl Plan {
    /// What these arguments ask for.
    pub(crate) fn of(args: &Args) -> Self {
        let brokers = match args.broker {
            Choice::Embedded => vec![Kind::Embedded],
            Choice::Mosquitto => vec![Kind::Mosquitto],
            Choice::Both => vec![Kind::Embedded, Kind::Mosquitto],
        };
        let share = if args.quick { QUICK } else { 1 };
        let asked = args.tasks.map(|tasks| usize::try_from(tasks).unwrap_or(1));
        let levels = LEVELS.map(|level| {
            let tasks = asked.unwrap_or(level.tasks / share);
            Level {
                // More clients than tasks would only open connections.
                in_flight: level.in_flight.min(tasks),
                tasks,
            }
        });
        Self {
            brokers,
            warm_up: 50 / share,
            samples: 500 / share,
            levels: levels.to_vec(),
            starts: if args.quick { 3 } else { 10 },
            modules: if args.quick { 3 } else { 10 },
            cached_runs: 5,
        }
    }
}

/// Measures everything that this machine has the means for.
pub(crate) async fn run(plan: &Plan, environment: Environment) -> Report {
    let binary = environment.binary.clone();
    let mut report = Report::new(environment);
    for kind in plan.brokers.iter().copied() {
        if kind == Kind::Mosquitto && mosquitto().is_none() {
            report.skip("mosquitto: it is not installed; apt-get install mosquitto");
        } else {
            Box::pin(of_broker(kind, plan, &mut report)).await;
        }
    }
    match binary {
        Some(binary) => Box::pin(of_binary(&binary, plan, &mut report)).await,
        None => report.skip(
            "start-up and idle memory: there is no propeller binary beside this program; \
             cargo build --release -p propeller, or set PROPELLER_BIN",
        ),
    }
    progress("a module of 527 KB");
    let measured = on_bed(Kind::Embedded, async |bed| module::measure(bed, plan).await);
    report.module = note(&mut report, "module", Box::pin(measured).await);
    progress("a module of 1 MB, sealed and plain");
    let beds = Bed::with_plain(Kind::Embedded);
    let measured = on(beds, async |bed| sealed::measure(bed, plan).await);
    report.sealed = note(&mut report, "sealed and plain", Box::pin(measured).await);
    report.conclude();
    report
}

async fn of_broker(kind: Kind, plan: &Plan, report: &mut Report) {
    let name = kind.word();
    progress(&format!("{name}: latency of {} tasks", plan.samples));
    let measured = on_bed(kind, async |bed| latency::measure(bed, kind, plan).await);
    let measured = note(
        report,
        &format!("{name}, latency"),
        Box::pin(measured).await,
    );
    if let Some(latency) = measured {
        progress(&format!("  p50 {}", ms(latency.p50_ms)));
        report.latency.push(latency);
    }
    for level in plan.levels.iter().copied() {
        let Level { in_flight, tasks } = level;
        progress(&format!("{name}: {tasks} tasks, {in_flight} in flight"));
        let measured = on_bed(kind, async |bed| {
            throughput::measure(bed, kind, level).await
        });
        let phase = format!("{name}, {in_flight} in flight");
        let measured = note(report, &phase, Box::pin(measured).await);
        if let Some(throughput) = measured {
            progress(&format!("  {:.0} tasks/s", throughput.tasks_per_second));
            note_loss(report, &phase, &throughput);
            report.throughput.push(throughput);
        }
    }
}

async fn of_binary(binary: &Path, plan: &Plan, report: &mut Report) {
    progress(&format!("start-up, {} times", plan.starts));
    let measured = within(
        PHASE_MAX,
        Box::pin(processes::start_up(binary, plan.starts)),
    )
    .await;
    report.start_up = note(report, "start-up", measured);
    progress("memory of an idle proplet");
    let measured = Box::pin(idle_memory(binary)).await;
    report.memory = note(report, "idle memory", measured);
}

async fn idle_memory(binary: &Path) -> Result<processes::Memory, BenchError> {
    let bed = within(START_MAX, Box::pin(Bed::without_proplet(Kind::Embedded))).await?;
    let measured = within(START_MAX, Box::pin(processes::idle_proplet(&bed, binary))).await;
    Box::pin(bed.stop()).await;
    measured
}

/// Measures on a fresh stack with one proplet.
async fn on_bed<T>(
    kind: Kind,
    measure: impl AsyncFnOnce(&Bed) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    on(Bed::start(kind), measure).await
}

/// Measures on a fresh stack.
async fn on<T>(
    start: impl Future<Output = Result<Bed, BenchError>>,
    measure: impl AsyncFnOnce(&Bed) -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let bed = within(START_MAX, Box::pin(start)).await?;
    let measured = within(PHASE_MAX, Box::pin(measure(&bed))).await;
    Box::pin(bed.stop()).await;
    measured
}

/// Keeps why there is no measurement.
fn note<T>(report: &mut Report, phase: &str, measured: Result<T, BenchError>) -> Option<T> {
    match measured {
        Ok(measured) => Some(measured),
        Err(error) => {
            let failure = format!("{phase}: {}", chain(&error));
            progress(&format!("  failed: {failure}"));
            report.failures.push(failure);
            None
        }
    }
}

fn note_loss(report: &mut Report, phase: &str, throughput: &Throughput) {
    let Throughput { lost, error, .. } = throughput;
    if *lost > 0 {
        let first = error.as_deref().unwrap_or("nobody knows why");
        let failure = format!("{phase}: {lost} tasks lost; first: {first}");
        report.failures.push(failure);
    }
}

fn progress(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(quick: bool, tasks: Option<u32>, expected: [(usize, usize); 3]) {
        let args = Args {
            json: false,
            quick,
            broker: Choice::Both,
            tasks,
        };
        let levels = Plan::of(&args).levels;
        let levels: Vec<_> = levels.iter().map(|l| (l.in_flight, l.tasks)).collect();
        assert_eq!(levels, expected);
    }

    #[test]
    fn by_default_every_level_is_measured_in_full() {
        check(false, None, [(64, 3000), (512, 6000), (2048, 8192)]);
    }

    #[test]
    fn a_quick_run_measures_a_tenth() {
        check(true, None, [(64, 300), (512, 600), (819, 819)]);
    }

    #[test]
    fn there_are_never_more_clients_than_tasks() {
        check(false, Some(64), [(64, 64), (64, 64), (64, 64)]);
    }
}
