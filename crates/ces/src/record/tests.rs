//! Records that are right, damaged, of another place, or written wrong.

use super::*;
use crate::cipher::Cipher;
use crate::geometry::{Geometry, SegmentSize};
use crate::key::Label;
use crate::merkle::PieceTree;
use crate::object::{DataKey, ObjectId};

const SIZE: u32 = SegmentSize::MIN.bytes();

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

/// Segment 5, which is neither compressed nor the last one.
fn fields() -> Fields {
    Fields {
        position: Position {
            number: 5,
            is_last: false,
        },
        is_compressed: false,
        plain_len: SIZE,
        sealed_len: SIZE + 16,
        nonce: Cipher::Aes256Gcm.nonce([3; NONCE_LEN]),
        root: [4; HASH_LEN],
    }
}

/// What comes of a record that a holder of the key writes with these fields changed.
fn written(change: impl FnOnce(&mut Fields)) -> Result<Record, RecordError> {
    let mut fields = fields();
    change(&mut fields);
    let record = Record::write(fields, &key());
    Record::authenticate(record.bytes(), fields.position.number, &object(), &key())
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let record = Record::write(fields(), &key());
    assert_eq!(written(|_| {}), Ok(record.clone()));
    let unproven = UnprovenRecord::parse(record.bytes(), 5, &object()).unwrap();
    assert_eq!(unproven.believe_until_the_root(), record);
}

#[test]
fn a_flipped_bit_anywhere_is_damage() {
    let record = Record::write(fields(), &key());
    for bit in 0..8 * RECORD_LEN {
        let mut bytes = *record.bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = Record::authenticate(&bytes, 5, &object(), &key());
        assert_eq!(error, Err(RecordError::Mac { number: 5 }), "bit {bit}");
    }
}

#[test]
fn a_record_is_of_its_segment_and_no_other() {
    let record = Record::write(fields(), &key());
    let moved = Record::authenticate(record.bytes(), 6, &object(), &key());
    assert_eq!(moved, Err(RecordError::Mac { number: 6 }));
}

#[test]
fn lengths_are_those_of_a_segment_at_its_place() {
    let sealed = |got| Err(RecordError::SealedLength { number: 5, got });
    let plain = |number, got| Err(RecordError::PlainLength { number, got });
    let check = |fields: (u32, bool, bool, u32, u32), expected: Result<(), RecordError>| {
        let (number, is_last, is_compressed, plain_len, sealed_len) = fields;
        let found = written(|f| {
            f.position = Position { number, is_last };
            (f.is_compressed, f.plain_len, f.sealed_len) = (is_compressed, plain_len, sealed_len);
        });
        assert_eq!(found.map(drop), expected, "{fields:?}");
    };
    check((5, false, true, SIZE, 17), Ok(()));
    check((5, false, true, SIZE, SIZE + 15), Ok(()));
    check((5, true, false, 1, 17), Ok(()));
    check((0, true, false, 0, 16), Ok(()));
    check((5, false, false, SIZE, 15), sealed(15));
    check((5, false, false, SIZE, 0), sealed(0));
    check((5, false, false, SIZE, SIZE + 17), sealed(SIZE + 17));
    check((5, false, false, SIZE, u32::MAX), sealed(u32::MAX));
    // Not as long as the other says, or not shorter by compression.
    check((5, true, false, 2, 17), plain(5, 2));
    check((5, true, true, 1, 17), plain(5, 1));
    check((5, true, true, 0, 16), plain(5, 0));
    check((0, true, true, SIZE + 1, 99), plain(0, SIZE + 1));
    check((5, false, true, u32::MAX, 99), plain(5, u32::MAX));
    // Only the last one is short, and only that of an empty object empty.
    check((5, false, false, 1, 17), plain(5, 1));
    check((5, true, false, 0, 16), plain(5, 0));
    check((0, false, false, 0, 16), plain(0, 0));
}

#[test]
fn flags_and_nonces_that_are_not_defined_are_refused() {
    let record = Record::write(fields(), &key());
    let parse = |at: usize, value| {
        let mut bytes = *record.bytes();
        bytes[at] = value;
        UnprovenRecord::parse(&bytes, 5, &object()).map(drop)
    };
    for got in [4, 8, 0x80, 0xff] {
        assert_eq!(parse(0, got), Err(RecordError::Flags { number: 5, got }));
    }
    assert_eq!(parse(9 + 11, 0), Ok(()));
    assert_eq!(parse(9 + 12, 1), Err(RecordError::Nonce { number: 5 }));
    assert_eq!(parse(9 + 23, 1), Err(RecordError::Nonce { number: 5 }));
}

/// Mistake 5 of the older implementation: a shard carried neither a check nor its place.
#[test]
fn a_piece_is_believed_at_its_place_only() {
    let object = object();
    let piece_len = object.geometry.piece_len(fields().sealed_len) as usize;
    let pieces: Vec<Vec<u8>> = (0..3).map(|i| vec![i; piece_len]).collect();
    let mut tree = PieceTree::default();
    let leaves = (0..).zip(&pieces);
    let leaves = leaves.map(|(i, piece)| leaf(&object.id, 5, i, piece));
    tree.build(object.geometry, leaves);
    let path = |index| tree.path(index).flatten().copied().collect::<Vec<u8>>();
    let record = written(|fields| fields.root = *tree.root()).unwrap();
    for index in 0..3 {
        let piece = &pieces[usize::from(index)];
        let verify = |object: &ObjectHeader, index, path: &[u8], piece: &[u8]| {
            record.verify_piece(object, index, path, piece)
        };
        assert_eq!(verify(&object, index, &path(index), piece), Ok(()));
        let wrong = |index| Err(PieceError::Root { number: 5, index });
        let mut flipped = piece.clone();
        flipped[piece_len - 1] ^= 1;
        assert_eq!(verify(&object, index, &path(index), &flipped), wrong(index));
        let other = (index + 1) % 3;
        assert_eq!(verify(&object, other, &path(other), piece), wrong(other));
        let foreign = ObjectHeader {
            id: ObjectId([9; 16]),
            ..object
        };
        assert_eq!(verify(&foreign, index, &path(index), piece), wrong(index));
        let length = Err(PieceError::Length { number: 5, index });
        let path = path(index);
        assert_eq!(verify(&object, index, &path, &piece[1..]), length);
        assert_eq!(verify(&object, index, &path[..63], piece), length);
        assert_eq!(verify(&object, index, &path[..32], piece), length);
    }
}
