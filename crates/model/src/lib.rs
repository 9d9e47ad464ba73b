//! The nouns of Propeller and their state machines.
//!
//! Nothing here does I/O, reads a clock or draws randomness: time and chance arrive as arguments.
//!
//! - [`TaskId`], [`AttemptId`], [`PropletId`], [`Digest`] – names of things
//! - [`task`] – what happens to a task, as a state machine
//! - [`retry`] – how often and how soon a task is tried again
//! - [`Limits`] – what a guest may use, and who said so
//! - [`Profile`], [`Grants`] – how a guest sees the world, and what a task asks for beyond it
//! - [`Engine`] – what ran a guest
//! - [`Trace`] – where a task belongs among its caller's traces
//! - [`Lease`] – how long an attempt lives without a sign of life
//! - [`ExitKind`], [`Stream`] – how an attempt ended, and where it printed

mod digest;
mod exit;
mod grants;
mod id;
mod lease;
mod limits;
mod profile;
pub mod retry;
pub mod task;
mod trace;

pub use digest::{Digest, DigestError};
pub use exit::{ExitKind, ExitKindError, Stream};
pub use grants::{Access, Directory, GRANTS_MAX, GrantError, Grants, Host};
pub use id::{AttemptId, PropletId, PropletIdError, TaskId};
pub use lease::Lease;
pub use limits::{Bound, Limits, SetBy};
pub use profile::{Engine, Profile, ProfileError};
pub use trace::{Trace, TraceError};
