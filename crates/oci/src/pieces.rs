//! A blob in pieces, each of which goes back to the system when it is done with.
//!
//! What is read once, from its beginning to its end, is in nobody's way for longer than that: an
//! archive takes the less memory the more of it has been unpacked.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};
use propeller_model::Digest;
use zeroize::{Zeroize, Zeroizing};

use crate::Room;
use crate::digest::finished;

/// Of all pieces but the last: what is worth a mapping of its own.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes in pieces, in their order. Every piece but the last is a whole number of blocks of any cipher.
///
/// ```
/// use std::io::Write as _;
/// use propeller_oci::Pieces;
///
/// let mut pieces = Pieces::with_capacity(3 << 20)?;
/// pieces.write_all(b"a layer")?;
/// assert_eq!(pieces.into_room()?, b"a layer");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Pieces {
    /// Each as full as it will be, up to the one that is written to.
    rooms: VecDeque<Room>,
    /// How many bytes each has room for; those that were made elsewhere have what they have.
    capacities: VecDeque<usize>,
    /// Which one is written to next.
    next: usize,
    len: usize,
}

impl Pieces {
    /// For up to so many bytes, of which none are there yet; they take no memory before.
    ///
    /// # Errors
    ///
    /// The system has not the addresses, or the memory, for that many.
    pub fn with_capacity(bytes: usize) -> io::Result<Self> {
        // All at once first, so that more than there can be is refused before a piece is made.
        drop(Room::with_capacity(bytes)?);
        let mut pieces = Self::default();
        let mut left = bytes;
        while left > 0 {
            let capacity = left.min(PIECE_BYTES);
            pieces.rooms.push_back(Room::with_capacity(capacity)?);
            pieces.capacities.push_back(capacity);
            left -= capacity;
        }
        Ok(pieces)
    }

    /// With so many bytes, which are zero.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn zeroed(bytes: usize) -> io::Result<Self> {
        let mut pieces = Self::with_capacity(bytes)?;
        for (room, capacity) in pieces.rooms.iter_mut().zip(&pieces.capacities) {
            *room = Room::zeroed(*capacity)?;
        }
        pieces.next = pieces.rooms.len();
        pieces.len = bytes;
        Ok(pieces)
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, one piece after the other.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.rooms.iter().map(|room| &**room)
    }

    /// The bytes, to be changed in place.
    pub fn slices_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.rooms.iter_mut().map(|room| &mut **room)
    }

    /// Some of the bytes, one piece after the other.
    pub fn slices_of(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        let mut before = 0;
        self.rooms.iter().map(move |room| {
            let (begin, end) = (before, before + room.len());
            before = end;
            let within = |at: usize| at.clamp(begin, end) - begin;
            &room[within(range.start)..within(range.end)]
        })
    }

    /// What they hash to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hash = Context::new(&SHA256);
        self.slices().for_each(|piece| hash.update(piece));
        finished(hash)
    }

    /// Writes over bytes that are there.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        assert!(end <= self.len, "bytes {offset} to {end} of {}", self.len);
        let (mut begin, mut left) = (0, bytes);
        for room in &mut self.rooms {
            let from = offset.saturating_sub(begin).min(room.len());
            let fits = left.len().min(room.len() - from);
            let (now, later) = left.split_at(fits);
            room[from..from + fits].copy_from_slice(now);
            left = later;
            begin += room.len();
        }
    }

    /// All of it in one place. Each piece is gone once it was copied.
    ///
    /// # Errors
    ///
    /// The system has not the memory for that.
    pub fn into_room(mut self) -> io::Result<Room> {
        match self.rooms.len() {
            0 => Ok(Room::default()),
            1 => Ok(self.rooms.pop_front().unwrap_or_default()),
            _ => {
                let mut whole = Zeroizing::new(Room::with_capacity(self.len)?);
                io::copy(&mut self.consumed(), &mut *whole)?;
                Ok(std::mem::take(&mut *whole))
            }
        }
    }

    /// Reads it from its beginning. What has been read is cleared, and goes back to the system.
    pub fn consumed(&mut self) -> Consumed<'_> {
        let at = 0;
        Consumed { pieces: self, at }
    }

    /// Clears the first piece, and gives it back.
    fn drop_first(&mut self) {
        if let Some(mut first) = self.rooms.pop_front() {
            self.len -= first.len();
            first.zeroize();
        }
        self.capacities.pop_front();
        self.next = self.next.saturating_sub(1);
    }
}

impl From<Room> for Pieces {
    fn from(room: Room) -> Self {
        let len = room.len();
        Self {
            rooms: VecDeque::from([room]),
            capacities: VecDeque::from([len]),
            next: 1,
            len,
        }
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Room::from(bytes))
    }
}

impl From<Pieces> for Vec<u8> {
    /// A copy, unless it is one small piece.
    fn from(mut pieces: Pieces) -> Self {
        match pieces.rooms.len() {
            1 => pieces.rooms.pop_front().unwrap_or_default().into(),
            _ => pieces.slices().flatten().copied().collect(),
        }
    }
}

impl<B: AsRef<[u8]> + ?Sized> PartialEq<B> for Pieces {
    fn eq(&self, other: &B) -> bool {
        let mut other = other.as_ref();
        let are_next = self.slices().all(|piece| {
            let rest = other.strip_prefix(piece);
            other = rest.unwrap_or_default();
            rest.is_some()
        });
        are_next && other.is_empty()
    }
}

impl Write for Pieces {
    /// Appends what there is room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while let Some(capacity) = self.capacities.get(self.next) {
            let room = &mut self.rooms[self.next];
            let fits = bytes.len().min(capacity - room.len());
            if fits > 0 {
                room.write_all(&bytes[..fits])?;
                self.len += fits;
                return Ok(fits);
            }
            if bytes.is_empty() {
                break;
            }
            self.next += 1;
        }
        Ok(0)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Zeroize for Pieces {
    fn zeroize(&mut self) {
        for room in &mut self.rooms {
            room.zeroize();
        }
        *self = Self::default();
    }
}

impl fmt::Debug for Pieces {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pieces({} bytes)", self.len)
    }
}

/// Reads pieces, which are gone when they have been read.
#[derive(Debug)]
pub struct Consumed<'a> {
    pieces: &'a mut Pieces,
    /// In the first piece.
    at: usize,
}

impl Read for Consumed<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Consumed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let first = self.pieces.rooms.front();
        Ok(first.map_or(&[], |room| &room[self.at..]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
        // Also those that are empty, which would look like the end.
        while let Some(first) = self.pieces.rooms.front()
            && self.at >= first.len()
        {
            self.at = 0;
            self.pieces.drop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 6] = [
        0,
        1,
        PIECE_BYTES - 1,
        PIECE_BYTES,
        PIECE_BYTES + 1,
        3 * PIECE_BYTES + 7,
    ];

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    fn filled(len: usize) -> Pieces {
        let mut pieces = Pieces::with_capacity(len).unwrap();
        for part in bytes(len).chunks(65_521) {
            pieces.write_all(part).unwrap();
        }
        pieces
    }

    #[test]
    fn they_have_what_was_written_to_them_however_long() {
        for len in LENGTHS {
            let pieces = filled(len);
            assert_eq!(pieces.len(), len);
            assert!(pieces == bytes(len) && pieces.clone() == bytes(len));
            assert!(pieces != bytes(len + 1));
            assert_eq!(Vec::from(pieces.clone()), bytes(len));
            assert_eq!(pieces.into_room().unwrap(), bytes(len));
        }
    }

    #[test]
    fn what_does_not_fit_is_said_and_what_does_is_there() {
        for len in LENGTHS {
            let mut pieces = Pieces::with_capacity(len).unwrap();
            let error = pieces.write_all(&bytes(len + 1)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WriteZero);
            assert!(pieces == bytes(len));
        }
    }

    #[test]
    fn reading_them_leaves_nothing_behind() {
        for len in LENGTHS {
            let mut pieces = filled(len);
            let mut read = Vec::new();
            pieces.consumed().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes(len));
            assert!(pieces.is_empty() && pieces.slices().all(<[u8]>::is_empty));
        }
    }

    #[test]
    fn a_piece_goes_when_its_last_byte_was_read() {
        let mut pieces = filled(2 * PIECE_BYTES);
        let mut consumed = pieces.consumed();
        let mut first = vec![0; PIECE_BYTES - 1];
        consumed.read_exact(&mut first).unwrap();
        assert_eq!(consumed.pieces.len(), 2 * PIECE_BYTES);
        consumed.read_exact(&mut [0]).unwrap();
        assert_eq!(consumed.pieces.len(), PIECE_BYTES);
        let mut rest = Vec::new();
        consumed.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, bytes(2 * PIECE_BYTES)[PIECE_BYTES..]);
    }

    #[test]
    fn parts_of_them_are_found_and_written_across_pieces() {
        let len = 2 * PIECE_BYTES + 100;
        let mut pieces = Pieces::zeroed(len).unwrap();
        let mut expected = vec![0; len];
        for (at, part) in [
            (0, 10),
            (PIECE_BYTES - 5, 10),
            (10, 2 * PIECE_BYTES),
            (len - 3, 3),
            (len, 0),
        ] {
            let part = bytes(part);
            pieces.write_at(at, &part);
            expected[at..at + part.len()].copy_from_slice(&part);
            assert!(pieces == expected, "{at}");
            let found: Vec<u8> = pieces
                .slices_of(at..at + part.len())
                .flatten()
                .copied()
                .collect();
            assert_eq!(found, part);
        }
    }

    #[test]
    fn they_are_cleared_and_then_empty() {
        for len in LENGTHS {
            let mut pieces = filled(len);
            pieces.zeroize();
            assert!(pieces.is_empty());
            assert!(pieces.write_all(b"more").is_err());
        }
    }

    #[test]
    fn more_than_there_are_addresses_for_is_refused() {
        assert!(Pieces::zeroed(isize::MAX.cast_unsigned()).is_err());
    }
}
