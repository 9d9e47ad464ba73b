//! What an attestation gives: a token, and the key that it is for.

use std::str::FromStr;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use propeller_jose::{Curve, PrivateKey, RsaBits, SealError};
use serde::Deserialize;

/// Life of a token whose own words about it cannot be read.
const LIFE_UNKNOWN: Duration = Duration::from_secs(60);
/// A token is not used in the last part of its life, for as long as a request may take.
const RESERVE: Duration = Duration::from_secs(15);
/// No session is kept longer, whatever its token says.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What kind of key is made for an attestation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TeeKey {
    /// ECDH-ES on P-256.
    #[default]
    P256,
    /// ECDH-ES on P-521.
    P521,
    /// RSA-OAEP-256 with 2048 bits.
    Rsa2048,
}

impl TeeKey {
    pub(super) fn generate(self) -> Result<PrivateKey, SealError> {
        match self {
            Self::P256 => PrivateKey::generate(Curve::P256),
            Self::P521 => PrivateKey::generate(Curve::P521),
            Self::Rsa2048 => PrivateKey::generate_rsa(RsaBits::B2048),
        }
    }
}

/// The names of `tee_key_algorithm` in the attestation agent's file.
impl FromStr for TeeKey {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "ECDH-ES+A256KW-P256" => Ok(Self::P256),
            "ECDH-ES+A256KW-P521" => Ok(Self::P521),
            "RSA-OAEP-256" => Ok(Self::Rsa2048),
            _ => Err("`ECDH-ES+A256KW-P256`, `ECDH-ES+A256KW-P521` or `RSA-OAEP-256`"),
        }
    }
}

/// A token in force. Its private key never leaves this process.
pub(super) struct Session {
    pub(super) token: String,
    pub(super) key: PrivateKey,
    until: Instant,
}

impl Session {
    pub(super) fn new(token: String, key: PrivateKey, now: Instant) -> Self {
        let life = life(&token).unwrap_or(LIFE_UNKNOWN).min(LIFE_MAX);
        Self {
            token,
            key,
            until: now + life.saturating_sub(RESERVE),
        }
    }

    pub(super) fn is_in_force(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// How long a token lives from when it was issued.
///
/// As its two times are by one clock, the broker's, this machine's need not be right.
fn life(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Times {
        iat: Option<f64>,
        nbf: Option<f64>,
        exp: f64,
    }
    let payload = token.split('.').nth(1)?;
    let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    let Times { iat, nbf, exp } = serde_json::from_slice(&payload).ok()?;
    Duration::try_from_secs_f64(exp - iat.or(nbf)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(payload.as_bytes()))
    }

    #[test]
    fn a_token_lives_as_long_as_its_own_clock_says() {
        // This machine's clock may be years away.
        let issued = token(r#"{"iat":1000,"exp":1300}"#);
        assert_eq!(life(&issued), Some(Duration::from_secs(300)));
        assert_eq!(life(&token(r#"{"iat":1300,"exp":1000}"#)), None);
        assert_eq!(life(&token(r#"{"exp":1000}"#)), None);
        assert_eq!(life("not.a token"), None);
    }

    #[test]
    fn a_session_ends_before_its_token_does() {
        let now = Instant::now();
        let key = || TeeKey::P256.generate().unwrap();
        let session = Session::new(token(r#"{"iat":0,"exp":300}"#), key(), now);
        assert!(session.is_in_force(now + Duration::from_secs(284)));
        assert!(!session.is_in_force(now + Duration::from_secs(286)));
        let forever = Session::new(token(r#"{"iat":0,"exp":1e300}"#), key(), now);
        assert!(!forever.is_in_force(now + LIFE_MAX));
    }
}
