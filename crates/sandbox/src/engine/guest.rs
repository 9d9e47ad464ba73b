//! One guest: a store, an instance, a call, and the end.

use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use propeller_model::Limits;
use wasmtime::component;
use wasmtime::{Engine, Linker, Result, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::{self, pipe::MemoryInputPipe};
use wasmtime_wasi::{WasiCtxBuilder, WasiCtxView, WasiView};

use super::call::{Call, Returned};
use super::code::Linkers;
use super::memory::MemoryMeter;
use super::micros;
use super::output::Output;
use super::verdict;
use crate::exit::{Exit, Limit, LimitHit, Status, Usage};
use crate::job::Job;
use crate::runtime::RunError;

/// How much randomness a guest gets per call. Programs ask for a key or a seed; drawing 64 MiB,
/// which is what wasmtime allows, would keep a thread busy for long without a yield.
const RANDOM_BYTES_MAX: u64 = 1024 * 1024;

/// What one call from a guest may make the host copy or allocate. Wasmtime's 128 MiB would let one
/// `poll_oneoff` with millions of subscriptions take more memory than the guest itself may have.
const HOST_CALL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// After how many ticks a guest yields: at the first one.
const TICKS_PER_TURN: u64 = 1;

/// What the host keeps for one guest.
pub(super) struct Guest {
    wasi: WasiP1Ctx,
    memory: MemoryMeter,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

/// All that guests may import: WASI preview 1 for modules, WASI 0.2 for components. Files and
/// sockets are there, because the libraries of most languages import them, and empty.
pub(super) fn linkers(engine: &Engine) -> Result<Linkers> {
    let mut modules = Linker::new(engine);
    p1::add_to_linker_async(&mut modules, |guest: &mut Guest| &mut guest.wasi)?;
    let mut components = component::Linker::new(engine);
    p2::add_to_linker_async(&mut components)?;
    Ok(Linkers {
        modules,
        components,
    })
}

/// Runs `call` in a store that nothing else has used or will use.
pub(super) async fn run(engine: &Engine, call: &Call, job: &Job) -> Result<Exit, RunError> {
    let stdout = Output::new(Limit::Stdout, job.limits.stdout_bytes.value);
    let stderr = Output::new(Limit::Stderr, job.limits.stderr_bytes.value);
    run_with(engine, call, job, stdout, stderr).await
}

/// As [`run`], with outputs that the caller chooses.
pub(super) async fn run_with(
    engine: &Engine,
    call: &Call,
    job: &Job,
    stdout: Output,
    stderr: Output,
) -> Result<Exit, RunError> {
    let limits = &job.limits;
    let guest = Guest {
        wasi: wasi(job, call, &stdout, &stderr),
        memory: MemoryMeter::new(limits.memory_bytes.value),
    };
    let mut store = store(engine, guest, limits);

    let started = Instant::now();
    let patience = Duration::from_millis(limits.wall_ms.value);
    let mut cpu = Duration::ZERO;
    let driven = metered(call.drive(&mut store), &mut cpu);
    let end = tokio::time::timeout(patience, driven).await;
    let wall_us = micros(started.elapsed());

    let (status, result) = match end {
        Ok(Ok(end)) => returned(end, job),
        Ok(Err(error)) => (verdict::status(error, limits)?, None),
        Err(_) => (limit_hit(Limit::WallClock, job), None),
    };
    let fuel_left = store.get_fuel().expect("the engine consumes fuel");
    let (stdout, stderr) = (stdout.take(), stderr.take());
    let result_len = result.as_ref().map_or(0, String::len);
    let usage = Usage {
        cpu_us: micros(cpu),
        input_bytes: job.input_bytes(),
        output_bytes: (stdout.len() + stderr.len() + result_len) as u64,
        fuel: limits.fuel.value.saturating_sub(fuel_left),
        memory_peak_bytes: store.data().memory.peak(),
        wall_us,
        ..Usage::default()
    };
    Ok(Exit {
        status,
        result,
        stdout,
        stderr,
        usage,
    })
}

fn wasi(job: &Job, call: &Call, stdout: &Output, stderr: &Output) -> WasiP1Ctx {
    let mut wasi = WasiCtxBuilder::new();
    wasi.arg(&job.name)
        .envs(&job.env)
        .stdin(MemoryInputPipe::new(job.stdin.clone()))
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .max_random_size(RANDOM_BYTES_MAX);
    if call.is_command() {
        wasi.args(&job.args);
    }
    wasi.build_p1()
}

fn store(engine: &Engine, mut guest: Guest, limits: &Limits) -> Store<Guest> {
    let handles = usize::try_from(limits.handles.value).unwrap_or(usize::MAX);
    guest.ctx().table.set_max_capacity(handles);
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_max_component_handles(handles);
    store.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
    store
        .set_fuel(limits.fuel.value)
        .expect("the engine consumes fuel");
    store.set_epoch_deadline(TICKS_PER_TURN);
    store.epoch_deadline_async_yield_and_update(TICKS_PER_TURN);
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

/// Adds up the time that `future` spends on a processor.
async fn metered<F: Future>(future: F, cpu: &mut Duration) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let before = thread_time();
        let polled = future.as_mut().poll(context);
        *cpu += thread_time().saturating_sub(before);
        polled
    })
    .await
}

/// Time that this thread has spent on a processor.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn limit_hit(limit: Limit, job: &Job) -> Status {
    Status::LimitHit(LimitHit::new(limit, &job.limits))
}
