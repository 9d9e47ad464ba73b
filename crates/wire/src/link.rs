//! A connection to a broker, as a pair of bounded queues.
//!
//! Whoever holds a [`Link`] never sees a topic or a socket. Frames are hints: a full queue, a
//! broken connection or a hostile broker may lose any of them, and nothing but time is lost.

use std::pin::Pin;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::channel::Channel;

/// Frames that wait to be sent. Two seconds of work at full speed; more would only age.
pub const OUTGOING_MAX: usize = 8192;
/// Frames that wait to be handled. When it is full, the connection is not read.
pub const INCOMING_MAX: usize = 1024;

/// What a link needs to be polled: it carries the frames until the link is dropped.
pub type Carry = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A frame on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub channel: Channel,
    /// What.
    pub bytes: Bytes,
}

/// What a connection tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Connected and subscribed: frames sent from here on reach whoever listens.
    Up,
    /// The connection broke; it is being made again.
    Down,
    /// A frame arrived.
    Frame {
        /// Where.
        channel: Channel,
        /// What.
        bytes: Bytes,
    },
}

/// One end's connection.
#[derive(Debug)]
pub struct Link {
    /// Takes frames. Use `try_send`: whoever decides must not wait for a broker.
    pub outgoing: mpsc::Sender<Outgoing>,
    /// Gives frames and the state of the connection.
    pub incoming: mpsc::Receiver<Incoming>,
}

/// Which channels an end listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Everything that proplets say.
    AsManager,
    /// What is said to all proplets and to this one.
    AsProplet(propeller_model::PropletId),
    /// What proplets ask of a proxy.
    AsProxy,
}

impl Listen {
    /// Whether `channel` is listened to.
    #[must_use]
    pub fn hears(&self, channel: &Channel) -> bool {
        match (self, channel) {
            (Self::AsManager, Channel::Create | Channel::Alive | Channel::Results)
            | (Self::AsProplet(_), Channel::Start | Channel::Stop | Channel::Serve)
            | (Self::AsProxy, Channel::Ask) => true,
            (
                Self::AsProplet(me),
                Channel::StartTo(to) | Channel::StopTo(to) | Channel::ServeTo(to),
            ) => me == to,
            _ => false,
        }
    }

    /// The channels to subscribe to.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        match self {
            Self::AsManager => vec![Channel::Create, Channel::Alive, Channel::Results],
            Self::AsProplet(me) => vec![
                Channel::Start,
                Channel::Stop,
                Channel::StartTo(me.clone()),
                Channel::StopTo(me.clone()),
                Channel::Serve,
                Channel::ServeTo(me.clone()),
            ],
            Self::AsProxy => vec![Channel::Ask],
        }
    }
}
