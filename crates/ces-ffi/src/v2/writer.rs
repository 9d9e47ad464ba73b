//! A stream that is pushed, into shards.
#![allow(
    unsafe_code,
    reason = "functions of a C library are declared with pointers"
)]

use std::ffi::c_void;
use std::fmt;
use std::io::Write;

use super::encode::{object, options_or_default};
use super::keys::Ces2Keys;
use super::options::Ces2Options;
use super::values::Ces2Info;
use crate::border::{self, Place};
use crate::callbacks::{Ces2Write, Sink};
use crate::failure::{self, Status};
use crate::writer::Writer;

/// A new object whose plaintext is pushed.
pub struct Ces2Writer {
    writer: Writer<Ces2Info>,
    sink: Sink,
}

impl Ces2Writer {
    fn write(&self) -> impl FnMut(u32, &[u8]) -> std::io::Result<()> + use<> {
        let sink = self.sink;
        move |shard, data| sink.of_shard(shard).write_all(data)
    }
}

impl fmt::Debug for Ces2Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ces2Writer").finish_non_exhaustive()
    }
}

/// Begins a new object whose plaintext is pushed with `ces2_writer_push`; `write` gets its shards.
///
/// `write` is called on the thread that pushes or finishes. A thread of the library's encodes. Whoever
/// is told of uses of the keys is called on that one, while this function waits for it: none is told
/// after it. `options` may be NULL. The options and the keys are copied. Free the writer with
/// `ces2_writer_free`.
///
/// # Safety
/// Where they are not NULL, `options` and `keys` are handles that nobody changes, and at `writer` there
/// is room for a pointer. `write` is what its type says, with `context`, until the writer is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_writer_new(
    options: *const Ces2Options,
    keys: *const Ces2Keys,
    write: Ces2Write,
    context: *mut c_void,
    writer: *mut *mut Ces2Writer,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("writer", writer) }?;
        // SAFETY: the caller vouches for the handles.
        let options = unsafe { options_or_default(options) }?;
        // SAFETY: as above.
        let keys = unsafe { border::one("keys", keys) }?.clone();
        // SAFETY: the caller vouches for the callback.
        let sink = unsafe { Sink::new(write, context) }?;
        // Before there is a thread.
        keys.ring().writing()?;
        let shards = u32::from(options.geometry.pieces());
        let writer = Writer::start(shards, move |plain, shards| {
            object(plain, shards, &options, &keys)
        })?;
        place.put(border::handle(Ces2Writer { writer, sink }));
        Ok(())
    })
}

/// Takes `len` bytes of plaintext, as many or few as there are.
///
/// When it fails, there will be no object, and what was written is of no use: free the writer.
///
/// # Safety
/// Where they are not NULL, `writer` is of `ces2_writer_new` and not in use, and `data` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_writer_push(
    writer: *mut Ces2Writer,
    data: *const u8,
    len: usize,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the writer.
        let writer = unsafe { border::one("writer", writer.cast_const()) }?;
        // SAFETY: the caller vouches for the data.
        let data = unsafe { border::array("data", data, len) }?;
        writer.writer.push(data, writer.write())
    })
}

/// Writes what is left. The object is there when this gives `CES_OK`; `info` may be NULL.
///
/// # Safety
/// Where they are not NULL, `writer` is of `ces2_writer_new` and not in use, and `info` has room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_writer_finish(
    writer: *mut Ces2Writer,
    info: *mut Ces2Info,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::optional("info", info) }?;
        // SAFETY: the caller vouches for the writer.
        let writer = unsafe { border::one("writer", writer.cast_const()) }?;
        let info = writer.writer.finish(writer.write())?;
        if let Some(place) = place {
            place.put(info);
        }
        Ok(())
    })
}

/// Frees a writer; one that is not finished leaves no object. NULL is nothing.
///
/// A callback must not free the writer that calls it.
///
/// # Safety
/// Where `writer` is not NULL, it is of `ces2_writer_new`, nobody uses it, and this is the first time
/// that it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_writer_free(writer: *mut Ces2Writer) {
    failure::quietly(|| {
        // SAFETY: the caller vouches for the same.
        unsafe { border::free(writer) }
    });
}
