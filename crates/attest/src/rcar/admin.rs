//! Writing and deleting a broker's resources, as its administrator.
//!
//! A request carries a JWT (RFC 7519) that the administrator's key has signed. Its claims are those
//! that any version of Trustee wants: `iss`, `sub`, `aud`, `role`, `iat` and `exp`. What the broker
//! answers is looked at: a key that was not registered makes an image that nobody can ever open.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt as _;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;

use super::address::{KbsAddress, ResourcePath};
use super::error::printable;
use super::http::client;
use super::message::ErrorInformation;
use super::{BODY_BYTES_MAX, ERROR_TYPE};

/// How long a token is good for: a request, and clocks that differ a little.
const TOKEN_LIFE: Duration = Duration::from_secs(120);
/// Who says so, for brokers that ask. Nobody does unless it is configured there.
const ISSUER: &str = "propeller";
const AUDIENCE: &str = "KBS";
/// What is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why there is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the private key of an administrator: it has to be PEM with PKCS#8, Ed25519, P-256 or RSA, such as `openssl genpkey -algorithm ed25519` makes"
)]
pub struct NoAdminKey;

/// The private key of an administrator.
///
/// The library that holds it clears its memory when it is dropped.
#[derive(Clone)]
pub struct AdminKey {
    key: EncodingKey,
    algorithm: Algorithm,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    sub: &'a str,
    aud: [&'static str; 1],
    role: &'a str,
    iat: u64,
    exp: u64,
}

impl AdminKey {
    /// Reads a private key: PKCS#8, or for RSA also PKCS#1, in PEM.
    ///
    /// # Errors
    /// If it is no such key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, NoAdminKey> {
        let key = EncodingKey::from_ed_pem(pem)
            .or_else(|_| EncodingKey::from_ec_pem(pem))
            .or_else(|_| EncodingKey::from_rsa_pem(pem))
            .map_err(|_| NoAdminKey)?;
        let algorithm = match key.family() {
            AlgorithmFamily::Ed => Algorithm::EdDSA,
            AlgorithmFamily::Ec => Algorithm::ES256,
            _ => Algorithm::RS256,
        };
        let read = Self { key, algorithm };
        // A public key, or one on another curve, shows when it is used.
        match read.token("", Duration::ZERO, 0) {
            Some(_) => Ok(read),
            None => Err(NoAdminKey),
        }
    }

    /// A token for a role, from `now` in seconds since 1970 for `life`. `None` if the library fails.
    #[must_use]
    pub fn token(&self, role: &str, life: Duration, now: u64) -> Option<String> {
        let claims = Claims {
            iss: ISSUER,
            sub: role,
            aud: [AUDIENCE],
            role,
            iat: now,
            exp: now.saturating_add(life.as_secs()),
        };
        jsonwebtoken::encode(&Header::new(self.algorithm), &claims, &self.key).ok()
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdminKey({:?})", self.algorithm)
    }
}

/// Why a resource is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The client could not be made, or no token.
    #[error("an administrator of key brokers cannot be made: {0}")]
    Setup(String),
    /// More than a broker takes.
    #[error("a resource has no more than {BODY_BYTES_MAX} bytes, this has {bytes}")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// No answer. Whether it was done is not known.
    #[error("key broker {address}: no answer about {path}")]
    Network {
        /// The broker.
        address: String,
        /// The resource.
        path: ResourcePath,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It does not know this administrator, or not for this.
    #[error(
        "key broker {address}: {path} was not changed, because {role} may not, or its key is unknown there: {detail}"
    )]
    Denied {
        /// The broker.
        address: String,
        /// The resource.
        path: ResourcePath,
        /// The role.
        role: String,
        /// Its words.
        detail: String,
    },
    /// Something else is there already, and was not to be replaced.
    #[error("key broker {address}: another key is kept as {path} already, and was not changed")]
    Exists {
        /// The broker.
        address: String,
        /// The resource.
        path: ResourcePath,
    },
    /// It refuses for another reason.
    #[error("key broker {address}: {path} was not changed: HTTP status {status}: {detail}")]
    Refused {
        /// The broker.
        address: String,
        /// The resource.
        path: ResourcePath,
        /// HTTP status.
        status: u16,
        /// Its words.
        detail: String,
    },
}

/// An administrator of one broker.
pub struct Admin {
    http: reqwest::Client,
    address: KbsAddress,
    key: AdminKey,
    role: String,
}

impl Admin {
    /// One who signs with `key` and has `role`. Trusts `roots` (PEM) besides the system's.
    ///
    /// # Errors
    /// If a certificate is none, or the process has no provider of cryptography for TLS.
    pub fn new(
        address: KbsAddress,
        roots: &[Vec<u8>],
        key: AdminKey,
        role: &str,
    ) -> Result<Self, AdminError> {
        let http = client(&address, roots).map_err(AdminError::Setup)?;
        Ok(Self {
            http,
            address,
            key,
            role: role.to_owned(),
        })
    }

    /// The broker.
    #[must_use]
    pub fn address(&self) -> &KbsAddress {
        &self.address
    }

    /// Writes a resource in place of what has its path; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// See [`AdminError`]: unless this returns `Ok`, nobody has said that it is there.
    pub async fn put_resource(
        &self,
        path: &ResourcePath,
        secret: &[u8],
        now: u64,
    ) -> Result<(), AdminError> {
        let request = self.write(path, secret, now)?;
        self.send(request, path).await
    }

    /// Writes a resource unless another one has its path: the same bytes may be there. `now` is in
    /// seconds since 1970.
    ///
    /// It is asked for with `If-None-Match: *` (RFC 9110, section 13.1.2). A broker that knows no
    /// conditions, as Trustee, passes it over and replaces what is there.
    ///
    /// # Errors
    /// [`AdminError::Exists`] if another one is there; otherwise as [`Admin::put_resource`].
    pub async fn add_resource(
        &self,
        path: &ResourcePath,
        secret: &[u8],
        now: u64,
    ) -> Result<(), AdminError> {
        let request = self.write(path, secret, now)?;
        self.send(request.header(IF_NONE_MATCH, "*"), path).await
    }

    fn write(
        &self,
        path: &ResourcePath,
        secret: &[u8],
        now: u64,
    ) -> Result<RequestBuilder, AdminError> {
        let bytes = secret.len();
        if bytes > BODY_BYTES_MAX {
            return Err(AdminError::TooLong { bytes });
        }
        let request = self.request(Method::POST, path, now)?;
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        Ok(request.body(secret.to_vec()))
    }

    /// Deletes a resource; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn delete_resource(&self, path: &ResourcePath, now: u64) -> Result<(), AdminError> {
        self.send(self.request(Method::DELETE, path, now)?, path)
            .await
    }

    fn request(
        &self,
        method: Method,
        path: &ResourcePath,
        now: u64,
    ) -> Result<RequestBuilder, AdminError> {
        let token = self.key.token(&self.role, TOKEN_LIFE, now);
        let bearer = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        let unsigned = || AdminError::Setup("no token can be signed".to_owned());
        let mut bearer = bearer.ok_or_else(unsigned)?;
        bearer.set_sensitive(true);
        let url = self.address.endpoint(&format!("resource/{path}"));
        Ok(self.http.request(method, url).header(AUTHORIZATION, bearer))
    }

    async fn send(&self, request: RequestBuilder, path: &ResourcePath) -> Result<(), AdminError> {
        let (address, path) = (self.address.to_string(), path.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let source = error.without_url();
                return Err(AdminError::Network {
                    address,
                    path,
                    source,
                });
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if status == StatusCode::PRECONDITION_FAILED {
            return Err(AdminError::Exists { address, path });
        }
        let (name, detail) = refusal(response).await;
        Err(match name.starts_with("AdminAuth") {
            true => AdminError::Denied {
                address,
                path,
                role: self.role.clone(),
                detail,
            },
            false => AdminError::Refused {
                address,
                path,
                status: status.as_u16(),
                detail,
            },
        })
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admin({} at {})", self.role, self.address)
    }
}

/// Name and words of a refusal; what is no refusal of the protocol is all words.
async fn refusal(response: Response) -> (String, String) {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    match serde_json::from_slice(&body) {
        Ok(ErrorInformation { kind, detail }) => {
            let name = kind.strip_prefix(ERROR_TYPE).unwrap_or_default();
            (name.to_owned(), printable(&detail))
        }
        Err(_) => (String::new(), printable(&String::from_utf8_lossy(&body))),
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair,
    };
    use data_encoding::{BASE64, BASE64URL_NOPAD};
    use serde_json::{Value, json};

    use super::*;

    fn pem(label: &str, der: &[u8]) -> Vec<u8> {
        let text = BASE64.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
    }

    fn on_curve(algorithm: &'static EcdsaSigningAlgorithm) -> Vec<u8> {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        pem("PRIVATE KEY", key.to_pkcs8v1().unwrap().as_ref())
    }

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_token_has_what_every_version_of_trustee_wants() {
        let ed = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
        for (pem, alg) in [
            (pem("PRIVATE KEY", ed.as_ref()), "EdDSA"),
            (on_curve(&ECDSA_P256_SHA256_FIXED_SIGNING), "ES256"),
            (pem("PRIVATE KEY", rsa.as_ref()), "RS256"),
        ] {
            let key = AdminKey::from_pem(&pem).unwrap();
            let token = key.token("admin", Duration::from_secs(60), 1000).unwrap();
            assert_eq!(part(&token, 0), json!({"alg": alg, "typ": "JWT"}));
            let claims = json!({
                "iss": "propeller", "sub": "admin", "aud": ["KBS"], "role": "admin",
                "iat": 1000, "exp": 1060,
            });
            assert_eq!(part(&token, 1), claims);
        }
    }

    #[test]
    fn what_signs_nothing_is_no_key() {
        for bytes in [
            on_curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            pem("PRIVATE KEY", b"not a key"),
            b"text".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(AdminKey::from_pem(&bytes).map(|_| ()), Err(NoAdminKey));
        }
    }
}
