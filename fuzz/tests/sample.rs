//! A sample of what `cargo xtask soak` does at length: every corpus, and mutations by fixed seed.
#![cfg(test)]

use propeller_fuzz::{Limit, TARGETS, Target, compared, corpus, fuzz, replay};

const MUTATIONS: u64 = 2000;

#[test]
fn every_corpus_passes() {
    for target in &TARGETS {
        assert_eq!(
            replay(target, &corpus(target).unwrap()),
            None,
            "{}",
            target.name
        );
    }
}

#[test]
fn mutations_of_every_corpus_pass() {
    for target in &TARGETS {
        let corpus = corpus(target).unwrap();
        let count = fuzz(target, &corpus, 1, Limit::Runs(target.sample));
        assert_eq!(
            count.map_err(|failure| failure.seed),
            Ok(target.sample),
            "{}",
            target.name
        );
    }
    // Otherwise the generated modules do nothing that both engines bring to an end.
    assert!(compared() > 1000, "{} calls", compared());
}

#[test]
fn a_broken_promise_is_found_and_its_seed_finds_it_again() {
    let target = Target {
        name: "fragile",
        run: |data| assert!(!data.contains(&0xff), "a promise"),
        sample: MUTATIONS,
    };
    let corpus = [("calm".to_owned(), vec![0; 16])];
    assert_eq!(replay(&target, &corpus), None);
    let failure = fuzz(&target, &corpus, 1, Limit::Runs(MUTATIONS)).unwrap_err();
    assert!(failure.input.contains(&0xff));
    let again = fuzz(&target, &corpus, failure.seed, Limit::Runs(1)).unwrap_err();
    assert_eq!(again.input, failure.input);
}
