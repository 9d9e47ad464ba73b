//! What objects and the files of their shards are called.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes: with what is added to it, it is a file's name everywhere.
const NAME_LEN_MAX: usize = 200;

/// The name that somebody gave an object: the beginning of the names of its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// Why a text names no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or too much.
    #[error("a name has 1 to {NAME_LEN_MAX} bytes")]
    Length,
    /// A path, or what the shell or a listing would hide or break.
    #[error(
        "a name has no slashes or control characters, and begins with no dot: it is the beginning \
         of file names"
    )]
    Character,
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_LEN_MAX {
            return Err(NameError::Length);
        }
        let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
        match text.starts_with('.') || text.contains(bad) {
            true => Err(NameError::Character),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Name {
    /// What the names of all its shards begin with.
    pub(crate) fn stem(&self) -> String {
        format!("{self}.ces-")
    }

    /// The name of one shard's file, such as `a.tar.ces-000-of-012`.
    pub(crate) fn shard(&self, index: u16, count: u16) -> String {
        format!("{self}.ces-{index:03}-of-{count:03}")
    }

    /// The shard that a file is, by its name.
    pub(crate) fn index_of(&self, file: &str) -> Option<Numbered> {
        let (index, count) = file.strip_prefix(&self.stem())?.split_once("-of-")?;
        let (index, count) = (number(index)?, number(count)?);
        (index < count).then_some(Numbered { index, count })
    }

    /// The index of a shard of the older implementation: the name, then something without digits,
    /// then the index, then something without digits.
    pub(crate) fn old_index_of(&self, file: &str) -> Option<u16> {
        let rest = file.strip_prefix(&self.0)?;
        let digits = rest.trim_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok()
    }
}

/// Which shard of how many a file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Numbered {
    pub(crate) index: u16,
    pub(crate) count: u16,
}

/// Three digits, up to 256.
fn number(text: &str) -> Option<u16> {
    let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| *number <= 256);
    number.filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_beginning_of_file_names() {
        let check = |text: &str, expected| assert_eq!(text.parse::<Name>().err(), expected);
        check("backup.tar", None);
        check("mit Leerzeichen, ümlaut", None);
        check("", Some(NameError::Length));
        check(&"x".repeat(201), Some(NameError::Length));
        for text in ["a/b", "..", ".hidden", "a\nb", "a\\b"] {
            check(text, Some(NameError::Character));
        }
    }

    #[test]
    fn shards_are_known_by_their_names() {
        let name: Name = "a".parse().unwrap();
        let index = |file: &str| name.index_of(file).map(|n| (n.index, n.count));
        assert_eq!(index(&name.shard(3, 12)), Some((3, 12)));
        assert_eq!(index("a.ces-255-of-256"), Some((255, 256)));
        for file in [
            "a",
            "b.ces-003-of-012",
            "a.ces-012-of-012",
            "a.ces-3-of-12",
            "a.ces-+03-of-012",
            "a.ces-000-of-257",
            "a.ces-003-of-012.ces-000-of-001",
            ".a.ces-003-of-012.part",
        ] {
            assert_eq!(index(file), None, "{file}");
        }
    }

    #[test]
    fn old_shards_are_the_name_and_a_number() {
        let name: Name = "a".parse().unwrap();
        for (file, index) in [
            ("a.0", Some(0)),
            ("a-shard_03.bin", Some(3)),
            ("a11", Some(11)),
            ("a", None),
            ("a.1-of-12", None),
            ("b.1", None),
        ] {
            assert_eq!(name.old_index_of(file), index, "{file}");
        }
    }
}
