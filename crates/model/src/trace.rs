//! The trace context that travels with a task: W3C Trace Context, level 1.
//!
//! Propeller does not export spans. It carries the ids, so that its log lines can be joined with
//! the caller's traces, and so that whoever reads a proplet's log finds the request behind it.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, TaskId};

/// Where a piece of work belongs: a `traceparent`.
///
/// ```
/// use propeller_model::Trace;
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace: Trace = text.parse().unwrap();
/// assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(trace.to_string(), text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trace {
    id: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

/// Why a text is not a `traceparent`. Whoever gets one begins a new trace, as the standard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a traceparent is VERSION-TRACE-SPAN-FLAGS in lower-case hexadecimal: \
     2, 32, 16 and 2 digits, the ids not all zero"
)]
pub struct TraceError;

impl Trace {
    /// Recorded, because the log always is.
    const SAMPLED: u8 = 1;

    /// The trace of a task whose owner named none: the task's id is the trace's.
    #[must_use]
    pub fn of(task: TaskId) -> Self {
        Self {
            id: *task.0.as_bytes(),
            span: span(task, 0),
            flags: Self::SAMPLED,
        }
    }

    /// The same trace, one step further down.
    #[must_use]
    pub fn attempt(self, attempt: AttemptId) -> Self {
        Self {
            span: span(attempt.task, attempt.number),
            ..self
        }
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        HEXLOWER.encode(&self.id)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = HEXLOWER.encode(&self.span);
        write!(f, "00-{}-{span}-{:02x}", self.id(), self.flags)
    }
}

impl FromStr for Trace {
    type Err = TraceError;

    /// Also takes what a later version may add after the flags, as the standard asks.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(TraceError);
        let (version, id, span, flags) = (next()?, next()?, next()?, next()?);
        let [version] = bytes(version)?;
        let [flags] = bytes(flags)?;
        let trace = Self {
            id: bytes(id)?,
            span: bytes(span)?,
            flags,
        };
        let is_more_than_known = version == 0 && parts.next().is_some();
        let is_nothing = trace.id == [0; 16] || trace.span == [0; 8];
        if version == u8::MAX || is_more_than_known || is_nothing {
            return Err(TraceError);
        }
        Ok(trace)
    }
}

/// The random half of the task's id, told apart by attempt. Its first byte holds the UUID's
/// variant, so that it is never all zero.
fn span(task: TaskId, number: u32) -> [u8; 8] {
    let (_, half) = task.0.as_u64_pair();
    (half ^ u64::from(number)).to_be_bytes()
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], TraceError> {
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| TraceError)?;
    bytes.try_into().map_err(|_| TraceError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_not_a_traceparent_begins_no_trace() {
        let wrong = [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e47é-00f067aa0ba902b7-01",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Trace>(), Err(TraceError), "{text}");
        }
    }

    #[test]
    fn a_later_version_may_say_more() {
        let text = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(text.parse::<Trace>().unwrap().to_string(), RIGHT);
    }

    #[test]
    fn every_attempt_is_a_span_of_its_own_in_the_same_trace() {
        let task: TaskId = "0199f3a0-5c1e-7d3a-9b6e-2f4c8d1a7e55".parse().unwrap();
        let root = Trace::of(task);
        assert_eq!(root.id(), "0199f3a05c1e7d3a9b6e2f4c8d1a7e55");
        let first = root.attempt(AttemptId { task, number: 1 });
        let second = first.attempt(AttemptId { task, number: 2 });
        assert_eq!(
            first.to_string(),
            "00-0199f3a05c1e7d3a9b6e2f4c8d1a7e55-9b6e2f4c8d1a7e54-01"
        );
        assert_eq!(second.id(), root.id());
        assert_ne!(first, second);
    }
}
