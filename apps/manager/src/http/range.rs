//! Ranges of bytes, as `Range` asks for them (RFC 9110, section 14).

use std::ops::Range;

/// What is asked for of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// All of it.
    Whole,
    /// Some of its bytes, at least one.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
}

impl Asked {
    /// Reads the value of a `Range` header about `len` bytes. What is no range of bytes, or is several,
    /// is not looked at.
    #[must_use]
    pub fn read(text: &str, len: u64) -> Self {
        let Some((unit, range)) = text.split_once('=') else {
            return Self::Whole;
        };
        let Some((first, last)) = range.trim().split_once('-') else {
            return Self::Whole;
        };
        // A number that is too large is larger than any object.
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let (start, end) = match (first, number(first), last, number(last)) {
            _ if !unit.eq_ignore_ascii_case("bytes") => return Self::Whole,
            ("", _, _, Some(count)) => (len.saturating_sub(count), len),
            (_, Some(start), "", _) => (start, len),
            (_, Some(start), _, Some(last)) if start <= last => (start, last.saturating_add(1)),
            _ => return Self::Whole,
        };
        let range = start..end.min(len);
        match range.is_empty() {
            true => Self::Nothing,
            false => Self::Part(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_read_and_nothing_else() {
        for (text, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-4", Asked::Part(2..5)),
            ("Bytes=2-4", Asked::Part(2..5)),
            ("bytes= 2-4", Asked::Part(2..5)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=2-99", Asked::Part(2..10)),
            ("bytes=2-99999999999999999999999", Asked::Part(2..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-99", Asked::Part(0..10)),
            ("bytes=10-", Asked::Nothing),
            ("bytes=10-11", Asked::Nothing),
            ("bytes=99999999999999999999999-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=4-2", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=1 - 2", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes", Asked::Whole),
            ("lines=1-2", Asked::Whole),
        ] {
            assert_eq!(Asked::read(text, 10), expected, "{text}");
        }
        assert_eq!(Asked::read("bytes=0-", 0), Asked::Nothing);
    }
}
