//! Who we are to a registry, as Docker's `config.json` files it.
//!
//! Podman, skopeo and Docker read and write the same members: `auths`, by registry, with `auth`
//! (base64 of `user:password`), `username` and `password`, `identitytoken` or `registrytoken`.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

/// The longest file that is read.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// How Docker Hub is filed.
const HUB: &str = "docker.io";
const HUB_FILED: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// Who we are to one registry.
#[derive(Clone)]
pub enum Credential {
    /// Name and password, which may be a token of the registry's.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// What a token server gives tokens for (OAuth 2 refresh token).
    Identity {
        /// The token.
        token: Zeroizing<String>,
    },
    /// A token that the registry takes as it is.
    Bearer {
        /// The token.
        token: Zeroizing<String>,
    },
}

/// Who we are to each registry; nobody, where nothing is said.
#[derive(Clone, Default)]
pub struct Credentials {
    known: BTreeMap<String, Credential>,
    /// Registries whose credentials another program keeps, with its name.
    kept: BTreeMap<String, String>,
    /// The program that keeps all others.
    keeper: Option<String>,
}

/// Why a file of credentials cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// It is not JSON of that form. What is in it is secret, so nothing of it is told.
    #[error("it is no Docker configuration: line {line}, column {column} does not fit")]
    Malformed {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// A credential is encoded wrongly.
    #[error("`auth` of {registry} is not base64 of `user:password`")]
    Encoding {
        /// Of which registry.
        registry: String,
    },
    /// Another program keeps the credentials.
    #[error(
        "the credentials of {registry} are kept by docker-credential-{keeper}, which is not asked: \
         write them to a file of their own, with `auth`"
    )]
    Kept {
        /// Of which registry.
        registry: String,
        /// By whom.
        keeper: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Zeroizing<String>,
    username: String,
    password: Zeroizing<String>,
    identitytoken: Zeroizing<String>,
    registrytoken: Zeroizing<String>,
}

impl Credentials {
    /// Reads a `config.json`.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`]; never with anything of the file's content but a registry's name.
    pub fn from_docker_config(bytes: &[u8]) -> Result<Self, CredentialsError> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            CredentialsError::Malformed { line, column }
        })?;
        let mut known = BTreeMap::new();
        for (registry, entry) in file.auths {
            let registry = filed(&registry);
            if let Some(credential) = entry.credential(&registry)? {
                known.insert(registry, credential);
            }
        }
        let kept = file.cred_helpers.into_iter();
        Ok(Self {
            known,
            kept: kept.map(|(name, keeper)| (filed(&name), keeper)).collect(),
            keeper: file.creds_store.filter(|keeper| !keeper.is_empty()),
        })
    }

    /// The same, and `credential` for `registry`.
    #[must_use]
    pub fn with(mut self, registry: &str, credential: Credential) -> Self {
        self.known.insert(filed(registry), credential);
        self
    }

    /// Who we are to `registry`; nobody, if nothing is said.
    ///
    /// # Errors
    ///
    /// [`CredentialsError::Kept`].
    pub fn of(&self, registry: &str) -> Result<Option<&Credential>, CredentialsError> {
        let registry = filed(registry);
        if let Some(credential) = self.known.get(&registry) {
            return Ok(Some(credential));
        }
        match self.kept.get(&registry).or(self.keeper.as_ref()) {
            Some(keeper) => Err(CredentialsError::Kept {
                registry,
                keeper: crate::excerpt::excerpt(keeper),
            }),
            None => Ok(None),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.known.keys()).finish()
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl Entry {
    fn credential(&self, registry: &str) -> Result<Option<Credential>, CredentialsError> {
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
        let wrong = || CredentialsError::Encoding {
            registry: registry.to_owned(),
        };
        let pair = BASE64.decode(self.auth.as_bytes()).map(Zeroizing::new);
        let pair = pair.map_err(|_| wrong())?;
        let pair = std::str::from_utf8(&pair).map_err(|_| wrong())?;
        let (username, password) = pair.split_once(':').ok_or_else(wrong)?;
        Ok(Some(Credential::Basic {
            username: username.to_owned(),
            // Docker pads with zero bytes.
            password: password.trim_end_matches('\0').to_owned().into(),
        }))
    }
}

/// The name of a registry, without what old versions of Docker put around it.
fn filed(name: &str) -> String {
    let name = name.strip_prefix("https://").unwrap_or(name);
    let name = name.strip_prefix("http://").unwrap_or(name);
    let name = name.split('/').next().unwrap_or_default();
    match HUB_FILED.contains(&name) {
        true => HUB.to_owned(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(text: &str) -> Result<Credentials, CredentialsError> {
        Credentials::from_docker_config(text.as_bytes())
    }

    fn basic(credentials: &Credentials, registry: &str) -> Option<String> {
        match credentials.of(registry).expect("nobody keeps it")? {
            Credential::Basic { username, password } => {
                Some(format!("{username} {}", password.as_str()))
            }
            Credential::Identity { token } | Credential::Bearer { token } => {
                Some(token.to_string())
            }
        }
    }

    #[test]
    fn every_way_to_file_a_credential_is_read() {
        let all = credentials(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "bWU6cGFzczp3b3Jk"},
                "ghcr.io": {"username": "me", "password": "other"},
                "localhost:5000": {"identitytoken": "refresh"},
                "quay.io": {"registrytoken": "bearer"},
                "empty.example": {}
            }}"#,
        );
        let all = all.expect("it is one");
        assert_eq!(basic(&all, "docker.io").as_deref(), Some("me pass:word"));
        assert_eq!(basic(&all, "ghcr.io").as_deref(), Some("me other"));
        assert_eq!(basic(&all, "localhost:5000").as_deref(), Some("refresh"));
        assert_eq!(basic(&all, "quay.io").as_deref(), Some("bearer"));
        assert_eq!(basic(&all, "empty.example"), None);
        assert_eq!(basic(&all, "other.example"), None);
    }

    #[test]
    fn a_program_that_keeps_credentials_is_named_and_not_run() {
        let kept = credentials(
            r#"{"auths": {"a.io": {"auth": "YTpi"}}, "credHelpers": {"b.io": "gcloud"}, "credsStore": "desktop"}"#,
        );
        let kept = kept.expect("it is one");
        assert_eq!(basic(&kept, "a.io").as_deref(), Some("a b"));
        let why = |name: &str| kept.of(name).expect_err("somebody keeps it").to_string();
        assert!(why("b.io").contains("docker-credential-gcloud"));
        assert!(why("c.io").contains("docker-credential-desktop"));
    }

    #[test]
    fn nothing_of_a_secret_is_told() {
        for text in [
            r#"{"auths": {"a.io": {"auth": "s3cret!"}}}"#,
            r#"{"auths": {"a.io": {"auth": ["s3cret"]}}}"#,
            r#"{"auths": {"a.io": {"auth": "czNjcmV0"}}}"#,
        ] {
            let error = credentials(text).expect_err("it is none");
            let told = format!("{error} {error:?}");
            assert!(!told.contains("s3cret") && !told.contains("czN"), "{told}");
        }
        let known = credentials(r#"{"auths": {"a.io": {"auth": "YTpzM2NyZXQ="}}}"#);
        let known = known.expect("it is one");
        let of = known.of("a.io").expect("nobody keeps it");
        assert!(!format!("{known:?} {of:?}").contains("s3cret"));
    }
}
