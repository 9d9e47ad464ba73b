//! What a runtime is asked to do.

use bytes::Bytes;
use propeller_model::{Digest, Limits, Profile};
use serde::{Deserialize, Serialize};

use crate::capabilities::Capabilities;
use crate::stdin::Stdin;
use crate::transcript::Transcript;

/// One run of one function of one module.
#[derive(Clone, Debug)]
pub struct Job {
    /// Whose module it is, and which. Compiled code is shared by this key alone.
    pub key: ModuleKey,
    /// The module in its binary form. The caller has checked it against the digest of the key.
    pub wasm: Bytes,
    /// What the guest sees as its own name, `argv[0]`.
    pub name: String,
    /// Which function is called.
    pub entry: Entry,
    /// `argv[1..]` of a command; the parameters of any other function, as text.
    pub args: Vec<String>,
    /// Environment variables. Nothing else is in the guest's environment.
    pub env: Vec<(String, String)>,
    /// All that the guest can read from its standard input.
    pub stdin: Stdin,
    /// What the guest may use.
    pub limits: Limits,
    /// How the guest sees the world.
    pub profile: Profile,
    /// What the guest may reach beyond its sandbox.
    pub capabilities: Capabilities,
    /// Whether it is to run until it is stopped or fails, as HTTP services have to; and then what
    /// one request to it may use, since `limits` have no end by fuel and time.
    pub daemon: Option<Limits>,
    /// Where its output goes, readable while it runs; it also says what becomes of output beyond its
    /// limit.
    pub transcript: Transcript,
}

impl Job {
    /// What the guest is given: arguments, environment and standard input, in bytes, but for what
    /// comes by a pipe.
    pub(crate) fn input_bytes(&self) -> u64 {
        let args: usize = self.args.iter().map(String::len).sum();
        let env = self.env.iter();
        let env: usize = env.map(|(name, value)| name.len() + value.len()).sum();
        (args + env + self.stdin.len_given()) as u64
    }
}

/// The identity of compiled code.
///
/// The tenant is part of it, so that nobody learns from a warm cache what others run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModuleKey {
    /// Whose module it is.
    pub tenant: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// Which function of a module is called.
///
/// `_start` is a *command*: it takes its arguments from `argv` and ends with an exit code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// Exactly this export.
    Named(String),
    /// Nothing was named: the function called `hint`, else `_start`, else `main`, else `run`.
    Default {
        /// The name to try first; in Propeller the name of the task.
        hint: String,
    },
}
