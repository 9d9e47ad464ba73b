//! Getting in: what answers a challenge, and tokens of the Docker registry v2 authentication
//! specification.

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::body::{authority, network, read_at_most};
use super::challenge::{Challenge, challenge};
use super::exchange::PASSES_MAX;
use super::{Registry, RegistryError, Stage};
use crate::Reference;
use crate::credentials::{Credential, CredentialsError, Known};
use crate::excerpt::excerpt;
use crate::reference::is_this_machine;

/// The longest answer of a token server; tokens have some KiB.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// How we are called where a token server asks.
const CLIENT: &str = "propeller";

/// Who we are without credentials, in an error.
const NOBODY: &str = "an anonymous user";

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Pull,
    Push,
}

impl Action {
    /// In the words of a scope.
    fn scope(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }

    /// In the words of an error.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Pull => "pull from",
            Self::Push => "push to",
        }
    }
}

/// What a pass is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) plain: bool,
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) action: Action,
}

/// What a request is let in with.
#[derive(Clone)]
pub(super) enum Pass {
    Basic(Credential),
    Bearer(Zeroizing<String>),
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pass(…)")
    }
}

impl Pass {
    pub(super) fn on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic(Credential::Basic { username, password }) => {
                request.basic_auth(username, Some(password.as_str()))
            }
            // A token where a name is asked for.
            Self::Basic(Credential::Identity { token } | Credential::Bearer { token }) => {
                request.bearer_auth(token.as_str())
            }
            Self::Bearer(token) => request.bearer_auth(token.as_str()),
        }
    }
}

/// Who we are to a registry.
#[derive(Clone, Copy)]
struct We<'a> {
    /// Nobody, without.
    credential: Option<&'a Credential>,
    /// Whether it was filed for a registry without TLS, so that it may be read on the way.
    plain: bool,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
}

impl Registry {
    /// Whatever the registry asks for with this answer. Where a program that keeps our credentials
    /// does not give them we go as nobody, which is enough for what is public; where it is not, that
    /// is why.
    pub(super) async fn authenticate(
        &self,
        reference: &Reference,
        scope: &Scope,
        refused: &Response,
    ) -> Result<Pass, RegistryError> {
        let (credential, plain, silent) = match self.options.credentials.of(reference)? {
            Known::Nobody => (None, false, None),
            Known::Filed { credential, plain } => (Some(credential.clone()), plain, None),
            Known::Kept(keeper) => match self.ask(&keeper).await {
                Ok(credential) => (credential, false, None),
                Err(silent) => (None, false, Some(silent)),
            },
        };
        self.note(scope, who(credential.as_ref(), silent.as_ref()));
        let we = We {
            credential: credential.as_ref(),
            plain,
        };
        let pass = self.pass(scope, we, refused, reference).await;
        match (pass, silent) {
            (Err(RegistryError::Challenge { .. }), Some(silent)) => Err(silent.into()),
            (pass, _) => pass,
        }
    }

    async fn pass(
        &self,
        scope: &Scope,
        we: We<'_>,
        refused: &Response,
        reference: &Reference,
    ) -> Result<Pass, RegistryError> {
        let asks = |what: String| RegistryError::Challenge {
            registry: reference.registry().to_owned(),
            what,
        };
        match (challenge(refused.headers()), we.credential) {
            (_, Some(Credential::Bearer { token })) => Ok(Pass::Bearer(token.clone())),
            (Some(Challenge::Basic), Some(credential)) => Ok(Pass::Basic(credential.clone())),
            (Some(Challenge::Basic), None) => Err(asks(
                "a name and a password, and there are none for it".to_owned(),
            )),
            (Some(Challenge::Bearer { realm, service }), credential) => {
                let realm = realm_of(reference, we, refused.url(), &realm).map_err(asks)?;
                let order = Order {
                    realm,
                    service,
                    scope: format!("repository:{}:{}", scope.repository, scope.action.scope()),
                };
                self.token(order, credential).await
            }
            (None, _) => Err(asks(
                "something that is neither Basic nor Bearer".to_owned(),
            )),
        }
    }

    fn note(&self, scope: &Scope, who: String) {
        let mut said = self.said.lock().expect("no thread panics with it");
        if said.len() >= PASSES_MAX {
            said.clear();
        }
        said.insert(scope.clone(), who);
    }

    /// Who we said we were, for an error.
    pub(super) fn who(&self, scope: &Scope) -> String {
        let said = self.said.lock().expect("no thread panics with it");
        let who = said.get(scope).cloned();
        who.unwrap_or_else(|| NOBODY.to_owned())
    }

    async fn token(
        &self,
        order: Order,
        credential: Option<&Credential>,
    ) -> Result<Pass, RegistryError> {
        let stage = Stage::Token;
        let host = authority(&order.realm);
        let request = order.request(self.http(stage)?, credential);
        let answer = request.send().await;
        let answer = answer.map_err(|source| network(source, stage, &host))?;
        let status = answer.status();
        let pace = self.options.pace;
        let body = read_at_most(answer, TOKEN_BYTES_MAX, pace, stage, &host).await?;
        let refused = |what: &str| RegistryError::Challenge {
            registry: host.clone(),
            what: format!("a token, and its token server {what}"),
        };
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(RegistryError::TooOften {
                registry: host,
                wait: None,
            });
        }
        if status.is_server_error() {
            return Err(RegistryError::Status {
                stage,
                host,
                status: status.as_u16(),
                because: String::new(),
            });
        }
        if !status.is_success() {
            let who = credential.map_or(NOBODY, |_| "these credentials");
            return Err(refused(&format!("answers {who} with {}", status.as_u16())));
        }
        let body = Zeroizing::new(body);
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| refused("gives none"))?;
        let tokens = [answer.token, answer.access_token];
        let token = tokens.into_iter().flatten().find(|token| !token.is_empty());
        token.map(Pass::Bearer).ok_or_else(|| refused("gives none"))
    }
}

/// What is asked of a token server.
struct Order {
    realm: Url,
    service: Option<String>,
    scope: String,
}

impl Order {
    fn request(self, http: &reqwest::Client, credential: Option<&Credential>) -> RequestBuilder {
        let Self {
            mut realm,
            service,
            scope,
        } = self;
        if let Some(Credential::Identity { token }) = credential {
            let mut form = realm.clone();
            form.set_query(None);
            form.query_pairs_mut()
                .append_pair("grant_type", "refresh_token")
                .append_pair("service", service.as_deref().unwrap_or_default())
                .append_pair("scope", &scope)
                .append_pair("client_id", CLIENT)
                .append_pair("refresh_token", token);
            let form = form.query().unwrap_or_default().to_owned();
            let urlencoded = "application/x-www-form-urlencoded";
            return http.post(realm).header(CONTENT_TYPE, urlencoded).body(form);
        }
        let mut query = realm.query_pairs_mut();
        if let Some(service) = &service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &scope);
        drop(query);
        let request = http.get(realm);
        match credential {
            Some(Credential::Basic { username, password }) => {
                request.basic_auth(username, Some(password.as_str()))
            }
            _ => request,
        }
    }
}

/// Where tokens come from. Credentials travel there: over TLS, or, where the reference says that the
/// registry has none, no further than this machine, unless they were filed for being read.
fn realm_of(reference: &Reference, we: We<'_>, asked: &Url, realm: &str) -> Result<Url, String> {
    let odd = || format!("a token of {}, which is no address", excerpt(realm));
    let realm = asked.join(realm).map_err(|_| odd())?;
    match realm.scheme() {
        "https" => Ok(realm),
        "http" if reference.is_plain() => {
            let stays = is_this_machine(realm.host_str().unwrap_or_default());
            match we.credential.is_none() || we.plain || stays {
                true => Ok(realm),
                false => Err(format!(
                    "a token of {}, to which its credentials are not sent without TLS: file them as \
                     those of http://{} if everybody on the way there may read them",
                    excerpt(realm.as_str()),
                    reference.registry(),
                )),
            }
        }
        _ => Err(format!(
            "a token of {}, without TLS",
            excerpt(realm.as_str())
        )),
    }
}

/// Whether we are somebody, for an error.
fn who(credential: Option<&Credential>, silent: Option<&CredentialsError>) -> String {
    match (credential, silent) {
        (Some(Credential::Basic { username, .. }), _) => excerpt(username),
        (Some(_), _) => "the holder of this token".to_owned(),
        (None, Some(silent)) => format!("{NOBODY} ({silent})"),
        (None, None) => NOBODY.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_over_tls_unless_the_reference_says_otherwise() {
        let secure: Reference = "ghcr.io/a".parse().expect("it is one");
        let local: Reference = "http://127.0.0.1:5000/a".parse().expect("it is one");
        let asked = Url::parse("https://ghcr.io/v2/").expect("it is one");
        let token = Credential::Identity {
            token: "t".to_owned().into(),
        };
        let who = |credential, plain| We { credential, plain };
        let (nobody, filed) = (who(None, false), who(Some(&token), false));
        let exposed = who(Some(&token), true);
        for (reference, we, realm, taken) in [
            (&secure, filed, "https://auth.example/token", true),
            (&secure, filed, "/token", true),
            (&secure, exposed, "http://auth.example/token", false),
            (&secure, nobody, "http://127.0.0.1/token", false),
            (&secure, nobody, "file:///etc/passwd", false),
            (&local, nobody, "http://auth.example/token", true),
            (&local, exposed, "http://auth.example/token", true),
            (&local, filed, "http://auth.example/token", false),
            (&local, filed, "http://127.0.0.1.auth.example/token", false),
            (
                &local,
                filed,
                "http://me@localhost@auth.example/token",
                false,
            ),
            (&local, filed, "https://auth.example/token", true),
            (&local, filed, "http://127.0.0.1:5001/token", true),
            (&local, filed, "http://localhost/token", true),
            (&local, filed, "http://[::1]:5001/token", true),
        ] {
            let said = realm_of(reference, we, &asked, realm);
            assert_eq!(said.is_ok(), taken, "{reference} {realm}: {said:?}");
        }
    }
}
