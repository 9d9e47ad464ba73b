//! MQTT 3.1.1: the library's words in ours.

use rumqttc_v4::mqttbytes::Error as FormatError;
use rumqttc_v4::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet,
    StateError, SubscribeReasonCode, Transport,
};

use super::client::{
    BAD_CLIENT_ID, BAD_PASSWORD, Dial, Failure, Happening, NOT_AUTHORIZED, Reached, of_socket,
};
use super::version::Cause;

/// MQTT's own limit. A 3.1.1 broker does not tell its limit: it hangs up.
const OUTGOING_PACKET_MAX: usize = 268_435_455;

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
    // A session that outlived its connection would bring back frames that nobody waits for.
    mqtt.set_clean_session(true);
    mqtt.set_inflight(options.queues.unacknowledged);
    let incoming = usize::try_from(options.packet_len_max).unwrap_or(usize::MAX);
    mqtt.set_max_packet_size(incoming, OUTGOING_PACKET_MAX);
    let reached = dial.reached;
    mqtt.set_socket_connector(move |host, network| reached.clone().connect(host, network));
    let (client, mut events) = AsyncClient::builder(mqtt)
        .capacity(options.queues.client)
        .build();
    events.set_network_options(dial.network);
    (client, events)
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
        Event::Incoming(_) | Event::Outgoing(_) => Happening::Other,
    }
}

/// What an error means if it comes before the broker has accepted.
pub(super) fn failure(error: &ConnectionError, reached: &Reached) -> Failure {
    let cause = match error {
        ConnectionError::Io(_)
        | ConnectionError::Tls(_)
        | ConnectionError::BrokerTransportMismatch => Cause::Unreachable,
        ConnectionError::NetworkTimeout => reached.timed_out(),
        ConnectionError::ConnectionRefused(ConnectReturnCode::RefusedProtocolVersion) => {
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

fn refusal(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword => BAD_PASSWORD.to_owned(),
        ConnectReturnCode::NotAuthorized => NOT_AUTHORIZED.to_owned(),
        ConnectReturnCode::BadClientId => BAD_CLIENT_ID.to_owned(),
        ConnectReturnCode::ServiceUnavailable => "the service is not available".to_owned(),
        other => format!("{other:?}"),
    }
}
