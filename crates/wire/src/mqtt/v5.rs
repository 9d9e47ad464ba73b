//! MQTT 5: the library's words in ours.

use rumqttc_v5::mqttbytes::Error as FormatError;
use rumqttc_v5::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, IncomingPacketSizeLimit,
    MqttOptions, Packet, StateError, SubscribeReasonCode, Transport,
};

use super::client::{
    BAD_CLIENT_ID, BAD_PASSWORD, Dial, Failure, Happening, NOT_AUTHORIZED, Reached, of_socket,
};
use super::version::Cause;

pub(super) fn open(dial: Dial<'_>) -> (AsyncClient, EventLoop) {
    let options = dial.options;
    let target = (options.address.host.as_str(), options.address.port);
    let mut mqtt = MqttOptions::new(options.client_id.clone(), target);
    if let Some(tls) = dial.tls {
        mqtt.set_transport(Transport::Tls(tls));
    }
    if let Some((user, password)) = &options.credentials {
        mqtt.set_credentials(user.clone(), password.clone().into_bytes());
    }
    let seconds = u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX);
    mqtt.set_keep_alive(seconds);
    mqtt.set_network_options(dial.network);
    let reached = dial.reached;
    mqtt.set_socket_connector(move |host, network| reached.clone().connect(host, network));
    mqtt.set_outgoing_inflight_upper_limit(options.queues.unacknowledged);
    // Last, because every other connect property resets it to 10 KiB.
    mqtt.set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(options.packet_len_max));
    AsyncClient::builder(mqtt)
        .capacity(options.queues.client)
        .build()
}

pub(super) fn happening(event: Event) -> Happening {
    match event {
        Event::Incoming(Packet::ConnAck(_)) => Happening::Connected,
        Event::Incoming(Packet::SubAck(ack)) => Happening::Subscribed {
            topics: ack.return_codes.len(),
            refusals: ack
                .return_codes
                .iter()
                .filter(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                .map(|code| format!("{code:?}"))
                .collect(),
        },
        Event::Incoming(Packet::Publish(publish)) => Happening::Arrived {
            topic: publish.topic,
            payload: publish.payload,
        },
        Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_) => Happening::Other,
    }
}

/// What an error means if it comes before the broker has accepted.
pub(super) fn failure(error: &ConnectionError, reached: &Reached) -> Failure {
    let cause = match error {
        ConnectionError::Io(_)
        | ConnectionError::Tls(_)
        | ConnectionError::BrokerTransportMismatch => Cause::Unreachable,
        ConnectionError::Timeout(_) => reached.timed_out(),
        ConnectionError::ConnectionRefused(code) if is_about_the_version(*code) => {
            Cause::NoHandshake
        }
        ConnectionError::ConnectionRefused(code) => {
            return Failure::new(Cause::Refused, refusal(*code));
        }
        ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(FormatError::Io(error)),
        ) => of_socket(error),
        _ => Cause::NoHandshake,
    };
    Failure::new(cause, error)
}

/// A broker that does not know MQTT 5 may also call its CONNECT malformed.
fn is_about_the_version(code: ConnectReturnCode) -> bool {
    matches!(
        code,
        ConnectReturnCode::RefusedProtocolVersion
            | ConnectReturnCode::UnsupportedProtocolVersion
            | ConnectReturnCode::MalformedPacket
            | ConnectReturnCode::ProtocolError
    )
}

fn refusal(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword => BAD_PASSWORD.to_owned(),
        ConnectReturnCode::NotAuthorized => NOT_AUTHORIZED.to_owned(),
        ConnectReturnCode::ClientIdentifierNotValid => BAD_CLIENT_ID.to_owned(),
        ConnectReturnCode::ServerUnavailable => "the service is not available".to_owned(),
        other => format!("{other:?}"),
    }
}
