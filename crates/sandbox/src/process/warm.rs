//! What every zygote and every child runs once before there is a job: the first touch of whatever a
//! guest of either kind needs is then not on the path of one that somebody waits for.

use bytes::Bytes;
use propeller_model::{Digest, Limits, Profile};

use crate::capabilities::Capabilities;
use crate::job::{Entry, Job, ModuleKey};
use crate::stdin::Stdin;
use crate::transcript::Transcript;

/// What is asked of either.
pub(super) fn job() -> Job {
    Job {
        key: ModuleKey {
            tenant: String::new(),
            digest: Digest([0; 32]),
        },
        wasm: Bytes::new(),
        name: String::new(),
        entry: Entry::Default {
            hint: "run".to_owned(),
        },
        args: Vec::new(),
        env: Vec::new(),
        stdin: Stdin::default(),
        limits: Limits::default(),
        profile: Profile::Pure,
        capabilities: Capabilities::default(),
        daemon: None,
        transcript: Transcript::default(),
    }
}

/// A module with a memory and a function that does nothing.
pub(super) const MODULE: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x0a\x01\x06_start\0\0\
    \x0a\x04\x01\x02\0\x0b";

/// The same as a component, whose memory starts with something in it.
pub(super) const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\
    \x01\x2d\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x05\x01\x01f\0\0\
    \x0a\x04\x01\x02\0\x0b\
    \x0b\x07\x01\0\x41\0\x0b\x01w\
    \x02\x04\x01\0\0\0\
    \x07\x05\x01\x40\0\x01\0\
    \x06\x07\x01\0\0\x01\0\x01f\
    \x08\x06\x01\0\0\0\0\0\
    \x0b\x09\x01\0\x03run\x01\0\0";
