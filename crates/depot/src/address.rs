//! Addresses of stores and of what gives credentials, as far as they can be known to be some.
//!
//! The client of stores takes any text for an address, and panics over what is none in the middle
//! of its first request; so nothing gets to it that was not read here.

use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use reqwest::Url;

/// The address of a store: `http://` or `https://`, a host, and perhaps a port and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Uri);

/// Why a text is not the address of a store. The text is not repeated: somebody may have put a
/// password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing, or only the name of a host.
    #[error("it has to begin with https:// or http://, as in https://store.example:9000")]
    Scheme,
    /// What no client finds a host and a port in.
    #[error(
        "after https:// or http:// comes a host, and perhaps a port up to 65535 and a path, all of \
         them without blanks"
    )]
    Malformed,
    /// A name and a password.
    #[error(
        "a name or a password does not belong in it, but in the variables of the store's vendor"
    )]
    Credentials,
    /// Buckets are written behind it.
    #[error("it ends with its path, without `?` and `#`")]
    Query,
}

impl Address {
    /// Whether whoever is on the way reads what goes there.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }

    /// The name or the number of the machine.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address: Option<IpAddr> = bare.parse().ok();
        host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri = read(text)?;
        if text.contains(['?', '#']) {
            return Err(AddressError::Query);
        }
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(AddressError::Credentials);
        }
        Ok(Self(uri))
    }
}

/// What both readers of addresses take that a request goes through: they differ in what they take.
pub(crate) fn read(text: &str) -> Result<Uri, AddressError> {
    let begins = |scheme: &str| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if !begins("http://") && !begins("https://") {
        return Err(AddressError::Scheme);
    }
    let uri: Uri = text.parse().map_err(|_| AddressError::Malformed)?;
    let url: Url = text.parse().map_err(|_| AddressError::Malformed)?;
    match url.has_host() && uri.host().is_some_and(|host| !host.is_empty()) {
        true => Ok(uri),
        false => Err(AddressError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        for text in [
            "https://store.example",
            "https://store.example:9000/a/b",
            "http://127.0.0.1:9000",
            "HTTP://localhost/",
            "http://[::1]:9000",
            "http://a_b.internal:65535",
        ] {
            text.parse::<Address>().expect(text);
        }
        for (text, expected) in [
            ("", AddressError::Scheme),
            ("nonsense", AddressError::Scheme),
            ("localhost:9000", AddressError::Scheme),
            (" http://localhost", AddressError::Scheme),
            ("ftp://localhost", AddressError::Scheme),
            ("http://", AddressError::Malformed),
            ("http:///x", AddressError::Malformed),
            ("http://:9000", AddressError::Malformed),
            ("https://localhost:99999", AddressError::Malformed),
            ("https://localhost:x", AddressError::Malformed),
            ("https://local host", AddressError::Malformed),
            ("https://localhost\n", AddressError::Malformed),
            ("https://1.2.3.4.5", AddressError::Malformed),
            ("https://[::1", AddressError::Malformed),
            (
                "https://name:secret@store.example",
                AddressError::Credentials,
            ),
            ("https://name@store.example", AddressError::Credentials),
            ("https://store.example?secret", AddressError::Query),
            ("https://store.example/#secret", AddressError::Query),
        ] {
            let refused = text.parse::<Address>().expect_err(text);
            assert_eq!(refused, expected, "{text}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
    }
}
