//! Who may write resources, and look at what was released: roles, each with a key and a scope.
//!
//! A request carries a JWT, as Trustee's does: signed by the role's key, with `exp` and `role`. The
//! key decides: whoever has one role's key cannot speak for another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, Validation, dangerous};
use propeller_attest::rcar::ResourcePath;
use serde::Deserialize;
use toml::Spanned;

use crate::policy::Pattern;

/// The largest file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: usize = 1024 * 1024;
/// A key in PEM is some hundreds of bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;
/// An honest token is some hundreds of characters.
const TOKEN_CHARS_MAX: usize = 8 * 1024;
const ROLES_MAX: usize = 1000;

/// Why an admins file does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct AdminsError {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub why: String,
}

/// What a role may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum May {
    Write,
    Delete,
    List,
    Explain,
    Audit,
    Policy,
}

impl May {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Explain => "explain",
            Self::Audit => "audit",
            Self::Policy => "policy",
        }
    }
}

/// All roles. Without a file there are none.
#[derive(Debug, Default)]
pub(crate) struct Admins {
    roles: BTreeMap<String, Role>,
}

#[derive(Debug)]
struct Role {
    key: DecodingKey,
    resources: Vec<Pattern>,
    may: BTreeSet<May>,
}

/// Somebody who has shown that he has a role. There is no other way to get one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admin {
    role: String,
    resources: Vec<Pattern>,
    may: BTreeSet<May>,
}

/// Why somebody has no role, or not one that may do this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("no roles are configured (KEYBROKER_ADMINS), so that nobody may")]
    NoRoles,
    #[error("the request has no `Authorization: Bearer` token")]
    NoToken,
    #[error("the token is not one that any role's key has signed, with `role` and `exp`")]
    Token,
    #[error("the token is over")]
    Expired,
    #[error("role `{role}` may not {act}")]
    Act { role: String, act: &'static str },
    #[error("role `{role}` may not {act} {path}")]
    Path {
        role: String,
        act: &'static str,
        path: ResourcePath,
    },
}

#[derive(Deserialize)]
struct Payload {
    role: String,
    exp: f64,
    #[serde(default)]
    nbf: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    role: Vec<Spanned<RoleTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleTable {
    name: String,
    public_key: String,
    resources: Vec<String>,
    may: BTreeSet<May>,
}

impl Admins {
    /// Reads an admins file's text. Files of keys are looked for from `folder`.
    pub(crate) fn parse(text: &str, folder: &Path) -> Result<Self, AdminsError> {
        let line = |at: usize| {
            text.get(..at)
                .map_or(1, |before| before.matches('\n').count() + 1)
        };
        let file: File = toml::from_str(text).map_err(|error| AdminsError {
            line: line(error.span().map_or(0, |span| span.start)),
            why: error.message().to_owned(),
        })?;
        let mut roles = BTreeMap::new();
        for table in file.role {
            let line = line(table.span().start);
            let wrong = |why: String| AdminsError { line, why };
            let RoleTable {
                name,
                public_key,
                resources,
                may,
            } = table.into_inner();
            let patterns = resources.iter().map(|one| one.parse());
            let patterns: Result<Vec<Pattern>, _> = patterns.collect();
            let role = Role {
                key: key(&public_key, folder).map_err(wrong)?,
                resources: patterns.map_err(|error| wrong(error.to_string()))?,
                may,
            };
            if roles.len() == ROLES_MAX {
                return Err(wrong(format!("there are more than {ROLES_MAX} roles")));
            }
            if roles.insert(name.clone(), role).is_some() {
                return Err(wrong(format!("there are two roles `{name}`")));
            }
        }
        Ok(Self { roles })
    }

    /// How many roles there are.
    pub(crate) fn len(&self) -> usize {
        self.roles.len()
    }

    /// Whoever has signed this token, if it is in force.
    pub(crate) fn admin(&self, token: Option<&str>, now: Timestamp) -> Result<Admin, Denied> {
        if self.roles.is_empty() {
            return Err(Denied::NoRoles);
        }
        let token = token.ok_or(Denied::NoToken)?;
        if token.len() > TOKEN_CHARS_MAX {
            return Err(Denied::Token);
        }
        // Only to find the key to hold it against.
        let said: Payload = dangerous::insecure_decode_claims(token).map_err(|_| Denied::Token)?;
        let Role {
            key,
            resources,
            may,
        } = self.roles.get(&said.role).ok_or(Denied::Token)?;
        let mut validation = Validation::new_for_family(key.family());
        // Times are held against a clock that is an argument; `aud` and `iss` are as the writer likes.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let signed = jsonwebtoken::decode::<Payload>(token, key, &validation);
        let Payload { role, exp, nbf } = signed.map_err(|_| Denied::Token)?.claims;
        let now = now.as_duration().as_secs_f64();
        // A time that is no number is never within.
        if !(nbf <= now && now < exp) {
            return Err(Denied::Expired);
        }
        Ok(Admin {
            role,
            resources: resources.clone(),
            may: may.clone(),
        })
    }
}

impl Admin {
    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// Whether he may do this at all.
    pub(crate) fn may(&self, act: May) -> Result<(), Denied> {
        match self.may.contains(&act) {
            true => Ok(()),
            false => Err(Denied::Act {
                role: self.role.clone(),
                act: act.name(),
            }),
        }
    }

    /// Whether he may do this with a resource.
    pub(crate) fn may_with(&self, act: May, path: &ResourcePath) -> Result<(), Denied> {
        self.may(act)?;
        match self.is_for(path) {
            true => Ok(()),
            false => Err(Denied::Path {
                role: self.role.clone(),
                act: act.name(),
                path: path.clone(),
            }),
        }
    }

    pub(crate) fn is_for(&self, path: &ResourcePath) -> bool {
        self.resources.iter().any(|pattern| pattern.matches(path))
    }

    pub(crate) fn is_for_everything(&self) -> bool {
        self.resources.iter().any(Pattern::is_everything)
    }
}

/// A key in PEM, or the name of a file with one.
fn key(text: &str, folder: &Path) -> Result<DecodingKey, String> {
    if text.contains("-----BEGIN ") {
        return decoding_key(text.as_bytes());
    }
    let path = folder.join(text);
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let len = std::fs::metadata(&path).map_err(unreadable)?.len();
    if len > KEY_BYTES_MAX {
        return Err(format!("{} is no key: it is too long", path.display()));
    }
    let pem = std::fs::read(&path).map_err(unreadable)?;
    decoding_key(&pem).map_err(|why| format!("{}: {why}", path.display()))
}

fn decoding_key(pem: &[u8]) -> Result<DecodingKey, String> {
    let why = "`public_key` has to be a public key in PEM, Ed25519, P-256 or RSA: \
               `openssl pkey -pubout`";
    if !pem.windows(10).any(|part| part == b"PUBLIC KEY") {
        return Err(why.to_owned());
    }
    let key = DecodingKey::from_ed_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_rsa_pem(pem))
        .map_err(|_| why.to_owned())?;
    // A key that fits no algorithm would only show when somebody is refused.
    let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    match key.family() {
        AlgorithmFamily::Ec if bytes != P256_POINT_BYTES => Err(why.to_owned()),
        AlgorithmFamily::Rsa if bytes < RSA_BYTES_MIN => {
            Err("an RSA key has to have 2048 bits or more".to_owned())
        }
        _ => Ok(key),
    }
}

/// `04 ‖ x ‖ y`
const P256_POINT_BYTES: usize = 65;
/// The modulus of one with 2048 bits, and what DER puts around it.
const RSA_BYTES_MIN: usize = 256 + 8;

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use data_encoding::BASE64;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;

    struct Signer(Ed25519KeyPair);

    impl Signer {
        fn new() -> Self {
            Self(Ed25519KeyPair::generate().unwrap())
        }

        fn pem(&self) -> String {
            let der = self.0.public_key().as_der().unwrap();
            let text = BASE64.encode(der.as_ref());
            format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
        }

        fn sign(&self, payload: &Value) -> String {
            let key = EncodingKey::from_ed_der(self.0.to_pkcs8v1().unwrap().as_ref());
            jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), payload, &key).unwrap()
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1000).unwrap()
    }

    fn file(roles: &[(&str, &Signer)]) -> String {
        let table = |(name, signer): &(&str, &Signer)| {
            let pem = signer.pem();
            format!(
                "[[role]]\nname = '{name}'\npublic_key = '''{pem}'''\nresources = ['{name}/*']\nmay = ['write', 'list']\n"
            )
        };
        roles.iter().map(table).collect()
    }

    #[test]
    fn a_role_is_whoever_has_its_key_for_as_long_as_the_token_says() {
        let (a, b) = (Signer::new(), Signer::new());
        let admins = Admins::parse(&file(&[("a", &a), ("b", &b)]), Path::new("")).unwrap();
        let check = |token: &str| admins.admin(Some(token), now()).map(|admin| admin.role);
        let good = json!({"iss": "x", "aud": ["KBS"], "role": "a", "exp": 1001});
        assert_eq!(check(&a.sign(&good)), Ok("a".to_owned()));
        for (token, why) in [
            (b.sign(&good), Denied::Token),
            (a.sign(&json!({"exp": 1001})), Denied::Token),
            (a.sign(&json!({"role": "a"})), Denied::Token),
            (a.sign(&json!({"role": "c", "exp": 1001})), Denied::Token),
            (a.sign(&json!({"role": "a", "exp": 1000})), Denied::Expired),
            (
                a.sign(&json!({"role": "a", "exp": 1001, "nbf": 1001})),
                Denied::Expired,
            ),
            ("not.a.token".to_owned(), Denied::Token),
        ] {
            assert_eq!(check(&token), Err(why), "{token}");
        }
        let unsigned = a.sign(&good);
        let payload = unsigned.split('.').nth(1).unwrap();
        let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
        assert_eq!(check(&format!("{none}.{payload}.")), Err(Denied::Token));
        assert_eq!(admins.admin(None, now()), Err(Denied::NoToken));
        let nobody = Admins::default().admin(Some(&unsigned), now());
        assert_eq!(nobody, Err(Denied::NoRoles));
    }

    #[test]
    fn a_scope_is_acts_and_paths() {
        let a = Signer::new();
        let admins = Admins::parse(&file(&[("a", &a)]), Path::new("")).unwrap();
        let token = a.sign(&json!({"role": "a", "exp": 1001}));
        let admin = admins.admin(Some(&token), now()).unwrap();
        let [mine, other]: [ResourcePath; 2] = ["a/key/1", "ab/key/1"].map(|p| p.parse().unwrap());
        assert_eq!(admin.may_with(May::Write, &mine), Ok(()));
        assert!(admin.may_with(May::Delete, &mine).is_err());
        let refused = admin.may_with(May::Write, &other).unwrap_err();
        assert_eq!(refused.to_string(), "role `a` may not write ab/key/1");
        assert!(!admin.is_for_everything());
    }

    #[test]
    fn mistakes_have_a_line() {
        let a = Signer::new();
        let right = file(&[("a", &a)]);
        for (text, line, why) in [
            (format!("{right}{right}"), 9, "two roles `a`"),
            (right.replace("'list'", "'read'"), 8, "unknown variant"),
            (right.replace("a/*", "a"), 1, "a pattern of resources"),
            (right.replace("may =", "can ="), 8, "unknown field"),
            (
                right.replace("PUBLIC KEY", "PRIVATE KEY"),
                1,
                "openssl pkey -pubout",
            ),
        ] {
            let error = Admins::parse(&text, Path::new("")).map(|_| ()).unwrap_err();
            assert!(error.why.contains(why), "{error}");
            assert_eq!(error.line, line, "{error}");
        }
    }
}
