//! One guest: a store, an instance, calls in turns, and the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use propeller_model::{Limits, Stream};
use wasmi::{AsContext, AsContextMut, Error, Func, Instance, ResumableCall, Store, Val};

use super::call::{Call, What, number};
use super::chunked;
use super::memory::MemoryMeter;
use super::module::Loaded;
use super::verdict;
use super::wasi::{Fail, Wake, Wasi};
use crate::cpu::{metered, micros};
use crate::exit::{Exit, Limit, LimitHit, Status, Usage};
use crate::job::Job;
use crate::numbers;
use crate::runtime::RunError;

/// What a guest gets of its fuel at a time. On a fast machine it lasts a fraction of a millisecond,
/// on a slow one a few.
const FUEL_PER_TURN: u64 = 100_000;

/// How long a turn lasts that is spent in the host's functions, which use no fuel.
const TURN: Duration = Duration::from_millis(5);

/// What the host keeps for one guest.
pub(super) struct Guest {
    pub(super) wasi: Wasi,
    memory: MemoryMeter,
    /// Fuel that the store has not got yet.
    kept_fuel: u64,
    /// When the turn is over, whatever fuel is left.
    turn_ends: Instant,
}

impl Guest {
    /// Counts bytes that the host keeps for the guest, to its end.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Error> {
        let kept = self.memory.keep(bytes);
        kept.map_err(|_| Error::host(Fail::Exceeded(Limit::Memory)))
    }

    /// Ends the turn of a guest that has spent its time in the host: it gets back later what fuel
    /// it still has.
    pub(super) fn left_host(mut store: impl AsContextMut<Data = Self>) -> Result<(), Error> {
        let mut store = store.as_context_mut();
        if Instant::now() >= store.data().turn_ends {
            let left = store.get_fuel()?;
            store.data_mut().kept_fuel += left;
            store.set_fuel(0)?;
        }
        Ok(())
    }
}

/// Runs `call` in a store that nothing else has used or will use.
pub(super) async fn run(loaded: &Loaded, call: &Call, job: &Job) -> Result<Exit, RunError> {
    let limits = &job.limits;
    let wasi = Wasi::new(job, call.command);
    let guest = Guest {
        wasi: wasi.map_err(|error| RunError::Runtime(Arc::new(error)))?,
        memory: MemoryMeter::new(limits.memory_bytes.value),
        kept_fuel: limits.fuel.value,
        turn_ends: Instant::now(),
    };
    let mut store = Store::new(loaded.module.engine(), guest);
    store.limiter(|guest| &mut guest.memory);

    let patience = Duration::from_millis(limits.wall_ms.value);
    let (end, spent) = {
        let driven = pin!(drive(&mut store, loaded, call, job));
        metered(patience, driven).await
    };

    let (status, result) = match end {
        Some(Ok(results)) => returned(&results, call, limits),
        Some(Err(error)) => (verdict::status(error, &store.data().memory, limits)?, None),
        None => (limit_hit(Limit::WallClock, limits), None),
    };
    let fuel_left = store.data().kept_fuel + store.get_fuel().expect("the engine consumes fuel");
    let guest = store.into_data();
    let memory_peak_bytes = guest.memory.peak();
    let printed = job.transcript.gone(Stream::Stdout) + job.transcript.gone(Stream::Stderr);
    let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(|one| job.transcript.take(one));
    let result_len = result.as_ref().map_or(0, String::len);
    let usage = Usage {
        cpu_us: micros(spent.cpu),
        input_bytes: job.input_bytes(),
        output_bytes: printed + (stdout.len() + stderr.len() + result_len) as u64,
        fuel: limits.fuel.value.saturating_sub(fuel_left),
        memory_peak_bytes,
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

fn returned(results: &[Val], call: &Call, limits: &Limits) -> (Status, Option<String>) {
    if call.command {
        return (Status::Exited(0), None);
    }
    match numbers::render(results.iter().map(number)) {
        Some(text) if text.len() as u64 > limits.result_bytes.value => {
            (limit_hit(Limit::Result, limits), None)
        }
        result => (Status::Returned, result),
    }
}

fn limit_hit(limit: Limit, limits: &Limits) -> Status {
    Status::LimitHit(LimitHit::new(limit, limits))
}

/// Makes the call and what comes before it, and gives the results.
async fn drive(
    store: &mut Store<Guest>,
    loaded: &Loaded,
    call: &Call,
    job: &Job,
) -> Result<Vec<Val>, Error> {
    // It runs nothing of the guest's, since the start function is an export.
    let instance = loaded
        .linker
        .instantiate_and_start(&mut *store, &loaded.module)?;
    for name in &call.before {
        call_in_turns(store, instance, name, &[], &mut []).await?;
    }
    match &call.what {
        What::Chunks(wanted) => {
            chunked::drive(store, instance, *wanted, job).await?;
            Ok(Vec::new())
        }
        What::Function {
            name,
            params,
            results,
        } => {
            let mut results = results.clone();
            call_in_turns(store, instance, name, params, &mut results).await?;
            Ok(results)
        }
    }
}

/// Calls an exported function, and lets others have the thread after each turn.
pub(super) async fn call_in_turns(
    store: &mut Store<Guest>,
    instance: Instance,
    name: &str,
    params: &[Val],
    results: &mut [Val],
) -> Result<(), Error> {
    let function = instance.get_func(&*store, name);
    let function: Func = function.expect("a call is resolved against its module's exports");
    begin_turn(store, 0)?;
    let mut state = function.call_resumable(&mut *store, params, results)?;
    loop {
        state = match state {
            ResumableCall::Finished => return Ok(()),
            ResumableCall::OutOfFuel(rest) => {
                tokio::task::yield_now().await;
                begin_turn(store, rest.required_fuel())?;
                rest.resume(&mut *store, results)?
            }
            ResumableCall::HostTrap(rest) => {
                let Some(&Fail::Wait(wake)) = rest.host_error().downcast_ref() else {
                    return Err(rest.into_host_error());
                };
                wait(store.data_mut(), wake).await;
                begin_turn(store, 0)?;
                let answer = Wasi::woken(&mut *store, instance)?;
                rest.resume(&mut *store, &[answer], results)?
            }
        };
    }
}

/// Gives the guest fuel for a turn, at least as much as its next instruction takes.
fn begin_turn(store: &mut Store<Guest>, required: u64) -> Result<(), Error> {
    let left = store.as_context().get_fuel()?;
    let missing = required.saturating_sub(left);
    let guest = store.data_mut();
    if missing > guest.kept_fuel {
        return Err(Error::host(Fail::Exceeded(Limit::Fuel)));
    }
    let portion = FUEL_PER_TURN
        .saturating_sub(left)
        .max(missing)
        .min(guest.kept_fuel);
    guest.kept_fuel -= portion;
    guest.turn_ends = Instant::now() + TURN;
    store.set_fuel(left + portion)
}

/// Waits for whatever wakes a guest.
async fn wait(guest: &mut Guest, wake: Wake) {
    let slept = async {
        match wake.at {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    let read = async {
        match wake.stdin {
            true => guest.wasi.stdin_is_there().await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        () = slept => {}
        () = read => {}
    }
}
