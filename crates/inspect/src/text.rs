//! Text that a stranger chose, made fit for a report.
//!
//! A module may give a function a megabyte of terminal escapes for a name. What leaves this crate
//! is short, on one line, and shown as it is stored: characters that a terminal obeys or that
//! change the direction of reading are spelled out.

/// Characters of a name. Long enough for any that a person would read.
pub(crate) const NAME_CHARS_MAX: usize = 160;
/// Characters of a type. The longest of WASI has 300.
pub(crate) const TYPE_CHARS_MAX: usize = 512;
/// Characters of a reason that a library gives.
pub(crate) const REASON_CHARS_MAX: usize = 300;

/// The beginning of `text`, marked with `…` if it is cut.
pub(crate) fn excerpt(text: &str, chars_max: usize) -> String {
    let mut line = Line::new(chars_max);
    line.push(text);
    line.finish()
}

pub(crate) fn name(text: &str) -> String {
    excerpt(text, NAME_CHARS_MAX)
}

/// A text that is written piece by piece and does not grow beyond a bound.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    chars_left: usize,
    cut: bool,
}

impl Line {
    pub(crate) fn new(chars_max: usize) -> Self {
        Self {
            text: String::new(),
            chars_left: chars_max,
            cut: false,
        }
    }

    pub(crate) fn push(&mut self, text: &str) {
        for char in text.chars() {
            if self.chars_left == 0 {
                self.cut = true;
                return;
            }
            self.chars_left -= 1;
            if is_obeyed(char) {
                self.text.extend(char.escape_unicode());
            } else {
                self.text.push(char);
            }
        }
    }

    /// Whether nothing more can be added, so that there is no use in trying.
    pub(crate) fn is_full(&self) -> bool {
        self.cut
    }

    pub(crate) fn finish(mut self) -> String {
        if self.cut {
            self.text.push('…');
        }
        self.text
    }
}

/// Controls, line separators, and the marks that hide text or turn it around.
fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(char, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(char, '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_spelled_out() {
        assert_eq!(name("größe"), "größe");
        assert_eq!(name("a\u{1b}[2J\u{9b}1m"), "a\\u{1b}[2J\\u{9b}1m");
        assert_eq!(name("\u{202e}gnp.exe"), "\\u{202e}gnp.exe");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let exact = "x".repeat(NAME_CHARS_MAX);
        assert_eq!(name(&exact), exact);
        assert_eq!(name(&format!("{exact}y")), format!("{exact}…"));
    }
}
