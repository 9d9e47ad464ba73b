//! Splits Rust source into code and comments, so that a word in a string is neither.

/// Two texts with the lines of the source; what belongs to the other one is blank.
pub(super) struct Source {
    pub(super) code: String,
    pub(super) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Source {
    pub(super) fn parse(text: &str) -> Self {
        let mut reader = Reader {
            rest: text,
            before: ' ',
            source: Self {
                code: String::with_capacity(text.len()),
                comments: String::with_capacity(text.len()),
            },
        };
        while !reader.rest.is_empty() {
            let (part, len) = reader.next();
            reader.take(part, len);
        }
        reader.source
    }
}

/// The places of `word` in `text` as (line from 1, byte after the word), whole words only.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines().enumerate().flat_map(move |(index, line)| {
        line.match_indices(word).filter_map(move |(at, _)| {
            let after = &line[at + word.len()..];
            let whole = !line[..at].ends_with(is_word) && !after.starts_with(is_word);
            whole.then_some((index + 1, after))
        })
    })
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Reader<'a> {
    rest: &'a str,
    /// The last character of code, which tells `r"` from the end of a name.
    before: char,
    source: Source,
}

impl Reader<'_> {
    fn next(&self) -> (Part, usize) {
        let rest = self.rest;
        let first = rest.chars().next().map_or(1, char::len_utf8);
        if rest.starts_with("//") {
            return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
        }
        if rest.starts_with("/*") {
            return (Part::Comment, block_comment(rest));
        }
        if let Some(len) = raw_string(rest).filter(|_| !is_word(self.before)) {
            return (Part::Literal, len);
        }
        if rest.starts_with('"') {
            return (Part::Literal, quoted(rest, '"'));
        }
        if is_char_literal(rest) {
            return (Part::Literal, quoted(rest, '\''));
        }
        (Part::Code, first)
    }

    fn take(&mut self, part: Part, len: usize) {
        let (taken, rest) = self.rest.split_at(len);
        for c in taken.chars() {
            let blank = if c == '\n' { '\n' } else { ' ' };
            let code = if part == Part::Code { c } else { blank };
            let comment = if part == Part::Comment { c } else { blank };
            self.source.code.push(code);
            self.source.comments.push(comment);
            self.before = code;
        }
        self.rest = rest;
    }
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#` and their byte and C forms; the prefix of plain ones is code.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"]
        .into_iter()
        .find(|prefix| text.starts_with(prefix))?;
    let after = &text[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let len = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(text.len() - body.len() + len)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A quote also opens a lifetime, which nothing closes.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars();
    if chars.next() != Some('\'') {
        return false;
    }
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, code: &str, comments: &str) {
        let source = Source::parse(input);
        assert_eq!(source.code.trim_end(), code);
        assert_eq!(source.comments.trim(), comments);
    }

    #[test]
    fn comments_leave_the_code() {
        check("a(); // why", "a();", "// why");
        check(
            "a /* b /* c */ d */ e",
            "a                   e",
            "/* b /* c */ d */",
        );
    }

    #[test]
    fn strings_are_neither_code_nor_comment() {
        check(r#"a("// no \" yes");"#, "a(              );", "");
        check(r##"a(r#"un"safe"#, b"x");"##, "a(            , b   );", "");
    }

    #[test]
    fn a_lifetime_is_code_and_a_character_is_not() {
        check("f::<'a>('x', '\\'', 'b')", "f::<'a>(   ,     ,    )", "");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let source = Source::parse("\"a\nb\" // c\nd");
        assert_eq!(source.code.lines().count(), 3);
        assert_eq!(source.comments.lines().nth(1).unwrap().trim(), "// c");
    }

    #[test]
    fn a_word_is_whole() {
        let found: Vec<usize> = words("unsafe_code\nunsafe {\n", "unsafe")
            .map(|(line, _)| line)
            .collect();
        assert_eq!(found, [2]);
    }
}
