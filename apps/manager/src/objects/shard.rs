//! What an object says about itself, read from its two ends without a key.
//!
//! Nobody vouches for it: whoever opens the object holds it against its digest and its key. It is
//! read so that a client that sent something else learns that at once.

use std::io;

use propeller_ces::format::{FOOTER_LEN, HEADER_LEN, Header, HeaderError, Trailer, TrailerError};
use propeller_ces::{Geometry, Key, KeyId, ReadAt};
use propeller_wire::message::{ObjectKey, StoredObject};

/// What an object says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    digest: [u8; 32],
    plain_len: u64,
}

/// Why what was sent is no object that a task can have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// It does not begin like a shard.
    #[error("this is no CES object: {0}")]
    Header(#[from] HeaderError),
    /// It does not end like one.
    #[error("this CES object was not sent to its end, or was changed: {0}")]
    Trailer(#[from] TrailerError),
    /// A shard of several.
    #[error(
        "this is a shard of a CES object with geometry {0}: a task has its object in one shard, \
         with geometry 1+0"
    )]
    Geometry(Geometry),
    /// The task has another key.
    #[error(
        "this CES object is sealed with another key, {found}, than the task's object_key, {wanted}: \
         seal it with that one"
    )]
    Key {
        /// The id of its key.
        found: KeyId,
        /// The id of the task's key.
        wanted: KeyId,
    },
    /// The store does not give back what was put there.
    #[error("the object store does not give the object back that was just written")]
    Read(#[from] io::Error),
}

impl Shard {
    /// Reads both ends of an object that should be sealed with `key`. Blocks.
    ///
    /// # Errors
    /// See [`ShardError`].
    pub fn read(object: &impl ReadAt, key: &ObjectKey) -> Result<Self, ShardError> {
        let size = object.size()?;
        let mut front = [0; HEADER_LEN];
        // A short one is judged by what is there of it.
        let front_len = usize::try_from(size).unwrap_or(HEADER_LEN).min(HEADER_LEN);
        object.read_at(&mut front[..front_len], 0)?;
        let header = Header::parse(&front[..front_len])?;
        let geometry = header.object().geometry;
        if geometry != Geometry::WHOLE {
            return Err(ShardError::Geometry(geometry));
        }
        let (found, wanted) = (header.key_id(), Key::from_bytes(key.0).id());
        if found != wanted {
            return Err(ShardError::Key { found, wanted });
        }
        let trailer = trailer(object, size, &header)?;
        let footer = trailer.footer();
        let digest = footer.digest(header.object());
        // By its own digest, which says nothing but that it is what it is.
        let plain_len = footer.identify(header.object(), &digest)?.plain_len();
        Ok(Self {
            digest: digest.0,
            plain_len,
        })
    }

    /// The same, under a name in the store.
    #[must_use]
    pub fn named(&self, name: u64) -> StoredObject {
        StoredObject {
            name,
            digest: self.digest,
            plain_len: self.plain_len,
        }
    }
}

fn trailer(object: &impl ReadAt, size: u64, header: &Header) -> Result<Trailer, ShardError> {
    let body_len = size - HEADER_LEN as u64;
    let mut footer = [0; FOOTER_LEN];
    if body_len < FOOTER_LEN as u64 {
        return Err(TrailerError::Length.into());
    }
    object.read_at(&mut footer, size - FOOTER_LEN as u64)?;
    let len = Trailer::len_before_end(&footer)?;
    if len > body_len {
        return Err(TrailerError::Length.into());
    }
    let begins_at = size - len;
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    object.read_at(&mut bytes, begins_at)?;
    Ok(Trailer::parse(&bytes, begins_at, header.object())?)
}

#[cfg(test)]
mod tests {
    use propeller_ces::{Audit, Options, Watch, encode};

    use super::*;

    const KEY: ObjectKey = ObjectKey([7; 32]);

    fn shards(plain: &[u8], geometry: Geometry, key: [u8; 32]) -> (Vec<Vec<u8>>, [u8; 32]) {
        let options = Options {
            geometry,
            ..Options::new()
        };
        let mut shards = vec![Vec::new(); usize::from(geometry.pieces())];
        let watch = Watch {
            audit: Audit::to(&|_| ()),
            progress: &mut |_| (),
        };
        let sinks: Vec<_> = shards.iter_mut().collect();
        let summary = encode(plain, sinks, &Key::from_bytes(key), &options, watch).unwrap();
        (shards, summary.digest.0)
    }

    fn refusal(bytes: &[u8]) -> String {
        Shard::read(&bytes.to_vec(), &KEY).unwrap_err().to_string()
    }

    #[test]
    fn both_ends_say_what_the_writer_of_the_object_was_told() {
        for len in [0, 1, 70_000, 3_000_000] {
            let plain = vec![1; len];
            let (shards, digest) = shards(&plain, Geometry::WHOLE, KEY.0);
            let read = Shard::read(&shards[0], &KEY).unwrap();
            let expected = StoredObject {
                name: 5,
                digest,
                plain_len: len as u64,
            };
            assert_eq!(read.named(5), expected);
        }
    }

    #[test]
    fn what_a_task_cannot_have_is_refused_in_words() {
        assert!(refusal(b"").starts_with("this is no CES object"));
        assert!(refusal(b"hello").starts_with("this is no CES object"));
        assert!(refusal(&[0; 4096]).starts_with("this is no CES object"));
        let (two, _) = shards(b"x", Geometry::new(1, 1).unwrap(), KEY.0);
        assert!(refusal(&two[0]).contains("geometry 1+1"));
        let (other, _) = shards(b"x", Geometry::WHOLE, [8; 32]);
        assert!(refusal(&other[0]).contains("another key"));
    }

    #[test]
    fn an_object_that_was_cut_anywhere_is_refused() {
        let (shards, _) = shards(b"some plaintext", Geometry::WHOLE, KEY.0);
        let whole = &shards[0];
        for len in 0..whole.len() {
            refusal(&whole[..len]);
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(refusal(&longer).contains("was not sent to its end"));
    }
}
