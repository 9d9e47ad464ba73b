//! Images: whatever a registry says, it is read within limits, and told in few plain words.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::LazyLock;

use propeller_attest::rcar::{KbsUri, key_bytes};
use propeller_model::Digest;
use propeller_oci::crypt::{self, Keys, PrivateKey, Recipients, WrappingKey};
use propeller_oci::layer::{Finding, Scratch, UnpackLimits, Unpacked};
use propeller_oci::manifest::{Config, Document};
use propeller_oci::sign::{self, Candidate, VerifyingKey};
use propeller_oci::{Credentials, Reference, media};

/// Longest text of an error or of a description.
const TEXT_CHARS_MAX: usize = 8 << 10;

const LIMITS: UnpackLimits = UnpackLimits {
    unpacked_bytes: 1 << 20,
    module_bytes: 1 << 16,
    entries: 1000,
};

/// Of the vectors: nobody's.
static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    let pem = include_bytes!("../../testdata/vectors/ocicrypt/keys/p256.pem");
    PrivateKey::from_bytes(pem).expect("it is one")
});

/// Where a key broker keeps a key, in the corpus.
const KEY_ID: &str = "kbs:///default/key/app";

/// Whoever is attested: with the private key, and with what a key broker released.
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let pem = include_bytes!("../../testdata/vectors/ocicrypt/keys/p256.pem");
    let private = PrivateKey::from_bytes(pem).expect("it is one");
    Keys {
        private: [private].into(),
        wrapping: [wrapping(7)].into(),
    }
});

fn wrapping(byte: u8) -> WrappingKey {
    let key = key_bytes(&[byte; 32]).expect("it has 32 bytes");
    WrappingKey::new(KEY_ID.to_owned(), key)
}

/// Manifests, indexes, configurations, references and files of credentials.
pub(crate) fn image(data: &[u8]) {
    for content_type in [None, Some(media::OCI_INDEX), Some(media::DOCKER_MANIFEST)] {
        match Document::parse(data, content_type) {
            Ok(Document::Image(manifest)) => {
                let _bytes = manifest.bytes();
                manifest.place().map_or_else(|error| plain(&error), |_| ());
            }
            Ok(Document::Index(index)) => {
                index.choose().map_or_else(|error| plain(&error), |_| ());
            }
            Err(error) => plain(&error),
        }
    }
    match Config::parse(data) {
        Ok(config) => assert!(config.program().unwrap_or_default().len() <= data.len()),
        Err(error) => plain(&error),
    }
    if let Err(error) = Credentials::from_docker_config(data) {
        plain(&error);
    }
    match std::str::from_utf8(data).map(str::parse::<Reference>) {
        Ok(Ok(reference)) => {
            plain(&reference);
            assert_eq!(reference.to_string().parse(), Ok(reference));
        }
        Ok(Err(error)) => plain(&error),
        Err(_) => {}
    }
}

/// Layers: compressed or not, an archive or not. What is unpacked in memory is what is found and read
/// again, or is refused for the same reason.
pub(crate) fn layer(data: &[u8]) {
    let mut files = Unpacked::new(Some("app"), LIMITS);
    let unpacked = files.add(data).and_then(|_| files.module());
    let mut scratch = Scratch::default();
    let mut files = Finding::new(Some("app"), LIMITS);
    let found = files.add(data, &mut scratch).and_then(|_| files.module());
    match (unpacked, found) {
        (Ok(unpacked), Ok(spot)) => {
            assert!(unpacked.module.len() as u64 <= LIMITS.module_bytes);
            let mut module = Vec::new();
            let mut reading = spot.read(data, &mut scratch).expect("it is what it was");
            reading.read_to_end(&mut module).expect("it is what it was");
            assert_eq!(**unpacked.module, *module);
        }
        (Err(one), Err(other)) => {
            assert_eq!(one.to_string(), other.to_string());
            plain(&one);
        }
        (one, other) => panic!("{one:?} is not {other:?}"),
    }
}

/// Annotations of an encrypted layer, up to a zero byte, and the layer.
pub(crate) fn decrypt(data: &[u8]) {
    let (annotations, layer) = halves(data);
    let Ok(annotations) = serde_json::from_slice::<BTreeMap<String, String>>(annotations) else {
        return;
    };
    for line in crypt::recipients(&annotations) {
        plain(&line);
    }
    let keys = std::slice::from_ref(&*KEY);
    match crypt::decrypt(layer.to_vec(), &annotations, keys) {
        Ok(opened) => assert_eq!(opened.bytes.len(), layer.len()),
        Err(error) => plain(&error),
    }
}

/// As [`decrypt`], with the key of a key provider besides: what it wraps opens with it alone.
pub(crate) fn wrapped_keys(data: &[u8]) {
    let (annotations, layer) = halves(data);
    if let Ok(annotations) = serde_json::from_slice::<BTreeMap<String, String>>(annotations) {
        let lines = crypt::recipients(&annotations);
        lines.iter().for_each(plain);
        let ids = crypt::key_ids(&annotations);
        assert!(ids.len() <= lines.len().min(crypt::RECIPIENTS_MAX));
        for id in ids {
            id.parse::<KbsUri>()
                .map_or_else(|error| plain(&error), |_| ());
        }
        match crypt::decrypt(layer.to_vec(), &annotations, &*KEYS) {
            Ok(opened) => assert_eq!(opened.bytes.len(), layer.len()),
            Err(error) => plain(&error),
        }
    }
    let recipients = Recipients {
        public: &[],
        wrapping: &KEYS.wrapping,
    };
    let crypt::Encrypted { bytes, annotations } =
        crypt::encrypt(layer.to_vec(), recipients).expect("there is randomness");
    assert_eq!(crypt::key_ids(&annotations), [KEY_ID]);
    let opened = crypt::decrypt(bytes.clone(), &annotations, &*KEYS).expect("it is the key");
    assert!(*opened.bytes == *layer);
    let others = Keys {
        wrapping: [wrapping(8)].into(),
        ..Keys::default()
    };
    crypt::decrypt(bytes, &annotations, &others).expect_err("it is another key");
}

/// A signature's annotations, up to a zero byte, and what is signed.
pub(crate) fn signature(data: &[u8]) {
    let (annotations, payload) = halves(data);
    let Ok(annotations) = serde_json::from_slice::<BTreeMap<String, String>>(annotations) else {
        return;
    };
    let candidate = Candidate {
        payload,
        annotations: &annotations,
    };
    let trusted: Vec<VerifyingKey> = VerifyingKey::from_pem(data).into_iter().collect();
    let verified = sign::verify(&[candidate], &trusted, Digest([0; 32]), Some("a.io/b"));
    plain(&verified.expect_err("nobody is trusted"));
}

fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0);
    let (first, rest) = data.split_at(at.unwrap_or(data.len()));
    (first, rest.get(1..).unwrap_or_default())
}

pub(crate) fn plain(said: &impl ToString) {
    let text = said.to_string();
    assert!(text.chars().count() <= TEXT_CHARS_MAX, "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
}
