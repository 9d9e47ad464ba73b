//! Who we are to a registry, as Docker's `config.json` files it.
//!
//! Podman, skopeo and Docker read and write the same members: `auths`, by registry, with `auth`
//! (base64 of `user:password`), `username` and `password`, `identitytoken` or `registrytoken`.

mod file;
mod keeper;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::Reference;

use file::{File, PLAIN, Unreadable, filed};
pub(crate) use keeper::{ANSWER_BYTES_MAX, PATIENCE};
pub use keeper::{Keeper, Silence};

/// The longest file that is read.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

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

/// Who we are to a registry, as far as a file can say.
#[derive(Clone, Debug)]
pub enum Known<'a> {
    /// Nobody.
    Nobody,
    /// Whoever has this.
    Filed {
        /// What it is.
        credential: &'a Credential,
        /// Whether it was filed for a registry without TLS, so that it may be read on the way.
        plain: bool,
    },
    /// Whatever this program says.
    Kept(Keeper),
}

/// Who we are to each registry; nobody, where nothing is said.
#[derive(Clone, Default)]
pub struct Credentials {
    /// By registry, or by registry and the beginning of repositories.
    known: BTreeMap<String, Filed>,
    /// Registries whose credentials another program keeps, with its name.
    kept: BTreeMap<String, String>,
    /// The program that keeps all others.
    keeper: Option<String>,
}

/// A credential as it was filed.
#[derive(Clone)]
struct Filed {
    /// Whether it was filed for a registry without TLS.
    plain: bool,
    /// Nothing if it cannot be read, which only matters to whoever needs it.
    credential: Option<Credential>,
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
    /// They are not for a registry without TLS.
    #[error(
        "the credentials of {registry} are not sent without TLS, which `http://` asks for: leave that \
         out, or file them as those of http://{registry}"
    )]
    Plain {
        /// Of which registry.
        registry: String,
    },
    /// Another program keeps the credentials, and does not give them.
    #[error("the credentials of {registry} are kept by docker-credential-{keeper}, which {why}")]
    Kept {
        /// Of which registry.
        registry: String,
        /// By whom.
        keeper: String,
        /// Why it gives none.
        why: Silence,
    },
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
        let known = file.auths.into_iter().filter_map(|(name, entry)| {
            let plain = name.starts_with(PLAIN);
            let credential = match entry.unwrap_or_default().credential() {
                Ok(None) => return None,
                Ok(credential) => credential,
                Err(Unreadable) => None,
            };
            Some((filed(&name), Filed { plain, credential }))
        });
        let kept = file.cred_helpers.into_iter();
        Ok(Self {
            known: known.collect(),
            kept: kept.map(|(name, keeper)| (filed(&name), keeper)).collect(),
            keeper: file.creds_store.filter(|keeper| !keeper.is_empty()),
        })
    }

    /// Also these, for a registry: by its name, or as an address.
    #[must_use]
    pub fn with(mut self, registry: &str, credential: Credential) -> Self {
        let filed_as = Filed {
            plain: registry.starts_with(PLAIN),
            credential: Some(credential),
        };
        self.known.insert(filed(registry), filed_as);
        self
    }

    /// Who we are to the registry of an image; nobody, if nothing is said. Credentials that are filed
    /// for the beginning of its repository go before those of the whole registry, and these before
    /// those that a program keeps.
    ///
    /// # Errors
    ///
    /// [`CredentialsError`].
    pub fn of(&self, reference: &Reference) -> Result<Known<'_>, CredentialsError> {
        let registry = reference.registry();
        let whole = reference.name();
        let mut name = whole.as_str();
        let found = loop {
            if let Some(found) = self.known.get(name) {
                break Some(found);
            }
            match name.rsplit_once('/') {
                Some((shorter, _)) => name = shorter,
                None => break None,
            }
        };
        let exposed = reference.is_exposed();
        let plain = || CredentialsError::Plain {
            registry: registry.to_owned(),
        };
        match (found, self.kept.get(registry), &self.keeper) {
            (Some(Filed { plain: false, .. }), ..) if exposed => Err(plain()),
            (Some(Filed { plain, credential }), ..) => match credential {
                Some(credential) => Ok(Known::Filed {
                    credential,
                    plain: *plain,
                }),
                None => Err(CredentialsError::Encoding {
                    registry: registry.to_owned(),
                }),
            },
            // Nobody says for which kind of registry a program keeps them.
            (None, Some(_), _) if exposed => Err(plain()),
            (None, Some(keeper), _) => Ok(Known::Kept(Keeper::new(keeper, registry))),
            (None, None, Some(keeper)) if !exposed => {
                Ok(Known::Kept(Keeper::new(keeper, registry)))
            }
            (None, None, _) => Ok(Known::Nobody),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(text: &str) -> Result<Credentials, CredentialsError> {
        Credentials::from_docker_config(text.as_bytes())
    }

    fn image(name: &str) -> Reference {
        let text = format!("{name}/team-b/app");
        text.parse().expect("it is a reference")
    }

    fn basic(credentials: &Credentials, registry: &str) -> Option<String> {
        match credentials.of(&image(registry)).expect("it may be sent") {
            Known::Nobody => None,
            Known::Kept(keeper) => Some(format!("{keeper:?}")),
            Known::Filed { credential, .. } => Some(match credential {
                Credential::Basic { username, password } => {
                    format!("{username} {}", password.as_str())
                }
                Credential::Identity { token } | Credential::Bearer { token } => token.to_string(),
            }),
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
                "empty.example": {},
                "null.example": null,
                "wrong.example": {"auth": "?"},
                "quay.io/team-a": {"auth": "YTph"},
                "prefix.example/team-b": {"auth": "YjpiYg=="},
                "prefix.example": {"auth": "YTph"}
            }}"#,
        );
        let all = all.expect("it is one");
        assert_eq!(basic(&all, "docker.io").as_deref(), Some("me pass:word"));
        assert_eq!(basic(&all, "ghcr.io").as_deref(), Some("me other"));
        assert_eq!(basic(&all, "localhost:5000").as_deref(), Some("refresh"));
        assert_eq!(basic(&all, "quay.io").as_deref(), Some("bearer"));
        assert_eq!(basic(&all, "empty.example"), None);
        assert_eq!(basic(&all, "other.example"), None);
        assert_eq!(basic(&all, "prefix.example").as_deref(), Some("b bb"));
        // What is wrong with one entry is wrong for whoever needs that one.
        assert!(all.of(&image("wrong.example")).is_err());
    }

    #[test]
    fn nothing_is_sent_without_tls_that_was_filed_for_a_registry_with_it() {
        let all = credentials(
            r#"{"auths": {
                "ghcr.io": {"auth": "YTpi"},
                "http://plain.example": {"auth": "YTpi"},
                "127.0.0.1:5000": {"auth": "YTpi"}
            }}"#,
        );
        let all = all.expect("it is one");
        let refused = all.of(&image("http://ghcr.io")).expect_err("it has no TLS");
        assert!(refused.to_string().contains("not sent without TLS"));
        for name in ["ghcr.io", "http://plain.example", "http://127.0.0.1:5000"] {
            assert_eq!(basic(&all, name).as_deref(), Some("a b"), "{name}");
        }
    }

    #[test]
    fn a_port_that_goes_without_saying_makes_no_other_registry() {
        let all = credentials(
            r#"{"auths": {
                "localhost:443": {"auth": "YTpi"},
                "https://index.docker.io:443/v1/": {"auth": "YTpi"},
                "quay.io:443/team-b": {"auth": "YTpi"},
                "http://127.0.0.1:80": {"auth": "YTpi"},
                "other.example:80": {"auth": "YTpi"},
                "http://plain.example:443": {"auth": "YTpi"}
            }, "credHelpers": {"kept.example:443": "gcloud"}}"#,
        );
        let all = all.expect("it is one");
        for (name, known) in [
            ("localhost", true),
            ("localhost:443", true),
            ("docker.io", true),
            ("quay.io", true),
            ("http://127.0.0.1", true),
            ("http://127.0.0.1:80", true),
            ("kept.example", true),
            ("other.example", false),
            ("other.example:80", true),
            ("http://plain.example", false),
            ("http://plain.example:443", true),
        ] {
            assert_eq!(basic(&all, name).is_some(), known, "{name}");
        }
    }

    #[test]
    fn a_program_keeps_what_is_not_in_the_file() {
        let kept = credentials(
            r#"{"auths": {"a.io": {"auth": "YTpi"}}, "credHelpers": {"b.io": "gcloud"}, "credsStore": "desktop"}"#,
        );
        let kept = kept.expect("it is one");
        assert_eq!(basic(&kept, "a.io").as_deref(), Some("a b"));
        for (registry, name) in [("b.io", "gcloud"), ("c.io", "desktop")] {
            let keeper = Keeper::new(name, registry);
            assert_eq!(basic(&kept, registry), Some(format!("{keeper:?}")));
        }
        // What can be read on the way is for nobody, unless it was filed as such.
        assert!(kept.of(&image("http://b.io")).is_err());
        assert_eq!(basic(&kept, "http://c.io"), None);
    }

    #[test]
    fn nothing_of_a_secret_is_told() {
        for text in [
            r#"{"auths": {"a.io": {"auth": "s3cret!"}}}"#,
            r#"{"auths": {"a.io": {"auth": ["s3cret"]}}}"#,
            r#"{"auths": {"a.io": {"auth": "czNjcmV0"}}}"#,
        ] {
            let told = match credentials(text) {
                Err(error) => format!("{error} {error:?}"),
                Ok(known) => format!("{:?}", known.of(&image("a.io"))),
            };
            assert!(!told.contains("s3cret") && !told.contains("czN"), "{told}");
        }
        let known = credentials(r#"{"auths": {"a.io": {"auth": "YTpzM2NyZXQ="}}}"#);
        let known = known.expect("it is one");
        let of = known.of(&image("a.io")).expect("it may be sent");
        assert!(!format!("{known:?} {of:?}").contains("s3cret"));
    }
}
