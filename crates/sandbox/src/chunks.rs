//! Jobs in chunks: modules that export `split`, `execute` and `merge`.
//!
//! ```text
//!  input ──split──► list ──┬─execute─► output ─┬──► list ──merge──► result
//!                          └─execute─► output ─┘
//! ```
//!
//! What the functions take and give, and the bytes of a list, are in docs/formats/chunks.md. Here is
//! what to call next with which bytes; an engine makes the calls.

use std::ops::Range;
use std::{iter, mem};

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
pub(crate) const NUMBER_LEN: usize = 4;

/// How much room the list for `merge` has beyond what is in it, at most: enough to grow seldom, and
/// little beside what a guest may have.
const AHEAD_BYTES_MAX: usize = 4 << 20;

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
/// What the chunks give becomes the list for `merge` as it comes, so that there is nothing to put
/// together at its end. Whoever makes the calls counts the answers as memory of the guest.
#[derive(Debug)]
pub(crate) struct Calls {
    state: State,
    /// What answers are appended to: the list for `merge` while there are chunks, else one answer.
    answers: Vec<u8>,
}

#[derive(Debug)]
enum State {
    One(Step, Bytes),
    Split(Bytes),
    Execute {
        list: Bytes,
        chunk: Range<usize>,
        rest: Cursor,
    },
    Merge(Bytes),
    Done(Bytes),
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A call with these bytes.
    Call(Step, Bytes),
    /// Nothing: this is the result.
    Done(Bytes),
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
        let state = match wanted {
            Wanted::All => State::Split(input),
            Wanted::One(step) => State::One(step, input),
        };
        let answers = Vec::new();
        Self { state, answers }
    }

    /// What to call now. Asking again gives the same until the answer is there.
    pub(crate) fn next(&self) -> Next {
        match &self.state {
            State::One(step, input) => Next::Call(*step, input.clone()),
            State::Split(input) => Next::Call(Step::Split, input.clone()),
            State::Execute { list, chunk, .. } => {
                Next::Call(Step::Execute, list.slice(chunk.clone()))
            }
            State::Merge(list) => Next::Call(Step::Merge, list.clone()),
            State::Done(result) => Next::Done(result.clone()),
        }
    }

    /// Where an answer of `len` bytes is to be appended, before [`Self::answered`] is called.
    pub(crate) fn room(&mut self, len: usize) -> &mut Vec<u8> {
        let answers = &mut self.answers;
        match self.state {
            State::Execute { .. } => {
                let len = len.saturating_add(NUMBER_LEN);
                if answers.capacity() - answers.len() < len {
                    answers.reserve_exact(len.max(answers.len().min(AHEAD_BYTES_MAX)));
                }
                answers.extend(written(len - NUMBER_LEN));
            }
            _ => answers.reserve_exact(len),
        }
        answers
    }

    /// Takes what the call gave.
    pub(crate) fn answered(&mut self) -> Result<(), ListError> {
        let state = mem::replace(&mut self.state, State::Done(Bytes::new()));
        self.state = match state {
            State::One(..) | State::Merge(_) | State::Done(_) => State::Done(self.whole()),
            State::Split(_) => {
                let list = self.whole();
                let rest = Cursor::checked(&list)?;
                self.answers.extend(written(rest.left));
                self.go_on(list, rest)?
            }
            State::Execute { list, rest, .. } => self.go_on(list, rest)?,
        };
        Ok(())
    }

    fn go_on(&mut self, list: Bytes, mut rest: Cursor) -> Result<State, ListError> {
        Ok(match rest.next(&list)? {
            None => State::Merge(self.whole()),
            Some(chunk) => State::Execute { list, chunk, rest },
        })
    }

    fn whole(&mut self) -> Bytes {
        Bytes::from(mem::take(&mut self.answers))
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

/// The chunks of a list, in order.
///
/// # Errors
///
/// [`ListError`] if the bytes are no list, or more than one.
pub fn chunks(list: &[u8]) -> Result<impl Iterator<Item = &[u8]>, ListError> {
    let mut cursor = Cursor::checked(list)?;
    Ok(iter::from_fn(move || {
        let place = cursor.next(list).ok().flatten();
        place.map(|place| &list[place])
    }))
}

/// How far a list is read. It keeps no places: a list may have many chunks.
#[derive(Clone, Debug)]
struct Cursor {
    at: usize,
    /// How many chunks there were.
    seen: usize,
    /// How many there are from here.
    left: usize,
}

impl Cursor {
    /// The beginning of `list`, which is read to its end first.
    fn checked(list: &[u8]) -> Result<Self, ListError> {
        let mut at = 0;
        let count = number(list, &mut at)?;
        let left = usize::try_from(count).unwrap_or(usize::MAX);
        if left > CHUNKS_MAX {
            return Err(ListError::TooMany(count));
        }
        let start = Self { at, seen: 0, left };
        let mut ahead = start.clone();
        while ahead.next(list)?.is_some() {}
        Ok(start)
    }

    /// Where the next chunk is; `None` behind the last one, where the list ends too.
    fn next(&mut self, list: &[u8]) -> Result<Option<Range<usize>>, ListError> {
        if self.left == 0 {
            return match list.len() - self.at {
                0 => Ok(None),
                rest => Err(ListError::Rest(rest)),
            };
        }
        let len = usize::try_from(number(list, &mut self.at)?).unwrap_or(usize::MAX);
        let end = self.at.checked_add(len).filter(|end| *end <= list.len());
        let end = end.ok_or(ListError::TooLong(self.seen))?;
        let place = self.at..end;
        self.at = end;
        self.seen += 1;
        self.left -= 1;
        Ok(Some(place))
    }
}

/// A number as it is in a list.
fn written(number: usize) -> [u8; NUMBER_LEN] {
    // Guests have less memory than a number can say, and lists fewer chunks.
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
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
