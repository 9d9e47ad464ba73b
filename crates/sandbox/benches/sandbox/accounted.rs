//! What an account of a call takes where nothing else is done: the floor below every port.
//!
//! Beside what bare Wasmtime does, a function of any type is called with arguments that come as text,
//! and it is said what that took: time, fuel, memory, bytes in and out. There is no cache of code, no
//! wall clock that ends it, nobody who may stop it, nothing of its output to be captured, and no
//! thread to come back from.

use std::hint::black_box;
use std::time::{Duration, Instant};

use propeller_sandbox::Allocator;
use wasmtime::{
    Engine, Error, InstancePre, Linker, Module, ResourceLimiter, Result, Store, StoreLimits, Val,
    ValType,
};

use crate::bare::{FUEL, config, limits, tick};

/// A module with functions of numbers, compiled and linked.
#[derive(Clone)]
pub(crate) struct Accounted {
    engine: Engine,
    linked: InstancePre<Counted>,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) result: String,
    pub(crate) wall: Duration,
    pub(crate) fuel: u64,
    pub(crate) memory_peak_bytes: u64,
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
}

/// Limits that remember the most that there was.
struct Counted {
    limits: StoreLimits,
    bytes: usize,
    peak: usize,
}

impl ResourceLimiter for Counted {
    fn memory_growing(&mut self, now: usize, wanted: usize, most: Option<usize>) -> Result<bool> {
        let may = self.limits.memory_growing(now, wanted, most)?;
        if may {
            self.bytes += wanted - now;
            self.peak = self.peak.max(self.bytes);
        }
        Ok(may)
    }

    fn table_growing(&mut self, now: usize, wanted: usize, most: Option<usize>) -> Result<bool> {
        self.limits.table_growing(now, wanted, most)
    }
}

impl Accounted {
    pub(crate) fn new(wasm: &[u8], allocator: Allocator) -> Result<Self> {
        let engine = Engine::new(&config(allocator))?;
        tick(&engine);
        let module = Module::from_binary(&engine, wasm)?;
        let linked = Linker::new(&engine).instantiate_pre(&module)?;
        Ok(Self { engine, linked })
    }

    /// Calls a function once.
    pub(crate) async fn run(&self, function: &str, args: &[String]) -> Result<Account> {
        let begun = Instant::now();
        let guest = Counted {
            limits: limits(),
            bytes: 0,
            peak: 0,
        };
        let mut store = Store::new(&self.engine, guest);
        store.limiter(|guest| guest);
        store.set_fuel(FUEL)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self.linked.instantiate_async(&mut store).await?;
        let function = instance.get_func(&mut store, function);
        let function = function.ok_or_else(|| Error::msg("no such function"))?;
        let ty = function.ty(&store);
        let given: Result<Vec<Val>> = ty
            .params()
            .zip(args)
            .map(|(ty, arg)| val(&ty, arg))
            .collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        function
            .call_async(&mut store, &given?, &mut results)
            .await?;
        let result = text(&results);
        Ok(Account {
            wall: begun.elapsed(),
            fuel: FUEL - store.get_fuel()?,
            memory_peak_bytes: store.data().peak as u64,
            input_bytes: args.iter().map(|arg| arg.len() as u64).sum(),
            output_bytes: result.len() as u64,
            result,
        })
    }

    /// As often as the others are run.
    pub(crate) async fn times(&self, count: usize, function: &str, args: &[String]) {
        for _ in 0..count {
            let account = self.run(function, args).await.expect("the guest runs");
            let Account {
                result,
                wall,
                fuel,
                memory_peak_bytes,
                input_bytes,
                output_bytes,
            } = black_box(account);
            assert_eq!(result, "42");
            assert!(wall > Duration::ZERO && fuel > 0 && memory_peak_bytes == 0);
            assert_eq!((input_bytes, output_bytes), (3, 2));
        }
    }
}

fn val(ty: &ValType, text: &str) -> Result<Val> {
    Ok(match ty {
        ValType::I32 => Val::I32(text.parse()?),
        ValType::I64 => Val::I64(text.parse()?),
        _ => return Err(Error::msg("numbers of other types are not measured")),
    })
}

fn text(results: &[Val]) -> String {
    let mut text = String::new();
    for result in results {
        match result {
            Val::I32(number) => text += &number.to_string(),
            Val::I64(number) => text += &number.to_string(),
            other => text += &format!("{other:?}"),
        }
    }
    text
}
