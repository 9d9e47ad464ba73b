//! How an image is named: `[http://]registry[:port]/repository[:tag][@sha256:…]`.
//!
//! The grammar is that of the OCI distribution specification 1.1; what is left out is filled in as
//! Docker does it, so that `hello` is `docker.io/library/hello:latest`.

use std::fmt;
use std::str::FromStr;

use propeller_model::Digest;

/// The longest reference that is read: a repository has at most 255 characters.
const BYTES_MAX: usize = 512;
const REPOSITORY_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

const HUB: &str = "docker.io";
/// Where the API of Docker Hub is.
const HUB_HOST: &str = "registry-1.docker.io";
/// The part of Docker Hub that needs no name.
const HUB_LIBRARY: &str = "library";

const LATEST: &str = "latest";
const PLAIN: &str = "http://";
const SECURE: &str = "https://";

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    plain: bool,
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing, or too much.
    #[error("an image is named by 1 to {BYTES_MAX} characters")]
    Length,
    /// The registry is no host.
    #[error("`{0}` is no registry: a host, and a port after a colon if there is one")]
    Registry(String),
    /// The repository has characters that none has.
    #[error(
        "`{0}` is no repository: lower-case letters, digits and single `.`, `_`, `-` between them, \
         in parts with `/` between them"
    )]
    Repository(String),
    /// The tag has characters that none has.
    #[error("`{0}` is no tag: at most {TAG_BYTES_MAX} letters, digits, `_`, `.` and `-`")]
    Tag(String),
    /// The digest is of another kind, or none.
    #[error("`{0}` is no digest that can be checked here: `sha256:` and 64 hexadecimal digits")]
    Digest(String),
    /// A scheme that is none of a registry's.
    #[error("`{0}` names no registry: leave it out, or say `http://` for one without TLS")]
    Scheme(String),
}

impl Reference {
    /// Whether it is spoken to without TLS, because the reference says `http://`.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether what is sent to it can be read on the way: no TLS, and another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let host = self
            .registry
            .rsplit_once(':')
            .map_or(self.registry.as_str(), |(host, _)| host);
        self.plain && !is_this_machine(host)
    }

    /// The registry as it is called, and as its credentials are filed.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The host, and port if there is one, that answers for the registry.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.registry.as_str() {
            HUB => HUB_HOST,
            other => other,
        }
    }

    /// The repository in the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` if nothing says otherwise, and nothing beside a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that the manifest has to have.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// How the manifest is asked for: by digest if there is one, which a tag cannot change.
    #[must_use]
    pub fn selector(&self) -> String {
        match (self.digest, self.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or(LATEST).to_owned(),
        }
    }

    /// Registry and repository, without tag and digest, as signatures name an image.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same image by what it is, and no longer by a tag alone.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Another manifest in the same repository.
    #[must_use]
    pub fn tagged(&self, tag: impl Into<String>) -> Self {
        Self {
            tag: Some(tag.into()),
            digest: None,
            ..self.clone()
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() || text.len() > BYTES_MAX {
            return Err(ReferenceError::Length);
        }
        let (plain, rest) = scheme(text)?;
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
            None => (rest, None),
        };
        let (name, tag) = split_tag(rest)?;
        let (registry, repository) = split_registry(name)?;
        let registry = same(&registry, plain);
        let latest = || digest.is_none().then(|| LATEST.to_owned());
        let tag = tag.or_else(latest);
        Ok(Self {
            plain,
            registry,
            repository,
            tag,
            digest,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plain {
            f.write_str(PLAIN)?;
        }
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = self.tag() {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Whether a host is this machine, as far as its name says.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn scheme(text: &str) -> Result<(bool, &str), ReferenceError> {
    if let Some(rest) = text.strip_prefix(PLAIN) {
        return Ok((true, rest));
    }
    let rest = text.strip_prefix(SECURE).unwrap_or(text);
    match rest.split_once("://") {
        Some((scheme, _)) => Err(ReferenceError::Scheme(excerpt(&format!("{scheme}://")))),
        None => Ok((false, rest)),
    }
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    let digest = text.parse();
    digest.map_err(|_| ReferenceError::Digest(excerpt(text)))
}

/// What follows the last colon is a tag, unless it is a port, behind which a path comes.
fn split_tag(text: &str) -> Result<(&str, Option<String>), ReferenceError> {
    let Some((name, tag)) = text.rsplit_once(':') else {
        return Ok((text, None));
    };
    if tag.contains('/') {
        return Ok((text, None));
    }
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let other = |c: char| first(c) || matches!(c, '.' | '-');
    let fits = tag.len() <= TAG_BYTES_MAX && tag.starts_with(first) && tag.chars().all(other);
    match fits {
        true => Ok((name, Some(tag.to_owned()))),
        false => Err(ReferenceError::Tag(excerpt(tag))),
    }
}

/// The first part is a registry if it looks like a host; otherwise Docker Hub is meant.
fn split_registry(name: &str) -> Result<(String, String), ReferenceError> {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if looks_like_a_host(first) => (first, rest.to_owned()),
        Some(_) => (HUB, name.to_owned()),
        None => (HUB, format!("{HUB_LIBRARY}/{name}")),
    };
    let registry = match registry {
        "index.docker.io" | HUB_HOST => HUB,
        other => other,
    };
    if !is_host(registry) {
        return Err(ReferenceError::Registry(excerpt(registry)));
    }
    let repository = match repository.contains('/') || registry != HUB {
        true => repository,
        false => format!("{HUB_LIBRARY}/{repository}"),
    };
    if !is_repository(&repository) {
        return Err(ReferenceError::Repository(excerpt(&repository)));
    }
    Ok((registry.to_owned(), repository))
}

/// One name for what is one registry.
fn same(registry: &str, plain: bool) -> String {
    let port = if plain { ":80" } else { ":443" };
    let registry = registry.strip_suffix(port).unwrap_or(registry);
    registry.to_ascii_lowercase()
}

fn looks_like_a_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':', '['])
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let host_fits = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(named) && !host.starts_with(['.', '-']),
    };
    host_fits && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Parts of `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, with `/` between them.
fn is_repository(text: &str) -> bool {
    text.len() <= REPOSITORY_BYTES_MAX && text.split('/').all(is_part)
}

fn is_part(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = part.split(alphanumeric).filter(|text| !text.is_empty());
    let joins = |text: &str| matches!(text, "." | "_" | "__") || text.chars().all(|c| c == '-');
    part.starts_with(alphanumeric)
        && part.ends_with(alphanumeric)
        && separators.into_iter().all(joins)
}

/// The beginning of what somebody typed, without what would move a cursor.
fn excerpt(text: &str) -> String {
    crate::excerpt::excerpt(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<Reference>() {
            Ok(reference) => reference.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn what_is_left_out_is_what_docker_means() {
        for (text, full) in [
            ("hello", "docker.io/library/hello:latest"),
            ("hello:1.0", "docker.io/library/hello:1.0"),
            ("me/hello", "docker.io/me/hello:latest"),
            ("docker.io/hello", "docker.io/library/hello:latest"),
            ("index.docker.io/me/hello", "docker.io/me/hello:latest"),
            ("ghcr.io/me/hello", "ghcr.io/me/hello:latest"),
            ("localhost/hello", "localhost/hello:latest"),
            ("localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x"),
            ("http://127.0.0.1:5000/a", "http://127.0.0.1:5000/a:latest"),
            ("https://ghcr.io/a", "ghcr.io/a:latest"),
            ("GHCR.io:443/a", "ghcr.io/a:latest"),
            ("http://GHCR.io:80/a", "http://ghcr.io/a:latest"),
            (
                "[::1]:5000/a_b__c-d--e.f",
                "[::1]:5000/a_b__c-d--e.f:latest",
            ),
        ] {
            assert_eq!(shown(text), full, "{text}");
        }
    }

    #[test]
    fn a_digest_decides_and_a_tag_beside_it_is_only_a_name() {
        let digest = Digest([0xab; 32]);
        let both: Reference = format!("ghcr.io/a:1@{digest}").parse().expect("it is one");
        assert_eq!(both.selector(), digest.to_string());
        let alone: Reference = format!("ghcr.io/a@{digest}").parse().expect("it is one");
        assert_eq!((alone.tag(), alone.digest()), (None, Some(digest)));
        assert_eq!(alone.to_string(), format!("ghcr.io/a@{digest}"));
        let tagged: Reference = "ghcr.io/a:1".parse().expect("it is one");
        assert_eq!(tagged.pinned(digest), both);
    }

    #[test]
    fn docker_hub_is_elsewhere_than_its_name_says() {
        let hub: Reference = "hello".parse().expect("it is one");
        assert_eq!(
            (hub.registry(), hub.host()),
            ("docker.io", "registry-1.docker.io")
        );
    }

    #[test]
    fn what_is_no_reference_is_refused_by_its_part() {
        let long = format!("ghcr.io/{}", "a".repeat(600));
        for (text, part) in [
            ("", "1 to 512"),
            (long.as_str(), "1 to 512"),
            ("ghcr.io/A", "no repository"),
            ("ghcr.io/a..b", "no repository"),
            ("ghcr.io/../a", "no repository"),
            ("ghcr.io/", "no repository"),
            ("ghcr.io/a:", "no tag"),
            ("ghcr.io/a:-x", "no tag"),
            ("ghcr.io:0/a", "no registry"),
            ("ghcr.io:99999/a", "no registry"),
            ("gh cr.io/a", "no registry"),
            ("[::zz]:1/a", "no registry"),
            ("ghcr.io/a@sha512:00", "no digest"),
            ("ghcr.io/a@sha256:00", "no digest"),
            ("docker://ghcr.io/a", "names no registry"),
            ("http://http://a.b/c", "no registry"),
        ] {
            let said = shown(text);
            assert!(
                said.starts_with("error: ") && said.contains(part),
                "{text}: {said}"
            );
        }
    }
}
