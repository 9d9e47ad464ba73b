//! CES objects: headers, trailers, index blocks and segments that nobody wrote.

use std::sync::{Arc, LazyLock};

use propeller_ces::format::{
    BLOCK_SEGMENTS, BlockPlace, DataKey, FOOTER_LEN, HEADER_LEN, Header, IndexBlock, NONCE_LEN,
    ObjectCoder, ObjectHeader, Position, RECORD_LEN, Record, SealedSegment, SegmentReader,
    SegmentWriter, Trailer, UnprovenRecord, block_start,
};
use propeller_ces::{Cipher, Compression, Geometry, Key, Label, ObjectId, SegmentSize};

pub(crate) const CHECK_LEN: usize = 16;

fn object(cipher: Cipher) -> ObjectHeader {
    ObjectHeader {
        cipher,
        geometry: Geometry::new(2, 1).expect("it is one"),
        segment_size: SegmentSize::MIN,
        id: ObjectId([1; 16]),
        label: Label::NONE,
    }
}

fn coder(cipher: Cipher) -> Arc<ObjectCoder> {
    let data_key = DataKey::from_random([2; 32]);
    Arc::new(ObjectCoder::new(object(cipher), &data_key))
}

static XCHACHA: LazyLock<Arc<ObjectCoder>> = LazyLock::new(|| coder(Cipher::XChaCha20Poly1305));
static GCM: LazyLock<Arc<ObjectCoder>> = LazyLock::new(|| coder(Cipher::Aes256Gcm));

/// `bytes` with the check that a writer would give them at `at`, because no mutation finds one.
pub(crate) fn checked(bytes: &[u8], at: usize, prefix: &[u8]) -> Vec<u8> {
    let hash = blake3::hash(&[prefix, &bytes[..at]].concat());
    let mut checked = bytes.to_vec();
    checked[at..at + CHECK_LEN].copy_from_slice(&hash.as_bytes()[..CHECK_LEN]);
    checked
}

/// What reads as a header is written as the same bytes again, and opens under no key of ours.
pub(crate) fn header(data: &[u8]) {
    judge_header(data);
    if data.len() >= HEADER_LEN {
        judge_header(&checked(data, HEADER_LEN - CHECK_LEN, &[0]));
    }
}

fn judge_header(bytes: &[u8]) {
    let Ok(header) = Header::parse(bytes) else {
        return;
    };
    assert_eq!(header.to_bytes(), bytes[..HEADER_LEN]);
    let pieces = header.object().geometry.pieces();
    assert!(u16::from(header.index()) < pieces);
    assert!(header.of_shard(header.index()).is_ok());
    let key = Key::from_bytes([7; 32]);
    assert!(header.unwrap_key(&key).is_err(), "nobody has wrapped that");
    let rewrapped = header.rewrapped(&DataKey::from_random([2; 32]), &key);
    assert!(rewrapped.unwrap_key(&key).is_ok());
    assert_eq!(rewrapped.object(), header.object());
}

/// What a shard ends with, and the index blocks that it leads to.
///
/// The first byte chooses the part; the next eight say where it begins.
pub(crate) fn shard(data: &[u8]) {
    let Some(([part, begins_at @ ..], bytes)) = data.split_first_chunk::<9>() else {
        return;
    };
    let begins_at = u64::from_be_bytes(*begins_at);
    match part % 2 {
        0 => trailer(bytes, begins_at),
        _ => index(bytes, begins_at),
    }
}

/// What reads as a trailer is written as the same bytes again, and is believed by nobody.
fn trailer(bytes: &[u8], begins_at: u64) {
    let object = XCHACHA.object();
    if let Some(footer) = bytes.last_chunk::<FOOTER_LEN>()
        && let Ok(len) = Trailer::len_before_end(footer)
    {
        assert!(len <= (8 << 22) + FOOTER_LEN as u64);
    }
    let Some(check_at) = bytes.len().checked_sub(CHECK_LEN + 4) else {
        assert!(Trailer::parse(bytes, begins_at, object).is_err());
        return;
    };
    let bytes = checked(bytes, check_at, &[&[4], &object.id.0[..]].concat());
    let Ok(trailer) = Trailer::parse(&bytes, begins_at, object) else {
        return;
    };
    let mut again = Vec::new();
    trailer.write(&object.id, &mut again);
    assert_eq!(again, bytes);
    assert!(trailer.offsets().is_sorted());
    assert!(trailer.offsets().iter().all(|offset| *offset < begins_at));
    let forged = trailer.footer().authenticate(XCHACHA.keys().mac());
    assert!(forged.is_err(), "nobody has written that footer");
}

/// The segments of a block stand one behind the other, and end where it begins.
fn index(bytes: &[u8], begins_at: u64) {
    let object = XCHACHA.object();
    let Some(check_at) = bytes.len().checked_sub(CHECK_LEN) else {
        return;
    };
    let number = u32::try_from(begins_at >> 42).expect("22 bits");
    let start = block_start((number > 0).then_some(begins_at >> 1));
    let lengths = bytes[..check_at].as_chunks().0;
    if lengths.len() > BLOCK_SEGMENTS as usize {
        return;
    }
    let entries = lengths
        .iter()
        .map(|length| object.geometry.entry_len(u32::from_be_bytes(*length)));
    let place = BlockPlace {
        number,
        start,
        offset: entries.fold(start, u64::wrapping_add),
        segments: u32::try_from(lengths.len()).expect("the input is short"),
    };
    let prefix = [&[3], &object.id.0[..], &number.to_be_bytes()].concat();
    let Ok(block) = IndexBlock::parse(&checked(bytes, check_at, &prefix), place, object) else {
        return;
    };
    let mut end = start;
    for at in 0..place.segments {
        let segment = block.segment(number * BLOCK_SEGMENTS + at);
        let segment = segment.expect("it is in the block");
        assert_eq!(segment.start, end);
        end = segment.end;
    }
    assert_eq!(end, place.offset);
}

/// Nothing that nobody sealed opens, and what is sealed opens whole or not at all.
pub(crate) fn segment(data: &[u8]) {
    let coder = if data.first().is_some_and(|byte| byte % 2 == 0) {
        &*XCHACHA
    } else {
        &*GCM
    };
    foreign(data, coder);
    let mut sealed = SealedSegment::new();
    let position = Position {
        number: 0,
        is_last: true,
    };
    SegmentWriter::new(Arc::clone(coder), Compression::default())
        .seal(data, position, [3; NONCE_LEN], &mut sealed)
        .expect("the input is shorter than a segment");
    let (object, mac) = (coder.object(), coder.keys().mac());
    let record = Record::authenticate(sealed.record(), 0, object, mac).expect("it is ours");
    let mut pieces = [sealed.piece_of(0), sealed.piece_of(1)].concat();
    let mut out = Vec::new();
    let mut reader = SegmentReader::new(Arc::clone(coder));
    reader
        .open(&record, &mut pieces, &mut out)
        .expect("it is ours");
    assert_eq!(out, data);
    forged(data, &record, &sealed, coder);
}

/// A record and pieces that are somebody's bytes.
fn foreign(data: &[u8], coder: &Arc<ObjectCoder>) {
    let (object, mac) = (coder.object(), coder.keys().mac());
    let Some((record, rest)) = data.split_first_chunk::<RECORD_LEN>() else {
        return;
    };
    let authenticated = Record::authenticate(record, 0, object, mac);
    assert!(authenticated.is_err(), "nobody has written that record");
    let Ok(record) = UnprovenRecord::parse(record, 0, object) else {
        return;
    };
    let record = record.believe_until_the_root();
    let (path, piece) = rest.split_at(rest.len().min(object.geometry.path_len()));
    let verified = record.verify_piece(object, 0, path, piece);
    assert!(verified.is_err(), "nobody has hashed that piece");
    let piece_len = object.geometry.piece_len(record.sealed_len()) as usize;
    let mut data = piece.to_vec();
    data.resize(2 * piece_len, 0);
    let mut out = vec![7];
    let opened = SegmentReader::new(Arc::clone(coder)).open(&record, &mut data, &mut out);
    assert!(opened.is_err(), "nobody has sealed that segment");
    assert!(out.is_empty());
}

/// A flipped bit, at a place that `data` chooses, in what stands in a shard.
fn forged(data: &[u8], record: &Record, sealed: &SealedSegment, coder: &ObjectCoder) {
    let (object, mac) = (coder.object(), coder.keys().mac());
    let sum = data.iter().fold(0_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let index = u8::try_from(sum % 3).expect("less than 3");
    let (head, piece) = (sealed.head_of(index), sealed.piece_of(index));
    let mut entry = [head, piece].concat();
    let at = sum / 3 % entry.len();
    entry[at] ^= 1 << (sum % 8);
    let (head, piece) = entry.split_at(head.len());
    let (bytes, path) = head
        .split_first_chunk()
        .expect("a head begins with a record");
    if at < RECORD_LEN {
        assert!(Record::authenticate(bytes, 0, object, mac).is_err());
    } else {
        assert!(record.verify_piece(object, index, path, piece).is_err());
    }
}
