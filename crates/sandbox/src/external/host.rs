//! What every job of an external runtime shares: the program, the places, and the trial.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::{Bound, Digest, Limits, Profile, Stream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::attend::{Input, Outcome, attend, readable};
use super::file::{self, Folder, Written};
use super::order::Order;
use super::plan::{Manner, Plan, Planned};
use super::printed::Printed;
use super::talk::Talks;
use super::template::Slot;
use super::{StartError, reading};
use crate::capabilities::Capabilities;
use crate::excerpt::excerpt;
use crate::exit::{Exit, Status};
use crate::job::{Entry, Job, ModuleKey};
use crate::process::wire::End;
use crate::runtime::RunError;
use crate::stdin::Stdin;
use crate::transcript::Transcript;

/// How long a runtime may take to tell its version, and to run a small module. It takes
/// some ten milliseconds; a machine that swaps takes longer.
pub(super) const TRIAL_MAX: Duration = Duration::from_secs(10);

/// What a runtime may use for itself: stacks of its threads, its compiler, copies of a memory that
/// grows. A bound on what a hostile module makes of a compiler, not on the guest.
const DATA_SLACK_BYTES: u64 = 512 * 1024 * 1024;

/// What it may use for each core and for each byte of the module: threads, and compiled code.
const DATA_PER_CORE_BYTES: u64 = 32 * 1024 * 1024;
const DATA_PER_MODULE_BYTE: u64 = 64;

/// What the module of the trial exits with, so that a program that does nothing does not pass.
const TRIAL_CODE: i32 = 42;

/// A command that exits with [`TRIAL_CODE`], in a module with a memory.
const TRIAL: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x08\x02\x60\0\0\x60\x01\x7f\0\
    \x02\x24\x01\x16wasi_snapshot_preview1\x09proc_exit\0\x01\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\x01\
    \x0a\x08\x01\x06\0\x41\x2a\x10\0\x0b";

pub(super) struct Host {
    pub(super) program: PathBuf,
    pub(super) launcher: PathBuf,
    pub(super) manner: Manner,
    pub(super) folder: Option<Folder>,
    pub(super) module_bytes_max: u64,
    pub(super) cores: u64,
    pub(super) slots: Semaphore,
    /// How many modules are looked at at a time, each on a thread of its own: one for each core.
    pub(super) looks: Arc<Semaphore>,
    pub(super) running: AtomicUsize,
    /// As many as there are jobs, and those that are ending their process.
    pub(super) tasks: Mutex<JoinSet<()>>,
}

/// A job with all that its runtime is given.
struct Ready {
    plan: Plan,
    module: File,
    request: File,
    /// The module, where the runtime takes only files.
    _written: Option<Written>,
}

/// What becomes of a job before its runtime is started.
enum Prepared {
    Run(Box<Ready>),
    /// See [`Planned::Over`].
    Over(Box<Exit>),
}

impl Host {
    /// Adds a task, and forgets those that have ended.
    pub(super) fn tasks(&self, add: impl FnOnce(&mut JoinSet<()>)) {
        let mut tasks = self.tasks.lock().expect("keeping a list does not panic");
        while tasks.try_join_next().is_some() {}
        add(&mut tasks);
    }

    pub(super) async fn run(
        self: &Arc<Self>,
        job: Job,
        cancelled: oneshot::Receiver<()>,
    ) -> Result<Exit, RunError> {
        job.has_fitting_stdin()?;
        let len = job.wasm.len() as u64;
        if len > self.module_bytes_max {
            return Err(RunError::TooLarge {
                len,
                len_max: self.module_bytes_max,
            });
        }
        let mut cancelled = cancelled;
        let slot = tokio::select! {
            slot = self.slots.acquire() => slot,
            _ = &mut cancelled => return Err(RunError::Stopped),
        };
        let _slot = slot.map_err(|_| RunError::Stopped)?;
        let _running = Running::enter(&self.running);
        let ran = self
            .run_to_end(&Arc::new(job), async { drop(cancelled.await) })
            .await?;
        ran.map_or(Err(RunError::Stopped), |(exit, _)| Ok(exit))
    }

    /// Runs a job; `None` if it was cancelled. With what held the runtime.
    async fn run_to_end(
        self: &Arc<Self>,
        job: &Arc<Job>,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Option<(Exit, String)>, RunError> {
        let mut cancelled = pin!(cancelled);
        let prepared = tokio::select! {
            prepared = self.prepared(job) => prepared?,
            () = &mut cancelled => return Ok(None),
        };
        let Ready {
            plan,
            module,
            request,
            _written,
        } = match prepared {
            Prepared::Run(ready) => *ready,
            Prepared::Over(exit) => return Ok(Some((*exit, String::new()))),
        };
        let printed = printed(job, Talks::of(&self.manner, &plan.call));
        let input = Input {
            order: self.order(plan.words, job),
            module,
            request,
            stdin: &job.stdin,
            wall: Duration::from_millis(job.limits.wall_ms.value),
        };
        let outcome = attend(&self.launcher, input, printed, cancelled).await;
        let Some(outcome) = outcome.map_err(system)? else {
            return Ok(None);
        };
        let held = outcome.held.clone();
        let exit = reading::read(&self.manner, &plan.call, job, outcome)?;
        Ok(Some((exit, held)))
    }

    /// Prepares a job beside the threads that hold every guest's wall clock: to look at a large module
    /// takes hundreds of milliseconds. Nothing can stop that; who does not wait for it any more leaves
    /// its place when it is over.
    async fn prepared(self: &Arc<Self>, job: &Arc<Job>) -> Result<Prepared, RunError> {
        let place = Arc::clone(&self.looks).acquire_owned().await;
        let place = place.map_err(|_| RunError::Stopped)?;
        let (host, job) = (Arc::clone(self), Arc::clone(job));
        let prepared = tokio::task::spawn_blocking(move || {
            let _place = place;
            host.prepare(&job)
        });
        let failed = |failed| Err(RunError::Runtime(Arc::new(failed)));
        prepared.await.unwrap_or_else(failed)
    }

    fn prepare(&self, job: &Job) -> Result<Prepared, RunError> {
        let file = self.folder.as_ref().map(Folder::name);
        let path = file.as_ref().map(|file| file.display().to_string());
        let plan = match self.manner.plan(job, path.as_deref())? {
            Planned::Run(plan) => *plan,
            Planned::Over(exit) => return Ok(Prepared::Over(exit)),
        };
        let written = file.map(|file| file::write(file, &plan.module));
        let request = plan.request.as_deref().unwrap_or_default();
        Ok(Prepared::Run(Box::new(Ready {
            module: readable("module", &plan.module).map_err(system)?,
            request: readable("request", request).map_err(system)?,
            _written: written.transpose().map_err(system)?,
            plan,
        })))
    }

    fn order(&self, words: Vec<String>, job: &Job) -> Order {
        // Twice the memory: a runtime may copy one that grows.
        let data = job.limits.memory_bytes.value.saturating_mul(2);
        let module = (job.wasm.len() as u64).saturating_mul(DATA_PER_MODULE_BYTE);
        let cores = self.cores.saturating_mul(DATA_PER_CORE_BYTES);
        Order {
            program: self.program.as_os_str().as_bytes().to_vec(),
            words,
            data_bytes_max: data
                .saturating_add(DATA_SLACK_BYTES)
                .saturating_add(module)
                .saturating_add(cores),
            scripted: self.manner.template.has(Slot::Script),
            writes: self.folder.is_some(),
        }
    }

    /// The version, and what holds the runtime.
    pub(super) async fn try_out(self: &Arc<Self>) -> Result<(String, String), StartError> {
        let version = self.version().await?;
        let job = Arc::new(nothing());
        let wrong = |said: String| StartError::Trial {
            program: self.program.display().to_string(),
            template: self.manner.template.to_string(),
            said,
        };
        match self.run_to_end(&job, std::future::pending()).await {
            Ok(Some((exit, held))) if exit.status == Status::Exited(TRIAL_CODE) => {
                Ok((version, held))
            }
            Ok(Some((exit, _))) => {
                let said = String::from_utf8_lossy(&exit.stderr);
                Err(wrong(format!("{:?} {}", exit.status, excerpt(&said))))
            }
            Ok(None) => Err(wrong("it was cancelled".to_owned())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    async fn version(&self) -> Result<String, StartError> {
        let known = self.manner.known;
        let empty = |name| readable(name, &[]).map_err(StartError::System);
        let input = Input {
            order: self.order(vec![known.version.to_owned()], &nothing()),
            module: empty("module")?,
            request: empty("request")?,
            stdin: &Stdin::default(),
            wall: TRIAL_MAX,
        };
        let printed = printed(&nothing(), Talks::default());
        let outcome = attend(&self.launcher, input, printed, std::future::pending()).await;
        let outcome = outcome.map_err(StartError::System)?;
        let outcome = outcome.ok_or_else(|| self.silent("it was cancelled"))?;
        self.read_version(&outcome)
    }

    fn read_version(&self, outcome: &Outcome) -> Result<String, StartError> {
        if let Some(reason) = &outcome.failed {
            return Err(self.silent(reason));
        }
        let ended = outcome.ended.map(|ended| ended.end);
        let text = String::from_utf8_lossy(&outcome.stdout.head);
        let first = text.lines().next().unwrap_or_default().trim();
        let known = self.manner.known;
        let version = first.strip_prefix(known.banner).filter(|version| {
            // A build of one's own may have a name for a number.
            version.contains(|char: char| char.is_ascii_digit()) || *version == "dev"
        });
        match (ended, version) {
            (Some(End::Exited(0)), Some(version)) => Ok(excerpt(version)),
            _ => {
                let asked = known.version;
                let said = excerpt(first);
                Err(self.silent(&format!(
                    "asked for `{asked}`, it says `{said}` ({ended:?})"
                )))
            }
        }
    }

    pub(super) fn silent(&self, said: &str) -> StartError {
        StartError::Version {
            program: self.program.display().to_string(),
            said: said.to_owned(),
        }
    }
}

fn system(error: io::Error) -> RunError {
    RunError::Runtime(Arc::new(error))
}

/// Where both streams of `job` go, of a runtime that may say `talks` in them.
fn printed(job: &Job, talks: Talks) -> [Printed; 2] {
    let bytes = |bound: Bound| usize::try_from(bound.value).unwrap_or(usize::MAX);
    let Talks { stdout, stderr } = talks;
    let limits = &job.limits;
    let results = bytes(limits.result_bytes);
    let to = |stream| (&job.transcript, stream);
    [
        Printed::new(
            to(Stream::Stdout),
            stdout,
            (bytes(limits.stdout_bytes), results),
        ),
        Printed::new(to(Stream::Stderr), stderr, (bytes(limits.stderr_bytes), 0)),
    ]
}

/// A job that every runtime can do.
fn nothing() -> Job {
    let mut limits = Limits::default();
    limits.wall_ms.value = u64::try_from(TRIAL_MAX.as_millis()).unwrap_or(u64::MAX);
    Job {
        key: ModuleKey {
            tenant: String::new(),
            digest: Digest([0; 32]),
        },
        wasm: Bytes::from_static(TRIAL),
        name: "trial".to_owned(),
        entry: Entry::Named("_start".to_owned()),
        args: Vec::new(),
        env: Vec::new(),
        stdin: Stdin::default(),
        limits,
        profile: Profile::Pure,
        capabilities: Capabilities::default(),
        daemon: None,
        transcript: Transcript::default(),
    }
}

/// Counts a guest for as long as its process lives.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn enter(running: &'a AtomicUsize) -> Self {
        running.fetch_add(1, Ordering::SeqCst);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
