//! Our port beside bare Wasmtime.
//!
//! *Bare* calls Wasmtime on the thread that wants the result. *Hop* does so on a thread for guests
//! and comes back, which is what the port has to do for a caller elsewhere, so that a guest that
//! computes keeps nobody waiting. *Port* is called from elsewhere, *port, there* from the threads
//! for guests, as a proplet does: the difference between it and bare, or between port and hop, is
//! what limits, metering and accounts cost.

use std::array;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use propeller_sandbox::{Allocator, Job, Runtime as _, Status, WasmtimeRuntime};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet};

use crate::accounted::Accounted;
use crate::bare::{Bare, Kind};
use crate::guests::{again, config, job};
use crate::report::{Goal, section};
use crate::samples::{in_turns, per_second, ratio, us};

/// How often each is measured, and how many tasks each time.
const ROUNDS: usize = 15;
const TASKS: usize = 2_000;
/// Threads that run guests.
const THREADS: usize = 2;
/// Tasks under way at a time, where there are many.
const IN_FLIGHT: usize = 64;
/// Jobs that a caller on the threads for guests has at hand.
const AT_A_TIME: usize = 4;
/// Where guests live.
const ALLOCATORS: [Allocator; 2] = [Allocator::OnDemand, Allocator::Pooling { guests_max: 64 }];
/// What the port may cost.
const GOAL: f64 = 1.1;

/// Everything that one kind of guest is run by, with one allocator.
struct Bed {
    bare: Arc<Bare>,
    guests: Runtime,
    port: Arc<WasmtimeRuntime>,
    job: Job,
    caller: Runtime,
}

/// Measures and prints.
pub(crate) fn measure(goals: &mut Vec<Goal>) -> Result<(), String> {
    let (mut alone, mut many) = (Vec::new(), Vec::new());
    for allocator in ALLOCATORS {
        for kind in Kind::ALL {
            let bed = Bed::new(kind, allocator)?;
            let times = in_turns(ROUNDS, |way| bed.one_at_a_time(way));
            alone.push(row(kind, allocator, times.map(us), times));
            let times = in_turns(ROUNDS, |way| bed.many_at_a_time(way));
            let rates = times.map(|each| format!("{:.0}", per_second(each)));
            many.push(row(kind, allocator, rates, times));
            let [bare, hop, port, there] = times;
            for (what, over) in [
                ("port / hop", ratio(port, hop)),
                ("port, there / bare", ratio(there, bare)),
            ] {
                goals.push(Goal {
                    what: format!("{what}, {}, {}", kind.name(), name(allocator)),
                    goal: "≤ 1.10 times the time of a task",
                    measured: format!("{over:.2}"),
                    met: over <= GOAL,
                });
            }
        }
    }
    let head = [
        "guest",
        "allocator",
        "bare",
        "hop",
        "port",
        "port, there",
        "port / hop",
        "port, there / bare",
    ];
    section("One task at a time, medians", &head, &alone);
    let title = format!("Tasks per second on {THREADS} threads, medians");
    section(&title, &head, &many);
    floor()
}

/// What is left of the goal for a function that does next to nothing, once there is an account.
fn floor() -> Result<(), String> {
    let kind = Kind::Core;
    let args = ["2", "40"].map(ToOwned::to_owned);
    let mut rows = Vec::new();
    for allocator in ALLOCATORS {
        let bed = Bed::new(kind, allocator)?;
        let accounted =
            Accounted::new(&kind.wasm(), allocator).map_err(|error| error.to_string())?;
        let times = in_turns(ROUNDS, |way| match way {
            0 => bed.one_at_a_time(0),
            1 => {
                let begun = Instant::now();
                let calls = accounted.times(TASKS, "add", &args);
                bed.caller.block_on(calls);
                begun.elapsed() / count()
            }
            _ => bed.one_at_a_time(3),
        });
        let [bare, accounted, there] = times;
        let mut row = vec![name(allocator).to_owned()];
        row.extend(times.map(us));
        row.extend([accounted, there].map(|one| format!("{:.2}", ratio(one, bare))));
        rows.push(row);
    }
    let head = [
        "allocator",
        "bare",
        "bare, with an account",
        "port, there",
        "account / bare",
        "port, there / bare",
    ];
    let title = "A function that only adds, and an account of it, one at a time, medians";
    section(title, &head, &rows);
    Ok(())
}

fn name(allocator: Allocator) -> &'static str {
    match allocator {
        Allocator::OnDemand => "on demand",
        Allocator::Pooling { .. } => "pooling",
    }
}

fn row(kind: Kind, allocator: Allocator, values: [String; 4], times: [Duration; 4]) -> Vec<String> {
    let [bare, hop, port, there] = times;
    let mut row = vec![kind.name().to_owned(), name(allocator).to_owned()];
    row.extend(values);
    row.extend([ratio(port, hop), ratio(there, bare)].map(|ratio| format!("{ratio:.2}")));
    row
}

impl Bed {
    fn new(kind: Kind, allocator: Allocator) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| format!("{}: {error}", kind.name());
        let bare = Bare::new(kind, allocator).map_err(|error| text(&error))?;
        let port =
            WasmtimeRuntime::new(config(THREADS, allocator)).map_err(|error| text(&error))?;
        let (entry, args): (_, &[&str]) = match kind {
            Kind::Core | Kind::Memory => ("add", &["2", "40"]),
            Kind::Wasi => ("_start", &[]),
            Kind::Component => ("greet", &[r#""Ada""#]),
        };
        let guests = Builder::new_multi_thread().worker_threads(THREADS).build();
        let caller = Builder::new_current_thread().build();
        let bed = Self {
            bare: Arc::new(bare),
            guests: guests.map_err(|error| text(&error))?,
            port: Arc::new(port),
            job: job(&kind.wasm(), entry, args),
            caller: caller.map_err(|error| text(&error))?,
        };
        let exit = bed.caller.block_on(bed.port.run(again(&bed.job)));
        let exit = exit.map_err(|error| text(&error))?;
        match matches!(exit.status, Status::Returned | Status::Exited(0)) {
            true => Ok(bed),
            false => Err(format!("{} ended with {:?}", kind.name(), exit.status)),
        }
    }

    /// The time of one task where each waits for the one before.
    fn one_at_a_time(&self, way: usize) -> Duration {
        if way == 3 {
            return self.there(1);
        }
        let jobs = self.jobs(way);
        let begun = Instant::now();
        self.caller.block_on(async {
            match way {
                0 => {
                    for _ in 0..TASKS {
                        self.bare.run().await.expect("the guest runs");
                    }
                }
                1 => {
                    for _ in 0..TASKS {
                        hop(&self.bare, self.guests.handle()).await;
                    }
                }
                _ => {
                    for job in jobs {
                        black_box(self.port.run(job).await.expect("the guest runs"));
                    }
                }
            }
        });
        begun.elapsed() / count()
    }

    /// The time of one task where there are enough for all threads.
    fn many_at_a_time(&self, way: usize) -> Duration {
        match way {
            0 => self.on_threads(),
            1 => self.in_flight((0..TASKS).map(|_| {
                let (bare, guests) = (Arc::clone(&self.bare), self.guests.handle().clone());
                async move { hop(&bare, &guests).await }
            })),
            2 => self.in_flight(self.jobs(way).into_iter().map(|job| {
                let port = Arc::clone(&self.port);
                async move {
                    black_box(port.run(job).await.expect("the guest runs"));
                }
            })),
            _ => self.there(THREADS),
        }
    }

    /// So many callers on the port's own threads, each of which makes its share of the jobs there, a
    /// few at a time, as a proplet does that has just decoded them. What that takes is not the port's.
    fn there(&self, callers: usize) -> Duration {
        let threads = self.port.threads().expect("the port has threads");
        let ready = Arc::new(Barrier::new(callers + 1));
        let mut under_way = JoinSet::new();
        for _ in 0..callers {
            let (port, job, ready) = (Arc::clone(&self.port), again(&self.job), Arc::clone(&ready));
            let call = async move {
                // It holds its thread, so that the others begin on others.
                ready.wait();
                let mut making = Duration::ZERO;
                for _ in 0..TASKS / callers / AT_A_TIME {
                    let begun = Instant::now();
                    let jobs: [Job; AT_A_TIME] = array::from_fn(|_| again(&job));
                    making += begun.elapsed();
                    for job in jobs {
                        black_box(port.run(job).await.expect("the guest runs"));
                    }
                }
                making
            };
            under_way.spawn_on(call, threads);
        }
        self.caller.block_on(async {
            ready.wait();
            let begun = Instant::now();
            let mut making = Duration::ZERO;
            while let Some(made) = under_way.join_next().await {
                making = making.max(made.expect("no task panics"));
            }
            begun.elapsed().saturating_sub(making) / count()
        })
    }

    /// Every thread takes the next task until there is none.
    fn on_threads(&self) -> Duration {
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let runtime = Builder::new_current_thread().build();
                    let runtime = runtime.expect("a thread has a runtime");
                    runtime.block_on(async {
                        while next.fetch_add(1, Ordering::Relaxed) < TASKS {
                            self.bare.run().await.expect("the guest runs");
                        }
                    });
                });
            }
        });
        begun.elapsed() / count()
    }

    /// One thread hands out tasks, a bounded number at a time.
    fn in_flight(
        &self,
        mut tasks: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>,
    ) -> Duration {
        let begun = Instant::now();
        self.caller.block_on(async {
            let mut under_way = JoinSet::new();
            for task in tasks.by_ref().take(IN_FLIGHT) {
                under_way.spawn(task);
            }
            while let Some(done) = under_way.join_next().await {
                done.expect("no task panics");
                if let Some(task) = tasks.next() {
                    under_way.spawn(task);
                }
            }
        });
        begun.elapsed() / count()
    }

    /// Jobs, made before the clock starts: a caller has them anyway.
    fn jobs(&self, way: usize) -> Vec<Job> {
        match way {
            2 => (0..TASKS).map(|_| again(&self.job)).collect(),
            _ => Vec::new(),
        }
    }
}

fn count() -> u32 {
    u32::try_from(TASKS).expect("tasks are few")
}

/// One guest on a thread for guests. As with the port, dropping the future stops it.
async fn hop(bare: &Arc<Bare>, guests: &Handle) {
    let bare = Arc::clone(bare);
    let mut task = Owned(guests.spawn(async move { bare.run().await }));
    let end = (&mut task.0).await;
    end.expect("no guest panics").expect("the guest runs");
}

/// A task that ends with whoever waits for it.
struct Owned<T>(JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
