//! One guest: a store, an instance, a call, and the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use propeller_model::{Access, Limits};
use wasmtime::component;
use wasmtime::{Engine, Linker, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::call::{Call, Returned};
use super::code::Linkers;
use super::input;
use super::memory::MemoryMeter;
use super::network::{self, Egress, Reach};
use super::output::Output;
use super::poll;
use super::seeds::{self, Seed};
use super::verdict;
use super::virtual_time::{self, VirtualClock};
use super::world::World;
use crate::capabilities::OpenDirectory;
use crate::cpu::{metered, micros};
use crate::exit::{Exit, HOST_COPY_BYTES_MAX, Limit, LimitHit, Status, Usage};
use crate::job::Job;
use crate::runtime::RunError;

/// How much randomness a guest gets per call. Programs ask for a key or a seed; drawing 64 MiB,
/// which is what wasmtime allows, would keep a thread busy for long without a yield.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

/// How long the headers of one message that a guest makes may be, together.
const FIELDS_BYTES_MAX: usize = 16 * 1024;

/// After how many ticks a guest yields: at the first one.
const TICKS_PER_TURN: u64 = 1;

/// What the host keeps for one guest.
pub(super) struct Guest {
    /// Only for one that imports something: making it takes longer than many a guest runs.
    outside: Option<Box<Outside>>,
    memory: MemoryMeter,
}

/// What a guest has of the world outside of its sandbox.
struct Outside {
    wasi: WasiP1Ctx,
    /// Only in the virtual world.
    clock: Option<VirtualClock>,
    reach: Reach,
    http: WasiHttpCtx,
    egress: Egress,
}

impl Guest {
    /// The clock of a guest in the virtual world; in the real one nobody asks for it.
    pub(super) fn clock(&mut self) -> VirtualClock {
        let clock = self.outside().clock.clone();
        clock.expect("whoever calls a function of the virtual world lives in it")
    }

    /// Counts bytes that the host keeps for the guest, to its end.
    pub(super) fn keep(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.memory.keep(bytes)
    }

    /// What the guest may reach.
    pub(super) fn reach(&mut self) -> Reach {
        self.outside().reach.clone()
    }

    fn outside(&mut self) -> &mut Outside {
        let outside = self.outside.as_mut();
        outside.expect("whoever calls a function of the host has imported it")
    }

    fn wasi(&mut self) -> &mut WasiP1Ctx {
        &mut self.outside().wasi
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi().ctx()
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let outside = self.outside();
        WasiHttpCtxView {
            ctx: &mut outside.http,
            table: outside.wasi.ctx().table,
            hooks: &mut outside.egress,
        }
    }
}

/// All that guests may import: WASI preview 1 for modules, WASI 0.2 for components. Files and
/// sockets are there, because the libraries of most languages import them, and empty.
pub(super) fn linkers(engine: &Engine, world: World) -> wasmtime::Result<Linkers> {
    let mut modules = Linker::new(engine);
    p1::add_to_linker_async(&mut modules, Guest::wasi)?;
    // In place of wasmtime's, which traps from 126 on: an exit code is the guest's to choose.
    modules.allow_shadowing(true);
    modules.func_wrap(
        "wasi_snapshot_preview1",
        "proc_exit",
        |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) },
    )?;
    let mut components = component::Linker::new(engine);
    p2::add_to_linker_async(&mut components)?;
    network::add_to_linker(&mut components)?;
    if world == World::Virtual {
        poll::add_to_linker(&mut modules)?;
        virtual_time::add_to_linker(&mut components)?;
    }
    Ok(Linkers {
        modules,
        components,
    })
}

/// What one guest is made with.
pub(super) struct Setting<'a> {
    pub(super) job: &'a Job,
    /// Whether the arguments are the guest's `argv[1..]`.
    pub(super) command: bool,
    /// Whether the guest imports anything.
    pub(super) imports: bool,
    /// Without one, its generators are Wasmtime's: see `seeds`.
    pub(super) seed: Option<Seed>,
    pub(super) stdout: &'a Output,
    pub(super) stderr: &'a Output,
    pub(super) memory: MemoryMeter,
}

/// A store that nothing else has used or will use, with all that the guest may reach.
pub(super) fn prepare(engine: &Engine, setting: Setting<'_>) -> Result<Store<Guest>, RunError> {
    let job = setting.job;
    // What a job lists has to be there even if its guest has no use for it.
    let wants_it = setting.imports || !job.capabilities.is_empty();
    let outside = wants_it.then(|| outside(&setting));
    let guest = Guest {
        outside: outside.transpose()?,
        memory: setting.memory,
    };
    Ok(store(engine, guest, &job.limits))
}

/// Runs `call` in a store of its own.
pub(super) async fn run(call: &Call<'_>, job: &Job) -> Result<Exit, RunError> {
    let [stdout, stderr] = Output::both(job);
    let seed = seeds::seed_here(job);
    run_with(call, job, seed, stdout, stderr).await
}

/// As [`run`], with a seed and outputs that the caller chooses.
pub(super) async fn run_with(
    call: &Call<'_>,
    job: &Job,
    seed: Option<Seed>,
    stdout: Output,
    stderr: Output,
) -> Result<Exit, RunError> {
    let limits = &job.limits;
    let setting = Setting {
        job,
        command: call.is_command(),
        imports: call.imports(),
        seed,
        stdout: &stdout,
        stderr: &stderr,
        memory: MemoryMeter::new(limits.memory_bytes.value, World::of(job.profile)),
    };
    let mut store = prepare(call.engine(), setting)?;

    let patience = Duration::from_millis(limits.wall_ms.value);
    let (end, spent) = {
        let driven = pin!(call.drive(&mut store, job, &stdout));
        metered(patience, driven).await
    };

    let (status, result) = match end {
        Some(Ok(end)) => returned(end, job),
        Some(Err(error)) => (verdict::status(error, limits)?, None),
        None => (limit_hit(Limit::WallClock, job), None),
    };
    let fuel_left = store.get_fuel().unwrap_or(limits.fuel.value);
    let result_len = result.as_ref().map_or(0, String::len) as u64;
    let ((stdout, stdout_len), (stderr, stderr_len)) = (stdout.take(), stderr.take());
    let status = status.told_in(job.profile);
    let usage = Usage {
        cpu_us: micros(spent.cpu),
        input_bytes: job.input_bytes(),
        output_bytes: stdout_len + stderr_len + result_len,
        fuel: limits.fuel.value.saturating_sub(fuel_left),
        memory_peak_bytes: store.data().memory.peak(),
        wall_us: micros(spent.wall),
        ..Usage::default()
    };
    Ok(Exit {
        result,
        stdout,
        stderr,
        usage,
        ..Exit::from(status)
    })
}

fn outside(setting: &Setting<'_>) -> Result<Box<Outside>, RunError> {
    let job = setting.job;
    let is_virtual = World::of(job.profile) == World::Virtual;
    let clock = is_virtual.then(VirtualClock::default);
    let reach = Reach::of(&job.capabilities);
    Ok(Box::new(Outside {
        wasi: wasi(setting, clock.as_ref(), &reach)?,
        clock,
        egress: Egress(reach.clone()),
        reach,
        http: http_context(),
    }))
}

fn wasi(
    setting: &Setting<'_>,
    clock: Option<&VirtualClock>,
    reach: &Reach,
) -> Result<WasiP1Ctx, RunError> {
    let Setting { job, seed, .. } = *setting;
    let mut wasi = WasiCtxBuilder::new();
    wasi.arg(&job.name)
        .envs(&job.env)
        .stdout(setting.stdout.clone())
        .stderr(setting.stderr.clone())
        .max_random_size(RANDOM_BYTES_MAX);
    let given = input::give(&mut wasi, &job.stdin);
    given.map_err(|error| RunError::Runtime(Arc::new(error)))?;
    if let Some(clock) = clock {
        wasi.wall_clock(clock.clone())
            .monotonic_clock(clock.clone());
    }
    if let Some(seed) = seed {
        seeds::sow(&mut wasi, &seed);
    }
    if setting.command {
        wasi.args(&job.args);
    }
    for directory in &job.capabilities.directories {
        open(&mut wasi, directory)?;
    }
    if job.capabilities.has_network() {
        network::allow(&mut wasi, reach);
    } else {
        // Even a socket that reaches nothing would be one, and the end of a locked process.
        wasi.allow_tcp(false).allow_udp(false);
    }
    Ok(wasi.build_p1())
}

/// Gives a guest a directory.
fn open(wasi: &mut WasiCtxBuilder, directory: &OpenDirectory) -> Result<(), RunError> {
    let permissions = match directory.access {
        Access::Read => FsPerms::ReadOnly,
        Access::ReadWrite => FsPerms::ReadWrite,
    };
    let opened = wasi.preopened_dir(&directory.path, &directory.guest, permissions);
    opened.map(|_| ()).map_err(|error| RunError::Directory {
        guest: directory.guest.clone(),
        reason: error.root_cause().to_string(),
    })
}

fn http_context() -> WasiHttpCtx {
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(FIELDS_BYTES_MAX);
    http
}

fn store(engine: &Engine, mut guest: Guest, limits: &Limits) -> Store<Guest> {
    let handles = usize::try_from(limits.handles.value).unwrap_or(usize::MAX);
    if let Some(outside) = &mut guest.outside {
        outside.wasi.ctx().table.set_max_capacity(handles);
    }
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_max_component_handles(handles);
    store.set_hostcall_fuel(usize::try_from(HOST_COPY_BYTES_MAX).unwrap_or(usize::MAX));
    // An engine that counts no fuel interrupts nobody either: its guests end with their process.
    if store.set_fuel(limits.fuel.value).is_ok() {
        store.set_epoch_deadline(TICKS_PER_TURN);
        store.epoch_deadline_async_yield_and_update(TICKS_PER_TURN);
    }
    store
}

fn returned(end: Returned, job: &Job) -> (Status, Option<String>) {
    match end {
        Returned::Exited(code) => (Status::Exited(code), None),
        Returned::Value(Some(text)) if text.len() as u64 > job.limits.result_bytes.value => {
            (limit_hit(Limit::Result, job), None)
        }
        Returned::Value(result) => (Status::Returned, result),
    }
}

fn limit_hit(limit: Limit, job: &Job) -> Status {
    Status::LimitHit(LimitHit::new(limit, &job.limits))
}
