//! Wraps the content key of a JWE for one recipient, and unwraps it.
//!
//! RSA-OAEP is RFC 7518, section 4.3; ECDH-ES with AES Key Wrap (RFC 3394) is section 4.6.

use aws_lc_rs::agreement::{self, UnparsedPublicKey, agree};
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesBlockCipher, AesKek, BlockCipher, KeyWrap};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey,
};
use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use crate::SealError;
use crate::curve::Curve;
use crate::jwe::{EphemeralKey, Header};
use crate::kdf::{Parties, concat_kdf};
use crate::keys::{Oaep, PrivateKey, PrivateKind, PublicKey, PublicKind};

/// With SHA-1, which OAEP only needs to mix: RFC 7518 says so, and ocicrypt writes nothing else.
pub(crate) const RSA_OAEP: &str = "RSA-OAEP";
pub(crate) const RSA_OAEP_256: &str = "RSA-OAEP-256";
const ECDH_ES_A128KW: &str = "ECDH-ES+A128KW";
pub(crate) const ECDH_ES_A256KW: &str = "ECDH-ES+A256KW";

/// The first byte of a point that is neither compressed nor infinite (SEC 1, section 2.3.3).
pub(crate) const UNCOMPRESSED: u8 = 4;
/// AES Key Wrap adds a block of 64 bits.
const WRAP_LEN: usize = 8;

type ContentKey = Zeroizing<Vec<u8>>;

/// Whether keys that are wrapped by `algorithm` can be unwrapped.
///
/// `ECDH-ES+A192KW` is not among them: the library has no AES Key Wrap with 192 bits.
pub(crate) fn is_supported(algorithm: &str) -> bool {
    [RSA_OAEP, RSA_OAEP_256, ECDH_ES_A128KW, ECDH_ES_A256KW].contains(&algorithm)
}

/// The wrapped key, and the header with which its recipient unwraps it.
pub(crate) fn wrap(
    recipient: &PublicKey,
    content_key: &[u8],
) -> Result<(Header, Vec<u8>), SealError> {
    match &recipient.0 {
        PublicKind::Rsa(key, oaep) => wrap_rsa(key, *oaep, content_key),
        PublicKind::Ec(curve, key) => {
            let ephemeral = agreement::PrivateKey::generate(curve.algorithm());
            let ephemeral = ephemeral.map_err(|_| SealError)?;
            let wrapped = agree(&ephemeral, (**key).clone(), SealError, |agreed| {
                kek(agreed, ECDH_ES_A256KW, &Parties::default(), &AES_256)
                    .and_then(|kek| wrap_aes(kek, content_key))
                    .ok_or(SealError)
            })?;
            let epk = EphemeralKey::of(*curve, &ephemeral).ok_or(SealError)?;
            let header = Header::of_wrapped_key(ECDH_ES_A256KW, Some(epk));
            Ok((header, wrapped))
        }
    }
}

/// The content key that this recipient is sent, if `key` is of the kind that the header asks for.
///
/// Where unwrapping fails it is a random one, which decrypts nothing: neither the outcome nor its
/// time tells whether it was the unwrapping that failed (RFC 7516, section 11.5).
pub(crate) fn unwrap(
    header: &Header,
    encrypted: &[u8],
    key: &PrivateKey,
    len: usize,
) -> Option<ContentKey> {
    let mut substitute = Zeroizing::new(vec![0; len]);
    rand::fill(&mut substitute).ok()?;
    let unwrapped = match (header.alg.as_deref()?, &key.0) {
        (RSA_OAEP, PrivateKind::Rsa { key, .. }) => unwrap_rsa(key, &OAEP_SHA1_MGF1SHA1, encrypted),
        (RSA_OAEP_256, PrivateKind::Rsa { key, .. }) => {
            unwrap_rsa(key, &OAEP_SHA256_MGF1SHA256, encrypted)
        }
        (ECDH_ES_A128KW, PrivateKind::Ec(curve, key)) => {
            unwrap_ec(header, (*curve, key), (ECDH_ES_A128KW, &AES_128), encrypted)
        }
        (ECDH_ES_A256KW, PrivateKind::Ec(curve, key)) => {
            unwrap_ec(header, (*curve, key), (ECDH_ES_A256KW, &AES_256), encrypted)
        }
        _ => return None,
    };
    let unwrapped = unwrapped.filter(|key| key.len() == len);
    Some(unwrapped.unwrap_or(substitute))
}

fn wrap_rsa(
    key: &OaepPublicEncryptingKey,
    oaep: Oaep,
    content_key: &[u8],
) -> Result<(Header, Vec<u8>), SealError> {
    let mut wrapped = vec![0; key.ciphertext_size()];
    let (name, algorithm) = match oaep {
        Oaep::Sha1 => (RSA_OAEP, &OAEP_SHA1_MGF1SHA1),
        Oaep::Sha256 => (RSA_OAEP_256, &OAEP_SHA256_MGF1SHA256),
    };
    key.encrypt(algorithm, content_key, &mut wrapped, None)
        .map_err(|_| SealError)?;
    Ok((Header::of_wrapped_key(name, None), wrapped))
}

fn unwrap_rsa(
    key: &OaepPrivateDecryptingKey,
    algorithm: &'static OaepAlgorithm,
    encrypted: &[u8],
) -> Option<ContentKey> {
    let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
    let len = key
        .decrypt(algorithm, encrypted, &mut buffer, None)
        .ok()?
        .len();
    buffer.truncate(len);
    Some(buffer)
}

fn unwrap_ec(
    header: &Header,
    (curve, key): (Curve, &agreement::PrivateKey),
    (algorithm, cipher): (&str, &'static AesBlockCipher),
    encrypted: &[u8],
) -> Option<ContentKey> {
    let point = header.epk.as_ref()?.point(curve)?;
    let parties = Parties {
        producer: decode(header.apu.as_deref().unwrap_or_default())?,
        recipient: decode(header.apv.as_deref().unwrap_or_default())?,
    };
    // Refuses a point that is not on the curve.
    let point = UnparsedPublicKey::new(curve.algorithm(), point);
    agree(key, point, (), |agreed| {
        kek(agreed, algorithm, &parties, cipher)
            .and_then(|kek| unwrap_aes(kek, encrypted))
            .ok_or(())
    })
    .ok()
}

/// The key that wraps, of what two keys agree on.
fn kek(
    agreed: &[u8],
    algorithm: &str,
    parties: &Parties,
    cipher: &'static AesBlockCipher,
) -> Option<AesKek> {
    let key = concat_kdf(agreed, algorithm, parties, cipher.key_len())?;
    AesKek::new(cipher, &key).ok()
}

fn wrap_aes(kek: AesKek, content_key: &[u8]) -> Option<Vec<u8>> {
    let mut wrapped = vec![0; content_key.len() + WRAP_LEN];
    kek.wrap(content_key, &mut wrapped).ok()?;
    Some(wrapped)
}

fn unwrap_aes(kek: AesKek, encrypted: &[u8]) -> Option<ContentKey> {
    let mut unwrapped = Zeroizing::new(vec![0; encrypted.len().checked_sub(WRAP_LEN)?]);
    kek.unwrap(encrypted, &mut unwrapped).ok()?;
    Some(unwrapped)
}

impl EphemeralKey {
    fn of(curve: Curve, key: &agreement::PrivateKey) -> Option<Self> {
        let public = key.compute_public_key().ok()?;
        let coordinates = public.as_ref().strip_prefix(&[UNCOMPRESSED])?;
        let (x, y) = coordinates.split_at_checked(curve.coordinate_len())?;
        Some(Self {
            kty: "EC".to_owned(),
            crv: curve.name().to_owned(),
            x: BASE64URL_NOPAD.encode(x),
            y: BASE64URL_NOPAD.encode(y),
        })
    }

    /// The uncompressed point, if it claims to be on `curve`.
    fn point(&self, curve: Curve) -> Option<Vec<u8>> {
        let Self { kty, crv, x, y } = self;
        let (x, y) = (decode(x)?, decode(y)?);
        let len = curve.coordinate_len();
        let fits = kty == "EC" && crv == curve.name() && x.len() == len && y.len() == len;
        fits.then(|| [&[UNCOMPRESSED], x.as_slice(), y.as_slice()].concat())
    }
}

fn decode(base64url: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(base64url.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient() -> (agreement::PrivateKey, PrivateKey, Header, Vec<u8>) {
        let public = include_bytes!("../../../testdata/vectors/ocicrypt/keys/p256.pub.pem");
        let private = include_bytes!("../../../testdata/vectors/ocicrypt/keys/p256.pem");
        let key = PublicKey::from_bytes(public).unwrap();
        let (header, wrapped) = wrap(&key, &[7; 32]).unwrap();
        let bare = PrivateKey::from_bytes(private).unwrap();
        let PrivateKind::Ec(_, bare) = bare.0 else {
            unreachable!("it is an EC key")
        };
        let private = PrivateKey::from_bytes(private).unwrap();
        (bare, private, header, wrapped)
    }

    fn unwraps(header: &Header, key: &agreement::PrivateKey, wrapped: &[u8]) -> bool {
        let algorithm = (ECDH_ES_A256KW, &AES_256);
        unwrap_ec(header, (Curve::P256, key), algorithm, wrapped).is_some()
    }

    #[test]
    fn nothing_is_agreed_with_a_point_that_is_not_on_the_curve() {
        let (key, _, mut header, wrapped) = recipient();
        assert!(unwraps(&header, &key, &wrapped));
        let epk = header.epk.as_mut().unwrap();
        std::mem::swap(&mut epk.x, &mut epk.y);
        assert!(!unwraps(&header, &key, &wrapped));
    }

    #[test]
    fn a_key_that_does_not_unwrap_is_replaced_by_a_random_one() {
        let (_, key, header, mut wrapped) = recipient();
        assert_eq!(*unwrap(&header, &wrapped, &key, 32).unwrap(), [7; 32]);
        wrapped[0] ^= 1;
        let one = unwrap(&header, &wrapped, &key, 32).unwrap();
        let other = unwrap(&header, &wrapped, &key, 32).unwrap();
        assert!(one.len() == 32 && one != other);
        // A key of another length is none.
        let (_, _, header, wrapped) = recipient();
        assert_eq!(unwrap(&header, &wrapped, &key, 16).unwrap().len(), 16);
    }
}
