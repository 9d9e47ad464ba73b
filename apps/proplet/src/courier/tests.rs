//! What a courier makes of what a proxy says, and of what it does not.

mod bed;

use propeller_envelope::WorkloadKey;
use propeller_wire::Desk;
use propeller_wire::images::{Chunk, Document, Progress, Welcome};
use serde_bytes::ByteBuf;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::*;
use bed::{Bed, CHUNK, DIGEST, chunk, content, got, keys, len, refused, with_digest};

#[test]
fn chunks_come_in_any_order_and_twice_and_make_the_blob() {
    let mut bed = Bed::connected();
    assert!(*bed.there.borrow());
    let bytes = content(len(2050));
    let mut answer = bed.order(bytes.len());
    let mut given = 0;
    while given < 21 {
        let asks = bed.asks();
        assert!(!asks.is_empty(), "it goes on asking");
        for ask in asks {
            assert_eq!(
                (ask.digest, ask.len, ask.again),
                (DIGEST, bytes.len() as u64, false)
            );
            assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
            for index in ask.indexes.iter().rev() {
                let chunk = chunk(ask.ask, &bytes, *index as usize);
                bed.say(&chunk);
                bed.say(&chunk);
                given += 1;
            }
        }
    }
    assert_eq!(got(&mut answer), with_digest(bytes));
    bed.pass(PATIENCE_OF_ALL);
    assert_eq!(bed.asks(), []);
}

/// Longer than anybody waits.
const PATIENCE_OF_ALL: Duration = Duration::from_secs(60);

#[test]
fn what_is_no_chunk_of_this_blob_changes_nothing() {
    let mut bed = Bed::connected();
    let bytes = content(len(250));
    let mut answer = bed.order(bytes.len());
    let ask = bed.asks().remove(0).ask;
    let with = |ask, index, bytes: Vec<u8>| {
        FromProxy::Chunk(Chunk {
            ask,
            index,
            bytes: ByteBuf::from(bytes),
        })
    };
    for wrong in [
        with(ask ^ 1, 0, content(CHUNK)),
        with(ask, 3, content(CHUNK)),
        with(ask, u32::MAX, content(CHUNK)),
        with(ask, 0, content(CHUNK - 1)),
        with(ask, 0, content(CHUNK + 1)),
        with(ask, 2, content(CHUNK)),
        with(ask, 2, Vec::new()),
        FromProxy::Document(Document {
            ask,
            media_type: None,
            bytes: ByteBuf::from(b"{}"),
        }),
    ] {
        bed.say(&wrong);
        assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
    }
    // Altered on its way, made for another proplet, and made with another key.
    let mut altered = bed.frame(&chunk(ask, &bytes, 0));
    *altered.last_mut().unwrap() ^= 1;
    let stranger = Keyring::new(WorkloadKey::from_bytes([2; 32]));
    let mut others = [Bed::of("edge-2", keys()), Bed::of("edge-1", stranger)];
    let theirs = others.each_mut().map(|other| {
        other.connect();
        other.frame(&chunk(ask, &bytes, 0))
    });
    for frame in theirs.iter().chain([&altered]) {
        bed.give(frame);
        assert_eq!(bed.asks(), [], "it is taken");
    }

    for index in [2, 0, 1] {
        assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
        bed.say(&chunk(ask, &bytes, index));
    }
    assert_eq!(got(&mut answer), with_digest(bytes));
}

#[test]
fn what_is_late_is_asked_for_again_and_nothing_else() {
    let mut bed = Bed::connected();
    let bytes = content(len(800));
    let mut answer = bed.order(bytes.len());
    let ask = bed.asks().remove(0);
    assert_eq!(ask.indexes, (0..8).collect::<Vec<_>>());
    for index in [0, 1, 3, 4, 6, 7] {
        bed.say(&chunk(ask.ask, &bytes, index));
    }
    assert_eq!(bed.asks(), []);
    bed.pass(Duration::from_millis(4000));
    let [again] = &*bed.asks() else {
        panic!("one ask")
    };
    assert_eq!((&*again.indexes, again.again), (&[2, 5][..], true));
    assert_eq!(again.ask, ask.ask);
    // Ever less often, as long as nothing comes.
    bed.pass(Duration::from_millis(4000));
    assert_eq!(bed.asks(), []);
    bed.pass(Duration::from_millis(3000));
    assert_eq!(bed.asks().len(), 1);
    for index in [5, 2] {
        bed.say(&chunk(ask.ask, &bytes, index));
    }
    assert_eq!(got(&mut answer), with_digest(bytes));
}

#[test]
fn a_transfer_goes_on_after_the_broker_was_gone_and_with_another_proxy() {
    let mut bed = Bed::connected();
    let bytes = content(len(800));
    let mut answer = bed.order(bytes.len());
    let ask = bed.asks().remove(0).ask;
    for index in 0..5 {
        bed.say(&chunk(ask, &bytes, index));
    }
    bed.courier.down();
    bed.pass(Duration::from_secs(5));
    bed.proxy = Desk::new("proxy-2".parse().unwrap(), keys());
    bed.courier.letters();
    bed.courier.up(bed.now);
    // What it says in the old session nobody hears; then it is welcomed in the new one.
    let letters = bed.courier.letters();
    let announced = letters
        .into_iter()
        .find(|(_, frame)| frame[5] == 1)
        .unwrap();
    bed.courier.letters.push(announced);
    bed.shake_hands(CHUNK);
    let asks = bed.asks();
    let wanted: Vec<u32> = asks.iter().flat_map(|ask| ask.indexes.clone()).collect();
    assert_eq!(wanted, [5, 6, 7]);
    for index in 5..8 {
        bed.say(&chunk(ask, &bytes, index));
    }
    assert_eq!(got(&mut answer), with_digest(bytes));
}

#[test]
fn a_proxy_with_other_chunks_begins_anew() {
    let mut bed = Bed::connected();
    let bytes = content(len(150));
    let mut answer = bed.order(bytes.len());
    let ask = bed.asks().remove(0).ask;
    bed.say(&chunk(ask, &bytes, 0));
    bed.say(&FromProxy::Welcome(Welcome {
        chunk_len: u32::try_from(len(75)).unwrap(),
    }));
    assert_eq!(bed.asks().remove(0).indexes, [0, 1]);
    for (index, part) in (0..).zip(bytes.chunks(len(75))) {
        bed.say(&FromProxy::Chunk(Chunk {
            ask,
            index,
            bytes: ByteBuf::from(part),
        }));
    }
    assert_eq!(got(&mut answer), with_digest(bytes));
}

#[test]
fn silence_is_the_end_and_a_sign_of_life_is_not() {
    let mut bed = Bed::connected();
    let mut answer = bed.order(len(300));
    let ask = bed.asks().remove(0).ask;
    for _ in 0..10 {
        bed.pass(Duration::from_secs(20));
        bed.heard();
        bed.say(&FromProxy::Progress(Progress { ask, bytes: 1 }));
    }
    assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
    bed.pass(Duration::from_secs(31));
    assert!(bed.heard().contains(&ToProxy::Forget(ask)));
    let why = refused(answer);
    assert!(
        why.starts_with("proxy: the proxy does not answer;"),
        "{why}"
    );
    assert!(!*bed.there.borrow());
}

#[test]
fn what_is_on_its_way_is_not_asked_for_twice() {
    let mut bed = Bed::connected();
    let bytes = content(len(2050));
    let mut answer = bed.order(bytes.len());
    let ask = bed.asks().remove(0);
    assert_eq!(ask.indexes, (0..8).collect::<Vec<_>>());
    // A registry that drips, for five minutes.
    for second in 0..300 {
        bed.pass(Duration::from_secs(1));
        bed.say(&FromProxy::Progress(Progress {
            ask: ask.ask,
            bytes: second,
        }));
        assert_eq!(bed.asks(), [], "after {second} s");
    }
    // With the first chunk it goes on.
    bed.say(&chunk(ask.ask, &bytes, 0));
    let more = bed.asks();
    assert_eq!(more.len(), 1);
    assert_eq!(more[0].indexes, (8..16).collect::<Vec<_>>());
    // What was lost while others came is asked for early: those behind it are hashed after it.
    for index in 2..4 {
        bed.pass(Duration::from_secs(2));
        bed.say(&chunk(ask.ask, &bytes, index));
    }
    let lost = bed.asks();
    assert_eq!(lost.len(), 1);
    assert_eq!((&*lost[0].indexes, lost[0].again), (&[1][..], false));
    assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn what_is_given_up_says_how_far_it_has_come() {
    let mut bed = Bed::connected();
    let bytes = content(len(250));
    let answer = bed.order(bytes.len());
    let ask = bed.asks().remove(0).ask;
    bed.say(&chunk(ask, &bytes, 1));
    // What it had before it has still.
    for at_proxy in [60_000, 50_000] {
        let bytes = at_proxy;
        bed.say(&FromProxy::Progress(Progress { ask, bytes }));
    }
    bed.pass(Duration::from_secs(31));
    assert_eq!(
        refused(answer),
        "proxy: the proxy does not answer; 60000 of 81920 bytes were at the proxy, 32768 of them \
         here"
    );

    // One that has had it for long says nothing but chunks.
    let mut bed = Bed::connected();
    let answer = bed.order(bytes.len());
    let ask = bed.asks().remove(0).ask;
    bed.say(&chunk(ask, &bytes, 0));
    bed.say(&FromProxy::Failed(Failed {
        ask,
        reason: Reason::Busy,
        text: "it has too much to do".to_owned(),
    }));
    bed.pass(Duration::from_secs(31));
    assert_eq!(
        refused(answer),
        "proxy: it has too much to do; 32768 of 81920 bytes were at the proxy, 32768 of them here"
    );
}

#[test]
fn without_a_proxy_it_waits_asks_who_is_there_and_gives_up() {
    let mut bed = Bed::new();
    bed.courier.up(bed.now);
    let answer = bed.order(len(300));
    let mut announced = 0;
    for _ in 0..62 {
        announced += bed.courier.letters().len();
        bed.pass(Duration::from_millis(500));
    }
    assert!((4..20).contains(&announced), "{announced}");
    assert_eq!(refused(answer), "proxy: the proxy does not answer");
}

#[test]
fn what_nobody_waits_for_is_not_wanted_any_more() {
    let mut bed = Bed::connected();
    let answer = bed.order(len(300));
    let ask = bed.asks().remove(0).ask;
    drop(answer);
    bed.pass(Duration::from_millis(200));
    assert_eq!(bed.heard(), [ToProxy::Forget(ask)]);
}

#[test]
fn a_refusal_is_told_as_if_the_registry_had_said_it() {
    let mut bed = Bed::connected();
    let answer = bed.order(len(300));
    let ask = bed.asks().remove(0).ask;
    bed.say(&FromProxy::Failed(Failed {
        ask,
        reason: Reason::Credentials,
        text: "ghcr.io does not let an anonymous user pull".to_owned(),
    }));
    assert_eq!(
        refused(answer),
        "credentials: ghcr.io does not let an anonymous user pull, says the proxy"
    );
}

#[test]
fn a_busy_proxy_is_asked_again_in_a_while() {
    let mut bed = Bed::connected();
    let mut answer = bed.order(len(300));
    let ask = bed.asks().remove(0).ask;
    bed.say(&FromProxy::Failed(Failed {
        ask,
        reason: Reason::Busy,
        text: String::new(),
    }));
    assert_eq!(bed.asks(), []);
    bed.pass(Duration::from_millis(4000));
    assert_eq!(bed.asks().remove(0).indexes, [0, 1, 2]);
    assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn a_document_is_asked_for_once_and_an_empty_blob_has_one_chunk() {
    let mut bed = Bed::connected();
    let (reply, mut answer) = oneshot::channel();
    let reference = "ghcr.io/a/b:1".to_owned();
    bed.courier
        .order(Order::Document { reference, reply }, bed.now);
    let [ToProxy::Document(ask)] = &*bed.heard() else {
        panic!("one ask")
    };
    bed.say(&FromProxy::Progress(Progress {
        ask: ask.ask,
        bytes: 0,
    }));
    assert_eq!(bed.heard(), []);
    bed.say(&FromProxy::Document(Document {
        ask: ask.ask,
        media_type: Some("application/json".to_owned()),
        bytes: ByteBuf::from(b"{}"),
    }));
    let document = answer.try_recv().unwrap().unwrap();
    assert_eq!(
        document,
        (b"{}".to_vec(), Some("application/json".to_owned()))
    );

    let mut answer = bed.order(0);
    let ask = bed.asks().remove(0);
    assert_eq!(ask.indexes, [0]);
    bed.say(&chunk(ask.ask, &[], 0));
    assert_eq!(got(&mut answer), with_digest(Vec::new()));
}
