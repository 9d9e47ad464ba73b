//! Skopeo and a registry: signatures as others store them, and as others make them.
//!
//! Debian builds skopeo with its signing and verifying by sigstore keys taken out
//! (`disable-sigstore.patch`: "Debian-local change: sigstore disabled"); there it still stores and
//! copies signatures. What a skopeo was built without is skipped.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use propeller_model::Digest;
use propeller_oci::media;
use propeller_oci::sign::{
    Candidate, SIGNATURE, SigningKey, Verified, VerifyError, VerifyingKey, payload, tag, verify,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{key_file, skipped, vectors_folder};

const REPOSITORY: &str = "team/app";

/// A registry on a loopback port of its own, for as long as this lives.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    /// `None` if there is no such program here.
    fn start(folder: &Path) -> Option<Self> {
        let config = folder.join("registry.yml");
        let root = folder.join("registry");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n",
            root.display()
        );
        std::fs::write(&config, text).unwrap();
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            started => started.unwrap(),
        };
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        // It takes a free port, and says which one once it listens there.
        let address = lines
            .find_map(|line| {
                let (_, rest) = line.split_once("listening on ")?;
                Some(rest.split('"').next()?.to_owned())
            })
            .expect("the registry ended before it listened");
        // The rest has to be read, or the registry stops when the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address })
    }

    fn repository(&self) -> String {
        format!("{}/{REPOSITORY}", self.address)
    }

    async fn get(&self, what: &str) -> reqwest::Response {
        let url = format!("http://{}/v2/{REPOSITORY}/{what}", self.address);
        client()
            .get(url)
            .header("accept", media::OCI_MANIFEST)
            .send()
            .await
            .unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn client() -> reqwest::Client {
    // Nothing here speaks TLS, but a client without a provider for it cannot be built.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A folder with an image as skopeo's `dir:` has it, and with `registries.d`.
struct Image {
    folder: TempDir,
    digest: Digest,
}

impl Image {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("image");
        std::fs::create_dir(&dir).unwrap();
        let blob = |bytes: &[u8], kind: &str| {
            let digest = sha256(bytes);
            std::fs::write(dir.join(digest.hex()), bytes).unwrap();
            json!({"mediaType": kind, "digest": digest.to_string(), "size": bytes.len()})
        };
        let layer = [0; 1024]; // an empty tar archive
        let diff = sha256(&layer).to_string();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": blob(config.to_string().as_bytes(), media::OCI_CONFIG),
            "layers": [blob(&layer, media::TAR_LAYER)],
        })
        .to_string();
        std::fs::write(dir.join("version"), "Directory Transport Version: 1.1\n").unwrap();
        std::fs::write(dir.join("manifest.json"), &manifest).unwrap();
        Self {
            digest: sha256(manifest.as_bytes()),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts our signature beside the image, as `dir:` keeps one: containers/image,
    /// `internal/signature/sigstore.go`.
    fn sign(&self, key: &SigningKey, identity: &str) {
        let payload = payload(identity, self.digest);
        let json = json!({
            "mimeType": media::SIMPLE_SIGNING,
            "payload": data_encoding::BASE64.encode(&payload),
            "annotations": {SIGNATURE: key.sign(&payload).unwrap()},
        });
        let path = self.path("image").join("signature-1");
        std::fs::write(path, format!("\0sigstore-json\n{json}")).unwrap();
    }

    /// Runs `skopeo copy`; `None` if there is no such program here.
    fn skopeo(&self, registry: &Registry, args: &[&str]) -> Option<Output> {
        let registries = self.path("registries.d");
        std::fs::create_dir_all(&registries).unwrap();
        let text = format!(
            "docker: {{\"{}\": {{use-sigstore-attachments: true}}}}\n",
            registry.address
        );
        std::fs::write(registries.join("test.yaml"), text).unwrap();
        let output = Command::new("skopeo")
            .env("HOME", self.folder.path())
            .arg("--registries.d")
            .arg(registries)
            .args(args)
            .output();
        match output {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            output => Some(output.unwrap()),
        }
    }

    /// Asks skopeo to copy the image into the registry, with `options`.
    fn push(&self, registry: &Registry, options: &[&str]) -> Option<Output> {
        let from = format!("dir:{}", self.path("image").display());
        let to = format!("docker://{}:1.0", registry.repository());
        let mut args = vec!["--insecure-policy", "copy", "--dest-tls-verify=false"];
        args.extend_from_slice(options);
        args.extend([from.as_str(), to.as_str()]);
        self.skopeo(registry, &args)
    }

    /// Asks skopeo to copy the image out of the registry if `key` has signed it.
    fn pull(&self, registry: &Registry, key: &str, to: &str) -> Option<Output> {
        let policy = self.path("policy.json");
        let requirement = json!([{
            "type": "sigstoreSigned",
            "keyPath": vectors_folder().join("keys").join(key),
            "signedIdentity": {"type": "matchRepository"},
        }]);
        let text = json!({
            "default": [{"type": "reject"}],
            "transports": {"docker": {registry.address.clone(): requirement}},
        });
        std::fs::write(&policy, text.to_string()).unwrap();
        let from = format!("docker://{}:1.0", registry.repository());
        let to = format!("dir:{}", self.path(to).display());
        let policy = policy.to_str().unwrap();
        let args = [
            "--policy",
            policy,
            "copy",
            "--src-tls-verify=false",
            &from,
            &to,
        ];
        self.skopeo(registry, &args)
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Digest(digest.as_ref().try_into().unwrap())
}

/// What a registry has as signatures of an image: payloads and annotations.
async fn fetch(registry: &Registry, image: Digest) -> Vec<(Vec<u8>, BTreeMap<String, String>)> {
    let response = registry.get(&format!("manifests/{}", tag(image))).await;
    if response.status() == 404 {
        return Vec::new();
    }
    let manifest: Value = response.json().await.unwrap();
    let mut signatures = Vec::new();
    for layer in manifest["layers"].as_array().unwrap() {
        assert_eq!(layer["mediaType"], media::SIMPLE_SIGNING);
        let digest = layer["digest"].as_str().unwrap();
        let blob = registry.get(&format!("blobs/{digest}")).await;
        let blob = blob.bytes().await.unwrap().to_vec();
        assert_eq!(sha256(&blob).to_string(), digest);
        let annotations = serde_json::from_value(layer["annotations"].clone()).unwrap();
        signatures.push((blob, annotations));
    }
    signatures
}

async fn check(registry: &Registry, image: Digest, key: &str) -> Result<Verified, VerifyError> {
    let signatures = fetch(registry, image).await;
    let candidates: Vec<Candidate<'_>> = signatures
        .iter()
        .map(|(payload, annotations)| Candidate {
            payload,
            annotations,
        })
        .collect();
    let trusted = [VerifyingKey::from_pem(&key_file(key)).unwrap()];
    verify(&candidates, &trusted, image, Some(&registry.repository()))
}

fn ours() -> SigningKey {
    SigningKey::from_pem(&key_file("ok-pkcs8.key"), None).unwrap()
}

fn succeeded(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo: {text}");
}

/// Whether this skopeo was built without what it was asked for.
fn was_built_without(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("sigstore disabled")
}

#[tokio::test]
async fn our_signature_goes_through_skopeo_into_a_registry_and_verifies_there() {
    let image = Image::new();
    let Some(registry) = Registry::start(image.folder.path()) else {
        return skipped("no docker-registry");
    };
    let Some(pushed) = image.push(&registry, &[]) else {
        return skipped("no skopeo");
    };
    succeeded(&pushed);
    let none = check(&registry, image.digest, "ours.pub").await;
    let manifest = image.digest;
    assert_eq!(none, Err(VerifyError::NotSigned { manifest }));

    image.sign(&ours(), &registry.repository());
    succeeded(&image.push(&registry, &[]).unwrap());
    let verified = check(&registry, image.digest, "ours.pub").await.unwrap();
    assert_eq!(verified.key, ours().verifying_key().fingerprint());
    assert_eq!(verified.identity, registry.repository());
    let stranger = check(&registry, image.digest, "stranger.pub").await;
    assert!(matches!(stranger, Err(VerifyError::SomebodyElse { .. })));
}

#[tokio::test]
async fn skopeo_accepts_an_image_that_we_signed_and_refuses_it_under_another_key() {
    let image = Image::new();
    let Some(registry) = Registry::start(image.folder.path()) else {
        return skipped("no docker-registry");
    };
    image.sign(&ours(), &registry.repository());
    let Some(pushed) = image.push(&registry, &[]) else {
        return skipped("no skopeo");
    };
    succeeded(&pushed);
    let accepted = image.pull(&registry, "ours.pub", "accepted").unwrap();
    if was_built_without(&accepted) {
        return skipped("this skopeo was built without verifying by sigstore keys, as Debian's is");
    }
    succeeded(&accepted);
    let refused = image.pull(&registry, "stranger.pub", "refused").unwrap();
    assert!(!refused.status.success());
}

#[tokio::test]
async fn an_image_that_skopeo_signed_verifies_under_its_key_alone() {
    let image = Image::new();
    let Some(registry) = Registry::start(image.folder.path()) else {
        return skipped("no docker-registry");
    };
    let passphrase = image.path("passphrase");
    std::fs::write(&passphrase, "correct horse").unwrap();
    let key = vectors_folder().join("keys/ok-cosign.key");
    let options = [
        "--sign-by-sigstore-private-key",
        key.to_str().unwrap(),
        "--sign-passphrase-file",
        passphrase.to_str().unwrap(),
    ];
    let Some(pushed) = image.push(&registry, &options) else {
        return skipped("no skopeo");
    };
    if was_built_without(&pushed) {
        return skipped("this skopeo was built without signing by sigstore keys, as Debian's is");
    }
    succeeded(&pushed);
    let verified = check(&registry, image.digest, "ours.pub").await.unwrap();
    assert_eq!(verified.identity, format!("{}:1.0", registry.repository()));
    let stranger = check(&registry, image.digest, "stranger.pub").await;
    assert!(matches!(stranger, Err(VerifyError::SomebodyElse { .. })));
}
