//! What clients send a manager about objects: shards that nobody sealed, and ranges.

use propeller_ces::format::{FOOTER_LEN, HEADER_LEN, Header, Trailer};
use propeller_ces::{Audit, Digest, Geometry, Key, KeyRing, Object, Threads, Wanted};
use propeller_manager::http::Asked;
use propeller_manager::objects::{Shard, ShardError};
use propeller_wire::message::ObjectKey;

use crate::ces::{CHECK_LEN, checked};

const KEY_LEN: usize = 32;
/// Behind the check of a trailer, its own length.
const TRAILER_LEN_LEN: usize = 4;

/// What a manager reads off the two ends of an upload is what whoever opens the object finds, or
/// nobody opens it.
///
/// The first 32 bytes are the task's key, the others are the shard.
pub(crate) fn upload(data: &[u8]) {
    let Some((key, shard)) = data.split_first_chunk::<KEY_LEN>() else {
        return;
    };
    judge(*key, shard);
    if let Some(shard) = with_checks(shard) {
        judge(*key, &shard);
    }
}

/// The same shard with the checks that a writer would give its ends, because no mutation finds them.
fn with_checks(shard: &[u8]) -> Option<Vec<u8>> {
    let body_len = shard.len().checked_sub(HEADER_LEN)?;
    let shard = checked(shard, HEADER_LEN - CHECK_LEN, &[0]);
    let id = Header::parse(&shard).ok()?.object().id;
    let len = Trailer::len_before_end(shard.last_chunk::<FOOTER_LEN>()?).ok()?;
    let len = usize::try_from(len).ok().filter(|len| *len <= body_len)?;
    let (front, trailer) = shard.split_at(shard.len() - len);
    let check_at = len.checked_sub(CHECK_LEN + TRAILER_LEN_LEN)?;
    let trailer = checked(trailer, check_at, &[&[4], &id.0[..]].concat());
    Some([front, &trailer].concat())
}

fn judge(key: [u8; KEY_LEN], shard: &[u8]) {
    let ring = KeyRing::new(Key::from_bytes(key));
    let open = |digest| {
        let wanted = Wanted {
            digest,
            ..Wanted::default()
        };
        Object::open(vec![shard], &ring, wanted, Audit::none())
    };
    match Shard::read(&shard, &ObjectKey(key)) {
        // Under its digest it opens as what it was said to be, or not at all.
        Ok(read) => {
            let named = read.named(1);
            let Ok(mut object) = open(Some(Digest(named.digest))) else {
                return;
            };
            assert_eq!(object.digest().0, named.digest);
            assert_eq!(object.plain_len(), named.plain_len);
            assert_eq!(object.header().geometry, Geometry::WHOLE);
            let mut plain = Vec::new();
            let read = object.read_to(&mut plain, Threads::ONE, &mut |_| ());
            assert!(read.is_err() || plain.len() as u64 == named.plain_len);
        }
        // Whoever opens an object can do without its trailer.
        Err(ShardError::Trailer(_)) => {}
        Err(ShardError::Geometry(geometry)) => assert_ne!(geometry, Geometry::WHOLE),
        Err(error) => assert!(open(None).is_err(), "what opens is refused: {error}"),
    }
}

/// A range has bytes, all within the object, and reads the same in its plainest form.
///
/// The first eight bytes are the object's length, the others are the header's value.
pub(crate) fn range(data: &[u8]) {
    let Some((len, text)) = data.split_first_chunk::<8>() else {
        return;
    };
    let (len, text) = (u64::from_be_bytes(*len), String::from_utf8_lossy(text));
    match Asked::read(&text, len) {
        Asked::Whole => {}
        Asked::Nothing => assert!(text.contains('-')),
        Asked::Part(range) => {
            assert!(range.start < range.end && range.end <= len, "{range:?}");
            let plain = format!("bytes={}-{}", range.start, range.end - 1);
            assert_eq!(Asked::read(&plain, len), Asked::Part(range));
        }
    }
}
