//! As much of protobuf's encoding as an attestation-agent's messages take.
//!
//! ```text
//!  field   key varint = number << 3 │ type, then
//!          0  varint │ 1  8 bytes │ 2  length varint, bytes │ 5  4 bytes
//!  varint  7 bits a byte, the lowest first, the top bit set where another follows
//! ```
//!
//! A field that is not there is zero or empty; of one that is there twice, the last counts.

/// Not that encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A field of bytes or text. An empty one is left out.
pub(super) fn put_bytes(message: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    put_always(message, field, bytes);
}

/// A field of bytes or text, even if it is empty.
pub(super) fn put_always(message: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put(message, u64::from(field) << 3 | 2);
    put(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// A field with a number.
pub(super) fn put_number(message: &mut Vec<u8>, field: u32, number: u64) {
    put(message, u64::from(field) << 3);
    put(message, number);
}

fn put(message: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        match number {
            0 => return message.push(low),
            _ => message.push(low | 0x80),
        }
    }
}

/// The bytes of a field.
pub(super) fn bytes(message: &[u8], field: u32) -> Result<&[u8], Malformed> {
    let mut found = &[][..];
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match value {
            Value::Bytes(bytes) if number == u64::from(field) => found = bytes,
            _ if number == u64::from(field) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(found)
}

/// The number of a field.
pub(super) fn number(message: &[u8], field: u32) -> Result<u64, Malformed> {
    let mut found = 0;
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match value {
            Value::Number(value) if number == u64::from(field) => found = value,
            _ if number == u64::from(field) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(found)
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of four or eight bytes, which no message here has.
    Fixed,
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok(Some((number, value))),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(self.take(1)?[0]);
            let bits = byte & 0x7f;
            number |= bits << shift;
            if byte < 0x80 {
                // Of the tenth byte, one bit is left.
                return match bits << shift >> shift == bits {
                    true => Ok(number),
                    false => Err(Malformed),
                };
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_seven_bits_at_a_time() {
        for (value, expected) in [
            (0, &[0x08, 0][..]),
            (127, &[0x08, 0x7f]),
            (300, &[0x08, 0xac, 0x02]),
            (
                u64::MAX,
                &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            ),
        ] {
            let mut message = Vec::new();
            put_number(&mut message, 1, value);
            assert_eq!(message, expected);
            assert_eq!(number(&message, 1), Ok(value));
        }
    }

    #[test]
    fn bytes_come_after_their_length() {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, b"kbs");
        put_bytes(&mut message, 3, b"");
        put_always(&mut message, 3, b"");
        put_bytes(&mut message, 17, &[0; 128]);
        assert_eq!(message[..7], *b"\x0a\x03kbs\x1a\0");
        assert_eq!(message[7..11], [0x8a, 0x01, 0x80, 0x01]);
        assert_eq!(bytes(&message, 1), Ok(&b"kbs"[..]));
        assert_eq!(bytes(&message, 17).unwrap().len(), 128);
    }

    #[test]
    fn what_is_not_there_is_empty_and_the_last_of_two_counts() {
        assert_eq!(bytes(&[], 1), Ok(&[][..]));
        assert_eq!(number(&[], 1), Ok(0));
        assert_eq!(bytes(b"\x0a\x01a\x0a\x01b", 1), Ok(&b"b"[..]));
        assert_eq!(number(&[0x08, 1, 0x08, 2], 1), Ok(2));
    }

    #[test]
    fn other_fields_are_stepped_over() {
        let message = b"\x11\0\0\0\0\0\0\0\0\x1d\0\0\0\0\x20\x05\x0a\x01a";
        assert_eq!(bytes(message, 1), Ok(&b"a"[..]));
    }

    #[test]
    fn no_bytes_are_taken_for_a_message_that_are_none() {
        for message in [
            &[0x0a][..],
            &[0x0a, 2, 0],
            // A length that no memory has.
            &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            // More than 64 bits, and more than ten bytes.
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &[8, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0],
            // Field 0, groups, a number where bytes belong.
            &[0x02, 0],
            &[0x0b],
            &[0x0c],
            &[0x0f],
            &[0x08, 0],
            &[0x0d, 0, 0, 0],
            &[0x09, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(bytes(message, 1), Err(Malformed), "{message:?}");
        }
        assert_eq!(number(b"\x0a\x01a", 1), Err(Malformed));
    }
}
