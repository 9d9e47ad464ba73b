//! Rebuilds shards of an object without its key, bit for bit.

use std::io::{self, Write};

use crate::damage::{Damage, Why};
use crate::erasure::Code;
use crate::error::NoSuchShard;
use crate::header::{HEADER_LEN, Header};
use crate::key::KeyId;
use crate::merkle::{Hash, PieceTree, leaf};
use crate::object::{Digest, ObjectHeader};
use crate::record::{RECORD_LEN, Record};
use crate::shards::{Shard, Shards, Wanted};
use crate::source::ReadAt;
use crate::verify::keys;
use crate::witness::{Step, Trust, Witness, WitnessError};

/// What was rebuilt, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// What all shards of the object have in common.
    pub object: ObjectHeader,
    /// The object's digest.
    pub digest: Digest,
    /// What it rests on that the rebuilt shards are the object's.
    pub trust: Trust,
    /// The key under which the data key is wrapped in the rebuilt shards: that of most shards.
    pub key: KeyId,
    /// The key of each distinct wrapped key in the shards that were handed over. Where there are
    /// several, a rotation was interrupted or a header forged, and only whoever has the keys can
    /// tell: [`rotate`](crate::rotate()) all shards then.
    pub keys: Vec<KeyId>,
    /// Length of a shard, in bytes.
    pub shard_len: u64,
    /// What is wrong with the shards that were handed over, as far as they had to be read.
    pub damage: Damage,
}

/// Why nothing was rebuilt. What was written is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// See [`WitnessError`].
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// A shard that the object does not have.
    #[error(transparent)]
    NoSuchShard(#[from] NoSuchShard),
    /// The same shard into two sinks.
    #[error("shard {index} is to be rebuilt twice: name it once")]
    Twice {
        /// The shard's index.
        index: u8,
    },
    /// Too many shards are bad or missing.
    #[error(
        "segment {segment} is lost: it takes {needed} good pieces, and {good} are there: {damage}"
    )]
    Lost {
        /// The segment's number.
        segment: u32,
        /// How many pieces it takes.
        needed: u8,
        /// How many good ones there are.
        good: usize,
        /// What is wrong with the shards.
        damage: Damage,
    },
    /// Its pieces do not belong together: whoever wrote it did not code it.
    #[error("segment {segment} was written wrong: its pieces do not give its other pieces")]
    Uncoded {
        /// The segment's number.
        segment: u32,
    },
    /// A rebuilt shard cannot be written.
    #[error("cannot write shard {index}")]
    Sink {
        /// The shard's index.
        index: u8,
        /// What the sink says.
        #[source]
        source: io::Error,
    },
}

/// Rebuilds the shards that `rebuilt` names, each into its sink.
///
/// No key is needed. Damaged shards help as far as they are good. Whoever gives the object's digest
/// gets shards of that object or an error; without it, shards of what `shards` agree on, or an error
/// where some that are whole by themselves contradict others: see [`Repaired::trust`]. It holds two to three segments in memory, and a piece for each sink.
///
/// # Errors
/// See [`RepairError`]. Whatever was written then has to be thrown away.
pub fn repair<S: ReadAt, W: Write>(
    shards: Vec<S>,
    rebuilt: Vec<(u8, W)>,
    wanted: Wanted,
    progress: &mut dyn FnMut(u64),
) -> Result<Repaired, RepairError> {
    let mut shards = Shards::gather(shards, wanted, None).map_err(WitnessError::from)?;
    let gathered = shards.damage.clone();
    let witness = Witness::find(&mut shards, wanted.digest)?;
    shards.damage = gathered;
    let digest = witness.footer.digest(&shards.object);
    let header = most_common(&shards, digest);
    let sinks = sinks(rebuilt, header)?;
    let mut repair = Repair {
        code: Code::new(shards.object.geometry),
        damage: shards.damage.clone(),
        sinks,
        shards: &shards,
        shard_len: HEADER_LEN as u64,
        plain_len: 0,
        segment: Segment::default(),
    };
    repair.each_sink(|sink| sink.out.write_all(&sink.header.to_bytes()))?;
    witness.walk(&shards.list[witness.place], |step| {
        repair.step(&step)?;
        progress(repair.plain_len);
        Ok::<_, RepairError>(())
    })?;
    repair.each_sink(|sink| sink.out.flush())?;
    Ok(Repaired {
        object: shards.object,
        digest,
        trust: witness.trust,
        key: header.key_id(),
        shard_len: repair.shard_len,
        damage: repair.damage,
        keys: keys(&shards),
    })
}

/// The header whose wrapped key most shards have of those that end like the object's.
///
/// Nobody vouches for wrapped keys without the key. But whoever forges whole shards, without those of
/// the others to copy from, is not counted.
fn most_common<S: ReadAt>(shards: &Shards<S>, digest: Digest) -> Header {
    let wrapped = |header: &Header| (header.key_id(), *header.wrapped());
    let is_ours = |shard: &&Shard<S>| {
        let trailer = shard.trailer();
        trailer.is_ok_and(|trailer| trailer.footer().digest(&shards.object) == digest)
    };
    let ours = shards.list.iter().filter(is_ours);
    let headers: Vec<Header> = ours.map(|shard| shard.header).collect();
    // One shard that was handed over many times is one.
    let count = |header: &&Header| {
        let mut seen = [false; 256];
        let same = |other: &&Header| wrapped(other) == wrapped(header);
        for same in headers.iter().filter(same) {
            seen[usize::from(same.index())] = true;
        }
        seen.into_iter().filter(|seen| *seen).count()
    };
    // The first of those that are equally common. There is the witness, unless it has changed
    // meanwhile, and then nothing comes of it.
    let most = headers.iter().rev().max_by_key(count).copied();
    most.unwrap_or(shards.list[0].header)
}

/// A shard that is rebuilt.
struct Sink<W> {
    header: Header,
    out: W,
    /// Its piece of the segment at hand.
    piece: Vec<u8>,
}

fn sinks<W>(rebuilt: Vec<(u8, W)>, header: Header) -> Result<Vec<Sink<W>>, RepairError> {
    let mut sinks: Vec<Sink<W>> = Vec::new();
    for (index, out) in rebuilt {
        if sinks.iter().any(|sink| sink.header.index() == index) {
            return Err(RepairError::Twice { index });
        }
        sinks.push(Sink {
            header: header.of_shard(index)?,
            out,
            piece: Vec::new(),
        });
    }
    Ok(sinks)
}

/// The second pass over the shards.
struct Repair<'a, S, W> {
    code: Code,
    shards: &'a Shards<S>,
    damage: Damage,
    sinks: Vec<Sink<W>>,
    shard_len: u64,
    plain_len: u64,
    segment: Segment,
}

/// Buffers for one segment, which are used again for the next.
#[derive(Default)]
struct Segment {
    head: Vec<u8>,
    /// `k` good pieces.
    good: Vec<u8>,
    /// Their indices, in order.
    indices: Vec<u8>,
    /// As many of the others at once.
    others: Vec<u8>,
    leaves: Vec<Hash>,
    tree: PieceTree,
}

impl<S: ReadAt, W: Write> Repair<'_, S, W> {
    fn step(&mut self, step: &Step<'_>) -> Result<(), RepairError> {
        match step {
            Step::Segment(record, offset) => {
                self.read_good(record, *offset)?;
                self.rebuild(record)?;
                self.write(record)
            }
            Step::Block(placed) | Step::Trailer(placed) => {
                self.shard_len += placed.bytes.len() as u64;
                self.each_sink(|sink| sink.out.write_all(placed.bytes))
            }
        }
    }

    /// Reads as many good pieces as the segment takes.
    fn read_good(&mut self, record: &Record, offset: u64) -> Result<(), RepairError> {
        let object = &self.shards.object;
        let geometry = object.geometry;
        let len = geometry.piece_len(record.sealed_len()) as usize;
        let number = record.position().number;
        let Segment {
            head,
            good,
            indices,
            ..
        } = &mut self.segment;
        head.resize(geometry.path_len(), 0);
        good.resize(len * usize::from(geometry.data()), 0);
        indices.clear();
        let mut rooms = good.chunks_exact_mut(len);
        let mut room = rooms.next();
        for shard in &self.shards.list {
            let index = shard.header.index();
            let Some(piece) = room.as_deref_mut() else {
                return Ok(());
            };
            if indices.contains(&index) {
                continue;
            }
            let at = offset + RECORD_LEN as u64;
            let read = shard
                .source
                .read_at(head, at)
                .and_then(|()| shard.source.read_at(piece, at + head.len() as u64));
            let judged = match read {
                Ok(()) => record
                    .verify_piece(object, index, head, piece)
                    .map_err(Why::Piece),
                Err(error) => Err(Why::read(&error)),
            };
            match judged {
                Ok(()) => {
                    indices.push(index);
                    room = rooms.next();
                }
                Err(why) => self.damage.add(shard.input, Some(index), Some(number), why),
            }
        }
        match room {
            None => Ok(()),
            Some(_) => Err(RepairError::Lost {
                segment: number,
                needed: geometry.data(),
                good: indices.len(),
                damage: self.damage.clone(),
            }),
        }
    }

    /// Computes all other pieces, and the tree over all of them, and keeps those for the sinks.
    fn rebuild(&mut self, record: &Record) -> Result<(), RepairError> {
        let object = &self.shards.object;
        let geometry = object.geometry;
        let len = geometry.piece_len(record.sealed_len()) as usize;
        let number = record.position().number;
        let Segment {
            good,
            indices,
            others,
            leaves,
            tree,
            ..
        } = &mut self.segment;
        leaves.clear();
        leaves.resize(usize::from(geometry.pieces()), Hash::default());
        let mut keep = |index: u8, piece: &[u8]| {
            leaves[usize::from(index)] = leaf(&object.id, number, index, piece);
            let sink = self
                .sinks
                .iter_mut()
                .find(|sink| sink.header.index() == index);
            if let Some(sink) = sink {
                sink.piece.clear();
                sink.piece.extend_from_slice(piece);
            }
        };
        for (&index, piece) in indices.iter().zip(good.chunks_exact(len)) {
            keep(index, piece);
        }
        let present: Vec<(usize, &[u8])> = indices
            .iter()
            .map(|index| usize::from(*index))
            .zip(good.chunks_exact(len))
            .collect();
        let absent: Vec<u8> = (0..=u8::MAX)
            .take(usize::from(geometry.pieces()))
            .filter(|index| !indices.contains(index))
            .collect();
        // As many at once as there are good ones, so that no geometry takes more than two segments.
        for batch in absent.chunks(usize::from(geometry.data())) {
            others.resize(batch.len() * len, 0);
            let wanted: Vec<usize> = batch.iter().map(|index| usize::from(*index)).collect();
            let mut out: Vec<&mut [u8]> = others.chunks_exact_mut(len).collect();
            self.code
                .rebuild(&present, &wanted, &mut out)
                .expect("there are as many pieces as it takes, all of one length");
            for (&index, piece) in batch.iter().zip(others.chunks_exact(len)) {
                keep(index, piece);
            }
        }
        tree.build(geometry, leaves.iter().copied());
        match tree.root() == record.root() {
            true => Ok(()),
            false => Err(RepairError::Uncoded { segment: number }),
        }
    }

    fn write(&mut self, record: &Record) -> Result<(), RepairError> {
        let entry_len = self.shards.object.geometry.entry_len(record.sealed_len());
        self.shard_len += entry_len;
        self.plain_len += u64::from(record.plain_len());
        let Segment { head, tree, .. } = &mut self.segment;
        for sink in &mut self.sinks {
            let index = sink.header.index();
            head.clear();
            head.extend_from_slice(record.bytes());
            for sibling in tree.path(index) {
                head.extend_from_slice(sibling);
            }
            let written = sink
                .out
                .write_all(head)
                .and_then(|()| sink.out.write_all(&sink.piece));
            written.map_err(|source| RepairError::Sink { index, source })?;
        }
        Ok(())
    }

    fn each_sink(
        &mut self,
        mut write: impl FnMut(&mut Sink<W>) -> io::Result<()>,
    ) -> Result<(), RepairError> {
        for sink in &mut self.sinks {
            let index = sink.header.index();
            write(sink).map_err(|source| RepairError::Sink { index, source })?;
        }
        Ok(())
    }
}
