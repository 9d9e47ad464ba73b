//! Segments, good ones and those of a wrong writer who has the key.

use super::*;
use crate::cipher::Cipher;
use crate::error::LevelError;
use crate::geometry::{Geometry, SegmentSize};
use crate::key::Label;
use crate::object::{DataKey, ObjectId};

const SIZE: usize = SegmentSize::MIN.bytes() as usize;
const ONLY: Position = Position {
    number: 0,
    is_last: true,
};

fn coder(cipher: Cipher, geometry: Geometry) -> Arc<ObjectCoder> {
    let object = ObjectHeader {
        cipher,
        geometry,
        segment_size: SegmentSize::MIN,
        id: ObjectId([1; 16]),
        label: Label::NONE,
    };
    Arc::new(ObjectCoder::new(object, &DataKey::from_random([2; 32])))
}

fn writer(coder: &Arc<ObjectCoder>, compression: Compression) -> SegmentWriter {
    SegmentWriter::new(Arc::clone(coder), compression)
}

/// Bytes that nothing compresses.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    b"one flipped bit in one of twelve shards "
        .iter()
        .copied()
        .cycle()
        .take(len)
        .collect()
}

fn sealed(coder: &Arc<ObjectCoder>, plain: &[u8]) -> SealedSegment {
    let mut out = SealedSegment::new();
    writer(coder, Compression::default())
        .seal(plain, ONLY, [3; NONCE_LEN], &mut out)
        .unwrap();
    out
}

fn record_of(coder: &ObjectCoder, segment: &SealedSegment) -> Record {
    let mac = coder.keys().mac();
    Record::authenticate(segment.record(), 0, coder.object(), mac).unwrap()
}

fn data_pieces(coder: &ObjectCoder, segment: &SealedSegment) -> Vec<u8> {
    let indices = 0..coder.object().geometry.data();
    indices.flat_map(|i| segment.piece_of(i).to_vec()).collect()
}

/// What the data pieces of a segment open to.
fn opened(coder: &Arc<ObjectCoder>, segment: &SealedSegment) -> Result<Vec<u8>, OpenError> {
    let mut out = b"what was there before".to_vec();
    let mut data = data_pieces(coder, segment);
    SegmentReader::new(Arc::clone(coder))
        .open(&record_of(coder, segment), &mut data, &mut out)
        .map(|()| out)
}

#[test]
fn every_piece_is_believed_and_the_data_pieces_open() {
    for cipher in [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm] {
        for (data, parity) in [(1, 0), (2, 1), (8, 4), (3, 0), (128, 128)] {
            let coder = coder(cipher, Geometry::new(data, parity).unwrap());
            for plain in [vec![], noise(1), noise(1000), noise(SIZE), text(SIZE)] {
                let segment = sealed(&coder, &plain);
                let record = record_of(&coder, &segment);
                for index in 0..=data - 1 + parity {
                    let (head, path) = segment.head_of(index).split_at(RECORD_LEN);
                    assert_eq!(head, segment.record());
                    let piece = segment.piece_of(index);
                    let verified = record.verify_piece(coder.object(), index, path, piece);
                    assert_eq!(verified, Ok(()), "{cipher} {data}+{parity}");
                }
                assert_eq!(opened(&coder, &segment).unwrap(), plain);
            }
        }
    }
}

#[test]
fn lost_data_pieces_come_of_parity() {
    let coder = coder(Cipher::Aes256Gcm, Geometry::default());
    let segment = sealed(&coder, &noise(SIZE));
    let present: Vec<_> = (4..12)
        .map(|i: u8| (usize::from(i), segment.piece_of(i)))
        .collect();
    let mut lost = vec![vec![0; segment.piece_len]; 4];
    let mut buffers: Vec<&mut [u8]> = lost.iter_mut().map(|piece| &mut piece[..]).collect();
    let code = coder.code();
    code.rebuild(&present, &[0, 1, 2, 3], &mut buffers).unwrap();
    for (index, piece) in (0..).zip(&lost) {
        assert_eq!(piece, segment.piece_of(index));
    }
}

/// Mistake 1 of the older implementation: what was compressed already could not be read back.
#[test]
fn what_does_not_become_shorter_is_kept_as_it_is_and_the_record_says_so() {
    let coder = coder(Cipher::XChaCha20Poly1305, Geometry::default());
    let zip = [b"PK\x03\x04", &noise(5000)[..]].concat();
    let gzip = [b"\x1f\x8b\x08", &noise(5000)[..]].concat();
    let zstd = zstd::bulk::compress(&noise(5000), 3).unwrap();
    for plain in [zip, gzip, zstd] {
        let segment = sealed(&coder, &plain);
        assert!(!record_of(&coder, &segment).is_compressed());
        assert_eq!(segment.sealed_len() as usize, plain.len() + TAG_LEN);
        assert_eq!(opened(&coder, &segment).unwrap(), plain);
    }
    assert!(record_of(&coder, &sealed(&coder, &text(5000))).is_compressed());
}

/// Mistake 2: all levels gave the same bytes.
#[test]
fn the_level_decides_how_short_a_segment_becomes() {
    let coder = coder(Cipher::Aes256Gcm, Geometry::WHOLE);
    let plain = include_bytes!("../segment.rs");
    let sealed_len = |compression| {
        let mut out = SealedSegment::new();
        let mut writer = writer(&coder, compression);
        writer.seal(plain, ONLY, [3; NONCE_LEN], &mut out).unwrap();
        out.sealed_len()
    };
    let level = |level| sealed_len(Compression::Zstd(Level::new(level).unwrap()));
    assert!(level(19) < level(3), "{} {}", level(19), level(3));
    assert!(level(3) < level(1), "{} {}", level(3), level(1));
    assert_eq!(sealed_len(Compression::Off) as usize, plain.len() + TAG_LEN);
    for got in [0, 23, -1] {
        assert_eq!(Level::new(got), Err(LevelError { got }));
    }
}

/// Mistake 4: buffers as large as the whole object, for every step a new one.
#[test]
fn buffers_are_made_once() {
    let coder = coder(Cipher::Aes256Gcm, Geometry::default());
    let mut writer = writer(&coder, Compression::default());
    let mut reader = SegmentReader::new(Arc::clone(&coder));
    let (mut out, mut plain) = (SealedSegment::new(), Vec::new());
    let mut seen = None;
    for number in 0..20 {
        let input = if number % 2 == 0 {
            text(SIZE)
        } else {
            noise(SIZE)
        };
        let position = Position {
            number,
            is_last: false,
        };
        writer
            .seal(&input, position, [3; NONCE_LEN], &mut out)
            .unwrap();
        let mac = coder.keys().mac();
        let record = Record::authenticate(out.record(), number, coder.object(), mac).unwrap();
        let mut data = data_pieces(&coder, &out);
        reader.open(&record, &mut data, &mut plain).unwrap();
        assert!(plain == input);
        // The first two segments are the two kinds there are.
        let parity = if number < 2 {
            std::ptr::null()
        } else {
            out.parity.as_ptr()
        };
        let places = [
            out.data.as_ptr(),
            out.heads.as_ptr(),
            plain.as_ptr(),
            parity,
        ];
        if number > 2 {
            assert_eq!(seen, Some(places), "segment {number}");
        }
        seen = Some(places);
    }
}

#[test]
fn a_segment_carries_what_its_place_says() {
    let coder = coder(Cipher::Aes256Gcm, Geometry::WHOLE);
    let mut writer = writer(&coder, Compression::Off);
    let mut check = |number, is_last, got, is_good: bool| {
        let position = Position { number, is_last };
        let mut out = SealedSegment::new();
        let result = writer.seal(&noise(got), position, [3; NONCE_LEN], &mut out);
        let expected = if is_good {
            Ok(())
        } else {
            Err(SealError::Length { number, got })
        };
        assert_eq!(result, expected);
    };
    check(0, true, 0, true);
    check(1, true, 1, true);
    check(1, true, SIZE, true);
    check(1, false, SIZE, true);
    check(1, true, 0, false);
    check(0, false, 0, false);
    check(0, false, SIZE - 1, false);
    check(0, true, SIZE + 1, false);
}

/// Mistake 7: all pieces were needed, and parity was rebuilt for nothing.
#[test]
fn nothing_but_the_data_pieces_is_needed_to_open() {
    let coder = coder(Cipher::Aes256Gcm, Geometry::default());
    let mut segment = sealed(&coder, &text(SIZE));
    segment.parity.fill(0xff);
    assert_eq!(opened(&coder, &segment).unwrap(), text(SIZE));
}

/// A segment whose sealed bytes are `body`, as someone with the key would write it.
fn forged(
    coder: &ObjectCoder,
    body: &[u8],
    is_compressed: bool,
    plain_len: usize,
) -> SealedSegment {
    let mut fields = Fields {
        position: ONLY,
        is_compressed,
        plain_len: u32::try_from(plain_len).unwrap(),
        sealed_len: u32::try_from(body.len() + TAG_LEN).unwrap(),
        nonce: coder.object().cipher.nonce([3; NONCE_LEN]),
        root: [0; HASH_LEN],
    };
    let mut out = SealedSegment::new();
    out.data = Wiped::zeros(body.len() + TAG_LEN + 128);
    let sealed = &mut out.data[..body.len() + TAG_LEN];
    coder
        .keys()
        .payload
        .seal(&fields.nonce, fields.aad(), body, sealed);
    out.cut(fields.sealed_len, coder);
    fields.root = [4; HASH_LEN];
    let mut tree = PieceTree::default();
    tree.build(coder.object().geometry, std::iter::empty());
    out.head(
        &Record::write(fields, &coder.keys().mac),
        &tree,
        coder.object(),
    );
    out
}

/// Mistake 8: a decompressor had no bound.
#[test]
fn decompression_has_no_room_for_more_than_the_plain_length() {
    let coder = coder(Cipher::XChaCha20Poly1305, Geometry::default());
    let frame = |plain: &[u8]| zstd::bulk::compress(plain, 3).unwrap();
    let wrong = Err(OpenError::Compressed { number: 0 });
    let check = |body: &[u8], plain_len, expected: Result<Vec<u8>, OpenError>| {
        let segment = forged(&coder, body, true, plain_len);
        assert_eq!(opened(&coder, &segment), expected);
    };
    let bomb = frame(&vec![0; 100 << 20]);
    check(&frame(&text(1000)), 1000, Ok(text(1000)));
    check(&bomb, SIZE, wrong.clone());
    check(&frame(&text(1000)), 999, wrong.clone());
    check(&frame(&text(1000)), 1001, wrong.clone());
    check(&noise(500), 1000, wrong.clone());
    check(&frame(&text(1000))[..20], 1000, wrong.clone());
    // One frame and no more, or two readers could see two things.
    let two = [frame(&text(500)), frame(&text(500))].concat();
    check(&two, 1000, wrong.clone());
    let skippable = [&b"\x50\x2a\x4d\x18\x01\0\0\0x"[..], &frame(&text(1000))].concat();
    check(&skippable, 1000, wrong);
}

#[test]
fn what_a_wrong_writer_sealed_is_refused_and_leaves_nothing() {
    let coder = coder(Cipher::Aes256Gcm, Geometry::new(8, 0).unwrap());
    let mut reader = SegmentReader::new(Arc::clone(&coder));
    let segment = sealed(&coder, &noise(1000));
    let record = record_of(&coder, &segment);
    let good = data_pieces(&coder, &segment);
    let mut check = |change: &dyn Fn(&mut Vec<u8>), expected| {
        let mut data = good.clone();
        change(&mut data);
        let mut out = vec![7; 1000];
        let error = reader.open(&record, &mut data, &mut out).unwrap_err();
        assert_eq!(error, expected);
        assert!(out.is_empty());
    };
    let number = 0;
    check(&|data| data[0] ^= 1, OpenError::Sealed { number });
    check(&|data| data[1015] ^= 1, OpenError::Sealed { number });
    // 1,016 bytes are 8 pieces of 127, without padding.
    let (expected, got) = (1016, 1015);
    let short = OpenError::Length {
        number,
        expected,
        got,
    };
    check(&|data| data.truncate(1015), short);
    let padded = sealed(&coder, &noise(1001));
    let padded_record = record_of(&coder, &padded);
    let mut data = data_pieces(&coder, &padded);
    data[1017] = 1;
    let error = reader.open(&padded_record, &mut data, &mut Vec::new());
    assert_eq!(error, Err(OpenError::Padding { number }));
}

#[test]
fn what_was_not_compressed_is_opened_where_it_stands() {
    for cipher in [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm] {
        let coder = coder(cipher, Geometry::default());
        let mut reader = SegmentReader::new(Arc::clone(&coder));
        for (plain, is_compressed) in [(noise(1000), false), (text(1000), true)] {
            let segment = sealed(&coder, &plain);
            let record = record_of(&coder, &segment);
            let mut data = data_pieces(&coder, &segment);
            let mut out = Vec::new();
            reader.open_in_place(&record, &mut data, &mut out).unwrap();
            assert_eq!(record.is_compressed(), is_compressed);
            match is_compressed {
                true => assert_eq!(out, plain, "{cipher}"),
                false => assert_eq!((&data[..1000], out.len()), (&plain[..], 0), "{cipher}"),
            }
            let mut flipped = data_pieces(&coder, &segment);
            flipped[0] ^= 1;
            let refused = reader.open_in_place(&record, &mut flipped, &mut out);
            assert_eq!(refused, Err(OpenError::Sealed { number: 0 }), "{cipher}");
            assert!(out.is_empty());
        }
    }
}
