//! Bytes that several processes share and none can change.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

/// A sealed memory file with these `pieces` in it, one behind the other: never on a disk, never
/// executable as a program, and never written again, not even by us.
pub(crate) fn sealed(name: &str, pieces: &[&[u8]]) -> io::Result<OwnedFd> {
    let file = empty(name)?;
    fill(&file, pieces)?;
    Ok(file)
}

/// A memory file for [`fill`], made while this process may still make one.
pub(super) fn empty(name: &str) -> io::Result<OwnedFd> {
    let sealing = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match memfd_create(name, sealing | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => memfd_create(name, sealing),
        made => made,
    }?;
    Ok(file)
}

/// Writes `pieces` to a memory file and seals it.
pub(super) fn fill(file: impl AsFd, pieces: &[&[u8]]) -> io::Result<()> {
    for piece in pieces {
        let mut left = *piece;
        while !left.is_empty() {
            let written = rustix::io::write(&file, left)?;
            left = &left[written..];
        }
    }
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    Ok(fcntl_add_seals(file, seals)?)
}

/// The first `len` bytes of `file`.
pub(crate) fn contents(file: impl AsFd, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        match rustix::io::pread(&file, &mut bytes[at..], at as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => at += read,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_read_and_not_changed() {
        let file = sealed("test", &[b"by", b"", b"tes"]).expect("there are memory files");
        assert_eq!(contents(&file, 5).expect("they are there"), b"bytes");
        assert!(contents(&file, 6).is_err());
        assert_eq!(rustix::io::pwrite(&file, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&file, 0), Err(Errno::PERM));
    }
}
