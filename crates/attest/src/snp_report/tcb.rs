//! Versions of the trusted computing base (TCB) of a processor, and which processors there are.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Processors with SEV-SNP, by the name of their keys at AMD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
    /// EPYC of family 1Ah after Turin.
    Venice,
}

impl Product {
    /// By family and model, each with its extended part, as CPUID says them.
    #[must_use]
    pub fn of(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            (0x1a, 0x50..=0x57 | 0x90..=0x9f | 0xa0..=0xaf | 0xc0..=0xc7) => Some(Self::Venice),
            _ => None,
        }
    }

    /// As certificates call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
            Self::Venice => "Venice",
        }
    }

    pub(super) fn layout(self) -> Layout {
        match self {
            Self::Milan | Self::Genoa => Layout::Milan,
            Self::Turin | Self::Venice => Layout::Turin,
        }
    }
}

/// Security versions of the parts that a guest relies on. More is newer, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpTcb {
    /// Of the firmware that comes before the boot loader, from Turin on.
    pub fmc: Option<u8>,
    /// Of the security processor's boot loader.
    pub bootloader: u8,
    /// Of its operating system.
    pub tee: u8,
    /// Of its SEV-SNP firmware.
    pub snp: u8,
    /// Of the microcode, the lowest of all cores.
    pub microcode: u8,
}

impl SnpTcb {
    /// Whether no part is older than in `min`. A part that `min` does not name may have any
    /// version.
    #[must_use]
    pub fn is_at_least(&self, min: &Self) -> bool {
        let Self {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        } = *self;
        // `None` is less than every number.
        fmc >= min.fmc
            && bootloader >= min.bootloader
            && tee >= min.tee
            && snp >= min.snp
            && microcode >= min.microcode
    }
}

impl fmt::Display for SnpTcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        } = self;
        if let Some(fmc) = fmc {
            write!(f, "fmc {fmc}, ")?;
        }
        write!(
            f,
            "bootloader {bootloader}, tee {tee}, snp {snp}, microcode {microcode}"
        )
    }
}

/// Version of the SEV-SNP firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnpVersion {
    /// Of the ABI.
    pub major: u8,
    /// Of the ABI.
    pub minor: u8,
    /// Of the firmware.
    pub build: u8,
}

/// `TCB_VERSION`: which of its eight bytes is what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Up to Genoa.
    Milan,
    /// From Turin on.
    Turin,
}

impl Layout {
    /// In version 2 of a report the chip's identifier says it: Turin's has eight bytes, then zeros.
    pub(super) fn of_chip(chip_id: &[u8; 64]) -> Option<Self> {
        let (head, tail) = chip_id.split_at(8);
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        match (is_zero(head), is_zero(tail)) {
            (true, true) => None,
            (false, true) => Some(Self::Turin),
            (_, false) => Some(Self::Milan),
        }
    }

    /// The bytes kept for later.
    pub(super) fn reserved(self) -> Range<usize> {
        match self {
            Self::Milan => 2..6,
            Self::Turin => 4..7,
        }
    }

    pub(super) fn read(self, bytes: [u8; 8]) -> SnpTcb {
        let [a, b, c, d, _, _, e, microcode] = bytes;
        match self {
            Self::Milan => SnpTcb {
                fmc: None,
                bootloader: a,
                tee: b,
                snp: e,
                microcode,
            },
            Self::Turin => SnpTcb {
                fmc: Some(a),
                bootloader: b,
                tee: c,
                snp: d,
                microcode,
            },
        }
    }

    /// `None` if this layout has no place for the first firmware's version, or needs it.
    pub(super) fn write(self, tcb: SnpTcb) -> Option<[u8; 8]> {
        let SnpTcb {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        } = tcb;
        match (self, fmc) {
            (Self::Milan, None) => Some([bootloader, tee, 0, 0, 0, 0, snp, microcode]),
            (Self::Turin, Some(fmc)) => Some([fmc, bootloader, tee, snp, 0, 0, 0, microcode]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcb_is_old_if_one_part_of_it_is() {
        let tcb = SnpTcb {
            fmc: None,
            bootloader: 3,
            tee: 0,
            snp: 8,
            microcode: 115,
        };
        assert!(tcb.is_at_least(&tcb));
        assert!(tcb.is_at_least(&SnpTcb::default()));
        let newer: [fn(&mut SnpTcb); 5] = [
            |min| min.fmc = Some(0),
            |min| min.bootloader += 1,
            |min| min.tee += 1,
            |min| min.snp += 1,
            |min| min.microcode += 1,
        ];
        for part in newer {
            let mut min = tcb;
            part(&mut min);
            assert!(!tcb.is_at_least(&min), "{min}");
        }
    }

    #[test]
    fn a_layout_has_room_for_its_own_parts_alone() {
        for layout in [Layout::Milan, Layout::Turin] {
            let mut bytes = [1, 2, 3, 4, 5, 6, 7, 8];
            bytes[layout.reserved()].fill(0);
            let tcb = layout.read(bytes);
            assert_eq!(layout.write(tcb), Some(bytes));
            let other = SnpTcb {
                fmc: tcb.fmc.xor(Some(9)),
                ..tcb
            };
            assert_eq!(layout.write(other), None);
        }
    }
}
