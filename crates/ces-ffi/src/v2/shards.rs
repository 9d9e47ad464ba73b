//! What is done to shards without reading what they hold, and shards of the older implementation.
#![allow(
    unsafe_code,
    reason = "functions of a C library are declared with pointers"
)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use propeller_ces::format::HEADER_LEN;
use propeller_ces::{Damage, Geometry, repair, rotate, verify};

use super::keys::Ces2Keys;
use super::reader::sources;
use super::values::{Ces2Report, Ces2Wanted};
use crate::border::{self, Place};
use crate::callbacks::{Ces2ReadAt, Ces2Write, Sink};
use crate::failure::{self, Failure, Status};
use crate::pipeline::reconstruct_v0;
use crate::v1::{FFIShard, exact, present};

/// A text for the caller; NULL if nothing is wrong.
pub(crate) fn text_of(damage: &Damage) -> *mut c_char {
    match damage.is_none() {
        true => ptr::null_mut(),
        false => border::give_text(&damage.to_string()),
    }
}

/// Reads every byte of an object's shards, without its key, and says what is wrong with which.
///
/// The shards are handed over as to `ces2_reader_open`. Whoever names the object's digest in `wanted`
/// learns whether these are the shards of that object; whoever does not, only whether they agree.
/// `damage` may be NULL; else `*damage` is a text to be freed with `ces2_free_text`, or NULL if nothing
/// is wrong. It gives `CES_OK` whenever there is a report, damage or not.
///
/// # Safety
/// As for `ces2_reader_open`; where they are not NULL, `report` and `damage` have room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_verify(
    sizes: *const u64,
    count: usize,
    read_at: Ces2ReadAt,
    context: *mut c_void,
    wanted: *const Ces2Wanted,
    report: *mut Ces2Report,
    damage: *mut *mut c_char,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("report", report) };
        // SAFETY: as above.
        let text = unsafe { Place::optional("damage", damage) };
        // Both are set before one of them is refused.
        let (place, text) = (place?, text?);
        // SAFETY: the caller vouches for the shards.
        let sources = unsafe { sources(sizes, count, read_at, context) }?;
        // SAFETY: the caller vouches for it.
        let wanted = unsafe { Ces2Wanted::read(wanted) }?;
        let report = verify(sources, wanted, &mut |_| ())?;
        place.put(Ces2Report::new(&report));
        if let Some(text) = text {
            text.put(text_of(&report.damage));
        }
        Ok(())
    })
}

/// Rebuilds the shards that `rebuilt` names by their index, bit for bit, without the key.
///
/// The shards are handed over as to `ces2_verify`, damaged ones included; `write` gets each rebuilt one
/// by its index. Name the digest in `wanted`. Without it, shards are built of what the others agree on,
/// and nobody votes: if there are enough of two objects, or one that is whole by itself contradicts
/// others, it is refused, and asks for the digest. If it fails, what was written is of no use.
///
/// # Safety
/// As for `ces2_reader_open`; where they are not NULL, `rebuilt` has `rebuilt_count` elements, and
/// `write` is what its type says, with `write_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_repair(
    sizes: *const u64,
    count: usize,
    read_at: Ces2ReadAt,
    read_context: *mut c_void,
    wanted: *const Ces2Wanted,
    rebuilt: *const u32,
    rebuilt_count: usize,
    write: Ces2Write,
    write_context: *mut c_void,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the shards.
        let sources = unsafe { sources(sizes, count, read_at, read_context) }?;
        // SAFETY: the caller vouches for it.
        let wanted = unsafe { Ces2Wanted::read(wanted) }?;
        // SAFETY: the caller vouches for the indices.
        let rebuilt = unsafe { border::array("rebuilt", rebuilt, rebuilt_count) }?;
        // SAFETY: the caller vouches for the callback.
        let sink = unsafe { Sink::new(write, write_context) }?;
        let sinks = rebuilt.iter().map(|index| match u8::try_from(*index) {
            Ok(byte) => Ok((byte, sink.of_shard(*index))),
            Err(_) => Err(Failure::argument(format!("no object has a shard {index}"))),
        });
        let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
        repair(sources, sinks, wanted, &mut |_| ())?;
        Ok(())
    })
}

/// Puts the data key in a shard's header, its first 120 bytes, under the key that `to` writes with.
///
/// Do it for each shard of an object, and write the changed header over the old one; what the shard
/// seals stays as it is. `from` has the key that the object is under; where that is the new one
/// already, nothing changes. After an interruption, do it again: until then both keys are needed.
/// Uses of both keys are told to whoever is told of those of `to`.
/// `changed` may be NULL; else it is 1 if the header is another one now, or 0.
///
/// # Safety
/// Where they are not NULL, 120 bytes are at `header`, `from` and `to` are rings that nobody changes,
/// and `changed` has room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_rotate(
    header: *mut u8,
    from: *const Ces2Keys,
    to: *const Ces2Keys,
    changed: *mut c_int,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::optional("changed", changed) }?;
        // SAFETY: the caller vouches for the header.
        let header = unsafe { border::array_mut("header", header, HEADER_LEN) }?;
        // SAFETY: the caller vouches for the rings.
        let from = unsafe { border::one("from", from) }?;
        // SAFETY: as above.
        let to = unsafe { border::one("to", to) }?;
        let old: &[u8; HEADER_LEN] = (&*header).try_into().expect("it has 120 bytes");
        let key = to.ring().writing()?;
        let rotated = to.audited(|audit| rotate(old, from.ring(), key, audit))?;
        header.copy_from_slice(&rotated.header);
        if let Some(place) = place {
            place.put(rotated.is_changed.into());
        }
        Ok(())
    })
}

/// The plaintext of shards of the older implementation, of any geometry, each at its index.
///
/// `ces_reconstruct` reads those of 8 + 4. At most `plain_max` bytes of plaintext are taken.
/// Give the plaintext back with `ces2_free_plain`; it is NULL if it is empty.
///
/// # Safety
/// As for `ces_reconstruct`; where they are not NULL, 32 bytes are at `key`, and `plain` and `plain_len`
/// have room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reconstruct_v0(
    key: *const u8,
    data: u32,
    parity: u32,
    plain_max: usize,
    shards: *const FFIShard,
    shard_count: usize,
    shard_present: *const c_int,
    plain: *mut *mut u8,
    plain_len: *mut usize,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("plain", plain) };
        // SAFETY: as above.
        let len_place = unsafe { Place::new("plain_len", plain_len) };
        // Both are set before one of them is refused.
        let (place, len_place) = (place?, len_place?);
        // SAFETY: the caller vouches for the key.
        let key = unsafe { border::key("key", key) }?;
        // SAFETY: the caller vouches for the shards.
        let shards = unsafe { present(shards, shard_count, shard_present) }?;
        let byte = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
        let geometry = Geometry::new(byte(data), byte(parity));
        let geometry = geometry.map_err(|error| Failure::of_argument(&error))?;
        let (at, len) = border::give(exact(reconstruct_v0(&shards, &key, geometry, plain_max)?));
        place.put(at);
        len_place.put(len);
        Ok(())
    })
}

/// Frees the plaintext that `ces2_reconstruct_v0` gave, and overwrites it. NULL is nothing.
///
/// # Safety
/// Both are as they were given, and this is the first time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_free_plain(plain: *mut u8, plain_len: usize) {
    failure::quietly(|| {
        // SAFETY: the caller vouches for the same.
        unsafe { border::take_back_plaintext(plain, plain_len) }
    });
}

/// Frees a text that this library gave. NULL is nothing.
///
/// # Safety
/// It is as it was given, and this is the first time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_free_text(text: *mut c_char) {
    failure::quietly(|| {
        // SAFETY: the caller vouches for the same.
        unsafe { border::free_text(text) }
    });
}
