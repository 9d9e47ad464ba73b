//! Manifests: how often they are fetched, and what happens when they cannot be.

use std::sync::atomic::Ordering::SeqCst;

use propeller_oci::sha256;
use propeller_wire::images::{AskDocument, FromProxy, Reason, ToProxy};

use crate::bed::{Bed, Behaviour, Proplet};

/// A manifest without layers, of which there can be any number.
fn manifest(number: u32) -> Vec<u8> {
    let digest = sha256(b"{}");
    let config = format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":2}}"#
    );
    let notes = format!(r#"{{"number":"{number}"}}"#);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let rest = format!(r#""config":{config},"layers":[],"annotations":{notes}"#);
    format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}",{rest}}}"#).into_bytes()
}

fn document(reference: String) -> ToProxy {
    ToProxy::Document(AskDocument { ask: 1, reference })
}

/// What a proplet hears of a document: its bytes, or why there is none.
async fn heard(proplet: &mut Proplet) -> Result<Vec<u8>, (Reason, String)> {
    loop {
        match proplet.hear().await {
            FromProxy::Document(document) => return Ok(document.bytes.into_vec()),
            FromProxy::Failed(failed) => return Err((failed.reason, failed.text)),
            FromProxy::Progress(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn proplets(bed: &mut Bed, count: usize) -> Vec<Proplet> {
    let mut proplets = Vec::new();
    for number in 0..count {
        proplets.push(bed.proplet(&format!("edge-{number}")).await);
    }
    proplets
}

#[tokio::test]
async fn a_manifest_is_fetched_once_for_all_who_name_its_digest_and_is_kept() {
    let bytes = manifest(1);
    let mut bed = Bed::new(Behaviour::Right(bytes.clone())).await;
    let pinned = bed.reference(&format!("a/b@{}", sha256(&bytes)));
    let asked = bed.registry.manifests.clone();
    let mut all = proplets(&mut bed, 6).await;
    for proplet in &mut all {
        proplet.ask(document(pinned.clone()));
    }
    for proplet in &mut all {
        assert_eq!(heard(proplet).await.as_ref(), Ok(&bytes));
    }
    assert_eq!(asked.load(SeqCst), 1);
    // A tag may lead elsewhere by now.
    for times in 2..4 {
        all[0].ask(document(bed.reference("a/b:1")));
        assert_eq!(heard(&mut all[0]).await.as_ref(), Ok(&bytes));
        assert_eq!(asked.load(SeqCst), times);
    }

    // What is here needs no registry, also after the proxy was started again.
    bed.registry.down.store(true, SeqCst);
    bed.restart().await;
    let mut late = bed.proplet("late").await;
    late.ask(document(pinned.clone()));
    assert_eq!(heard(&mut late).await.as_ref(), Ok(&bytes));
    assert_eq!(asked.load(SeqCst), 3);
    late.ask(document(bed.reference("a/b:1")));
    assert_eq!(
        heard(&mut late).await.expect_err("it is down").0,
        Reason::Network
    );

    // It is kept for the repository that it was asked of: nobody has asked another one whether it has
    // it, and for whom.
    late.ask(document(bed.reference(&format!("a/c@{}", sha256(&bytes)))));
    assert_eq!(
        heard(&mut late).await.expect_err("it is down").0,
        Reason::Network
    );

    // A disk is believed no more than a registry.
    bed.damage();
    late.ask(document(pinned.clone()));
    assert_eq!(
        heard(&mut late).await.expect_err("it is down").0,
        Reason::Network
    );
    bed.registry.down.store(false, SeqCst);
    late.ask(document(pinned));
    assert_eq!(heard(&mut late).await.as_ref(), Ok(&bytes));
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_asked_once_for_all_who_wait() {
    let bytes = manifest(1);
    let mut bed = Bed::new(Behaviour::Right(bytes.clone())).await;
    let pinned = bed.reference(&format!("a/b@{}", sha256(&bytes)));
    let asked = bed.registry.manifests.clone();
    bed.registry.down.store(true, SeqCst);
    let mut all = proplets(&mut bed, 6).await;
    for proplet in &mut all {
        proplet.ask(document(pinned.clone()));
    }
    for proplet in &mut all {
        let (reason, text) = heard(proplet).await.expect_err("it is down");
        assert_eq!(reason, Reason::Network);
        assert!(text.contains("answers the manifest with 502"), "{text}");
    }
    assert_eq!(asked.load(SeqCst), 1);
    // Whoever comes later asks anew.
    bed.registry.down.store(false, SeqCst);
    all[0].ask(document(pinned));
    assert_eq!(heard(&mut all[0]).await.as_ref(), Ok(&bytes));
    assert_eq!(asked.load(SeqCst), 2);
}

#[tokio::test]
async fn a_manifest_of_other_bytes_is_neither_handed_on_nor_kept() {
    let (bytes, other) = (manifest(1), manifest(2));
    let mut bed = Bed::new(Behaviour::Right(other)).await;
    let pinned = bed.reference(&format!("a/b@{}", sha256(&bytes)));
    let mut proplet = bed.proplet("edge").await;
    for times in 1..3 {
        proplet.ask(document(pinned.clone()));
        let (reason, text) = heard(&mut proplet).await.expect_err("it is another one");
        assert_eq!(reason, Reason::Digest, "{text}");
        assert_eq!(bed.registry.manifests.load(SeqCst), times);
    }
    assert_eq!(bed.files(), 0);
}
