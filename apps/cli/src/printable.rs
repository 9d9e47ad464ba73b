//! What a guest printed, made fit for a terminal: no byte of it moves the cursor, clears the screen
//! or turns the text around.

use std::borrow::Cow;

/// A stream of bytes on its way to a terminal, in pieces that may end within a character.
#[derive(Debug, Default)]
pub(crate) struct Printable {
    /// The beginning of a character whose end has not come yet: at most 3 bytes.
    begun: Vec<u8>,
}

impl Printable {
    /// The next piece, so far as its characters are complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        self.begun.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.begun);
        let mut shown = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().chars().for_each(|c| show(c, &mut shown));
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && may_go_on(invalid) {
                self.begun = invalid.to_vec();
            } else {
                escape(invalid, &mut shown);
            }
        }
        shown
    }

    /// What is left when no more comes.
    pub(crate) fn finish(&mut self) -> String {
        let mut shown = String::new();
        escape(&std::mem::take(&mut self.begun), &mut shown);
        shown
    }
}

/// The whole of what a guest printed, made fit for a terminal: control characters, what turns text
/// around, and bytes that are no text are spelled out, and line feeds and tabs stay.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut printable = Printable::default();
    let mut shown = printable.push(bytes);
    shown.push_str(&printable.finish());
    shown
}

/// JSON made fit for a terminal, with the same meaning. Such characters can only be in its strings,
/// where each has an escape.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if is_harmful(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn show(c: char, shown: &mut String) {
    if is_harmful(c) {
        shown.extend(c.escape_default());
    } else {
        shown.push(c);
    }
}

/// Whether a character turns the direction of text around, so that it says other than it seems to.
pub(crate) fn turns(c: char) -> bool {
    const TURNS: [std::ops::RangeInclusive<char>; 3] = [
        '\u{200e}'..='\u{200f}',
        '\u{202a}'..='\u{202e}',
        '\u{2066}'..='\u{2069}',
    ];
    TURNS.iter().any(|range| range.contains(&c))
}

/// Whether a character moves the cursor, or turns the text around. All of them have four digits.
fn is_harmful(c: char) -> bool {
    let plain = matches!(c, '\n' | '\t');
    !plain && (c.is_control() || turns(c))
}

fn escape(bytes: &[u8], shown: &mut String) {
    for byte in bytes {
        shown.push_str(&format!("\\x{byte:02x}"));
    }
}

/// Whether bytes that are no character may become one.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &str) {
        let mut printable = Printable::default();
        let mut shown: String = pieces.iter().map(|piece| printable.push(piece)).collect();
        shown.push_str(&printable.finish());
        assert_eq!(shown, expected);
    }

    #[test]
    fn text_is_left_alone() {
        check(&["größe\tx\n日本".as_bytes()], "größe\tx\n日本");
    }

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        check(
            &[b"a\x1b[2J\x1b]0;title\x07b\rc\x08"],
            "a\\u{1b}[2J\\u{1b}]0;title\\u{7}b\\rc\\u{8}",
        );
        check(&["\u{9b}2J\u{202e}x".as_bytes()], "\\u{9b}2J\\u{202e}x");
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        check(&[b"\xe6", b"\x97", b"\xa5!"], "日!");
        check(&[b"\xc3", b"\xb6"], "ö");
    }

    #[test]
    fn bytes_that_are_no_text_are_spelled_out() {
        check(&[b"a\xff\xc3(", b"\xe6\x97"], "a\\xff\\xc3(\\xe6\\x97");
        // An escape sequence cannot be smuggled in behind half a character.
        check(&[b"\xe6", b"\x1b[2J"], "\\xe6\\u{1b}[2J");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let json = "{\n\t\"a\": \"\\u001b[2J\u{9b}2J\u{7f}\u{202e}\u{f6}\"\n}";
        let shown = "{\n\t\"a\": \"\\u001b[2J\\u009b2J\\u007f\\u202e\u{f6}\"\n}";
        assert_eq!(printable_json(json), shown);
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(json), read(shown));
    }
}
