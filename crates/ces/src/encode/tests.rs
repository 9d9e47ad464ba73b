//! The same bytes from any number of threads, given the same randomness.

use super::*;
use crate::geometry::{Geometry, SegmentSize};
use crate::options::Threads;
use crate::segment::Compression;

const SEGMENT: usize = SegmentSize::MIN.bytes() as usize;

/// A line whose nonces are the numbers of its segments.
struct Numbered<'a, R, W>(Encoding<'a, R, W>);

impl<R: Read, W: Write> Line for Numbered<'_, R, W> {
    type Slot = Slot;
    type Error = EncodeError;

    fn slot(&self) -> Slot {
        self.0.slot()
    }

    fn fill(&mut self, slot: &mut Slot) -> Result<bool, EncodeError> {
        let filled = self.0.fill(slot)?;
        slot.nonce = [0; NONCE_LEN];
        slot.nonce[..4].copy_from_slice(&slot.position.number.to_le_bytes());
        Ok(filled)
    }

    fn is_over(&self) -> bool {
        self.0.is_over()
    }

    fn drain(&mut self, slot: &mut Slot) -> Result<(), EncodeError> {
        self.0.drain(slot)
    }
}

fn shards(plain: &[u8], header: Header, coder: &Arc<ObjectCoder>, threads: usize) -> Vec<Vec<u8>> {
    let mut shards = vec![Vec::new(); usize::from(coder.object().geometry.pieces())];
    let mut line = Numbered(Encoding {
        input: Lookahead::new(plain),
        out: ShardWriter::new(shards.iter_mut().collect(), header).unwrap(),
        next: Some(0),
        progress: &mut |_| (),
    });
    flow::run(&mut line, Threads::new(threads).count(), || {
        let mut writer = SegmentWriter::new(Arc::clone(coder), Compression::default());
        move |slot: &mut Slot| slot.sealed = slot.seal(&mut writer)
    })
    .unwrap();
    line.0.out.finish(coder, KeyId([0; 8])).unwrap();
    shards
}

#[test]
fn shards_are_the_same_whatever_the_number_of_threads() {
    let mut noise = vec![0; 20 * SEGMENT];
    fastrand::Rng::with_seed(3).fill(&mut noise);
    // Every other segment becomes shorter, and takes another time than the one before it.
    for segment in noise.chunks_exact_mut(2 * SEGMENT) {
        segment[SEGMENT..].fill(7);
    }
    let key = Key::from_bytes([5; 32]);
    let options = Options {
        geometry: Geometry::new(3, 2).unwrap(),
        segment_size: SegmentSize::MIN,
        ..Options::new()
    };
    let (header, coder) = new_object(&key, &options, Audit::none()).unwrap();
    let coder = Arc::new(coder);
    for len in [0, 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, noise.len() - 5] {
        let alone = shards(&noise[..len], header, &coder, 1);
        for threads in [2, 3, 8] {
            let together = shards(&noise[..len], header, &coder, threads);
            assert!(together == alone, "{len} bytes, {threads} threads");
        }
    }
}
