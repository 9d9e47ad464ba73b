//! What a broker carries: the same bytes, from one publisher to one subscriber, by the same client.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_model::PropletId;
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::mqtt::{Options, Queues, TlsFiles, Versions, connect};
use propeller_wire::{Base, Channel};
use tokio::task::JoinSet;

use super::Failure;

/// Sends `bytes` in frames of `chunk` bytes, and says how long it took until all had arrived.
pub(crate) async fn carry(
    broker: SocketAddr,
    bytes: usize,
    chunk: usize,
) -> Result<Duration, Failure> {
    let id: PropletId = "subscriber".parse()?;
    let mut carrying = JoinSet::new();
    let mut open = |name: &str, listen| {
        let options = Options {
            address: format!("tcp://{broker}").parse()?,
            versions: Versions::default(),
            base: Base::new("bench", "raw")?,
            client_id: name.to_owned(),
            credentials: None,
            tls: TlsFiles::default(),
            qos: 1,
            keep_alive: Duration::from_secs(30),
            packet_len_max: 12 << 20,
            queues: Queues::BULK,
        };
        let (link, carry) = connect(&options, listen)?;
        carrying.spawn(carry);
        Ok::<Link, Failure>(link)
    };
    let mut subscriber = open("subscriber", Listen::AsProplet(id.clone()))?;
    let mut publisher = open("publisher", Listen::AsProxy)?;
    for link in [&mut subscriber, &mut publisher] {
        while link.incoming.recv().await != Some(Incoming::Up) {}
    }
    let count = bytes.div_ceil(chunk);
    let frame = Bytes::from(vec![7; chunk]);
    let begun = Instant::now();
    let (to, sending) = (publisher.outgoing.clone(), frame.clone());
    carrying.spawn(async move {
        for _ in 0..count {
            let frame = Outgoing {
                channel: Channel::ServeTo(id.clone()),
                bytes: sending.clone(),
            };
            if to.send(frame).await.is_err() {
                return;
            }
        }
    });
    let mut arrived = 0;
    while arrived < count {
        match subscriber.incoming.recv().await {
            Some(Incoming::Frame { .. }) => arrived += 1,
            Some(_) => {}
            None => return Err("the subscriber lost its broker".into()),
        }
    }
    Ok(begun.elapsed())
}
