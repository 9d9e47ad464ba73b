//! Whole objects in memory, as the older implementation's callers know them.

use std::io::{self, Write};

use propeller_ces::{
    Audit, Compression, Geometry, Key, KeyRing, Object, Options, Threads, Wanted, Watch, encode,
    format::{BLOCK_SEGMENTS, FOOTER_LEN, HEADER_LEN, TAG_LEN},
    v0,
};
use zeroize::Zeroizing;

use crate::failure::{Failure, Status};

/// What a shard of ours begins with, and one of the older implementation does not.
const MAGIC: &[u8] = b"PRPLCES";

/// How many shards a call takes: an object has at most 256, and the older implementation's wrapper
/// took as many.
pub(crate) const SHARDS_MAX: usize = 1_000;

/// A key and a level. Threads may share one.
#[derive(Debug)]
pub(crate) struct Pipeline {
    keys: KeyRing,
    compression: Compression,
}

const _: () = {
    const fn may_be_shared<T: Send + Sync>() {}
    may_be_shared::<Pipeline>();
};

/// 0 for none, or a level of zstd.
pub(crate) fn compression(level: i32) -> Result<Compression, Failure> {
    if level == 0 {
        return Ok(Compression::Off);
    }
    match propeller_ces::Level::new(level) {
        Ok(level) => Ok(Compression::Zstd(level)),
        Err(_) => Err(Failure::argument(format!(
            "a compression level is 0 (not compressed) or 1 to 22, got {level}"
        ))),
    }
}

impl Pipeline {
    pub(crate) fn new(key: Key, level: i32) -> Result<Self, Failure> {
        Ok(Self {
            keys: KeyRing::new(key),
            compression: compression(level)?,
        })
    }

    /// The 8 + 4 shards of a new object, data before parity, all of one length.
    pub(crate) fn process(&self, data: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let options = Options {
            compression: self.compression,
            ..Options::new()
        };
        let len = shard_len_max(data.len(), &options);
        let mut shards = Vec::new();
        for _ in 0..options.geometry.pieces() {
            shards.push(reserved(len)?);
        }
        let watch = Watch {
            audit: Audit::none(),
            progress: &mut |_| (),
        };
        let key = self.keys.writing()?;
        encode(data, shards.iter_mut().collect(), key, &options, watch)?;
        Ok(shards)
    }

    /// The plaintext of `shards`, in any order and number if they are ours; those of the older
    /// implementation stand at their index.
    pub(crate) fn reconstruct(
        &self,
        shards: &[Option<&[u8]>],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if shards.len() > SHARDS_MAX {
            let got = shards.len();
            let message = format!("there are {got} shards, and at most {SHARDS_MAX} are taken");
            return Err(Failure::argument(message));
        }
        let present: Vec<&[u8]> = shards.iter().copied().flatten().collect();
        let geometry = Geometry::default();
        if !present.iter().any(|shard| is_ours(shard)) {
            return self.open_v0(shards, geometry, v0::PLAIN_LEN_MAX);
        }
        let failure = match self.open(present) {
            Ok(plain) => return Ok(plain),
            Err(failure) => failure,
        };
        // One of ours among the older implementation's is one of theirs that is missing.
        let theirs = shards.iter().map(|shard| shard.filter(|it| !is_ours(it)));
        let theirs: Vec<_> = theirs.collect();
        if theirs.iter().flatten().count() < usize::from(geometry.data()) {
            return Err(failure);
        }
        let opened = self.open_v0(&theirs, geometry, v0::PLAIN_LEN_MAX);
        opened.map_err(|_| failure)
    }

    fn open(&self, shards: Vec<&[u8]>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        // One shard may have been handed over many times.
        let lens = shards.iter().map(|shard| shard.len());
        let there = lens.fold(0, usize::saturating_add);
        let mut object = Object::open(shards, &self.keys, Wanted::default(), Audit::none())?;
        let len = usize::try_from(object.plain_len()).unwrap_or(usize::MAX);
        let mut plain = Growing::new(len, there)?;
        let ended = object.read_to(&mut plain, Threads::ONE, &mut |_| ());
        if let Some(failure) = plain.failed {
            return Err(failure);
        }
        ended?;
        Ok(plain.bytes)
    }

    fn open_v0(
        &self,
        shards: &[Option<&[u8]>],
        geometry: Geometry,
        plain_len_max: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        reconstruct_v0(shards, self.keys.writing()?, geometry, plain_len_max)
    }
}

fn is_ours(shard: &[u8]) -> bool {
    shard.starts_with(MAGIC)
}

/// Plaintext that takes memory as it comes. Its length is the word of whoever wrote the object: of a
/// forged one, nothing comes.
struct Growing {
    bytes: Zeroizing<Vec<u8>>,
    /// How long it is said to be.
    len: usize,
    /// That there is no memory, if that is why a write failed.
    failed: Option<Failure>,
}

impl Growing {
    /// Room for as much as there is of the shards, which is enough for what does not compress.
    fn new(len: usize, shards: usize) -> Result<Self, Failure> {
        Ok(Self {
            bytes: Zeroizing::new(reserved(len.min(shards))?),
            len,
            failed: None,
        })
    }

    /// Room for `more` bytes. What stood in the old room is overwritten.
    fn grow(&mut self, more: usize) -> Result<(), Failure> {
        let needed = self.bytes.len().saturating_add(more);
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        // In the end there is as much room as plaintext, so that giving it away moves nothing.
        let doubled = self.bytes.capacity().saturating_mul(2).min(self.len);
        let mut room = Zeroizing::new(reserved(doubled.max(needed))?);
        room.extend_from_slice(&self.bytes);
        self.bytes = room;
        Ok(())
    }
}

impl Write for Growing {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if let Err(failure) = self.grow(data.len()) {
            let told = io::Error::new(io::ErrorKind::OutOfMemory, failure.to_string());
            self.failed = Some(failure);
            return Err(told);
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The plaintext of shards of the older implementation.
pub(crate) fn reconstruct_v0(
    shards: &[Option<&[u8]>],
    key: &Key,
    geometry: Geometry,
    plain_len_max: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let reader = v0::Reader {
        geometry,
        plain_len_max,
        audit: Audit::none(),
    };
    Ok(reader.reconstruct(shards, key)?)
}

/// At most how long each shard is. What compresses leaves the rest untouched.
fn shard_len_max(plain: usize, options: &Options) -> usize {
    let (geometry, segment) = (options.geometry, options.segment_size.bytes() as usize);
    let segments = plain.div_ceil(segment).max(1);
    let data = usize::from(geometry.data());
    let entries = segments * (geometry.head_len() + TAG_LEN + 1) + plain / data;
    let blocks = segments.div_ceil(BLOCK_SEGMENTS as usize);
    HEADER_LEN + entries + 4 * segments + blocks * (16 + 8) + FOOTER_LEN
}

/// An empty vector with room, or an error in place of the process' end.
fn reserved(len: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    match bytes.try_reserve_exact(len) {
        Ok(()) => Ok(bytes),
        Err(_) => {
            let message = format!("there is no memory for {len} bytes: stream the object instead");
            Err(Failure::new(Status::System, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(level: i32) -> Pipeline {
        Pipeline::new(Key::from_bytes([7; 32]), level).unwrap()
    }

    fn random(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        bytes
    }

    #[test]
    fn no_shard_is_longer_than_what_was_reserved() {
        for len in [0, 1, 7, 1 << 20, (1 << 20) + 1, 5_000_003] {
            let data = random(len);
            let shards = pipeline(0).process(&data).unwrap();
            let max = shard_len_max(len, &Options::new());
            assert!(shards.iter().all(|shard| shard.len() == shards[0].len()));
            assert!(shards[0].len() <= max, "{} of {max}", shards[0].len());
            assert!(max - shards[0].len() < 64 + len / 100, "{max}");
        }
    }

    /// Mistake 2: the level that was asked for did nothing.
    #[test]
    fn the_level_counts() {
        let text: String = (0..60_000_u32)
            .map(|i| format!("{} line\n", i % 250 * i % 977))
            .collect();
        let len = |level| pipeline(level).process(text.as_bytes()).unwrap()[0].len();
        assert!(
            len(0) > 3 * len(1) && len(1) > len(19),
            "{} {} {}",
            len(0),
            len(1),
            len(19)
        );
        for level in [-1, 23, i32::MIN, i32::MAX] {
            let failure = Pipeline::new(Key::from_bytes([7; 32]), level).unwrap_err();
            assert!(failure.to_string().contains("1 to 22"), "{failure}");
        }
    }

    /// Mistake 7: exactly 12 entries were required.
    #[test]
    fn any_eight_shards_in_any_order_and_number_are_enough() {
        let data = random(100_000);
        let shards = pipeline(3).process(&data).unwrap();
        let eight: Vec<Option<&[u8]>> = shards[4..].iter().rev().map(|s| Some(&**s)).collect();
        assert_eq!(*pipeline(1).reconstruct(&eight).unwrap(), data);
        let twice: Vec<Option<&[u8]>> = shards.iter().chain(&shards).map(|s| Some(&**s)).collect();
        assert_eq!(*pipeline(1).reconstruct(&twice).unwrap(), data);
        let seven = pipeline(1).reconstruct(&eight[..7]).unwrap_err();
        assert_eq!(seven.status, Status::Lost);
        assert!(seven.to_string().contains("shard 0 is missing"), "{seven}");
    }

    #[test]
    fn plaintext_takes_memory_as_it_comes_and_not_as_it_is_said_to_be() {
        let mut forged = Growing::new(usize::MAX, 100).unwrap();
        assert_eq!(forged.bytes.capacity(), 100);
        forged.write_all(&[1; 150]).unwrap();
        assert_eq!(forged.bytes.capacity(), 200);
        let mut plain = Growing::new(1_000, 300).unwrap();
        for byte in 0..100 {
            plain.write_all(&[byte; 10]).unwrap();
        }
        let expected: Vec<u8> = (0..100).flat_map(|byte| [byte; 10]).collect();
        assert_eq!(*plain.bytes, expected);
        assert_eq!(plain.bytes.capacity(), 1_000);
        assert_eq!(Growing::new(10, 300).unwrap().bytes.capacity(), 10);
    }

    #[test]
    fn no_memory_is_told_and_not_blamed_on_a_callback() {
        let mut plain = Growing::new(usize::MAX, 0).unwrap();
        let failure = plain.grow(usize::MAX).unwrap_err();
        assert_eq!(failure.status, Status::System);
        assert!(failure.to_string().contains("no memory"), "{failure}");
    }

    #[test]
    fn plaintext_that_compresses_is_longer_than_its_shards() {
        let data = vec![b'x'; 5_000_000];
        let shards = pipeline(3).process(&data).unwrap();
        assert!(shards.iter().map(Vec::len).sum::<usize>() < 100_000);
        let shards: Vec<Option<&[u8]>> = shards.iter().map(|shard| Some(&**shard)).collect();
        let plain = pipeline(3).reconstruct(&shards).unwrap();
        assert!(*plain == data && plain.capacity() == data.len());
    }
}
