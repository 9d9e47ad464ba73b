//! Another key, shard by shard.

use std::sync::Mutex;

use propeller_ces::format::HEADER_LEN;
use propeller_ces::{
    Action, Audit, Event, Key, KeyRing, Label, ObjectError, RotateError, Rotated, Threads, Wanted,
    rotate, verify,
};

use crate::objects::{SEGMENT, key, options, other_key, random, read_with, ring, sealed};

fn rotated(shard: &mut [u8], keys: &KeyRing) -> Result<Rotated, RotateError> {
    let header = shard.first_chunk().unwrap();
    let rotated = rotate(header, keys, &other_key(), Audit::none())?;
    shard[..HEADER_LEN].copy_from_slice(&rotated.header);
    Ok(rotated)
}

fn reads(shards: &[Vec<u8>], keys: &KeyRing, plain: &[u8]) -> bool {
    let read = read_with(shards.to_vec(), keys, Wanted::default(), Threads::ONE);
    match read {
        Ok((read, _)) => {
            assert!(read == plain);
            true
        }
        Err(error) => {
            assert!(matches!(error.open(), ObjectError::Missing { .. }));
            false
        }
    }
}

#[test]
fn an_interrupted_rotation_is_readable_and_goes_on() {
    let plain = random(2 * SEGMENT, 1);
    let (mut shards, summary) = sealed(&plain, &options(2, 2));
    let before = shards.clone();
    let (old, new) = (ring(), KeyRing::new(other_key()));
    let both = KeyRing::new(other_key()).and_reading([key()]).unwrap();
    for done in 0..=shards.len() {
        assert!(reads(&shards, &both, &plain), "{done} shards are done");
        assert_eq!(reads(&shards, &new, &plain), done > 0);
        assert_eq!(reads(&shards, &old, &plain), done < shards.len());
        let wanted = Wanted {
            digest: Some(summary.digest),
            ..Wanted::default()
        };
        let report = verify(shards.clone(), wanted, &mut |_| ()).unwrap();
        assert!(report.is_whole(), "the digest is what it was");
        let keys = if (1..4).contains(&done) { 2 } else { 1 };
        assert_eq!(report.keys.len(), keys);
        if let Some(shard) = shards.get_mut(done) {
            assert!(rotated(shard, &both).unwrap().is_changed);
        }
    }
    // Once more, from the beginning, as after an interruption.
    let after = shards.clone();
    for shard in &mut shards {
        assert!(!rotated(shard, &both).unwrap().is_changed);
    }
    assert!(shards == after, "nothing is written that is there already");
    for (before, after) in before.iter().zip(&after) {
        assert!(before[..56] == after[..56] && before[HEADER_LEN..] == after[HEADER_LEN..]);
    }
}

#[test]
fn a_rotated_shard_needs_the_old_key_no_more() {
    let (mut shards, _) = sealed(b"x", &options(1, 1));
    for shard in &mut shards {
        rotated(shard, &ring()).unwrap();
    }
    let none = KeyRing::reading([]).unwrap();
    assert!(!rotated(&mut shards[0], &none).unwrap().is_changed);
}

#[test]
fn what_cannot_be_rotated_is_refused_by_name() {
    let (shards, _) = sealed(b"x", &options(1, 1));
    let header = *shards[0].first_chunk().unwrap();
    let refused = |header: &[u8; HEADER_LEN], keys: &KeyRing, to: &Key| {
        rotate(header, keys, to, Audit::none()).unwrap_err()
    };
    let none = KeyRing::reading([]).unwrap();
    let error = refused(&header, &none, &other_key());
    assert!(matches!(error, RotateError::Missing { .. }), "{error}");
    let test = other_key().labelled(Label::new("test").unwrap());
    let error = refused(&header, &ring(), &test);
    assert!(matches!(error, RotateError::Label { .. }), "{error}");
    let mut damaged = header;
    damaged[70] ^= 1;
    let error = refused(&damaged, &ring(), &other_key());
    assert!(matches!(error, RotateError::Header(_)), "{error}");
    crate::hostile::recheck_header(&mut damaged);
    let error = refused(&damaged, &ring(), &other_key());
    assert!(matches!(error, RotateError::Unwrap { .. }), "{error}");
}

#[test]
fn rotation_is_told_once_for_each_shard_that_it_changes() {
    let (shards, summary) = sealed(b"x", &options(1, 1));
    let told = Mutex::new(Vec::new());
    let hook = |event: &Event| told.lock().unwrap().push((event.action, event.key));
    let header = shards[0].first_chunk().unwrap();
    let (old, new) = (key(), other_key());
    let first = rotate(header, &ring(), &new, Audit::to(&hook)).unwrap();
    rotate(&first.header, &ring(), &new, Audit::to(&hook)).unwrap();
    assert_eq!(first.object, summary.object);
    let expected = [
        (Action::Unwrapped, old.id()),
        (Action::Rotated, new.id()),
        (Action::Unwrapped, new.id()),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}
