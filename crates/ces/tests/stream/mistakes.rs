//! What the older implementation did wrong: each has a test that it is right here.
//!
//! The numbers are those of the list that this format was designed against. Of 9 and 10 this is
//! the half that is not of the C interface; the unit tests of the format name more of them beside
//! what they concern.

use propeller_ces::format::{Header, SegmentSizeError};
use propeller_ces::{
    Action, Audit, Compression, Event, Key, KeyError, KeyRing, Level, Object, ObjectError,
    SegmentSize, Threads, Wanted, rotate,
};

use crate::objects::{
    Counting, SEGMENT, key, options, other_key, random, read, read_with, ring, sealed, text,
    uncompressed,
};

/// A gzip, a zip, an MP4 and a zstd frame, as far as a detector looks, before random bytes.
#[test]
fn mistake_01_what_is_compressed_already_comes_back() {
    let heads: [&[u8]; 4] = [
        &[0x1f, 0x8b, 8, 0],
        b"PK\x03\x04",
        b"\0\0\0\x18ftypmp42",
        &[0x28, 0xb5, 0x2f, 0xfd],
    ];
    for head in heads {
        let plain = [head, &random(2 * SEGMENT, 1)].concat();
        let (shards, _) = sealed(&plain, &options(2, 1));
        assert!(read(shards).unwrap().0 == plain);
    }
}

#[test]
fn mistake_02_the_level_is_the_callers() {
    let plain = text(4 * SEGMENT, 2);
    let len = |level| {
        let mut options = options(2, 1);
        options.compression = Compression::Zstd(Level::new(level).unwrap());
        sealed(&plain, &options).1.shard_len
    };
    assert!(len(19) < len(3) && len(3) < len(1));
    for level in [0, 23, -1] {
        assert!(Level::new(level).is_err(), "level {level} is no other one");
    }
}

/// The length of an object is 64 bits wide and authenticated; that of a segment is bounded.
#[test]
fn mistake_03_lengths_are_wide_and_authenticated() {
    let (shards, summary) = sealed(&random(SEGMENT + 1, 3), &options(2, 1));
    for at in 0..12 {
        let mut changed = shards.clone();
        for shard in &mut changed {
            let footer = shard.len() - 96;
            shard[footer + at] ^= 1;
        }
        let wanted = Wanted {
            digest: Some(summary.digest),
            ..Wanted::default()
        };
        let (found, _) = read_with(changed, &ring(), wanted, Threads::ONE).unwrap();
        assert_eq!(found.len(), SEGMENT + 1);
    }
    assert_eq!(
        SegmentSize::new(1 << 24),
        Err(SegmentSizeError { got: 1 << 24 })
    );
}

/// `tests/memory/streams.rs` measures it.
#[test]
fn mistake_04_a_part_is_read_without_the_whole() {
    let plain = random(8 * SEGMENT, 4);
    let (bytes, _) = sealed(&plain, &uncompressed(2, 1));
    let shards: Vec<Counting<'_>> = bytes.iter().map(|bytes| Counting::new(bytes)).collect();
    let sources = shards.iter().collect();
    let mut object = Object::open(sources, &ring(), Wanted::default(), Audit::none()).unwrap();
    let mut out = Vec::new();
    let range = 5 * SEGMENT as u64 + 1..5 * SEGMENT as u64 + 2;
    object
        .read_range(range, &mut out, Threads::ONE, &mut |_| ())
        .unwrap();
    assert_eq!(out, [plain[5 * SEGMENT + 1]]);
    let read: u64 = shards
        .iter()
        .flat_map(|shard| shard.reads.take())
        .map(|read| read.end - read.start)
        .sum();
    assert!(read < 2 * SEGMENT as u64, "{read} bytes were read for one");
}

#[test]
fn mistake_05_one_flipped_bit_is_survived() {
    let plain = random(SEGMENT, 5);
    let (shards, _) = sealed(&plain, &options(8, 4));
    for input in 0..12 {
        let mut flipped = shards.clone();
        let middle = flipped[input].len() / 2;
        flipped[input][middle] ^= 1;
        let (found, damage) = read(flipped).unwrap();
        assert!(found == plain);
        // A parity shard is not looked at where data shards are good.
        assert_eq!(damage.of(input).is_some(), input < 8);
    }
}

/// `object.rs` shows that every field of the object header is bound into every key.
#[test]
fn mistake_06_a_whole_set_of_another_objects_shards_is_not_this_object() {
    let (_, wanted) = sealed(b"pay Alice", &options(2, 1));
    let (other, _) = sealed(b"pay Mallory", &options(2, 1));
    let wanted_id = Wanted {
        object: Some(wanted.object),
        ..Wanted::default()
    };
    let failed = read_with(other.clone(), &ring(), wanted_id, Threads::ONE);
    assert!(matches!(failed.unwrap_err().open(), ObjectError::Gather(_)));
    let (mine, _) = sealed(b"pay Alice", &options(2, 1));
    let mut disguised = other;
    for (shard, mine) in disguised.iter_mut().zip(mine) {
        shard[..120].copy_from_slice(&mine[..120]);
    }
    read(disguised).unwrap_err();
}

#[test]
fn mistake_07_parity_that_is_lost_is_not_missed() {
    let plain = random(2 * SEGMENT, 7);
    let (shards, _) = sealed(&plain, &options(8, 4));
    let (found, damage) = read(shards[..8].to_vec()).unwrap();
    assert!(found == plain);
    assert_eq!(damage.missing(), [8, 9, 10, 11]);
    assert!(damage.shards().is_empty());
}

/// That a decompressor gets no room for more than a segment is shown in `src/segment/tests.rs`.
#[test]
fn mistake_08_what_shrinks_a_thousandfold_has_the_length_that_is_said() {
    let (shards, _) = sealed(&vec![0; 3 * SEGMENT], &options(1, 1));
    assert!(shards[0].len() < 1000, "three segments of zeros");
    assert_eq!(read(shards).unwrap().0.len(), 3 * SEGMENT);
}

#[test]
fn mistake_09_nothing_is_an_input_and_every_error_has_words() {
    let (shards, summary) = sealed(b"", &options(8, 4));
    assert_eq!((summary.plain_len, summary.segments), (0, 1));
    assert!(read(shards).unwrap().0.is_empty());
    let nothing: Vec<Vec<u8>> = Vec::new();
    let failed = read(nothing).unwrap_err().open().to_string();
    assert!(failed.starts_with("there is no shard of an object"));
}

#[test]
fn mistake_10_shards_are_read_where_they_are() {
    let (shards, _) = sealed(b"borrowed", &options(2, 1));
    let borrowed: Vec<&[u8]> = shards.iter().map(Vec::as_slice).collect();
    assert_eq!(read(borrowed).unwrap().0, b"borrowed");
}

#[test]
fn mistake_11_no_key_is_an_error_and_never_a_random_one() {
    assert_eq!(Key::from_variable(None).unwrap_err(), KeyError::Missing);
    let error = Key::from_variable(Some("not a key")).unwrap_err();
    assert!(!error.to_string().contains("not a key"));
}

#[test]
fn mistake_12_keys_are_not_shown() {
    let key = Key::random().unwrap();
    let hex = key.to_hex();
    let shown = format!("{key:?} {:?}", KeyRing::new(key.clone()));
    assert!(!shown.contains(&*hex));
    assert!(shown.contains(&key.id().to_string()));
}

#[test]
fn mistake_13_the_key_is_named_and_rotation_touches_no_payload() {
    let (shards, _) = sealed(&random(SEGMENT, 13), &options(2, 1));
    let header = Header::parse(&shards[0]).unwrap();
    assert_eq!(header.key_id(), key().id());
    let told = std::sync::Mutex::new(0);
    let hook = |event: &Event| *told.lock().unwrap() += u32::from(event.action == Action::Rotated);
    let first = shards[0].first_chunk().unwrap();
    let rotated = rotate(first, &ring(), &other_key(), Audit::to(&hook)).unwrap();
    assert_eq!(rotated.header[..56], shards[0][..56]);
    assert_eq!(*told.lock().unwrap(), 1);
}

/// Neither id nor digest is a function of the plaintext.
#[test]
fn mistake_14_names_say_nothing_about_the_plaintext() {
    let plain = [
        b"a header that many files share".as_slice(),
        &random(100, 14),
    ]
    .concat();
    let (shards, one) = sealed(&plain, &options(2, 1));
    let (_, two) = sealed(&plain, &options(2, 1));
    assert_ne!(one.object, two.object);
    assert_ne!(one.digest, two.digest);
    for shard in shards {
        let shows = shard
            .windows(8)
            .any(|window| plain.windows(8).any(|part| part == window));
        assert!(!shows);
    }
}

/// Each segment decides by itself and by its length, whatever alphabet it is in and what stands first.
#[test]
fn mistake_28_what_is_compressed_is_found_by_trying() {
    let alphabet: String = ('\u{3b1}'..='\u{3c9}').chain(" \n".chars()).collect();
    let mut greek = alphabet.repeat(SEGMENT / alphabet.len() + 1).into_bytes();
    greek.truncate(SEGMENT);
    let noise = random(SEGMENT, 28);
    let len = |plain: &[u8]| sealed(plain, &options(1, 0)).1.shard_len;
    let (of_greek, of_noise) = (len(&greek), len(&noise));
    assert!(of_greek < of_noise / 10);
    assert!(of_noise >= SEGMENT as u64);
    for mixed in [[&*noise, &*greek].concat(), [&*greek, &*noise].concat()] {
        let both = len(&mixed);
        assert!(
            both < of_noise + of_greek,
            "one header and one end for both"
        );
        assert!(both >= SEGMENT as u64);
        assert!(read(sealed(&mixed, &options(1, 0)).0).unwrap().0 == mixed);
    }
}
