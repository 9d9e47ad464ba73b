//! `.env` files: `NAME=value` lines, comments, quotes; no expansion.

/// The pairs of a `.env` file, or the number of the first line that is not one.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| pair(line).ok_or(number))
        .collect()
}

fn pair(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let clean = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(clean) {
        return None;
    }
    Some((name.to_owned(), unquote(value.trim())?))
}

fn unquote(value: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            let (inner, after) = rest.split_once(quote)?;
            let after = after.trim();
            return (after.is_empty() || after.starts_with('#')).then(|| inner.to_owned());
        }
    }
    let value = value.split_once(" #").map_or(value, |(value, _)| value);
    Some(value.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_comments_and_quotes_are_read() {
        let text = "# c\nA=1\nexport B = two words # c\nC=\"x # y\" # c\nD='q'\n\nE=\n";
        let pairs = parse(text).unwrap();
        let flat: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(flat, ["A=1", "B=two words", "C=x # y", "D=q", "E="]);
    }

    #[test]
    fn a_line_that_is_no_pair_is_named() {
        for (text, line) in [
            ("A=1\nnonsense", 2),
            ("A B=1", 1),
            ("A=\"open", 1),
            ("=1", 1),
        ] {
            assert_eq!(parse(text), Err(line), "{text}");
        }
    }
}
