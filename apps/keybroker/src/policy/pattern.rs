//! Which resources: `tenant-a/key/*`, `tenant-a/*`, `*`.

use std::fmt;
use std::str::FromStr;

use propeller_attest::rcar::ResourcePath;

/// Parts of a resource's path.
const PARTS: usize = 3;

/// Which resources. `*` stands for any characters within a part; a pattern with fewer than three
/// parts ends in a part `*`, which then stands for all that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// Not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pattern of resources has three parts, such as `tenant-a/key/*`, or fewer of which the last is `*`, such as `tenant-a/*`"
)]
pub struct PatternError;

impl Pattern {
    /// Whether a resource is one of these.
    #[must_use]
    pub fn matches(&self, path: &ResourcePath) -> bool {
        let mut wants = self.0.split('/');
        let mut last = "";
        path.as_str().split('/').all(|part| {
            // After the end of a short pattern, its last part goes on: it is `*`.
            last = wants.next().unwrap_or(last);
            part_matches(last, part)
        })
    }

    /// Whether it is every resource.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.split('/').all(|part| part == "*")
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.*".contains(&b);
        let is_part = |part: &&str| !part.is_empty() && part.bytes().all(allowed);
        let is_whole = parts.len() == PARTS || parts.last() == Some(&"*");
        match parts.len() <= PARTS && is_whole && parts.iter().all(is_part) {
            true => Ok(Self(text.to_owned())),
            false => Err(PatternError),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every piece between stars is taken where it comes first, which leaves most for the rest.
fn part_matches(pattern: &str, part: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == part;
    };
    let Some(mut left) = part.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part_and_a_last_one_stands_for_the_rest() {
        for (pattern, path, matches) in [
            ("*", "a/b/c", true),
            ("tenant-a/*", "tenant-a/key/k", true),
            ("tenant-a/*", "tenant-ab/key/k", false),
            ("tenant-a*/*", "tenant-ab/key/k", true),
            ("*/key/*", "a/key/k", true),
            ("*/key/*", "a/other/key", false),
            ("a/key/k", "a/key/k", true),
            ("a/key/k", "a/key/kk", false),
            ("a/key/k-*-v1*", "a/key/k-x-v1-v2", true),
            ("a/key/*.pem", "a/key/x.pem", true),
            ("a/key/*.pem", "a/key/pem", false),
            ("a/key/*a*a", "a/key/a", false),
            ("a/key/*a*a", "a/key/aa", true),
        ] {
            let parsed: Pattern = pattern.parse().unwrap();
            let found = parsed.matches(&path.parse().unwrap());
            assert_eq!(found, matches, "{pattern} {path}");
        }
    }

    #[test]
    fn what_could_mean_more_than_it_says_is_no_pattern() {
        for text in [
            "", "a", "a/b", "a/b/c/d", "a//c", "/a/b/c", "a/b/", "a/b/?", "*/*/*/*",
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(PatternError), "{text}");
        }
    }
}
