//! What a machine shows: its files, its environment and its TPM.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use serde_json::Value;

#[cfg(feature = "azure-attester")]
use super::metadata;
use super::sev_guest::{self, SEV_GUEST, SevGuestAnswer};

/// Of the kernel's resource manager, which serves several programs at a time.
pub const TPM: &str = "/dev/tpmrm0";

/// The longest answer of a TPM: kernels have a buffer of one page for it.
const TPM_BYTES_MAX: usize = 4096;

/// The world outside, as far as finding a TEE and getting evidence of it go.
///
/// Paths begin with `/`. Errors are the kernel's: [`ErrorKind`] tells what is not there from what
/// may not be touched.
pub trait Machine: fmt::Debug + Send + Sync {
    /// What a file says.
    ///
    /// # Errors
    /// [`ErrorKind::FileTooLarge`] if that is more than `bytes_max`, and what the kernel says.
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// Gives `content` to a file that is there, all at once: to the kernel, each write is a command.
    ///
    /// # Errors
    /// What the kernel says.
    fn write(&self, path: &str, content: &[u8]) -> io::Result<()>;

    /// Makes a folder whose parent is there.
    ///
    /// # Errors
    /// What the kernel says.
    fn create_folder(&self, path: &str) -> io::Result<()>;

    /// Removes a folder. Of one of configfs, the files in it are not in the way.
    ///
    /// # Errors
    /// What the kernel says.
    fn remove_folder(&self, path: &str) -> io::Result<()>;

    /// What is at a path.
    ///
    /// # Errors
    /// What the kernel says.
    fn kind(&self, path: &str) -> io::Result<Kind>;

    /// Whether the environment has such a variable, with something in it.
    fn has_variable(&self, name: &str) -> bool;

    /// Gives a command to the TPM, and returns its answer.
    ///
    /// # Errors
    /// What the kernel says. What the TPM says is an answer.
    fn tpm(&self, command: &[u8]) -> io::Result<Vec<u8>>;

    /// Has the firmware of SEV-SNP make a report over `data` for a privilege level, by way of
    /// [`SEV_GUEST`].
    ///
    /// # Errors
    /// What the kernel says, with the codes of host and firmware where it has some.
    fn sev_guest(&self, data: &[u8; 64], level: u32) -> io::Result<SevGuestAnswer>;

    /// What Azure's metadata service (IMDS, at 169.254.169.254) says at a path, or to a JSON that it
    /// is given there. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Why there is no answer, in words; [`ErrorKind::Unsupported`] from a machine without one.
    fn metadata(&self, path: &str, json: Option<&Value>) -> io::Result<Value> {
        let _ = (path, json);
        Err(ErrorKind::Unsupported.into())
    }
}

/// What can be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A character device.
    Device,
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}

/// The machine that this process runs on.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    #[cfg(feature = "azure-attester")]
    metadata: String,
}

impl Host {
    /// All of it.
    #[must_use]
    pub fn new() -> Self {
        Self::at("/")
    }

    /// Its files below `root` instead of `/`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            #[cfg(feature = "azure-attester")]
            metadata: metadata::ADDRESS.to_owned(),
        }
    }

    /// With a metadata service at another address, such as `http://127.0.0.1:8080`.
    #[cfg(feature = "azure-attester")]
    #[must_use]
    pub fn with_metadata_at(self, address: impl Into<String>) -> Self {
        let metadata = address.into();
        Self { metadata, ..self }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for Host {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        File::open(self.path(path))?
            .take(most.saturating_add(1))
            .read_to_end(&mut content)?;
        match content.len() > bytes_max {
            true => Err(ErrorKind::FileTooLarge.into()),
            false => Ok(content),
        }
    }

    fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        // Not `fs::write`, which makes the file where there is none.
        let mut file = OpenOptions::new().write(true).open(self.path(path))?;
        match file.write(content)? {
            written if written == content.len() => Ok(()),
            _ => Err(ErrorKind::WriteZero.into()),
        }
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        fs::create_dir(self.path(path))
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        fs::remove_dir(self.path(path))
    }

    fn kind(&self, path: &str) -> io::Result<Kind> {
        let kind = fs::metadata(self.path(path))?.file_type();
        Ok(match kind {
            kind if kind.is_char_device() => Kind::Device,
            kind if kind.is_dir() => Kind::Folder,
            _ => Kind::Other,
        })
    }

    fn has_variable(&self, name: &str) -> bool {
        std::env::var_os(name).is_some_and(|value| !value.is_empty())
    }

    fn tpm(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(TPM))?;
        // One write is one command, and one read is its answer.
        device.write_all(command)?;
        let mut answer = vec![0; TPM_BYTES_MAX];
        let length = device.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }

    fn sev_guest(&self, data: &[u8; 64], level: u32) -> io::Result<SevGuestAnswer> {
        let mut device = OpenOptions::new();
        let device = device.read(true).write(true).open(self.path(SEV_GUEST))?;
        sev_guest::report(&device, data, level)
    }

    #[cfg(feature = "azure-attester")]
    fn metadata(&self, path: &str, json: Option<&Value>) -> io::Result<Value> {
        metadata::ask(&self.metadata, path, json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::at(folder.path());
        (folder, host)
    }

    #[test]
    fn a_file_is_read_up_to_a_bound() {
        let (folder, host) = machine();
        fs::write(folder.path().join("a"), "four").unwrap();
        assert_eq!(host.read("/a", 4).unwrap(), b"four");
        let kind = |result: io::Result<Vec<u8>>| result.unwrap_err().kind();
        assert_eq!(kind(host.read("/a", 3)), ErrorKind::FileTooLarge);
        assert_eq!(kind(host.read("/b", 3)), ErrorKind::NotFound);
    }

    #[test]
    fn no_file_is_made_by_writing_to_it() {
        let (folder, host) = machine();
        let missing = host.write("/a", b"0").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        fs::write(folder.path().join("a"), "").unwrap();
        host.write("/a", b"0").unwrap();
        assert_eq!(host.read("/a", 9).unwrap(), b"0");
    }

    #[test]
    fn folders_come_and_go() {
        let (_folder, host) = machine();
        host.create_folder("/a").unwrap();
        assert_eq!(host.kind("/a").unwrap(), Kind::Folder);
        let again = host.create_folder("/a").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        host.remove_folder("/a").unwrap();
        assert_eq!(host.kind("/a").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_not_taken_for_a_device() {
        let (folder, host) = machine();
        fs::write(folder.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("device")).unwrap();
        assert_eq!(host.kind("/file").unwrap(), Kind::Other);
        assert_eq!(host.kind("/device").unwrap(), Kind::Device);
    }

    #[test]
    fn a_variable_has_something_in_it() {
        let host = Host::new();
        assert!(host.has_variable("PATH"));
        assert!(!host.has_variable("PROPELLER_NO_SUCH_VARIABLE"));
    }

    #[test]
    fn there_is_no_device_in_an_empty_folder() {
        let (_folder, host) = machine();
        let missing = host.tpm(&[]).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let missing = host.sev_guest(&[0; 64], 0).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
}
