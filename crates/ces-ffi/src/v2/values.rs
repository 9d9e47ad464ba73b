//! What callers hand over and get back by value.
#![allow(unsafe_code, reason = "texts and digests are handed over as pointers")]

use std::ffi::c_char;

use propeller_ces::format::ObjectHeader;
use propeller_ces::{Digest, KeyId, LABEL_LEN, Label, ObjectId, Report, Trust, Wanted};

use crate::border::{self, Plain};
use crate::failure::Failure;

/// XChaCha20-Poly1305: the default, the same on every machine.
pub const CES2_XCHACHA20_POLY1305: u32 = 1;
/// AES-256-GCM: faster where the processor has instructions for it.
pub const CES2_AES_256_GCM: u32 = 2;
/// How much room a label takes with the NUL at its end.
pub const CES2_LABEL_ROOM: usize = 25;
const _: () = assert!(CES2_LABEL_ROOM == LABEL_LEN + 1);

/// Which object is wanted. What is NULL may be any.
#[derive(Debug)]
#[repr(C)]
pub struct Ces2Wanted {
    /// The object's id, 16 bytes.
    pub object: *const u8,
    /// The object's digest, 32 bytes: it names one object and all that is in it.
    pub digest: *const u8,
    /// The object's label: another environment's object is refused before a key is tried.
    pub label: *const c_char,
}

/// An object.
#[derive(Debug)]
#[repr(C)]
pub struct Ces2Info {
    /// Its id.
    pub object: [u8; 16],
    /// Its digest: whoever knows it can verify and repair the object without a key.
    pub digest: [u8; 32],
    /// The id of the key that it is under.
    pub key_id: [u8; 8],
    /// The environment that it belongs to, or an empty text.
    pub label: [c_char; CES2_LABEL_ROOM],
    /// What it is sealed with: `CES2_XCHACHA20_POLY1305` or `CES2_AES_256_GCM`.
    pub cipher: u8,
    /// How many shards give it back.
    pub data: u8,
    /// How many shards may be lost.
    pub parity: u8,
    /// How much plaintext a segment carries, in bytes.
    pub segment_size: u32,
    /// Length of the plaintext, in bytes.
    pub plain_len: u64,
    /// How many segments there are.
    pub segments: u64,
}

/// What the shards of an object are like.
#[derive(Debug)]
#[repr(C)]
pub struct Ces2Report {
    /// The object's id.
    pub object: [u8; 16],
    /// Its digest.
    pub digest: [u8; 32],
    /// Length of the plaintext, in bytes.
    pub plain_len: u64,
    /// How many segments there are.
    pub segments: u64,
    /// How many of them have too few good pieces.
    pub lost: u64,
    /// 0 if the digest was given, which proves what is said here; else how many shards agree, which
    /// proves nothing to whom an attacker may have given all of them.
    pub agreeing: u32,
    /// With how many of the shards that were handed over something is wrong.
    pub damaged: u32,
    /// For how many of the object's shards none was handed over.
    pub missing: u32,
    /// 1 if nothing is wrong and nothing missing, else 0.
    pub whole: u8,
    /// 1 if all segments have enough good pieces, else 0.
    pub readable: u8,
}

// SAFETY: it is numbers, and zeros are 0.
unsafe impl Plain for Ces2Info {}
// SAFETY: as above.
unsafe impl Plain for Ces2Report {}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Ces2Wanted>() == 24);
    assert!(size_of::<Ces2Info>() == 104 && align_of::<Ces2Info>() == 8);
    assert!(size_of::<Ces2Report>() == 88 && align_of::<Ces2Report>() == 8);
};

impl Ces2Wanted {
    /// # Safety
    /// Where `wanted` is not NULL, one is there, and what it points to is as its fields say.
    pub(crate) unsafe fn read(wanted: *const Self) -> Result<Wanted, Failure> {
        if wanted.is_null() {
            return Ok(Wanted::default());
        }
        // SAFETY: the caller vouches for it.
        let wanted = unsafe { border::one("wanted", wanted) }?;
        let id = match wanted.object.is_null() {
            true => None,
            // SAFETY: as above.
            false => Some(unsafe { border::array("wanted.object", wanted.object, 16) }?),
        };
        let digest = match wanted.digest.is_null() {
            true => None,
            // SAFETY: as above.
            false => Some(unsafe { border::array("wanted.digest", wanted.digest, 32) }?),
        };
        Ok(Wanted {
            object: id.map(|id| ObjectId(id.try_into().expect("an id has 16 bytes"))),
            digest: digest.map(|digest| Digest(digest.try_into().expect("a digest has 32 bytes"))),
            // SAFETY: as above.
            label: unsafe { label("wanted.label", wanted.label) }?,
            is_partial: false,
        })
    }
}

/// A label of the caller's; none if it is NULL.
///
/// # Safety
/// Where `pointer` is not NULL, it ends with a NUL.
pub(crate) unsafe fn label(what: &str, pointer: *const c_char) -> Result<Option<Label>, Failure> {
    // SAFETY: the caller vouches for the NUL.
    match unsafe { border::text(what, pointer) }? {
        None => Ok(None),
        Some(text) => match Label::new(text) {
            Ok(label) => Ok(Some(label)),
            Err(error) => Err(Failure::of_argument(&error)),
        },
    }
}

impl Ces2Info {
    pub(crate) fn new(
        object: &ObjectHeader,
        digest: Digest,
        key: KeyId,
        plain_len: u64,
        segments: u64,
    ) -> Self {
        Self {
            object: object.id.0,
            digest: digest.0,
            key_id: key.0,
            label: characters(object.label),
            cipher: object.cipher.code(),
            data: object.geometry.data(),
            parity: object.geometry.parity(),
            segment_size: object.segment_size.bytes(),
            plain_len,
            segments,
        }
    }
}

/// A label as C has texts.
pub(crate) fn characters(label: Label) -> [c_char; CES2_LABEL_ROOM] {
    let mut characters = [0; CES2_LABEL_ROOM];
    for (character, byte) in characters.iter_mut().zip(label.as_str().bytes()) {
        // `c_char` has a sign on some platforms; labels are ASCII, and the same with and without.
        *character = c_char::try_from(byte).expect("a label is ASCII");
    }
    characters
}

impl Ces2Report {
    pub(crate) fn new(report: &Report) -> Self {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Self {
            object: report.object.id.0,
            digest: report.digest.0,
            plain_len: report.plain_len,
            segments: report.segments,
            lost: report.lost,
            agreeing: match report.trust {
                Trust::Digest => 0,
                Trust::Agreement { shards } => count(shards),
            },
            damaged: count(report.damage.shards().len()),
            missing: count(report.damage.missing().len()),
            whole: report.is_whole().into(),
            readable: report.is_readable().into(),
        }
    }
}
