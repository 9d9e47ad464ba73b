//! Keys of administrators.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use propeller_attest::rcar::admin::AdminKey;
use serde_json::{Value, json};

/// An administrator's key.
pub(crate) struct Keys {
    pair: Ed25519KeyPair,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self { pair }
    }

    pub(crate) fn public_pem(&self) -> String {
        pem(
            "PUBLIC KEY",
            self.pair.public_key().as_der().unwrap().as_ref(),
        )
    }

    pub(crate) fn private_pem(&self) -> String {
        pem("PRIVATE KEY", self.pair.to_pkcs8v1().unwrap().as_ref())
    }

    pub(crate) fn admin_key(&self) -> AdminKey {
        AdminKey::from_pem(self.private_pem().as_bytes()).unwrap()
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_ed_der(self.pair.to_pkcs8v1().unwrap().as_ref());
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
    }

    pub(crate) fn token(&self, role: &str) -> String {
        self.sign(&json!({"role": role, "exp": u32::MAX}))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        BASE64.encode(der)
    )
}
