//! Looks at every byte of an object's shards, without its key.

use crate::damage::{Damage, Why};
use crate::error::{IndexError, RecordError, TrailerError};
use crate::key::KeyId;
use crate::layout::Placed;
use crate::object::{Digest, ObjectHeader};
use crate::record::{RECORD_LEN, Record};
use crate::shards::{Shard, Shards, Wanted};
use crate::source::ReadAt;
use crate::witness::{Step, Trust, Witness, WitnessError};

/// What the shards of an object are like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What all shards of the object have in common.
    pub object: ObjectHeader,
    /// The object's digest.
    pub digest: Digest,
    /// What it rests on that shards are taken for good.
    pub trust: Trust,
    /// Length of the plaintext, in bytes.
    pub plain_len: u64,
    /// How many segments there are.
    pub segments: u64,
    /// How many of them have too few good pieces.
    pub lost: u64,
    /// The first of those.
    pub first_lost: Option<u32>,
    /// The key of each distinct wrapped key in the shards. Two keys are what an interrupted rotation
    /// leaves, and one key twice is what a forger leaves; neither digest nor agreement vouches for
    /// wrapped keys.
    pub keys: Vec<KeyId>,
    /// What is wrong with the shards.
    pub damage: Damage,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_none()
    }

    /// Whether all segments have enough good pieces.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.lost == 0
    }
}

/// Reads all shards twice, and says what is wrong with which.
///
/// No key is needed, and no memory beyond a piece. Whoever gives the object's digest learns whether
/// these are the shards of that object; without it, only whether they agree: see
/// [`Report::trust`].
///
/// # Errors
/// See [`WitnessError`]: there is nothing to compare the shards with.
pub fn verify<S: ReadAt>(
    shards: Vec<S>,
    wanted: Wanted,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, WitnessError> {
    let mut shards = Shards::gather(shards, wanted, None)?;
    let gathered = shards.damage.clone();
    let witness = Witness::find(&mut shards, wanted.digest)?;
    // The second pass finds everything that the first one did, and says where it is.
    let mut check = Check {
        list: &shards.list,
        damage: gathered,
        buf: Vec::new(),
        blocks: 0,
        plain_len: 0,
        lost: 0,
        first_lost: None,
    };
    witness.walk(&shards.list[witness.place], |step| {
        check.step(&step);
        progress(check.plain_len);
        Ok::<_, WitnessError>(())
    })?;
    Ok(Report {
        object: shards.object,
        digest: witness.footer.digest(&shards.object),
        trust: witness.trust,
        plain_len: witness.footer.plain_len(),
        segments: witness.footer.segments(),
        lost: check.lost,
        first_lost: check.first_lost,
        damage: check.damage,
        keys: keys(&shards),
    })
}

/// The second pass over all shards at once.
struct Check<'a, S> {
    list: &'a [Shard<S>],
    damage: Damage,
    /// What was read last.
    buf: Vec<u8>,
    blocks: u32,
    plain_len: u64,
    lost: u64,
    first_lost: Option<u32>,
}

impl<S: ReadAt> Check<'_, S> {
    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Segment(record, offset) => self.segment(record, *offset),
            Step::Block(placed) => {
                let number = self.blocks;
                self.blocks += 1;
                self.same(placed, &Why::Index(IndexError::Check { number }));
            }
            Step::Trailer(placed) => {
                self.same(placed, &Why::Trailer(TrailerError::Check));
                self.ends_at(placed.offset + placed.bytes.len() as u64);
            }
        }
    }

    fn segment(&mut self, record: &Record, offset: u64) {
        let number = record.position().number;
        let mut is_good = [false; 256];
        for place in 0..self.list.len() {
            let shard = &self.list[place];
            let index = shard.header.index();
            let object = shard.header.object();
            let head_len = object.geometry.head_len();
            let piece_len = object.geometry.piece_len(record.sealed_len());
            if !self.read(place, Some(number), offset, head_len + piece_len as usize) {
                continue;
            }
            let (found, rest) = self.buf.split_at(RECORD_LEN);
            let (path, piece) = rest.split_at(object.geometry.path_len());
            let judged = record.verify_piece(object, index, path, piece);
            if found != record.bytes() {
                self.blame(place, Some(number), RecordError::Mac { number }.into());
            }
            // The piece may be good whatever its record is: a reader takes another shard's.
            match judged {
                Ok(()) => is_good[usize::from(index)] = true,
                Err(error) => self.blame(place, Some(number), error.into()),
            }
        }
        self.count(record, is_good.into_iter().filter(|good| *good).count());
    }

    fn count(&mut self, record: &Record, good: usize) {
        self.plain_len += u64::from(record.plain_len());
        let needed = self
            .list
            .first()
            .map(|shard| shard.header.object().geometry.data());
        if needed.is_some_and(|needed| good < usize::from(needed)) {
            self.lost += 1;
            let number = record.position().number;
            self.first_lost.get_or_insert(number);
        }
    }

    /// Whether the same bytes stand in every shard.
    fn same(&mut self, placed: &Placed<'_>, otherwise: &Why) {
        for place in 0..self.list.len() {
            let is_read = self.read(place, None, placed.offset, placed.bytes.len());
            if is_read && self.buf != placed.bytes {
                self.blame(place, None, otherwise.clone());
            }
        }
    }

    fn ends_at(&mut self, end: u64) {
        for place in 0..self.list.len() {
            // One that is too short was told already.
            match self.list[place].source.size() {
                Ok(size) if size > end => self.blame(place, None, TrailerError::End.into()),
                Ok(_) => {}
                Err(error) => self.blame(place, None, Why::read(&error)),
            }
        }
    }

    fn read(&mut self, place: usize, segment: Option<u32>, offset: u64, len: usize) -> bool {
        self.buf.resize(len, 0);
        let read = self.list[place].source.read_at(&mut self.buf, offset);
        match read {
            Ok(()) => true,
            Err(error) => {
                self.blame(place, segment, Why::read(&error));
                false
            }
        }
    }

    fn blame(&mut self, place: usize, segment: Option<u32>, why: Why) {
        let Shard { input, header, .. } = &self.list[place];
        self.damage.add(*input, Some(header.index()), segment, why);
    }
}

/// The key of each distinct wrapped key.
pub(crate) fn keys<S>(shards: &Shards<S>) -> Vec<KeyId> {
    let mut wrapped = Vec::new();
    for Shard { header, .. } in &shards.list {
        let found = (header.key_id(), *header.wrapped());
        if !wrapped.contains(&found) {
            wrapped.push(found);
        }
    }
    wrapped.into_iter().map(|(key, _)| key).collect()
}
