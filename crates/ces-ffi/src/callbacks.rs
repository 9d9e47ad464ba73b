//! What callers give to read from and write to.
#![allow(
    unsafe_code,
    reason = "a callback of a C program is called by its word"
)]

use std::ffi::{c_int, c_void};
use std::io::{self, Read, Write};

use propeller_ces::ReadAt;

use crate::failure::{Failure, Status};

/// Reads at most `len` bytes of plaintext into `buffer`.
///
/// Gives how many bytes it read, 0 at the end, and a negative number if it failed.
pub type Ces2Read =
    Option<unsafe extern "C" fn(context: *mut c_void, buffer: *mut u8, len: usize) -> i64>;

/// Reads the `len` bytes from `offset` on of the shard at place `input` into `buffer`: all of them.
///
/// Gives 0, or anything else if it failed; the shard then counts as bad there, and the number stands
/// in the text.
pub type Ces2ReadAt = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        input: u32,
        offset: u64,
        buffer: *mut u8,
        len: usize,
    ) -> c_int,
>;

/// Appends the `len` bytes in `data` to shard `shard`, or to the plaintext, whose number is 0.
///
/// Gives 0, or anything else if it failed, which ends the call.
pub type Ces2Write = Option<
    unsafe extern "C" fn(context: *mut c_void, shard: u32, data: *const u8, len: usize) -> c_int,
>;

fn called<F>(what: &str, function: Option<F>) -> Result<F, Failure> {
    function.ok_or_else(|| {
        let message = format!("`{what}` is NULL: it must be a function");
        Failure::new(Status::Null, message)
    })
}

fn failed(code: i64) -> io::Error {
    io::Error::other(format!("the callback gave {code}"))
}

/// Plaintext that a callback gives.
pub(crate) struct Input {
    read: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> i64,
    context: *mut c_void,
}

impl Input {
    /// # Safety
    /// `read` is what its type says, with `context`, as long as this is used.
    pub(crate) unsafe fn new(read: Ces2Read, context: *mut c_void) -> Result<Self, Failure> {
        let read = called("read", read)?;
        Ok(Self { read, context })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: whoever made this vouched for the function; the buffer is as long as it says.
        let got = unsafe { (self.read)(self.context, buffer.as_mut_ptr(), buffer.len()) };
        match usize::try_from(got) {
            Ok(len) if len <= buffer.len() => Ok(len),
            Ok(_) => Err(io::Error::other(
                "the callback read more than there is room for",
            )),
            Err(_) => Err(failed(got)),
        }
    }
}

/// A shard that a callback reads.
#[derive(Debug)]
pub(crate) struct Source {
    read_at: unsafe extern "C" fn(*mut c_void, u32, u64, *mut u8, usize) -> c_int,
    context: *mut c_void,
    input: u32,
    size: u64,
}

impl Source {
    /// One for each of `sizes`.
    ///
    /// # Safety
    /// `read_at` is what its type says, with `context`, as long as these are used.
    pub(crate) unsafe fn all(
        sizes: &[u64],
        read_at: Ces2ReadAt,
        context: *mut c_void,
    ) -> Result<Vec<Self>, Failure> {
        let read_at = called("read_at", read_at)?;
        let sources = (0..).zip(sizes).map(|(input, size)| Self {
            read_at,
            context,
            input,
            size: *size,
        });
        Ok(sources.collect())
    }
}

impl ReadAt for Source {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if buffer.is_empty() {
            // A callback is only asked for something.
            return Ok(());
        }
        let (at, len) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: whoever made this vouched for the function; the buffer is as long as it says.
        match unsafe { (self.read_at)(self.context, self.input, offset, at, len) } {
            0 => Ok(()),
            code => Err(failed(code.into())),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// A shard, or plaintext, that a callback writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sink {
    write: unsafe extern "C" fn(*mut c_void, u32, *const u8, usize) -> c_int,
    context: *mut c_void,
    shard: u32,
}

impl Sink {
    /// # Safety
    /// `write` is what its type says, with `context`, as long as this is used.
    pub(crate) unsafe fn new(write: Ces2Write, context: *mut c_void) -> Result<Self, Failure> {
        let write = called("write", write)?;
        Ok(Self {
            write,
            context,
            shard: 0,
        })
    }

    /// The same for another shard.
    pub(crate) fn of_shard(self, shard: u32) -> Self {
        Self { shard, ..self }
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // SAFETY: whoever made this vouched for the function; the data is as long as it says.
        match unsafe { (self.write)(self.context, self.shard, data.as_ptr(), data.len()) } {
            0 => Ok(data.len()),
            code => Err(failed(code.into())),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
