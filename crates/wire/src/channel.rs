//! Topics: `m/{domain}/c/{channel}/…`, as Propeller names them.

use std::fmt;

use propeller_model::PropletId;

/// Where a frame travels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Channel {
    /// `control/proplet/create`: announcements.
    Create,
    /// `control/proplet/alive`: signs of life.
    Alive,
    /// `control/proplet/results`: how attempts ended.
    Results,
    /// `control/manager/start`: to every proplet.
    Start,
    /// `control/manager/start/{proplet}`: to one proplet.
    StartTo(PropletId),
    /// `control/manager/stop`: to every proplet.
    Stop,
    /// `control/manager/stop/{proplet}`: to one proplet.
    StopTo(PropletId),
    /// `registry/proplet`: what proplets ask of a proxy.
    Ask,
    /// `registry/server`: from a proxy to every proplet.
    Serve,
    /// `registry/server/{proplet}`: from a proxy to one proplet.
    ServeTo(PropletId),
}

impl Channel {
    /// The number that sealed frames bind, so that one topic's frame is nothing on another.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Create => 1,
            Self::Alive => 2,
            Self::Results => 3,
            Self::Start => 4,
            Self::StartTo(_) => 5,
            Self::Stop => 6,
            Self::StopTo(_) => 7,
            Self::Ask => 8,
            Self::Serve => 9,
            Self::ServeTo(_) => 10,
        }
    }
}

/// The part of every topic that names the operator's domain and channel.
#[derive(Clone, PartialEq, Eq)]
pub struct Base(String);

/// Why a domain or channel cannot be part of a topic.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` cannot be part of a topic: use 1 to 64 letters, digits, dots, dashes or underscores"
)]
pub struct BaseError(String);

impl Base {
    /// The base of all topics of one domain and channel.
    ///
    /// # Errors
    /// Fails if a name holds a character that means something in a topic.
    pub fn new(domain: &str, channel: &str) -> Result<Self, BaseError> {
        for name in [domain, channel] {
            // The rule for proplet ids is the rule for topic levels.
            name.parse::<PropletId>()
                .map_err(|_| BaseError(name.to_owned()))?;
        }
        Ok(Self(format!("m/{domain}/c/{channel}")))
    }

    /// The topic of a channel.
    #[must_use]
    pub fn topic(&self, channel: &Channel) -> String {
        let base = &self.0;
        match channel {
            Channel::Create => format!("{base}/control/proplet/create"),
            Channel::Alive => format!("{base}/control/proplet/alive"),
            Channel::Results => format!("{base}/control/proplet/results"),
            Channel::Start => format!("{base}/control/manager/start"),
            Channel::StartTo(proplet) => format!("{base}/control/manager/start/{proplet}"),
            Channel::Stop => format!("{base}/control/manager/stop"),
            Channel::StopTo(proplet) => format!("{base}/control/manager/stop/{proplet}"),
            Channel::Ask => format!("{base}/registry/proplet"),
            Channel::Serve => format!("{base}/registry/server"),
            Channel::ServeTo(proplet) => format!("{base}/registry/server/{proplet}"),
        }
    }

    /// The channel of a topic, if it is one of ours.
    #[must_use]
    pub fn channel(&self, topic: &str) -> Option<Channel> {
        let rest = topic.strip_prefix(&self.0)?.strip_prefix('/')?;
        Some(match rest {
            "control/proplet/create" => Channel::Create,
            "control/proplet/alive" => Channel::Alive,
            "control/proplet/results" => Channel::Results,
            "control/manager/start" => Channel::Start,
            "control/manager/stop" => Channel::Stop,
            "registry/proplet" => Channel::Ask,
            "registry/server" => Channel::Serve,
            _ => {
                let (to_all, proplet) = rest.rsplit_once('/')?;
                let proplet = proplet.parse().ok()?;
                match to_all {
                    "control/manager/start" => Channel::StartTo(proplet),
                    "control/manager/stop" => Channel::StopTo(proplet),
                    "registry/server" => Channel::ServeTo(proplet),
                    _ => return None,
                }
            }
        })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_topic_and_back() {
        let base = Base::new("d", "ch").unwrap();
        let edge: PropletId = "edge-1".parse().unwrap();
        for (channel, topic) in [
            (Channel::Create, "m/d/c/ch/control/proplet/create"),
            (Channel::Alive, "m/d/c/ch/control/proplet/alive"),
            (Channel::Results, "m/d/c/ch/control/proplet/results"),
            (Channel::Start, "m/d/c/ch/control/manager/start"),
            (
                Channel::StartTo(edge.clone()),
                "m/d/c/ch/control/manager/start/edge-1",
            ),
            (Channel::Stop, "m/d/c/ch/control/manager/stop"),
            (
                Channel::StopTo(edge.clone()),
                "m/d/c/ch/control/manager/stop/edge-1",
            ),
            (Channel::Ask, "m/d/c/ch/registry/proplet"),
            (Channel::Serve, "m/d/c/ch/registry/server"),
            (Channel::ServeTo(edge), "m/d/c/ch/registry/server/edge-1"),
        ] {
            assert_eq!(base.topic(&channel), topic);
            assert_eq!(base.channel(topic), Some(channel));
        }
        for foreign in [
            "",
            "m/d/c/other/control/proplet/create",
            "m/d/c/ch/control/manager/start/a/b",
            "m/d/c/ch/registry/server/",
            "m/d/c/chregistry/server",
        ] {
            assert_eq!(base.channel(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn names_with_wildcards_or_slashes_are_refused() {
        for bad in ["", "#", "a/b", "+"] {
            assert!(Base::new(bad, "c").is_err(), "{bad}");
            assert!(Base::new("d", bad).is_err(), "{bad}");
        }
    }
}
