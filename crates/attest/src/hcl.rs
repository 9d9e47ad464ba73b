//! What Azure's paravisor leaves in the virtual TPM of a VM: the attestation report of its Host
//! Compatibility Layer (HCL). It is read here, and nothing in it is believed: the hardware's report
//! in it vouches for the JSON, by its hash, and the JSON for the key with which the TPM signs quotes.
//!
//! ```text
//!      0  "HCLA" │ version u32 │ size u32 │ request u32 │ status u32 │ 12 reserved bytes
//!     32  the report of the hardware, 1184 bytes of room
//!   1216  size u32 │ version u32 │ kind of report u32 │ hash u32 │ size u32 │ JSON
//! ```
//!
//! Numbers are little-endian. Virtual machines that are no TEE may have such a report too, of
//! another kind.

use crate::Tee;

/// The index of the TPM in which it is.
pub(crate) const INDEX: u32 = 0x0140_0001;

/// As much of it says of which kind it is.
pub(crate) const HEAD_BYTES: u16 = 1236;

const MAGIC: &[u8] = b"HCLA";
/// Where the hardware's report begins and ends.
#[cfg(any(feature = "azure-attester", feature = "verify"))]
const HARDWARE: std::ops::Range<usize> = 32..1216;
const KIND_AT: usize = 1216 + 8;
#[cfg(feature = "verify")]
const HASH_AT: usize = 1216 + 12;
#[cfg(feature = "verify")]
const JSON_SIZE_AT: usize = 1216 + 16;

/// What the report in the TPM says that this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// A TEE that is known here.
    Of(Tee),
    /// A virtual machine whose memory its host can read.
    Ordinary { kind: u32 },
    /// Of a kind that is not known here.
    Unknown { kind: u32 },
    /// Not such a report.
    Foreign,
}

/// Reads the first [`HEAD_BYTES`].
pub(crate) fn report(head: &[u8]) -> Report {
    let kind = head.get(KIND_AT..).and_then(<[u8]>::first_chunk);
    match (head.starts_with(MAGIC), kind) {
        (true, Some(kind)) => match u32::from_le_bytes(*kind) {
            2 => Report::Of(Tee::AzSnpVtpm),
            4 => Report::Of(Tee::AzTdxVtpm),
            // Virtualization-based security, and Trusted Launch.
            kind @ (1 | 3) => Report::Ordinary { kind },
            kind => Report::Unknown { kind },
        },
        _ => Report::Foreign,
    }
}

/// The hardware's report in it: 1184 bytes of SEV-SNP, or 1024 of TDX and zeros.
#[cfg(any(feature = "azure-attester", feature = "verify"))]
pub(crate) fn hardware(report: &[u8]) -> Option<&[u8]> {
    report.get(HARDWARE)
}

/// The JSON whose hash is in the hardware's report; `None` if it was hashed with anything but
/// SHA-256, or if it is not whole.
#[cfg(feature = "verify")]
pub(crate) fn runtime_data(report: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| {
        let bytes = report.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let rest = report.get(HEAD_BYTES.into()..)?;
    match number(HASH_AT)? {
        1 => rest.get(..number(JSON_SIZE_AT)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: u32) -> Vec<u8> {
        let mut head = vec![0; HEAD_BYTES.into()];
        head[..4].copy_from_slice(MAGIC);
        head[KIND_AT..][..4].copy_from_slice(&kind.to_le_bytes());
        head
    }

    #[test]
    fn the_kind_of_report_says_what_the_machine_is() {
        assert_eq!(report(&head(2)), Report::Of(Tee::AzSnpVtpm));
        assert_eq!(report(&head(4)), Report::Of(Tee::AzTdxVtpm));
        assert_eq!(report(&head(1)), Report::Ordinary { kind: 1 });
        assert_eq!(report(&head(3)), Report::Ordinary { kind: 3 });
        assert_eq!(report(&head(5)), Report::Unknown { kind: 5 });
        assert_eq!(report(&head(0)), Report::Unknown { kind: 0 });
    }

    #[test]
    fn what_is_cut_short_or_is_something_else_is_foreign() {
        assert_eq!(report(&[]), Report::Foreign);
        assert_eq!(report(&head(2)[..KIND_AT + 3]), Report::Foreign);
        let mut other = head(2);
        other[0] = b'h';
        assert_eq!(report(&other), Report::Foreign);
    }

    #[cfg(feature = "verify")]
    #[test]
    fn the_json_is_as_long_as_it_says_and_hashed_with_sha_256() {
        let mut report = head(2);
        report[HASH_AT] = 1;
        report[JSON_SIZE_AT] = 4;
        report.extend(b"{}  ignored");
        assert_eq!(runtime_data(&report), Some(&b"{}  "[..]));
        assert_eq!(hardware(&report).map(<[u8]>::len), Some(1184));
        assert_eq!(runtime_data(&report[..report.len() - 8]), None);
        report[HASH_AT] = 2;
        assert_eq!(runtime_data(&report), None);
        assert_eq!(runtime_data(&[]), None);
        assert_eq!(hardware(&[0; 1215]), None);
    }
}
