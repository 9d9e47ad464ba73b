//! Shards of another object, as many as anybody likes.

use propeller_ces::{GatherError, ObjectError, Threads, Wanted, Why, WitnessError, verify};

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
