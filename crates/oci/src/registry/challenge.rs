//! How a registry says what lets us in: challenges (RFC 9110 section 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// The challenge that is answered: a token, rather than a password with every request.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let all = headers.get_all(WWW_AUTHENTICATE).iter();
    let mut known: Vec<_> = all.filter_map(|one| parse(one.to_str().ok()?)).collect();
    known.sort_by_key(|one| matches!(one, Challenge::Basic));
    known.into_iter().next()
}

fn parse(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text
        .trim()
        .split_once(" ")
        .unwrap_or_else(|| (text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest;
    while let Some((name, value, more)) = parameter(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            _ => {}
        }
        rest = more;
    }
    Some(Challenge::Bearer {
        realm: realm?,
        service,
    })
}

/// The first `name=value` or `name="value"`, and what comes after it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([',', ' ', '\t']);
    let (name, rest) = text.split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].trim().to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name.trim(), value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_they_are_written() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (text, read) in [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull""#,
                bearer("https://a/t", Some("s")),
            ),
            (
                r#"bearer service=s , realm="https://a/t""#,
                bearer("https://a/t", Some("s")),
            ),
            (r#"Bearer realm="a\"b,c""#, bearer("a\"b,c", None)),
            (
                r#"Bearer scope="repository:x:pull,push",realm=x"#,
                bearer("x", None),
            ),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("BASIC", Some(Challenge::Basic)),
            (r#"Bearer realm="never closed"#, None),
            ("Bearer service=x", None),
            ("Digest realm=x", None),
            ("", None),
        ] {
            assert_eq!(parse(text), read, "{text}");
        }
    }
}
