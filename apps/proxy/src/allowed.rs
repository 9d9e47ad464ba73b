//! Which registries proplets may ask for, named as in a reference.

use std::str::FromStr as _;

use propeller_oci::{Reference, ReferenceError};
use propeller_settings::Settings;

/// A repository that stands for all: what comes before it is how a registry is named. Its two parts
/// keep Docker Hub from putting one of its own in front.
const ANY: &str = "any/any";

/// The registries that proplets may ask for.
#[derive(Debug, Clone, Default)]
pub struct Allowed(Option<Vec<Site>>);

impl Allowed {
    /// Whether a registry may be asked: `plain` without TLS.
    #[must_use]
    pub fn permits(&self, registry: &str, plain: bool) -> bool {
        match &self.0 {
            None => !plain,
            Some(listed) => listed
                .iter()
                .any(|site| site.plain == plain && site.registry == registry),
        }
    }
}

/// A registry, perhaps with the beginning of repositories, called as references call it.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    plain: bool,
    registry: String,
    /// Whether only some of its repositories are meant.
    is_part: bool,
}

/// Why a text names no registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    #[error("{0}: write it as in a reference, such as `ghcr.io` or `http://10.0.0.7:5000`")]
    Reference(ReferenceError),
    #[error("a name without a dot or a port is no registry's: write `docker.io` for Docker Hub")]
    NoHost,
    #[error("a registry is listed as a whole: write `{0}`, without what comes after it")]
    Part(String),
    #[error("it lists no registry: write one or more, separated by commas, or unset it")]
    None,
}

impl Site {
    pub(crate) fn parse(text: &str) -> Result<Self, SiteError> {
        let address = text.trim_end_matches('/');
        let reference = Reference::from_str(&format!("{address}/{ANY}"));
        let reference = reference.map_err(SiteError::Reference)?;
        let name = address.split_once("://").map_or(address, |(_, name)| name);
        let path = name.split_once('/').map_or("", |(_, path)| path);
        let expected = match path {
            "" => ANY.to_owned(),
            path => format!("{path}/{ANY}"),
        };
        // Otherwise what should be a host has become a part of Docker Hub.
        if reference.repository() != expected {
            return Err(SiteError::NoHost);
        }
        Ok(Self {
            plain: reference.is_plain(),
            registry: reference.registry().to_owned(),
            is_part: !path.is_empty(),
        })
    }

    fn whole(text: &str) -> Result<Self, SiteError> {
        let site = Self::parse(text)?;
        match site.is_part {
            false => Ok(site),
            true => {
                let scheme = if site.plain { "http://" } else { "" };
                Err(SiteError::Part(format!("{scheme}{}", site.registry)))
            }
        }
    }
}

/// What the settings allow. What is wrong is noted in `settings`.
pub(crate) fn allowed(settings: &mut Settings) -> Allowed {
    let given = settings.text("registries").is_some();
    let listed = settings.parse("registries", list);
    // With a mistake nothing starts; until then nothing is allowed.
    Allowed(given.then(|| listed.unwrap_or_default()))
}

fn list(text: &str) -> Result<Vec<Site>, SiteError> {
    let names = text.split(',').map(str::trim);
    let sites = names.filter(|name| !name.is_empty()).map(Site::whole);
    let sites = sites.collect::<Result<Vec<_>, _>>()?;
    match sites.is_empty() {
        true => Err(SiteError::None),
        false => Ok(sites),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_listed_as_references_name_them() {
        let text = "https://ghcr.io/, QUAY.io:443, index.docker.io,http://127.0.0.1:5000,\
                    http://plain.example:80,localhost";
        let listed = Allowed(Some(list(text).expect("it is right")));
        for (registry, plain, permitted) in [
            ("ghcr.io", false, true),
            ("ghcr.io", true, false),
            ("quay.io", false, true),
            ("docker.io", false, true),
            ("localhost", false, true),
            ("other.io", false, false),
            ("127.0.0.1:5000", true, true),
            ("127.0.0.1:5000", false, false),
            ("plain.example", true, true),
        ] {
            assert_eq!(listed.permits(registry, plain), permitted, "{registry}");
        }
    }

    #[test]
    fn without_a_list_every_registry_with_tls_may_be_asked() {
        let all = Allowed::default();
        assert!(all.permits("ghcr.io", false) && !all.permits("ghcr.io", true));
    }

    #[test]
    fn what_could_match_nothing_is_refused_with_what_to_write() {
        for (text, why) in [
            ("ghcr.io/team", "write `ghcr.io`"),
            ("http://10.0.0.7:5000/a/b", "write `http://10.0.0.7:5000`"),
            ("ftp://x", "write it as in a reference"),
            ("ghcr.io quay.io", "write it as in a reference"),
            ("ghcr.io:99999", "write it as in a reference"),
            ("ghcr.io@sha256:00", "write it as in a reference"),
            ("library", "write `docker.io`"),
            ("registry", "write `docker.io`"),
            (" , ", "one or more, separated by commas"),
            ("ghcr.io,ghcr.io/team", "write `ghcr.io`"),
        ] {
            let said = list(text).expect_err("nothing would match").to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
