//! What the evidence of an attestation is about: a hash over the nonce and the key.
//!
//! The hash is over canonical JSON (RFC 8785). The other side reads the key into a type of its own
//! and writes it again, so that the key has exactly the members of [`Jwk`].

use aws_lc_rs::digest::{Algorithm, SHA256, SHA384, SHA512, digest};
use propeller_jose::Jwk;
use serde::Serialize;
use serde_json::Value;

use super::message::Challenge;

/// What is hashed; members in the order that RFC 8785 puts them in anyway.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Bound<'a> {
    additional_evidence: &'a str,
    nonce: &'a str,
    tee_pubkey: &'a Jwk,
}

/// A hash that a challenge may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384, unless the challenge chooses another one.
    #[default]
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    const CHOSEN: &'static str = "selected-hash-algorithm";
    const ALL: [(&'static str, Self); 3] = [
        ("sha256", Self::Sha256),
        ("sha384", Self::Sha384),
        ("sha512", Self::Sha512),
    ];

    /// Those that are had here, as a request names them.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|(name, _)| *name).collect()
    }

    /// The one that a challenge chooses.
    ///
    /// # Errors
    /// With the name of one that is not had here.
    pub fn of(challenge: &Challenge) -> Result<Self, String> {
        match challenge.extra_params.get(Self::CHOSEN) {
            None => Ok(Self::default()),
            Some(Value::String(chosen)) => Self::ALL
                .iter()
                .find(|(name, _)| chosen == name)
                .map(|(_, hash)| *hash)
                .ok_or_else(|| chosen.clone()),
            Some(other) => Err(other.to_string()),
        }
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

/// What evidence of an attestation is bound to, 32 to 64 bytes long. Padding is the platform's.
///
/// `additional` is the evidence of devices, or empty.
#[must_use]
pub fn report_data(hash: Hash, nonce: &str, key: &Jwk, additional: &str) -> Vec<u8> {
    let bound = Bound {
        additional_evidence: additional,
        nonce,
        tee_pubkey: key,
    };
    let json = serde_json_canonicalizer::to_vec(&bound).expect("texts are JSON");
    digest(hash.algorithm(), &json).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use serde_json::json;

    use super::*;

    /// Recorded between two programs that are not ours.
    #[test]
    fn the_recorded_key_and_nonce_make_the_recorded_hash() {
        let key = Jwk::Ec {
            crv: "P-256".into(),
            alg: "ECDH-ES+A256KW".into(),
            x: "-pv0TTOJVB5pYs676PxpKKw3IJw_MsxkG5cGwx1rlu8".into(),
            y: "Bm2miOi86RpfqdmIny-8IA7zeZW9YRwqmjeK1CYGdzs".into(),
        };
        let nonce = "fD/SWuvoiDJvOwfK9k+fRAZWDm7i6PEWLbuKNQlHpP8=";
        let hash = report_data(Hash::default(), nonce, &key, "");
        assert_eq!(
            HEXLOWER.encode(&hash),
            "c34a390c94c268c9352597e445110964381e505bff074507b6b4699ec3d351ecb3bdedb71c3e4b130832a21d0c42c978"
        );
    }

    #[test]
    fn members_are_sorted_whatever_order_they_are_written_in() {
        let value = json!({"b": 1, "a": "test", "c": {"d": "e"}});
        let json = serde_json_canonicalizer::to_vec(&value).unwrap();
        assert_eq!(
            HEXLOWER.encode(digest(&SHA384, &json).as_ref()),
            "e71ce8e70d814ba6639c3612ebee0ff1f76f650f8dbb5e47157e0f3f525cd22c4597480a186427c813ca941da78870c3"
        );
    }

    #[test]
    fn a_challenge_may_choose_a_hash_that_is_had_and_no_other() {
        let of = |extra_params| {
            Hash::of(&Challenge {
                nonce: String::new(),
                extra_params,
            })
        };
        assert_eq!(of(json!("")), Ok(Hash::Sha384));
        assert_eq!(of(json!({})), Ok(Hash::Sha384));
        let chosen = |name| of(json!({"selected-hash-algorithm": name}));
        assert_eq!(chosen("sha512"), Ok(Hash::Sha512));
        assert_eq!(chosen("sm3"), Err("sm3".to_owned()));
    }
}
