//! One report of the kernel's, under way: a folder that is made in configfs, and that does not stay.

use std::io;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;

use super::machine::Machine;

/// Where the kernel makes reports (`Documentation/ABI/testing/configfs-tsm-report`).
pub(crate) const REPORTS: &str = "/sys/kernel/config/tsm/report";

/// The name of a driver is one short line.
const PROVIDER_BYTES_MAX: usize = 256;

/// A folder below [`REPORTS`] until it is dropped.
///
/// Nobody can guess its name, but root can see it: whoever wants to know that nobody else wrote to
/// it compares its `generation`.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    machine: &'a dyn Machine,
    path: String,
}

impl<'a> Entry<'a> {
    /// Makes one.
    ///
    /// # Errors
    /// What the kernel says: [`io::ErrorKind::NotFound`] without configfs, `ENXIO` without a driver.
    pub(crate) fn create(machine: &'a dyn Machine) -> io::Result<Self> {
        let mut name = [0; 16];
        rand::fill(&mut name).map_err(|_| io::Error::other("no randomness"))?;
        let path = format!("{REPORTS}/propeller-{}", HEXLOWER.encode(&name));
        machine.create_folder(&path)?;
        Ok(Self { machine, path })
    }

    /// Who makes the report: `tdx_guest`, `sev_guest`, `arm_cca_guest`.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn provider(&self) -> io::Result<String> {
        let provider = self.read("provider", PROVIDER_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&provider).trim_end().to_owned())
    }

    /// What one of its files says.
    ///
    /// # Errors
    /// As of [`Machine::read`].
    pub(crate) fn read(&self, file: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.machine.read(&self.file(file), bytes_max)
    }

    /// Gives a command to one of its files.
    ///
    /// # Errors
    /// As of [`Machine::write`]. Of a file for bytes, the kernel keeps its refusal to itself.
    #[cfg(any(feature = "tdx-attester", feature = "snp-attester"))]
    pub(crate) fn write(&self, file: &str, content: &[u8]) -> io::Result<()> {
        self.machine.write(&self.file(file), content)
    }

    fn file(&self, file: &str) -> String {
        format!("{}/{file}", self.path)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.machine.remove_folder(&self.path) {
            tracing::warn!(path = self.path, %error, "cannot remove a report of the kernel's");
        }
    }
}
