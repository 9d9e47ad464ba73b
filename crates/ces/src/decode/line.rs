//! Segments from shards to plaintext.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::cipher::TAG_LEN;
use crate::damage::Why;
use crate::error::{OpenError, PieceError};
use crate::flow::Line;
use crate::record::{RECORD_LEN, Record};
use crate::segment::{ObjectCoder, SegmentReader};
use crate::source::ReadAt;
use crate::wiped::Wiped;

use super::error::ReadError;
use super::locate::{Found, Locator, Tally};
use super::pieces::Pieces;

/// The line from the shards to `out`.
pub(super) struct Reading<'a, S, W> {
    locator: &'a mut Locator<S>,
    out: &'a mut W,
    /// Which bytes of the plaintext are wanted.
    range: Range<u64>,
    /// Numbers of the segments that are still to be read.
    numbers: Range<u64>,
    /// Of the segments that were read.
    pub(super) records: Tally,
    written: u64,
    progress: &'a mut dyn FnMut(u64),
    /// For segments with bad pieces, which are put right on the caller's thread: whether another
    /// shard has to be read is known only after hashing.
    reader: SegmentReader,
}

/// A segment under way.
pub(super) struct Slot {
    coder: Arc<ObjectCoder>,
    number: u32,
    /// There as soon as a segment is.
    record: Option<Record>,
    offset: u64,
    pieces: Pieces,
    /// Whether the shard at each place was asked for a piece.
    asked: Vec<bool>,
    faults: Vec<(usize, Why)>,
    /// Plaintext that was compressed; empty before there is any, since it is as large as a segment.
    plain: Wiped,
    state: State,
}

/// How far a segment is.
enum State {
    /// There are as many pieces as it takes, and nobody looked at them.
    Taken,
    /// Some pieces are not believed.
    Bad(Vec<(usize, PieceError)>),
    /// Its plaintext is there.
    Opened,
    /// It was written wrong.
    Broken(OpenError),
}

impl<'a, S: ReadAt, W: Write> Reading<'a, S, W> {
    pub(super) fn new(
        locator: &'a mut Locator<S>,
        range: Range<u64>,
        out: &'a mut W,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        let size = u64::from(locator.records.shards.object.segment_size.bytes());
        let first = range.start / size;
        // The segment of an empty object is read as well: it says that the object is empty.
        let end = range.end.div_ceil(size).max(first + 1);
        let reader = SegmentReader::new(Arc::clone(&locator.records.coder));
        Self {
            locator,
            out,
            range,
            numbers: first..end,
            records: Tally::default(),
            written: 0,
            progress,
            reader,
        }
    }

    /// Reads pieces until there are as many as it takes.
    fn take(&mut self, slot: &mut Slot) -> Result<(), ReadError> {
        let needed = self.locator.records.shards.object.geometry.data();
        while slot.pieces.count() < usize::from(needed) {
            let shards = &self.locator.records.shards;
            let next = shards.in_order().iter().find(|place| {
                let index = shards.list[**place].header.index();
                !slot.asked[**place] && !slot.pieces.has(index)
            });
            let Some(&place) = next else {
                return Err(self.lost(slot));
            };
            slot.asked[place] = true;
            let shard = &shards.list[place];
            if let Err(error) = slot.read(place, shard.header.index(), &shard.source) {
                self.blame(slot, place, Why::read(&error));
            }
        }
        Ok(())
    }

    /// There are no more shards to ask. Whether those that gave a piece are good is known only now.
    fn lost(&mut self, slot: &mut Slot) -> ReadError {
        for (place, error) in slot.believe() {
            self.blame(slot, place, error.into());
        }
        ReadError::Lost {
            segment: slot.number,
            needed: self.locator.records.shards.object.geometry.data(),
            good: slot.pieces.count(),
            damage: self.locator.records.damage_of(slot.number, &slot.faults),
        }
    }

    fn blame(&mut self, slot: &mut Slot, place: usize, why: Why) {
        slot.faults.push((place, why.clone()));
        self.locator
            .records
            .shards
            .blame(place, Some(slot.number), why);
    }

    /// The part of the segment in `slot` that is wanted.
    fn wanted(&self, slot: &Slot) -> Range<usize> {
        let size = u64::from(self.locator.records.shards.object.segment_size.bytes());
        let begins = u64::from(slot.number) * size;
        let len = slot.plain().len();
        let inside = |at: u64| {
            usize::try_from(at.saturating_sub(begins)).map_or(len, |inside| inside.min(len))
        };
        inside(self.range.start)..inside(self.range.end)
    }
}

impl<S: ReadAt, W: Write> Line for Reading<'_, S, W> {
    type Slot = Slot;
    type Error = ReadError;

    fn slot(&self) -> Slot {
        let object = &self.locator.records.shards.object;
        let size = object.segment_size.bytes() as usize;
        let more = TAG_LEN + usize::from(object.geometry.data());
        Slot {
            coder: Arc::clone(&self.locator.records.coder),
            number: 0,
            record: None,
            offset: 0,
            // Room for any segment: a vector that grows leaves a copy of what it held behind.
            pieces: Pieces::with_room(size + more),
            asked: vec![false; self.locator.records.shards.list.len()],
            faults: Vec::new(),
            plain: Wiped::default(),
            state: State::Taken,
        }
    }

    fn fill(&mut self, slot: &mut Slot) -> Result<bool, ReadError> {
        let Some(number) = self.numbers.next() else {
            return Ok(false);
        };
        slot.number = u32::try_from(number).expect("a footer has at most 2^32 segments");
        let found = self.locator.find(slot.number)?;
        slot.begin(found);
        self.take(slot)?;
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.numbers.is_empty()
    }

    fn drain(&mut self, slot: &mut Slot) -> Result<(), ReadError> {
        loop {
            match std::mem::replace(&mut slot.state, State::Taken) {
                State::Opened => break,
                State::Broken(error) => return Err(error.into()),
                State::Taken => {}
                State::Bad(bad) => {
                    for (place, error) in bad {
                        self.blame(slot, place, error.into());
                    }
                    self.take(slot)?;
                }
            }
            slot.open(&mut self.reader);
        }
        if let Some(record) = &slot.record {
            self.records.add(record)?;
        }
        let plain = &slot.plain()[self.wanted(slot)];
        self.out.write_all(plain).map_err(ReadError::Output)?;
        self.written += plain.len() as u64;
        (self.progress)(self.written);
        Ok(())
    }
}

impl Slot {
    fn begin(&mut self, found: Found) {
        let geometry = self.coder.object().geometry;
        let len = geometry.piece_len(found.record.sealed_len()) as usize;
        self.pieces.begin(len, usize::from(geometry.data()));
        self.record = Some(found.record);
        self.offset = found.offset;
        self.asked.fill(false);
        self.faults.clear();
        self.state = State::Taken;
    }

    /// Reads the path and the piece of one shard.
    fn read(&mut self, place: usize, index: u8, source: &impl ReadAt) -> std::io::Result<()> {
        let geometry = self.coder.object().geometry;
        let path_len = geometry.path_len();
        let (path, piece) = self.pieces.add(place, index, path_len, geometry.data());
        let at = self.offset + RECORD_LEN as u64;
        let read = source
            .read_at(path, at)
            .and_then(|()| source.read_at(piece, at + path_len as u64));
        if read.is_err() {
            self.pieces.remove(place, path_len);
        }
        read
    }

    /// Believes the pieces, puts the data pieces together, and opens them.
    pub(super) fn open(&mut self, reader: &mut SegmentReader) {
        let bad = self.believe();
        if !bad.is_empty() {
            self.state = State::Bad(bad);
            return;
        }
        self.pieces.rebuild(&self.coder);
        let record = self.record.as_ref().expect("the slot holds a segment");
        let size = self.coder.object().segment_size.bytes() as usize;
        if record.is_compressed() && self.plain.capacity() < size {
            self.plain = Wiped::with_capacity(size);
        }
        let data = &mut self.pieces.data;
        self.state = match reader.open_in_place(record, data, &mut self.plain) {
            Ok(()) => State::Opened,
            Err(error) => State::Broken(error),
        };
    }

    /// The plaintext of a segment that is opened.
    fn plain(&self) -> &[u8] {
        match &self.record {
            Some(record) if record.is_compressed() => &self.plain,
            Some(record) => &self.pieces.data[..record.plain_len() as usize],
            None => &[],
        }
    }

    /// Forgets the pieces that are not believed, and says of which shards they were.
    fn believe(&mut self) -> Vec<(usize, PieceError)> {
        let object = self.coder.object();
        let record = self.record.as_ref().expect("the slot holds a segment");
        let path_len = object.geometry.path_len();
        let bad = self.pieces.believe(path_len, |index, path, piece| {
            record.verify_piece(object, index, path, piece)
        });
        for (place, _) in &bad {
            self.pieces.remove(*place, path_len);
        }
        bad
    }
}
