//! Jobs in chunks: bytes go through the memory of the guest.

use std::ops::Range;

use bytes::Bytes;
use wasmtime::{Engine, Instance, Memory, Store, Trap, TypedFunc};

use super::call::{self, LinkedModule, Returned};
use super::guest::Guest;
use super::output::Output;
use super::values;
use crate::chunks::{self, ALLOC, Calls, Copying, MEMORY, NUMBER_LEN, Next, Step, Wanted};
use crate::exports;
use crate::job::Job;

/// A job in chunks that its module can take.
pub(super) struct ChunkedCall<'code> {
    linked: &'code LinkedModule,
    wanted: Wanted,
    /// What to call first.
    initializer: Option<&'static str>,
}

impl<'code> ChunkedCall<'code> {
    /// What `job` asks for, if that is a job in chunks.
    pub(super) fn resolve(linked: &'code LinkedModule, job: &Job) -> Option<Self> {
        linked.splits.then_some(())?;
        let module = linked.module();
        let exported = |name: &str| call::exported(module, name);
        let nothing_else = || !exports::fits(&job.entry, |name| exported(name).is_some());
        let signature = |name: &str| exported(name).as_ref().map(values::signature);
        let memory = module
            .get_export(MEMORY)
            .is_some_and(|export| export.memory().is_some());
        Some(Self {
            linked,
            wanted: Wanted::by(job, signature, memory, nothing_else())?,
            initializer: call::initializer(module, Step::Split.name()),
        })
    }

    /// The engine that its code was compiled for.
    pub(super) fn engine(&self) -> &Engine {
        self.linked.module().engine()
    }

    /// Whether the module imports anything.
    pub(super) fn imports(&self) -> bool {
        self.linked.imports
    }

    /// Makes all calls for `input` in one instance in a fresh store, and prints the result.
    pub(super) async fn drive(
        &self,
        store: &mut Store<Guest>,
        input: Bytes,
        stdout: &Output,
    ) -> wasmtime::Result<Returned> {
        let instance = self.linked.code.instantiate_async(&mut *store).await?;
        if let Some(name) = self.initializer {
            call::initialize(store, instance, name).await?;
        }
        let mut channel = Channel::of(&mut *store, instance)?;
        let mut calls = Calls::new(self.wanted, input);
        loop {
            match calls.next() {
                Next::Done(result) => {
                    channel.print(&result, stdout).await?;
                    return Ok(Returned::Value(None));
                }
                Next::Call(step, bytes) => {
                    let place = channel.call(&mut *store, instance, step, &bytes).await?;
                    channel.take(&mut *store, place, &mut calls).await?;
                    calls.answered()?;
                }
            }
        }
    }
}

/// How bytes get into a guest and out of it.
struct Channel {
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    copying: Copying,
}

impl Channel {
    fn of(store: &mut Store<Guest>, instance: Instance) -> wasmtime::Result<Self> {
        let memory = instance.get_memory(&mut *store, MEMORY);
        Ok(Self {
            memory: memory.expect("a call is resolved against its module's exports"),
            alloc: instance.get_typed_func(&mut *store, ALLOC)?,
            copying: Copying::default(),
        })
    }

    /// Where in the memory the answer is.
    async fn call(
        &mut self,
        store: &mut Store<Guest>,
        instance: Instance,
        step: Step,
        bytes: &[u8],
    ) -> wasmtime::Result<Range<usize>> {
        let outside = || Trap::MemoryOutOfBounds;
        let len = u32::try_from(bytes.len()).map_err(|_| outside())?;
        let len = len.cast_signed();
        let at = match len {
            0 => 0,
            len => self.alloc.call_async(&mut *store, len).await?,
        };
        let to = usize::try_from(at.cast_unsigned()).unwrap_or(usize::MAX);
        let memory = self.memory;
        let copy = |now: Range<usize>| {
            let at = to.saturating_add(now.start);
            memory.write(&mut *store, at, &bytes[now])
        };
        let written = self.copying.each(bytes.len(), copy).await;
        written.map_err(|_| outside())?;
        let function = instance.get_typed_func::<(i32, i32), i64>(&mut *store, step.name())?;
        let packed = function.call_async(&mut *store, (at, len)).await?;
        Ok(chunks::place(packed))
    }

    /// Copies what a function has given.
    async fn take(
        &mut self,
        store: &mut Store<Guest>,
        place: Range<usize>,
        calls: &mut Calls,
    ) -> wasmtime::Result<()> {
        if place.end > self.memory.data_size(&*store) {
            return Err(Trap::MemoryOutOfBounds.into());
        }
        // Before it is copied: what the host keeps for a guest counts as the guest's.
        store.data_mut().keep(place.len() + NUMBER_LEN)?;
        let memory = self.memory;
        let room = calls.room(place.len());
        // It owns the store's reference, since others may not so much as look at a store meanwhile.
        let copy = move |now: Range<usize>| -> wasmtime::Result<()> {
            let there = place.start + now.start..place.start + now.end;
            room.extend_from_slice(&memory.data(&*store)[there]);
            Ok(())
        };
        self.copying.each(place.len(), copy).await
    }

    /// Writes to standard output in the guest's place.
    async fn print(&mut self, bytes: &[u8], stdout: &Output) -> wasmtime::Result<()> {
        let print = |now: Range<usize>| stdout.append(&bytes[now]);
        Ok(self.copying.each(bytes.len(), print).await?)
    }
}
