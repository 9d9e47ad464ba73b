//! Shards back into a stream, or a part of one.
#![allow(
    unsafe_code,
    reason = "functions of a C library are declared with pointers"
)]

use std::ffi::{c_char, c_void};
use std::sync::Mutex;

use super::keys::Ces2Keys;
use super::options::threads;
use super::shards::text_of;
use super::values::{Ces2Info, Ces2Wanted};
use crate::border::{self, Place};
use crate::callbacks::{Ces2ReadAt, Ces2Write, Sink, Source};
use crate::failure::{self, Failure, Status};
use crate::pipeline::SHARDS_MAX;
use crate::reader::Reader;

/// An object whose key was at hand.
#[derive(Debug)]
pub struct Ces2Reader {
    /// Locked while it is used, so that a callback that comes back and another thread are told so, and
    /// poisoned by a panic.
    reader: Mutex<Reader<Source>>,
}

impl Ces2Reader {
    /// Uses the reader, and gives it up if that panics.
    fn using<T>(
        &self,
        run: impl FnOnce(&mut Reader<Source>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut reader = self.reader.try_lock().map_err(|_| spent())?;
        run(&mut reader)
    }
}

fn spent() -> Failure {
    Failure::new(
        Status::Spent,
        "the reader is in use, or failed before: then free it, and open the object again",
    )
}

/// One source for each shard.
///
/// # Safety
/// Where they are not NULL, `sizes` has `count` elements, and `read_at` is what its type says, with
/// `context`, as long as the sources are used.
pub(crate) unsafe fn sources(
    sizes: *const u64,
    count: usize,
    read_at: Ces2ReadAt,
    context: *mut c_void,
) -> Result<Vec<Source>, Failure> {
    if count > SHARDS_MAX {
        let message = format!("there are {count} shards, and at most {SHARDS_MAX} are taken");
        return Err(Failure::argument(message));
    }
    // SAFETY: the caller vouches for the sizes.
    let sizes = unsafe { border::array("sizes", sizes, count) }?;
    // SAFETY: the caller vouches for the callback.
    unsafe { Source::all(sizes, read_at, context) }
}

/// Opens an object of which `count` shards are there, of the lengths in `sizes`.
///
/// They may stand in any order, damaged ones and those of other objects among them. At most 1,000 are
/// taken. `wanted` may be NULL. With `threads` above 1, so many read ahead; `read_at` is called on the
/// caller's thread all the same. Free the reader with `ces2_reader_free`.
///
/// # Safety
/// Where they are not NULL, `keys` is a ring that nobody changes, `sizes` has `count` elements,
/// `wanted` is as its fields say, and at `reader` there is room for a pointer. `read_at` is what its
/// type says, with `context`, until the reader is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reader_open(
    keys: *const Ces2Keys,
    sizes: *const u64,
    count: usize,
    read_at: Ces2ReadAt,
    context: *mut c_void,
    wanted: *const Ces2Wanted,
    threads: u32,
    reader: *mut *mut Ces2Reader,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("reader", reader) }?;
        // SAFETY: the caller vouches for the ring.
        let keys = unsafe { border::one("keys", keys) }?;
        // SAFETY: the caller vouches for the shards.
        let sources = unsafe { sources(sizes, count, read_at, context) }?;
        // SAFETY: the caller vouches for it.
        let wanted = unsafe { Ces2Wanted::read(wanted) }?;
        let threads = self::threads(threads)?;
        let opened =
            keys.audited(|audit| Reader::open(sources, keys.ring(), wanted, threads, audit))?;
        let reader = Mutex::new(opened);
        place.put(border::handle(Ces2Reader { reader }));
        Ok(())
    })
}

/// What the object is.
///
/// # Safety
/// Where they are not NULL, `reader` is open and not in use, and `info` has room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reader_info(
    reader: *const Ces2Reader,
    info: *mut Ces2Info,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("info", info) }?;
        // SAFETY: the caller vouches for the reader.
        let reader = unsafe { border::one("reader", reader) }?;
        place.put(reader.using(|reader| {
            let object = reader.object();
            let (header, digest, key) = (object.header(), object.digest(), object.key());
            let (plain_len, segments) = (object.plain_len(), object.segments());
            Ok(Ces2Info::new(header, digest, key, plain_len, segments))
        })?);
        Ok(())
    })
}

/// Writes the whole plaintext with `write`.
///
/// Each segment is authenticated before it is written. That the object is whole is known at the end
/// only: if this fails, what was written is not to be used.
///
/// # Safety
/// Where they are not NULL, `reader` is open and not in use, and `write` is what its type says, with
/// `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reader_copy(
    reader: *mut Ces2Reader,
    write: Ces2Write,
    context: *mut c_void,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the reader.
        let reader = unsafe { border::one("reader", reader.cast_const()) }?;
        // SAFETY: the caller vouches for the callback.
        let sink = unsafe { Sink::new(write, context) }?;
        reader.using(|reader| reader.read_all(sink))
    })
}

/// Writes `len` bytes of plaintext from `offset` on with `write`, and reads only the segments they are
/// in. `CES_RANGE` if the object ends before.
///
/// # Safety
/// As for `ces2_reader_copy`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reader_copy_range(
    reader: *mut Ces2Reader,
    offset: u64,
    len: u64,
    write: Ces2Write,
    context: *mut c_void,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the reader.
        let reader = unsafe { border::one("reader", reader.cast_const()) }?;
        // SAFETY: the caller vouches for the callback.
        let sink = unsafe { Sink::new(write, context) }?;
        let range = offset..offset.saturating_add(len);
        reader.using(|reader| reader.read_range(range, sink))
    })
}

/// Puts the `len` bytes of plaintext from `offset` on into `buffer`: all of them, or `CES_RANGE` if the
/// object ends before.
///
/// The segment that was read last is kept, so that many small reads one behind the other cost no more
/// than a large one. If it fails, `buffer` may hold anything.
///
/// # Safety
/// Where they are not NULL, `reader` is open and not in use, and `buffer` has room for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reader_read_at(
    reader: *mut Ces2Reader,
    offset: u64,
    buffer: *mut u8,
    len: usize,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the reader.
        let reader = unsafe { border::one("reader", reader.cast_const()) }?;
        // SAFETY: the caller vouches for room.
        let buffer = unsafe { border::array_mut("buffer", buffer, len) }?;
        reader.using(|reader| reader.read_at(buffer, offset))
    })
}

/// What is wrong with the shards as far as they had to be read, in words; free it with
/// `ces2_free_text`. `*damage` is NULL if nothing is.
///
/// # Safety
/// Where they are not NULL, `reader` is open and not in use, and at `damage` there is room for a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reader_damage(
    reader: *const Ces2Reader,
    damage: *mut *mut c_char,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("damage", damage) }?;
        // SAFETY: the caller vouches for the reader.
        let reader = unsafe { border::one("reader", reader) }?;
        let text = |reader: &mut Reader<Source>| Ok(text_of(reader.object().damage()));
        place.put(reader.using(text)?);
        Ok(())
    })
}

/// Frees a reader, and overwrites its keys and the plaintext it keeps. NULL is nothing.
///
/// A callback must not free the reader that calls it.
///
/// # Safety
/// Where `reader` is not NULL, it is of `ces2_reader_open`, nobody uses it, and this is the first time
/// that it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_reader_free(reader: *mut Ces2Reader) {
    failure::quietly(|| {
        // SAFETY: the caller vouches for the same.
        unsafe { border::free(reader) }
    });
}

#[cfg(test)]
mod tests {
    use std::ffi::c_int;
    use std::thread;

    use propeller_ces::{Audit, Key, KeyRing, Options, Threads, Wanted, Watch, encode};

    use super::*;

    unsafe extern "C" fn read_at(
        context: *mut c_void,
        input: u32,
        offset: u64,
        buffer: *mut u8,
        len: usize,
    ) -> c_int {
        // SAFETY: the test hands over its shards, and the library's buffer has `len` bytes.
        let (shards, buffer) = unsafe {
            let shards = &*context.cast_const().cast::<Vec<Vec<u8>>>();
            (shards, std::slice::from_raw_parts_mut(buffer, len))
        };
        let from = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&shards[input as usize][from..from + len]);
        0
    }

    /// A handle, as a program in C hands it from thread to thread.
    struct Handle(*const Ces2Reader);

    // SAFETY: the test uses it while the reader is there.
    unsafe impl Sync for Handle {}

    #[test]
    fn another_thread_is_told_that_the_reader_is_in_use() {
        let key = Key::from_bytes([7; 32]);
        let mut shards = vec![Vec::new(); 12];
        let watch = Watch {
            audit: Audit::none(),
            progress: &mut |_| (),
        };
        let sinks = shards.iter_mut().collect();
        encode(&b"text"[..], sinks, &key, &Options::new(), watch).unwrap();
        let sizes: Vec<u64> = shards.iter().map(|shard| shard.len() as u64).collect();
        let context = (&raw const shards).cast_mut().cast();
        // SAFETY: the shards outlive the reader.
        let sources = unsafe { Source::all(&sizes, Some(read_at), context) }.unwrap();
        let (keys, wanted) = (KeyRing::new(key), Wanted::default());
        let opened = Reader::open(sources, &keys, wanted, Threads::ONE, Audit::none()).unwrap();
        let reader = Ces2Reader {
            reader: Mutex::new(opened),
        };
        let handle = Handle(&raw const reader);
        let read = |handle: &Handle| {
            let mut buffer = [0; 4];
            // SAFETY: the reader is there, and the buffer as long as it says.
            let status = unsafe {
                ces2_reader_read_at(handle.0.cast_mut(), 0, buffer.as_mut_ptr(), buffer.len())
            };
            (status, buffer)
        };
        let elsewhere = || thread::scope(|scope| scope.spawn(|| read(&handle)).join().unwrap());
        let during = reader.using(|_| Ok(elsewhere())).unwrap();
        assert_eq!(during, (Status::Spent, [0; 4]));
        assert_eq!(elsewhere(), (Status::Ok, *b"text"));
    }
}
