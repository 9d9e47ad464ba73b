//! A proxy, a registry that does what a test wants, and proplets that say what a test wants.
#![cfg(test)]

mod bed;
mod documents;
mod plain;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bed::{Bed, Behaviour, CHUNK, PATIENCE, content};
use propeller_model::Digest;
use propeller_oci::registry::Pace;
use propeller_wire::Channel;
use propeller_wire::frame::Announce;
use propeller_wire::images::{AskChunks, AskDocument, FromProxy, Reason, ToProxy};
use propeller_wire::link::Incoming;
use tokio::sync::Semaphore;

fn indexes(len: usize) -> Vec<u32> {
    (0..u32::try_from(len.div_ceil(CHUNK)).unwrap()).collect()
}

#[tokio::test]
async fn a_blob_comes_in_chunks_and_is_fetched_once_for_two_proplets() {
    let mut bed = Bed::new(Behaviour::Right(content(3 * CHUNK + 5))).await;
    let (blob, asked) = (content(3 * CHUNK + 5), bed.registry.blobs.clone());
    let mut proplets = [bed.proplet("edge-1").await, bed.proplet("edge-2").await];
    for proplet in &mut proplets {
        proplet.ask(bed.chunks(1, &blob, &[0, 1, 2, 3]));
    }
    for proplet in &mut proplets {
        let mut whole = vec![0; blob.len()];
        for _ in 0..4 {
            let chunk = proplet.chunk().await;
            let at = chunk.index as usize * CHUNK;
            whole[at..at + chunk.bytes.len()].copy_from_slice(&chunk.bytes);
        }
        assert_eq!(whole, blob);
    }
    assert_eq!(asked.load(SeqCst), 1);

    // Who comes later gets it from the disk, also exactly what it misses.
    let mut late = bed.proplet("edge-3").await;
    late.ask(bed.chunks(9, &blob, &[2]));
    assert_eq!(
        late.chunk().await.bytes.as_ref(),
        &blob[2 * CHUNK..3 * CHUNK]
    );
    assert_eq!(asked.load(SeqCst), 1);
    // Nobody hears what is for others.
    assert!(proplets[0].nothing_more());
}

#[tokio::test]
async fn what_is_asked_for_again_and_again_comes_once() {
    let (blob, go) = (content(20 * CHUNK), Arc::new(Semaphore::new(0)));
    let mut bed = Bed::new(Behaviour::Held(blob.clone(), Arc::clone(&go))).await;
    let mut proplet = bed.proplet("edge-1").await;
    let first: Vec<u32> = (0..8).collect();
    // More often than a proplet has places, were each of them an answer of its own.
    for _ in 0..100 {
        proplet.ask(bed.chunks(1, &blob, &first));
    }
    proplet.ask(bed.chunks(1, &blob, &[8, 3, 8]));
    // What is asked for last is refused at once: until then everything has been read.
    proplet.ask(bed.chunks(2, &blob, &[0; 9]));
    loop {
        match proplet.hear().await {
            FromProxy::Progress(progress) => assert_eq!(progress.ask, 1),
            FromProxy::Failed(failed) => {
                assert_eq!((failed.ask, failed.reason), (2, Reason::Refused));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    go.add_permits(1);
    for index in 0..9 {
        let chunk = proplet.chunk().await;
        assert_eq!((chunk.ask, chunk.index), (1, index));
    }
    // It has ended, and is answered again, also under the same number; nothing else has come.
    for index in [0, 19] {
        proplet.ask(bed.chunks(1, &blob, &[index]));
        assert_eq!(proplet.chunk().await.index, index);
    }
    assert!(proplet.nothing_more());
}

#[tokio::test]
async fn what_a_number_named_before_is_not_answered_any_more() {
    let (blob, go) = (content(20 * CHUNK), Arc::new(Semaphore::new(0)));
    let mut bed = Bed::new(Behaviour::Held(blob.clone(), Arc::clone(&go))).await;
    let mut proplet = bed.proplet("edge-1").await;
    // Another blob, and chunks that are not wanted any more when some are asked for again.
    proplet.ask(bed.chunks(1, &content(CHUNK), &[0]));
    proplet.ask(bed.chunks(1, &blob, &[0, 1, 2, 3]));
    let ToProxy::Chunks(mut again) = bed.chunks(1, &blob, &[5, 1]) else {
        unreachable!()
    };
    again.again = true;
    proplet.ask(ToProxy::Chunks(again));
    go.add_permits(1);
    for index in [5, 1] {
        assert_eq!(proplet.chunk().await.index, index);
    }
    proplet.ask(bed.chunks(2, &blob, &[19]));
    assert_eq!(proplet.chunk().await.ask, 2);
    assert!(proplet.nothing_more());
}

#[tokio::test]
async fn a_registry_that_lies_never_yields_a_whole_blob() {
    let blob = content(3 * CHUNK);
    let mut other = blob.clone();
    *other.last_mut().unwrap() ^= 1;
    let longer = [&blob[..], b"x"].concat();
    for (behaviour, reason, words) in [
        (
            Behaviour::Right(other),
            Reason::Digest,
            "its bytes are not those that were named",
        ),
        (
            Behaviour::Chunked(blob[..2 * CHUNK + 1].to_vec()),
            Reason::Size,
            "its manifest says",
        ),
        (Behaviour::Chunked(longer), Reason::Size, "has more than"),
        (Behaviour::Endless, Reason::Size, "has more than"),
        (Behaviour::Status(404), Reason::Name, "has no blob"),
        (
            Behaviour::Status(401),
            Reason::Credentials,
            "neither Basic nor Bearer",
        ),
        (
            Behaviour::Status(500),
            Reason::Network,
            "answers the blob with 500",
        ),
    ] {
        let what = format!("{behaviour:?}");
        let mut bed = Bed::new(behaviour).await;
        let mut proplet = bed.proplet("edge-1").await;
        proplet.ask(bed.chunks(1, &blob, &indexes(blob.len())));
        let failed = loop {
            match proplet.hear().await {
                FromProxy::Chunk(chunk) => assert!(chunk.index < 2, "{what}: the last chunk"),
                FromProxy::Progress(_) => {}
                FromProxy::Failed(failed) => break failed,
                other => panic!("{what}: {other:?}"),
            }
        };
        assert_eq!(
            (failed.ask, failed.reason),
            (1, reason),
            "{what}: {}",
            failed.text
        );
        assert!(failed.text.contains(words), "{what}: {}", failed.text);
        assert_eq!(bed.files(), 0, "{what}: nothing is kept");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_in_words() {
    let blob = content(2 * CHUNK);
    let mut bed = Bed::new(Behaviour::Right(blob.clone())).await;
    let mut proplet = bed.proplet("edge-1").await;
    let right = |bed: &Bed| bed.chunks(1, &blob, &[0]);
    let with = |bed: &Bed, change: &dyn Fn(&mut AskChunks)| {
        let ToProxy::Chunks(mut ask) = right(bed) else {
            unreachable!()
        };
        change(&mut ask);
        ToProxy::Chunks(ask)
    };
    for (ask, reason, words) in [
        (
            with(&bed, &|ask| ask.indexes = vec![2]),
            Reason::Refused,
            "chunk 2 is not one of 2",
        ),
        (
            with(&bed, &|ask| ask.indexes = vec![0; 9]),
            Reason::Refused,
            "more than 8 chunks",
        ),
        (
            with(&bed, &|ask| {
                ask.reference = "http://127.0.0.1:1/a/b:1".to_owned();
            }),
            Reason::Refused,
            "does not ask http://127.0.0.1:1",
        ),
        (
            with(&bed, &|ask| ask.reference = "ghcr.io/a/b:1".to_owned()),
            Reason::Refused,
            "does not ask ghcr.io",
        ),
        (
            with(&bed, &|ask| ask.reference = "UPPER".to_owned()),
            Reason::Name,
            "no repository",
        ),
        (
            with(&bed, &|ask| {
                ask.digest = Digest([1; 32]);
                ask.len = u64::MAX;
            }),
            Reason::Size,
            "are fetched",
        ),
        (
            ToProxy::Document(AskDocument {
                ask: 1,
                reference: "ghcr.io/a/b:1".to_owned(),
            }),
            Reason::Refused,
            "does not ask ghcr.io",
        ),
    ] {
        proplet.ask(ask.clone());
        let FromProxy::Failed(failed) = proplet.hear().await else {
            panic!("{ask:?}")
        };
        assert_eq!(failed.reason, reason, "{}", failed.text);
        assert!(failed.text.contains(words), "{}", failed.text);
    }
    proplet.ask(right(&bed));
    assert_eq!(proplet.chunk().await.index, 0, "it goes on");
}

#[tokio::test]
async fn a_cache_that_was_damaged_is_filled_again() {
    let blob = content(2 * CHUNK);
    let mut bed = Bed::new(Behaviour::Right(blob.clone())).await;
    let mut proplet = bed.proplet("edge-1").await;
    proplet.ask(bed.chunks(1, &blob, &[0, 1]));
    proplet.chunk().await;
    proplet.chunk().await;
    bed.damage();
    proplet.ask(bed.chunks(2, &blob, &[1, 0]));
    for index in [1, 0] {
        let chunk = proplet.chunk().await;
        assert_eq!((chunk.ask, chunk.index), (2, index));
        let at = index as usize * CHUNK;
        assert_eq!(chunk.bytes.as_ref(), &blob[at..at + CHUNK]);
    }
    assert_eq!(bed.registry.blobs.load(SeqCst), 2);
}

#[tokio::test]
async fn a_proxy_that_starts_again_has_what_it_had() {
    let blob = content(2 * CHUNK + 1);
    let mut bed = Bed::new(Behaviour::Right(blob.clone())).await;
    let mut proplet = bed.proplet("edge-1").await;
    proplet.ask(bed.chunks(1, &blob, &[0, 1, 2]));
    for _ in 0..3 {
        proplet.chunk().await;
    }
    bed.restart().await;
    let mut proplet = bed.proplet("edge-1").await;
    proplet.ask(bed.chunks(2, &blob, &[2]));
    assert_eq!(proplet.chunk().await.bytes.as_ref(), &blob[2 * CHUNK..]);
    assert_eq!(bed.registry.blobs.load(SeqCst), 1);
}

#[tokio::test]
async fn the_oldest_blob_goes_when_there_is_no_room() {
    let blobs: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 10 * CHUNK]).collect();
    let mut bed = Bed::new(Behaviour::AnyOf(blobs.clone())).await;
    let mut proplet = bed.proplet("edge-1").await;
    for (ask, blob) in (0..).zip(&blobs) {
        proplet.ask(bed.chunks(ask, blob, &[9]));
        assert_eq!(proplet.chunk().await.ask, ask);
    }
    // The cache has room for two.
    assert_eq!(bed.files(), 2);
    proplet.ask(bed.chunks(9, &blobs[3], &[0]));
    proplet.chunk().await;
    assert_eq!(bed.registry.blobs.load(SeqCst), 4);
    proplet.ask(bed.chunks(10, &blobs[0], &[0]));
    proplet.chunk().await;
    assert_eq!(bed.registry.blobs.load(SeqCst), 5);
}

#[tokio::test]
async fn a_registry_that_never_ends_holds_up_nobody_else() {
    let blob = content(2 * CHUNK);
    let mut bed = Bed::new(Behaviour::Right(blob.clone())).await;
    let mut patient = bed.proplet("edge-1").await;
    let slow = bed.reference("slow/a:1");
    for ask in 0..4 {
        let reference = slow.clone();
        patient.ask(ToProxy::Document(AskDocument { ask, reference }));
    }
    let ToProxy::Chunks(mut ask) = bed.chunks(9, &blob, &[0]) else {
        unreachable!()
    };
    ask.reference = slow;
    patient.ask(ToProxy::Chunks(ask));
    // The same bytes from where they are to be had.
    let mut other = bed.proplet("edge-2").await;
    other.ask(bed.chunks(1, &blob, &[1, 0]));
    for index in [1, 0] {
        assert_eq!(other.chunk().await.index, index);
    }
    // Whoever waits is told that it goes on, and does not hear anything else.
    assert!(matches!(patient.hear().await, FromProxy::Progress(_)));
}

#[tokio::test]
async fn registries_that_drip_keep_the_places_for_a_while_only() {
    let blob = content(2 * CHUNK);
    let pace = Pace {
        bytes: 1000,
        within: Duration::from_secs(1),
    };
    let mut bed = Bed::at(pace, Behaviour::Right(blob.clone())).await;
    let mut patient = bed.proplet("edge-1").await;
    // As many as there are places.
    for number in 0..4 {
        let ToProxy::Chunks(mut ask) = bed.chunks(number.into(), &[number], &[0]) else {
            unreachable!()
        };
        ask.reference = bed.reference("drips/a:1");
        ask.len = 1 << 16;
        patient.ask(ToProxy::Chunks(ask));
    }
    while bed.registry.blobs.load(SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    let mut other = bed.proplet("edge-2").await;
    other.ask(bed.chunks(1, &blob, &[1, 0]));
    for index in [1, 0] {
        assert_eq!(other.chunk().await.index, index);
    }
    let failed = loop {
        match patient.hear().await {
            FromProxy::Progress(_) => {}
            FromProxy::Failed(failed) => break failed,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failed.reason, Reason::Network, "{}", failed.text);
    assert!(
        failed.text.contains("sends the blob too slowly"),
        "{}",
        failed.text
    );
}

#[tokio::test]
async fn whatever_is_said_is_read_also_while_nothing_can_be_sent() {
    let bed = Bed::new(Behaviour::Endless).await;
    let (proxy, tell, mut stuck) = bed.on_a_stuck_link().await;
    tell.send(Incoming::Up).await.unwrap();
    for number in 0..5000_u32 {
        let announce = Announce {
            proplet: format!("edge-{number}").parse().unwrap(),
            key_id: bed.key_id(),
            nonce: [1; 32],
        };
        let frame = Incoming::Frame {
            channel: Channel::Ask,
            bytes: announce.write().into(),
        };
        let told = tokio::time::timeout(PATIENCE, tell.send(frame)).await;
        told.expect("it is read").unwrap();
    }
    let solicit = stuck.recv().await.unwrap();
    assert_eq!(solicit.channel, Channel::Serve);
    let answer = stuck.recv().await.unwrap();
    assert_eq!(answer.channel, Channel::ServeTo("edge-0".parse().unwrap()));
    proxy.stop().await;
}
