//! What lies on the disk, and what a restart makes of it.

use std::path::Path;

use propeller_envelope::{Keyring, WorkloadKey};

use super::bed::{Bed, OPEN};
use super::guest::Guest;

const PATH: &str = "propeller-test/allowed/1";
const CANARY: &[u8] = b"canary: a key that must not be on any disk";

/// All files below a folder, with what is in them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push((path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
    found
}

#[tokio::test]
async fn no_file_holds_a_secret_or_names_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bed = Bed::new(OPEN).await;
    bed.put(PATH, CANARY).await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    let token = guest.attested().await;
    assert_eq!(
        guest
            .open(&guest.get(PATH, Some(&token), "").await)
            .unwrap(),
        CANARY
    );
    bed.stop().await;
    let files = files(bed.data_dir());
    let envelopes: Vec<_> = files
        .iter()
        .filter(|(_, bytes)| propeller_envelope::looks_like_envelope(bytes))
        .collect();
    assert_eq!(envelopes.len(), 2, "a resource, and the key of tokens");
    for (name, bytes) in &files {
        for part in [&CANARY[..16], &CANARY[16..], token.as_bytes()] {
            assert!(
                !bytes.windows(part.len()).any(|window| window == part),
                "{name}"
            );
        }
        assert!(!name.contains("propeller-test"), "{name}");
        let mode = std::fs::metadata(name).unwrap().permissions().mode();
        assert!(
            name.ends_with("lock") || mode & 0o077 == 0,
            "{name}: {mode:o}"
        );
    }
}

#[tokio::test]
async fn resources_and_tokens_outlive_a_restart_and_a_rotation_of_keys() {
    let mut bed = Bed::new(OPEN).await;
    bed.put(PATH, CANARY).await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    let token = guest.attested().await;
    let old = bed.config.keys.sealing().clone();
    let new = WorkloadKey::generate().unwrap();
    let rotated = Keyring::with_opening(new.clone(), [old.clone()]).unwrap();
    for keys in [Keyring::new(old.clone()), rotated, Keyring::new(new)] {
        bed.config.keys = keys;
        bed.restart().await;
        let again = Guest::new(&bed.http, bed.broker().url());
        // The old guest's token is still this broker's, and opens with his key.
        let released = again.get(PATH, Some(&token), "").await;
        assert_eq!(guest.open(&released).unwrap(), CANARY);
    }
    let started = bed.logged(&["started"]).await;
    let why: Vec<&str> = started
        .iter()
        .map(|line| line["why"].as_str().unwrap())
        .collect();
    assert!(
        why[2].contains("1 resources, 1 of them sealed anew"),
        "{why:?}"
    );
    assert!(
        why[3].contains("1 resources, 0 of them sealed anew"),
        "{why:?}"
    );
    // Without the key that seals them there is no start, and nothing is lost by it.
    bed.config.keys = Keyring::new(old);
    bed.stop().await;
    let refused = bed.start().await.map(|_| ()).unwrap_err();
    let refused = format!("{refused}: {:?}", std::error::Error::source(&refused));
    assert!(
        refused.contains("KEYBROKER_KEYS_OPEN") || refused.contains("key"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_data_directory_is_one_brokers() {
    let bed = Bed::new(OPEN).await;
    let mut other = Bed::closed(OPEN);
    other.config.data_dir = bed.data_dir().to_owned();
    let refused = other.start().await.unwrap_err().to_string();
    assert!(
        refused.contains("in use by another key broker"),
        "{refused}"
    );
}

#[tokio::test]
async fn with_a_certificate_it_speaks_tls() {
    let mut bed = Bed::closed(OPEN);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    bed.config.tls = Some((bed.write("cert.pem", &cert), bed.write("key.pem", &key)));
    bed.start().await.unwrap();
    assert!(bed.broker().url().starts_with("https://"));
    let root = reqwest::Certificate::from_pem(cert.as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .tls_certs_merge([root])
        .build()
        .unwrap();
    let guest = Guest::new(&http, bed.broker().url());
    assert!(!guest.attested().await.is_empty());
    let options = propeller_attest::rcar::admin::Admin::new(
        bed.address(),
        &[cert.into_bytes()],
        bed.admin.admin_key(),
        "admin",
    );
    let now = u64::try_from(bed.now()).unwrap();
    options
        .unwrap()
        .put_resource(&PATH.parse().unwrap(), CANARY, now)
        .await
        .unwrap();
}
