//! Whole objects in memory, read strictly: the first thing that is wrong with each shard, and what
//! all of them give.

use std::collections::BTreeMap;
use std::sync::Arc;

use propeller_ces::format::{
    BLOCK_SEGMENTS, BelievedFooter, BlockPlace, HEADER_LEN, Header, HeaderError, IndexBlock,
    IndexError, ObjectCoder, ObjectHeader, OpenError, PieceError, RECORD_LEN, Record, RecordError,
    RootBuilder, SegmentReader, Trailer, TrailerError, block_len, block_of,
};
use propeller_ces::{Key, Label};
use serde_json::{Value, json};

/// A shard, if there is one.
type Shard = Option<Vec<u8>>;

/// What the manifest calls verdicts, object, plain and digest.
pub(crate) fn read(shards: &[Shard], key: &Key, label: Option<Label>) -> Value {
    let headers: Vec<Result<Header, String>> = shards.iter().map(header).collect();
    let Some(object) = commonest(&headers) else {
        return json!({"verdicts": verdicts(&headers), "object": "no-shard"});
    };
    let headers: Vec<_> = headers
        .into_iter()
        .map(|header| match header {
            Ok(header) if *header.object() != object => Err("foreign".to_owned()),
            other => other,
        })
        .collect();
    if label.is_some_and(|label| label != object.label) {
        return json!({"verdicts": verdicts(&headers), "object": "label"});
    }
    let Some(data_key) = headers
        .iter()
        .flatten()
        .find_map(|header| header.unwrap_key(key).ok())
    else {
        return json!({"verdicts": verdicts(&headers), "object": "key"});
    };
    let coder = Arc::new(ObjectCoder::new(object, &data_key));
    let judged: Vec<_> = headers
        .iter()
        .zip(shards)
        .map(|(header, shard)| match (header, shard) {
            (Ok(header), Some(shard)) => judge(shard, header.index(), &coder),
            (Err(code), _) => Err(code.clone()),
            (Ok(_), None) => Err("missing".to_owned()),
        })
        .collect();
    let left: Vec<(u8, &[u8])> = headers
        .iter()
        .zip(shards)
        .filter_map(|(header, shard)| Some((header.as_ref().ok()?.index(), shard.as_deref()?)))
        .collect();
    answer(&judged, recover(&left, &coder), &object)
}

fn answer(
    judged: &[Result<BelievedFooter, String>],
    plain: Result<Vec<u8>, String>,
    object: &ObjectHeader,
) -> Value {
    let mut answer = json!({"verdicts": verdicts(judged)});
    match plain {
        Ok(plain) => {
            let hash = blake3::hash(&plain).to_hex();
            answer["object"] = json!("ok");
            answer["plain"] = json!({"len": plain.len(), "blake3": hash.as_str()});
        }
        Err(code) => answer["object"] = json!(code),
    }
    if let Some(footer) = judged.iter().flatten().next() {
        answer["digest"] = json!(footer.digest(object).to_string());
    }
    answer
}

fn verdicts<T>(found: &[Result<T, String>]) -> Vec<&str> {
    let codes = found.iter().map(|found| found.as_ref().err());
    codes.map(|code| code.map_or("ok", |code| code)).collect()
}

fn header(shard: &Shard) -> Result<Header, String> {
    let shard = shard.as_ref().ok_or("missing")?;
    Header::parse(shard).map_err(|error| header_code(error).to_owned())
}

/// The object that most shards are of; the first of several.
fn commonest(headers: &[Result<Header, String>]) -> Option<ObjectHeader> {
    let objects: Vec<_> = headers
        .iter()
        .flatten()
        .map(|header| *header.object())
        .collect();
    let count = |object: &ObjectHeader| objects.iter().filter(|other| *other == object).count();
    let most = objects.iter().map(count).max()?;
    objects.iter().find(|object| count(object) == most).copied()
}

/// The footer of a shard that nothing is wrong with.
fn judge(shard: &[u8], index: u8, coder: &ObjectCoder) -> Result<BelievedFooter, String> {
    let (object, mac) = (coder.object(), coder.keys().mac());
    let (mut at, mut start) = (HEADER_LEN, HEADER_LEN);
    let (mut root, mut offsets, mut lengths) = (RootBuilder::new(), Vec::new(), Vec::new());
    let mut plain_len = 0;
    for number in 0.. {
        let record = record(shard, at, number, coder)?;
        piece(shard, at, index, &record, object)?;
        root.push(record.bytes()).unwrap();
        lengths.push(record.sealed_len());
        plain_len += u64::from(record.plain_len());
        at += entry_len(&record, object);
        let is_last = record.position().is_last;
        if (number + 1) % BLOCK_SEGMENTS == 0 || is_last {
            let place = BlockPlace {
                number: block_of(number),
                start: start as u64,
                offset: at as u64,
                segments: u32::try_from(lengths.len()).unwrap(),
            };
            let end = at + block_len(place.segments);
            let bytes = shard.get(at..end).ok_or("cut")?;
            let block = IndexBlock::parse(bytes, place, object).map_err(index_code)?;
            (block.sealed_lengths() == lengths)
                .then_some(())
                .ok_or("index-place")?;
            offsets.push(at as u64);
            lengths.clear();
            (at, start) = (end, end);
        }
        if is_last {
            break;
        }
    }
    let trailer = Trailer::parse(&shard[at..], at as u64, object).map_err(trailer_code)?;
    (trailer.offsets() == offsets)
        .then_some(())
        .ok_or("trailer-offset")?;
    let footer = trailer.footer().authenticate(mac).map_err(trailer_code)?;
    footer.vouch_for(&root.root()).map_err(trailer_code)?;
    let is_whole = footer.segments() == root.segments() && footer.plain_len() == plain_len;
    is_whole.then_some(footer).ok_or_else(|| "root".to_owned())
}

fn entry_len(record: &Record, object: &ObjectHeader) -> usize {
    object
        .geometry
        .entry_len(record.sealed_len())
        .try_into()
        .unwrap()
}

fn record(shard: &[u8], at: usize, number: u32, coder: &ObjectCoder) -> Result<Record, String> {
    let bytes = shard
        .get(at..)
        .and_then(|rest| rest.first_chunk::<RECORD_LEN>());
    let (object, mac) = (coder.object(), coder.keys().mac());
    let record = Record::authenticate(bytes.ok_or("cut")?, number, object, mac);
    record.map_err(|error| record_code(error).to_owned())
}

fn piece<'a>(
    shard: &'a [u8],
    at: usize,
    index: u8,
    record: &Record,
    object: &ObjectHeader,
) -> Result<&'a [u8], String> {
    let entry = shard.get(at..at + entry_len(record, object)).ok_or("cut")?;
    let (head, piece) = entry.split_at(object.geometry.head_len());
    match record.verify_piece(object, index, &head[RECORD_LEN..], piece) {
        Ok(()) => Ok(piece),
        Err(PieceError::Root { .. }) => Err("piece".to_owned()),
        Err(other) => panic!("{other}"),
    }
}

/// The plaintext, from whatever is good in each shard.
fn recover(shards: &[(u8, &[u8])], coder: &Arc<ObjectCoder>) -> Result<Vec<u8>, String> {
    let object = coder.object();
    let mut reader = SegmentReader::new(Arc::clone(coder));
    let (mut plain, mut segment, mut at) = (Vec::new(), Vec::new(), HEADER_LEN);
    for number in 0.. {
        let lost = || format!("lost {number}");
        let mut records = shards
            .iter()
            .map(|(_, shard)| record(shard, at, number, coder));
        let record = records.find_map(Result::ok).ok_or_else(lost)?;
        let pieces: BTreeMap<u8, &[u8]> = shards
            .iter()
            .filter_map(|(index, shard)| {
                Some((*index, piece(shard, at, *index, &record, object).ok()?))
            })
            .collect();
        if pieces.len() < usize::from(object.geometry.data()) {
            return Err(lost());
        }
        let mut data = data_pieces(&pieces, object.geometry.data());
        reader
            .open(&record, &mut data, &mut segment)
            .map_err(open_code)?;
        plain.extend_from_slice(&segment);
        at += entry_len(&record, object);
        let is_last = record.position().is_last;
        if is_last {
            break;
        }
        if (number + 1) % BLOCK_SEGMENTS == 0 {
            at += block_len(BLOCK_SEGMENTS);
        }
    }
    Ok(plain)
}

/// All data pieces from any `k`: Lagrange's interpolation over GF(2⁸), byte by byte, because row
/// `r` of the coding matrix evaluates the polynomial through the data at `r`.
fn data_pieces(pieces: &BTreeMap<u8, &[u8]>, k: u8) -> Vec<u8> {
    let chosen: Vec<(u8, &[u8])> = pieces
        .iter()
        .map(|(i, p)| (*i, *p))
        .take(k.into())
        .collect();
    let mut data = Vec::new();
    for wanted in 0..k {
        if let Some(piece) = pieces.get(&wanted) {
            data.extend_from_slice(piece);
            continue;
        }
        let mut piece = vec![0; chosen[0].1.len()];
        for (x, known) in &chosen {
            let others = chosen
                .iter()
                .map(|(other, _)| *other)
                .filter(|other| other != x);
            let factor = others.fold(1, |factor, other| {
                times(factor, times(wanted ^ other, inverse(x ^ other)))
            });
            let products: Vec<u8> = (0..=u8::MAX).map(|byte| times(factor, byte)).collect();
            for (sum, byte) in piece.iter_mut().zip(*known) {
                *sum ^= products[usize::from(*byte)];
            }
        }
        data.extend(piece);
    }
    data
}

fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        product ^= if b & 1 == 1 { a } else { 0 };
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1d };
        b >>= 1;
    }
    product
}

/// a²⁵⁴.
fn inverse(a: u8) -> u8 {
    (0..253).fold(a, |power, _| times(power, a))
}

fn header_code(error: HeaderError) -> &'static str {
    match error {
        HeaderError::Magic => "magic",
        HeaderError::Cut { .. } => "cut-header",
        HeaderError::Version(_) => "version",
        HeaderError::Cipher(_) => "cipher",
        HeaderError::Check => "check",
        HeaderError::Geometry(_) => "geometry",
        HeaderError::Index { .. } => "index",
        HeaderError::SegmentSize(_) => "segment-size",
        HeaderError::Label => "label-field",
        other => panic!("{other}"),
    }
}

fn record_code(error: RecordError) -> &'static str {
    match error {
        RecordError::Mac { .. } => "record-mac",
        RecordError::Flags { .. } => "record-flags",
        RecordError::SealedLength { .. } => "record-sealed-length",
        RecordError::PlainLength { .. } => "record-plain-length",
        RecordError::Nonce { .. } => "record-nonce",
        other => panic!("{other}"),
    }
}

fn open_code(error: OpenError) -> &'static str {
    match error {
        OpenError::Padding { .. } => "padding",
        OpenError::Sealed { .. } => "sealed",
        OpenError::Compressed { .. } => "compressed",
        other => panic!("{other}"),
    }
}

fn index_code(error: IndexError) -> &'static str {
    match error {
        IndexError::Check { .. } => "index-check",
        IndexError::SealedLength { .. } => "index-sealed-length",
        IndexError::Place { .. } => "index-place",
        other => panic!("{other}"),
    }
}

fn trailer_code(error: TrailerError) -> &'static str {
    match error {
        TrailerError::End => "end",
        TrailerError::Length => "trailer-length",
        TrailerError::Check => "trailer-check",
        TrailerError::Offset { .. } => "trailer-offset",
        TrailerError::PlainLength { .. } => "trailer-plain-length",
        TrailerError::Mac => "footer-mac",
        TrailerError::Root => "root",
        other => panic!("{other}"),
    }
}
