//! How much memory a proxy takes that serves four proplets at once, across Debian's mosquitto.
//!
//! The proxy is the program that operators run: the peak is its process's.
#![cfg(test)]

mod measured;

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use measured::{Bed, GROWTH_MAX, MEMORY_MAX, forget_peak, say};
use propeller_envelope::{Keyring, WorkloadKey};
use propeller_model::{Digest, PropletId};
use propeller_oci::sha256;
use propeller_wire::images::{AskChunks, CHUNKS_PER_ASK_MAX, FromProxy, ToProxy};
use propeller_wire::link::{Incoming, Link, Listen, Outgoing};
use propeller_wire::{Caller, Channel, Heard, Images, mqtt};
use tokio::task::JoinSet;

/// The length of the blob that it serves.
const BLOB_LEN: usize = 100_000_000;
/// Proplets that ask at once.
const PROPLETS: usize = 4;
/// Asks that a proplet has under way, of so many chunks each.
const ASKS: usize = 2;

/// A proplet, as far as a proxy knows it.
struct Proplet {
    caller: Caller<Images>,
    link: Link,
    tasks: JoinSet<()>,
}

impl Proplet {
    async fn connect(name: &str, options: &mqtt::Options, key: &WorkloadKey) -> Self {
        let id: PropletId = name.parse().unwrap();
        let options = mqtt::Options {
            client_id: name.to_owned(),
            queues: mqtt::Queues::default(),
            ..options.clone()
        };
        let (link, carry) = mqtt::connect(&options, Listen::AsProplet(id.clone())).unwrap();
        let mut proplet = Self {
            caller: Caller::new(id, Keyring::new(key.clone())),
            link,
            tasks: JoinSet::new(),
        };
        proplet.tasks.spawn(carry);
        loop {
            let pause = Duration::from_millis(200);
            match tokio::time::timeout(pause, proplet.hear()).await {
                Ok(FromProxy::Welcome(_)) => return proplet,
                Ok(other) => panic!("{other:?}"),
                Err(_) => {
                    let mut nonce = [0; 32];
                    aws_lc_rs::rand::fill(&mut nonce).unwrap();
                    let frame = proplet.caller.announce(nonce);
                    proplet.send(Channel::Ask, frame).await;
                }
            }
        }
    }

    async fn send(&self, channel: Channel, frame: Vec<u8>) {
        let bytes = frame.into();
        self.link
            .outgoing
            .send(Outgoing { channel, bytes })
            .await
            .unwrap();
    }

    /// The next thing that the proxy says.
    async fn hear(&mut self) -> FromProxy {
        loop {
            let incoming = self.link.incoming.recv().await.unwrap();
            let Incoming::Frame { channel, bytes } = incoming else {
                continue;
            };
            match self.caller.receive(&channel, &bytes) {
                Heard::Offered => {
                    let (channel, frame) = self.caller.seal_hello(&ToProxy::Hello).unwrap();
                    self.send(channel, frame).await;
                }
                Heard::Said(message) => return message,
                _ => {}
            }
        }
    }

    /// Fetches all chunks of a blob, and says how long that took.
    async fn fetch(&mut self, reference: &str, digest: Digest, chunk_len: u32) -> Duration {
        let begun = Instant::now();
        let count = u32::try_from(BLOB_LEN).unwrap().div_ceil(chunk_len);
        let all: Vec<u32> = (0..count).collect();
        let mut asks = all.chunks(CHUNKS_PER_ASK_MAX);
        let (mut there, mut wanted) = (0, 0);
        while there < count {
            while there + u32::try_from(ASKS * CHUNKS_PER_ASK_MAX).unwrap() > wanted {
                let Some(indexes) = asks.next() else { break };
                wanted += u32::try_from(indexes.len()).unwrap();
                let ask = ToProxy::Chunks(AskChunks {
                    ask: 1,
                    reference: reference.to_owned(),
                    digest,
                    len: BLOB_LEN as u64,
                    indexes: indexes.to_vec(),
                    again: false,
                });
                let (channel, frame) = self.caller.seal(&ask).unwrap();
                self.send(channel, frame).await;
            }
            let heard = tokio::time::timeout(Duration::from_secs(60), self.hear());
            match heard.await.unwrap() {
                FromProxy::Chunk(_) => there += 1,
                FromProxy::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
        begun.elapsed()
    }
}

/// A registry that has one blob, whatever it is asked for.
async fn registry(tasks: &mut JoinSet<()>) -> (String, Digest) {
    let piece: Vec<u8> = (0..=u8::MAX).collect();
    let blob: Bytes = piece.into_iter().cycle().take(BLOB_LEN).collect();
    let digest = sha256(&blob);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().route("/v2/{*rest}", get(move || async move { blob }));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, digest)
}

/// Has all of them fetch at one time; how long the slowest took.
async fn at_once(all: &mut Vec<Proplet>, reference: &str, digest: Digest, len: u32) -> Duration {
    let mut fetching = JoinSet::new();
    for mut proplet in std::mem::take(all) {
        let reference = reference.to_owned();
        fetching.spawn(async move {
            let took = proplet.fetch(&reference, digest, len).await;
            (proplet, took)
        });
    }
    let mut slowest = Duration::ZERO;
    while let Some(fetched) = fetching.join_next().await {
        let (proplet, took) = fetched.unwrap();
        slowest = slowest.max(took);
        all.push(proplet);
    }
    slowest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_to_four_proplets_at_once_need_few_chunks_in_memory() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let mut tasks = JoinSet::new();
    let (registry, digest) = registry(&mut tasks).await;
    let key = WorkloadKey::generate().unwrap();
    let Some(bed) = Bed::start(&registry, &key, &[]) else {
        return;
    };
    let (proxy, chunk_len) = (&bed.proxy, bed.config.chunk_len);
    let reference = format!("http://{registry}/a/b:1");

    let mut all = Vec::new();
    for number in 0..PROPLETS {
        all.push(Proplet::connect(&format!("edge-{number}"), &bed.config.mqtt, &key).await);
    }
    let idle = say(proxy, "idle", Duration::ZERO);
    let mut peaks = Vec::new();
    for what in ["one, which is fetched", "one", "one", "one"] {
        forget_peak(proxy);
        let took = all[0].fetch(&reference, digest, chunk_len).await;
        peaks.push(say(proxy, what, took));
    }
    for _ in 0..2 {
        forget_peak(proxy);
        let took = at_once(&mut all, &reference, digest, chunk_len).await;
        peaks.push(say(proxy, "four at once", took));
    }
    let most = peaks.into_iter().max().unwrap();
    assert!(most < MEMORY_MAX, "{most} bytes");
    let growth = most.saturating_sub(idle);
    assert!(growth < GROWTH_MAX, "{growth} bytes more than {idle}");
}
