//! Who may do what: everybody, but only below `m/`.
//!
//! The trap: a broker asks about a subscription once, when it is made, and only with the filter's
//! text. A rule that denies `secret/#` lets a subscription to `#` pass, and with it every secret.
//! So nothing is denied here; a filter is allowed if its first level is literally `m`, and then
//! whatever its wildcards match, no topic outside matches.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;

use mqtt5::broker::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

/// Longest topic or filter, in bytes. Propeller's own are at most 220.
pub const TOPIC_LEN_MAX: usize = 256;
/// Longest client id, in bytes; the broker keeps it in several tables.
const CLIENT_ID_LEN_MAX: usize = 256;

/// Lets in whoever comes, and keeps them below `m/`.
pub(crate) struct Gate;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AuthProvider for Gate {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _: SocketAddr,
    ) -> Answer<'a, Result<AuthResult, mqtt5::MqttError>> {
        let result = if connect.client_id.len() > CLIENT_ID_LEN_MAX {
            AuthResult::fail(ReasonCode::ClientIdentifierNotValid)
        } else {
            AuthResult::success()
        };
        Box::pin(ready(Ok(result)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _: &str,
        _: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(is_below_m(topic)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _: &str,
        _: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(is_below_m(filter)))
    }
}

/// Whether a topic, or every topic that a filter matches, is below `m/`.
///
/// `m/#` also matches the topic `m`, to which nobody may publish.
fn is_below_m(topic_or_filter: &str) -> bool {
    topic_or_filter.len() <= TOPIC_LEN_MAX
        && topic_or_filter
            .strip_prefix("m/")
            .is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_leave_m_is_allowed() {
        for good in ["m/d/c/ch/control/proplet/alive", "m/#", "m/+/c/#", "m/x"] {
            assert!(is_below_m(good), "{good}");
        }
        let long = format!("m/{}", "x".repeat(TOPIC_LEN_MAX));
        for bad in [
            "",
            "m",
            "m/",
            "#",
            "+",
            "+/x",
            "+/#",
            "/m/x",
            "mm/x",
            "M/x",
            "secret/#",
            "$SYS/#",
            "$share/group/m/x",
            "$share/group/#",
            long.as_str(),
        ] {
            assert!(!is_below_m(bad), "{bad}");
        }
    }
}
