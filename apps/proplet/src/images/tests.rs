//! Who asks a source for what, how often, and how much of it at a time.

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use propeller_oci::artifact::{Form, Interfaces, build};
use propeller_oci::crypt::Keys;
use propeller_oci::media;
use tokio::task::JoinSet;

use super::*;
use scripted::{Scripted, archives, image, key_pair, settle};

/// Longer than anything takes that does not hang; the clock of these tests is not the wall's.
const LONG: Duration = Duration::from_secs(60);

struct Bed {
    images: Arc<Images>,
    orders: mpsc::Receiver<Order>,
    _there: watch::Sender<bool>,
}

impl Bed {
    fn new(settings: &[(&str, &str)]) -> Self {
        Self::with(settings, None)
    }

    /// One that keeps images on disk.
    fn with(settings: &[(&str, &str)], blobs: Option<Arc<Blobs>>) -> Self {
        // Another test of this process may have been first.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = crate::config::configured(settings).unwrap().images;
        let (order, orders) = mpsc::channel(16);
        let (there, is_there) = watch::channel(false);
        Self {
            images: Arc::new(Images::new(config, order, is_there, blobs).unwrap()),
            orders,
            _there: there,
        }
    }

    /// Asks for an image, aside.
    fn want(&self, asking: &mut JoinSet<Result<OpenModule, String>>, image: String) {
        let images = Arc::clone(&self.images);
        asking.spawn(async move { images.module(&image).await });
    }

    /// The only thing that is ordered, once everybody has ordered what he wants.
    async fn only_order(&mut self) -> Order {
        let order = self.orders.recv().await.unwrap();
        settle().await;
        assert!(
            self.orders.try_recv().is_err(),
            "something is ordered twice"
        );
        order
    }

    /// Answers the order of the manifest, and has the next one.
    async fn blob_ordered(&mut self, manifest: &[u8]) -> Order {
        let Order::Document { reply, .. } = self.only_order().await else {
            panic!("no manifest was ordered")
        };
        let media_type = Some(media::OCI_MANIFEST.to_owned());
        reply.send(Ok((manifest.to_vec(), media_type))).unwrap();
        self.only_order().await
    }
}

#[tokio::test]
async fn one_image_under_two_tags_is_transferred_once() {
    let mut bed = Bed::new(&[("pull_from", "proxy")]);
    let built = image(b"\0asm\x01\0\0\0", Form::Artifact);
    let mut asking = JoinSet::new();
    for tag in ["1", "latest"] {
        let named = format!("ghcr.io/me/app:{tag}@{}", built.digest);
        bed.want(&mut asking, named);
    }
    let Order::Blob { reply, digest, .. } = bed.blob_ordered(&built.manifest).await else {
        panic!("no layer was ordered")
    };
    assert_eq!(digest, sha256(&built.layer));
    reply.send(Ok(built.layer.to_vec().into())).unwrap();
    for module in asking.join_all().await {
        assert_eq!(module.unwrap().digest, sha256(&built.layer));
    }
    assert!(bed.orders.try_recv().is_err());
}

#[tokio::test]
async fn what_was_kept_on_disk_under_one_tag_is_there_under_another() {
    let folder = tempfile::tempdir().unwrap();
    let options = propeller_blobs::Options {
        folder: folder.path().to_owned(),
        owner: "proplet edge-1".to_owned(),
        bytes_max: 1 << 20,
        piece_len: 1 << 16,
    };
    let key = propeller_envelope::WorkloadKey::from_bytes([1; 32]);
    let blobs = Blobs::open(options, propeller_envelope::Keyring::new(key)).unwrap();
    let built = image(b"\0asm\x01\0\0\0", Form::Artifact);
    let named = |tag: &str| format!("ghcr.io/me/app:{tag}@{}", built.digest);

    let mut bed = Bed::with(&[("pull_from", "proxy")], Some(Arc::clone(&blobs)));
    let mut asking = JoinSet::new();
    bed.want(&mut asking, named("1"));
    let Order::Blob { reply, .. } = bed.blob_ordered(&built.manifest).await else {
        panic!("no layer was ordered")
    };
    reply.send(Ok(built.layer.to_vec().into())).unwrap();
    asking.join_next().await.unwrap().unwrap().unwrap();

    // Another start of the proplet, where nobody answers.
    let bed = Bed::with(&[("pull_from", "proxy")], Some(blobs));
    drop(bed.orders);
    let module = bed.images.module(&named("latest")).await.unwrap();
    assert_eq!(module.digest, sha256(&built.layer));
}

#[tokio::test]
async fn what_another_registry_or_no_tls_would_give_is_not_waited_for() {
    let mut bed = Bed::new(&[("pull_from", "proxy")]);
    let built = image(b"\0asm\x01\0\0\0", Form::Artifact);
    let mut asking = JoinSet::new();
    for name in [
        "ghcr.io/me/app",
        "http://ghcr.io/me/app",
        "ghcr.io/me/other",
    ] {
        bed.want(&mut asking, format!("{name}@{}", built.digest));
    }
    settle().await;
    let mut ordered = 0;
    while bed.orders.try_recv().is_ok() {
        ordered += 1;
    }
    assert_eq!(ordered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_takes_too_long_says_how_far_it_has_come() {
    let mut bed = Bed::new(&[("pull_from", "proxy")]);
    let built = image(
        &[b"\0asm\x01\0\0\0", &[0; 992][..]].concat(),
        Form::Artifact,
    );
    let mut asking = JoinSet::new();
    bed.want(&mut asking, format!("ghcr.io/me/app@{}", built.digest));
    let Order::Blob { tally, reply, .. } = bed.blob_ordered(&built.manifest).await else {
        panic!("no layer was ordered")
    };
    tally.here(200);
    tally.at_proxy(700);
    let why = asking.join_next().await.unwrap().unwrap().unwrap_err();
    drop(reply);
    let expected = "network: it is not here after 900s; 700 of 1000 bytes were at the proxy, 200 of \
                    them here";
    assert!(why.ends_with(expected), "{why}");
}

#[tokio::test]
async fn what_fails_fails_for_all_who_wait_and_for_nobody_else() {
    let mut bed = Bed::new(&[("pull_from", "proxy")]);
    let built = image(b"\0asm\x01\0\0\0", Form::Artifact);
    let mut asking = JoinSet::new();
    for tag in ["1", "2", "3", "latest"] {
        let named = format!("ghcr.io/me/app:{tag}@{}", built.digest);
        bed.want(&mut asking, named);
    }
    let Order::Document { reply, .. } = bed.only_order().await else {
        panic!("no manifest was ordered")
    };
    let text = "it says nothing".to_owned();
    let kind = propeller_oci::registry::Kind::Network;
    let silent = RegistryError::Proxied { kind, text };
    assert!(reply.send(Err(silent)).is_ok());
    settle().await;
    assert!(bed.orders.try_recv().is_err(), "it is tried again for each");
    for why in asking.join_all().await {
        let why = why.unwrap_err();
        assert!(
            why.ends_with("network: it says nothing, says the proxy"),
            "{why}"
        );
    }

    // Whoever comes later has a try of his own.
    let mut asking = JoinSet::new();
    bed.want(&mut asking, format!("ghcr.io/me/app@{}", built.digest));
    let Order::Blob { reply, .. } = bed.blob_ordered(&built.manifest).await else {
        panic!("no layer was ordered")
    };
    reply.send(Ok(built.layer.to_vec().into())).unwrap();
    let module = asking.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(module.digest, sha256(&built.layer));
}

#[tokio::test]
async fn whoever_stops_waiting_leaves_the_pull_to_the_others() {
    let mut bed = Bed::new(&[("pull_from", "proxy")]);
    let built = image(b"\0asm\x01\0\0\0", Form::Artifact);
    let named = format!("ghcr.io/me/app@{}", built.digest);
    let (mut first, mut second) = (JoinSet::new(), JoinSet::new());
    bed.want(&mut first, named.clone());
    let _left = bed.only_order().await;
    bed.want(&mut second, named);
    settle().await;
    first.shutdown().await;
    let Order::Blob { reply, .. } = bed.blob_ordered(&built.manifest).await else {
        panic!("no layer was ordered")
    };
    reply.send(Ok(built.layer.to_vec().into())).unwrap();
    assert!(second.join_next().await.unwrap().unwrap().is_ok());
}

async fn pulled(bed: &Bed, source: &Scripted) -> Result<OpenModule, NoModule> {
    let mut own = Opener::Own;
    let pull = bed.images.pull_from(source, &source.reference, &mut own);
    let pulled = tokio::time::timeout(LONG, pull).await;
    pulled.expect("layers wait for each other")
}

#[tokio::test(start_paused = true)]
async fn layers_are_fetched_side_by_side() {
    for limit in [4, 6] {
        let bed = Bed::new(&[("pull_concurrent_limit", &limit.to_string())]);
        let source = archives(6);
        // None comes before so many are wanted.
        source.open_at(limit);
        let module = pulled(&bed, &source).await.unwrap();
        assert_eq!(module.wasm, scripted::module(5));
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_layers_than_allowed_are_fetched_at_a_time() {
    for limit in [1, 2, 4] {
        let bed = Bed::new(&[("pull_concurrent_limit", &limit.to_string())]);
        let source = archives(6);
        let pull = pulled(&bed, &source);
        tokio::pin!(pull);
        for answered in 0..6 {
            let wanted = (answered + limit).min(6);
            // Everything that is wanted now is wanted in one step; the next is when one has come.
            let asked = tokio::time::timeout(LONG, source.wanted(wanted));
            tokio::select! {
                biased;
                _ = &mut pull => panic!("nothing was given"),
                asked = asked => asked.expect("so many are wanted at a time"),
            }
            tokio::select! {
                biased;
                _ = &mut pull => panic!("nothing was given"),
                () = settle() => {}
            }
            assert_eq!(source.asked(), wanted, "limit {limit}");
            source.give_first();
        }
        assert_eq!(pull.await.unwrap().wasm, scripted::module(5));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_with_different_keys_share_what_comes_from_the_registry() {
    let bed = Bed::new(&[]);
    let ((first, first_public), (second, second_public)) = (key_pair(), key_pair());
    let [first, second]: [Arc<[PrivateKey]>; 2] = [Arc::new([first]), Arc::new([second])];
    let wasm = scripted::module(7);
    let built = build(
        &wasm,
        Form::Artifact,
        &Interfaces::default(),
        &[first_public, second_public],
    );
    let source = Arc::new(Scripted::of(&built.unwrap()));
    let mut pulls = JoinSet::new();
    let begin = |pulls: &mut JoinSet<Vec<u8>>, key: &Arc<[PrivateKey]>| {
        let (images, source) = (Arc::clone(&bed.images), Arc::clone(&source));
        let private = Arc::clone(key);
        pulls.spawn(async move {
            let source: &dyn Source = &*source;
            let reference = "ghcr.io/me/app:1".parse::<Reference>().unwrap();
            let resolved = resolve(source, &reference).await.unwrap();
            let wanted = Wanted::new(&reference, resolved.digest());
            let admitted = signatures::admit(source, resolved, &[]).await.unwrap();
            let keys = Keys {
                private,
                wrapping: Arc::new([]),
            };
            let options = PullOptions {
                layers_at_once: 1,
                module_bytes_max: 1 << 20,
                unpacked_bytes_max: 1 << 20,
                entries_max: 10,
                keys,
            };
            let pulled = images.together.pull(wanted, source, &admitted, &options);
            pulled.await.unwrap().unwrap().module.to_vec()
        });
    };
    begin(&mut pulls, &first);
    begin(&mut pulls, &second);
    settle().await;
    assert_eq!(source.asked(), 1);
    source.give_first();
    let both = tokio::time::timeout(LONG, pulls.join_all()).await;
    assert_eq!(
        both.expect("one waits for another transfer"),
        vec![wasm.clone(); 2]
    );
    assert_eq!(source.asked(), 1);

    // Nothing was kept for whoever comes later.
    let mut pulls = JoinSet::new();
    begin(&mut pulls, &first);
    source.wanted(2).await;
    source.give_first();
    assert_eq!(pulls.join_all().await, vec![wasm]);
}
