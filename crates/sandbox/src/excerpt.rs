//! Text that a guest controls, made fit for a message.
//!
//! A module may call a function a megabyte of terminal escape sequences, and its traps name that
//! function. What leaves this crate is short and has no control characters.

/// Long enough for any mangled name that a person would read.
const CHARS_MAX: usize = 160;

/// The beginning of `text` on one line, marked with `…` if it is cut.
pub(crate) fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let mut excerpt = String::new();
    for char in chars.by_ref().take(CHARS_MAX) {
        if char.is_control() {
            excerpt.extend(char.escape_default());
        } else {
            excerpt.push(char);
        }
    }
    if chars.next().is_some() {
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_left_alone() {
        assert_eq!(excerpt("größe"), "größe");
    }

    #[test]
    fn control_characters_are_spelled_out() {
        assert_eq!(excerpt("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
    }

    #[test]
    fn a_long_text_is_cut() {
        let cut = excerpt(&"x".repeat(CHARS_MAX + 1));
        assert_eq!(cut, format!("{}…", "x".repeat(CHARS_MAX)));
    }
}
