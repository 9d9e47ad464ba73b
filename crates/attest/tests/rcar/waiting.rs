//! Whoever needs a session while one is being made: he waits for it, and for what becomes of it.

use std::sync::Arc;

use futures_util::future::join_all;
use propeller_attest::rcar::{KbsError, Step};
use tokio::task::JoinSet;

use super::broker::{Answer, Broker, Then};
use super::honest::{SECRET, kbs, secret, told};

#[tokio::test]
async fn whoever_asks_while_a_session_is_made_waits_for_it() {
    let broker = Broker::honest().await;
    let kbs = kbs(&broker);
    for released in join_all((0..8).map(|_| secret(&kbs))).await {
        assert_eq!(released.unwrap(), SECRET);
    }
    assert_eq!(broker.counts(), [1, 1, 8]);
}

#[tokio::test]
async fn a_failure_is_that_of_everybody_who_waited_and_of_nobody_who_comes_later() {
    let broker = Broker::start(|asked, honest| match asked.step() {
        Step::Attest => Answer::refusal("AttestationError", "not you"),
        _ => honest.answer(asked),
    })
    .await;
    let kbs = kbs(&broker);
    for attestations in 1..=2 {
        for released in join_all((0..6).map(|_| secret(&kbs))).await {
            assert_eq!(
                told(&broker, &released.unwrap_err()),
                "key broker KBS: attest was refused: AttestationError: not you"
            );
        }
        assert_eq!(broker.counts(), [attestations, attestations, 0]);
    }
}

#[tokio::test]
async fn all_who_wait_for_a_silent_broker_give_up_together() {
    let broker = Broker::start(|_, _| Answer::raw("").then(Then::Nothing)).await;
    let kbs = Arc::new(kbs(&broker));
    let mut asking = JoinSet::new();
    for _ in 0..6 {
        let kbs = Arc::clone(&kbs);
        asking.spawn(async move { secret(&kbs).await });
    }
    broker.reached(Step::Auth).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    while let Some(asked) = asking.join_next().await {
        let KbsError::Network { source, .. } = asked.unwrap().unwrap_err() else {
            panic!("nobody has answered");
        };
        assert!(source.is_timeout(), "{source:?}");
    }
    let waited = begun.elapsed().as_secs();
    assert!((29..=40).contains(&waited), "{waited} s");
    assert_eq!(broker.counts(), [1, 0, 0]);
}

#[tokio::test]
async fn whoever_gives_up_while_a_session_is_made_leaves_the_next_one_free() {
    let mut silent = true;
    let broker = Broker::start(move |asked, honest| match asked.step() {
        Step::Attest if std::mem::take(&mut silent) => Answer::raw("").then(Then::Nothing),
        _ => honest.answer(asked),
    })
    .await;
    let kbs = kbs(&broker);
    tokio::select! {
        _ = secret(&kbs) => panic!("nobody has answered"),
        () = broker.reached(Step::Attest) => {}
    }
    assert_eq!(secret(&kbs).await.unwrap(), SECRET);
}
