//! Which depot this is.

use std::fmt;

use crate::error::DepotError;

/// What the object with the mark is called.
pub(crate) const MARK_NAME: &str = "propeller-depot";
/// Bytes of that object: 32 hexadecimal digits, and the end of the line.
pub(crate) const MARK_LEN: usize = 33;

/// A depot's own id: two that have the same are one depot, wherever it is reached from.
///
/// It is no secret, and proves nothing: it tells an operator that a manager and a proplet were
/// given different places.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark([u8; 16]);

/// What whoever claims a depot finds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It was nobody's: this is its new mark.
    Made(Mark),
    /// It is somebody's, perhaps one's own.
    Found(Mark),
}

impl Claim {
    /// The depot's mark.
    #[must_use]
    pub fn mark(self) -> Mark {
        match self {
            Self::Made(mark) | Self::Found(mark) => mark,
        }
    }
}

impl Mark {
    /// The mark with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A mark that no other depot has.
    ///
    /// # Errors
    /// [`DepotError::Random`].
    pub fn random() -> Result<Self, DepotError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| DepotError::Random)?;
        Ok(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What the object has in it.
    pub(crate) fn to_line(self) -> String {
        format!("{self}\n")
    }

    /// Reads what the object has in it, and nothing that is not exactly that.
    pub(crate) fn of_line(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let digits = text.strip_suffix('\n').filter(|text| text.len() == 32)?;
        let mark = u128::from_str_radix(digits, 16).ok()?;
        let mark = Self(mark.to_be_bytes());
        (mark.to_line() == text).then_some(mark)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_one_line_and_no_other() {
        let mark = Mark::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let line = mark.to_line();
        assert_eq!(line, "000102030405060708090a0b0c0d0e0f\n");
        assert_eq!(line.len(), MARK_LEN);
        assert_eq!(Mark::of_line(line.as_bytes()), Some(mark));
        for other in [
            "",
            "\n",
            "000102030405060708090a0b0c0d0e0f",
            "000102030405060708090a0b0c0d0e0f\n\n",
            "000102030405060708090A0B0C0D0E0F\n",
            "+00102030405060708090a0b0c0d0e0f\n",
            "000102030405060708090a0b0c0d0e0\n",
        ] {
            assert_eq!(Mark::of_line(other.as_bytes()), None, "{other:?}");
        }
    }
}
