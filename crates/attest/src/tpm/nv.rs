//! Non-volatile storage: what an index is like, and what is in it.
//!
//! An index is only tried with the empty password where a wrong one would not count towards a
//! lockout.

use super::{Fields, NO_SUCH_HANDLE, PLAIN, TpmError, ask, authorized, command};
use crate::detect::Machine;

/// `TPM_CC_NV_ReadPublic`.
const READ_PUBLIC: u32 = 0x0169;
/// `TPM_CC_NV_Read`.
const READ: u32 = 0x014e;

/// `TPM_RH_OWNER`.
const OWNER: u32 = 0x4000_0001;

/// Every TPM gives out as much at a time.
const PIECE_BYTES: u16 = 1024;

/// `TPMA_NV_OWNERREAD`: the owner may read it.
const OWNER_READS: u32 = 1 << 17;
/// `TPMA_NV_AUTHREAD`: whoever has the password of the index may read it.
const INDEX_READS: u32 = 1 << 18;
/// `TPMA_NV_NO_DA`: wrong passwords do not count.
const NO_LOCKOUT: u32 = 1 << 25;
/// `TPMA_NV_WRITTEN`: there is something in it.
const WRITTEN: u32 = 1 << 29;

/// The first `bytes` of an index, or all of it if there is less; nothing where there is no such
/// index or nothing was ever written to it.
pub(crate) fn index(
    machine: &dyn Machine,
    index: u32,
    bytes: u16,
) -> Result<Option<Vec<u8>>, TpmError> {
    let described = ask(machine, &read_public(index)).and_then(|answer| public(&answer));
    let public = match described {
        Err(TpmError::Refused {
            code: NO_SUCH_HANDLE,
        }) => return Ok(None),
        described => described?,
    };
    if public.attributes & WRITTEN == 0 {
        return Ok(None);
    }
    let by = public.reader(index).ok_or(TpmError::Locked)?;
    let bytes = bytes.min(public.bytes);
    let mut content = Vec::new();
    for offset in (0..bytes).step_by(PIECE_BYTES.into()) {
        let size = PIECE_BYTES.min(bytes - offset);
        let answer = ask(machine, &read(by, index, size, offset))?;
        content.extend_from_slice(piece(&answer, size)?);
    }
    Ok(Some(content))
}

fn read_public(index: u32) -> Vec<u8> {
    command(PLAIN, READ_PUBLIC, &[&index.to_be_bytes()])
}

fn read(by: u32, index: u32, size: u16, offset: u16) -> Vec<u8> {
    let parameters = [size.to_be_bytes(), offset.to_be_bytes()];
    authorized(READ, &[by, index], &[&parameters[0], &parameters[1]])
}

/// What an index is like, of `TPM2B_NV_PUBLIC`.
#[derive(Debug, PartialEq, Eq)]
struct Public {
    attributes: u32,
    bytes: u16,
}

impl Public {
    /// Who may read it with the empty password and without risk.
    fn reader(&self, index: u32) -> Option<u32> {
        let has = |bits: u32| self.attributes & bits == bits;
        match () {
            () if has(OWNER_READS) => Some(OWNER),
            () if has(INDEX_READS | NO_LOCKOUT) => Some(index),
            () => None,
        }
    }
}

fn public(parameters: &[u8]) -> Result<Public, TpmError> {
    let mut fields = Fields(parameters);
    let mut fields = Fields(fields.sized()?);
    let (_index, _hash) = (fields.u32()?, fields.u16()?);
    let attributes = fields.u32()?;
    let _policy = fields.sized()?;
    let bytes = fields.u16()?;
    Ok(Public { attributes, bytes })
}

/// What a piece says, of an answer with authorizations.
fn piece(parameters: &[u8], size: u16) -> Result<&[u8], TpmError> {
    let mut fields = Fields(parameters);
    let _length = fields.u32()?;
    let content = fields.sized()?;
    match content.len() == usize::from(size) {
        true => Ok(content),
        false => Err(TpmError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: u32 = 0x0140_0001;

    #[test]
    fn commands_have_these_bytes() {
        let asks = data_encoding::HEXLOWER.encode(&read_public(INDEX));
        assert_eq!(asks, "80010000000e0000016901400001");
        let asks = data_encoding::HEXLOWER.encode(&read(OWNER, INDEX, 1024, 2048));
        let expected = [
            "8002000000230000014e4000000101400001",
            "00000009400000090000000000",
            "04000800",
        ];
        assert_eq!(asks, expected.concat());
    }

    #[test]
    fn a_description_that_is_cut_short_is_none() {
        let policy = [&[0, 2][..], b"po"].concat();
        let description = [
            &INDEX.to_be_bytes()[..],
            &[0, 11],
            &(OWNER_READS | WRITTEN).to_be_bytes(),
            &policy,
            &1236_u16.to_be_bytes(),
        ]
        .concat();
        let sized = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap();
            [&length.to_be_bytes()[..], bytes].concat()
        };
        let whole = public(&sized(&description)).unwrap();
        let expected = Public {
            attributes: OWNER_READS | WRITTEN,
            bytes: 1236,
        };
        assert_eq!(whole, expected);
        for end in 0..description.len() {
            assert!(public(&sized(&description[..end])).is_err(), "{end}");
        }
    }

    #[test]
    fn a_piece_has_as_many_bytes_as_were_asked_for() {
        assert_eq!(piece(b"\0\0\0\x04\0\x02ab\0\0\x01\0\0", 2).unwrap(), b"ab");
        for (answer, size) in [
            (&b"\0\0\0\x04\0\x02ab"[..], 3),
            (b"\0\0\0\x04\0\x02ab", 1),
            (b"\0\0\0\x04\0\x02a", 2),
            (b"\0\0\0\x02\0\0", 1),
            (b"", 1),
        ] {
            assert!(piece(answer, size).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn no_password_is_tried_that_could_lock_an_index() {
        let reader = |attributes| {
            Public {
                attributes,
                bytes: 1,
            }
            .reader(INDEX)
        };
        assert_eq!(reader(OWNER_READS), Some(OWNER));
        assert_eq!(reader(OWNER_READS | INDEX_READS), Some(OWNER));
        assert_eq!(reader(INDEX_READS | NO_LOCKOUT), Some(INDEX));
        assert_eq!(reader(INDEX_READS), None);
        assert_eq!(reader(NO_LOCKOUT), None);
    }
}
