//! What manager, proplet and proxy say to each other, how it is sealed and how it travels.
//!
//! - [`message`] – the messages about tasks, version 1; [`images`] – those about images
//! - [`frame`] – the bytes on the broker
//! - [`session`] – the keys and counters of one conversation
//! - [`Desk`] and [`Caller`] – the two ends of the handshake, without I/O
//! - [`Channel`] – topics
//! - [`link`] – a connection as a pair of bounded queues; [`memory`] and [`mqtt`] make one
//! - [`upstream`] – the JSON that Propeller 0.5 speaks, for plain compatibility mode
//!
//! The format is specified in `docs/formats/wire.md`.

mod caller;
mod channel;
mod desk;
mod dialogue;
pub mod frame;
pub mod images;
pub mod link;
pub mod memory;
pub mod message;
pub mod mqtt;
pub mod session;
pub mod upstream;
mod window;

pub use caller::{Caller, Heard};
pub use channel::{Base, BaseError, Channel};
pub use desk::{Desk, KeyMatch, Letter, Received};
pub use dialogue::{Dialogue, Images, Tasks};
