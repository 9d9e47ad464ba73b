//! Opens what a policy grants, so that what was looked at is what a guest gets.

use std::io;
use std::path::Path;

use propeller_model::Directory;
use propeller_sandbox::OpenDirectory;

/// Opens the directory at `path`, which has no symbolic links. Somebody who puts one there between
/// the look and the opening makes the opening fail.
#[cfg(target_os = "linux")]
pub(crate) fn open(path: &Path, asked: &Directory) -> io::Result<OpenDirectory> {
    use std::os::fd::AsRawFd;
    use std::sync::Arc;

    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(CWD, path, flags, Mode::empty(), resolve)?;
    Ok(OpenDirectory {
        path: format!("/proc/self/fd/{}", opened.as_raw_fd()).into(),
        kept: Some(Arc::new(opened)),
        guest: asked.guest.clone(),
        access: asked.access,
    })
}

/// Elsewhere a directory is known by its name alone.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open(path: &Path, asked: &Directory) -> io::Result<OpenDirectory> {
    if !path.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(OpenDirectory {
        path: path.to_owned(),
        kept: None,
        guest: asked.guest.clone(),
        access: asked.access,
    })
}
