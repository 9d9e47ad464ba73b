//! Busy guests and compilers leave the proplet its processor.

use std::fs;
use std::time::{Duration, Instant};

use propeller_sandbox::process::{AllowMissing, ProcessConfig, ProcessRuntime};
use propeller_sandbox::{Job, Metering, Runtime};

use crate::support::{CONFIG, alone, below, bound, job, line, runtime, until};

/// How much nicer than the proplet, and the nicest that there is.
const NICER: i32 = 10;
const NICEST: i32 = 19;

fn endless() -> Job {
    let mut job = job(
        r#"(module (func (export "spin") (loop $again (br $again))))"#,
        "spin",
        &[],
    );
    job.limits.fuel = bound(1 << 60);
    job
}

/// How nice a process is; `None` if it is gone.
fn nice(process: &str) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may have anything in it: state, then 15 numbers.
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(16)?.parse().ok()
}

/// Alone in its process, since it looks at everything below it.
#[tokio::test]
async fn guests_come_after_the_proplet_and_their_zygote_does_not() {
    if !alone("priority::guests_come_after_the_proplet_and_their_zygote_does_not") {
        return;
    }
    let own = nice("self").expect("this process is there");
    let runtime = runtime();
    let told = runtime.mechanisms().to_string();
    assert!(told.contains("low-priority"), "{told}");
    tokio::select! {
        end = runtime.run(endless()) => panic!("an endless guest ended: {end:?}"),
        () = until(|| {
            let all = below();
            let nice: Vec<_> = all.iter().filter_map(|id| nice(&id.to_string())).collect();
            // The launcher, the zygote, a child with the guest, and two that wait.
            nice.len() >= 5
                && nice[..2] == [own; 2]
                && nice[2..].iter().all(|nice| *nice == NICEST.min(own + NICER))
        }) => {}
    }
}

/// Alone in its process, since it looks for a process that no other test is to have.
#[tokio::test]
async fn compilers_come_after_the_proplet() {
    if !alone("priority::compilers_come_after_the_proplet") {
        return;
    }
    let own = nice("self").expect("this process is there");
    let runtime = runtime();
    tokio::select! {
        end = runtime.run(crate::compiler::endless()) => panic!("it is not compiled yet: {end:?}"),
        () = until(|| crate::compiler::compilers().iter().any(|id| {
            below().contains(id) && nice(&id.to_string()) == Some(NICEST.min(own + NICER))
        })) => {}
    }
}

/// `cargo test --release -p propeller-sandbox --test process -- --ignored --nocapture how_soon`
#[tokio::test]
#[ignore = "a measurement: run it alone, in release"]
async fn how_soon_a_stop_is_heard_among_many_busy_guests() {
    const GUESTS: usize = 60;
    let runtime = ProcessRuntime::new(ProcessConfig {
        engine: CONFIG,
        metering: Metering::Full,
        pool: 2,
        guests_max: GUESTS + 4,
        allow_missing: AllowMissing {
            landlock: true,
            namespaces: true,
        },
        program: env!("CARGO_BIN_EXE_sandbox-child").into(),
    });
    let runtime = runtime.expect("guests' processes start on this machine");
    let quick = || job(r#"(module (func (export "run")))"#, "run", &[]);
    assert_eq!(line(&runtime.run(quick()).await), "nothing");
    let mut guests: Vec<_> = (0..GUESTS).map(|_| runtime.run(endless())).collect();
    for (at, guest) in guests.iter_mut().enumerate() {
        tokio::select! {
            end = guest => panic!("an endless guest ended: {end:?}"),
            () = until(|| runtime.running() == at + 1) => {}
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    while guests.len() > GUESTS - 10 {
        let before = Instant::now();
        // As a stop that comes over a socket: the proplet has to be woken first.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let late = before.elapsed().saturating_sub(Duration::from_millis(20));
        let stopped = Instant::now();
        guests.pop();
        let left = guests.len();
        while runtime.running() > left {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("heard {late:?} late, gone after {:?}", stopped.elapsed());
    }
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(line(&runtime.run(quick()).await), "nothing");
        println!("a small task among them: {:?}", began.elapsed());
    }
}
