//! Programs that keep credentials: what they are asked, and what their answers mean.
//!
//! The protocol is Docker's (`docker-credential-helpers`). The program `docker-credential-NAME` is
//! called with `get`, and reads the registry from its standard input. It answers with JSON: a
//! `Username` and a `Secret`. Where it has nothing, or cannot say, it ends with another status than 0
//! and says why on its standard output, which may be anything and is not repeated.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Credential, CredentialsError};
use crate::excerpt::excerpt;

/// How such a program is called, in front of its name.
const PROGRAM: &str = "docker-credential-";

/// Who Docker Hub is to these programs; every other registry is called what it is called.
const HUB: &str = "https://index.docker.io/v1/";

/// How a program says that it has nothing for a registry.
const NOTHING: &str = "credentials not found in native keychain";

/// The name of whoever has a token for token servers in place of a password.
const TOKEN: &str = "<token>";

/// The longest answer: two short texts, of which a token has some KiB.
pub(crate) const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// How long an answer may take: some of these programs ask a service of their own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A program that keeps the credentials of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    name: String,
    registry: String,
}

/// Why a program gives no credentials. What it says is never repeated: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// A name that leads elsewhere, or to nothing.
    Name,
    /// There is none, or it cannot be run.
    NotRun(std::io::ErrorKind),
    /// It takes too long.
    Late,
    /// It says too much.
    Long,
    /// It says that it failed.
    Failed(Option<i32>),
    /// It says something else.
    Malformed,
}

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name => f.write_str("is no name of a program: letters, digits, `.`, `_` and `-`"),
            Self::NotRun(std::io::ErrorKind::NotFound) => f.write_str("is no program in PATH"),
            Self::NotRun(kind) => write!(f, "cannot be run: {kind}"),
            Self::Late => write!(f, "does not answer within {PATIENCE:?}"),
            Self::Long => write!(f, "answers with more than {ANSWER_BYTES_MAX} bytes"),
            Self::Failed(Some(code)) => write!(f, "fails with status {code}"),
            Self::Failed(None) => f.write_str("was killed"),
            Self::Malformed => f.write_str("answers with something that is no credential"),
        }
    }
}

impl Keeper {
    pub(super) fn new(name: &str, registry: &str) -> Self {
        Self {
            name: name.to_owned(),
            registry: registry.to_owned(),
        }
    }

    /// What to run: a name without a folder, so that it is looked for in `PATH`.
    pub(crate) fn program(&self) -> Result<String, Silence> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match !self.name.is_empty() && self.name.chars().all(plain) {
            true => Ok(format!("{PROGRAM}{}", self.name)),
            false => Err(Silence::Name),
        }
    }

    /// What to say to it.
    pub(crate) fn question(&self) -> &str {
        match self.registry.as_str() {
            super::file::HUB => HUB,
            other => other,
        }
    }

    /// What its answer means: nobody, if it has nothing.
    pub(crate) fn read(answer: &[u8], status: Option<i32>) -> Result<Option<Credential>, Silence> {
        if answer.len() as u64 > ANSWER_BYTES_MAX {
            return Err(Silence::Long);
        }
        if status != Some(0) {
            return match answer.trim_ascii() == NOTHING.as_bytes() {
                true => Ok(None),
                false => Err(Silence::Failed(status)),
            };
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: Zeroizing<String>,
        }
        let answer = serde_json::from_slice(answer).map_err(|_| Silence::Malformed)?;
        let Answer { username, secret } = answer;
        Ok(match username.as_str() {
            "" if secret.is_empty() => None,
            TOKEN => Some(Credential::Identity { token: secret }),
            _ => Some(Credential::Basic {
                username,
                password: secret,
            }),
        })
    }

    /// Why we are nobody to the registry.
    pub(crate) fn silent(&self, why: Silence) -> CredentialsError {
        CredentialsError::Kept {
            registry: self.registry.clone(),
            keeper: excerpt(&self.name),
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str, status: i32) -> String {
        match Keeper::read(answer.as_bytes(), Some(status)) {
            Ok(None) => "nobody".to_owned(),
            Ok(Some(Credential::Basic { username, password })) => {
                format!("{username} {}", password.as_str())
            }
            Ok(Some(Credential::Identity { token })) => format!("identity {}", token.as_str()),
            Ok(Some(Credential::Bearer { .. })) => "bearer".to_owned(),
            Err(why) => format!("it {why}"),
        }
    }

    #[test]
    fn answers_mean_somebody_or_nobody_and_everything_else_is_told_without_its_words() {
        for (answer, status, read_as) in [
            (
                r#"{"ServerURL":"a","Username":"me","Secret":"s"}"#,
                0,
                "me s",
            ),
            (r#"{"Username":"<token>","Secret":"t"}"#, 0, "identity t"),
            (r#"{"Username":"","Secret":""}"#, 0, "nobody"),
            ("credentials not found in native keychain\n", 1, "nobody"),
            (
                "credentials not found in native keychain",
                0,
                "it answers with something that is no credential",
            ),
            ("the secret is s3cret", 1, "it fails with status 1"),
            (
                r#"{"Username":"me"}"#,
                0,
                "it answers with something that is no credential",
            ),
            ("", 0, "it answers with something that is no credential"),
            (
                &"x".repeat(65_537),
                0,
                "it answers with more than 65536 bytes",
            ),
        ] {
            assert_eq!(read(answer, status), read_as);
        }
    }

    #[test]
    fn only_names_name_programs() {
        let program = |name: &str| Keeper::new(name, "ghcr.io").program().ok();
        let right = Some("docker-credential-ecr-login.2_x".to_owned());
        assert_eq!(program("ecr-login.2_x"), right);
        for name in ["", "../../evil", "a/b", "a\\b", "a b", "a\0b", "a;b", "ä"] {
            assert_eq!(program(name), None, "{name}");
        }
    }

    #[test]
    fn docker_hub_is_asked_for_as_docker_does() {
        let question = |registry| Keeper::new("x", registry).question().to_owned();
        assert_eq!(question("docker.io"), "https://index.docker.io/v1/");
        assert_eq!(question("127.0.0.1:5000"), "127.0.0.1:5000");
    }
}
