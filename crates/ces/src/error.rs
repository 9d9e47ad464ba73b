//! What can be wrong with the bytes of an object: a type per part, a variant per cause.
//!
//! They say what is wrong with one shard. That shard is then missing, for one segment or for all;
//! whether the object is lost is for whoever has the other shards to say.

/// Numbers that are no geometry.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeometryError {
    /// The number of data pieces.
    #[error("an object has 1 to 128 data shards, not {got}")]
    Data {
        /// What was asked for.
        got: u8,
    },
    /// The number of parity pieces.
    #[error("an object has 0 to 128 parity shards, not {got}")]
    Parity {
        /// What was asked for.
        got: u8,
    },
    /// A text that is not two numbers.
    #[error("a geometry is the numbers of data and parity shards, such as `8+4`")]
    Text,
}

/// A number that is no segment size.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("a segment size is a power of two from 65,536 to 8,388,608 bytes, not {got}")]
pub struct SegmentSizeError {
    /// What was asked for.
    pub got: u32,
}

/// A number that is no compression level.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("a compression level is 1 to 22, not {got}; to write uncompressed, switch compression off")]
pub struct LevelError {
    /// What was asked for.
    pub got: i32,
}

/// A text that is not the digits of an id or a digest.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("expected {digits} hexadecimal digits")]
pub struct HexError {
    /// How many there have to be.
    pub digits: usize,
}

/// More segments than an object has.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("an object has at most 2^32 segments: choose a larger segment size")]
pub struct TooManySegments;

/// Why bytes are not the header of a shard, in the order in which it is judged.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// Something else than a shard.
    #[error("not a shard of a CES object: it does not begin like one")]
    Magic,
    /// The beginning of a shard.
    #[error("the shard ends inside its header, after {got} bytes")]
    Cut {
        /// How many bytes there are.
        got: usize,
    },
    /// A version this build does not read.
    #[error("version {0} of the format is not supported by this version of Propeller")]
    Version(u8),
    /// A cipher this build does not know.
    #[error("cipher {0} is not supported by this version of Propeller")]
    Cipher(u8),
    /// Damaged.
    #[error("the header is damaged: its check does not match")]
    Check,
    /// No numbers of shards.
    #[error("the header was written wrong")]
    Geometry(#[source] GeometryError),
    /// A shard that the object does not have.
    #[error("the header was written wrong: shard {index} of {pieces}, counted from 0")]
    Index {
        /// The shard's index.
        index: u8,
        /// How many shards the object has.
        pieces: u16,
    },
    /// No segment size.
    #[error("the header was written wrong")]
    SegmentSize(#[source] SegmentSizeError),
    /// No label.
    #[error("the header was written wrong: its label is none")]
    Label,
}

/// An index that an object has no shard for.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("the object has {pieces} shards, and none with index {index}, counted from 0")]
pub struct NoSuchShard {
    /// The index that was asked for.
    pub index: u8,
    /// How many shards the object has.
    pub pieces: u16,
}

/// The wrapped data key does not open under this key.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("key {key} does not open the object: it is another key, or the header was changed")]
pub struct UnwrapError {
    /// The key that was tried.
    pub key: crate::KeyId,
}

/// Why a segment cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// Not as much plaintext as the segment carries.
    #[error("segment {number} cannot carry {got} bytes of plaintext")]
    Length {
        /// The segment's number.
        number: u32,
        /// How many bytes were given.
        got: usize,
    },
    /// The compressor failed, for want of memory.
    #[error("cannot compress segment {number}: {reason}")]
    Compress {
        /// The segment's number.
        number: u32,
        /// The compressor's words.
        reason: &'static str,
    },
}

/// Why a record is not believed.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// Damaged, or of another segment, object or version of an object.
    #[error("the record of segment {number} is damaged, or not of this segment")]
    Mac {
        /// The segment's number.
        number: u32,
    },
    /// Flags that are not defined.
    #[error("the record of segment {number} was written wrong: flags {got:#04x}")]
    Flags {
        /// The segment's number.
        number: u32,
        /// The flags.
        got: u8,
    },
    /// A length that no sealed segment has.
    #[error("the record of segment {number} was written wrong: sealed length {got}")]
    SealedLength {
        /// The segment's number.
        number: u32,
        /// The length, in bytes.
        got: u32,
    },
    /// A length that the plaintext of this segment cannot have.
    #[error("the record of segment {number} was written wrong: plain length {got}")]
    PlainLength {
        /// The segment's number.
        number: u32,
        /// The length, in bytes.
        got: u32,
    },
    /// A nonce that is longer than the cipher's.
    #[error("the record of segment {number} was written wrong: its nonce is too long")]
    Nonce {
        /// The segment's number.
        number: u32,
    },
}

/// Why a piece is not believed.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PieceError {
    /// The path or the piece has another length than those of its segment.
    #[error("piece {index} of segment {number} has another length than its record says")]
    Length {
        /// The segment's number.
        number: u32,
        /// The shard's index.
        index: u8,
    },
    /// Damaged, or of another place.
    #[error("piece {index} of segment {number} is damaged, or not of this place")]
    Root {
        /// The segment's number.
        number: u32,
        /// The shard's index.
        index: u8,
    },
}

/// Why a segment does not open although its pieces are believed: it was written wrong.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Not as many bytes of data pieces as the record says.
    #[error("segment {number} needs {expected} bytes of data pieces, got {got}")]
    Length {
        /// The segment's number.
        number: u32,
        /// How many there have to be.
        expected: usize,
        /// How many there were.
        got: usize,
    },
    /// Something else than zeros behind the sealed bytes.
    #[error("segment {number} was written wrong: its padding is not zero")]
    Padding {
        /// The segment's number.
        number: u32,
    },
    /// The AEAD refuses.
    #[error("segment {number} was written wrong: message authentication failed")]
    Sealed {
        /// The segment's number.
        number: u32,
    },
    /// Not one frame of exactly the plaintext's length.
    #[error("segment {number} was written wrong: it does not decompress to its length")]
    Compressed {
        /// The segment's number.
        number: u32,
    },
}

/// Why an index block is of no use. Whoever reads from the front does not need it.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexError {
    /// Another length than that of its segments.
    #[error("index block {number} has another length than its segments need")]
    Length {
        /// The block's number.
        number: u32,
    },
    /// Damaged, or of another place.
    #[error("index block {number} is damaged, or not of this place: its check does not match")]
    Check {
        /// The block's number.
        number: u32,
    },
    /// A length that no sealed segment has.
    #[error("index block {number} was written wrong: a sealed length of {got}")]
    SealedLength {
        /// The block's number.
        number: u32,
        /// The length, in bytes.
        got: u32,
    },
    /// Its segments do not end where it begins.
    #[error("index block {number} was written wrong: its segments do not end where it begins")]
    Place {
        /// The block's number.
        number: u32,
    },
}

/// Why a trailer is of no use, or a footer not believed.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrailerError {
    /// The shard goes on behind it, or ends before it.
    #[error("the shard does not end like one: it was cut, or something was added")]
    End,
    /// Another length than that of as many segments.
    #[error("the trailer has another length than its number of segments needs")]
    Length,
    /// Damaged, or of another object.
    #[error("the trailer is damaged, or of another object: its check does not match")]
    Check,
    /// Index blocks where none can stand.
    #[error("the trailer was written wrong: index block {number} cannot stand where it says")]
    Offset {
        /// The block's number.
        number: u32,
    },
    /// A length that as many segments cannot carry.
    #[error("the trailer was written wrong: {segments} segments cannot carry {plain} bytes")]
    PlainLength {
        /// How many segments there are.
        segments: u64,
        /// The length of the plaintext, in bytes.
        plain: u64,
    },
    /// Changed, or of another object.
    #[error("the footer is not this object's: message authentication failed")]
    Mac,
    /// Of another object, or another version of it.
    #[error("the shard is not of the object with this digest")]
    Digest,
    /// Records that say something else.
    #[error("the trailer was written wrong: its records carry another length, or end elsewhere")]
    Records,
    /// Records that the footer does not vouch for.
    #[error("the shard's records are not those that its footer vouches for")]
    Root,
}
