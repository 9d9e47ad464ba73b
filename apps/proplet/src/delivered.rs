//! What comes with a start: opened, and held against its digest.

use aws_lc_rs::digest;
use bytes::Bytes;
use propeller_envelope::{Context, Keyring, open};
use propeller_wire::message::{Input, Start};

/// Modules that are opened without leaving the thread: a millisecond's work.
pub(crate) const QUICK_LEN_MAX: u64 = 256 * 1024;

/// A module as it has come.
#[derive(Debug)]
pub(crate) enum Delivered {
    /// In an envelope, from the manager.
    Sealed(Bytes),
    /// Open, out of an image that was held against its digest.
    Open(Bytes),
}

impl Delivered {
    /// The module, checked against its digest, and the input; `None` if either does not open.
    pub(crate) async fn open(self, keys: &Keyring, start: &Start) -> Option<(Bytes, Input)> {
        let context = Context::Input {
            tenant: &start.tenant,
            task: *start.attempt.task.0.as_bytes(),
        };
        let input = open(keys, &context, &start.input).ok()?;
        let input = Input::from_bytes(&input).ok()?;
        let sealed = match self {
            Self::Sealed(sealed) => sealed,
            Self::Open(wasm) => return Some((wasm, input)),
        };
        let keys = keys.clone();
        let tenant = start.tenant.clone();
        let digest = start.module.digest;
        let open_module = move || {
            let context = Context::Module {
                tenant: &tenant,
                digest: digest.0,
            };
            let mut wasm = open(&keys, &context, &sealed).ok()?;
            let hash = digest::digest(&digest::SHA256, &wasm);
            // Taken out of its zeroising wrapper: from here on the sandbox owns it.
            (hash.as_ref() == digest.0).then(|| Bytes::from(std::mem::take(&mut *wasm)))
        };
        let wasm = if start.module.sealed_len <= QUICK_LEN_MAX {
            open_module()
        } else {
            tokio::task::spawn_blocking(open_module).await.ok()?
        };
        Some((wasm?, input))
    }
}
