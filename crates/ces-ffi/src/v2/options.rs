//! How an object is written.
#![allow(
    unsafe_code,
    reason = "functions of a C library are declared with pointers"
)]

use std::ffi::c_char;

use propeller_ces::{Cipher, Geometry, Options, SegmentSize, Threads};

use super::values;
use crate::border::{self, Place};
use crate::failure::{self, Failure, Status};

/// How an object is written: 8 + 4 shards, XChaCha20-Poly1305, zstd's level 3, segments of 1 MiB, the
/// key's label and one thread, unless something else is chosen.
#[derive(Debug)]
pub struct Ces2Options {
    pub(crate) options: Options,
}

/// Makes options. Free them with `ces2_options_free`.
///
/// # Safety
/// Where `options` is not NULL, there is room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_new(options: *mut *mut Ces2Options) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for room.
        let place = unsafe { Place::new("options", options) }?;
        let options = Options::new();
        place.put(border::handle(Ces2Options { options }));
        Ok(())
    })
}

/// Changes options, if the change is a good one.
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
unsafe fn change(
    options: *mut Ces2Options,
    change: impl FnOnce(&mut Options) -> Result<(), Failure>,
) -> Status {
    failure::status(|| {
        // SAFETY: the caller vouches for the same.
        let options = unsafe { border::one_mut("options", options) }?;
        change(&mut options.options)
    })
}

/// How many shards give an object back, 1 to 128, and how many may be lost, 0 to 128.
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_geometry(
    options: *mut Ces2Options,
    data: u32,
    parity: u32,
) -> Status {
    let set = |options: &mut Options| {
        // 255 is outside as well.
        let byte = |count: u32| u8::try_from(count).unwrap_or(u8::MAX);
        let geometry = Geometry::new(byte(data), byte(parity));
        options.geometry = geometry.map_err(|error| Failure::of_argument(&error))?;
        Ok(())
    };
    // SAFETY: the caller vouches for the same.
    unsafe { change(options, set) }
}

/// `CES2_XCHACHA20_POLY1305` or `CES2_AES_256_GCM`.
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_cipher(options: *mut Ces2Options, cipher: u32) -> Status {
    let set = |options: &mut Options| {
        let found = u8::try_from(cipher).ok().and_then(Cipher::from_code);
        options.cipher = found.ok_or_else(|| {
            Failure::argument(format!(
                "a cipher is 1 (XChaCha20-Poly1305) or 2 (AES-256-GCM), got {cipher}"
            ))
        })?;
        Ok(())
    };
    // SAFETY: the caller vouches for the same.
    unsafe { change(options, set) }
}

/// 0 (not compressed), or 1 (fast) to 22 (small).
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_level(options: *mut Ces2Options, level: i32) -> Status {
    let set = |options: &mut Options| {
        options.compression = crate::pipeline::compression(level)?;
        Ok(())
    };
    // SAFETY: the caller vouches for the same.
    unsafe { change(options, set) }
}

/// How much plaintext a segment carries: a power of two from 65,536 to 8,388,608 bytes.
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_segment_size(
    options: *mut Ces2Options,
    bytes: u32,
) -> Status {
    let set = |options: &mut Options| {
        let size = SegmentSize::new(bytes);
        options.segment_size = size.map_err(|error| Failure::of_argument(&error))?;
        Ok(())
    };
    // SAFETY: the caller vouches for the same.
    unsafe { change(options, set) }
}

/// The environment that the object belongs to: at most 24 of a–z, 0–9, '.', '_' and '-'. Where it is
/// NULL, that of the key.
///
/// # Safety
/// Where they are not NULL, `options` is of `ces2_options_new`, and nobody else uses it; and `label` ends
/// with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_label(
    options: *mut Ces2Options,
    label: *const c_char,
) -> Status {
    let set = |options: &mut Options| {
        // SAFETY: the caller vouches for the NUL.
        options.label = unsafe { values::label("label", label) }?;
        Ok(())
    };
    // SAFETY: the caller vouches for the same.
    unsafe { change(options, set) }
}

/// How many threads work at once, 1 to 256; each holds two to three segments. Callbacks are called on
/// the caller's thread, however many there are.
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_threads(options: *mut Ces2Options, threads: u32) -> Status {
    let set = |options: &mut Options| {
        options.threads = self::threads(threads)?;
        Ok(())
    };
    // SAFETY: the caller vouches for the same.
    unsafe { change(options, set) }
}

/// A number of threads that is one.
pub(crate) fn threads(count: u32) -> Result<Threads, Failure> {
    match count {
        1..=256 => Ok(Threads::new(count as usize)),
        _ => Err(Failure::argument(format!(
            "there are 1 to 256 threads, not {count}"
        ))),
    }
}

/// Frees options. NULL is nothing.
///
/// # Safety
/// Where `options` is not NULL, it is of `ces2_options_new`, nobody uses it, and this is the first time
/// that it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ces2_options_free(options: *mut Ces2Options) {
    failure::quietly(|| {
        // SAFETY: the caller vouches for the same.
        unsafe { border::free(options) }
    });
}
