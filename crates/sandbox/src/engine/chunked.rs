//! Jobs in chunks: bytes go through the memory of the guest.

use bytes::Bytes;
use wasmtime::{Engine, Instance, Memory, Store, Trap, TypedFunc};

use super::call::{self, LinkedModule, Returned};
use super::guest::Guest;
use super::values;
use crate::chunks::{self, ALLOC, Calls, MEMORY, Next, Step, Wanted};
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

    /// Makes all calls for `input` in one instance in a fresh store.
    pub(super) async fn drive(
        &self,
        store: &mut Store<Guest>,
        input: Bytes,
    ) -> wasmtime::Result<Returned> {
        let instance = self.linked.code.instantiate_async(&mut *store).await?;
        if let Some(name) = self.initializer {
            call::initialize(store, instance, name).await?;
        }
        let channel = Channel::of(&mut *store, instance)?;
        let mut calls = Calls::new(self.wanted, input);
        loop {
            match calls.next() {
                Next::Done(result) => return Ok(Returned::Bytes(result)),
                Next::Call(step, pieces) => {
                    let answer = channel.call(&mut *store, instance, step, &pieces).await?;
                    calls.answered(answer)?;
                }
            }
        }
    }
}

/// How bytes get into a guest and out of it.
struct Channel {
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
}

impl Channel {
    fn of(store: &mut Store<Guest>, instance: Instance) -> wasmtime::Result<Self> {
        let memory = instance.get_memory(&mut *store, MEMORY);
        Ok(Self {
            memory: memory.expect("a call is resolved against its module's exports"),
            alloc: instance.get_typed_func(&mut *store, ALLOC)?,
        })
    }

    async fn call(
        &self,
        store: &mut Store<Guest>,
        instance: Instance,
        step: Step,
        pieces: &[Bytes],
    ) -> wasmtime::Result<Vec<u8>> {
        let outside = || Trap::MemoryOutOfBounds;
        let len = pieces.iter().map(Bytes::len).sum::<usize>();
        let len = u32::try_from(len).map_err(|_| outside())?.cast_signed();
        let at = match len {
            0 => 0,
            len => self.alloc.call_async(&mut *store, len).await?,
        };
        let mut to = usize::try_from(at.cast_unsigned()).unwrap_or(usize::MAX);
        for piece in pieces {
            let written = self.memory.write(&mut *store, to, piece);
            written.map_err(|_| outside())?;
            to = to.saturating_add(piece.len());
        }
        let function = instance.get_typed_func::<(i32, i32), i64>(&mut *store, step.name())?;
        let packed = function.call_async(&mut *store, (at, len)).await?;
        let place = chunks::place(packed);
        if place.end > self.memory.data_size(&*store) {
            return Err(outside().into());
        }
        // Before it is copied: what the host keeps for a guest counts as the guest's.
        store.data_mut().keep(place.len())?;
        Ok(self.memory.data(&*store)[place].to_vec())
    }
}
