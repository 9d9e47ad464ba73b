//! What runs until it is stopped may compute for as long as that takes.

use std::cell::RefCell;
use std::fs;
use std::time::Duration;

use propeller_model::{Bound, Limits, SetBy};
use propeller_sandbox::{Job, RunError, Runtime};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{alone, below, bound, job, line, runtime, until};

/// What a proplet gives a daemon whose owner wants no end: no time and no fuel runs out.
const ENDLESS: Bound = Bound {
    value: u64::MAX,
    set_by: SetBy::Default,
};

/// Computes for ever.
fn spin() -> Job {
    let text = r#"(module (func (export "spin") (loop $again (br $again))))"#;
    let mut job = job(text, "spin", &[]);
    job.limits.fuel = ENDLESS;
    job.limits.wall_ms = ENDLESS;
    job
}

fn daemon() -> Job {
    Job {
        daemon: Some(Limits::default()),
        ..spin()
    }
}

fn with_time(wall_ms: u64) -> Job {
    let mut job = spin();
    job.limits.wall_ms = bound(wall_ms);
    job
}

/// The process below this one that has closed the last of its locks, after which it may write no file.
fn guest() -> Option<u32> {
    let locked = |process: &u32| of(*process, "Max file size") == Some("0".to_owned());
    below().into_iter().find(locked)
}

/// A limit of a process, as the kernel has it; `None` if the process is gone.
fn of(process: u32, limit: &str) -> Option<String> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(limit))?;
    Some(line.split_whitespace().next()?.to_owned())
}

/// What the kernel has as the limit of processor time of a guest that runs `job`.
async fn cpu_seconds_max(runtime: &dyn Runtime, job: Job) -> Option<String> {
    let found = RefCell::new(None);
    tokio::select! {
        end = runtime.run(job) => panic!("an endless guest ended: {end:?}"),
        () = until(|| {
            *found.borrow_mut() = guest().and_then(|guest| of(guest, "Max cpu time"));
            found.borrow().is_some()
        }) => {}
    }
    found.into_inner()
}

/// Alone in its process, since it looks at everything below it.
#[tokio::test]
async fn a_daemon_may_compute_for_ever_and_other_guests_a_little_longer_than_their_time() {
    if !alone(
        "daemons::a_daemon_may_compute_for_ever_and_other_guests_a_little_longer_than_their_time",
    ) {
        return;
    }
    let runtime = runtime();
    for (job, expected) in [
        (daemon(), "unlimited"),
        (with_time(60_000), "65"),
        // As much as the kernel can count, and a second more.
        (with_time(999_999_995_000), "1000000000"),
        (with_time(999_999_995_001), "unlimited"),
        (with_time(u64::MAX), "unlimited"),
    ] {
        let wall_ms = job.limits.wall_ms.value;
        let found = cpu_seconds_max(&runtime, job).await;
        assert_eq!(found.as_deref(), Some(expected), "{wall_ms} ms");
        until(|| guest().is_none()).await;
    }
}

/// Alone in its process, since it kills what it finds below it.
#[tokio::test]
async fn who_kills_a_guest_from_outside_is_looked_for_in_the_machine() {
    if !alone("daemons::who_kills_a_guest_from_outside_is_looked_for_in_the_machine") {
        return;
    }
    let runtime = runtime();
    for (job, sets) in [(daemon(), "none"), (with_time(60_000), "65 s")] {
        let (end, ()) = tokio::join!(runtime.run(job), async {
            until(|| guest().is_some()).await;
            let guest = guest().expect("it is there").cast_signed();
            let guest = Pid::from_raw(guest).expect("a process id");
            kill_process(guest, Signal::KILL).expect("a guest's process may be killed");
        });
        assert!(matches!(end, Err(RunError::Killed { .. })), "{end:?}");
        let told = line(&end);
        assert!(told.contains("(SIGKILL)"), "{told}");
        assert!(
            told.contains(&format!("this proplet sets {sets})")),
            "{told}"
        );
    }
}

/// How long a process has computed; `None` if it is gone.
fn computed(process: u32) -> Option<Duration> {
    /// What Linux tells programs such times in, on every machine.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may have anything in it; its own time and the kernel's for it.
    let (_, after) = stat.rsplit_once(") ")?;
    let ticks = after.split(' ').skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

#[tokio::test]
#[ignore = "takes 7 seconds of a processor: cargo xtask soak"]
async fn soak_a_daemon_computes_for_longer_than_any_slack() {
    const LONG: Duration = Duration::from_secs(7);
    let runtime = runtime();
    let long = async {
        while guest().and_then(computed).is_none_or(|time| time < LONG) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        end = runtime.run(daemon()) => panic!("it ended: {}", line(&end)),
        () = long => {}
    }
}
