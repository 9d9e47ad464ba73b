//! Ranges of bytes.

use std::ops::Range;

use crate::error::DepotError;

/// A range, in blocks of at most `len` bytes.
pub(crate) fn blocks(range: Range<u64>, len: u64) -> impl Iterator<Item = Range<u64>> {
    let count = (range.end - range.start).div_ceil(len);
    (0..count).map(move |number| {
        let start = range.start + number * len;
        start..range.end.min(start.saturating_add(len))
    })
}

/// Refuses a range that an object of `len` bytes does not have.
pub(crate) fn judge(what: &str, range: &Range<u64>, len: u64) -> Result<(), DepotError> {
    match range.start <= range.end && range.end <= len {
        true => Ok(()),
        false => Err(DepotError::Range {
            what: what.to_owned(),
            len,
            start: range.start,
            end: range.end,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_a_range_without_gaps() {
        let all = |range| blocks(range, 10).collect::<Vec<_>>();
        assert_eq!(all(5..5), []);
        assert_eq!(all(5..16), [5..15, 15..16]);
        assert_eq!(all(0..20), [0..10, 10..20]);
        assert_eq!(all(5..26), [5..15, 15..25, 25..26]);
        let end = u64::MAX;
        assert_eq!(all(end - 12..end), [end - 12..end - 2, end - 2..end]);
    }

    #[test]
    fn an_object_has_no_bytes_behind_its_end() {
        for (range, is_there) in [
            (0..0, true),
            (0..7, true),
            (7..7, true),
            (7..8, false),
            (8..8, false),
            (Range { start: 3, end: 2 }, false),
            (0..u64::MAX, false),
        ] {
            assert_eq!(judge("x", &range, 7).is_ok(), is_there, "{range:?}");
        }
    }
}
