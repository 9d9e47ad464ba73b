//! What the proplet, the zygote and its children say to each other.
//!
//! Both ends are the same program, so there are no versions. A child is not trusted once it has
//! seen a guest: what it says is bounded, decoded without panics, and never taken for a limit's
//! value or for a descriptor.

use std::borrow::Cow;

use bytes::Bytes;
use propeller_model::{Digest, Limits, Profile};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::mechanism::Mechanism;
use crate::capabilities::Capabilities;
use crate::config::Metering;
use crate::engine::split::{Kind, Seed};
use crate::exit::{Limit, Trap};
use crate::job::{Entry, Job, ModuleKey};
use crate::stdin::Stdin;
use crate::transcript::{Keeps, Transcript};

/// The longest message on a socket. The kernel's default buffer holds three of them.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// How much of an output goes into one frame, with room for what surrounds it.
pub(super) const CHUNK_BYTES_MAX: usize = 32 * 1024;

/// Control, proplet to zygote.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToZygote {
    /// With the compiled code to warm up with, of a module and of a component.
    Warm {
        stack_bytes: u64,
        metering: Metering,
    },
    /// With the child's end of its socket.
    Fork { id: u64 },
}

/// Control, zygote to proplet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromZygote {
    /// It is locked and warm.
    Up { mechanisms: Vec<Mechanism> },
    /// It cannot serve.
    Refused { reason: String },
    /// With a descriptor of the child's process.
    Forked { id: u64 },
    /// A child is gone.
    Gone { id: u64, ended: Ended },
}

/// How a process ended and what it used, by the kernel's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) cpu_us: u64,
    pub(crate) resident_kib: u64,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    Exited(i32),
    Killed(i32),
}

/// What a child gets, with its code: the work and the guest's standard input, or how long they are,
/// one behind the other in a second descriptor. The last descriptor is the guest's pipe, if it has
/// one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToChild<'a> {
    Inline {
        #[serde(borrow, with = "serde_bytes")]
        work: &'a [u8],
        #[serde(borrow, with = "serde_bytes")]
        stdin: &'a [u8],
    },
    Attached {
        work: u64,
        stdin: u64,
    },
}

/// A job, without its module and its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Work<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    entry: Cow<'a, Entry>,
    args: Cow<'a, [String]>,
    env: Cow<'a, [(String, String)]>,
    /// Whether standard input is a pipe, which comes beside.
    pub(super) piped: bool,
    limits: Limits,
    profile: Profile,
    pub(super) seed: Seed,
    /// What its code is of.
    pub(super) kind: Kind,
    /// Whether printing beyond a limit ends nobody.
    tail: bool,
}

impl<'a> Work<'a> {
    pub(super) fn of(job: &'a Job, kind: Kind, seed: Seed) -> Self {
        let Job {
            key: _,
            wasm: _,
            name,
            entry,
            args,
            env,
            stdin,
            limits,
            profile,
            // Nobody with capabilities gets this far, nor does a service.
            capabilities: _,
            daemon: _,
            transcript,
        } = job;
        Self {
            name: Cow::Borrowed(name),
            entry: Cow::Borrowed(entry),
            args: Cow::Borrowed(args),
            env: Cow::Borrowed(env),
            piped: stdin.is_pipe(),
            limits: *limits,
            profile: *profile,
            seed,
            kind,
            tail: transcript.keeps() == Keeps::Tail,
        }
    }

    /// The job as a child sees it: it learns neither whose module it is nor the module's bytes.
    pub(super) fn into_job(self, stdin: Bytes) -> Job {
        Job {
            key: ModuleKey {
                tenant: String::new(),
                digest: Digest([0; 32]),
            },
            wasm: Bytes::new(),
            name: self.name.into_owned(),
            entry: self.entry.into_owned(),
            args: self.args.into_owned(),
            env: self.env.into_owned(),
            stdin: match self.piped {
                true => Stdin::own(),
                false => stdin.into(),
            },
            limits: self.limits,
            profile: self.profile,
            capabilities: Capabilities::default(),
            daemon: None,
            transcript: if self.tail {
                Transcript::tail()
            } else {
                Transcript::whole()
            },
        }
    }
}

/// Job socket, child to proplet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromChild<'a> {
    /// It is locked and waits for its job.
    Ready { mechanisms: Vec<Mechanism> },
    #[serde(borrow)]
    Stdout(#[serde(with = "serde_bytes")] &'a [u8]),
    #[serde(borrow)]
    Stderr(#[serde(with = "serde_bytes")] &'a [u8]),
    /// A piece of the results' text.
    #[serde(borrow)]
    Result(#[serde(with = "serde_bytes")] &'a [u8]),
    /// The last frame of a guest.
    Done(Done),
    /// The last frame of a child whose host code failed.
    Failed { reason: String },
}

/// How a guest ended, by the child's account.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) verdict: Verdict,
    /// Whether it had results, even if their text is empty.
    pub(super) results: bool,
    pub(super) fuel: u64,
    pub(super) memory_peak_bytes: u64,
    pub(super) wall_us: u64,
    pub(super) cpu_us: u64,
}

/// A status without the value of a limit, which the proplet knows better.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    Returned,
    Exited(i32),
    Trapped(Trap, String),
    LimitHit(Limit),
    HostMemory,
}

/// A message as bytes.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("a message has a form in bytes")
}

/// A message that borrows nothing; `None` for anything else.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

/// A frame of a child.
pub(super) fn frame(bytes: &[u8]) -> Option<FromChild<'_>> {
    postcard::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::compiler::Answer;

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let chunk = vec![7; CHUNK_BYTES_MAX];
        let bytes = encode(&FromChild::Stdout(&chunk));
        assert!(bytes.len() < MESSAGE_BYTES_MAX);
        let Some(FromChild::Stdout(read)) = frame(&bytes) else {
            panic!("a frame is read back");
        };
        assert_eq!(read, chunk);
    }

    #[test]
    fn no_bytes_make_a_reader_panic() {
        let mut seed = 1_u64;
        for _ in 0..100_000 {
            let bytes: Vec<u8> = (0..seed % 40)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    seed.to_le_bytes()[7]
                })
                .collect();
            let _read = frame(&bytes).is_some();
            let _read = decode::<FromZygote>(&bytes).is_some();
            let _read = decode::<Answer>(&bytes).is_some();
            seed = seed.wrapping_add(3);
        }
    }
}
