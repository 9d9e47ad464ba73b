//! Whole objects in memory, made of what the manifest says about them.

use std::sync::Arc;

use propeller_ces::format::{
    DataKey, Footer, Header, IndexWriter, NONCE_LEN, ObjectCoder, ObjectHeader, Position,
    RootBuilder, SealedSegment, SegmentWriter, Trailer,
};
use propeller_ces::{Cipher, Compression, Geometry, Key, Label, Level, ObjectId, SegmentSize};
use serde_json::Value;

pub(crate) fn hex<const N: usize>(value: &Value) -> [u8; N] {
    let bytes = data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes());
    bytes.unwrap().try_into().unwrap()
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> T {
    value.as_u64().unwrap().try_into().unwrap()
}

/// From its name by BLAKE3, or by repeating a sentence.
pub(crate) fn plain(spec: &Value) -> Vec<u8> {
    let len: usize = number(&spec["len"]);
    let prefix = spec["prefix"].as_str().unwrap().as_bytes();
    let mut plain = data_encoding::HEXLOWER.decode(prefix).unwrap();
    let from = plain.len();
    plain.resize(from + len, 0);
    if spec["kind"] == "noise" {
        let name = spec["name"].as_str().unwrap();
        let mut hasher = blake3::Hasher::new();
        hasher.update(name.as_bytes());
        hasher.finalize_xof().fill(&mut plain[from..]);
    } else {
        let text = spec["text"].as_str().unwrap().as_bytes();
        let whole = text.repeat(len / text.len() + 1);
        plain[from..].copy_from_slice(&whole[..len]);
    }
    plain
}

pub(crate) fn object(made: &Value) -> ObjectHeader {
    ObjectHeader {
        cipher: Cipher::from_code(number(&made["cipher"])).unwrap(),
        geometry: Geometry::new(number(&made["k"]), number(&made["m"])).unwrap(),
        segment_size: SegmentSize::new(number(&made["segment_size"])).unwrap(),
        id: ObjectId(hex(&made["id"])),
        label: Label::new(made["label"].as_str().unwrap()).unwrap(),
    }
}

fn nonce(made: &Value, segment: u32) -> [u8; NONCE_LEN] {
    let name = made["nonces"].as_str().unwrap().as_bytes();
    let hash = blake3::hash(&[name, &segment.to_be_bytes()].concat());
    *hash.as_bytes().first_chunk().unwrap()
}

/// The shards under construction, and what their ends need.
struct Shards {
    shards: Vec<Vec<u8>>,
    index: IndexWriter,
    offsets: Vec<u64>,
    root: RootBuilder,
}

impl Shards {
    fn push(&mut self, segment: &SealedSegment, is_last: bool, id: &ObjectId) {
        for (index, shard) in (0..=u8::MAX).zip(&mut self.shards) {
            shard.extend_from_slice(segment.head_of(index));
            shard.extend_from_slice(segment.piece_of(index));
        }
        self.root.push(segment.record()).unwrap();
        self.index.push(segment.sealed_len());
        if self.index.is_full() || is_last {
            self.offsets.push(self.shards[0].len() as u64);
            let mut block = Vec::new();
            self.index.write(id, &mut block);
            self.append(&block);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        for shard in &mut self.shards {
            shard.extend_from_slice(bytes);
        }
    }
}

/// All shards of an object.
pub(crate) fn write(made: &Value) -> Vec<Vec<u8>> {
    let object = object(made);
    let data_key = DataKey::from_random(hex(&made["data_key"]));
    let header = Header::new(object, &data_key, &Key::from_bytes(hex(&made["key"])));
    let coder = Arc::new(ObjectCoder::new(object, &data_key));
    let compression = match made["level"].as_i64() {
        Some(level) => Compression::Zstd(Level::new(level.try_into().unwrap()).unwrap()),
        None => Compression::Off,
    };
    let mut writer = SegmentWriter::new(Arc::clone(&coder), compression);
    let indices = (0..=u8::MAX).take(usize::from(object.geometry.pieces()));
    let mut shards = Shards {
        shards: indices
            .map(|index| header.of_shard(index).unwrap().to_bytes().to_vec())
            .collect(),
        index: IndexWriter::new(),
        offsets: Vec::new(),
        root: RootBuilder::new(),
    };
    let plain = plain(&made["plain"]);
    let size = object.segment_size.bytes() as usize;
    let count = plain.len().div_ceil(size).max(1);
    let mut segment = SealedSegment::new();
    for number in 0..u32::try_from(count).unwrap() {
        let from = number as usize * size;
        let position = Position {
            number,
            is_last: number as usize == count - 1,
        };
        let cut = &plain[from..plain.len().min(from + size)];
        let nonce = nonce(made, number);
        writer.seal(cut, position, nonce, &mut segment).unwrap();
        shards.push(&segment, position.is_last, &object.id);
    }
    let (root, mac) = (shards.root.root(), coder.keys().mac());
    let footer = Footer::new(count as u64, plain.len() as u64, root, mac);
    let mut trailer = Vec::new();
    Trailer::new(shards.offsets.clone(), footer.footer()).write(&object.id, &mut trailer);
    shards.append(&trailer);
    shards.shards
}
