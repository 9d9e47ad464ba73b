//! Wasmtime with nothing around it: an engine configured like ours, and the least that runs a guest
//! in a store of its own under limits. Nothing is accounted, captured, timed or told.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use propeller_sandbox::Allocator;
use wasmtime::component::{self, Component};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, Result, Store, StoreLimits, StoreLimitsBuilder,
};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

use crate::guests::{ADD, GREET, HELLO, WITH_MEMORY, wasm};

/// As the port's.
const TICK: Duration = Duration::from_millis(5);
const STACK_BYTES: usize = 1024 * 1024;
const HOST_STACK_BYTES: usize = 2 * 1024 * 1024;
const MEMORY_BYTES: usize = 256 * 1024 * 1024;
pub(crate) const FUEL: u64 = 1_000_000_000;
const OUTPUT_BYTES: usize = 1024 * 1024;
const INPUT: &[u8] = b"";

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Core,
    Memory,
    Wasi,
    Component,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Core, Self::Memory, Self::Wasi, Self::Component];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core function",
            Self::Memory => "core function with memory",
            Self::Wasi => "WASI hello",
            Self::Component => "component",
        }
    }

    pub(crate) fn wasm(self) -> Vec<u8> {
        match self {
            Self::Core => ADD.to_vec(),
            Self::Memory => wasm(WITH_MEMORY),
            Self::Wasi => HELLO.to_vec(),
            Self::Component => GREET.to_vec(),
        }
    }
}

/// A guest of one kind, compiled and linked.
#[derive(Clone)]
pub(crate) struct Bare {
    engine: Engine,
    code: Code,
}

#[derive(Clone)]
enum Code {
    Function(InstancePre<Plain>),
    Command(InstancePre<WithWasi>),
    Component(component::InstancePre<Plain>),
}

struct Plain {
    limits: StoreLimits,
}

struct WithWasi {
    limits: StoreLimits,
    wasi: WasiP1Ctx,
}

impl Bare {
    pub(crate) fn new(kind: Kind, allocator: Allocator) -> Result<Self> {
        let engine = Engine::new(&config(allocator))?;
        tick(&engine);
        let bytes = kind.wasm();
        let code = match kind {
            Kind::Core | Kind::Memory => {
                let module = Module::from_binary(&engine, &bytes)?;
                Code::Function(Linker::new(&engine).instantiate_pre(&module)?)
            }
            Kind::Wasi => {
                let module = Module::from_binary(&engine, &bytes)?;
                let mut linker = Linker::new(&engine);
                p1::add_to_linker_async(&mut linker, |guest: &mut WithWasi| &mut guest.wasi)?;
                Code::Command(linker.instantiate_pre(&module)?)
            }
            Kind::Component => {
                let component = Component::from_binary(&engine, &bytes)?;
                let linker = component::Linker::new(&engine);
                Code::Component(linker.instantiate_pre(&component)?)
            }
        };
        Ok(Self { engine, code })
    }

    /// Runs one guest.
    pub(crate) async fn run(&self) -> Result<()> {
        match &self.code {
            Code::Function(linked) => {
                let mut store =
                    self.store(Plain { limits: limits() }, |guest| &mut guest.limits)?;
                let instance = linked.instantiate_async(&mut store).await?;
                let function = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add")?;
                assert_eq!(function.call_async(&mut store, (2, 40)).await?, 42);
            }
            Code::Command(linked) => {
                let stdout = MemoryOutputPipe::new(OUTPUT_BYTES);
                let wasi = WasiCtxBuilder::new()
                    .arg("guest")
                    .stdin(MemoryInputPipe::new(INPUT))
                    .stdout(stdout.clone())
                    .stderr(MemoryOutputPipe::new(OUTPUT_BYTES))
                    .build_p1();
                let guest = WithWasi {
                    limits: limits(),
                    wasi,
                };
                let mut store = self.store(guest, |guest| &mut guest.limits)?;
                let instance = linked.instantiate_async(&mut store).await?;
                let function = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
                match function.call_async(&mut store, ()).await {
                    Err(error) if error.is::<I32Exit>() => {}
                    end => end?,
                }
                drop(store);
                assert!(stdout.contents().starts_with(b"Hello"));
            }
            Code::Component(linked) => {
                let mut store =
                    self.store(Plain { limits: limits() }, |guest| &mut guest.limits)?;
                let instance = linked.instantiate_async(&mut store).await?;
                let greet = instance.get_typed_func::<(&str,), (String,)>(&mut store, "greet")?;
                let (greeting,) = greet.call_async(&mut store, ("Ada",)).await?;
                assert!(greeting.contains("Ada"));
            }
        }
        Ok(())
    }

    fn store<T: 'static>(
        &self,
        guest: T,
        limits: impl Fn(&mut T) -> &mut StoreLimits + Send + Sync + 'static,
    ) -> Result<Store<T>> {
        let mut store = Store::new(&self.engine, guest);
        store.limiter(move |guest| limits(guest));
        store.set_fuel(FUEL)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        Ok(store)
    }
}

pub(crate) fn limits() -> StoreLimits {
    StoreLimitsBuilder::new().memory_size(MEMORY_BYTES).build()
}

/// The port's configuration, in `crates/sandbox/src/engine/code.rs`, where it decides about speed.
pub(crate) fn config(allocator: Allocator) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(STACK_BYTES + HOST_STACK_BYTES);
    if let Allocator::Pooling { guests_max } = allocator {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_memories(2 * guests_max)
            .total_stacks(guests_max)
            .total_tables(4 * guests_max)
            .max_tables_per_module(4)
            .table_elements(65_536)
            .async_stack_keep_resident(32 * 1024)
            .linear_memory_keep_resident(64 * 1024)
            .table_keep_resident(4 * 1024);
        config
            .async_stack_zeroing(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Moves the epoch of `engine` on for as long as anybody has it.
pub(crate) fn tick(engine: &Engine) {
    let weak = Arc::new(engine.weak());
    thread::spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    });
}
