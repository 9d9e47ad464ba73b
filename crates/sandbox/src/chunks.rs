//! Jobs in chunks: modules that export `split`, `execute` and `merge`.
//!
//! ```text
//!  input ──split──► list ──┬─execute─► output ─┬──► list ──merge──► result
//!                          └─execute─► output ─┘
//! ```
//!
//! What the functions take and give, and the bytes of a list, are in docs/formats/chunks.md. Here is
//! what to call next with which bytes; an engine makes the calls.

use std::mem;
use std::ops::Range;

use bytes::Bytes;

use crate::bulk;
use crate::job::{Entry, Job};
use crate::numbers::{NumberType, Signature};

/// The memory that bytes go through.
pub(crate) const MEMORY: &str = "memory";

/// Makes room for bytes: `alloc(len) -> at`.
pub(crate) const ALLOC: &str = "alloc";

/// How many chunks a list may have: each is a call, and a list of empty ones costs four bytes each.
const CHUNKS_MAX: usize = 65_536;

/// The bytes of a number in a list: a u32, little-endian.
const NUMBER_LEN: usize = 4;

/// One of the three functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Split,
    Execute,
    Merge,
}

impl Step {
    const ALL: [Self; 3] = [Self::Split, Self::Execute, Self::Merge];

    /// Its name as an export.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Execute => "execute",
            Self::Merge => "merge",
        }
    }
}

/// What a job wants of a module with chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Its input is split, every chunk executed, and what comes of it merged.
    All,
    /// One function is called with its input.
    One(Step),
}

impl Wanted {
    /// What `job` wants, if it wants bytes to go through these functions: it names one and gives no
    /// arguments, or it names nothing and nothing else fits. `exported` tells the type of a function
    /// of the module, `memory` whether it exports its memory.
    pub(crate) fn by(
        job: &Job,
        exported: impl Fn(&str) -> Option<Signature>,
        memory: bool,
        nothing_else_fits: bool,
    ) -> Option<Self> {
        let is = |name, params: &[NumberType], result| {
            exported(name).is_some_and(|ty| ty.is(params, result))
        };
        let whole = memory
            && is(ALLOC, &[NumberType::I32], NumberType::I32)
            && Step::ALL.iter().all(|step| {
                is(
                    step.name(),
                    &[NumberType::I32, NumberType::I32],
                    NumberType::I64,
                )
            });
        if !(whole && job.args.is_empty()) {
            return None;
        }
        let (Entry::Named(name) | Entry::Default { hint: name }) = &job.entry;
        let named = Step::ALL.into_iter().find(|step| step.name() == name);
        match (named, &job.entry) {
            (Some(step), _) => Some(Self::One(step)),
            (None, Entry::Default { .. }) if nothing_else_fits => Some(Self::All),
            (None, _) => None,
        }
    }
}

/// The calls of one job, one after the other.
///
/// It keeps every answer until the next step has all of them. Whoever makes the calls counts the
/// answers as memory of the guest.
#[derive(Debug)]
pub(crate) struct Calls(State);

#[derive(Debug)]
enum State {
    One(Step, Bytes),
    Split(Bytes),
    Execute {
        list: Bytes,
        /// The chunks that are left, last first.
        left: Vec<Range<usize>>,
        outputs: Vec<Bytes>,
    },
    Merge(Vec<Bytes>),
    Done(Vec<u8>),
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A call with these pieces, one after the other.
    Call(Step, Vec<Bytes>),
    /// Nothing: this is the result.
    Done(Vec<u8>),
}

/// Why bytes are no list of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// A number is not there, or only its beginning.
    #[error("it ends within a number")]
    CutOff,
    /// More chunks than a list may have.
    #[error("it has {0} chunks, and at most {CHUNKS_MAX} are taken")]
    TooMany(u32),
    /// This chunk, counted from 0, goes beyond the end.
    #[error("chunk {0} is longer than the list")]
    TooLong(usize),
    /// So many bytes are no part of the list.
    #[error("{0} bytes follow its last chunk")]
    Rest(usize),
}

impl Calls {
    /// For a job with `input`.
    pub(crate) fn new(wanted: Wanted, input: Bytes) -> Self {
        Self(match wanted {
            Wanted::All => State::Split(input),
            Wanted::One(step) => State::One(step, input),
        })
    }

    /// What to call now. Asking again gives the same until the answer is there.
    pub(crate) fn next(&mut self) -> Next {
        match &mut self.0 {
            State::One(step, input) => Next::Call(*step, vec![input.clone()]),
            State::Split(input) => Next::Call(Step::Split, vec![input.clone()]),
            State::Execute { list, left, .. } => {
                let chunk = left.last().cloned().unwrap_or_default();
                Next::Call(Step::Execute, vec![list.slice(chunk)])
            }
            State::Merge(outputs) => Next::Call(Step::Merge, joined(outputs)),
            State::Done(result) => Next::Done(mem::take(result)),
        }
    }

    /// Takes what the call gave.
    pub(crate) fn answered(&mut self, answer: Vec<u8>) -> Result<(), ListError> {
        let state = mem::replace(&mut self.0, State::Done(Vec::new()));
        self.0 = match state {
            State::One(..) | State::Merge(_) | State::Done(_) => State::Done(answer),
            State::Split(_) => {
                let mut left = places(&answer)?;
                left.reverse();
                Self::go_on(Bytes::from(answer), left, Vec::new())
            }
            State::Execute {
                list,
                mut left,
                mut outputs,
            } => {
                left.pop();
                outputs.push(Bytes::from(answer));
                Self::go_on(list, left, outputs)
            }
        };
        Ok(())
    }

    fn go_on(list: Bytes, left: Vec<Range<usize>>, outputs: Vec<Bytes>) -> State {
        match left.is_empty() {
            true => State::Merge(outputs),
            false => State::Execute {
                list,
                left,
                outputs,
            },
        }
    }
}

/// What is copied into a guest, out of it and to its output: at most a piece at one go, as with
/// the instructions of the guest itself. Between two pieces others have the thread, and whoever waits
/// for the guest looks at its time.
#[derive(Debug, Default)]
pub(crate) struct Copying {
    /// How many bytes of this piece are copied.
    done: usize,
}

impl Copying {
    /// Has `copy` copy `len` bytes, and tells it which ones.
    pub(crate) async fn each<E>(
        &mut self,
        len: usize,
        mut copy: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        let piece = usize::try_from(bulk::PIECES.bytes).unwrap_or(usize::MAX);
        let mut at = 0;
        while at < len {
            if self.done == piece {
                tokio::task::yield_now().await;
                self.done = 0;
            }
            let end = len.min(at + piece - self.done);
            self.done += end - at;
            copy(at..end)?;
            at = end;
        }
        Ok(())
    }
}

/// A list of these chunks in pieces, so that no chunk is copied.
fn joined(chunks: &[Bytes]) -> Vec<Bytes> {
    let number = |number: usize| {
        // Guests have less memory than a number can say, and lists fewer chunks.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Bytes::copy_from_slice(&number.to_le_bytes())
    };
    let mut pieces = vec![number(chunks.len())];
    for chunk in chunks {
        pieces.push(number(chunk.len()));
        pieces.push(chunk.clone());
    }
    pieces
}

/// The chunks of a list, in order.
///
/// # Errors
///
/// [`ListError`] if the bytes are no list, or more than one.
pub fn chunks(list: &[u8]) -> Result<impl Iterator<Item = &[u8]>, ListError> {
    Ok(places(list)?.into_iter().map(|place| &list[place]))
}

/// Where the chunks of a list are in it.
fn places(list: &[u8]) -> Result<Vec<Range<usize>>, ListError> {
    let mut at = 0;
    let count = number(list, &mut at)?;
    let count_max = usize::try_from(count).unwrap_or(usize::MAX);
    if count_max > CHUNKS_MAX {
        return Err(ListError::TooMany(count));
    }
    let mut found = Vec::new();
    for index in 0..count_max {
        let len = usize::try_from(number(list, &mut at)?).unwrap_or(usize::MAX);
        let end = at.checked_add(len).filter(|end| *end <= list.len());
        let end = end.ok_or(ListError::TooLong(index))?;
        found.push(at..end);
        at = end;
    }
    match list.len() - at {
        0 => Ok(found),
        rest => Err(ListError::Rest(rest)),
    }
}

fn number(list: &[u8], at: &mut usize) -> Result<u32, ListError> {
    let bytes = list.get(*at..*at + NUMBER_LEN).ok_or(ListError::CutOff)?;
    *at += NUMBER_LEN;
    let bytes = bytes
        .try_into()
        .expect("the slice has the length of a number");
    Ok(u32::from_le_bytes(bytes))
}

/// What a function of the three gives: where its bytes are in the memory.
pub(crate) fn place(packed: i64) -> Range<usize> {
    let [high, low] = [packed >> 32, packed].map(|half| {
        let half = u32::try_from(half & 0xffff_ffff).expect("it is masked");
        usize::try_from(half).unwrap_or(usize::MAX)
    });
    high..high.saturating_add(low)
}

#[cfg(test)]
mod tests;
