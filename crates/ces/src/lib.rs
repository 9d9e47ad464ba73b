//! CES: compress, encrypt, shard. Any stream of bytes into `k + m` shards and back.
//!
//! `docs/formats/ces.md` is the specification. Nothing here opens a file or a socket: whoever calls
//! hands over what is read from and written to.

mod audit;
pub mod backup;
mod cipher;
mod damage;
mod decode;
mod encode;
mod erasure;
mod error;
mod flow;
mod geometry;
mod header;
mod index;
mod key;
mod layout;
mod merkle;
mod object;
mod options;
mod record;
mod repair;
mod ring;
mod rotate;
mod segment;
mod shards;
mod source;
mod trailer;
pub mod v0;
mod verify;
mod wiped;
mod witness;
mod xchacha;

pub use audit::{Action, Audit, Event};
pub use cipher::Cipher;
pub use damage::{Damage, FAULTS_MAX, Fault, ShardFaults, Why};
pub use decode::{Object, ObjectError, ReadError};
pub use encode::{EncodeError, Summary, encode};
pub use geometry::{Geometry, PIECES_EACH_MAX, SegmentSize};
pub use key::{
    KEY_LEN, KEY_VARIABLE, Key, KeyError, KeyId, KeyIdError, LABEL_LEN, Label, LabelError,
    MASTER_LEN_MIN, RandomError,
};
pub use object::{Digest, ObjectId};
pub use options::{Options, THREADS_MAX, Threads, Watch};
pub use repair::{RepairError, Repaired, repair};
pub use ring::{KeyIds, KeyRing, RingError};
pub use rotate::{RotateError, Rotated, rotate};
pub use segment::{Compression, Level};
pub use shards::{GatherError, Wanted};
pub use source::ReadAt;
pub use verify::{Report, verify};
pub use witness::{Trust, WitnessError};

/// The format by itself, segment by segment, without streams.
///
/// Randomness is an argument here, so that tests and other tools write the same bytes again.
/// Giving the same twice breaks confidentiality.
pub mod format {
    pub use crate::cipher::{NONCE_LEN, TAG_LEN};
    pub use crate::erasure::{Code, CodeError};
    pub use crate::error::{
        GeometryError, HeaderError, HexError, IndexError, LevelError, NoSuchShard, OpenError,
        PieceError, RecordError, SealError, SegmentSizeError, TooManySegments, TrailerError,
        UnwrapError,
    };
    pub use crate::header::{HEADER_LEN, Header};
    pub use crate::index::{
        BLOCK_SEGMENTS, BlockPlace, IndexBlock, IndexWriter, block_count, block_len, block_of,
        block_start, segments_in_block,
    };
    pub use crate::merkle::{HASH_LEN, Hash, RootBuilder, SEGMENTS_MAX};
    pub use crate::object::{
        DataKey, MacKey, OBJECT_HEADER_LEN, ObjectHeader, ObjectKeys, WRAPPED_LEN, WrappedKey,
    };
    pub use crate::record::{Position, RECORD_LEN, Record, UnprovenRecord};
    pub use crate::segment::{ObjectCoder, SealedSegment, SegmentReader, SegmentWriter};
    pub use crate::trailer::{BelievedFooter, FOOTER_LEN, Footer, Trailer};
}
