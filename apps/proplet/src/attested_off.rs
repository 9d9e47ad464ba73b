//! In place of `attested`, in a proplet that was built without the feature `tee`.

use std::sync::Arc;

use propeller_oci::crypt::Keys;
use propeller_oci::manifest::Manifest;
use propeller_sandbox::Runtime;
use propeller_wire::message::{Proof, Refusal, StartAttested, TeeClaim};

use crate::cache::OpenModule;
use crate::config::Config;
use crate::images::Images;
use crate::service::StartError;

/// What is said where the work cannot be done. The first words are those that operators search for.
pub(crate) const OUTSIDE: &str = "Encrypted workloads require TEE support, and this proplet was \
                                  built without it: build it with the cargo feature `tee`";

/// There is none.
#[derive(Debug)]
pub(crate) enum Attesting {}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) module: OpenModule,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) proof: Proof,
}

/// Nothing is released.
#[derive(Debug)]
#[allow(dead_code, reason = "there is none")]
pub(crate) enum Release<'a> {
    /// Nobody has one.
    Never(std::convert::Infallible, std::marker::PhantomData<&'a ()>),
}

#[derive(Debug)]
pub(crate) struct NotReleased {
    pub(crate) text: String,
    pub(crate) may_pass: bool,
}

impl Attesting {
    pub(crate) fn start(_: &Config, _: &Arc<Images>) -> Result<Option<Self>, StartError> {
        Ok(None)
    }

    pub(crate) fn kind(&self) -> &'static str {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "as of the one that does something")]
    pub(crate) async fn claim(&self, _: &str, _: [u8; 32]) -> Result<TeeClaim, String> {
        match *self {}
    }

    #[allow(clippy::unused_async, reason = "as of the one that does something")]
    pub(crate) async fn open(
        &self,
        _: &StartAttested,
        _: [u8; 32],
    ) -> Result<Opened, (Refusal, String)> {
        match *self {}
    }
}

impl Release<'_> {
    #[allow(clippy::unused_async, reason = "as of the one that does something")]
    pub(crate) async fn keys(&mut self, _: &Manifest) -> Result<Keys, NotReleased> {
        let Self::Never(never, _) = self;
        match *never {}
    }

    pub(crate) fn decrypted_in(&mut self, _: std::time::Duration) {
        let Self::Never(never, _) = self;
        match *never {}
    }
}
