//! Room for an image or a module, which goes back to the system at once.
//!
//! An allocator keeps what is freed, up to tens of megabytes for each of its arenas, for the thread
//! that had it; the next pull is on another one, and takes as much again. So what is large has a
//! mapping of its own: it takes no memory before it is written to, and none when it is dropped.

use std::fmt;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use zeroize::Zeroize;

/// From this many bytes on a mapping is worth what it costs to make.
const MAPPED_BYTES_MIN: usize = 1 << 20;

/// Bytes, in memory of their own if they are many.
///
/// ```
/// use std::io::Write as _;
/// use propeller_oci::Room;
///
/// let mut room = Room::with_capacity(2 << 20)?;
/// room.write_all(b"a layer")?;
/// assert_eq!(&*room, b"a layer");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Room(Memory);

enum Memory {
    Heap(Vec<u8>),
    /// Of which `len` bytes are in use.
    Mapped {
        map: MmapMut,
        len: usize,
    },
}

impl Room {
    /// For up to so many bytes, of which none are there yet.
    ///
    /// # Errors
    ///
    /// The system has not the addresses, or the memory, for that many.
    pub fn with_capacity(bytes: usize) -> io::Result<Self> {
        if bytes < MAPPED_BYTES_MIN {
            return Ok(Self(Memory::Heap(Vec::with_capacity(bytes))));
        }
        let map = MmapMut::map_anon(bytes)?;
        Ok(Self(Memory::Mapped { map, len: 0 }))
    }

    /// With so many bytes, which are zero.
    ///
    /// # Errors
    ///
    /// As [`with_capacity`](Self::with_capacity).
    pub fn zeroed(bytes: usize) -> io::Result<Self> {
        let mut room = Self::with_capacity(bytes)?;
        match &mut room.0 {
            Memory::Heap(heap) => heap.resize(bytes, 0),
            // As the system makes it.
            Memory::Mapped { len, .. } => *len = bytes,
        }
        Ok(room)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

impl From<Vec<u8>> for Room {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Memory::Heap(bytes))
    }
}

impl From<Room> for Vec<u8> {
    /// A copy, if it has a mapping.
    fn from(room: Room) -> Self {
        match room.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped { map, len } => map[..len].to_vec(),
        }
    }
}

impl Clone for Room {
    fn clone(&self) -> Self {
        let copied = Self::with_capacity(self.len()).and_then(|mut copy| {
            copy.write_all(self)?;
            Ok(copy)
        });
        // Without a mapping it is as any other copy.
        copied.unwrap_or_else(|_| Self::from(self.to_vec()))
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped { map, len } => &map[..*len],
        }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped { map, len } => &mut map[..*len],
        }
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<B: AsRef<[u8]> + ?Sized> PartialEq<B> for Room {
    fn eq(&self, other: &B) -> bool {
        **self == *other.as_ref()
    }
}

impl Write for Room {
    /// Appends what there is room for: nothing more where a mapping is full.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Memory::Heap(heap) => heap.write(bytes),
            Memory::Mapped { map, len } => {
                let fits = bytes.len().min(map.len() - *len);
                map[*len..*len + fits].copy_from_slice(&bytes[..fits]);
                *len += fits;
                Ok(fits)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Zeroize for Room {
    /// What was never written to is not: that would take the memory for it.
    fn zeroize(&mut self) {
        match &mut self.0 {
            Memory::Heap(bytes) => bytes.zeroize(),
            Memory::Mapped { map, len } => {
                map[..*len].zeroize();
                *len = 0;
            }
        }
    }
}

impl fmt::Debug for Room {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 4] = [0, 1, MAPPED_BYTES_MIN - 1, MAPPED_BYTES_MIN + 1];

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
    }

    #[test]
    fn it_has_what_was_written_to_it_however_long() {
        for len in LENGTHS {
            let mut room = Room::with_capacity(len).unwrap();
            for piece in bytes(len).chunks(65_521) {
                room.write_all(piece).unwrap();
            }
            assert_eq!(*room, bytes(len));
            assert_eq!(*room.clone(), bytes(len));
            assert_eq!(Vec::from(room), bytes(len));
        }
    }

    #[test]
    fn what_does_not_fit_into_a_mapping_is_said_and_what_does_is_there() {
        let mut room = Room::with_capacity(MAPPED_BYTES_MIN).unwrap();
        let error = room.write_all(&bytes(MAPPED_BYTES_MIN + 1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert_eq!(*room, bytes(MAPPED_BYTES_MIN));
    }

    #[test]
    fn it_is_cleared_and_then_empty() {
        for len in LENGTHS {
            let mut room = Room::zeroed(len).unwrap();
            assert_eq!(*room, vec![0; len]);
            room.copy_from_slice(&bytes(len));
            room.zeroize();
            assert!(room.is_empty());
            if let Memory::Mapped { map, .. } = &room.0 {
                assert!(map.iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn more_than_there_are_addresses_for_is_refused() {
        assert!(Room::zeroed(isize::MAX.cast_unsigned()).is_err());
    }
}
