//! JSON Web Keys (RFC 7517): of those that are attested, and of those that people keep in files.

use aws_lc_rs::agreement;
use aws_lc_rs::rsa::{self, KeyPair, KeyPairComponents, PublicEncryptingKey, PublicKeyComponents};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::curve::Curve;
use crate::keys::{self, Oaep, PrivateKey, PrivateKind, PublicKey};
use crate::wrap::{ECDH_ES_A256KW, RSA_OAEP, RSA_OAEP_256, UNCOMPRESSED};
use crate::{KeyError, SealError};

const KINDS: &str = "`kty` has to be EC or RSA";

/// A public key as it is attested: with the algorithm that wraps keys for it, and nothing else.
///
/// Both sides hash what they make of it, so that a member more or less is another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum Jwk {
    /// On an elliptic curve (RFC 7518, section 6.2).
    #[serde(rename = "EC")]
    Ec {
        /// `P-256` or `P-521`.
        crv: String,
        /// `ECDH-ES+A256KW`.
        alg: String,
        /// Coordinate, in base64url.
        x: String,
        /// Coordinate, in base64url.
        y: String,
    },
    /// RSA (RFC 7518, section 6.3).
    #[serde(rename = "RSA")]
    Rsa {
        /// `RSA-OAEP-256`.
        alg: String,
        /// Modulus, in base64url.
        n: String,
        /// Exponent, in base64url.
        e: String,
    },
}

impl Jwk {
    /// The public half of `key`.
    ///
    /// # Errors
    /// Fails if the library does.
    pub fn of(key: &PrivateKey) -> Result<Self, SealError> {
        match &key.0 {
            PrivateKind::Ec(curve, key) => {
                let (x, y) = coordinates(*curve, key).ok_or(SealError)?;
                Ok(Self::Ec {
                    crv: curve.name().to_owned(),
                    alg: ECDH_ES_A256KW.to_owned(),
                    x: BASE64URL_NOPAD.encode(&x),
                    y: BASE64URL_NOPAD.encode(&y),
                })
            }
            PrivateKind::Rsa { public, .. } => {
                let key = rsa::PublicKey::from_der(public).map_err(|_| SealError)?;
                let encode = |number: &[u8]| BASE64URL_NOPAD.encode(number);
                Ok(Self::Rsa {
                    alg: RSA_OAEP_256.to_owned(),
                    n: encode(key.modulus().big_endian_without_leading_zero()),
                    e: encode(key.exponent().big_endian_without_leading_zero()),
                })
            }
        }
    }

    /// The key to encrypt to.
    ///
    /// # Errors
    /// Says what of it cannot be used.
    pub fn to_key(&self) -> Result<PublicKey, KeyError> {
        match self {
            Self::Ec { crv, alg, x, y } => {
                if alg != ECDH_ES_A256KW {
                    return Err(KeyError::Jwk("`alg` of an EC key has to be ECDH-ES+A256KW"));
                }
                ec_public(crv, x, y)
            }
            Self::Rsa { alg, n, e } => rsa_public(n, e, oaep(alg)?),
        }
    }
}

/// What a file with a JWK may have; whatever else is in it says nothing about how to use it here.
#[derive(Deserialize)]
struct Any {
    #[serde(default)]
    kty: String,
    #[serde(default)]
    crv: String,
    alg: Option<String>,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    d: Option<Zeroizing<String>>,
    p: Option<Zeroizing<String>>,
    q: Option<Zeroizing<String>>,
    dp: Option<Zeroizing<String>>,
    dq: Option<Zeroizing<String>>,
    qi: Option<Zeroizing<String>>,
}

fn read(json: &[u8]) -> Result<Any, KeyError> {
    serde_json::from_slice(json).map_err(|_| KeyError::Jwk("it is not the JSON of one key"))
}

/// Reads a public key.
pub(crate) fn public(json: &[u8]) -> Result<PublicKey, KeyError> {
    let jwk = read(json)?;
    if jwk.d.is_some() {
        return Err(KeyError::Private);
    }
    match jwk.kty.as_str() {
        "EC" => ec_public(&jwk.crv, &jwk.x, &jwk.y),
        "RSA" => rsa_public(
            &jwk.n,
            &jwk.e,
            oaep(jwk.alg.as_deref().unwrap_or(RSA_OAEP))?,
        ),
        _ => Err(KeyError::Jwk(KINDS)),
    }
}

/// Reads a private key.
pub(crate) fn private(json: &[u8]) -> Result<PrivateKey, KeyError> {
    let jwk = read(json)?;
    if !["EC", "RSA"].contains(&jwk.kty.as_str()) {
        return Err(KeyError::Jwk(KINDS));
    }
    let Some(d) = &jwk.d else {
        return Err(KeyError::Public);
    };
    match jwk.kty.as_str() {
        "EC" => {
            let curve = curve(&jwk.crv)?;
            let d = fixed(&secret(d)?, curve.coordinate_len())
                .ok_or(KeyError::Jwk("`d` is longer than the curve's numbers"))?;
            let key = agreement::PrivateKey::from_private_key(curve.algorithm(), &d)
                .map_err(|_| KeyError::UnusablePrivate)?;
            Ok(PrivateKey(PrivateKind::Ec(curve, key)))
        }
        _ => rsa_private(&jwk, d),
    }
}

fn rsa_private(jwk: &Any, d: &str) -> Result<PrivateKey, KeyError> {
    let part = |number: &Option<Zeroizing<String>>| match number {
        Some(number) => secret(number),
        None => Err(KeyError::Jwk("it needs `p`, `q`, `dp`, `dq` and `qi`")),
    };
    let components = KeyPairComponents {
        public_key: PublicKeyComponents {
            n: Zeroizing::new(decode(&jwk.n)?),
            e: Zeroizing::new(decode(&jwk.e)?),
        },
        d: secret(d)?,
        p: part(&jwk.p)?,
        q: part(&jwk.q)?,
        dP: part(&jwk.dp)?,
        dQ: part(&jwk.dq)?,
        qInv: part(&jwk.qi)?,
    };
    let key = KeyPair::from_components(&components).ok();
    let key = key.and_then(|key| keys::decrypting(&key));
    PrivateKey::from_rsa(key.ok_or(KeyError::UnusablePrivate)?)
}

fn rsa_public(n: &str, e: &str, oaep: Oaep) -> Result<PublicKey, KeyError> {
    let components = PublicKeyComponents {
        n: decode(n)?,
        e: decode(e)?,
    };
    if !is_exponent(&components.e) {
        return Err(KeyError::Jwk(
            "`e` has to be odd, at least 3, and have at most 32 bits",
        ));
    }
    let key: Result<PublicEncryptingKey, _> = components.try_into();
    PublicKey::from_rsa(key.map_err(|_| KeyError::UnusablePublic)?, oaep)
}

/// Whether a key with this exponent encrypts: the library finds out only when it is used.
fn is_exponent(e: &[u8]) -> bool {
    let zeros = e.iter().take_while(|byte| **byte == 0).count();
    match &e[zeros..] {
        [] | [1] | [_, _, _, _, _, ..] => false,
        [.., last] => last % 2 == 1,
    }
}

fn ec_public(crv: &str, x: &str, y: &str) -> Result<PublicKey, KeyError> {
    let curve = curve(crv)?;
    // Shorter coordinates than the curve's are written by those who forget leading zeros.
    let number = |text| {
        fixed(&decode(text)?, curve.coordinate_len()).ok_or(KeyError::Jwk(
            "`x` and `y` have to be as long as the curve's numbers",
        ))
    };
    let point = [
        &[UNCOMPRESSED],
        number(x)?.as_slice(),
        number(y)?.as_slice(),
    ]
    .concat();
    PublicKey::from_point(curve, point)
}

fn curve(name: &str) -> Result<Curve, KeyError> {
    Curve::ALL
        .into_iter()
        .find(|curve| curve.name() == name)
        .ok_or(KeyError::Jwk("`crv` has to be P-256, P-384 or P-521"))
}

fn oaep(alg: &str) -> Result<Oaep, KeyError> {
    match alg {
        RSA_OAEP => Ok(Oaep::Sha1),
        RSA_OAEP_256 => Ok(Oaep::Sha256),
        _ => Err(KeyError::Jwk(
            "`alg` of an RSA key has to be RSA-OAEP or RSA-OAEP-256",
        )),
    }
}

fn coordinates(curve: Curve, key: &agreement::PrivateKey) -> Option<(Vec<u8>, Vec<u8>)> {
    let public = key.compute_public_key().ok()?;
    let both = public.as_ref().strip_prefix(&[UNCOMPRESSED])?;
    let (x, y) = both.split_at_checked(curve.coordinate_len())?;
    Some((x.to_vec(), y.to_vec()))
}

/// With zeros in front, `len` bytes; `None` if there are more.
fn fixed(number: &[u8], len: usize) -> Option<Zeroizing<Vec<u8>>> {
    let mut fixed = Zeroizing::new(vec![0; len.checked_sub(number.len())?]);
    fixed.extend_from_slice(number);
    Some(fixed)
}

fn secret(base64url: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    decode(base64url).map(Zeroizing::new)
}

fn decode(base64url: &str) -> Result<Vec<u8>, KeyError> {
    BASE64URL_NOPAD
        .decode(base64url.as_bytes())
        .map_err(|_| KeyError::Jwk("a number of it is not base64url without padding"))
}
