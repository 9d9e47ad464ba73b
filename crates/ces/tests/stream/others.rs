//! Shards of another object, as many as anybody likes.

use propeller_ces::{GatherError, ObjectError, Threads, Wanted, Why, WitnessError, repair, verify};

use crate::hostile::{first_of, recheck_header};
use crate::objects::{options, read, read_with, ring, sealed};

/// As whoever holds one place and no key can fill it: with shards that repair made of another object.
#[test]
fn more_shards_of_another_object_of_the_same_key_do_not_replace_the_wanted_one() {
    for (data, parity, left) in [(1, 2, 2), (8, 4, 8)] {
        let (shards, summary) = sealed(b"pay 10 to Alice", &options(data, parity));
        let (others, _) = sealed(b"pay 99 to Mallory", &options(data, parity));
        let both = [&shards[..left], &others[..]].concat();
        let failed = read(both.clone()).unwrap_err().open();
        let ambiguous = matches!(failed, ObjectError::Gather(GatherError::Ambiguous { .. }));
        assert!(ambiguous, "{failed}");
        let failed = verify(both.clone(), Wanted::default(), &mut |_| {}).unwrap_err();
        let ambiguous = matches!(failed, WitnessError::Gather(GatherError::Ambiguous { .. }));
        assert!(ambiguous, "{failed}");
        let wanted = Wanted {
            digest: Some(summary.digest),
            ..Wanted::default()
        };
        let (found, _) = read_with(both, &ring(), wanted, Threads::ONE).unwrap();
        assert_eq!(found, b"pay 10 to Alice");
    }
}

/// As whoever holds one place waits for an outage: what is there of the wanted object is too little,
/// and what is there of another one of the same key would do.
#[test]
fn while_a_place_is_away_few_shards_beside_enough_of_another_object_are_no_answer() {
    let (old, _) = sealed(b"pay 99 to Mallory", &options(8, 4));
    let (new, summary) = sealed(b"pay 10 to Alice", &options(8, 4));
    for left in [1, 4, 7] {
        let both = [&new[..left], &old[..]].concat();
        let partial = Wanted {
            is_partial: true,
            ..Wanted::default()
        };
        let failed = read_with(both.clone(), &ring(), partial, Threads::ONE);
        let failed = failed.unwrap_err().open();
        let ambiguous = matches!(failed, ObjectError::Gather(GatherError::Ambiguous { .. }));
        assert!(ambiguous, "{left}: {failed}");
        let failed = verify(both.clone(), partial, &mut |_| {}).unwrap_err();
        let ambiguous = matches!(failed, WitnessError::Gather(GatherError::Ambiguous { .. }));
        assert!(ambiguous, "{left}: {failed}");
        let mut rebuilt = Vec::new();
        let sinks = vec![(0, &mut rebuilt)];
        repair(both.clone(), sinks, partial, &mut |_| {}).unwrap_err();
        assert!(rebuilt.is_empty());
        // Where nothing is away, so few are what anybody may put beside an object.
        let (found, _) = read(both.clone()).unwrap();
        assert_eq!(found, b"pay 99 to Mallory");
        // The digest says what there is too little of.
        let wanted = Wanted {
            digest: Some(summary.digest),
            ..Wanted::default()
        };
        let failed = read_with(both, &ring(), wanted, Threads::ONE).unwrap_err();
        let ObjectError::Gather(GatherError::TooFew { object, got, .. }) = failed.open() else {
            panic!("{left} shards of the wanted object");
        };
        assert_eq!((object, got), (summary.object, left));
    }
}

#[test]
fn more_shards_under_another_key_keep_nobody_from_the_object_that_opens() {
    let (shards, summary) = sealed(b"mine", &options(8, 4));
    let (mut others, other) = sealed(b"theirs", &options(8, 4));
    for shard in &mut others {
        // A key that nobody here has.
        shard[56] ^= 1;
        recheck_header(shard);
    }
    let both = [&shards[..8], &others[..]].concat();
    let (found, damage) = read(both).unwrap();
    assert_eq!(found, b"mine");
    let object = other.object;
    assert_eq!(first_of(&damage, 8), Why::Foreign { object });
    assert_ne!(object, summary.object);
}
