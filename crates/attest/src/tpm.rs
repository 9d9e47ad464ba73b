//! Commands to a TPM 2.0, byte by byte (TPM 2.0 Library, part 3).
//!
//! ```text
//!  command  tag u16 │ size u32 │ command u32 │ handles │ [size of authorizations u32 │ them] │ parameters
//!  answer   tag u16 │ size u32 │ code u32    │ [size of parameters u32] │ parameters │ …
//! ```
//!
//! Numbers are big-endian. The authorization is always the empty password.

#[cfg(any(feature = "azure-attester", feature = "verify"))]
pub(crate) mod attested;
pub(crate) mod nv;
#[cfg(feature = "azure-attester")]
pub(crate) mod quote;

use std::io;

use crate::detect::Machine;

/// `TPM_ST_NO_SESSIONS`: without authorizations.
const PLAIN: u16 = 0x8001;
/// `TPM_ST_SESSIONS`: with authorizations.
const AUTHORIZED: u16 = 0x8002;

/// `TPM_RS_PW`: the authorization is a password.
const PASSWORD: u32 = 0x4000_0009;

/// `TPM_RC_HANDLE` about the first handle: there is nothing at it.
const NO_SUCH_HANDLE: u32 = 0x018b;

/// Why a TPM does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TpmError {
    #[error("the TPM cannot be asked: {0}")]
    Kernel(io::Error),
    #[error("the TPM refuses with code {code:#x}")]
    Refused { code: u32 },
    #[error("the TPM's answer makes no sense")]
    Malformed,
    #[error("the TPM lets nobody read the index without a password")]
    Locked,
}

fn ask(machine: &dyn Machine, command: &[u8]) -> Result<Vec<u8>, TpmError> {
    let answer = machine.tpm(command).map_err(TpmError::Kernel)?;
    Ok(accepted(&answer)?.to_vec())
}

/// What follows the head of an answer.
fn accepted(answer: &[u8]) -> Result<&[u8], TpmError> {
    let mut fields = Fields(answer);
    let (_tag, size, code) = (fields.u16()?, fields.u32()?, fields.u32()?);
    match code {
        0 if usize::try_from(size) == Ok(answer.len()) => Ok(fields.0),
        0 => Err(TpmError::Malformed),
        code => Err(TpmError::Refused { code }),
    }
}

/// A command whose first handle is used with the empty password.
fn authorized(code: u32, handles: &[u32], parameters: &[&[u8]]) -> Vec<u8> {
    let handles: Vec<u8> = handles.iter().flat_map(|one| one.to_be_bytes()).collect();
    // No nonce, no attributes, no password.
    let authorization = [&PASSWORD.to_be_bytes()[..], &[0, 0], &[0], &[0, 0]].concat();
    let length = 9_u32.to_be_bytes();
    let head = [&handles[..], &length, &authorization].concat();
    command(AUTHORIZED, code, &[&[&head[..]], parameters].concat())
}

fn command(tag: u16, code: u32, rest: &[&[u8]]) -> Vec<u8> {
    let rest = rest.concat();
    let size = u32::try_from(10 + rest.len()).expect("a command is a few bytes");
    [
        &tag.to_be_bytes()[..],
        &size.to_be_bytes(),
        &code.to_be_bytes(),
        &rest,
    ]
    .concat()
}

/// Reads from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], TpmError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(TpmError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, TpmError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Result<u32, TpmError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Bytes after their number.
    fn sized(&mut self) -> Result<&'a [u8], TpmError> {
        let bytes = self.u16()?;
        self.take(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_length_that_it_says() {
        let answer = b"\x80\x01\0\0\0\x0c\0\0\0\0ok";
        assert_eq!(accepted(answer).unwrap(), b"ok");
        for end in 0..answer.len() {
            let cut = accepted(&answer[..end]);
            assert!(matches!(cut, Err(TpmError::Malformed)), "{end}");
        }
        let longer = accepted(b"\x80\x01\0\0\0\x0b\0\0\0\0ok");
        assert!(matches!(longer, Err(TpmError::Malformed)));
        let refused = accepted(b"\x80\x01\0\0\0\x0a\0\0\x01\x8b");
        assert!(matches!(
            refused,
            Err(TpmError::Refused {
                code: NO_SUCH_HANDLE
            })
        ));
    }
}
