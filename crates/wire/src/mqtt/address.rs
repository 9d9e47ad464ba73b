//! Broker addresses, in the forms that Propeller's configuration uses.

use std::fmt;
use std::str::FromStr;

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether TLS is spoken.
    pub scheme: Scheme,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Whether TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `tcp://`, `mqtt://` or nothing.
    Plain,
    /// `ssl://`, `tls://` or `mqtts://`.
    Tls,
}

/// Why a text is not a broker address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "not a broker address: use tcp://HOST[:PORT] or, with TLS, mqtts://HOST[:PORT]; user and password are settings of their own"
)]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text is not repeated: it may hold a password.
        let wrong = || AddressError;
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::Plain, text),
            Some(("tcp" | "mqtt", rest)) => (Scheme::Plain, rest),
            Some(("ssl" | "tls" | "mqtts", rest)) => (Scheme::Tls, rest),
            Some(_) => return Err(wrong()),
        };
        let default_port = match scheme {
            Scheme::Plain => 1883,
            Scheme::Tls => 8883,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest).ok_or_else(wrong)?;
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None => default_port,
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
        })
    }
}

/// Host and port; an IPv6 address is in brackets if a port follows.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host, Some(port))),
        Some(_) => Some((text, None)),
        None => Some((text, None)),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Plain => "tcp",
            Scheme::Tls => "mqtts",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form_upstream_takes() {
        for (text, expected) in [
            ("localhost", "tcp://localhost:1883"),
            ("broker:1884", "tcp://broker:1884"),
            ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("mqtt://h/", "tcp://h:1883"),
            ("ssl://h", "mqtts://h:8883"),
            ("tls://h:9", "mqtts://h:9"),
            ("mqtts://[::1]:9", "mqtts://[::1]:9"),
            ("::1", "tcp://[::1]:1883"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), expected, "{text}");
        }
        for bad in [
            "",
            "http://h",
            "tcp://",
            "h:x",
            "h:99999",
            "tcp://u@h",
            "[::1",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
