//! Who talks with a proplet about what: the words of each side, and where they travel.

use propeller_model::PropletId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::images::{FromProxy, Lent, ToProxy};
use crate::message::{FromProplet, ToProplet};
use crate::session::Subject;

/// A conversation of a proplet, in sessions of its own.
pub trait Dialogue {
    /// What the proplet hears.
    type ToProplet: Serialize + DeserializeOwned;
    /// The same, encoded as that, with its bytes where it was opened if they may be many.
    type Lent<'a>: Deserialize<'a>;
    /// What it says.
    type FromProplet: Serialize + DeserializeOwned;
    /// What it is about.
    const SUBJECT: Subject;
    /// Where a message to a proplet travels.
    fn to_proplet(message: &Self::ToProplet, proplet: &PropletId) -> Channel;
    /// Where a message from a proplet travels.
    fn from_proplet(message: &Self::FromProplet) -> Channel;
}

/// With a manager, about tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {}

/// With a proxy, about images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {}

impl Dialogue for Tasks {
    type ToProplet = ToProplet;
    type Lent<'a> = ToProplet;
    type FromProplet = FromProplet;
    const SUBJECT: Subject = Subject::Tasks;

    fn to_proplet(message: &ToProplet, proplet: &PropletId) -> Channel {
        match message {
            ToProplet::Stop(_) => Channel::StopTo(proplet.clone()),
            ToProplet::Welcome(_)
            | ToProplet::Start(_)
            | ToProplet::Beat(_)
            | ToProplet::Settled(_)
            | ToProplet::Piece(_)
            | ToProplet::NoModule(_)
            | ToProplet::Watch(_)
            | ToProplet::StartImage(_)
            | ToProplet::StartAttested(_) => Channel::StartTo(proplet.clone()),
        }
    }

    fn from_proplet(message: &FromProplet) -> Channel {
        match message {
            FromProplet::Finished(_)
            | FromProplet::FinishedAttested(_)
            | FromProplet::Refused(_) => Channel::Results,
            FromProplet::Hello(_)
            | FromProplet::Heartbeat(_)
            | FromProplet::Started(_)
            | FromProplet::Fetch(_)
            | FromProplet::Printed(_)
            | FromProplet::Tee(_)
            | FromProplet::HelloInTee(_)
            | FromProplet::Reaches(_)
            | FromProplet::Goodbye => Channel::Alive,
        }
    }
}

impl Dialogue for Images {
    type ToProplet = FromProxy;
    type Lent<'a> = FromProxy<Lent<'a>>;
    type FromProplet = ToProxy;
    const SUBJECT: Subject = Subject::Images;

    fn to_proplet(_: &FromProxy, proplet: &PropletId) -> Channel {
        Channel::ServeTo(proplet.clone())
    }

    fn from_proplet(_: &ToProxy) -> Channel {
        Channel::Ask
    }
}
