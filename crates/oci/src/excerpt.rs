//! What a stranger says, short enough and safe enough to be told.

/// How many characters are told.
const CHARS_MAX: usize = 200;

/// The beginning of `text`, on one line, without characters that move a cursor or turn the text.
pub(crate) fn excerpt(text: &str) -> String {
    let mut rest = text.trim().chars();
    let shown: String = rest.by_ref().take(CHARS_MAX).map(plain).collect();
    match rest.next() {
        Some(_) => format!("{shown}…"),
        None => shown,
    }
}

/// An error and what is behind it, on one line. Of a broken connection the innermost alone: the
/// layers around it only repeat that it is broken.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = Vec::new();
    let mut next = error.source();
    while let Some(source) = next {
        behind.push(source.to_string());
        next = source.source();
    }
    let innermost = behind.pop().filter(|cause| !text.contains(cause.as_str()));
    if let Some(cause) = innermost {
        text.push_str(": ");
        text.push_str(&cause);
    }
    text
}

fn plain(c: char) -> char {
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() || turns => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_short_and_moves_no_cursor() {
        assert_eq!(
            excerpt(" a\nb\u{1b}[2J\u{202e}c "),
            "a b\u{fffd}[2J\u{fffd}c"
        );
        assert_eq!(excerpt(&"x".repeat(1000)).chars().count(), CHARS_MAX + 1);
    }
}
