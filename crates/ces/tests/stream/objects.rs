//! Objects for tests, and what becomes of them.

use std::cell::RefCell;
use std::io;

use propeller_ces::{
    Audit, Cipher, Compression, Damage, Geometry, Key, KeyRing, Object, ObjectError, Options,
    ReadAt, ReadError, SegmentSize, Summary, Threads, Wanted, Watch, encode,
};

/// The smallest segment, in bytes.
pub(crate) const SEGMENT: usize = 65_536;

pub(crate) fn key() -> Key {
    Key::from_bytes(std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

pub(crate) fn other_key() -> Key {
    Key::from_bytes([9; 32])
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(key())
}

/// Small segments, so that tests have many of them.
pub(crate) fn options(data: u8, parity: u8) -> Options {
    Options {
        geometry: Geometry::new(data, parity).unwrap(),
        segment_size: SegmentSize::MIN,
        // The fast one: what is tested here is the same with both.
        cipher: Cipher::Aes256Gcm,
        ..Options::new()
    }
}

pub(crate) fn uncompressed(data: u8, parity: u8) -> Options {
    Options {
        compression: Compression::Off,
        ..options(data, parity)
    }
}

pub(crate) fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// Compresses to a third or so.
pub(crate) fn text(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut text = String::new();
    while text.len() < len {
        text += &format!("line {} of the log, all is well\n", rng.u16(..));
    }
    text.truncate(len);
    text.into_bytes()
}

pub(crate) fn sealed(plain: &[u8], options: &Options) -> (Vec<Vec<u8>>, Summary) {
    sealed_under(plain, options, &key())
}

pub(crate) fn sealed_under(plain: &[u8], options: &Options, key: &Key) -> (Vec<Vec<u8>>, Summary) {
    let mut shards = vec![Vec::new(); usize::from(options.geometry.pieces())];
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |_| (),
    };
    let summary = encode(plain, shards.iter_mut().collect(), key, options, watch).unwrap();
    assert!(
        shards
            .iter()
            .all(|shard| shard.len() as u64 == summary.shard_len)
    );
    assert_eq!(summary.plain_len, plain.len() as u64);
    (shards, summary)
}

/// Why there is no plaintext.
#[derive(Debug)]
pub(crate) enum Failure {
    Open(ObjectError),
    Read(ReadError),
}

impl Failure {
    pub(crate) fn open(self) -> ObjectError {
        match self {
            Self::Open(error) => error,
            Self::Read(error) => panic!("it opened: {error}"),
        }
    }

    /// What is wrong with the shards, where too many are bad.
    pub(crate) fn damage(&self) -> &Damage {
        match self {
            Self::Read(ReadError::Lost { damage, .. } | ReadError::LostRecord { damage, .. }) => {
                damage
            }
            Self::Open(ObjectError::Read(
                ReadError::Lost { damage, .. } | ReadError::LostRecord { damage, .. },
            )) => damage,
            other => panic!("nothing is lost: {other:?}"),
        }
    }
}

pub(crate) fn read<S: ReadAt>(shards: Vec<S>) -> Result<(Vec<u8>, Damage), Failure> {
    read_with(shards, &ring(), Wanted::default(), Threads::ONE)
}

pub(crate) fn read_with<S: ReadAt>(
    shards: Vec<S>,
    keys: &KeyRing,
    wanted: Wanted,
    threads: Threads,
) -> Result<(Vec<u8>, Damage), Failure> {
    let mut object = Object::open(shards, keys, wanted, Audit::none()).map_err(Failure::Open)?;
    let mut plain = Vec::new();
    let mut done = 0;
    object
        .read_to(&mut plain, threads, &mut |bytes| done = bytes)
        .map_err(Failure::Read)?;
    assert_eq!(done, plain.len() as u64);
    assert_eq!(object.plain_len(), done);
    Ok((plain, object.damage().clone()))
}

/// A shard that counts what is read of it, and fails where it is told to.
pub(crate) struct Counting<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) reads: RefCell<Vec<std::ops::Range<u64>>>,
    pub(crate) fails_from: u64,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            reads: RefCell::default(),
            fails_from: u64::MAX,
        }
    }
}

impl ReadAt for Counting<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        if end > self.fails_from {
            return Err(io::Error::other("the disk is on fire"));
        }
        self.bytes.read_at(buf, offset)?;
        self.reads.borrow_mut().push(offset..end);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }
}
