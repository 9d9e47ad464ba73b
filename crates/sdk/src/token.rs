//! The bearer token that a manager may ask for.

use std::fmt;

use reqwest::header::HeaderValue;

/// A bearer token. Its text appears in no log and no `Debug` output.
#[derive(Clone)]
pub struct Token(HeaderValue);

/// A text that cannot be a bearer token. It is not repeated: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is one word of printable ASCII characters")]
pub struct InvalidToken;

impl Token {
    /// The token in a text, without the white space around it.
    ///
    /// # Errors
    ///
    /// If the text is empty or has characters that an `Authorization` header cannot carry.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken);
        }
        let mut header =
            HeaderValue::from_str(&format!("Bearer {text}")).map_err(|_| InvalidToken)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_printable_word_and_stays_out_of_debug_output() {
        assert_eq!(
            format!("{:?}", Token::parse(" s3cret\n").unwrap()),
            "Token(..)"
        );
        for text in ["", " \n", "two words", "caf\u{e9}", "line\nbreak"] {
            assert_eq!(Token::parse(text).err(), Some(InvalidToken), "{text:?}");
        }
    }
}
