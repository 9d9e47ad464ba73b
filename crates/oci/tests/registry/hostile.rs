//! Registries that lie, never end, send us away or keep asking.

use std::sync::Arc;
use std::time::Duration;

use propeller_model::Digest;
use propeller_oci::image::{ImageError, pull};
use propeller_oci::{Reference, Registry, RegistryOptions, sha256};

use crate::support::{
    Answer, Asked, MODULE, MODULE_BYTES_MAX, Scripted, anonymous, anybodys, client, options,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = r#"{"architecture":"wasm","os":"wasip1"}"#;

/// A manifest whose only layer is said to be so.
fn manifest(media_type: &str, digest: Digest, size: u64) -> String {
    let config = sha256(EMPTY.as_bytes());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}",
        "config":{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{config}","size":{}}},
        "layers":[{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}]}}"#,
        EMPTY.len()
    )
}

pub(crate) fn honest() -> String {
    manifest("application/wasm", sha256(MODULE), MODULE.len() as u64)
}

pub(crate) fn of_type(body: impl Into<Vec<u8>>) -> Answer {
    Answer::new(200, &[("content-type", MANIFEST)], body)
}

/// What a registry says that has this manifest, and answers blobs so.
pub(crate) fn with(
    manifest: impl Into<String>,
    blob: impl Fn() -> Answer + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    let manifest = manifest.into();
    move |asked| match asked.path.contains("/manifests/") {
        true => of_type(manifest.clone()),
        false => blob(),
    }
}

pub(crate) async fn outcome(registry: &Registry, reference: &Reference) -> String {
    let pulled = async {
        let admitted = anybodys(registry, reference).await?;
        let pulled = pull(registry, &admitted, &options(Vec::new()), &|_| {}).await?;
        Ok::<_, ImageError>(pulled.module.to_vec())
    };
    match pulled.await {
        Ok(module) => format!("{} bytes", module.len()),
        Err(error) => error.to_string(),
    }
}

/// What comes of an image whose registry answers so.
pub(crate) async fn told(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> String {
    let server = Scripted::start(script).await;
    let said = outcome(&anonymous(), &server.reference("image")).await;
    said.replace(&server.address, "REGISTRY")
}

#[tokio::test]
async fn an_honest_one_is_believed() {
    assert_eq!(
        told(with(honest(), || Answer::new(200, &[], MODULE))).await,
        "8 bytes"
    );
}

#[tokio::test]
async fn a_layer_of_other_bytes_is_refused_by_its_digest() {
    let said = told(with(honest(), || {
        Answer::new(200, &[], *b"\0asm\x02\0\0\0")
    }))
    .await;
    assert!(said.starts_with("digest: the blob is sha256:"), "{said}");
    assert!(said.contains(&sha256(MODULE).to_string()), "{said}");
}

#[tokio::test]
async fn a_manifest_of_other_bytes_is_refused_by_the_digest_of_the_reference() {
    let server = Scripted::start(with(honest(), || Answer::new(200, &[], MODULE))).await;
    let other = server.reference("image").pinned(Digest([7; 32]));
    let said = outcome(&anonymous(), &other).await;
    assert!(
        said.starts_with("digest: the manifest is sha256:"),
        "{said}"
    );
}

#[tokio::test]
async fn a_layer_that_is_longer_or_shorter_than_it_was_said_to_be_is_refused() {
    let (digest, size) = (sha256(MODULE), MODULE.len() as u64);
    let more = || manifest("application/wasm", digest, size + 1);
    for (manifest, body, why) in [
        (
            more(),
            MODULE,
            "size: the blob has 8 bytes, and its manifest says 9",
        ),
        (
            honest(),
            b"\0asm\x01\0\0\0x",
            "size: the blob has 9 bytes, and its manifest says 8",
        ),
    ] {
        assert_eq!(
            told(with(manifest, move || Answer::new(200, &[], body))).await,
            why
        );
    }
}

/// The registry is not who sends the wrong bytes.
#[tokio::test]
async fn whoever_answers_in_the_place_of_the_registry_is_named() {
    for (answer, why) in [
        (
            Answer::new(200, &[], b"\0asm\x01\0\0\0x"),
            "size: the blob has 9 bytes, and its manifest says 8, from",
        ),
        (
            Answer::endless(&[]),
            "size: the blob has more than 8 bytes, and its manifest says 8, from",
        ),
        (Answer::broken(MODULE), "network: no blob from"),
    ] {
        let answer = Arc::new(answer);
        let answers = Arc::clone(&answer);
        let elsewhere = Scripted::start(move |_| Answer::clone(&answers)).await;
        let to = format!("http://{}/storage", elsewhere.address);
        let script = with(honest(), move || Answer::new(307, &[("location", &to)], ""));
        assert_eq!(told(script).await, format!("{why} {}", elsewhere.address));
    }
}

#[tokio::test]
async fn what_never_ends_is_not_read_on() {
    let endless = told(with(honest(), || Answer::endless(&[]))).await;
    assert_eq!(
        endless,
        "size: the blob has more than 8 bytes, and its manifest says 8"
    );
    let manifest = told(|_| Answer::endless(&[("content-type", MANIFEST)])).await;
    assert_eq!(
        manifest,
        "size: the manifest has more than 4194304 bytes, and at most 4194304 are read"
    );
}

#[tokio::test]
async fn what_takes_for_ever_is_given_up() {
    let server = Scripted::start(|_| Answer::stalling(&[("content-type", MANIFEST)])).await;
    let hasty = client(RegistryOptions {
        patience: Duration::from_millis(20),
        ..RegistryOptions::default()
    });
    let said = outcome(&hasty, &server.reference("image")).await;
    let why = format!(
        "network: the manifest from {} is not here after 20ms",
        server.address
    );
    assert_eq!(said, why);
}

#[tokio::test]
async fn a_layer_that_is_said_to_be_too_large_is_not_asked_for() {
    let huge = manifest("application/wasm", sha256(MODULE), 1 << 40);
    let server = Scripted::start(with(huge, || Answer::endless(&[]))).await;
    let said = outcome(&anonymous(), &server.reference("image")).await;
    let limit = MODULE_BYTES_MAX;
    let why = format!(
        "size: its layers have {} bytes, and at most {limit} are fetched",
        1_u64 << 40
    );
    assert_eq!(said, why);
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.path.contains("/manifests/"))
    );
}

#[tokio::test]
async fn ten_thousand_layers_are_too_many() {
    let (digest, size) = (sha256(MODULE), MODULE.len());
    let layer = format!(r#"{{"mediaType":"application/wasm","digest":"{digest}","size":{size}}}"#);
    let layers = vec![layer.clone(); 10_000].join(",");
    let many = honest().replace(&layer, &layers);
    let said = told(with(many, || Answer::new(200, &[], MODULE))).await;
    assert!(
        said.ends_with("it has 10000 layers; at most 256 are read"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_no_registry_is_told_apart() {
    let html = || {
        Answer::new(
            200,
            &[("content-type", "text/html; charset=utf-8")],
            "<html>",
        )
    };
    let said = told(move |_| html()).await;
    assert!(said.starts_with("media type: REGISTRY answers"), "{said}");
    assert!(
        said.ends_with("with text/html: it is a web site, not a registry"),
        "{said}"
    );
    for (body, why) in [
        ("{", "it is no manifest: EOF while parsing"),
        (r#"{"schemaVersion":1}"#, "its schema version is 1"),
        (
            r#"{"schemaVersion":2,"mediaType":"x/\u001b[2Jy"}"#,
            "neither an image nor an index",
        ),
        (r#"{"schemaVersion":2}"#, "it is no manifest: missing field"),
        (
            r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
            "it says that it is both an image and an index",
        ),
        (
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#,
            "it says that it is both an image and an index",
        ),
    ] {
        let said = told(move |_| of_type(body)).await;
        assert!(
            said.starts_with("media type: ") && said.contains(why),
            "{said}"
        );
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

#[tokio::test]
async fn layers_of_other_kinds_are_named() {
    let other = manifest(
        "application/vnd.helm.chart",
        sha256(MODULE),
        MODULE.len() as u64,
    );
    let said = told(with(other, || Answer::new(200, &[], MODULE))).await;
    let why = "media type: its layers are application/vnd.helm.chart; a module is application/wasm, \
        or in a tar archive";
    assert_eq!(said, why);
    let text = b"no wasm!";
    let none = manifest("application/wasm", sha256(text), text.len() as u64);
    let said = told(with(none, move || Answer::new(200, &[], *text))).await;
    assert!(said.contains("is no WebAssembly"), "{said}");
}

#[tokio::test]
async fn a_redirect_to_itself_ends() {
    let server = Scripted::start(|asked| Answer::new(307, &[("location", &asked.path)], "")).await;
    let said = outcome(&anonymous(), &server.reference("image")).await;
    assert!(
        said.ends_with("sends the request on more than 5 times"),
        "{said}"
    );
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn who_is_asked_too_often_is_asked_later_and_then_left() {
    let server = Scripted::start(|_| Answer::new(429, &[("retry-after", "0")], "")).await;
    let said = outcome(&anonymous(), &server.reference("image")).await;
    assert!(
        said.ends_with("is asked too often: wait, or log in for a higher limit"),
        "{said}"
    );
    assert_eq!(server.asked().len(), 3);
    let long = told(|_| Answer::new(429, &[("retry-after", "3600")], "")).await;
    assert!(long.contains("and wants a pause of 3600 s"), "{long}");
}

#[tokio::test]
async fn what_a_registry_says_of_itself_is_told_shortly_and_moves_no_cursor() {
    let body = format!(
        r#"{{"errors":[{{"code":"DENIED\u001b[2J","message":"{}"}}]}}"#,
        "x".repeat(5000)
    );
    let said = told(move |_| Answer::new(500, &[], body.clone())).await;
    assert!(
        said.contains("answers the manifest with 500: DENIED"),
        "{said}"
    );
    assert!(said.len() < 400 && !said.contains('\u{1b}'), "{said}");
}

#[tokio::test]
async fn nobody_there_is_the_network() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.local_addr().expect("it has an address")
    };
    let reference = format!("http://{gone}/image")
        .parse()
        .expect("it is a reference");
    let said = outcome(&anonymous(), &reference).await;
    assert_eq!(said, format!("network: no manifest from {gone}"));
}
