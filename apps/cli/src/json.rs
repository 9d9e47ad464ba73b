//! The manager's JSON, laid out for reading, and otherwise character for character.

/// Lays out a valid JSON text with two spaces per level. Numbers, key order and escapes stay as
/// they are, which parsing and writing the values anew would not promise.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut quoted, mut escaped) = (false, false);
    let (mut depth, mut before) = (0_usize, ' ');
    for c in json.chars() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        depth = if closes {
            depth.saturating_sub(1)
        } else {
            depth
        };
        let breaks = match before {
            '{' | '[' => !closes,
            ',' => true,
            _ => closes,
        };
        if breaks {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
        out.push(c);
        match c {
            '{' | '[' => depth += 1,
            ':' => out.push(' '),
            '"' => quoted = true,
            _ => {}
        }
        before = c;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        assert_eq!(pretty(json), expected);
    }

    #[test]
    fn only_the_white_space_outside_strings_changes() {
        check("null", "null\n");
        check(
            r#"{"z": 1e2,"a":[ ]}"#,
            "{\n  \"z\": 1e2,\n  \"a\": []\n}\n",
        );
        check(
            r#"[{"a":"{,\"} : \\"},1.10]"#,
            "[\n  {\n    \"a\": \"{,\\\"} : \\\\\"\n  },\n  1.10\n]\n",
        );
    }
}
