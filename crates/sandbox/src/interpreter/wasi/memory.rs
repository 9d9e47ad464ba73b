//! A guest's memory as the host's functions see it.

use super::{Errno, Fail};

/// What one call may make the host copy or allocate, as with wasmtime. Larger requests are refused.
const CALL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The memory, for one call.
///
/// A pointer that leads outside, or that is not aligned, ends the guest, as the specification of
/// preview 1 has it.
pub(super) struct Memory<'a> {
    bytes: &'a mut [u8],
    /// What the host may still copy in this call.
    allowance: u64,
}

impl<'a> Memory<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            bytes,
            allowance: CALL_BYTES_MAX,
        }
    }

    /// Takes `count` items of `size` bytes from what the host may copy.
    pub(super) fn allow(&mut self, count: u32, size: u32) -> Result<(), Fail> {
        let left = self
            .allowance
            .checked_sub(u64::from(count) * u64::from(size));
        self.allowance = left.ok_or(Fail::Errno(Errno::Nomem))?;
        Ok(())
    }

    pub(super) fn slice(&self, at: u32, len: u32) -> Result<&[u8], Fail> {
        let range = range(at, len)?;
        self.bytes.get(range).ok_or(OUTSIDE)
    }

    pub(super) fn slice_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], Fail> {
        let range = range(at, len)?;
        self.bytes.get_mut(range).ok_or(OUTSIDE)
    }

    pub(super) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Fail> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::Overflow)?;
        self.slice_mut(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn u8(&self, at: u32) -> Result<u8, Fail> {
        self.number::<1>(at).map(u8::from_le_bytes)
    }

    pub(super) fn u16(&self, at: u32) -> Result<u16, Fail> {
        self.number(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: u32) -> Result<u32, Fail> {
        self.number(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: u32) -> Result<u64, Fail> {
        self.number(at).map(u64::from_le_bytes)
    }

    pub(super) fn write_u32(&mut self, at: u32, number: u32) -> Result<(), Fail> {
        aligned(at, 4)?;
        self.write(at, &number.to_le_bytes())
    }

    pub(super) fn write_u64(&mut self, at: u32, number: u64) -> Result<(), Fail> {
        aligned(at, 8)?;
        self.write(at, &number.to_le_bytes())
    }

    fn number<const LEN: usize>(&self, at: u32) -> Result<[u8; LEN], Fail> {
        let len = u32::try_from(LEN).map_err(|_| OUTSIDE)?;
        aligned(at, len)?;
        let (bytes, _) = self.slice(at, len)?.as_chunks();
        bytes.first().copied().ok_or(OUTSIDE)
    }
}

const OUTSIDE: Fail = Fail::Trap("pointer out of bounds");

/// The address of a field of something at `at`.
pub(super) fn offset(at: u32, by: u32) -> Result<u32, Fail> {
    at.checked_add(by).ok_or(OUTSIDE)
}

/// The address of one of several things.
pub(super) fn item(at: u32, index: u32, size: u32) -> Result<u32, Fail> {
    let by = index.checked_mul(size).ok_or(OUTSIDE)?;
    offset(at, by)
}

pub(super) fn aligned(at: u32, to: u32) -> Result<(), Fail> {
    match at % to {
        0 => Ok(()),
        _ => Err(Fail::Trap("pointer not aligned")),
    }
}

fn range(at: u32, len: u32) -> Result<std::ops::Range<usize>, Fail> {
    let end = u64::from(at) + u64::from(len);
    let end = usize::try_from(end).map_err(|_| OUTSIDE)?;
    Ok(at as usize..end)
}
