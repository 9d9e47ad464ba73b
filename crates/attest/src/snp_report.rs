//! The attestation report of AMD SEV-SNP: the 1184 bytes that the firmware signs, and the JSON form
//! in which key brokers get them.
//!
//! The bytes are those of `ATTESTATION_REPORT` in AMD's SEV Secure Nested Paging Firmware ABI
//! Specification (document 56860), versions 2 to 5. The JSON is what the Rust crate `sev` writes of
//! its type of that name, from its version 6.3.1 on: a byte array is an array of numbers.
//!
//! Both directions are exact: whatever one form says, the other says too. So a report is refused
//! that has anything in bytes the format keeps for later, as the JSON has no words for it, and a
//! JSON that has more or less than its version of the format. That a report is well formed says
//! nothing about who made it.

mod json;
mod tcb;

use std::fmt;

use serde_json::Value;

pub use tcb::{Product, SnpTcb, SnpVersion};

use tcb::Layout;

/// How many bytes a report has.
pub const REPORT_BYTES: usize = 1184;
/// How many of them, from the first on, the signature covers.
pub const SIGNED_BYTES: usize = 0x2a0;

/// The oldest and the newest version of the format that is understood.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=5;

/// Offsets of fields, from the table in the specification; integers are little-endian.
mod at {
    pub(super) const VERSION: usize = 0x000;
    pub(super) const GUEST_SVN: usize = 0x004;
    pub(super) const POLICY: usize = 0x008;
    pub(super) const FAMILY_ID: usize = 0x010;
    pub(super) const IMAGE_ID: usize = 0x020;
    pub(super) const VMPL: usize = 0x030;
    pub(super) const SIGNATURE_ALGORITHM: usize = 0x034;
    pub(super) const CURRENT_TCB: usize = 0x038;
    pub(super) const PLATFORM_INFO: usize = 0x040;
    pub(super) const KEY_INFO: usize = 0x048;
    pub(super) const REPORT_DATA: usize = 0x050;
    pub(super) const MEASUREMENT: usize = 0x090;
    pub(super) const HOST_DATA: usize = 0x0c0;
    pub(super) const ID_KEY_DIGEST: usize = 0x0e0;
    pub(super) const AUTHOR_KEY_DIGEST: usize = 0x110;
    pub(super) const REPORT_ID: usize = 0x140;
    pub(super) const REPORT_ID_MA: usize = 0x160;
    pub(super) const REPORTED_TCB: usize = 0x180;
    /// Family, model and stepping; from version 3 on.
    pub(super) const CPUID: usize = 0x188;
    pub(super) const CHIP_ID: usize = 0x1a0;
    pub(super) const COMMITTED_TCB: usize = 0x1e0;
    pub(super) const CURRENT: usize = 0x1e8;
    pub(super) const COMMITTED: usize = 0x1ec;
    pub(super) const LAUNCH_TCB: usize = 0x1f0;
    /// From version 5 on.
    pub(super) const LAUNCH_MITIGATIONS: usize = 0x1f8;
    /// From version 5 on.
    pub(super) const CURRENT_MITIGATIONS: usize = 0x200;
    /// `r` and `s`, little-endian, 72 bytes each.
    pub(super) const SIGNATURE: usize = super::SIGNED_BYTES;
}

/// How many bytes each half of a signature has.
const HALF_BYTES: usize = 72;

/// Where the four TCB versions are.
const TCBS: [usize; 4] = [
    at::CURRENT_TCB,
    at::REPORTED_TCB,
    at::COMMITTED_TCB,
    at::LAUNCH_TCB,
];

/// Why bytes or JSON are not a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnpReportError {
    /// Too many bytes, or too few.
    #[error("a report of SEV-SNP has {REPORT_BYTES} bytes, this has {bytes}")]
    Length {
        /// How many there are.
        bytes: usize,
    },
    /// A version of the format that is not understood.
    #[error("a report in version {version} of its format, and versions 2 to 5 are understood")]
    Version {
        /// What it says.
        version: u32,
    },
    /// Something in bytes that the format keeps for later.
    #[error(
        "byte {offset:#05x} of the report is not zero, though its version of the format keeps it for later: its firmware may be newer than this program"
    )]
    Reserved {
        /// Where, from the start of the report.
        offset: usize,
    },
    /// A processor whose layout of TCB versions is not known.
    #[error(
        "a report from a processor of family {family:#04x}, model {model:#04x}, which is not known to have SEV-SNP"
    )]
    Processor {
        /// Family, with the extended one.
        family: u8,
        /// Model, with the extended one.
        model: u8,
    },
    /// Version 2 says its processor by the chip's identifier alone.
    #[error(
        "a report in version 2 without the chip's identifier cannot be read: let the host set MASK_CHIP_ID to 0, or update its firmware"
    )]
    ChipMasked,
    /// Not the JSON form.
    #[error("not the JSON form of a report of SEV-SNP")]
    Json(#[source] serde_json::Error),
    /// A member that has to be null in this version of the format, or must not be.
    #[error("member `{member}` does not fit version {version} of the format, or its processor")]
    Member {
        /// Its name.
        member: &'static str,
        /// The version of the format.
        version: u32,
    },
}

/// A well-formed report. Whether a processor signed it is for the module `verify` to say.
#[derive(Clone, PartialEq, Eq)]
pub struct SnpReport {
    bytes: Box<[u8; REPORT_BYTES]>,
    layout: Layout,
}

impl SnpReport {
    /// The report in what the firmware wrote.
    ///
    /// # Errors
    /// If there is anything but a whole report in a version that is understood.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnpReportError> {
        let length = SnpReportError::Length { bytes: bytes.len() };
        let bytes = <[u8; REPORT_BYTES]>::try_from(bytes).map_err(|_| length)?;
        let mut report = Self {
            bytes: Box::new(bytes),
            layout: Layout::Milan,
        };
        let version = report.version();
        if !VERSIONS.contains(&version) {
            return Err(SnpReportError::Version { version });
        }
        report.layout = report.find_layout()?;
        match report.first_reserved() {
            None => Ok(report),
            Some(offset) => Err(SnpReportError::Reserved { offset }),
        }
    }

    /// The bytes that [`from_bytes`](Self::from_bytes) reads.
    #[must_use]
    pub fn to_bytes(&self) -> &[u8; REPORT_BYTES] {
        &self.bytes
    }

    /// The report in the JSON form.
    ///
    /// # Errors
    /// If it has a member too many or too few, or what no report can say.
    pub fn from_json(value: &Value) -> Result<Self, SnpReportError> {
        json::read(value)
    }

    /// The JSON form that [`from_json`](Self::from_json) reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json::write(self)
    }

    /// Version of the format, 2 to 5.
    #[must_use]
    pub fn version(&self) -> u32 {
        u32::from_le_bytes(self.array(at::VERSION))
    }

    /// Security version of the guest, as its owner set it.
    #[must_use]
    pub fn guest_svn(&self) -> u32 {
        u32::from_le_bytes(self.array(at::GUEST_SVN))
    }

    /// What the guest's owner lets the host do.
    #[must_use]
    pub fn policy(&self) -> GuestPolicy {
        GuestPolicy(u64::from_le_bytes(self.array(at::POLICY)))
    }

    /// Privilege level of who asked for the report, 0 being the highest.
    #[must_use]
    pub fn vmpl(&self) -> u32 {
        u32::from_le_bytes(self.array(at::VMPL))
    }

    /// Algorithm of the signature; 1 is ECDSA on P-384 with SHA-384.
    #[must_use]
    pub fn signature_algorithm(&self) -> u32 {
        u32::from_le_bytes(self.array(at::SIGNATURE_ALGORITHM))
    }

    /// `PLATFORM_INFO`: bit 0 is simultaneous multithreading, bit 1 TSME, and so on.
    #[must_use]
    pub fn platform_info(&self) -> u64 {
        u64::from_le_bytes(self.array(at::PLATFORM_INFO))
    }

    /// The word that says which key signed.
    #[must_use]
    pub fn key_info(&self) -> KeyInfo {
        KeyInfo(u32::from_le_bytes(self.array(at::KEY_INFO)))
    }

    /// What the guest bound the report to.
    #[must_use]
    pub fn report_data(&self) -> [u8; 64] {
        self.array(at::REPORT_DATA)
    }

    /// Measurement of the guest at its launch.
    #[must_use]
    pub fn measurement(&self) -> [u8; 48] {
        self.array(at::MEASUREMENT)
    }

    /// What the host bound the guest to at its launch, such as a digest of its init-data.
    #[must_use]
    pub fn host_data(&self) -> [u8; 32] {
        self.array(at::HOST_DATA)
    }

    /// Identifier of the chip, or zeros where its host hides it.
    #[must_use]
    pub fn chip_id(&self) -> [u8; 64] {
        self.array(at::CHIP_ID)
    }

    /// The TCB version that the signing key was derived from.
    #[must_use]
    pub fn reported_tcb(&self) -> SnpTcb {
        self.tcb(at::REPORTED_TCB)
    }

    /// The TCB version that runs.
    #[must_use]
    pub fn current_tcb(&self) -> SnpTcb {
        self.tcb(at::CURRENT_TCB)
    }

    /// The TCB version below which the platform does not go back.
    #[must_use]
    pub fn committed_tcb(&self) -> SnpTcb {
        self.tcb(at::COMMITTED_TCB)
    }

    /// The TCB version that ran when the guest was launched.
    #[must_use]
    pub fn launch_tcb(&self) -> SnpTcb {
        self.tcb(at::LAUNCH_TCB)
    }

    /// The processor's product, which version 2 of the format does not say.
    #[must_use]
    pub fn product(&self) -> Option<Product> {
        let [family, model, _] = self.cpuid()?;
        Product::of(family, model)
    }

    /// What the signature is over.
    #[must_use]
    pub fn signed(&self) -> &[u8] {
        &self.bytes[..SIGNED_BYTES]
    }

    /// The halves `r` and `s` of the signature, little-endian.
    #[must_use]
    pub fn signature(&self) -> ([u8; HALF_BYTES], [u8; HALF_BYTES]) {
        let r = self.array(at::SIGNATURE);
        let s = self.array(at::SIGNATURE + HALF_BYTES);
        (r, s)
    }

    /// Family, model and stepping, from version 3 on.
    fn cpuid(&self) -> Option<[u8; 3]> {
        (self.version() >= 3).then(|| self.array(at::CPUID))
    }

    /// The vectors of mitigations at launch and now, from version 5 on.
    fn mitigations(&self) -> Option<(u64, u64)> {
        (self.version() >= 5).then(|| {
            let launch = self.array(at::LAUNCH_MITIGATIONS);
            let current = self.array(at::CURRENT_MITIGATIONS);
            (u64::from_le_bytes(launch), u64::from_le_bytes(current))
        })
    }

    fn tcb(&self, at: usize) -> SnpTcb {
        self.layout.read(self.array(at))
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let field = self.bytes[at..].first_chunk();
        *field.expect("every field is inside the report")
    }

    fn find_layout(&self) -> Result<Layout, SnpReportError> {
        match self.cpuid() {
            Some([family, model, _]) => Product::of(family, model)
                .map(Product::layout)
                .ok_or(SnpReportError::Processor { family, model }),
            None => Layout::of_chip(&self.chip_id()).ok_or(SnpReportError::ChipMasked),
        }
    }

    /// Where something is in bytes that the format keeps for later.
    fn first_reserved(&self) -> Option<usize> {
        let version = self.version();
        let cpuid_end = at::CPUID + if version >= 3 { 3 } else { 0 };
        let launch_end = if version >= 5 {
            at::CURRENT_MITIGATIONS + 8
        } else {
            at::LAUNCH_MITIGATIONS
        };
        let fixed = [
            at::KEY_INFO + 4..at::REPORT_DATA,
            cpuid_end..at::CHIP_ID,
            at::CURRENT + 3..at::COMMITTED,
            at::COMMITTED + 3..at::LAUNCH_TCB,
            launch_end..at::SIGNATURE,
            at::SIGNATURE + 2 * HALF_BYTES..REPORT_BYTES,
        ];
        let in_tcb = self.layout.reserved();
        let tcbs = TCBS.map(|at| at + in_tcb.start..at + in_tcb.end);
        fixed
            .into_iter()
            .chain(tcbs)
            .flatten()
            .find(|offset| self.bytes[*offset] != 0)
    }
}

impl fmt::Debug for SnpReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnpReport")
            .field("version", &self.version())
            .field("reported_tcb", &self.reported_tcb())
            .field("measurement", &self.measurement())
            .finish_non_exhaustive()
    }
}

/// `POLICY`: what the guest's owner lets the host do, for as long as the guest lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    /// Whether a migration agent may move the guest to another machine.
    #[must_use]
    pub fn allows_migration(self) -> bool {
        self.0 & 1 << 18 != 0
    }

    /// Whether the host may read and write the guest's memory.
    #[must_use]
    pub fn allows_debugging(self) -> bool {
        self.0 & 1 << 19 != 0
    }
}

/// The word at 0x48: which key signed the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInfo(pub u32);

impl KeyInfo {
    /// `SIGNING_KEY`: 0 is the chip's own key (VCEK), 1 one that AMD gave to a cloud's operator
    /// (VLEK), 7 none.
    #[must_use]
    pub fn signing_key(self) -> u32 {
        self.0 >> 2 & 0b111
    }
}
