//! What may be chosen about a broker, and everything else that the implementation must be told.
//!
//! Its defaults are for a public server with a disk: every field that bounds something, opens
//! something or writes something is set here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mqtt5::broker::config::{
    AuthConfig, BrokerConfig, RateLimitConfig, StorageBackend, StorageConfig,
};

use crate::StartError;

/// Smallest limit for packets, in bytes: what the implementation itself insists on.
pub const PACKET_LEN_MIN: u32 = 1024;
/// Largest limit for packets, in bytes: upstream's JSON messages of 10 MiB and their topic.
pub const PACKET_LEN_MAX: u32 = 12 * 1024 * 1024;
/// Largest limit for clients: the implementation's own limit for one address, such as loopback.
pub const CLIENTS_MAX: usize = 10_000;
/// Largest queue for a client that does not keep up, in messages.
pub const QUEUED_MESSAGES_MAX: usize = 10_000;
/// Largest queue for a client that does not keep up, in bytes.
pub const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages of QoS 0 between two clients' connections. They are counted and not weighed: a client
/// that stops reading holds as many packets, and what comes after them is dropped.
const LANE_LEN: usize = 512;
/// Unacknowledged messages to one client.
const OUTBOUND_INFLIGHT: u16 = 64;
/// Unacknowledged messages of QoS 2 from one client. A client that sends more is disconnected;
/// MQTT 3.1.1 has no way to tell it, and upstream's manager has had 1,000 under way.
const INBOUND_INFLIGHT: u16 = 2048;
/// A proplet needs four, upstream's manager one.
const SUBSCRIPTIONS_PER_CLIENT: usize = 64;
/// How often the implementation looks for sessions that have expired.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// What may be chosen about a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The only address it listens on. Port 0 lets the system choose: see
    /// [`Broker::address`](crate::Broker::address).
    pub listen: SocketAddr,
    /// Largest packet, in bytes: [`PACKET_LEN_MIN`] to [`PACKET_LEN_MAX`]. Whoever sends a larger
    /// one is disconnected.
    pub packet_len_max: u32,
    /// Clients at a time: 1 to [`CLIENTS_MAX`].
    pub clients_max: usize,
    /// Messages of QoS 1 and 2 that wait for one client: 1 to [`QUEUED_MESSAGES_MAX`]. When there
    /// are more, some are dropped, although they have been acknowledged.
    pub queued_messages_max: usize,
    /// The same in bytes: `packet_len_max` to [`QUEUED_BYTES_MAX`].
    pub queued_bytes_max: usize,
}

impl Options {
    /// A broker on this address with the widest limits.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            packet_len_max: PACKET_LEN_MAX,
            clients_max: CLIENTS_MAX,
            queued_messages_max: QUEUED_MESSAGES_MAX,
            queued_bytes_max: QUEUED_BYTES_MAX,
        }
    }
}

/// The implementation's configuration.
pub(crate) fn of(options: &Options) -> Result<BrokerConfig, StartError> {
    let packet_len_max = bytes(options.packet_len_max);
    let (min, max) = (bytes(PACKET_LEN_MIN), bytes(PACKET_LEN_MAX));
    within("packet length limit", packet_len_max, min, max)?;
    within("client limit", options.clients_max, 1, CLIENTS_MAX)?;
    let messages = options.queued_messages_max;
    within("message queue limit", messages, 1, QUEUED_MESSAGES_MAX)?;
    let queued_bytes = options.queued_bytes_max;
    within(
        "byte queue limit",
        queued_bytes,
        packet_len_max,
        QUEUED_BYTES_MAX,
    )?;

    let mut config = BrokerConfig::new()
        .with_bind_address(options.listen)
        .with_max_clients(options.clients_max)
        .with_max_packet_size(packet_len_max)
        .with_session_expiry(Duration::ZERO)
        .with_retain_available(false)
        .with_max_retained_messages(1)
        .with_max_retained_message_size(1)
        .with_max_subscriptions_per_client(SUBSCRIPTIONS_PER_CLIENT)
        .with_client_channel_capacity(LANE_LEN)
        .with_max_outbound_inflight(OUTBOUND_INFLIGHT)
        .with_server_receive_maximum(INBOUND_INFLIGHT)
        .with_sys_topics_enabled(false)
        .with_storage(in_memory(options))
        .with_auth(without_lockout());
    // Both would let a client reach, or keep in memory, topics by other names than their own.
    config.shared_subscription_available = false;
    config.topic_alias_maximum = 0;
    Ok(config)
}

fn within(name: &'static str, given: usize, min: usize, max: usize) -> Result<(), StartError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(StartError::OutOfBounds {
        name,
        given,
        min,
        max,
    })
}

/// The default is files in `./mqtt_storage`; with this backend the folder is never made.
fn in_memory(options: &Options) -> StorageConfig {
    StorageConfig {
        backend: StorageBackend::Memory,
        base_dir: PathBuf::new(),
        cleanup_interval: CLEANUP_INTERVAL,
        enable_persistence: true,
        max_queued_messages_per_client: options.queued_messages_max,
        max_queued_bytes_per_client: options.queued_bytes_max,
    }
}

/// The crate's gate replaces this. The default counts failed logins by address, and on loopback
/// one stranger's failures would lock out everybody.
fn without_lockout() -> AuthConfig {
    AuthConfig {
        allow_anonymous: true,
        rate_limit: RateLimitConfig {
            enabled: false,
            ..RateLimitConfig::default()
        },
        ..AuthConfig::default()
    }
}

fn bytes(len: u32) -> usize {
    usize::try_from(len).expect("a packet's length fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Options), expected: &str) {
        let mut options = Options::new(([127, 0, 0, 1], 0).into());
        change(&mut options);
        let said = of(&options).map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(said, expected);
    }

    #[test]
    fn options_are_held_to_their_bounds() {
        check(|_| {}, "");
        check(
            |o| o.packet_len_max = 1023,
            "the broker's packet length limit must be between 1024 and 12582912, not 1023",
        );
        check(
            |o| o.clients_max = 0,
            "the broker's client limit must be between 1 and 10000, not 0",
        );
        check(
            |o| o.queued_messages_max = 10_001,
            "the broker's message queue limit must be between 1 and 10000, not 10001",
        );
        check(
            |o| o.queued_bytes_max = 1024,
            "the broker's byte queue limit must be between 12582912 and 67108864, not 1024",
        );
    }
}
