//! `poll_oneoff` of WASI preview 1 in virtual time.
//!
//! Layouts: `subscription`, `event`, `clockid`, `subclockflags` and `errno` of
//! <https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md>.

use wasmtime::{Caller, Extern, Linker, Memory, Result, bail};

use super::guest::Guest;
use super::virtual_time::{EPOCH, VirtualClock};

const SUBSCRIPTION_LEN: usize = 48;
const EVENT_LEN: usize = 32;
/// Subscriptions in one call. Programs wait for a handful of things.
const SUBSCRIPTIONS_MAX: usize = 4096;

const SUCCESS: i32 = 0;
const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const NOMEM: i32 = 48;

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const ABSTIME: u16 = 1;

/// Replaces the function that modules wait with.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "poll_oneoff",
        |mut caller: Caller<'_, Guest>, input: i32, output: i32, count: i32, written: i32| {
            let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
                bail!("missing required memory export")
            };
            let clock = caller.data_mut().clock();
            let call = Call {
                input: address(input),
                output: address(output),
                count: address(count),
                written: address(written),
            };
            Ok(call.answer(&mut caller, memory, &clock))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The arguments of one call.
struct Call {
    input: usize,
    output: usize,
    count: usize,
    written: usize,
}

/// What a guest wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subscription {
    userdata: [u8; 8],
    wish: Wish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// When the clock shows this, in nanoseconds since the guest began.
    Clock(u64),
    /// When standard input can be read, which is always.
    Read,
    /// When an output can be written, which is always.
    Write,
}

impl Wish {
    fn event_type(self) -> u8 {
        match self {
            Self::Clock(_) => 0,
            Self::Read => 1,
            Self::Write => 2,
        }
    }
}

impl Call {
    fn answer(&self, caller: &mut Caller<'_, Guest>, memory: Memory, clock: &VirtualClock) -> i32 {
        if self.count == 0 {
            return INVAL;
        }
        if self.count > SUBSCRIPTIONS_MAX {
            return NOMEM;
        }
        let data = memory.data_mut(caller);
        let read = range(data, self.input, self.count * SUBSCRIPTION_LEN)
            .map(|bytes| subscriptions(bytes, clock.peek()));
        let subscriptions = match read {
            None => return FAULT,
            Some(Err(errno)) => return errno,
            Some(Ok(subscriptions)) => subscriptions,
        };
        let due = due(&subscriptions, clock);
        let Some(events) = range(data, self.output, due.len() * EVENT_LEN) else {
            return FAULT;
        };
        for (event, subscription) in events.chunks_exact_mut(EVENT_LEN).zip(&due) {
            event.fill(0);
            event[..8].copy_from_slice(&subscription.userdata);
            event[10] = subscription.wish.event_type();
            event[16] = 1;
        }
        let Some(written) = range(data, self.written, 4) else {
            return FAULT;
        };
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        written.copy_from_slice(&count.to_le_bytes());
        SUCCESS
    }
}

/// What is ready. Streams are at once; without any, time passes up to the earliest deadline.
fn due(subscriptions: &[Subscription], clock: &VirtualClock) -> Vec<Subscription> {
    let deadlines = subscriptions.iter().map(|one| match one.wish {
        Wish::Clock(at) => Some(at),
        Wish::Read | Wish::Write => None,
    });
    let all_wait = deadlines.clone().all(|deadline| deadline.is_some());
    if let Some(earliest) = deadlines.flatten().min().filter(|_| all_wait) {
        clock.advance(earliest);
    }
    let now = clock.peek();
    let ready = |one: &&Subscription| match one.wish {
        Wish::Clock(at) => at <= now,
        Wish::Read | Wish::Write => true,
    };
    subscriptions.iter().filter(ready).copied().collect()
}

fn subscriptions(bytes: &[u8], now: u64) -> Result<Vec<Subscription>, i32> {
    let all = bytes.chunks_exact(SUBSCRIPTION_LEN);
    all.map(|bytes| subscription(bytes, now)).collect()
}

fn subscription(bytes: &[u8], now: u64) -> Result<Subscription, i32> {
    let stream = u32_at(bytes, 16);
    let wish = match (bytes[8], stream) {
        (0, id) => {
            let timeout = u64_at(bytes, 24);
            let absolute = u16_at(bytes, 40) & ABSTIME != 0;
            Wish::Clock(match (id, absolute) {
                (MONOTONIC | REALTIME, false) => now.saturating_add(timeout),
                (MONOTONIC, true) => timeout,
                (REALTIME, true) => {
                    let epoch = u64::try_from(EPOCH.as_nanos()).unwrap_or(u64::MAX);
                    timeout.saturating_sub(epoch)
                }
                _ => return Err(INVAL),
            })
        }
        (1, 0) => Wish::Read,
        (2, 1 | 2) => Wish::Write,
        (1 | 2, _) => return Err(BADF),
        _ => return Err(INVAL),
    };
    Ok(Subscription {
        userdata: array(bytes, 0),
        wish,
    })
}

/// Pointers and counts are unsigned.
fn address(number: i32) -> usize {
    number.cast_unsigned() as usize
}

fn range(data: &mut [u8], start: usize, len: usize) -> Option<&mut [u8]> {
    data.get_mut(start..start.checked_add(len)?)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(wish: Wish) -> Subscription {
        Subscription {
            userdata: [0; 8],
            wish,
        }
    }

    #[test]
    fn time_passes_to_the_earliest_deadline_and_no_further() {
        let clock = VirtualClock::default();
        let all = [
            wish(Wish::Clock(30)),
            wish(Wish::Clock(20)),
            wish(Wish::Clock(20)),
        ];
        assert_eq!(due(&all, &clock).len(), 2);
        assert_eq!(clock.peek(), 20);
    }

    #[test]
    fn a_stream_that_is_ready_keeps_time_from_passing() {
        let clock = VirtualClock::default();
        let all = [wish(Wish::Clock(30)), wish(Wish::Read)];
        assert_eq!(due(&all, &clock), [wish(Wish::Read)]);
        assert_eq!(clock.peek(), 0);
    }

    #[test]
    fn a_subscription_is_read_as_it_is_laid_out() {
        let mut bytes = [0; SUBSCRIPTION_LEN];
        bytes[0] = 7;
        bytes[16] = 1;
        bytes[24] = 100;
        let read = subscription(&bytes, 5).expect("it waits for 100 ns");
        assert_eq!((read.userdata[0], read.wish), (7, Wish::Clock(105)));
        bytes[40] = 1;
        let read = subscription(&bytes, 5).expect("it waits until 100 ns");
        assert_eq!(read.wish, Wish::Clock(100));
        bytes[16] = 2;
        assert_eq!(subscription(&bytes, 5), Err(INVAL));
        bytes[8] = 1;
        assert_eq!(subscription(&bytes, 5), Err(BADF));
        bytes[8] = 9;
        assert_eq!(subscription(&bytes, 5), Err(INVAL));
    }
}
