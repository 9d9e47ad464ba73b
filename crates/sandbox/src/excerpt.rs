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

#[cfg(feature = "wasmtime")]
pub(crate) use written::excerpt_of;

#[cfg(feature = "wasmtime")]
mod written {
    use std::fmt::{self, Display, Write};

    use super::{CHARS_MAX, excerpt};

    /// As [`excerpt`], of what is written, of which no more is made than is shown: a short value may
    /// stand for more text than anybody has memory for.
    pub(crate) fn excerpt_of(text: impl Display) -> String {
        let mut head = Head(String::new());
        // What does not fit would not be shown either.
        let _cut = write!(head, "{text}");
        excerpt(&head.0)
    }

    /// The beginning of a text, and an error for whoever writes on.
    struct Head(String);

    impl Write for Head {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // A character takes at most four bytes.
            const BYTES_MAX: usize = 4 * (CHARS_MAX + 1);
            for char in text.chars() {
                self.0.push(char);
                if self.0.len() > BYTES_MAX {
                    return Err(fmt::Error);
                }
            }
            Ok(())
        }
    }
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
