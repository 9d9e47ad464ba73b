//! Attestation tokens: results (EAR) as JWTs, signed with a key of this broker, and read again.
//!
//! The key is on P-256, is made at the first start and kept sealed. A token's own header says which
//! key signed it, for others to see; here it is not looked at: what counts is this broker's key and
//! ES256, and nothing else.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::Timestamp;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
    EllipticCurveKeyType, Jwk as TokenJwk,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use propeller_attest::Tee;
use propeller_attest::rcar::RuntimeData;
use propeller_attest::verify::EarFrame;
use propeller_jose::Jwk;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::evidence::Judged;
use crate::policy::Claims;
use crate::sealed::{Folder, SealedError};

const FILE: &str = "token.key";
/// `iss` of what is issued here.
const ISSUER: &str = "propeller-keybroker";
/// `ear.appraisal-policy-id`: resources have rules, evidence has this.
const POLICY: &str = "authentic";
const BUILD: &str = concat!("propeller-keybroker ", env!("CARGO_PKG_VERSION"));
/// A coordinate of P-256.
const COORDINATE_BYTES: usize = 32;

/// Why tokens cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenKeyError {
    /// Its file.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// It is there, and it is no key.
    #[error(
        "the key of tokens cannot be used: remove {FILE} from the data directory, and a new one is made"
    )]
    Unusable,
    /// There is no randomness.
    #[error("cannot make a key for tokens")]
    Make,
}

/// Why a token is of no use. Whoever shows it is told none of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    #[error("it is not signed by this broker")]
    Signature,
    #[error("it is over")]
    Expired,
    #[error("it says nothing about who was attested")]
    Claims,
}

/// A token of this broker's, read.
#[derive(Debug)]
pub(crate) struct Token {
    /// Who was attested.
    pub(crate) claims: Claims,
    /// The key to encrypt to.
    pub(crate) tee_pubkey: Jwk,
    pub(crate) expires: i64,
}

/// Issues tokens, and reads them.
pub(crate) struct Issuer {
    signs: EncodingKey,
    verifies: DecodingKey,
    public: TokenJwk,
    life: Duration,
}

impl Issuer {
    /// With the key in `folder`, or a new one.
    pub(crate) fn open(folder: &Folder, life: Duration) -> Result<Self, TokenKeyError> {
        let pkcs8 = match folder.read(FILE)? {
            Some(opened) => {
                if opened.is_stale {
                    folder.write(FILE, &opened.plain)?;
                }
                opened.plain
            }
            None => {
                let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
                    .and_then(|key| key.to_pkcs8v1())
                    .map_err(|_| TokenKeyError::Make)?;
                folder.write(FILE, made.as_ref())?;
                made.as_ref().to_vec().into()
            }
        };
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| TokenKeyError::Unusable)?;
        let point = key.public_key().as_ref();
        Ok(Self {
            signs: EncodingKey::from_ec_der(&pkcs8),
            verifies: DecodingKey::from_ec_der(point),
            public: public(point).ok_or(TokenKeyError::Unusable)?,
            life,
        })
    }

    /// A token for whoever has made this evidence.
    pub(crate) fn issue(
        &self,
        judged: &Judged,
        runtime_data: &RuntimeData,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let RuntimeData { nonce, tee_pubkey } = runtime_data;
        let runtime_data = json!({
            "additional-evidence": "",
            "nonce": nonce,
            "tee-pubkey": tee_pubkey,
        });
        let Judged { verdict, init_data } = judged;
        let init_data_claims = init_data
            .as_ref()
            .map(|one| Value::Object(one.values.clone()));
        let issued_at = u64::try_from(now.as_second()).unwrap_or_default();
        let mut result = verdict.ear(&EarFrame {
            issuer: ISSUER,
            issued_at,
            expires_at: issued_at + self.life.as_secs(),
            build: BUILD,
            policy: POLICY,
            runtime_data: Some(&runtime_data),
            init_data: init_data_claims.as_ref(),
        });
        if let Some(init_data) = init_data {
            result["submods"]["cpu0"][ANNOTATED]["init_data"] = init_data.digest_hex().into();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.jwk = Some(self.public.clone());
        jsonwebtoken::encode(&header, &result, &self.signs)
    }

    /// Reads a token of this broker's that is in force.
    pub(crate) fn read(&self, token: &str, now: Timestamp) -> Result<Token, BadToken> {
        let token = self.read_whenever(token)?;
        match now.as_second() < token.expires {
            true => Ok(token),
            false => Err(BadToken::Expired),
        }
    }

    /// Reads a token of this broker's, also one that is over: to explain what it would do.
    pub(crate) fn read_whenever(&self, token: &str) -> Result<Token, BadToken> {
        let mut validation = Validation::new(Algorithm::ES256);
        // Held against a clock that is an argument, and without leeway.
        validation.validate_exp = false;
        let payload = jsonwebtoken::decode::<Payload>(token, &self.verifies, &validation);
        let payload = payload.map_err(|_| BadToken::Signature)?.claims;
        payload.token().ok_or(BadToken::Claims)
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// Names a token in logs without being one.
pub(crate) fn name(token: &str) -> String {
    HEXLOWER.encode(&digest(&SHA256, token.as_bytes()).as_ref()[..8])
}

const ANNOTATED: &str = "ear.veraison.annotated-evidence";

#[derive(Deserialize)]
struct Payload {
    exp: i64,
    submods: Submods,
}

#[derive(Deserialize)]
struct Submods {
    cpu0: Submod,
}

#[derive(Deserialize)]
struct Submod {
    #[serde(rename = "ear.veraison.annotated-evidence")]
    evidence: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RuntimeDataClaims {
    tee_pubkey: Jwk,
}

impl Payload {
    fn token(self) -> Option<Token> {
        let Self { exp, submods } = self;
        let mut evidence = submods.cpu0.evidence;
        let tee = Tee::ALL
            .into_iter()
            .find(|tee| evidence.contains_key(tee.name()))?;
        let object = |value| match value {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        };
        let runtime = evidence.remove("runtime_data_claims")?;
        let RuntimeDataClaims { tee_pubkey } = serde_json::from_value(runtime).ok()?;
        let digest = evidence.get("init_data").and_then(Value::as_str);
        Some(Token {
            claims: Claims {
                tee,
                init_data_digest: digest.map(ToOwned::to_owned),
                init_data: object(evidence.remove("init_data_claims")).unwrap_or_default(),
                evidence: object(evidence.remove(tee.name()))?,
            },
            tee_pubkey,
            expires: exp,
        })
    }
}

fn public(point: &[u8]) -> Option<TokenJwk> {
    let (x, y) = point
        .strip_prefix(&[4])?
        .split_at_checked(COORDINATE_BYTES)?;
    Some(TokenJwk {
        common: CommonParameters::default(),
        algorithm: AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
            key_type: EllipticCurveKeyType::EC,
            curve: EllipticCurve::P256,
            x: BASE64URL_NOPAD.encode(x),
            y: BASE64URL_NOPAD.encode(y),
        }),
    })
}
