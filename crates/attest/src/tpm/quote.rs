//! A quote: the values of all registers, and what the TPM signs about them.

use super::attested::{ALL, Quoted, REGISTERS, SHA256};
use super::{Fields, PLAIN, TpmError, ask, authorized, command};
use crate::detect::Machine;

/// `TPM_CC_Quote`.
const QUOTE: u32 = 0x0158;
/// `TPM_CC_PCR_Read`.
const READ_REGISTERS: u32 = 0x017e;

/// `TPM_ALG_NULL`: the key's own scheme.
const NO_SCHEME: u16 = 0x0010;
/// `TPM_ALG_RSASSA`: PKCS #1 1.5.
const RSASSA: u16 = 0x0014;

/// A register's value.
pub(crate) type Register = [u8; 32];

/// A quote as it came from the TPM.
#[derive(Debug)]
pub(crate) struct Quote {
    /// What is signed: `TPMS_ATTEST`.
    pub(crate) message: Vec<u8>,
    /// RSA, PKCS #1 1.5 with SHA-256.
    pub(crate) signature: Vec<u8>,
}

/// Has `key` sign `data` with the registers. TPMs take 50 bytes, some a few more.
pub(crate) fn quote(machine: &dyn Machine, key: u32, data: &[u8]) -> Result<Quote, TpmError> {
    let answer = ask(machine, &ask_for_quote(key, data)?)?;
    let mut fields = Fields(&answer);
    let _length = fields.u32()?;
    let message = fields.sized()?.to_vec();
    if (fields.u16()?, fields.u16()?) != (RSASSA, SHA256) {
        return Err(TpmError::Malformed);
    }
    let signature = fields.sized()?.to_vec();
    match Quoted::read(&message)?.data == data {
        true => Ok(Quote { message, signature }),
        false => Err(TpmError::Malformed),
    }
}

fn ask_for_quote(key: u32, data: &[u8]) -> Result<Vec<u8>, TpmError> {
    let length = u16::try_from(data.len()).map_err(|_| TpmError::Malformed)?;
    let parameters: [&[u8]; 4] = [
        &length.to_be_bytes(),
        data,
        &NO_SCHEME.to_be_bytes(),
        &selection(ALL),
    ];
    Ok(authorized(QUOTE, &[key], &parameters))
}

/// The values of all registers of SHA-256: of 0, of 1, up to 23. A TPM gives out a few at a time.
pub(crate) fn registers(machine: &dyn Machine) -> Result<Vec<Register>, TpmError> {
    let mut values = Vec::new();
    let mut left = ALL;
    while values.len() < REGISTERS {
        let asked = command(PLAIN, READ_REGISTERS, &[&selection(left)]);
        let answer = ask(machine, &asked)?;
        let (given, some) = given(&answer)?;
        // Lowest first, and none twice: what comes is what is next.
        let next = u32::from_le_bytes([left[0], left[1], left[2], 0]);
        let bits = u32::from_le_bytes([given[0], given[1], given[2], 0]);
        let rest = next & !bits;
        let is_next = bits & !next == 0 && (rest == 0 || rest.trailing_zeros() > bits.ilog2());
        if !is_next || usize::try_from(bits.count_ones()) != Ok(some.len()) {
            return Err(TpmError::Malformed);
        }
        values.extend(some);
        let [a, b, c, _] = rest.to_le_bytes();
        left = [a, b, c];
    }
    Ok(values)
}

/// Which registers an answer is about, and their values; there is at least one.
fn given(answer: &[u8]) -> Result<([u8; 3], Vec<Register>), TpmError> {
    let mut fields = Fields(answer);
    let _counter = fields.u32()?;
    let bits = match (fields.u32()?, fields.u16()?, fields.take(4)?) {
        (1, SHA256, [3, a, b, c]) if [*a, *b, *c] != [0; 3] => [*a, *b, *c],
        _ => return Err(TpmError::Malformed),
    };
    let count = fields.u32()?;
    let values = (0..count.min(32)).map(|_| {
        let value = fields.sized()?;
        value.try_into().map_err(|_| TpmError::Malformed)
    });
    Ok((bits, values.collect::<Result<_, _>>()?))
}

/// `TPML_PCR_SELECTION` of one bank.
fn selection(bits: [u8; 3]) -> Vec<u8> {
    [&1_u32.to_be_bytes()[..], &SHA256.to_be_bytes(), &[3], &bits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_these_bytes() {
        let asks = ask_for_quote(0x8100_0003, b"data").unwrap();
        let expected = [
            "8002000000330000015881000003",
            "00000009400000090000000000",
            "000464617461",
            "0010",
            "00000001000b03ffffff",
        ];
        let asks = data_encoding::HEXLOWER.encode(&asks);
        let size = format!("{:08x}", expected.concat().len() / 2);
        assert_eq!(asks, expected.concat().replacen("00000033", &size, 1));
        let asks = command(PLAIN, READ_REGISTERS, &[&selection([1, 2, 4])]);
        let asks = data_encoding::HEXLOWER.encode(&asks);
        assert_eq!(asks, "8001000000140000017e00000001000b03010204");
    }

    #[test]
    fn an_answer_gives_some_registers_or_makes_no_sense() {
        let answer = |bits: [u8; 3], count: u32, values: usize| {
            let value = [&[0, 32][..], &[9; 32]].concat();
            [
                &[0; 4][..],
                &selection(bits),
                &count.to_be_bytes(),
                &value.repeat(values),
            ]
            .concat()
        };
        let (bits, values) = given(&answer([3, 0, 0], 2, 2)).unwrap();
        assert_eq!((bits, values), ([3, 0, 0], vec![[9; 32]; 2]));
        for nonsense in [
            answer([0; 3], 0, 0),
            answer([1, 0, 0], 1, 0),
            answer([1, 0, 0], u32::MAX, 1),
            Vec::new(),
        ] {
            assert!(given(&nonsense).is_err(), "{nonsense:?}");
        }
    }
}
