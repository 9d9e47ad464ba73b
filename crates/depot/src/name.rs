//! What objects are called.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Hexadecimal digits of a number that makes an input's name its own.
const STDIN_DIGITS: usize = 16;
/// The most digits of an attempt's number.
const ATTEMPT_DIGITS_MAX: usize = 10;

/// The name of an object: `{task}/stdin-{16 hexadecimal digits}` or `{task}/stdout-{attempt}`.
///
/// The task's id is hyphenated, and in lower case. No other text is a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Whose it is.
    pub task: Uuid,
    /// What it is.
    pub part: Part,
}

/// What an object is to its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What the task reads, with a random number, so that no two uploads have one name.
    Stdin(u64),
    /// What the attempt with this number wrote.
    Stdout(u32),
}

/// Why a text is not the name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the name of an object: it has to be a task's id, hyphenated and in lower case, then \
     `/stdin-` and 16 hexadecimal digits, or `/stdout-` and the number of an attempt"
)]
pub struct NameError;

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task.hyphenated(), self.part)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin(random) => write!(f, "stdin-{random:0STDIN_DIGITS$x}"),
            Self::Stdout(attempt) => write!(f, "stdout-{attempt}"),
        }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (task, part) = text.split_once('/').ok_or(NameError)?;
        Ok(Self {
            task: task_id(task).ok_or(NameError)?,
            part: part.parse()?,
        })
    }
}

impl FromStr for Part {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let part = match text.split_once('-').ok_or(NameError)? {
            ("stdin", digits) => hex(digits).map(Self::Stdin),
            ("stdout", digits) if digits.len() <= ATTEMPT_DIGITS_MAX => {
                digits.parse().ok().map(Self::Stdout)
            }
            _ => None,
        };
        // One text for each: no signs, no leading zeros.
        part.filter(|part| part.to_string() == text)
            .ok_or(NameError)
    }
}

/// Reads a task's id as it stands in names, and no other spelling of it.
pub(crate) fn task_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.hyphenated().to_string() == text).then_some(id)
}

/// Reads 16 hexadecimal digits in lower case.
pub(crate) fn hex(digits: &str) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_whole = digits.len() == STDIN_DIGITS && digits.bytes().all(is_digit);
    is_whole.then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "01970000-0000-7000-8000-00000000abcd";

    #[test]
    fn names_come_back_as_they_were() {
        let task = Uuid::try_parse(TASK).unwrap();
        for (part, text) in [
            (Part::Stdin(0), "stdin-0000000000000000"),
            (Part::Stdin(0xabc), "stdin-0000000000000abc"),
            (Part::Stdin(u64::MAX), "stdin-ffffffffffffffff"),
            (Part::Stdout(0), "stdout-0"),
            (Part::Stdout(12), "stdout-12"),
            (Part::Stdout(u32::MAX), "stdout-4294967295"),
        ] {
            let name = Name { task, part };
            let text = format!("{TASK}/{text}");
            assert_eq!(name.to_string(), text);
            assert_eq!(text.parse(), Ok(name));
        }
    }

    #[test]
    fn no_other_text_is_a_name() {
        for part in [
            "",
            "stdin",
            "stdin-",
            "stdin-0",
            "stdin-000000000000000A",
            "stdin-00000000000000000",
            "stdin-+000000000000000",
            "stdout-",
            "stdout-01",
            "stdout-+1",
            "stdout--1",
            "stdout-4294967296",
            "stdout-00000000001",
            "stdout-1 ",
            "stdout-1#1",
            "stdout-1/",
            "stderr-1",
            "Stdout-1",
            "..",
        ] {
            let text = format!("{TASK}/{part}");
            assert_eq!(text.parse::<Name>(), Err(NameError), "{text}");
        }
        for task in [
            "",
            "..",
            "01970000000070008000000000000abc",
            "01970000-0000-7000-8000-00000000ABCD",
            "{01970000-0000-7000-8000-00000000abcd}",
            "urn:uuid:01970000-0000-7000-8000-00000000abcd",
            "/01970000-0000-7000-8000-00000000abcd",
        ] {
            let text = format!("{task}/stdout-1");
            assert_eq!(text.parse::<Name>(), Err(NameError), "{text}");
        }
    }
}
