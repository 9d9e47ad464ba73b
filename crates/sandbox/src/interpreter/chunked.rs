//! Jobs in chunks: bytes go through the memory of the guest.

use bytes::Bytes;
use wasmi::{Error, Instance, Store, TrapCode, Val};

use super::guest::{Guest, call_in_turns};
use super::wasi::Fail;
use crate::chunks::{self, ALLOC, Calls, MEMORY, Next, Step, Wanted};
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
    loop {
        match calls.next() {
            Next::Done(result) => {
                let printed = store.data_mut().wasi.print(&result);
                return printed.map_err(Error::host);
            }
            Next::Call(step, pieces) => {
                let answer = answer(store, instance, step, &pieces).await?;
                let taken = calls.answered(answer);
                taken.map_err(|error| Error::host(Fail::Chunks(error)))?;
            }
        }
    }
}

async fn answer(
    store: &mut Store<Guest>,
    instance: Instance,
    step: Step,
    pieces: &[Bytes],
) -> Result<Vec<u8>, Error> {
    let outside = || Error::from(TrapCode::MemoryOutOfBounds);
    let memory = instance.get_memory(&*store, MEMORY);
    let memory = memory.expect("a call is resolved against its module's exports");
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
    for piece in pieces {
        let written = memory.write(&mut *store, to, piece);
        written.map_err(|_| outside())?;
        to = to.saturating_add(piece.len());
    }
    let mut packed = [Val::I64(0)];
    call_in_turns(store, instance, step.name(), &[at, len], &mut packed).await?;
    let packed = packed[0].i64().unwrap_or_default();
    let place = chunks::place(packed);
    if place.end > memory.data_size(&*store) {
        return Err(outside());
    }
    // Before it is copied: what the host keeps for a guest counts as the guest's.
    store.data_mut().keep(place.len())?;
    Ok(memory.data(&*store)[place].to_vec())
}
