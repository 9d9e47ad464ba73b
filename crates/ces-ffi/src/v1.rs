//! The seven functions of the older implementation, and three beside them.
//!
//! Signatures, layouts and ownership are those that its callers were compiled with: the library
//! allocates, the caller gives back with `ces_free_result` and `ces_free_shards`.
#![allow(
    unsafe_code,
    reason = "functions of a C library are declared with pointers"
)]

use std::ffi::{c_char, c_int, c_void};
use std::mem::offset_of;
use std::ptr;

use propeller_ces::{KEY_VARIABLE, Key};
use zeroize::Zeroizing;

use crate::border;
use crate::failure::{self, Failure, Status};
use crate::pipeline::Pipeline;

/// What `ces_reconstruct` gives. Give it back with `ces_free_result`.
#[derive(Debug)]
#[repr(C)]
pub struct FFIResult {
    /// 1 if it is done, 0 if it failed; never anything else.
    pub success: u8,
    /// Why it failed, or NULL.
    pub error_msg: *mut c_char,
    /// The plaintext; NULL if it failed, or if the plaintext is empty.
    pub data: *mut u8,
    /// Length of the plaintext, in bytes.
    pub data_len: usize,
}

/// A shard.
#[derive(Debug)]
#[repr(C)]
pub struct FFIShard {
    /// Its bytes.
    pub data: *mut u8,
    /// How many there are.
    pub len: usize,
}

/// What `ces_process` gives. Give it back with `ces_free_shards`.
#[derive(Debug)]
#[repr(C)]
pub struct FFIShards {
    /// The shards, data before parity; NULL if it failed.
    pub shards: *mut FFIShard,
    /// How many there are: 12, or 0 if it failed.
    pub count: usize,
}

// An enumeration of C is as large as its `int`.
const _: () = assert!(size_of::<Status>() == size_of::<c_int>());

// What callers were compiled with, on every platform with pointers of 64 bits.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<FFIResult>() == 32 && align_of::<FFIResult>() == 8);
    assert!(offset_of!(FFIResult, success) == 0 && offset_of!(FFIResult, error_msg) == 8);
    assert!(offset_of!(FFIResult, data) == 16 && offset_of!(FFIResult, data_len) == 24);
    assert!(size_of::<FFIShard>() == 16 && align_of::<FFIShard>() == 8);
    assert!(offset_of!(FFIShard, data) == 0 && offset_of!(FFIShard, len) == 8);
    assert!(size_of::<FFIShards>() == 16 && align_of::<FFIShards>() == 8);
    assert!(offset_of!(FFIShards, shards) == 0 && offset_of!(FFIShards, count) == 8);
};

/// Why this thread's last call failed, in words; NULL if it did not.
///
/// The text is the library's: it stays until the next call on this thread. It never holds a key.
#[unsafe(no_mangle)]
pub extern "C" fn ces_last_error() -> *const c_char {
    failure::last()
}

/// The status of this thread's last call, such as one that gives no status itself.
#[unsafe(no_mangle)]
pub extern "C" fn ces_last_status() -> Status {
    failure::last_status()
}

fn pipeline(level: c_int, key: impl FnOnce() -> Result<Key, Failure>) -> *mut c_void {
    failure::value(ptr::null_mut(), || {
        Ok(border::handle(Pipeline::new(key()?, level)?).cast())
    })
}

/// The key in the variable `CES_ENCRYPTION_KEY`.
pub(crate) fn key_of_environment() -> Result<Key, Failure> {
    let Some(value) = std::env::var_os(KEY_VARIABLE) else {
        return Ok(Key::from_variable(None)?);
    };
    let value = Zeroizing::new(value.into_encoded_bytes());
    match std::str::from_utf8(&value) {
        Ok(text) => Ok(Key::from_variable(Some(text))?),
        // It has no hexadecimal digits either, and is told so.
        Err(_) => {
            let text = Zeroizing::new(String::from_utf8_lossy(&value).into_owned());
            Ok(Key::from_variable(Some(&text))?)
        }
    }
}

/// A pipeline with the key in the environment variable `CES_ENCRYPTION_KEY`: 64 hexadecimal digits.
///
/// `compression_level` is 0 (not compressed) or 1 (fast) to 22 (small), as zstd counts.
/// Gives NULL if the variable is not set or holds no key, and if the level is another one;
/// `ces_last_error` says which. It never makes up a key: nobody could read afterwards what that one
/// sealed. The variable stays readable in `/proc/PID/environ`: programs in production take their key
/// from elsewhere and call `ces_new_with_key`.
///
/// Threads may share a pipeline. Free it with `ces_free`.
#[unsafe(no_mangle)]
pub extern "C" fn ces_new(compression_level: c_int) -> *mut c_void {
    pipeline(compression_level, key_of_environment)
}

/// A pipeline with a random key that exists in this process only.
///
/// What it seals cannot be read by another process, nor by another pipeline, nor after this pipeline
/// was freed. It is for tests.
#[unsafe(no_mangle)]
pub extern "C" fn ces_new_ephemeral(compression_level: c_int) -> *mut c_void {
    pipeline(compression_level, || Ok(Key::random()?))
}

/// A pipeline with the 32 bytes at `key`, which are copied.
///
/// Gives NULL if `key` is NULL or nothing but zeros, which is what nobody filled in, and if the level
/// is not one of `ces_new`.
///
/// # Safety
/// Where `key` is not NULL, 32 bytes are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces_new_with_key(compression_level: c_int, key: *const u8) -> *mut c_void {
    pipeline(compression_level, || {
        // SAFETY: the caller vouches for 32 bytes.
        unsafe { border::key("key", key) }
    })
}

/// Frees a pipeline, and overwrites its key. NULL is nothing.
///
/// # Safety
/// Where `pipeline` is not NULL, it is one of these functions', nobody uses it, and this is the
/// first time that it is freed. That it was freed before cannot be seen: it is undefined, as with
/// `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces_free(pipeline: *mut c_void) {
    failure::quietly(|| {
        // SAFETY: the caller vouches for the same.
        unsafe { border::free(pipeline.cast::<Pipeline>()) }
    });
}

/// The 12 shards of a new object, any 8 of which give `data` back: 8 of data, then 4 of parity, all
/// of one length.
///
/// Gives `{NULL, 0}` if it fails, and `ces_last_error` says why. No data, which is
/// `data_len` 0 with any `data`, has shards as well.
///
/// # Safety
/// `pipeline` is one that was not freed. Where `data_len` is not 0 and `data` not NULL, so many bytes
/// are there, and stay as they are during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces_process(
    pipeline: *mut c_void,
    data: *const u8,
    data_len: usize,
) -> FFIShards {
    let none = FFIShards {
        shards: ptr::null_mut(),
        count: 0,
    };
    failure::value(none, || {
        // SAFETY: the caller vouches for the pipeline and for the data.
        let pipeline = unsafe { border::one("pipeline", pipeline.cast::<Pipeline>()) }?;
        // SAFETY: as above.
        let data = unsafe { border::array("data", data, data_len) }?;
        let shards = pipeline.process(data)?.into_iter().map(|shard| {
            let (data, len) = border::give(shard);
            FFIShard { data, len }
        });
        let (shards, count) = border::give(shards.collect());
        Ok(FFIShards { shards, count })
    })
}

/// The shards that are there, as slices.
///
/// # Safety
/// As for [`ces_reconstruct`].
pub(crate) unsafe fn present<'a>(
    shards: *const FFIShard,
    shard_count: usize,
    shard_present: *const c_int,
) -> Result<Vec<Option<&'a [u8]>>, Failure> {
    if shard_count > crate::pipeline::SHARDS_MAX {
        let max = crate::pipeline::SHARDS_MAX;
        let message = format!("there are {shard_count} shards, and at most {max} are taken");
        return Err(Failure::argument(message));
    }
    // SAFETY: the caller vouches for the arrays.
    let shards = unsafe { border::array("shards", shards, shard_count) }?;
    // SAFETY: as above.
    let present = unsafe { border::array("shard_present", shard_present, shard_count) }?;
    let mut slices = Vec::with_capacity(shards.len());
    for (place, (shard, present)) in shards.iter().zip(present).enumerate() {
        let slice = (*present != 0).then(|| {
            let what = format!("shards[{place}].data");
            // SAFETY: the caller vouches for what is there.
            unsafe { border::array(&what, shard.data.cast_const(), shard.len) }
        });
        slices.push(slice.transpose()?);
    }
    Ok(slices)
}

/// The plaintext of an object, of any of its shards, at least 8 of which are good.
///
/// Shards of `ces_process` may stand in any order, and damaged ones and those of other objects among
/// them count as missing. Where none of them begins like one, or those that do give nothing back, the
/// others are taken for shards of the older implementation, 8 + 4, which stand at their index.
/// `shard_present` says for each whether it is there: 0 if not, and then its `data` and `len` are
/// ignored. At most 1,000 shards are taken. They stay the caller's.
///
/// # Safety
/// `pipeline` is one that was not freed. `shards` and `shard_present` have `shard_count` elements, and
/// those shards that are there have as many bytes as they say, and stay as they are during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces_reconstruct(
    pipeline: *mut c_void,
    shards: *const FFIShard,
    shard_count: usize,
    shard_present: *const c_int,
) -> FFIResult {
    let ended = failure::caught(|| {
        // SAFETY: the caller vouches for the pipeline.
        let pipeline = unsafe { border::one("pipeline", pipeline.cast::<Pipeline>()) }?;
        // SAFETY: the caller vouches for the shards.
        let shards = unsafe { present(shards, shard_count, shard_present) }?;
        Ok(exact(pipeline.reconstruct(&shards)?))
    });
    match ended {
        Ok(plain) => {
            failure::status(|| Ok(()));
            let (data, data_len) = border::give(plain);
            FFIResult {
                success: 1,
                error_msg: ptr::null_mut(),
                data,
                data_len,
            }
        }
        Err(failure) => {
            let error_msg = border::give_text(&failure.to_string());
            failure::status(|| Err(failure));
            FFIResult {
                success: 0,
                error_msg,
                data: ptr::null_mut(),
                data_len: 0,
            }
        }
    }
}

/// The same bytes in memory that is not longer, so that giving them away moves nothing.
pub(crate) fn exact(mut plain: Zeroizing<Vec<u8>>) -> Vec<u8> {
    match plain.capacity() == plain.len() {
        true => std::mem::take(&mut *plain),
        false => plain.to_vec(),
    }
}

/// Frees what `ces_reconstruct` gave, and overwrites the plaintext.
///
/// # Safety
/// `result` is as `ces_reconstruct` gave it, and this is the first time that it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces_free_result(result: FFIResult) {
    failure::quietly(|| {
        // SAFETY: the caller vouches that both are of `ces_reconstruct`.
        unsafe { border::free_text(result.error_msg) };
        // SAFETY: as above.
        unsafe { border::take_back_plaintext(result.data, result.data_len) };
    });
}

/// Frees what `ces_process` gave.
///
/// # Safety
/// `shards` is as `ces_process` gave it, and this is the first time that it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces_free_shards(shards: FFIShards) {
    failure::quietly(|| {
        // SAFETY: the caller vouches that they are of `ces_process`.
        let shards = unsafe { border::take_back(shards.shards, shards.count) };
        for shard in shards {
            // SAFETY: as above.
            drop(unsafe { border::take_back(shard.data, shard.len) });
        }
    });
}
