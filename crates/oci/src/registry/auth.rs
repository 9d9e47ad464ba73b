//! Getting in: challenges (RFC 9110 section 11.6.1), and tokens of the Docker registry v2
//! authentication specification.

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::body::{authority, network, read_at_most};
use super::exchange::PASSES_MAX;
use super::{Registry, RegistryError, Stage};
use crate::Reference;
use crate::credentials::{Credential, CredentialsError, Known};
use crate::excerpt::excerpt;

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

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
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
        let (credential, silent) = match self.options.credentials.of(reference)? {
            Known::Nobody => (None, None),
            Known::Filed(credential) => (Some(credential.clone()), None),
            Known::Kept(keeper) => match self.ask(&keeper).await {
                Ok(credential) => (credential, None),
                Err(silent) => (None, Some(silent)),
            },
        };
        self.note(scope, who(credential.as_ref(), silent.as_ref()));
        let pass = self
            .pass(scope, credential.as_ref(), refused, reference)
            .await;
        match (pass, silent) {
            (Err(RegistryError::Challenge { .. }), Some(silent)) => Err(silent.into()),
            (pass, _) => pass,
        }
    }

    async fn pass(
        &self,
        scope: &Scope,
        credential: Option<&Credential>,
        refused: &Response,
        reference: &Reference,
    ) -> Result<Pass, RegistryError> {
        let asks = |what: String| RegistryError::Challenge {
            registry: reference.registry().to_owned(),
            what,
        };
        match (challenge(refused.headers()), credential) {
            (_, Some(Credential::Bearer { token })) => Ok(Pass::Bearer(token.clone())),
            (Some(Challenge::Basic), Some(credential)) => Ok(Pass::Basic(credential.clone())),
            (Some(Challenge::Basic), None) => Err(asks(
                "a name and a password, and there are none for it".to_owned(),
            )),
            (Some(Challenge::Bearer { realm, service }), credential) => {
                let realm = realm_of(reference, refused.url(), &realm).map_err(asks)?;
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

/// Where tokens come from. Credentials travel there, so not without TLS, unless the reference says
/// that there is none.
fn realm_of(reference: &Reference, asked: &Url, realm: &str) -> Result<Url, String> {
    let odd = || format!("a token of {}, which is no address", excerpt(realm));
    let realm = asked.join(realm).map_err(|_| odd())?;
    match realm.scheme() {
        "https" => Ok(realm),
        "http" if reference.is_plain() => Ok(realm),
        _ => Err(format!(
            "a token of {}, without TLS",
            excerpt(realm.as_str())
        )),
    }
}

/// The challenge that is answered: a token, rather than a password with every request.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let all = headers.get_all(WWW_AUTHENTICATE).iter();
    let mut known: Vec<_> = all.filter_map(|one| parse(one.to_str().ok()?)).collect();
    known.sort_by_key(|one| matches!(one, Challenge::Basic));
    known.into_iter().next()
}

fn parse(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text
        .trim()
        .split_once(" ")
        .unwrap_or_else(|| (text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest;
    while let Some((name, value, more)) = parameter(rest) {
        match name.to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            _ => {}
        }
        rest = more;
    }
    Some(Challenge::Bearer {
        realm: realm?,
        service,
    })
}

/// The first `name=value` or `name="value"`, and what comes after it.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([',', ' ', '\t']);
    let (name, rest) = text.split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].trim().to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name.trim(), value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
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
    fn challenges_are_read_as_they_are_written() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (text, read) in [
            (
                r#"Bearer realm="https://a/t",service="s",scope="repository:x:pull""#,
                bearer("https://a/t", Some("s")),
            ),
            (
                r#"bearer service=s , realm="https://a/t""#,
                bearer("https://a/t", Some("s")),
            ),
            (r#"Bearer realm="a\"b,c""#, bearer("a\"b,c", None)),
            (
                r#"Bearer scope="repository:x:pull,push",realm=x"#,
                bearer("x", None),
            ),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("BASIC", Some(Challenge::Basic)),
            (r#"Bearer realm="never closed"#, None),
            ("Bearer service=x", None),
            ("Digest realm=x", None),
            ("", None),
        ] {
            assert_eq!(parse(text), read, "{text}");
        }
    }

    #[test]
    fn tokens_come_over_tls_unless_the_reference_says_otherwise() {
        let secure: Reference = "ghcr.io/a".parse().expect("it is one");
        let plain: Reference = "http://127.0.0.1:5000/a".parse().expect("it is one");
        let asked = Url::parse("https://ghcr.io/v2/").expect("it is one");
        assert!(realm_of(&secure, &asked, "https://auth.example/token").is_ok());
        assert!(realm_of(&secure, &asked, "/token").is_ok());
        assert!(realm_of(&secure, &asked, "http://auth.example/token").is_err());
        assert!(realm_of(&secure, &asked, "file:///etc/passwd").is_err());
        assert!(realm_of(&plain, &asked, "http://auth.example/token").is_ok());
    }
}
