//! A stream into shards.
#![allow(
    unsafe_code,
    reason = "functions of a C library are declared with pointers"
)]

use std::ffi::c_void;
use std::io::{Read, Write};

use propeller_ces::format::ObjectHeader;
use propeller_ces::{Options, Watch, encode};

use super::keys::Ces2Keys;
use super::options::Ces2Options;
use super::values::Ces2Info;
use crate::border::{self, Place};
use crate::callbacks::{Ces2Read, Ces2Write, Input, Sink};
use crate::failure::{self, Failure, Status};

/// Writes the shards of a new object of what `input` gives.
pub(crate) fn object<W: Write>(
    input: impl Read,
    shards: Vec<W>,
    options: &Options,
    keys: &Ces2Keys,
) -> Result<Ces2Info, Failure> {
    let key = keys.ring().writing()?;
    let summary = keys.audited(|audit| {
        let watch = Watch {
            audit,
            progress: &mut |_| (),
        };
        encode(input, shards, key, options, watch)
    })?;
    let object = ObjectHeader {
        cipher: options.cipher,
        geometry: options.geometry,
        segment_size: options.segment_size,
        id: summary.object,
        label: summary.label,
    };
    let (digest, plain_len) = (summary.digest, summary.plain_len);
    Ok(Ces2Info::new(
        &object,
        digest,
        summary.key,
        plain_len,
        summary.segments,
    ))
}

/// The options of the caller, or those that nobody chose.
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, and nobody changes it.
pub(crate) unsafe fn options_or_default(options: *const Ces2Options) -> Result<Options, Failure> {
    match options.is_null() {
        true => Ok(Options::new()),
        // SAFETY: the caller vouches for the same.
        false => Ok(unsafe { border::one("options", options) }?.options),
    }
}

/// One sink for each shard.
pub(crate) fn sinks(sink: Sink, options: &Options) -> Vec<Sink> {
    let shards = 0..u32::from(options.geometry.pieces());
    shards.map(|shard| sink.of_shard(shard)).collect()
}

/// Reads plaintext with `read` until it ends, and writes the shards of a new object with `write`.
///
/// The shards grow together, from their beginning to their end; memory does not depend on the length.
/// All callbacks are called on this thread. `options` may be NULL, and so may `info`, which is filled
/// when all is written.
/// If it fails, what was written is of no use.
///
/// # Safety
/// Where they are not NULL, `options` and `keys` are handles that nobody changes, `info` has room, and
/// the callbacks are what their types say, each with its context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_encode(
    options: *const Ces2Options,
    keys: *const Ces2Keys,
    read: Ces2Read,
    read_context: *mut c_void,
    write: Ces2Write,
    write_context: *mut c_void,
    info: *mut Ces2Info,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::optional("info", info) }?;
        // SAFETY: the caller vouches for the handles.
        let options = unsafe { options_or_default(options) }?;
        // SAFETY: as above.
        let keys = unsafe { border::one("keys", keys) }?;
        // SAFETY: the caller vouches for the callbacks.
        let input = unsafe { Input::new(read, read_context) }?;
        // SAFETY: as above.
        let sink = unsafe { Sink::new(write, write_context) }?;
        let info = object(input, sinks(sink, &options), &options, keys)?;
        if let Some(place) = place {
            place.put(info);
        }
        Ok(())
    })
}
