//! What a `config.json` looks like, and how registries are called there.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Credential;

pub(super) const PLAIN: &str = "http://";

/// How Docker Hub is filed.
pub(super) const HUB: &str = "docker.io";
const HUB_FILED: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    #[serde(default)]
    pub(super) auths: BTreeMap<String, Option<Entry>>,
    #[serde(default)]
    pub(super) cred_helpers: BTreeMap<String, String>,
    pub(super) creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    auth: Zeroizing<String>,
    username: String,
    password: Zeroizing<String>,
    identitytoken: Zeroizing<String>,
    registrytoken: Zeroizing<String>,
}

/// `auth` is not base64 of `user:password`.
pub(super) struct Unreadable;

impl Entry {
    /// Nothing, if nobody is said to be meant.
    pub(super) fn credential(&self) -> Result<Option<Credential>, Unreadable> {
        if !self.registrytoken.is_empty() {
            let token = self.registrytoken.clone();
            return Ok(Some(Credential::Bearer { token }));
        }
        if !self.identitytoken.is_empty() {
            let token = self.identitytoken.clone();
            return Ok(Some(Credential::Identity { token }));
        }
        if self.auth.is_empty() {
            let (username, password) = (self.username.clone(), self.password.clone());
            let named = !username.is_empty();
            return Ok(named.then_some(Credential::Basic { username, password }));
        }
        let pair = BASE64.decode(self.auth.as_bytes()).map(Zeroizing::new);
        let pair = pair.map_err(|_| Unreadable)?;
        let pair = std::str::from_utf8(&pair).map_err(|_| Unreadable)?;
        let (username, password) = pair.split_once(':').ok_or(Unreadable)?;
        Ok(Some(Credential::Basic {
            username: username.to_owned(),
            // Docker pads with zero bytes.
            password: password.trim_end_matches('\0').to_owned().into(),
        }))
    }
}

/// The name of a registry, perhaps with the beginning of repositories, without what old versions of
/// Docker put around it, and without the port that its scheme has anyway, as in a reference.
pub(super) fn filed(name: &str) -> String {
    let (name, port) = match name.strip_prefix(PLAIN) {
        Some(name) => (name, ":80"),
        None => (name.strip_prefix("https://").unwrap_or(name), ":443"),
    };
    let name = name.trim_end_matches('/');
    let name = name
        .strip_suffix("/v1")
        .or_else(|| name.strip_suffix("/v2"))
        .unwrap_or(name);
    let (registry, rest) = name.split_once('/').unwrap_or((name, ""));
    let registry = registry.strip_suffix(port).unwrap_or(registry);
    let registry = match HUB_FILED.contains(&registry) {
        true => HUB,
        false => registry,
    };
    match rest {
        "" => registry.to_ascii_lowercase(),
        rest => format!("{}/{rest}", registry.to_ascii_lowercase()),
    }
}
