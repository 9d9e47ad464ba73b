//! Jobs in chunks: bytes go through the memory of the guest.

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
    let bytes_max = job.limits.memory_bytes.value;
    let mut calls = Calls::new(wanted, job.stdin.clone(), bytes_max);
    loop {
        match calls.next() {
            Next::Done(result) => {
                let printed = store.data_mut().wasi.print(&result);
                return printed.map_err(Error::host);
            }
            Next::Call(step, bytes) => {
                let answer = answer(store, instance, step, &bytes).await?;
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
    bytes: &[u8],
) -> Result<Vec<u8>, Error> {
    let outside = || Error::from(TrapCode::MemoryOutOfBounds);
    let memory = instance.get_memory(&*store, MEMORY);
    let memory = memory.expect("a call is resolved against its module's exports");
    let len = u32::try_from(bytes.len()).map_err(|_| outside())?;
    let len = Val::I32(len.cast_signed());
    let mut at = [Val::I32(0)];
    if !bytes.is_empty() {
        call_in_turns(store, instance, ALLOC, std::slice::from_ref(&len), &mut at).await?;
    }
    let [at] = at;
    let start = at.i32().map_or(0, i32::cast_unsigned);
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    memory
        .write(&mut *store, start, bytes)
        .map_err(|_| outside())?;
    let mut packed = [Val::I64(0)];
    call_in_turns(store, instance, step.name(), &[at, len], &mut packed).await?;
    let packed = packed[0].i64().unwrap_or_default();
    let answer = memory.data(&*store).get(chunks::place(packed));
    answer.map(<[u8]>::to_vec).ok_or_else(outside)
}
