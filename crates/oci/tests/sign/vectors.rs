//! Every file in `tests/vectors/sign` verifies or opens, or fails in the way it says.

use std::collections::BTreeMap;

use propeller_model::Digest;
use propeller_oci::media;
use propeller_oci::sign::{
    Candidate, KeyError, SIGNATURE, SigningKey, UnusableError, Verified, VerifyError, VerifyingKey,
    payload, verify,
};
use serde::Deserialize;

use crate::support::{key_file, vectors_folder};

/// The image whose signature skopeo stored.
const IN_SKOPEO: &str = "sha256:1db6cdd6181e920006b28171d5afd983a706602ba693dbdb2977a37e09b7f10e";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyVector {
    expect: String,
    private: Option<String>,
    public: Option<String>,
    passphrase: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureVector {
    expect: String,
    manifest: String,
    repository: Option<String>,
    trusted: Vec<String>,
    candidates: Vec<OwnedCandidate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnedCandidate {
    payload: String,
    annotations: BTreeMap<String, String>,
    /// How many spaces the payload ends with, so that a file can be smaller than what it tests.
    #[serde(default)]
    spaces: usize,
}

/// The vectors whose names begin, or do not begin, with `key-`: name and text.
fn files(keys: bool) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(vectors_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .filter(|(name, _)| name.starts_with("key-") == keys)
        .collect();
    files.sort();
    files
}

#[test]
fn every_key_opens_or_is_refused_for_its_own_reason() {
    let files = files(true);
    assert!(files.len() >= 40, "{}", files.len());
    for (name, text) in files {
        let vector: KeyVector = serde_json::from_str(&text).unwrap();
        let passphrase = vector.passphrase.as_deref().map(str::as_bytes);
        let key = match (&vector.private, &vector.public) {
            (Some(file), None) => {
                SigningKey::from_pem(&key_file(file), passphrase).map(|key| key.verifying_key())
            }
            (None, Some(file)) => VerifyingKey::from_pem(&key_file(file)),
            _ => panic!("{name}: one key each"),
        };
        let outcome = match &key {
            Ok(key) => format!("ok {}", key.fingerprint()),
            Err(error) => key_error(error).to_owned(),
        };
        assert_eq!(outcome, vector.expect, "{name}");
        if let Err(error) = key {
            check_text(&name, &error.to_string());
        }
    }
}

fn key_error(error: &KeyError) -> &'static str {
    match error {
        KeyError::NotPem => "NotPem",
        KeyError::Several => "Several",
        KeyError::TooLong { .. } => "TooLong",
        KeyError::Label { .. } => "Label",
        KeyError::Algorithm { .. } => "Algorithm",
        KeyError::Malformed => "Malformed",
        KeyError::NoPassphrase => "NoPassphrase",
        KeyError::NotEncrypted => "NotEncrypted",
        KeyError::Passphrase => "Passphrase",
        KeyError::Sealed(_) => "Sealed",
        KeyError::Scrypt { .. } => "Scrypt",
        _ => "another",
    }
}

#[test]
fn every_signature_counts_or_is_refused_for_its_own_reason() {
    let files = files(false);
    assert!(files.len() >= 45, "{}", files.len());
    for (name, text) in files {
        let mut vector: SignatureVector = serde_json::from_str(&text).unwrap();
        for candidate in &mut vector.candidates {
            candidate.payload.push_str(&" ".repeat(candidate.spaces));
        }
        let result = run(&vector);
        assert_eq!(outcome(&result), vector.expect, "{name}: {result:?}");
        if let Err(error) = result {
            check_text(&name, &error.to_string());
        }
    }
}

fn run(vector: &SignatureVector) -> Result<Verified, VerifyError> {
    let trusted: Vec<VerifyingKey> = vector
        .trusted
        .iter()
        .map(|name| VerifyingKey::from_pem(&key_file(&format!("{name}.pub"))).unwrap())
        .collect();
    let candidates: Vec<Candidate<'_>> = vector
        .candidates
        .iter()
        .map(|candidate| Candidate {
            payload: candidate.payload.as_bytes(),
            annotations: &candidate.annotations,
        })
        .collect();
    verify(
        &candidates,
        &trusted,
        vector.manifest.parse().unwrap(),
        vector.repository.as_deref(),
    )
}

fn outcome(result: &Result<Verified, VerifyError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(VerifyError::NotSigned { .. }) => "NotSigned".to_owned(),
        Err(VerifyError::TooMany { .. }) => "TooMany".to_owned(),
        Err(VerifyError::SomebodyElse { others, .. }) => {
            format!("SomebodyElse {} {}", others.count, others.keyless)
        }
        Err(VerifyError::OtherImage { .. }) => "OtherImage".to_owned(),
        Err(VerifyError::OtherRepository { .. }) => "OtherRepository".to_owned(),
        Err(VerifyError::Malformed { .. }) => "Malformed".to_owned(),
        Err(VerifyError::Unusable { first, .. }) => format!("Unusable {}", unusable(first)),
        Err(_) => "another".to_owned(),
    }
}

fn unusable(error: &UnusableError) -> &'static str {
    match error {
        UnusableError::NoSignature => "NoSignature",
        UnusableError::NotBase64 => "NotBase64",
        UnusableError::SignatureTooLong { .. } => "SignatureTooLong",
        UnusableError::PayloadTooLong { .. } => "PayloadTooLong",
        _ => "another",
    }
}

/// Whatever is wrong, its message fits into a log and writes nothing else there.
fn check_text(name: &str, text: &str) {
    assert!(text.len() < 600, "{name}: {} bytes", text.len());
    assert!(
        text.chars().all(|c| matches!(c, ' '..='~')),
        "{name}: {text:?}"
    );
}

#[test]
fn a_stranger_s_signature_is_described_and_the_trusted_key_is_named() {
    let text = std::fs::read_to_string(vectors_folder().join("stranger-keyless.json")).unwrap();
    let error = run(&serde_json::from_str(&text).unwrap()).unwrap_err();
    let ours = VerifyingKey::from_pem(&key_file("ours.pub")).unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "signed by somebody else: 2 signatures by none of the trusted keys, 1 of them \
             keyless (with a certificate), which claim to be for `registry.example/team/app`; \
             the trusted key is {}",
            ours.fingerprint()
        )
    );
}

#[test]
fn a_key_of_another_algorithm_is_refused_by_its_name() {
    for (file, algorithm) in [
        ("rsa.key", "RSA"),
        ("ed25519.key", "Ed25519"),
        ("p384.key", "ECDSA with P-384"),
        ("p521.key", "ECDSA with P-521"),
        ("secp256k1.key", "ECDSA with secp256k1"),
    ] {
        let expected = KeyError::Algorithm { algorithm };
        let private = SigningKey::from_pem(&key_file(file), None).unwrap_err();
        assert_eq!(private, expected);
        let public = file.replace(".key", ".pub");
        let public = VerifyingKey::from_pem(&key_file(&public)).unwrap_err();
        assert_eq!(public, expected);
    }
}

#[test]
fn a_key_shows_its_fingerprint_and_nothing_else() {
    let key = SigningKey::from_pem(&key_file("ok-pkcs8.key"), None).unwrap();
    let public = key.verifying_key();
    let fingerprint = public.fingerprint();
    assert_eq!(format!("{key:?}"), format!("SigningKey({fingerprint})"));
    assert_eq!(
        format!("{public:?}"),
        format!("VerifyingKey({fingerprint})")
    );
}

#[test]
fn what_skopeo_stored_as_a_signature_is_one() {
    let file = |name: &str| std::fs::read(vectors_folder().join("skopeo").join(name)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&file("manifest.json")).unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], media::SIMPLE_SIGNING);
    let annotations = serde_json::from_value(layer["annotations"].clone()).unwrap();
    let candidate = Candidate {
        payload: &file("payload.json"),
        annotations: &annotations,
    };
    let trusted = [VerifyingKey::from_pem(&file("cosign.pub")).unwrap()];
    let image: Digest = IN_SKOPEO.parse().unwrap();
    let verified = verify(
        &[candidate],
        &trusted,
        image,
        Some("127.0.0.1:58501/team/app"),
    )
    .unwrap();
    assert_eq!(verified.key, trusted[0].fingerprint());
}

#[test]
fn a_key_and_a_signature_that_sigstore_rs_made_are_good() {
    let file = |name: &str| std::fs::read(vectors_folder().join("sigstore-rs").join(name)).unwrap();
    let private = SigningKey::from_pem(&file("cosign.key"), Some(b"correct horse")).unwrap();
    let public = VerifyingKey::from_pem(&file("cosign.pub")).unwrap();
    let fingerprint = public.fingerprint();
    assert_eq!(private.verifying_key().fingerprint(), fingerprint);
    let signature = String::from_utf8(file("signature")).unwrap();
    let annotations = BTreeMap::from([(SIGNATURE.to_owned(), signature)]);
    let candidate = Candidate {
        payload: &file("payload.json"),
        annotations: &annotations,
    };
    let image = IN_SKOPEO.parse().unwrap();
    let verified = verify(&[candidate], &[public], image, None).unwrap();
    assert_eq!(verified.key, fingerprint);
}

#[test]
fn a_hostile_name_that_a_trusted_key_signed_is_cleaned_too() {
    let key = SigningKey::from_pem(&key_file("ok-pkcs8.key"), None).unwrap();
    let image = Digest([1; 32]);
    let payload = payload("r.example/app:\u{1b}[2J", image);
    let signature = key.sign(&payload).unwrap();
    let annotations = BTreeMap::from([(SIGNATURE.to_owned(), signature)]);
    let candidate = Candidate {
        payload: &payload,
        annotations: &annotations,
    };
    let trusted = [key.verifying_key()];
    let verified = verify(&[candidate], &trusted, image, Some("r.example/app")).unwrap();
    assert_eq!(verified.identity, "r.example/app:?[2J");
}
