//! Pointers of callers into references, and back.
//!
//! Everything that can be seen of a pointer is judged here: NULL, alignment, length. That it points
//! to what its caller says cannot be seen; each function of the ABI says what it takes for granted.
#![allow(
    unsafe_code,
    reason = "a pointer of a C program becomes a reference by the caller's word"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use propeller_ces::{KEY_LEN, Key, KeyError};
use zeroize::{Zeroize, Zeroizing};

use crate::failure::{Failure, Status};

fn judged<T>(what: &str, pointer: *const T) -> Result<(), Failure> {
    if pointer.is_null() {
        let message = format!("`{what}` is NULL: it must point to something");
        return Err(Failure::new(Status::Null, message));
    }
    if !pointer.is_aligned() {
        let message = format!("`{what}` is not aligned: it points into the middle of something");
        return Err(Failure::argument(message));
    }
    Ok(())
}

/// As [`judged`], and no longer than anything in memory can be.
fn judged_array<T>(what: &str, pointer: *const T, len: usize) -> Result<(), Failure> {
    judged(what, pointer)?;
    match len.checked_mul(size_of::<T>().max(1)) {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(()),
        _ => {
            let message = format!("`{what}` has a length of {len}, more than memory can hold");
            Err(Failure::argument(message))
        }
    }
}

/// An array of the caller's. Of length 0 it may be anywhere, NULL included.
///
/// # Safety
/// Where `pointer` is not NULL, `len` elements are there, and stay as they are for `'a`.
pub(crate) unsafe fn array<'a, T>(
    what: &str,
    pointer: *const T,
    len: usize,
) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    judged_array(what, pointer, len)?;
    // SAFETY: not NULL, aligned and short enough; the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// As [`array`], to be written to.
///
/// # Safety
/// Where `pointer` is not NULL, `len` elements are there, and nobody else uses them during `'a`.
pub(crate) unsafe fn array_mut<'a, T>(
    what: &str,
    pointer: *mut T,
    len: usize,
) -> Result<&'a mut [T], Failure> {
    if len == 0 {
        return Ok(&mut []);
    }
    judged_array(what, pointer, len)?;
    // SAFETY: not NULL, aligned and short enough; the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) })
}

/// Something of the caller's, or behind a handle.
///
/// # Safety
/// Where `pointer` is not NULL, a `T` is there, and nobody writes to it during `'a`.
pub(crate) unsafe fn one<'a, T>(what: &str, pointer: *const T) -> Result<&'a T, Failure> {
    judged(what, pointer)?;
    // SAFETY: not NULL and aligned; the caller vouches for the rest.
    Ok(unsafe { &*pointer })
}

/// As [`one`], to be changed.
///
/// # Safety
/// Where `pointer` is not NULL, a `T` is there, and nobody else uses it during `'a`.
pub(crate) unsafe fn one_mut<'a, T>(what: &str, pointer: *mut T) -> Result<&'a mut T, Failure> {
    judged(what, pointer)?;
    // SAFETY: not NULL and aligned; the caller vouches for the rest.
    Ok(unsafe { &mut *pointer })
}

/// A text of the caller's; none if it is NULL.
///
/// # Safety
/// Where `pointer` is not NULL, it ends with a NUL, and stays as it is for `'a`.
pub(crate) unsafe fn text<'a>(
    what: &str,
    pointer: *const c_char,
) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the caller vouches for the NUL at its end.
    let text = unsafe { CStr::from_ptr(pointer) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Failure::argument(format!("`{what}` is not UTF-8"))),
    }
}

/// The 32 bytes of a key. Zeros are none: they are what nobody filled in.
///
/// # Safety
/// Where `pointer` is not NULL, 32 bytes are there.
pub(crate) unsafe fn key(what: &str, pointer: *const u8) -> Result<Key, Failure> {
    // SAFETY: the caller vouches for 32 bytes.
    let bytes = unsafe { array(what, pointer, KEY_LEN) }?;
    let bytes: Zeroizing<[u8; KEY_LEN]> =
        Zeroizing::new(bytes.try_into().expect("a key has 32 bytes"));
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(KeyError::Placeholder.into());
    }
    Ok(Key::from_bytes(*bytes))
}

/// What results are: of zeros, until there is one. NULL is what a caller frees without harm.
///
/// # Safety
/// Zeros in each of its bytes are one.
pub(crate) unsafe trait Plain {}

// SAFETY: zeros are NULL.
unsafe impl<T> Plain for *mut T {}
// SAFETY: zeros are 0.
unsafe impl Plain for c_int {}
// SAFETY: zeros are 0.
unsafe impl Plain for usize {}
// SAFETY: zeros are so many times 0.
unsafe impl<const N: usize> Plain for [u8; N] {}

/// A place of the caller's for a result. Nothing is read from it, so that it may hold anything.
#[derive(Debug)]
pub(crate) struct Place<T>(*mut T);

impl<T: Plain> Place<T> {
    /// Sets the place to zeros, so that it holds no old handle if the call fails.
    ///
    /// # Safety
    /// Where `pointer` is not NULL, there is room for a `T`, and nobody else uses it until the call
    /// is over.
    pub(crate) unsafe fn new(what: &str, pointer: *mut T) -> Result<Self, Failure> {
        judged(what, pointer)?;
        // SAFETY: not NULL and aligned; the caller vouches for room.
        unsafe { pointer.write_bytes(0, 1) };
        Ok(Self(pointer))
    }

    /// As [`new`](Self::new); none if the caller does not want the result.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    pub(crate) unsafe fn optional(what: &str, pointer: *mut T) -> Result<Option<Self>, Failure> {
        match pointer.is_null() {
            true => Ok(None),
            // SAFETY: the caller vouches for the same.
            false => unsafe { Self::new(what, pointer) }.map(Some),
        }
    }

    pub(crate) fn put(self, value: T) {
        // SAFETY: whoever made the place vouched for room.
        unsafe { self.0.write(value) }
    }
}

/// A handle for the caller, to be given back to [`free`].
pub(crate) fn handle<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Frees what a handle stands for; nothing if it is NULL, or can be none because it is not aligned.
///
/// # Safety
/// Where `pointer` is not NULL, it is of [`handle`], and this is the first time that it is freed.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if judged("handle", pointer).is_ok() {
        // SAFETY: the caller vouches that it is a handle, which came of a box.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

/// Bytes for the caller, to be given back to [`take_back`]. NULL if there are none.
pub(crate) fn give<T>(elements: Vec<T>) -> (*mut T, usize) {
    match elements.is_empty() {
        true => (ptr::null_mut(), 0),
        false => {
            let len = elements.len();
            (Box::into_raw(elements.into_boxed_slice()).cast(), len)
        }
    }
}

/// Takes back what [`give`] gave.
///
/// # Safety
/// `pointer` and `len` are of [`give`], unchanged, and this is the first time.
pub(crate) unsafe fn take_back<T>(pointer: *mut T, len: usize) -> Box<[T]> {
    if pointer.is_null() {
        return Box::default();
    }
    // SAFETY: the caller vouches that these are a box's pointer and length.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(pointer, len)) }
}

/// Takes plaintext back, and overwrites it.
///
/// # Safety
/// As [`take_back`].
pub(crate) unsafe fn take_back_plaintext(pointer: *mut u8, len: usize) {
    // SAFETY: the caller vouches for the same.
    unsafe { take_back(pointer, len) }.zeroize();
}

/// A text for the caller, to be given back to [`free_text`].
pub(crate) fn give_text(text: &str) -> *mut c_char {
    let text = CString::new(text.replace('\0', "\u{fffd}"));
    text.expect("it has no NUL any more").into_raw()
}

/// Frees a text; nothing if it is NULL.
///
/// # Safety
/// Where `pointer` is not NULL, it is of [`give_text`], and this is the first time that it is freed.
pub(crate) unsafe fn free_text(pointer: *mut c_char) {
    if !pointer.is_null() {
        // SAFETY: the caller vouches that it is of a CString.
        drop(unsafe { CString::from_raw(pointer) });
    }
}
