//! The trailer: where the index blocks are, and the footer, which says what the object is.

use crate::error::TrailerError;
use crate::index::{block_count, block_len, block_start, segments_in_block};
use crate::merkle::{CHECK_LEN, Domain, HASH_LEN, Hash, SEGMENTS_MAX, check, hash};
use crate::object::{Digest, MacDomain, MacKey, ObjectHeader, ObjectId};
use crate::record::SEALED_LEN_MIN;

/// Length of a footer, in bytes.
pub const FOOTER_LEN: usize = 96;
const OFFSET_LEN: usize = 8;
const END: &[u8; 4] = b"SECP";
/// What the MAC covers of a footer.
const AUTHENTICATED_LEN: usize = 4 + 8 + HASH_LEN;
/// What the digest covers of a footer: that, and the MAC.
const NAMED_LEN: usize = AUTHENTICATED_LEN + HASH_LEN;

/// What a shard says at its end about the whole object. Nobody vouches for it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// 1 to 2³².
    segments: u64,
    plain_len: u64,
    root: Hash,
    mac: Hash,
}

/// A footer that is believed: the object's key vouches for it, or the object's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BelievedFooter(Footer);

impl Footer {
    /// The footer of an object that was written to its end.
    ///
    /// # Panics
    /// If there are no segments, or more than 2³²: the root cannot be built over those.
    #[must_use]
    #[allow(clippy::new_ret_no_self, reason = "a writer believes its own footer")]
    pub fn new(segments: u64, plain_len: u64, root: Hash, key: &MacKey) -> BelievedFooter {
        assert!(
            (1..=SEGMENTS_MAX).contains(&segments),
            "an object has 1 to 2^32 segments"
        );
        let unsigned = Self {
            segments,
            plain_len,
            root,
            mac: [0; HASH_LEN],
        };
        BelievedFooter(Self {
            mac: *unsigned.mac_with(key).as_bytes(),
            ..unsigned
        })
    }

    /// Believes the footer because the object's key vouches for it.
    ///
    /// # Errors
    /// Fails if it was changed, or is another object's.
    pub fn authenticate(self, key: &MacKey) -> Result<BelievedFooter, TrailerError> {
        match self.mac_with(key) == self.mac {
            true => Ok(BelievedFooter(self)),
            false => Err(TrailerError::Mac),
        }
    }

    /// Believes the footer because the object's digest is the one that is known.
    ///
    /// # Errors
    /// Fails if it is another object's, or another version's.
    pub fn identify(
        self,
        object: &ObjectHeader,
        known: &Digest,
    ) -> Result<BelievedFooter, TrailerError> {
        match self.digest(object) == *known {
            true => Ok(BelievedFooter(self)),
            false => Err(TrailerError::Digest),
        }
    }

    /// The digest of the object that has this footer.
    #[must_use]
    pub fn digest(&self, object: &ObjectHeader) -> Digest {
        let named: [&[u8]; 2] = [&object.to_bytes(), &self.named()];
        Digest(hash(Domain::Object, &named))
    }

    fn mac_with(&self, key: &MacKey) -> blake3::Hash {
        let covered = &self.named()[..AUTHENTICATED_LEN];
        key.mac(MacDomain::Footer, &[covered])
    }

    fn read(named: &[u8; NAMED_LEN]) -> Self {
        let last = u32::from_be_bytes(*named.first_chunk().expect("the field is inside"));
        let plain_len = *named[4..].first_chunk().expect("the field is inside");
        Self {
            segments: u64::from(last) + 1,
            plain_len: u64::from_be_bytes(plain_len),
            root: *named[12..].first_chunk().expect("the field is inside"),
            mac: *named.last_chunk().expect("the field is inside"),
        }
    }

    fn named(&self) -> [u8; NAMED_LEN] {
        let mut bytes = [0; NAMED_LEN];
        let last = u32::try_from(self.segments - 1).expect("an object has 1 to 2^32 segments");
        bytes[..4].copy_from_slice(&last.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.plain_len.to_be_bytes());
        bytes[12..AUTHENTICATED_LEN].copy_from_slice(&self.root);
        bytes[AUTHENTICATED_LEN..].copy_from_slice(&self.mac);
        bytes
    }

    /// All segments but the last are full, and the last one is empty only in an empty object.
    fn has_plain_len_of(&self, size: u32) -> bool {
        let full = (self.segments - 1) * u64::from(size);
        let least = if self.segments == 1 { 0 } else { full + 1 };
        (least..=full + u64::from(size)).contains(&self.plain_len)
    }
}

impl BelievedFooter {
    /// How many segments the object has, 1 to 2³².
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.0.segments
    }

    /// Length of the object's plaintext, in bytes.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.0.plain_len
    }

    /// The object's digest.
    #[must_use]
    pub fn digest(&self, object: &ObjectHeader) -> Digest {
        self.0.digest(object)
    }

    /// Believes all records of a shard because the root over them is this footer's.
    ///
    /// # Errors
    /// Fails if one of them is damaged, missing, too much or at another place.
    pub fn vouch_for(&self, root: &Hash) -> Result<(), TrailerError> {
        match self.0.root == *root {
            true => Ok(()),
            false => Err(TrailerError::Root),
        }
    }

    /// The footer, to be written into another shard of the object.
    #[must_use]
    pub fn footer(&self) -> Footer {
        self.0
    }
}

/// What stands behind the last index block of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    offsets: Vec<u64>,
    footer: Footer,
}

impl Trailer {
    /// The trailer of a shard whose index blocks begin at `offsets`.
    ///
    /// # Panics
    /// If there are not as many of them as the object's segments need.
    #[must_use]
    pub fn new(offsets: Vec<u64>, footer: Footer) -> Self {
        assert_eq!(
            offsets.len() as u64,
            block_count(footer.segments),
            "every index block has an offset"
        );
        Self { offsets, footer }
    }

    /// Length of the trailer of as many segments, in bytes.
    #[must_use]
    pub const fn len_of(segments: u64) -> u64 {
        block_count(segments) * OFFSET_LEN as u64 + FOOTER_LEN as u64
    }

    /// Length of the trailer that ends with these bytes, the last ones of a shard.
    ///
    /// It is at most 32 MiB, and not more than the shard if that is whole: compare before reading.
    ///
    /// # Errors
    /// Fails if the shard was cut, or something was added.
    pub fn len_before_end(footer: &[u8; FOOTER_LEN]) -> Result<u64, TrailerError> {
        if !footer.ends_with(END) {
            return Err(TrailerError::End);
        }
        let named = footer.first_chunk().expect("a footer is longer than that");
        Ok(Self::len_of(Footer::read(named).segments))
    }

    /// Reads the trailer that begins `begins_at` bytes behind the shard's beginning.
    ///
    /// # Errors
    /// See [`TrailerError`].
    pub fn parse(
        bytes: &[u8],
        begins_at: u64,
        object: &ObjectHeader,
    ) -> Result<Self, TrailerError> {
        let (offsets, footer) = bytes.split_last_chunk().ok_or(TrailerError::Length)?;
        if Self::len_before_end(footer)? != bytes.len() as u64 {
            return Err(TrailerError::Length);
        }
        let (covered, rest) = bytes.split_at(offsets.len() + NAMED_LEN);
        if trailer_check(&object.id, covered) != rest[..CHECK_LEN] {
            return Err(TrailerError::Check);
        }
        let trailer = Self {
            offsets: offsets
                .as_chunks()
                .0
                .iter()
                .map(|offset| u64::from_be_bytes(*offset))
                .collect(),
            footer: Footer::read(footer.first_chunk().expect("a footer is longer than that")),
        };
        trailer.judge_offsets(begins_at, object)?;
        let Footer {
            segments,
            plain_len: plain,
            ..
        } = trailer.footer;
        if !trailer.footer.has_plain_len_of(object.segment_size.bytes()) {
            return Err(TrailerError::PlainLength { segments, plain });
        }
        Ok(trailer)
    }

    /// Every block stands behind its segments, and the trailer right behind the last one.
    fn judge_offsets(&self, begins_at: u64, object: &ObjectHeader) -> Result<(), TrailerError> {
        let size = object.segment_size.bytes();
        let entry_min = object.geometry.entry_len(SEALED_LEN_MIN);
        let entry_max = object.geometry.entry_len(size + SEALED_LEN_MIN);
        let mut before = None;
        for (number, &offset) in (0..).zip(&self.offsets) {
            let segments = u64::from(segments_in_block(number, self.footer.segments));
            let room = offset.checked_sub(block_start(before));
            let fits = |room| (segments * entry_min..=segments * entry_max).contains(&room);
            if !room.is_some_and(fits) {
                return Err(TrailerError::Offset { number });
            }
            before = Some(offset);
        }
        let last = u32::try_from(self.offsets.len() - 1).expect("at most 2^22 blocks");
        let segments = segments_in_block(last, self.footer.segments);
        let end = before.and_then(|offset| offset.checked_add(block_len(segments) as u64));
        match end == Some(begins_at) {
            true => Ok(()),
            false => Err(TrailerError::Offset { number: last }),
        }
    }

    /// Appends the trailer to `out`.
    pub fn write(&self, object: &ObjectId, out: &mut Vec<u8>) {
        let from = out.len();
        for offset in &self.offsets {
            out.extend_from_slice(&offset.to_be_bytes());
        }
        out.extend_from_slice(&self.footer.named());
        let check = trailer_check(object, &out[from..]);
        out.extend_from_slice(&check);
        out.extend_from_slice(END);
    }

    /// Where each index block begins, in bytes from the shard's beginning.
    #[must_use]
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// The footer, which is not believed yet.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }
}

fn trailer_check(object: &ObjectId, covered: &[u8]) -> [u8; CHECK_LEN] {
    check(Domain::Trailer, &[&object.0, covered])
}

#[cfg(test)]
mod tests;
