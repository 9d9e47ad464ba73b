//! What a process for each guest adds to a task, and what an idle one weighs.

use std::time::{Duration, Instant};

use propeller_sandbox::process::{AllowMissing, ProcessConfig, ProcessRuntime};
use propeller_sandbox::{Allocator, Job, Runtime, WasmtimeRuntime};
use tokio::runtime::Builder;

use crate::bare::Kind;
use crate::guests::{again, config, job};
use crate::report::{Goal, section};
use crate::samples::{median, us};

const ROUNDS: usize = 500;
/// Between tasks, so that the pool fills up meanwhile: this measures a warm pool.
const PAUSE: Duration = Duration::from_millis(5);
/// Children that wait.
const POOL: usize = 4;
/// What a process may add to the median.
const ADDED_MAX: Duration = Duration::from_millis(1);

/// Measures and prints.
pub(crate) fn measure(goals: &mut Vec<Goal>) -> Result<(), String> {
    let processes = ProcessRuntime::new(ProcessConfig {
        engine: config(2, Allocator::OnDemand),
        metering: propeller_sandbox::Metering::Full,
        pool: POOL,
        guests_max: 16,
        allow_missing: AllowMissing {
            landlock: true,
            namespaces: true,
        },
        program: env!("CARGO_BIN_EXE_sandbox-child").into(),
    });
    let processes = processes.map_err(|error| error.to_string())?;
    let allocator = Allocator::Pooling { guests_max: 64 };
    let threads = WasmtimeRuntime::new(config(2, allocator)).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for (kind, entry, args) in [
        (Kind::Core, "add", &["2", "40"][..]),
        (Kind::Memory, "add", &["2", "40"]),
        (Kind::Wasi, "_start", &[]),
        (Kind::Component, "greet", &[r#""Ada""#]),
    ] {
        let job = job(&kind.wasm(), entry, args);
        let [within, apart] = in_pairs([&threads, &processes], &job)?;
        let at = |times: &[Duration], percent: usize| times[ROUNDS * percent / 100];
        let added = at(&apart, 50).saturating_sub(at(&within, 50));
        let mut row = vec![kind.name().to_owned()];
        row.extend([at(&within, 50), at(&apart, 50), at(&apart, 95), added].map(us));
        rows.push(row);
        goals.push(Goal {
            what: format!("a process of its own, {}, added to p50", kind.name()),
            goal: "≤ 1 ms",
            measured: us(added),
            met: added <= ADDED_MAX,
        });
    }
    let head = [
        "guest",
        "in-process p50",
        "process p50",
        "process p95",
        "added to p50",
    ];
    section("Isolation by process, warm pool", &head, &rows);
    weigh();
    Ok(())
}

/// Times of jobs in both ways, in order.
fn in_pairs(runtimes: [&dyn Runtime; 2], job: &Job) -> Result<[Vec<Duration>; 2], String> {
    let caller = Builder::new_current_thread().enable_time().build();
    let caller = caller.map_err(|error| error.to_string())?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS + ROUNDS / 10 {
        for (runtime, times) in runtimes.iter().zip(&mut times) {
            let job = again(job);
            let begun = Instant::now();
            let end = caller.block_on(runtime.run(job));
            let took = begun.elapsed();
            end.map_err(|error| error.to_string())?;
            if round >= ROUNDS / 10 {
                times.push(took);
            }
            std::thread::sleep(PAUSE);
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    Ok(times)
}

/// The weight of the children that wait: the last generation below this process.
fn weigh() {
    let all = below();
    let parents: Vec<u32> = all.iter().map(|(_, parent)| *parent).collect();
    let idle: Vec<u32> = all
        .iter()
        .map(|(pid, _)| *pid)
        .filter(|pid| !parents.contains(pid))
        .collect();
    let of = |line: &str| {
        let kib = idle.iter().filter_map(|pid| memory(*pid, line));
        median(kib.map(Duration::from_micros).collect()).as_micros()
    };
    let rows = [
        ("children that wait", idle.len().to_string()),
        ("resident", format!("{} KiB", of("Rss:"))),
        (
            "share of what is resident (PSS)",
            format!("{} KiB", of("Pss:")),
        ),
        ("private", format!("{} KiB", of("Private_Dirty:"))),
    ];
    let rows = rows.map(|(what, value)| vec![what.to_owned(), value]);
    section("An idle child, medians", &["what", "value"], &rows);
}

/// One line of /proc/PID/smaps_rollup, in KiB.
fn memory(pid: u32, line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(line))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Every process below this one, with its parent.
fn below() -> Vec<(u32, u32)> {
    let mut found = children(std::process::id());
    let mut at = 0;
    while at < found.len() {
        found.extend(children(found[at].0));
        at += 1;
    }
    found
}

fn children(parent: u32) -> Vec<(u32, u32)> {
    let Ok(all) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let line = format!("PPid:\t{parent}");
    pids.filter(|pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| status.lines().any(|l| l == line))
    })
    .map(|pid| (pid, parent))
    .collect()
}
