//! Jobs in chunks: bytes go through the memory of the guest.

use std::ops::Range;

use bytes::Bytes;
use wasmi::{Error, Instance, Memory, Store, TrapCode, Val};

use super::guest::{Guest, call_in_turns};
use super::wasi::Fail;
use crate::chunks::{self, ALLOC, Calls, Copying, MEMORY, Next, Step, Wanted};
use crate::job::Job;

/// Makes all calls in one instance, and prints the result.
pub(super) async fn drive(
    store: &mut Store<Guest>,
    instance: Instance,
    wanted: Wanted,
    job: &Job,
) -> Result<(), Error> {
    let input = job.stdin.whole().cloned();
    let mut calls = Calls::new(wanted, input.unwrap_or_default());
    let memory = instance.get_memory(&*store, MEMORY);
    let mut channel = Channel {
        instance,
        memory: memory.expect("a call is resolved against its module's exports"),
        copying: Copying::default(),
    };
    loop {
        match calls.next() {
            Next::Done(result) => return channel.print(store, &result).await,
            Next::Call(step, pieces) => {
                let answer = channel.call(store, step, &pieces).await?;
                let taken = calls.answered(answer);
                taken.map_err(|error| Error::host(Fail::Chunks(error)))?;
            }
        }
    }
}

/// How bytes get into a guest and out of it.
struct Channel {
    instance: Instance,
    memory: Memory,
    copying: Copying,
}

impl Channel {
    async fn call(
        &mut self,
        store: &mut Store<Guest>,
        step: Step,
        pieces: &[Bytes],
    ) -> Result<Vec<u8>, Error> {
        let outside = || Error::from(TrapCode::MemoryOutOfBounds);
        let instance = self.instance;
        let len = pieces.iter().map(Bytes::len).sum::<usize>();
        let len = u32::try_from(len).map_err(|_| outside())?;
        let mut at = [Val::I32(0)];
        let is_empty = len == 0;
        let len = Val::I32(len.cast_signed());
        if !is_empty {
            call_in_turns(store, instance, ALLOC, std::slice::from_ref(&len), &mut at).await?;
        }
        let [at] = at;
        let start = at.i32().map_or(0, i32::cast_unsigned);
        let mut to = usize::try_from(start).unwrap_or(usize::MAX);
        let (memory, copying) = (self.memory, &mut self.copying);
        for piece in pieces {
            let copy = |now: Range<usize>| {
                let at = to.saturating_add(now.start);
                memory.write(&mut *store, at, &piece[now])
            };
            let written = copying.each(piece.len(), copy).await;
            written.map_err(|_| outside())?;
            to = to.saturating_add(piece.len());
        }
        let mut packed = [Val::I64(0)];
        call_in_turns(store, instance, step.name(), &[at, len], &mut packed).await?;
        let packed = packed[0].i64().unwrap_or_default();
        self.take(store, chunks::place(packed)).await
    }

    /// Copies what a function has given.
    async fn take(
        &mut self,
        store: &mut Store<Guest>,
        place: Range<usize>,
    ) -> Result<Vec<u8>, Error> {
        if place.end > self.memory.data_size(&*store) {
            return Err(TrapCode::MemoryOutOfBounds.into());
        }
        // Before it is copied: what the host keeps for a guest counts as the guest's.
        store.data_mut().keep(place.len())?;
        let memory = self.memory;
        let mut taken = Vec::with_capacity(place.len());
        let into = &mut taken;
        // It owns the store's reference, since others may not so much as look at a store meanwhile.
        let copy = move |now: Range<usize>| -> Result<(), Error> {
            let there = place.start + now.start..place.start + now.end;
            into.extend_from_slice(&memory.data(&*store)[there]);
            Ok(())
        };
        self.copying.each(place.len(), copy).await?;
        Ok(taken)
    }

    /// Writes to standard output in the guest's place.
    async fn print(&mut self, store: &mut Store<Guest>, bytes: &[u8]) -> Result<(), Error> {
        let wasi = &mut store.data_mut().wasi;
        let print = |now: Range<usize>| wasi.print(&bytes[now]).map_err(Error::host);
        self.copying.each(bytes.len(), print).await
    }
}
