//! Jobs in chunks: bytes go through the memory of the guest.

use std::ops::Range;

use wasmi::{Error, Instance, Memory, Store, TrapCode, Val};

use super::guest::{Guest, call_in_turns};
use super::wasi::Fail;
use crate::chunks::{self, ALLOC, Calls, Copying, MEMORY, NUMBER_LEN, Next, Step, Wanted};
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
            Next::Call(step, bytes) => {
                let place = channel.call(store, step, &bytes).await?;
                channel.take(store, place, &mut calls).await?;
                let taken = calls.answered();
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
    /// Where in the memory the answer is.
    async fn call(
        &mut self,
        store: &mut Store<Guest>,
        step: Step,
        bytes: &[u8],
    ) -> Result<Range<usize>, Error> {
        let outside = || Error::from(TrapCode::MemoryOutOfBounds);
        let instance = self.instance;
        let len = u32::try_from(bytes.len()).map_err(|_| outside())?;
        let mut at = [Val::I32(0)];
        let len = Val::I32(len.cast_signed());
        if !bytes.is_empty() {
            call_in_turns(store, instance, ALLOC, std::slice::from_ref(&len), &mut at).await?;
        }
        let [at] = at;
        let start = at.i32().map_or(0, i32::cast_unsigned);
        let to = usize::try_from(start).unwrap_or(usize::MAX);
        let memory = self.memory;
        let copy = |now: Range<usize>| {
            let at = to.saturating_add(now.start);
            memory.write(&mut *store, at, &bytes[now])
        };
        let written = self.copying.each(bytes.len(), copy).await;
        written.map_err(|_| outside())?;
        let mut packed = [Val::I64(0)];
        call_in_turns(store, instance, step.name(), &[at, len], &mut packed).await?;
        let packed = packed[0].i64().unwrap_or_default();
        Ok(chunks::place(packed))
    }

    /// Copies what a function has given.
    async fn take(
        &mut self,
        store: &mut Store<Guest>,
        place: Range<usize>,
        calls: &mut Calls,
    ) -> Result<(), Error> {
        if place.end > self.memory.data_size(&*store) {
            return Err(TrapCode::MemoryOutOfBounds.into());
        }
        // Before it is copied: what the host keeps for a guest counts as the guest's.
        store.data_mut().keep(place.len() + NUMBER_LEN)?;
        let memory = self.memory;
        let room = calls.room(place.len());
        // It owns the store's reference, since others may not so much as look at a store meanwhile.
        let copy = move |now: Range<usize>| -> Result<(), Error> {
            let there = place.start + now.start..place.start + now.end;
            room.extend_from_slice(&memory.data(&*store)[there]);
            Ok(())
        };
        self.copying.each(place.len(), copy).await
    }

    /// Writes to standard output in the guest's place.
    async fn print(&mut self, store: &mut Store<Guest>, bytes: &[u8]) -> Result<(), Error> {
        let wasi = &mut store.data_mut().wasi;
        let print = |now: Range<usize>| wasi.print(&bytes[now]).map_err(Error::host);
        self.copying.each(bytes.len(), print).await
    }
}
