//! Where resources are: which broker, and which path there.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// The longest path that is asked for, in bytes.
const PATH_LEN_MAX: usize = 512;
const SEGMENTS: usize = 3;

/// A resource of a broker: `repository/type/tag`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePath(String);

impl ResourcePath {
    /// Its text, without a slash in front.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first part, by which tenants are usually told apart.
    #[must_use]
    pub fn repository(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for ResourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// Not three parts of the allowed characters.
    #[error(
        "a key's path has three parts, such as default/key/my-app, each of letters, digits, `_`, `-` and `.`, and none begins with `.`"
    )]
    Path,
    /// Another scheme than `kbs://`.
    #[error("a key's address begins with kbs://, or is a path such as default/key/my-app")]
    Scheme,
    /// A part of the broker other than its resources.
    #[error("only resources are fetched: kbs:// or kbs+resource://")]
    Plugin,
}

impl FromStr for ResourcePath {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix('/').unwrap_or(text);
        let usable = path.len() <= PATH_LEN_MAX
            && path.split('/').count() == SEGMENTS
            && path.split('/').all(is_segment);
        match usable {
            true => Ok(Self(path.to_owned())),
            false => Err(UriError::Path),
        }
    }
}

/// `[a-zA-Z0-9_-][a-zA-Z0-9_.-]*`
fn is_segment(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(allowed)
}

/// A resource, and perhaps of which broker: `kbs:///default/key/1`, `kbs://kbs.example:8080/a/b/c`.
///
/// What encryptors write that leave out the scheme is read as well: `/a/b/c`, and
/// `kbs.example:8080/a/b/c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KbsUri {
    /// Host, and port if it is named; `None` is whichever broker is configured.
    pub host: Option<String>,
    /// The resource.
    pub path: ResourcePath,
}

impl FromStr for KbsUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = match text.split_once("://") {
            Some(("kbs" | "kbs+resource", rest)) => rest,
            Some((scheme, _)) if scheme.starts_with("kbs+") => return Err(UriError::Plugin),
            Some(_) => return Err(UriError::Scheme),
            None if text.split('/').count() == SEGMENTS => {
                return Ok(Self {
                    host: None,
                    path: text.parse()?,
                });
            }
            None => text,
        };
        let (host, path) = rest.split_once('/').ok_or(UriError::Path)?;
        let path = path.parse()?;
        match host {
            "" => Ok(Self { host: None, path }),
            host if is_host(host) => Ok(Self {
                host: Some(host.to_ascii_lowercase()),
                path,
            }),
            _ => Err(UriError::Scheme),
        }
    }
}

impl fmt::Display for KbsUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or_default();
        write!(f, "kbs://{host}/{}", self.path)
    }
}

fn is_host(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    text.bytes().all(allowed) && text.len() <= 255
}

/// The address of a broker: `https://kbs.example:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KbsAddress(Url);

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not an address.
    #[error("not the address of a key broker: it has to be https://HOST[:PORT], without a query")]
    Malformed,
    /// A password in it, which would end up in logs.
    #[error("the address of a key broker has no user name and no password in it")]
    Credentials,
    /// HTTP to somewhere else than this machine.
    #[error(
        "http:// lets anybody on the way pass for the key broker: use https://, or allow http with {setting}"
    )]
    Insecure {
        /// What allows it, as it is typed.
        setting: &'static str,
    },
}

impl KbsAddress {
    /// Reads one. HTTP is for this machine, unless `allow_http`; `setting` is what somebody types to
    /// have it allowed.
    ///
    /// # Errors
    /// Says what about it cannot be.
    pub fn parse(
        text: &str,
        allow_http: bool,
        setting: &'static str,
    ) -> Result<Self, AddressError> {
        let url: Url = text
            .trim_end_matches('/')
            .parse()
            .map_err(|_| AddressError::Malformed)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        let whole = url.host_str().is_some() && url.query().is_none() && url.fragment().is_none();
        match url.scheme() {
            "https" if whole => Ok(Self(url)),
            "http" if whole && (allow_http || is_loopback(&url)) => Ok(Self(url)),
            "http" if whole => Err(AddressError::Insecure { setting }),
            _ => Err(AddressError::Malformed),
        }
    }

    /// Host, and port where it is not the scheme's: what a [`KbsUri`] names.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Whether `host` of a [`KbsUri`] means this broker.
    #[must_use]
    pub fn is(&self, host: &str) -> bool {
        let with_port = self.0.port_or_known_default().map(|port| {
            let host = self.0.host_str().unwrap_or_default();
            format!("{host}:{port}")
        });
        self.host() == host || with_port.as_deref() == Some(host)
    }

    /// Whether it is HTTP without TLS: what is said there is not for a proxy on the way.
    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// An address below `/kbs/v0/`.
    pub(super) fn endpoint(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/kbs/v0/{path}"));
        url
    }
}

impl fmt::Display for KbsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Result<(Option<String>, String), UriError> {
        let uri: KbsUri = text.parse()?;
        Ok((uri.host, uri.path.0))
    }

    #[test]
    fn every_way_in_which_encryptors_name_a_key_is_read() {
        let path = "default/key/1".to_owned();
        for text in [
            "kbs:///default/key/1",
            "kbs+resource:///default/key/1",
            "default/key/1",
        ] {
            assert_eq!(uri(text), Ok((None, path.clone())), "{text}");
        }
        let host = || Some("kbs.example:8080".to_owned());
        assert_eq!(
            uri("kbs://KBS.example:8080/default/key/1"),
            Ok((host(), path.clone()))
        );
        assert_eq!(
            uri("kbs.example:8080/default/key/1"),
            Ok((host(), path.clone()))
        );
        assert_eq!(uri("/default/key/1"), Ok((None, path)));
    }

    #[test]
    fn what_is_no_name_of_a_key_is_refused() {
        for text in [
            "",
            "a/b",
            "kbs:///a/b/c/d",
            "a//c",
            "a/../c",
            "a/.b/c",
            "a/b/c?d",
            "kbs://h",
        ] {
            assert_eq!(uri(text), Err(UriError::Path), "{text}");
        }
        assert_eq!(uri("https://h/a/b/c"), Err(UriError::Scheme));
        assert_eq!(uri("kbs+pkcs11:///a/b/c"), Err(UriError::Plugin));
        assert_eq!(uri("kbs://user@h/a/b/c"), Err(UriError::Scheme));
    }

    #[test]
    fn http_is_for_this_machine_unless_it_is_allowed() {
        let parse = |text, allow| KbsAddress::parse(text, allow, "ALLOW");
        for text in [
            "https://kbs.example",
            "http://127.0.0.1:8080/",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(parse(text, false).is_ok(), "{text}");
        }
        let insecure = AddressError::Insecure { setting: "ALLOW" };
        let told = insecure.to_string();
        assert!(told.ends_with("or allow http with ALLOW"), "{told}");
        assert_eq!(parse("http://10.0.2.2:8082", false), Err(insecure));
        assert!(parse("http://10.0.2.2:8082", true).is_ok());
        // A name that only begins like this machine's.
        assert!(parse("http://localhost.example", false).is_err());
        assert_eq!(
            parse("https://me:pw@kbs.example", false),
            Err(AddressError::Credentials)
        );
        assert_eq!(
            parse("https://kbs.example/?a=b", false),
            Err(AddressError::Malformed)
        );
        assert_eq!(
            parse("ftp://kbs.example", true),
            Err(AddressError::Malformed)
        );
    }

    #[test]
    fn a_host_means_a_broker_with_and_without_the_port_of_its_scheme() {
        let address = KbsAddress::parse("https://kbs.example/base", false, "").unwrap();
        assert!(address.is("kbs.example") && address.is("kbs.example:443"));
        assert!(!address.is("kbs.example:8080") && !address.is("other"));
        assert_eq!(
            address.endpoint("auth").as_str(),
            "https://kbs.example/base/kbs/v0/auth"
        );
    }
}
