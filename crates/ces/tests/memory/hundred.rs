//! A hundred gigabytes, all at once: written, read with shards missing, and compared, while nobody
//! keeps more of them than a few segments.

use std::fs::File;
use std::ops::Range;
use std::thread;
use std::time::Instant;

use propeller_ces::format::{
    BLOCK_SEGMENTS, Footer, HEADER_LEN, Header, TAG_LEN, Trailer, block_count, block_len,
    block_start, segments_in_block,
};
use propeller_ces::{
    Audit, Cipher, Digest, Geometry, Key, KeyRing, Object, Options, ReadAt, SegmentSize, Summary,
    Threads, Wanted, Watch, encode,
};

use crate::kept::{Kept, Sink};
use crate::made::Made;
use crate::peak::{MEMORY_MAX, MIB, forget_peak, peak, skipped};
use crate::pipes::{Front, PIPE_LEN, Pipe, Source};

/// Length of the plaintext, in bytes. The last segment is not a full one.
const LEN: u64 = 100_000_000_000;
/// How often the test says where it is, in bytes.
const TOLD_EVERY: u64 = 10_000_000_000;
/// Shards that are lost: of data, so that every segment is rebuilt.
const LOST: [usize; 2] = [1, 6];
/// All that is wrong.
const MISSED: &str = "shard 1 is missing; shard 6 is missing";

fn key() -> Key {
    Key::from_bytes([1; 32])
}

fn options() -> Options {
    Options {
        // The fast one: a third of the time.
        cipher: Cipher::Aes256Gcm,
        ..Options::new()
    }
}

fn segments() -> u64 {
    LEN.div_ceil(u64::from(SegmentSize::default().bytes()))
}

/// All shards of one object, on their way.
struct Shards {
    front: Front,
    pipes: Vec<Pipe>,
    /// What is kept of each.
    files: Vec<File>,
}

impl Shards {
    fn new() -> Self {
        let pieces = Geometry::default().pieces();
        Self {
            front: Front::default(),
            pipes: (0..pieces).map(|_| Pipe::new()).collect(),
            files: (0..pieces).map(|_| tempfile::tempfile().unwrap()).collect(),
        }
    }

    /// Writes an object, and says what is kept of it.
    fn write(&self, made: &Made) -> (Summary, Vec<Kept>) {
        let shape = (Geometry::default(), segments());
        let ends = self.pipes.iter().zip(&self.files);
        let mut sinks: Vec<Sink<'_>> = ends
            .map(|(pipe, file)| Sink::new(pipe, &self.front, file, shape))
            .collect();
        let watch = Watch {
            audit: Audit::none(),
            progress: &mut |_| (),
        };
        let sinks_there = sinks.iter_mut().collect();
        let summary = encode(made.reader(LEN), sinks_there, &key(), &options(), watch).unwrap();
        (summary, sinks[0].kept.clone())
    }

    /// Reads it meanwhile, compares every byte, and gives the digest of what was read.
    fn read(&self, made: &Made) -> Digest {
        let _reading = self.front.reading();
        let mut header = [0; HEADER_LEN];
        self.pipes[0].read(&mut header, 0, &self.front).unwrap();
        let (trailer, trailer_at) = trailer(&Header::parse(&header).unwrap());
        let source = |pipe| Source {
            pipe,
            front: &self.front,
            trailer: &trailer,
            trailer_at,
        };
        let sources = but_the_lost(&self.pipes).map(source).collect();
        let mut object = open(sources, Wanted::default());
        let mut out = made.expected(0);
        let (begun, mut told) = (Instant::now(), 0);
        let mut progress = |done: u64| {
            if done == LEN || done >= told + TOLD_EVERY {
                told = done;
                let seconds = begun.elapsed().as_secs_f64();
                #[allow(clippy::cast_precision_loss, reason = "it is shown in gigabytes")]
                let gigabytes = done as f64 / 1e9;
                let speed = gigabytes / seconds;
                println!("{gigabytes:.0} GB in {seconds:.0} s, {speed:.2} GB/s");
            }
        };
        let read = object.read_to(&mut out, Threads::ONE, &mut progress);
        read.unwrap();
        assert_eq!(out.at(), LEN);
        assert_eq!(object.damage().to_string(), MISSED);
        object.digest()
    }
}

fn but_the_lost<T>(shards: &[T]) -> impl Iterator<Item = &T> {
    let there = shards.iter().enumerate();
    let there = there.filter(|(index, _)| !LOST.contains(index));
    there.map(|(_, shard)| shard)
}

fn open<S: ReadAt>(shards: Vec<S>, wanted: Wanted) -> Object<S> {
    Object::open(shards, &KeyRing::new(key()), wanted, Audit::none()).unwrap()
}

/// A trailer for a reader that starts before the writer has come to its end, and where it stands.
///
/// It has the lengths that are known, and another root. Whoever has the key may write that, and then
/// the records count, of which the reader makes the true digest.
fn trailer(header: &Header) -> (Vec<u8>, u64) {
    let object = header.object();
    let data_key = header.unwrap_key(&key()).unwrap();
    let keys = data_key.keys(object);
    let footer = Footer::new(segments(), LEN, [0; 32], keys.mac());
    // As if nothing compressed: further away than anything can be.
    let sealed = object.segment_size.bytes() + u32::try_from(TAG_LEN).unwrap();
    let entry = object.geometry.entry_len(sealed);
    let mut offsets = Vec::new();
    for block in 0..u32::try_from(block_count(segments())).unwrap() {
        let entries = u64::from(segments_in_block(block, segments())) * entry;
        offsets.push(block_start(offsets.last().copied()) + entries);
    }
    let last = u32::try_from(segments() % u64::from(BLOCK_SEGMENTS)).unwrap();
    let trailer_at = offsets.last().unwrap() + block_len(last) as u64;
    let mut bytes = Vec::new();
    Trailer::new(offsets, footer.footer()).write(&object.id, &mut bytes);
    (bytes, trailer_at)
}

/// Plaintext that is kept without a gap.
fn runs(kept: &[Kept]) -> Vec<Range<u64>> {
    let size = u64::from(SegmentSize::default().bytes());
    let stretches = kept.chunk_by(|one, next| one.number + 1 == next.number);
    stretches
        .map(|run| run[0].number * size..((run[run.len() - 1].number + 1) * size).min(LEN))
        .collect()
}

#[test]
#[ignore = "takes minutes: run by `cargo xtask soak`"]
fn soak_a_hundred_gigabytes_come_back() {
    let made = Made::new();
    let Some(before) = forget_peak() else {
        return skipped("no /proc/self/clear_refs: the peak of memory cannot be measured");
    };
    let shards = Shards::new();
    let (summary, kept, digest) = thread::scope(|scope| {
        let written = scope.spawn(|| shards.write(&made));
        let digest = shards.read(&made);
        let (summary, kept) = written.join().unwrap();
        (summary, kept, digest)
    });
    assert_eq!((summary.plain_len, summary.segments), (LEN, segments()));
    assert_eq!(digest, summary.digest);

    // Parts of it, by the index of the true trailer, from what is kept at its place.
    let wanted = Wanted {
        digest: Some(summary.digest),
        ..Wanted::default()
    };
    let mut object = open(but_the_lost(&shards.files).collect(), wanted);
    for range in runs(&kept) {
        println!("bytes {range:?} again");
        let mut out = made.expected(range.start);
        let read = object.read_range(range.clone(), &mut out, Threads::ONE, &mut |_| ());
        read.unwrap();
        assert_eq!(out.at(), range.end);
    }
    assert_eq!(object.damage().to_string(), MISSED);
    for border in [1 << 32, 2 << 32] {
        let is_before = |segment: &Kept| segment.offset < border;
        let at = kept.partition_point(is_before);
        assert!(kept[at].number == kept[at - 1].number + 1, "{border}");
    }

    // One that writes and one that reads, and what is between them.
    let between = (shards.pipes.len() * PIPE_LEN) as u64;
    let grown = peak().unwrap() - before;
    println!(
        "{} KiB, of which {} KiB are pipes",
        grown / 1024,
        between / 1024
    );
    assert!(grown - between <= MEMORY_MAX, "{} MiB", grown / MIB);
}
