//! Messages (JWE) made by hand: they are right, whatever their header says besides.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use data_encoding::BASE64URL_NOPAD;
use propeller_jose::Jwk;
use serde_json::{Value, json};

const ALGORITHM: &str = "ECDH-ES+A256KW";
/// It encrypts one message in a test.
const CONTENT_KEY: [u8; 32] = [9; 32];
const IV: [u8; 12] = [8; 12];

/// Encrypts to a key on P-256; `header` writes the protected header around the message's own key.
pub(crate) fn sealed(secret: &[u8], key: &Jwk, header: impl FnOnce(&Value) -> String) -> Value {
    let own = PrivateKey::generate(&ECDH_P256).unwrap();
    let public = own.compute_public_key().unwrap();
    let (x, y) = public.as_ref()[1..].split_at(32);
    let [x, y] = [x, y].map(|number| BASE64URL_NOPAD.encode(number));
    let header = header(&json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}));
    let protected = BASE64URL_NOPAD.encode(header.as_bytes());
    let peer = UnparsedPublicKey::new(&ECDH_P256, point(key));
    let wrapping = agree(&own, peer, (), |agreed| Ok(kdf(agreed))).unwrap();
    let mut encrypted_key = [0; 40];
    let wrapping = AesKek::new(&AES_256, &wrapping).unwrap();
    wrapping.wrap(&CONTENT_KEY, &mut encrypted_key).unwrap();
    let mut ciphertext = secret.to_vec();
    let tag = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &CONTENT_KEY).unwrap())
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(IV),
            Aad::from(protected.as_bytes()),
            &mut ciphertext,
        )
        .unwrap();
    json!({
        "protected": protected,
        "encrypted_key": BASE64URL_NOPAD.encode(&encrypted_key),
        "iv": BASE64URL_NOPAD.encode(&IV),
        "ciphertext": BASE64URL_NOPAD.encode(&ciphertext),
        "tag": BASE64URL_NOPAD.encode(tag.as_ref()),
    })
}

/// A header as brokers write it.
pub(crate) fn header(epk: &Value) -> String {
    json!({"alg": ALGORITHM, "enc": "A256GCM", "epk": epk}).to_string()
}

fn point(key: &Jwk) -> Vec<u8> {
    let Jwk::Ec { x, y, .. } = key else {
        panic!("it is on a curve");
    };
    let [x, y] = [x, y].map(|number| BASE64URL_NOPAD.decode(number.as_bytes()).unwrap());
    [&[4], x.as_slice(), y.as_slice()].concat()
}

/// RFC 7518, section 4.6.2, for one round and without parties.
fn kdf(agreed: &[u8]) -> [u8; 32] {
    let numbers = [1_u32, 14, 0, 0, 256].map(u32::to_be_bytes);
    let [round, length, apu, apv, bits] = &numbers;
    let text: Vec<u8> = [
        round.as_slice(),
        agreed,
        length,
        ALGORITHM.as_bytes(),
        apu,
        apv,
        bits,
    ]
    .concat();
    digest(&SHA256, &text).as_ref().try_into().unwrap()
}
