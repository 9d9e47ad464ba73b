//! What fuel and epoch checks cost a guest that computes.
//!
//! All four engines differ in nothing else. The port's engine has both.

use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use wasmtime::{Config, Engine, Instance, Module, Result, Store};

use crate::guests::wasm;
use crate::report::{Goal, section};
use crate::samples::{in_turns, ratio, us};

const GUESTS: &str = include_str!("metering.wat");
/// Functions, and how often each repeats its work to take some milliseconds.
const FUNCTIONS: [(&str, &str, i32); 7] = [
    ("integer", "integer: xorshift", 5_000_000),
    ("sieve", "integer: sieve", 30),
    ("matmul", "float: matmul", 40),
    ("matmul unrolled", "float: matmul, 4 steps a turn", 40),
    ("four sums", "float: 4 sums", 1_000),
    ("simd", "SIMD: dot product", 2_000),
    ("recursive", "recursive calls", 300),
];
const ROUNDS: usize = 9;
const FUEL: u64 = u64::MAX >> 1;

/// What an engine checks.
#[derive(Clone, Copy)]
struct Checks {
    fuel: bool,
    epoch: bool,
}

const ENGINES: [Checks; 4] = [
    Checks {
        fuel: false,
        epoch: false,
    },
    Checks {
        fuel: true,
        epoch: false,
    },
    Checks {
        fuel: false,
        epoch: true,
    },
    Checks {
        fuel: true,
        epoch: true,
    },
];

/// Measures and prints.
pub(crate) fn measure(_: &mut Vec<Goal>) -> Result<(), String> {
    let wasm = wasm(GUESTS);
    let modules = ENGINES.map(|checks| compile(checks, &wasm));
    let mut rows = Vec::new();
    for (export, name, times) in FUNCTIONS {
        let mut failure = None;
        let took: [Duration; 4] = in_turns(ROUNDS, |engine| {
            let timed = modules[engine].as_ref().map_err(ToString::to_string);
            let timed = timed.and_then(|module| {
                time(module, ENGINES[engine], export, times).map_err(|error| error.to_string())
            });
            timed.unwrap_or_else(|error| {
                failure = Some(error);
                Duration::ZERO
            })
        });
        if let Some(error) = failure {
            return Err(format!("{export}: {error}"));
        }
        let mut row = vec![name.to_owned(), us(took[0])];
        row.extend(
            took[1..]
                .iter()
                .map(|each| format!("{:.2}", ratio(*each, took[0]))),
        );
        rows.push(row);
    }
    let head = ["guest", "without checks", "fuel", "epoch", "both"];
    section("Metering: times the run without checks", &head, &rows);
    Ok(())
}

fn compile(checks: Checks, wasm: &[u8]) -> Result<Module> {
    let mut config = Config::new();
    config
        .consume_fuel(checks.fuel)
        .epoch_interruption(checks.epoch);
    Module::from_binary(&Engine::new(&config)?, wasm)
}

fn time(module: &Module, checks: Checks, export: &str, times: i32) -> Result<Duration> {
    let mut store = Store::new(module.engine(), ());
    if checks.fuel {
        store.set_fuel(FUEL)?;
    }
    if checks.epoch {
        // The epoch stands still: what is measured is the check.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
    }
    Builder::new_current_thread().build()?.block_on(async {
        let instance = Instance::new_async(&mut store, module, &[]).await?;
        let function = instance.get_typed_func::<i32, i64>(&mut store, export)?;
        function.call_async(&mut store, 1).await?;
        let begun = Instant::now();
        function.call_async(&mut store, times).await?;
        Ok(begun.elapsed())
    })
}
