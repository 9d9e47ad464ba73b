//! Opens what the older implementation sealed ("v0"); nothing writes its shards.
//!
//! `docs/formats/ces.md`, section "Shards of the older implementation". Its shards have no header
//! and no checksum: which is which, the geometry and the key have to be known, and a damaged shard
//! looks like a good one. So sets of `k` shards are tried until one opens. The AEAD decides, over
//! every byte that comes out.
//!
//! ```text
//! data shards in order:  u32le n │ nonce 24 │ ciphertext n − 40 │ tag 16 │ zeros
//! ```

mod error;
mod sets;

pub use error::ReconstructError;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::{Range, RangeInclusive};

use aws_lc_rs::aead::Aad;
use zeroize::Zeroizing;
use zstd::stream::read::Decoder;
use zstd::zstd_safe::find_frame_compressed_size;

use crate::audit::{Action, Audit};
use crate::cipher::TAG_LEN;
use crate::erasure::Code;
use crate::geometry::Geometry;
use crate::key::{Key, Label};
use crate::xchacha::{XNONCE_LEN, keyed};

/// The most plaintext a reader gives back unless it is told otherwise, in bytes: 1 GiB, what the
/// older implementation's wrapper for Go took.
pub const PLAIN_LEN_MAX: usize = 1024 * 1024 * 1024;

/// How many sets of shards are tried: all 495 of 8 + 4, and all 4,845 of 16 + 4. Each costs as much
/// as reading the whole object.
pub const TRIALS_MAX: usize = 5_000;

/// Length of the length field, in bytes.
const LENGTH_LEN: usize = 4;
/// Where the ciphertext begins.
const HEAD_LEN: usize = LENGTH_LEN + XNONCE_LEN;
/// What every zstd frame begins with (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Opens shards of one geometry.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// How the shards were made; 8 + 4 where nobody chose.
    pub geometry: Geometry,
    /// The most plaintext that is given back, in bytes; such as [`PLAIN_LEN_MAX`].
    pub plain_len_max: usize,
    /// Where the use of the key is told.
    pub audit: Audit<'a>,
}

/// A shard and its index.
type Shard<'a> = (usize, &'a [u8]);

/// What became of one set of shards.
enum Trial {
    /// Its length field does not fit the length of the shards.
    Length,
    /// It does not open.
    Refused,
    /// It opens, and this is where the plaintext of the AEAD stands.
    Opened(Range<usize>),
}

impl Reader<'_> {
    /// The plaintext of `shards`, which stand at their index; a missing one is `None`, and those
    /// behind the last one may be left out.
    ///
    /// Any `k` good shards are enough, whatever the others are, as long as the good ones are found
    /// within [`TRIALS_MAX`] sets; data shards are tried first. It takes as much memory as `k`
    /// shards and the plaintext. What is exactly one zstd frame is decompressed: the older
    /// implementation never says whether it compressed, and stored no frame as it was given unless
    /// its compression was switched off.
    ///
    /// # Errors
    /// See [`ReconstructError`]. Bytes that the key does not vouch for are never given back.
    pub fn reconstruct(
        &self,
        shards: &[Option<&[u8]>],
        key: &Key,
    ) -> Result<Zeroizing<Vec<u8>>, ReconstructError> {
        let candidates = self.candidates(shards)?;
        if !key.is_for(Label::NONE) {
            self.audit.key(Action::Refused, key);
            return Err(ReconstructError::Label { label: key.label() });
        }
        let opened = self.try_sets(&candidates, key);
        let action = match opened {
            Ok(_) => Action::Unwrapped,
            Err(_) => Action::Refused,
        };
        self.audit.key(action, key);
        let (buffer, body) = opened?;
        self.plain(buffer, body)
    }

    /// The shards of each length that enough have, those of the most frequent length first.
    fn candidates<'s>(
        &self,
        shards: &[Option<&'s [u8]>],
    ) -> Result<Vec<Vec<Shard<'s>>>, ReconstructError> {
        let pieces = self.geometry.pieces();
        if shards.len() > usize::from(pieces) {
            return Err(ReconstructError::TooMany {
                pieces,
                got: shards.len(),
            });
        }
        let mut by_length: BTreeMap<usize, Vec<Shard<'_>>> = BTreeMap::new();
        for (index, shard) in shards.iter().enumerate() {
            if let Some(shard) = shard {
                by_length
                    .entry(shard.len())
                    .or_default()
                    .push((index, shard));
            }
        }
        let needed = usize::from(self.geometry.data());
        let got = by_length.values().map(Vec::len).sum();
        let alike = by_length.values().map(Vec::len).max().unwrap_or(0);
        if got < needed {
            return Err(ReconstructError::NotEnough { needed, got });
        }
        if alike < needed {
            return Err(ReconstructError::Lengths { needed, got, alike });
        }
        let mut candidates: Vec<_> = by_length.into_values().collect();
        candidates.retain(|shards| shards.len() >= needed);
        candidates.sort_by_key(|shards| std::cmp::Reverse(shards.len()));
        Ok(candidates)
    }

    /// Tries sets until one opens; returns the buffer, and where in it the AEAD's plaintext stands.
    fn try_sets(
        &self,
        candidates: &[Vec<Shard<'_>>],
        key: &Key,
    ) -> Result<(Zeroizing<Vec<u8>>, Range<usize>), ReconstructError> {
        let code = Code::new(self.geometry);
        let data = usize::from(self.geometry.data());
        let plausible = candidates.iter().filter(|shards| {
            let sealed = data as u64 * shards[0].1.len() as u64;
            sealed_lens(data as u64).contains(&sealed)
        });
        let mut sets = plausible.flat_map(|shards| {
            sets::sets(shards.len(), data)
                .map(move |set| set.into_iter().map(|at| shards[at]).collect::<Vec<_>>())
        });
        let mut buffer = Zeroizing::new(Vec::new());
        let mut refused = 0;
        let mut trials = 0;
        for set in sets.by_ref().take(TRIALS_MAX) {
            trials += 1;
            match try_set(&code, &set, data, key, &mut buffer) {
                Trial::Opened(body) => return Ok((buffer, body)),
                Trial::Refused => refused += 1,
                Trial::Length => {}
            }
        }
        match (refused, sets.next()) {
            (_, Some(_)) => Err(ReconstructError::GaveUp { trials }),
            (0, None) => Err(ReconstructError::LengthField),
            (_, None) => Err(ReconstructError::NotOurs { trials }),
        }
    }

    /// What the body of the AEAD stands for: a zstd frame for its content, anything else for itself.
    fn plain(
        &self,
        mut buffer: Zeroizing<Vec<u8>>,
        body: Range<usize>,
    ) -> Result<Zeroizing<Vec<u8>>, ReconstructError> {
        let max = self.plain_len_max;
        let frame = &buffer[body.clone()];
        if is_one_frame(frame) {
            return content(frame, max);
        }
        if body.len() > max {
            return Err(ReconstructError::TooLong { max });
        }
        let len = body.len();
        buffer.copy_within(body, 0);
        buffer.truncate(len);
        Ok(buffer)
    }
}

/// How long `data` shards together can be: length field, nonce and tag at least, and at most what
/// the length field can say, with the padding.
fn sealed_lens(data: u64) -> RangeInclusive<u64> {
    (HEAD_LEN + TAG_LEN) as u64..=LENGTH_LEN as u64 + u64::from(u32::MAX) + data
}

/// Whether `body` is a zstd frame from its first byte to its last one, as far as its blocks say.
///
/// Formats that the older implementation took for compressed begin with other bytes.
fn is_one_frame(body: &[u8]) -> bool {
    body.starts_with(&ZSTD_MAGIC) && find_frame_compressed_size(body) == Ok(body.len())
}

/// Decompresses `frame`, which does not say how long its content is: once to know, and once into a
/// buffer that never grows and so leaves no copies behind.
fn content(frame: &[u8], max: usize) -> Result<Zeroizing<Vec<u8>>, ReconstructError> {
    let decoder = || Decoder::with_buffer(frame).map_err(ReconstructError::Frame);
    let limit = (max as u64).saturating_add(1);
    let len = io::copy(&mut decoder()?.take(limit), &mut io::sink());
    let len = len.map_err(ReconstructError::Frame)?;
    if len > max as u64 {
        return Err(ReconstructError::TooLong { max });
    }
    let len = usize::try_from(len).expect("the limit is a length");
    let mut plain = Zeroizing::new(vec![0; len]);
    let read = decoder()?.read_exact(&mut plain);
    read.map_err(ReconstructError::Frame)?;
    Ok(plain)
}

/// Puts the data shards of a set into `buffer`, and opens it where it stands.
fn try_set(code: &Code, set: &[Shard<'_>], data: usize, key: &Key, buffer: &mut Vec<u8>) -> Trial {
    let row_len = set[0].1.len();
    buffer.resize(data * row_len, 0);
    let mut missing = Vec::new();
    let mut rows = Vec::new();
    for (index, row) in buffer.chunks_exact_mut(row_len).enumerate() {
        match set.iter().find(|(at, _)| *at == index) {
            Some((_, shard)) => row.copy_from_slice(shard),
            None => {
                missing.push(index);
                rows.push(row);
            }
        }
    }
    code.rebuild(set, &missing, &mut rows)
        .expect("a set is as many shards of one length as it takes");
    let (length, rest) = buffer
        .split_first_chunk_mut::<LENGTH_LEN>()
        .expect("only sets with room for an empty plaintext are tried");
    let len = u32::from_le_bytes(*length) as usize;
    let fits = len >= XNONCE_LEN + TAG_LEN && (LENGTH_LEN + len).div_ceil(data) == row_len;
    let Some(sealed) = fits.then(|| &mut rest[..len]) else {
        return Trial::Length;
    };
    let (nonce, sealed) = sealed
        .split_first_chunk_mut::<XNONCE_LEN>()
        .expect("the length has been judged");
    let (key, nonce) = keyed(key.secret(), nonce);
    match key.open_in_place(nonce, Aad::empty(), sealed) {
        Ok(plain) => Trial::Opened(HEAD_LEN..HEAD_LEN + plain.len()),
        Err(_) => Trial::Refused,
    }
}

#[cfg(test)]
mod tests;
