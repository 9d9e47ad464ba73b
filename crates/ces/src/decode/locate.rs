//! Finds segments: the next one behind the one before, any other by an index, and if all of those
//! lie, by walking there.

use std::sync::Arc;

use crate::damage::{Damage, Why};
use crate::error::TooManySegments;
use crate::header::HEADER_LEN;
use crate::index::{
    BLOCK_SEGMENTS, BlockPlace, IndexBlock, block_len, block_of, block_start, segments_in_block,
};
use crate::merkle::RootBuilder;
use crate::object::MacKey;
use crate::record::{RECORD_LEN, Record};
use crate::segment::ObjectCoder;
use crate::shards::Shards;
use crate::source::ReadAt;
use crate::trailer::{BelievedFooter, Footer, Trailer};

use super::error::ReadError;

/// The shards of an object, and the records in them.
#[derive(Debug)]
pub(super) struct Records<S> {
    pub(super) shards: Shards<S>,
    pub(super) coder: Arc<ObjectCoder>,
    /// Where the segment behind the last one that was found is. Records vouch for it.
    next: Spot,
}

/// An object's records, and what leads to them.
#[derive(Debug)]
pub(super) struct Locator<S> {
    pub(super) records: Records<S>,
    pub(super) footer: BelievedFooter,
    /// What was read of a shard's index: nobody vouches for it.
    trailer: Option<(usize, Trailer)>,
    block: Option<(usize, u32, IndexBlock)>,
}

/// Where a segment begins in every shard.
#[derive(Debug, Clone, Copy)]
struct Spot {
    number: u64,
    offset: u64,
}

const FIRST: Spot = Spot {
    number: 0,
    offset: HEADER_LEN as u64,
};

/// A segment whose record is believed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) record: Record,
    /// Where the record begins.
    pub(super) offset: u64,
}

/// What records say together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) root: RootBuilder,
    /// Length of the plaintext, in bytes.
    pub(super) plain_len: u64,
    /// Whether the last one says that it is the last.
    pub(super) is_all: bool,
    /// Whether one before it said so too.
    has_early_end: bool,
}

impl Tally {
    pub(super) fn add(&mut self, record: &Record) -> Result<(), TooManySegments> {
        self.root.push(record.bytes())?;
        self.has_early_end |= self.is_all;
        self.plain_len += u64::from(record.plain_len());
        self.is_all = record.position().is_last;
        Ok(())
    }

    /// Whether these are all records of an object with this footer: as many, with as much plaintext,
    /// and the last of them and no other says that it is the last.
    pub(super) fn is_whole(&self, footer: &BelievedFooter) -> bool {
        let is_ended = self.is_all && !self.has_early_end;
        is_ended && self.plain_len == footer.plain_len()
    }

    /// The footer of an object of these records, of which there is one at least.
    pub(super) fn footer(&self, key: &MacKey) -> BelievedFooter {
        let segments = self.root.segments();
        Footer::new(segments, self.plain_len, self.root.root(), key)
    }
}

/// Shards, by their places, that do not have what was looked for.
type Faults = Vec<(usize, Why)>;

impl<S: ReadAt> Locator<S> {
    pub(super) fn new(records: Records<S>, footer: BelievedFooter) -> Self {
        Self {
            records,
            footer,
            trailer: None,
            block: None,
        }
    }

    /// The record of segment `number`, and where it is.
    pub(super) fn find(&mut self, number: u32) -> Result<Found, ReadError> {
        let next = self.records.next;
        if next.number == u64::from(number) {
            return self.records.certain(next);
        }
        if number != 0
            && let Some(found) = self.by_index(number)
        {
            return Ok(found);
        }
        self.records.walk_to(number)
    }

    /// The record where the index of a shard says it is, of whichever shard says the truth.
    fn by_index(&mut self, number: u32) -> Option<Found> {
        for place in self.records.shards.in_order().to_vec() {
            let offset = match self.indexed(place, number) {
                Ok(offset) => offset,
                Err(why) => {
                    self.records.shards.blame(place, None, why);
                    continue;
                }
            };
            let (record, faults) = self.records.record_at(number, offset);
            match record.filter(|record| self.records.stands_at(record, offset)) {
                Some(record) => return Some(self.records.found(record, offset, faults)),
                None => self.records.shards.blame(place, Some(number), Why::Astray),
            }
        }
        None
    }

    /// Where the index of one shard says that segment `number` begins.
    fn indexed(&mut self, place: usize, number: u32) -> Result<u64, Why> {
        let block = block_of(number);
        let is_cached = matches!(&self.block, Some((of, at, _)) if (*of, *at) == (place, block));
        if !is_cached {
            let read = self.read_block(place, block)?;
            self.block = Some((place, block, read));
        }
        let index = self.block.as_ref().map(|(_, _, index)| index);
        let segment = index.and_then(|index| index.segment(number));
        segment.map(|range| range.start).ok_or(Why::Astray)
    }

    fn read_block(&mut self, place: usize, number: u32) -> Result<IndexBlock, Why> {
        let shard = &self.records.shards.list[place];
        if !matches!(&self.trailer, Some((of, _)) if *of == place) {
            self.trailer = Some((place, shard.trailer()?));
        }
        let trailer = self.trailer.as_ref().map(|(_, trailer)| trailer);
        let trailer = trailer.expect("it was read just before");
        // Nobody vouches for its number of blocks.
        let offsets = trailer.offsets();
        let offset = *offsets.get(number as usize).ok_or(Why::Astray)?;
        let before = number.checked_sub(1).map(|before| offsets[before as usize]);
        let segments = segments_in_block(number, self.footer.segments());
        let mut bytes = vec![0; block_len(segments)];
        let read = shard.source.read_at(&mut bytes, offset);
        read.map_err(|error| Why::read(&error))?;
        let place = BlockPlace {
            number,
            start: block_start(before),
            offset,
            segments,
        };
        Ok(IndexBlock::parse(
            &bytes,
            place,
            &self.records.shards.object,
        )?)
    }
}

impl<S: ReadAt> Records<S> {
    pub(super) fn new(shards: Shards<S>, coder: Arc<ObjectCoder>) -> Self {
        Self {
            shards,
            coder,
            next: FIRST,
        }
    }

    /// The footer that the records make, for an object whose trailers are all damaged.
    pub(super) fn footer_of_records(&mut self) -> Result<BelievedFooter, ReadError> {
        self.next = FIRST;
        let mut tally = Tally::default();
        while !tally.is_all {
            let Found { record, .. } = self.certain(self.next)?;
            tally.add(&record)?;
        }
        Ok(tally.footer(self.coder.keys().mac()))
    }

    /// The record of segment `number`, found by reading those before it.
    fn walk_to(&mut self, number: u32) -> Result<Found, ReadError> {
        if self.next.number > u64::from(number) {
            self.next = FIRST;
        }
        loop {
            let found = self.certain(self.next)?;
            let position = found.record.position();
            if position.number == number {
                return Ok(found);
            }
            if position.is_last {
                return Err(self.lost(number, Vec::new()));
            }
        }
    }

    /// The record at a spot that records lead to: a shard that has another one there is at fault.
    fn certain(&mut self, spot: Spot) -> Result<Found, ReadError> {
        let number = u32::try_from(spot.number).map_err(|_| TooManySegments)?;
        let (record, faults) = self.record_at(number, spot.offset);
        match record {
            Some(record) => Ok(self.found(record, spot.offset, faults)),
            None => Err(self.lost(number, faults)),
        }
    }

    /// The first believed record of segment `number` at `offset`, and who has none there.
    fn record_at(&self, number: u32, offset: u64) -> (Option<Record>, Faults) {
        let mut faults = Vec::new();
        for &place in self.shards.in_order() {
            let mut bytes = [0; RECORD_LEN];
            let read = self.shards.list[place].source.read_at(&mut bytes, offset);
            let mac = self.coder.keys().mac();
            let record = match read {
                Ok(()) => Record::authenticate(&bytes, number, &self.shards.object, mac)
                    .map_err(Why::Record),
                Err(error) => Err(Why::read(&error)),
            };
            match record {
                Ok(record) => return (Some(record), faults),
                Err(why) => faults.push((place, why)),
            }
        }
        (None, faults)
    }

    /// Whether so many shards have this record at this place that one of them is good, as long as no
    /// more are bad than the object survives.
    ///
    /// A record's MAC covers its number and not its place: a bad shard can have a copy anywhere, and
    /// an index that leads there. Then all others would seem to have lost their pieces.
    fn stands_at(&self, record: &Record, offset: u64) -> bool {
        let needed = usize::from(self.shards.object.geometry.parity()) + 1;
        let mut agreeing = [false; 256];
        for place in self.shards.in_order() {
            let shard = &self.shards.list[*place];
            let mut bytes = [0; RECORD_LEN];
            let read = shard.source.read_at(&mut bytes, offset);
            if read.is_ok() && bytes == *record.bytes() {
                agreeing[usize::from(shard.header.index())] = true;
            }
            if agreeing.iter().filter(|agrees| **agrees).count() >= needed {
                return true;
            }
        }
        false
    }

    fn found(&mut self, record: Record, offset: u64, faults: Faults) -> Found {
        let number = record.position().number;
        for (place, why) in faults {
            self.shards.blame(place, Some(number), why);
        }
        let entry_len = self.shards.object.geometry.entry_len(record.sealed_len());
        let next = u64::from(number) + 1;
        let block = match next % u64::from(BLOCK_SEGMENTS) {
            0 => block_len(BLOCK_SEGMENTS) as u64,
            _ => 0,
        };
        self.next = Spot {
            number: next,
            offset: offset + entry_len + block,
        };
        Found { record, offset }
    }

    fn lost(&mut self, segment: u32, faults: Faults) -> ReadError {
        let damage = self.damage_of(segment, &faults);
        for (place, why) in faults {
            self.shards.blame(place, Some(segment), why);
        }
        ReadError::LostRecord { segment, damage }
    }

    /// What is wrong with the object's shards for one segment: what was found for all of them, and
    /// `faults`.
    pub(super) fn damage_of(&self, segment: u32, faults: &[(usize, Why)]) -> Damage {
        let mut damage = self.shards.damage.of_all_segments();
        for (place, why) in faults {
            let shard = &self.shards.list[*place];
            let index = Some(shard.header.index());
            damage.add(shard.input, index, Some(segment), why.clone());
        }
        damage
    }
}
