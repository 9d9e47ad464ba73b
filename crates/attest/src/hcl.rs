//! What Azure's paravisor leaves in the virtual TPM of a VM: the attestation report of its Host
//! Compatibility Layer (HCL), of which the kind is read here and nothing is believed.
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
const KIND_AT: usize = 32 + 1184 + 8;

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
}
