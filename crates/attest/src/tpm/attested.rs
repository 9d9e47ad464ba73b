//! What a TPM signs about its registers: `TPMS_ATTEST` of a quote (TPM 2.0 Library, part 2, 10.12).
//!
//! ```text
//!  ff 54 43 47 │ 80 18 │ name of the key that signs │ data of who asked │ clock, 17 bytes
//!  │ firmware u64 │ 1 u32 │ hash u16 │ 3 u8 │ registers, a bit each │ hash of them all
//! ```

use super::{Fields, TpmError};

/// `TPM_GENERATED_VALUE`: nothing else that the key signs begins like that.
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_QUOTE`.
const QUOTE: u16 = 0x8018;
/// `TPM_ALG_SHA256`.
pub(super) const SHA256: u16 = 0x000b;
/// Of a TPM's registers, all: PCR 0 to 23.
pub(crate) const REGISTERS: usize = 24;
/// Their bits.
pub(super) const ALL: [u8; 3] = [0xff; 3];

/// Of a clock: milliseconds u64, resets u32, restarts u32, and whether it may have gone back u8.
const CLOCK_BYTES: usize = 17;
const FIRMWARE_BYTES: usize = 8;

/// What is signed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Quoted<'a> {
    /// The report data.
    pub(crate) data: &'a [u8],
    /// SHA-256 over the values of all registers.
    pub(crate) registers: &'a [u8],
}

impl<'a> Quoted<'a> {
    /// Reads a quote of all registers of SHA-256.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] for anything else.
    pub(crate) fn read(attest: &'a [u8]) -> Result<Self, TpmError> {
        let mut fields = Fields(attest);
        if (fields.u32()?, fields.u16()?) != (GENERATED, QUOTE) {
            return Err(TpmError::Malformed);
        }
        let _signer = fields.sized()?;
        let data = fields.sized()?;
        fields.take(CLOCK_BYTES + FIRMWARE_BYTES)?;
        selected(&mut fields, ALL)?;
        let registers = fields.sized()?;
        match fields.0 {
            [] => Ok(Self { data, registers }),
            _ => Err(TpmError::Malformed),
        }
    }
}

/// That these registers of SHA-256, and no other, are selected (`TPML_PCR_SELECTION`).
fn selected(fields: &mut Fields<'_>, expected: [u8; 3]) -> Result<(), TpmError> {
    match (fields.u32()?, fields.u16()?, fields.take(4)?) {
        (1, SHA256, [3, bits @ ..]) if *bits == expected => Ok(()),
        _ => Err(TpmError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote() -> Vec<u8> {
        [
            &GENERATED.to_be_bytes()[..],
            &QUOTE.to_be_bytes(),
            &[0, 2, 0xaa, 0xbb],
            &[0, 4],
            b"data",
            &[7; CLOCK_BYTES + FIRMWARE_BYTES],
            &[0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0xff, 0xff],
            &[0, 3],
            b"pcr",
        ]
        .concat()
    }

    #[test]
    fn a_quote_says_what_it_is_about() {
        let quote = quote();
        let expected = Quoted {
            data: b"data",
            registers: b"pcr",
        };
        assert_eq!(Quoted::read(&quote).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_no_quote() {
        let mut quote = quote();
        for end in 0..quote.len() {
            assert!(Quoted::read(&quote[..end]).is_err(), "{end}");
        }
        quote.push(0);
        assert!(Quoted::read(&quote).is_err());
    }

    #[test]
    fn a_quote_of_other_registers_is_none() {
        // The kind, the number of banks, the hash, the number of bytes, and each byte of bits.
        let selection = quote().len() - 15;
        for at in [0, 4, 5, selection + 3, selection + 5, selection + 6]
            .into_iter()
            .chain(selection + 7..selection + 10)
        {
            let mut other = quote();
            other[at] ^= 1;
            assert!(Quoted::read(&other).is_err(), "{at}");
        }
    }
}
