//! One guest: a store, an instance, a call, and the end.

use std::time::{Duration, Instant};

use wasmtime::{Engine, Linker, Result, Store, Val};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;

use super::call::Call;
use super::code::Code;
use super::memory::MemoryMeter;
use super::micros;
use super::output::Output;
use super::{values, verdict};
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

/// All that guests may import: WASI preview 1.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |guest: &mut Guest| &mut guest.wasi)?;
    Ok(linker)
}

/// Runs `call` in a store that nothing else has used or will use.
pub(super) async fn run(
    engine: &Engine,
    code: &Code,
    call: &Call,
    job: &Job,
) -> Result<Exit, RunError> {
    let limits = &job.limits;
    let stdout = Output::new(Limit::Stdout, limits.stdout_bytes.value);
    let stderr = Output::new(Limit::Stderr, limits.stderr_bytes.value);
    let guest = Guest {
        wasi: wasi(job, call, &stdout, &stderr),
        memory: MemoryMeter::new(limits.memory_bytes.value),
    };
    let mut store = store(engine, guest, limits.fuel.value);

    let started = Instant::now();
    let patience = Duration::from_millis(limits.wall_ms.value);
    let end = tokio::time::timeout(patience, drive(&mut store, code, call)).await;
    let wall_us = micros(started.elapsed());

    let (status, result) = match end {
        Ok(Ok(results)) => returned(call, &results, job),
        Ok(Err(error)) => (verdict::status(error, limits)?, None),
        Err(_) => (limit_hit(Limit::WallClock, job), None),
    };
    let fuel_left = store.get_fuel().expect("the engine consumes fuel");
    let usage = Usage {
        fuel: limits.fuel.value.saturating_sub(fuel_left),
        memory_peak_bytes: store.data().memory.peak(),
        wall_us,
        ..Usage::default()
    };
    Ok(Exit {
        status,
        result,
        stdout: stdout.take(),
        stderr: stderr.take(),
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
    if call.command {
        wasi.args(&job.args);
    }
    wasi.build_p1()
}

fn store(engine: &Engine, guest: Guest, fuel: u64) -> Store<Guest> {
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(HOST_CALL_BYTES_MAX);
    store.set_fuel(fuel).expect("the engine consumes fuel");
    store.set_epoch_deadline(TICKS_PER_TURN);
    store.epoch_deadline_async_yield_and_update(TICKS_PER_TURN);
    store
}

async fn drive(store: &mut Store<Guest>, code: &Code, call: &Call) -> Result<Vec<Val>> {
    let instance = code.instantiation().instantiate_async(&mut *store).await?;
    if let Some(name) = call.initializer {
        let initializer = instance.get_func(&mut *store, name);
        let initializer = initializer.expect("a call is resolved against its module's exports");
        initializer.call_async(&mut *store, &[], &mut []).await?;
    }
    let function = instance.get_func(&mut *store, &call.function);
    let function = function.expect("a call is resolved against its module's exports");
    let mut results = vec![Val::I32(0); call.results];
    function
        .call_async(store, &call.params, &mut results)
        .await?;
    Ok(results)
}

fn returned(call: &Call, results: &[Val], job: &Job) -> (Status, Option<String>) {
    if call.command {
        return (Status::Exited(0), None);
    }
    match values::render(results) {
        Some(text) if text.len() as u64 > job.limits.result_bytes.value => {
            (limit_hit(Limit::Result, job), None)
        }
        result => (Status::Returned, result),
    }
}

fn limit_hit(limit: Limit, job: &Job) -> Status {
    Status::LimitHit(LimitHit::new(limit, &job.limits))
}
