//! Modules as files, for runtimes that take nothing else. Only where a proplet's tasks are not
//! encrypted.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A folder that only we may enter.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    next: AtomicU64,
}

/// A file that goes when nobody needs it any more.
#[derive(Debug)]
pub(super) struct Written(PathBuf);

impl Folder {
    /// Makes it, or takes over the one of an earlier run, without what that one left behind.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        // A relative path would be looked for in the runtime's folder, which is `/`.
        let path = std::path::absolute(path)?;
        match DirBuilder::new().mode(0o700).recursive(true).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?,
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?.path();
            if entry
                .extension()
                .is_some_and(|extension| extension == "wasm")
            {
                fs::remove_file(entry)?;
            }
        }
        Ok(Self {
            path,
            next: AtomicU64::new(0),
        })
    }

    /// A name for the next module.
    pub(super) fn name(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path
            .join(format!("{}-{number}.wasm", std::process::id()))
    }
}

/// Writes a module for its owner's eyes alone.
pub(super) fn write(path: PathBuf, module: &[u8]) -> io::Result<Written> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let written = Written(path);
    file.write_all(module)?;
    Ok(written)
}

impl Drop for Written {
    fn drop(&mut self) {
        // What is left behind is removed at the next start.
        fs::remove_file(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    }

    #[test]
    fn a_module_is_its_owners_and_goes_with_its_job() {
        let home = std::env::temp_dir().join(format!("propeller-file-{}", std::process::id()));
        let path = home.join("external");
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("old.wasm"), b"left behind").expect("a file");

        let folder = Folder::open(path.clone()).expect("it opens");
        assert!(!path.join("old.wasm").exists());
        let name = folder.name();
        let written = write(name.clone(), b"module").expect("it is written");
        assert_eq!((mode(&path), mode(&name)), (0o700, 0o600));
        assert!(write(name.clone(), b"another").is_err());
        drop(written);
        assert!(!name.exists());
        fs::remove_dir_all(home).expect("the test cleans up");
    }
}
