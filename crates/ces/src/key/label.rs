//! The label that keeps environments apart.

use std::fmt;
use std::str::FromStr;

/// Length of a label's field in a header, in bytes, and so of the longest label.
pub const LABEL_LEN: usize = 24;

/// Which environment an object or a key belongs to, such as `production`.
///
/// 0 to 24 of `a`–`z`, `0`–`9`, `.`, `_` and `-`; the empty one is that of whoever tells no
/// environments apart.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    /// The characters, then zeros.
    bytes: [u8; LABEL_LEN],
}

impl Label {
    /// The label of whoever tells no environments apart.
    pub const NONE: Self = Self {
        bytes: [0; LABEL_LEN],
    };

    /// Takes a text that is a label.
    ///
    /// # Errors
    /// Fails if it is longer than 24 characters, or has another one than those above.
    pub fn new(text: &str) -> Result<Self, LabelError> {
        if let Some(position) = text
            .chars()
            .position(|c| !u8::try_from(c).is_ok_and(is_label))
        {
            return Err(LabelError::Character {
                position: position + 1,
            });
        }
        let mut bytes = [0; LABEL_LEN];
        let Some(prefix) = bytes.get_mut(..text.len()) else {
            return Err(LabelError::Length { got: text.len() });
        };
        prefix.copy_from_slice(text.as_bytes());
        Ok(Self { bytes })
    }

    /// The environment in a sentence: of what something is.
    pub(crate) fn environment(&self) -> String {
        match self.as_str() {
            "" => "no environment".to_owned(),
            label => format!("`{label}`"),
        }
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len()]).expect("a label is ASCII")
    }

    /// Whether it is the label of whoever tells no environments apart.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The field of a header, if it holds a label.
    pub(crate) fn from_field(bytes: [u8; LABEL_LEN]) -> Option<Self> {
        let label = Self { bytes };
        let (text, rest) = bytes.split_at(label.len());
        let good = text.iter().copied().all(is_label) && rest.iter().all(|byte| *byte == 0);
        good.then_some(label)
    }

    /// The field of a header.
    pub(crate) fn field(&self) -> &[u8; LABEL_LEN] {
        &self.bytes
    }

    fn len(&self) -> usize {
        let end = self.bytes.iter().position(|byte| *byte == 0);
        end.unwrap_or(LABEL_LEN)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({:?})", self.as_str())
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        Self::new(text)
    }
}

fn is_label(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

/// Why a text is not a label.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    /// Longer than its field.
    #[error("a label has at most {LABEL_LEN} characters, got {got}: choose a shorter one")]
    Length {
        /// How many characters there were.
        got: usize,
    },
    /// A character that labels do not have.
    #[error("a label is of a–z, 0–9, '.', '_' and '-', character {position} is not one of them")]
    Character {
        /// Position of the offending character, from 1.
        position: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_plain() {
        for text in [
            "",
            "production",
            "eu-west_1.test",
            "abcdefghijklmnopqrstuvwx",
        ] {
            let label = Label::new(text).unwrap();
            assert_eq!(label.as_str(), text);
            assert_eq!(Label::from_field(*label.field()), Some(label));
        }
        let long = Label::new("abcdefghijklmnopqrstuvwxy").unwrap_err();
        assert_eq!(long, LabelError::Length { got: 25 });
        for (text, position) in [("Production", 1), ("a b", 2), ("ab\0", 3), ("aé", 2)] {
            let error = Label::new(text).unwrap_err();
            assert_eq!(error, LabelError::Character { position }, "{text}");
        }
    }

    #[test]
    fn a_field_with_something_after_the_zeros_is_no_label() {
        let mut field = *Label::new("test").unwrap().field();
        field[23] = b'x';
        assert_eq!(Label::from_field(field), None);
        assert_eq!(Label::from_field([0xff; LABEL_LEN]), None);
    }
}
