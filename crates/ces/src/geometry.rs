//! How many pieces a segment is coded into, and how much plaintext it takes.

use std::fmt;
use std::str::FromStr;

use crate::error::{GeometryError, SegmentSizeError};
use crate::merkle::HASH_LEN;
use crate::record::RECORD_LEN;

/// The most data pieces, and the most parity pieces: beyond 128 + 128 GF(2⁸) has no more points.
pub const PIECES_EACH_MAX: u8 = 128;

/// `k` data pieces and `m` parity pieces: any `k` of the `k + m` give a segment back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    data: u8,
    parity: u8,
}

impl Geometry {
    /// One shard, which is the whole object.
    pub const WHOLE: Self = Self { data: 1, parity: 0 };

    /// Takes 1 to 128 data pieces and 0 to 128 parity pieces.
    ///
    /// # Errors
    /// Fails if one of the numbers is outside that.
    pub const fn new(data: u8, parity: u8) -> Result<Self, GeometryError> {
        if data == 0 || data > PIECES_EACH_MAX {
            return Err(GeometryError::Data { got: data });
        }
        if parity > PIECES_EACH_MAX {
            return Err(GeometryError::Parity { got: parity });
        }
        Ok(Self { data, parity })
    }

    /// `k`: how many pieces give a segment back.
    #[must_use]
    pub const fn data(self) -> u8 {
        self.data
    }

    /// `m`: how many pieces may be missing.
    #[must_use]
    pub const fn parity(self) -> u8 {
        self.parity
    }

    /// `k + m`: how many shards an object has, up to 256.
    #[must_use]
    pub const fn pieces(self) -> u16 {
        // `u16::from` is not const.
        self.data as u16 + self.parity as u16
    }

    /// `d`: how many levels the tree above the leaves of a segment has, up to 8.
    #[must_use]
    pub const fn depth(self) -> u32 {
        self.pieces().next_power_of_two().trailing_zeros()
    }

    /// Length of a path from a leaf to the root, in bytes.
    #[must_use]
    pub const fn path_len(self) -> usize {
        self.depth() as usize * HASH_LEN
    }

    /// Length of what stands before a piece, its record and its path, in bytes.
    #[must_use]
    pub const fn head_len(self) -> usize {
        RECORD_LEN + self.path_len()
    }

    /// Length of each piece of a segment that is `sealed` bytes long, in bytes.
    #[must_use]
    pub const fn piece_len(self, sealed: u32) -> u32 {
        sealed.div_ceil(self.data as u32)
    }

    /// What a segment that is `sealed` bytes long takes in every shard: record, path and piece.
    #[must_use]
    pub const fn entry_len(self, sealed: u32) -> u64 {
        self.head_len() as u64 + self.piece_len(sealed) as u64
    }
}

impl Default for Geometry {
    /// 8 + 4: four shards may be lost, at one and a half times the size.
    fn default() -> Self {
        Self { data: 8, parity: 4 }
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

impl FromStr for Geometry {
    type Err = GeometryError;

    fn from_str(text: &str) -> Result<Self, GeometryError> {
        let (data, parity) = text.split_once('+').ok_or(GeometryError::Text)?;
        let number = |text: &str| text.parse().map_err(|_| GeometryError::Text);
        Self::new(number(data)?, number(parity)?)
    }
}

/// How many bytes of plaintext every segment but the last one carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentSize(u32);

impl SegmentSize {
    /// The smallest, 64 KiB: below, records and paths take more than a hundredth.
    pub const MIN: Self = Self(64 * 1024);
    /// The largest, 8 MiB: a reader holds several segments at once.
    pub const MAX: Self = Self(8 * 1024 * 1024);

    /// Takes a power of two from 65,536 to 8,388,608.
    ///
    /// # Errors
    /// Fails if `bytes` is anything else.
    pub const fn new(bytes: u32) -> Result<Self, SegmentSizeError> {
        if !bytes.is_power_of_two() || bytes < Self::MIN.0 || bytes > Self::MAX.0 {
            return Err(SegmentSizeError { got: bytes });
        }
        Ok(Self(bytes))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl Default for SegmentSize {
    /// 1 MiB: zstd loses 2 % against the whole stream, and a segment fits into a cache.
    fn default() -> Self {
        Self(1024 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometries_are_1_to_128_and_0_to_128() {
        for (data, parity) in [(1, 0), (8, 4), (128, 128)] {
            let geometry = Geometry::new(data, parity).unwrap();
            assert_eq!((geometry.data(), geometry.parity()), (data, parity));
            assert_eq!(geometry.to_string().parse(), Ok(geometry));
        }
        let check = |data, parity, error| assert_eq!(Geometry::new(data, parity), Err(error));
        check(0, 4, GeometryError::Data { got: 0 });
        check(129, 0, GeometryError::Data { got: 129 });
        check(1, 129, GeometryError::Parity { got: 129 });
        for text in ["", "8", "8+", "+4", "8+4+1", "8 + 4", "-1+2", "300+1"] {
            assert_eq!(text.parse::<Geometry>(), Err(GeometryError::Text), "{text}");
        }
    }

    #[test]
    fn the_tree_is_as_deep_as_its_leaves_need() {
        for (data, parity, depth) in [
            (1, 0, 0),
            (1, 1, 1),
            (2, 1, 2),
            (8, 4, 4),
            (8, 8, 4),
            (16, 1, 5),
            (128, 128, 8),
        ] {
            let geometry = Geometry::new(data, parity).unwrap();
            assert_eq!(geometry.depth(), depth, "{geometry}");
        }
    }

    #[test]
    fn every_segment_takes_a_record_a_path_and_a_piece() {
        let entry = |data, parity, sealed| {
            let geometry = Geometry::new(data, parity).unwrap();
            geometry.entry_len(sealed)
        };
        assert_eq!(entry(1, 0, 16), 97 + 16);
        assert_eq!(entry(2, 1, 17), 97 + 64 + 9);
        assert_eq!(entry(8, 4, 1_048_592), 97 + 128 + 131_074);
        assert_eq!(entry(128, 128, 8_388_624), 97 + 256 + 65_537);
    }

    #[test]
    fn segments_are_a_power_of_two_from_64_kib_to_8_mib() {
        for bytes in [65_536, 131_072, 1_048_576, 8_388_608] {
            assert_eq!(SegmentSize::new(bytes).unwrap().bytes(), bytes);
        }
        for got in [0, 1, 32_768, 65_535, 65_537, 98_304, 16_777_216, u32::MAX] {
            assert_eq!(SegmentSize::new(got), Err(SegmentSizeError { got }));
        }
    }
}
