//! Keys are read in every form of a JWK, and what is no key is told by name.

use data_encoding::BASE64URL_NOPAD;
use propeller_jose::{Curve, Jwk, KeyError, Message, PrivateKey, PublicKey, RsaBits, seal};

use super::rfcs::{decoded, ec, private, private_keys, public_half, rsa, vector, with, without};

#[track_caller]
fn refused_as_public(jwk: &serde_json::Value, expected: KeyError) {
    let error = PublicKey::from_bytes(jwk.to_string().as_bytes()).unwrap_err();
    assert_eq!(error, expected, "{jwk}");
}

#[track_caller]
fn refused_as_private(jwk: &serde_json::Value, expected: KeyError) {
    let error = PrivateKey::from_bytes(jwk.to_string().as_bytes()).unwrap_err();
    assert_eq!(error, expected, "{jwk}");
}

#[test]
fn a_private_key_of_the_rfcs_has_the_public_half_that_is_printed_beside_it() {
    for jwk in private_keys() {
        let half = serde_json::to_value(Jwk::of(&private(&jwk)).unwrap()).unwrap();
        let (alg, members): (_, &[_]) = match jwk["kty"].as_str().unwrap() {
            "EC" => ("ECDH-ES+A256KW", &["kty", "crv", "x", "y"]),
            _ => ("RSA-OAEP-256", &["kty", "n", "e"]),
        };
        for member in members {
            assert_eq!(half[member], jwk[member], "{member}");
        }
        // What is hashed for an attestation has nothing else.
        assert_eq!(half["alg"], alg);
        assert_eq!(half.as_object().unwrap().len(), members.len() + 1);
    }
}

#[test]
fn a_key_of_the_other_half_is_told_by_name() {
    for jwk in private_keys() {
        refused_as_public(&jwk, KeyError::Private);
        refused_as_private(&public_half(&jwk), KeyError::Public);
    }
}

#[test]
fn a_public_key_with_a_wrong_member_is_told_which() {
    let (ec, rsa) = (public_half(&ec()), without(&public_half(&rsa()), "alg"));
    let kty = || KeyError::Jwk("`kty` has to be EC or RSA");
    let crv = || KeyError::Jwk("`crv` has to be P-256, P-384 or P-521");
    let alg = || KeyError::Jwk("`alg` of an RSA key has to be RSA-OAEP or RSA-OAEP-256");
    let long = || KeyError::Jwk("`x` and `y` have to be as long as the curve's numbers");
    let base64 = || KeyError::Jwk("a number of it is not base64url without padding");
    let json = || KeyError::Jwk("it is not the JSON of one key");
    let padded = format!("{}=", ec["x"].as_str().unwrap());
    for (jwk, expected) in [
        (with(&ec, "kty", "oct"), kty()),
        (with(&ec, "kty", "OKP"), kty()),
        (without(&ec, "kty"), kty()),
        (vector("rfc7517-a1"), kty()),
        (with(&ec, "kty", 1), json()),
        (with(&ec, "crv", "secp256k1"), crv()),
        (with(&ec, "crv", "p-256"), crv()),
        (without(&ec, "crv"), crv()),
        (with(&ec, "x", padded), base64()),
        (with(&ec, "y", "a+b/"), base64()),
        (with(&ec, "x", BASE64URL_NOPAD.encode(&[1; 33])), long()),
        (with(&ec, "y", BASE64URL_NOPAD.encode(&[1; 33])), long()),
        // A point of another curve, one of none, and none at all.
        (with(&ec, "crv", "P-384"), KeyError::UnusablePublic),
        (with(&ec, "x", ec["y"].clone()), KeyError::UnusablePublic),
        (without(&ec, "y"), KeyError::UnusablePublic),
        (with(&with(&ec, "x", ""), "y", ""), KeyError::UnusablePublic),
        (with(&rsa, "alg", "RS256"), alg()),
        (with(&rsa, "alg", "RSA1_5"), alg()),
        (with(&rsa, "n", "a+b/"), base64()),
        (without(&rsa, "n"), KeyError::UnusablePublic),
    ] {
        refused_as_public(&jwk, expected);
    }
    for len in [0, 1, 128, 255, 1025, 4096] {
        let n = BASE64URL_NOPAD.encode(&vec![0xff; len]);
        refused_as_public(&with(&rsa, "n", n), KeyError::UnusablePublic);
    }
    // As RFC 7517 prints it, it is for signatures.
    refused_as_public(&vector("rfc7517-a1")["keys"][1], alg());
}

/// With an exponent of 1, everybody reads what is encrypted.
#[test]
fn nothing_is_encrypted_with_an_exponent_that_hides_nothing() {
    let rsa = without(&public_half(&rsa()), "alg");
    let long = BASE64URL_NOPAD.encode(&[0xff; 5]);
    for e in ["", "AA", "AQ", "AAAB", "Ag", &long] {
        let key = PublicKey::from_bytes(with(&rsa, "e", e).to_string().as_bytes());
        // The library looks at some of them when they are used and not before.
        assert!(key.is_err() || seal(b"x", &[key.unwrap()]).is_err(), "{e}");
    }
}

#[test]
fn a_private_key_with_a_wrong_member_is_told_which() {
    let (ec, rsa) = (ec(), rsa());
    let kty = || KeyError::Jwk("`kty` has to be EC or RSA");
    let crv = || KeyError::Jwk("`crv` has to be P-256, P-384 or P-521");
    let long = || KeyError::Jwk("`d` is longer than the curve's numbers");
    let parts = || KeyError::Jwk("it needs `p`, `q`, `dp`, `dq` and `qi`");
    let base64 = || KeyError::Jwk("a number of it is not base64url without padding");
    let unusable = || KeyError::UnusablePrivate;
    // The order of P-256 (SEC 2, section 2.4.2).
    let order = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE";
    for (jwk, expected) in [
        (with(&ec, "kty", "oct"), kty()),
        (with(&ec, "crv", "X25519"), crv()),
        (with(&ec, "d", "a+b/"), base64()),
        (with(&ec, "d", BASE64URL_NOPAD.encode(&[1; 33])), long()),
        (with(&ec, "d", ""), unusable()),
        (with(&ec, "d", "AA"), unusable()),
        (with(&ec, "d", order), unusable()),
        (without(&rsa, "p"), parts()),
        (without(&rsa, "q"), parts()),
        (without(&rsa, "dp"), parts()),
        (without(&rsa, "dq"), parts()),
        (without(&rsa, "qi"), parts()),
        (with(&rsa, "qi", "="), base64()),
        (with(&rsa, "d", rsa["dp"].clone()), unusable()),
        (with(&rsa, "p", rsa["q"].clone()), unusable()),
        (with(&rsa, "dp", rsa["dq"].clone()), unusable()),
        (with(&rsa, "dq", rsa["dp"].clone()), unusable()),
        (with(&rsa, "qi", rsa["dp"].clone()), unusable()),
        (with(&rsa, "n", rsa["p"].clone()), unusable()),
        (with(&rsa, "e", "Aw"), unusable()),
    ] {
        refused_as_private(&jwk, expected);
    }
}

#[test]
fn json_of_no_key_or_of_two_is_told_by_name() {
    let json = KeyError::Jwk("it is not the JSON of one key");
    let twice = ec().to_string().replacen('{', "{\"d\":\"AQ\",", 1);
    for text in ["{", "{}x", "{\"kty\":", &twice] {
        let error = PrivateKey::from_bytes(text.as_bytes()).unwrap_err();
        assert_eq!(error, json, "{text}");
        let error = PublicKey::from_bytes(text.as_bytes()).unwrap_err();
        assert_eq!(error, json, "{text}");
    }
    let (bytes, max) = (64 * 1024 + 1, 64 * 1024);
    let long = format!("{{{}", " ".repeat(max));
    let error = PrivateKey::from_bytes(long.as_bytes()).unwrap_err();
    assert_eq!(error, KeyError::TooLong { bytes, max });
}

/// Whoever makes bytes of a number forgets its leading zeros for one key in 128.
#[test]
fn coordinates_are_written_at_their_full_length_and_read_at_less() {
    for (curve, len) in [(Curve::P256, 32), (Curve::P384, 48), (Curve::P521, 66)] {
        // Half of all numbers of P-521 begin with a zero byte anyway, as they have 521 bits.
        let zeros = if curve == Curve::P521 { 2 } else { 1 };
        let (key, jwk, x) = loop {
            let key = PrivateKey::generate(curve).unwrap();
            let jwk = serde_json::to_value(Jwk::of(&key).unwrap()).unwrap();
            let (x, y) = (decoded(&jwk["x"]), decoded(&jwk["y"]));
            assert_eq!((x.len(), y.len()), (len, len));
            if x[..zeros].iter().all(|byte| *byte == 0) {
                break (key, jwk, x);
            }
        };
        let short = with(&jwk, "x", BASE64URL_NOPAD.encode(&x[zeros..]));
        let public = PublicKey::from_bytes(short.to_string().as_bytes()).unwrap();
        let message = seal(b"x", &[public]).unwrap();
        assert!(Message::read(&message).unwrap().open(&[key]).is_some());
    }
    // And so are private numbers: this one has a leading zero byte on P-521.
    let jwk = vector("rfc7520-3.2")["keys"][0].clone();
    let d = decoded(&jwk["d"]);
    assert_eq!(d[0], 0);
    let short = private(&with(&jwk, "d", BASE64URL_NOPAD.encode(&d[1..])));
    assert_eq!(Jwk::of(&short).unwrap(), Jwk::of(&private(&jwk)).unwrap());
}

#[test]
fn an_attested_key_names_the_algorithm_that_is_used_with_it() {
    let key = |jwk: &Jwk| jwk.to_key().map(|key| format!("{key:?}"));
    let ec = Jwk::of(&PrivateKey::generate(Curve::P521).unwrap()).unwrap();
    assert_eq!(key(&ec).unwrap(), "PublicKey(EC P-521)");
    let rsa = Jwk::of(&PrivateKey::generate_rsa(RsaBits::B2048).unwrap()).unwrap();
    assert_eq!(key(&rsa).unwrap(), "PublicKey(RSA 2048)");
    for (jwk, alg, why) in [
        (
            &ec,
            "ECDH-ES",
            "`alg` of an EC key has to be ECDH-ES+A256KW",
        ),
        (
            &rsa,
            "RSA1_5",
            "`alg` of an RSA key has to be RSA-OAEP or RSA-OAEP-256",
        ),
    ] {
        let json = serde_json::to_value(jwk).unwrap();
        let other = serde_json::from_value(with(&json, "alg", alg)).unwrap();
        assert_eq!(key(&other), Err(KeyError::Jwk(why)));
        // Neither is left out.
        for member in ["alg", "kty"] {
            assert!(serde_json::from_value::<Jwk>(without(&json, member)).is_err());
        }
    }
}

#[test]
fn an_exponent_that_encrypts_nothing_is_told_when_the_key_is_read() {
    let why = "`e` has to be odd, at least 3, and have at most 32 bits";
    let key = without(&public_half(&rsa()), "alg");
    let of = |exponent: &[u8]| with(&key, "e", BASE64URL_NOPAD.encode(exponent));
    for exponent in [
        &[][..],
        &[0],
        &[1],
        &[0, 1],
        &[2],
        &[1, 0, 0],
        &[1, 0, 0, 0, 1],
    ] {
        refused_as_public(&of(exponent), KeyError::Jwk(why));
    }
}

#[test]
fn a_key_of_another_kind_is_told_as_such_also_as_a_private_one() {
    let kinds = || KeyError::Jwk("`kty` has to be EC or RSA");
    refused_as_private(&serde_json::json!({"kty": "oct", "k": "AAAA"}), kinds());
    refused_as_private(&serde_json::json!({"keys": []}), kinds());
}
