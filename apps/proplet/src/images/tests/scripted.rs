//! A source that gives what a test says, when it says so, and counts what it is asked for.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use propeller_model::Digest;
use propeller_oci::artifact::{Built, Form, Interfaces, build};
use propeller_oci::crypt::{PrivateKey, PublicKey};
use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Progress};
use propeller_oci::{Coming, Pieces, Reference, Source, media, sha256};
use serde_json::json;
use tokio::sync::{oneshot, watch};

/// See the module.
pub(super) struct Scripted {
    pub(super) reference: Reference,
    manifest: Vec<u8>,
    blobs: HashMap<Digest, Vec<u8>>,
    /// What is given at once.
    config: Digest,
    asked: watch::Sender<usize>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    all: std::collections::VecDeque<oneshot::Sender<()>>,
    /// From so many on everything is given.
    open_at: Option<usize>,
}

impl Scripted {
    /// One that has this image.
    pub(super) fn of(built: &Built) -> Self {
        Self::with(&built.manifest, &built.config, [built.layer.to_vec()])
    }

    fn with(manifest: &[u8], config: &[u8], layers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let blobs = layers.into_iter().chain([config.to_vec()]);
        Self {
            reference: "ghcr.io/me/app:1".parse().unwrap(),
            manifest: manifest.to_vec(),
            blobs: blobs.map(|blob| (sha256(&blob), blob)).collect(),
            config: sha256(config),
            asked: watch::Sender::new(0),
            waiting: Mutex::default(),
        }
    }

    /// How many layers were asked for so far.
    pub(super) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until so many were.
    pub(super) async fn wanted(&self, layers: usize) {
        let mut asked = self.asked.subscribe();
        asked.wait_for(|asked| *asked >= layers).await.unwrap();
    }

    /// Gives nothing before so many layers were asked for, and then everything.
    pub(super) fn open_at(&self, layers: usize) {
        self.waiting.lock().unwrap().open_at = Some(layers);
    }

    /// Gives the layer that was asked for first.
    pub(super) fn give_first(&self) {
        let first = self.waiting.lock().unwrap().all.pop_front();
        first.unwrap().send(()).unwrap();
    }

    /// Notes that a layer is wanted, and waits until it may be given.
    async fn turn(&self) {
        let turn = {
            let mut waiting = self.waiting.lock().unwrap();
            let (give, turn) = oneshot::channel();
            waiting.all.push_back(give);
            self.asked.send_modify(|asked| *asked += 1);
            if waiting
                .open_at
                .is_some_and(|open_at| self.asked() >= open_at)
            {
                let all = waiting.all.drain(..);
                all.for_each(|give| give.send(()).unwrap());
            }
            turn
        };
        turn.await.unwrap();
    }
}

impl Source for Scripted {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        let media_type = Some(media::OCI_MANIFEST.to_owned());
        Box::pin(async move { Fetched::read(reference, self.manifest.clone(), media_type) })
    }

    fn blob<'a>(
        &'a self,
        _: &'a Reference,
        descriptor: &'a Descriptor,
        _: Progress<'a>,
    ) -> Coming<'a, Pieces> {
        Box::pin(async move {
            if descriptor.digest != self.config {
                self.turn().await;
            }
            Ok(self.blobs[&descriptor.digest].clone().into())
        })
    }
}

/// A module, by its number.
pub(super) fn module(number: u8) -> Vec<u8> {
    // A custom section whose name is one byte.
    [b"\0asm\x01\0\0\0", &[0, 2, 1, number][..]].concat()
}

/// An image of `wasm`.
pub(super) fn image(wasm: &[u8], form: Form) -> Built {
    build(wasm, form, &Interfaces::default(), &[]).unwrap()
}

/// An image of so many archives, each with another module in place of the one before.
pub(super) fn archives(layers: u8) -> Scripted {
    let built = (0..layers).map(|number| image(&module(number), Form::Image));
    let layers: Vec<Vec<u8>> = built.map(|built| built.layer.to_vec()).collect();
    let config = json!({"os": "wasip1", "architecture": "wasm"}).to_string();
    let descriptor = |media_type: &str, blob: &[u8]| {
        json!({
            "mediaType": media_type,
            "digest": sha256(blob).to_string(),
            "size": blob.len(),
        })
    };
    let listed = layers.iter();
    let listed = listed.map(|layer| descriptor(media::TAR_GZIP_LAYER, layer));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": descriptor(media::OCI_CONFIG, config.as_bytes()),
        "layers": listed.collect::<Vec<_>>(),
    });
    Scripted::with(manifest.to_string().as_bytes(), config.as_bytes(), layers)
}

/// A key that opens images, and the one to encrypt them to.
pub(super) fn key_pair() -> (PrivateKey, PublicKey) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let private = pair.to_pkcs8v1().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (
        PrivateKey::from_bytes(private.as_ref()).unwrap(),
        PublicKey::from_bytes(public.as_ref()).unwrap(),
    )
}

/// Lets everybody do what he can do now.
pub(super) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
