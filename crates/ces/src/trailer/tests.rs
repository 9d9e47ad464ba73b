//! Trailers that are right, damaged, cut, or written wrong.

use super::*;
use crate::cipher::Cipher;
use crate::geometry::{Geometry, SegmentSize};
use crate::key::Label;
use crate::object::DataKey;

const SIZE: u64 = SegmentSize::MIN.bytes() as u64;

fn object() -> ObjectHeader {
    ObjectHeader {
        cipher: Cipher::Aes256Gcm,
        geometry: Geometry::new(2, 1).unwrap(),
        segment_size: SegmentSize::MIN,
        id: ObjectId([1; 16]),
        label: Label::NONE,
    }
}

fn key() -> MacKey {
    DataKey::from_random([2; 32]).keys(&object()).mac().clone()
}

/// The trailer of `segments` segments that are 16 bytes long, and where it begins.
fn trailer(segments: u64, plain_len: u64) -> (Trailer, u64) {
    let entry = object().geometry.entry_len(16);
    let mut offsets: Vec<u64> = Vec::new();
    let mut end = 0;
    for block in 0..u32::try_from(block_count(segments)).unwrap() {
        let count = segments_in_block(block, segments);
        let offset = block_start(offsets.last().copied()) + u64::from(count) * entry;
        end = offset + block_len(count) as u64;
        offsets.push(offset);
    }
    let footer = Footer::new(segments, plain_len, [3; 32], &key());
    (Trailer::new(offsets, footer.footer()), end)
}

fn bytes(trailer: &Trailer) -> Vec<u8> {
    let mut bytes = Vec::new();
    trailer.write(&object().id, &mut bytes);
    bytes
}

#[test]
fn a_trailer_is_read_as_it_was_written() {
    for (segments, plain_len) in [
        (1, 0),
        (1, SIZE),
        (2, SIZE + 1),
        (1024, 1024 * SIZE),
        (1025, 1024 * SIZE + 1),
        (5000, 5000 * SIZE),
    ] {
        let (trailer, begins_at) = trailer(segments, plain_len);
        let bytes = bytes(&trailer);
        let end = bytes.last_chunk().unwrap();
        assert_eq!(Trailer::len_before_end(end), Ok(bytes.len() as u64));
        let read = Trailer::parse(&bytes, begins_at, &object()).unwrap();
        assert_eq!(read, trailer);
        let footer = read.footer().authenticate(&key()).unwrap();
        assert_eq!(footer.segments(), segments);
        assert_eq!(footer.plain_len(), plain_len);
        assert_eq!(footer.vouch_for(&[3; 32]), Ok(()));
        assert_eq!(footer.vouch_for(&[4; 32]), Err(TrailerError::Root));
    }
}

/// Mistake 3 of the older implementation: lengths of 32 bits that nobody authenticates.
#[test]
fn more_than_4_gib_have_a_length_that_is_authenticated() {
    let (trailer, begins_at) = trailer(70_000, 70_000 * SIZE);
    assert!(u32::try_from(70_000 * SIZE).is_err());
    let read = Trailer::parse(&bytes(&trailer), begins_at, &object()).unwrap();
    let footer = read.footer().authenticate(&key()).unwrap();
    assert_eq!(footer.plain_len(), 70_000 * SIZE);
    let forged = Footer {
        plain_len: footer.plain_len() - 1,
        ..*read.footer()
    };
    assert_eq!(forged.authenticate(&key()), Err(TrailerError::Mac));
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let (trailer, begins_at) = trailer(1025, 1025 * SIZE);
    let good = bytes(&trailer);
    for bit in 0..8 * good.len() {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = Trailer::parse(&damaged, begins_at, &object()).unwrap_err();
        let expected = match bit / 8 {
            108.. => TrailerError::End,
            // The number of segments decides about the length.
            16..20 => error,
            _ => TrailerError::Check,
        };
        assert_eq!(error, expected, "bit {bit}");
    }
}

#[test]
fn what_is_cut_or_has_more_behind_it_does_not_end_like_a_shard() {
    let (trailer, begins_at) = trailer(3, 3 * SIZE);
    let good = bytes(&trailer);
    let parse = |bytes: &[u8]| Trailer::parse(bytes, begins_at, &object()).map(drop);
    assert_eq!(parse(&good[..good.len() - 1]), Err(TrailerError::End));
    assert_eq!(parse(&[&good[..], b"x"].concat()), Err(TrailerError::End));
    assert_eq!(parse(&good[1..]), Err(TrailerError::Length));
    assert_eq!(
        parse(&[b"x", &good[..]].concat()),
        Err(TrailerError::Length)
    );
    assert_eq!(parse(b""), Err(TrailerError::Length));
    let last = TrailerError::Offset { number: 0 };
    let moved = Trailer::parse(&good, begins_at + 1, &object());
    assert_eq!(moved, Err(last));
}

#[test]
fn offsets_that_cannot_be_are_refused() {
    let (good, begins_at) = trailer(1025, 1025 * SIZE);
    for (number, change) in [(0, -1), (0, i64::MIN), (1, 1), (1, -1), (1, i64::MAX)] {
        let mut wrong = good.clone();
        let offset = &mut wrong.offsets[number];
        *offset = offset.wrapping_add_signed(change);
        let error = Trailer::parse(&bytes(&wrong), begins_at, &object()).unwrap_err();
        let number = u32::try_from(number).unwrap();
        assert_eq!(error, TrailerError::Offset { number }, "{change}");
    }
}

#[test]
fn the_length_of_the_plaintext_fits_the_number_of_segments() {
    for (segments, plain) in [
        (1, SIZE + 1),
        (2, SIZE),
        (2, 2 * SIZE + 1),
        (3, 0),
        (3, u64::MAX),
    ] {
        let (wrong, begins_at) = trailer(segments, plain);
        let error = Trailer::parse(&bytes(&wrong), begins_at, &object()).unwrap_err();
        assert_eq!(error, TrailerError::PlainLength { segments, plain });
    }
}

/// Mistake 14 of the older implementation: its name of a file was the beginning of the plaintext.
#[test]
fn the_digest_names_everything_but_the_keys_and_nothing_of_the_plaintext() {
    let footer = Footer::new(3, 3 * SIZE, [3; 32], &key()).footer();
    let digest = footer.digest(&object());
    assert!(footer.identify(&object(), &digest).is_ok());
    let other_object = ObjectHeader {
        id: ObjectId([9; 16]),
        ..object()
    };
    for (footer, object) in [
        (footer, other_object),
        (Footer::new(2, 2 * SIZE, [3; 32], &key()).footer(), object()),
        (
            Footer {
                mac: [0; 32],
                ..footer
            },
            object(),
        ),
        (
            Footer {
                root: [0; 32],
                ..footer
            },
            object(),
        ),
    ] {
        assert_eq!(footer.identify(&object, &digest), Err(TrailerError::Digest));
    }
}
