//! Images that only some can read, and that somebody vouches for.

use std::path::PathBuf;

use propeller_oci::artifact::{Form, Interfaces, build, push};
use propeller_oci::crypt::{PrivateKey, PublicKey};
use propeller_oci::image::{ImageError, pull, resolve};
use propeller_oci::manifest::{Descriptor, Document};
use propeller_oci::media::{self, OCI_MANIFEST};
use propeller_oci::registry::silently;
use propeller_oci::sign::SigningKey;
use propeller_oci::{Reference, Registry, sha256, signatures};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};

use crate::live::{pulled, skopeo};
use crate::support::{MODULE, Server, anonymous, anybodys, options, program};

/// Somebody with a key.
struct Person(KeyPair);

impl Person {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("it can be made"))
    }

    fn public(&self) -> PublicKey {
        let pem = self.0.public_key_pem();
        PublicKey::from_bytes(pem.as_bytes()).expect("it is one")
    }

    fn private(&self) -> PrivateKey {
        let pem = self.0.serialize_pem();
        PrivateKey::from_bytes(pem.as_bytes()).expect("it is one")
    }
}

async fn opened(
    registry: &Registry,
    reference: &Reference,
    keys: Vec<PrivateKey>,
) -> Result<Vec<u8>, ImageError> {
    let admitted = anybodys(registry, reference).await?;
    let pulled = pull(registry, &admitted, &options(keys), &|_| {}).await?;
    assert!(pulled.encrypted);
    Ok(pulled.module.to_vec())
}

#[tokio::test]
async fn each_recipient_opens_an_image_and_nobody_else_does() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    let (first, second, stranger) = (Person::new(), Person::new(), Person::new());
    let recipients = [first.public(), second.public()];
    for (form, name) in [(Form::Artifact, "artifact"), (Form::Image, "image")] {
        let reference = server.reference(name);
        let built = build(MODULE, form, &Interfaces::default(), &recipients);
        let built = built.expect("there are recipients");
        assert!(!built.layer.windows(8).any(|window| window == MODULE));
        push(&registry, &reference, &built, silently())
            .await
            .expect("it is taken");
        for person in [&first, &second] {
            let keys = vec![stranger.private(), person.private()];
            let module = opened(&registry, &reference, keys).await;
            assert_eq!(module.expect("it opens"), MODULE, "{name}");
        }
        for keys in [vec![], vec![stranger.private()]] {
            let refused = opened(&registry, &reference, keys).await;
            let refused = refused.expect_err("it is for others");
            assert_eq!(refused.to_string(), "key: layer 1 cannot be decrypted");
        }
    }
}

#[tokio::test]
async fn skopeo_opens_what_we_encrypt_and_we_open_what_it_encrypts() {
    let (Some(server), Some(tool)) = (Server::plain(), program("skopeo")) else {
        return;
    };
    let registry = anonymous();
    let person = Person::new();
    let file = |name: &str, text: String| -> PathBuf {
        let path = server.folder.path().join(name);
        std::fs::write(&path, text).expect("there is room");
        path
    };
    let public = file("public.pem", person.0.public_key_pem());
    let private = file("private.pem", person.0.serialize_pem());
    let (public, private) = (public.display(), private.display());

    let built = build(
        MODULE,
        Form::Image,
        &Interfaces::default(),
        &[person.public()],
    );
    let reference = server.reference("ours");
    let built = built.expect("there is a recipient");
    push(&registry, &reference, &built, silently())
        .await
        .expect("it is taken");
    let key = format!("{private}");
    let (from, to) = (
        format!("docker://{}/ours", server.address),
        format!("docker://{}/opened", server.address),
    );
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let mut args = vec!["copy", "--decryption-key", &key];
    args.extend(plain);
    args.extend([from.as_str(), to.as_str()]);
    skopeo(&tool, &args);
    assert_eq!(pulled(&registry, &server.reference("opened")).await, MODULE);

    let key = format!("jwe:{public}");
    let encrypted = format!("docker://{}/theirs", server.address);
    let mut args = vec!["copy", "--encryption-key", &key];
    args.extend(plain);
    args.extend([to.as_str(), encrypted.as_str()]);
    skopeo(&tool, &args);
    let theirs = opened(
        &registry,
        &server.reference("theirs"),
        vec![person.private()],
    )
    .await;
    assert_eq!(theirs.expect("it opens"), MODULE);
}

/// A registry, skopeo, and a pair of keys in files, if the machine has them.
struct Bench {
    server: Server,
    tool: PathBuf,
    person: Person,
}

impl Bench {
    fn new() -> Option<Self> {
        let (server, tool) = (Server::plain()?, program("skopeo")?);
        let person = Person::new();
        let file = |name: &str, text: String| {
            std::fs::write(server.folder.path().join(name), text).expect("there is room");
        };
        file("public.pem", person.0.public_key_pem());
        Some(Self {
            server,
            tool,
            person,
        })
    }

    /// Has skopeo copy an image to another name of the registry, encrypted, and says so in `more`.
    fn encrypt(&self, from: &str, to: &str, more: &[&str]) -> Reference {
        let public = self.server.folder.path().join("public.pem");
        let key = format!("jwe:{}", public.display());
        let at = |name: &str| format!("docker://{}/{name}", self.server.address);
        let (source, target) = (at(from), at(to));
        let mut args = vec!["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
        args.extend(["--encryption-key", key.as_str()]);
        args.extend(more);
        args.extend([source.as_str(), target.as_str()]);
        skopeo(&self.tool, &args);
        self.server.reference(to)
    }
}

/// Pushes an image of three layers in gzip: the lowest and the highest have a module of that name,
/// and the one between has none.
async fn push_three(registry: &Registry, reference: &Reference) {
    let layers = [
        ("app.wasm", [MODULE, b"\0\x02\x01x"].concat()),
        ("readme", b"text".to_vec()),
        ("app.wasm", MODULE.to_vec()),
    ];
    let mut diff_ids = Vec::new();
    let mut descriptors = Vec::new();
    for (name, content) in layers {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, &content[..])
            .expect("memory takes it");
        let archive = archive.into_inner().expect("memory takes it");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut gzip, &archive).expect("memory takes it");
        let packed = gzip.finish().expect("memory takes it");
        diff_ids.push(sha256(&archive).to_string());
        descriptors.push(blob_of(registry, reference, media::TAR_GZIP_LAYER, packed).await);
    }
    let config = serde_json::json!({
        "architecture": "wasm", "os": "wasip1", "config": {"Entrypoint": ["/app.wasm"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let config = blob_of(registry, reference, media::OCI_CONFIG, config).await;
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": descriptors,
    });
    let manifest = manifest.to_string().into_bytes().into();
    registry
        .push_manifest(reference, OCI_MANIFEST, &manifest)
        .await
        .expect("it is taken");
}

/// Pushes a blob, and says what it is called in a manifest.
async fn blob_of(
    registry: &Registry,
    reference: &Reference,
    media_type: &str,
    bytes: Vec<u8>,
) -> serde_json::Value {
    let (digest, size) = (sha256(&bytes).to_string(), bytes.len());
    registry
        .push_blob(reference, &bytes.into(), silently())
        .await
        .expect("it is taken");
    serde_json::json!({"mediaType": media_type, "digest": digest, "size": size})
}

/// What skopeo writes with the key is the digest of the layer that it read, which is neither what it
/// encrypts then nor the archive.
#[tokio::test]
async fn what_skopeo_compresses_anew_while_it_encrypts_opens() {
    let Some(bench) = Bench::new() else { return };
    let registry = anonymous();
    push_three(&registry, &bench.server.reference("plain")).await;
    for format in ["zstd", "gzip"] {
        let to = format!("encrypted-{format}");
        let theirs = bench.encrypt("plain", &to, &["--dest-compress-format", format]);
        let module = opened(&registry, &theirs, vec![bench.person.private()]).await;
        assert_eq!(module.expect("it opens"), MODULE, "{format}");
    }
}

#[tokio::test]
async fn layers_that_skopeo_encrypts_one_by_one_open_and_the_others_stay_plain() {
    let Some(bench) = Bench::new() else { return };
    let registry = anonymous();
    push_three(&registry, &bench.server.reference("plain")).await;
    let all = [
        ("0", [true, false, false]),
        ("1", [false, true, false]),
        ("-1", [false, false, true]),
    ];
    for (index, encrypted) in all {
        let to = format!("only{index}");
        let theirs = bench.encrypt("plain", &to, &[&format!("--encrypt-layer={index}")]);
        let admitted = anybodys(&registry, &theirs).await.expect("it is there");
        let layers = &admitted.resolved().manifest().layers;
        let found: Vec<_> = layers.iter().map(Descriptor::is_encrypted).collect();
        assert_eq!(found, encrypted, "{index}");
        let keys = options(vec![bench.person.private()]);
        let pulled = pull(&registry, &admitted, &keys, &|_| {}).await;
        let pulled = pulled.expect("it opens");
        // It is the highest layer's module, which is encrypted if that layer is.
        assert_eq!((&**pulled.module, pulled.encrypted), (MODULE, encrypted[2]));
        let closed = pull(&registry, &admitted, &options(Vec::new()), &|_| {}).await;
        let closed = closed.expect_err("nobody has a key").to_string();
        assert!(closed.contains("cannot be decrypted"), "{closed}");
    }
}

#[tokio::test]
async fn a_signature_vouches_for_one_image_in_one_repository() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    let key = || {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("it can be made");
        SigningKey::from_pem(pair.serialize_pem().as_bytes(), None).expect("it is one")
    };
    let (ours, other) = (key(), key());
    let trusted = [ours.verifying_key()];
    let reference = server.reference("team/app:1");
    let built = build(MODULE, Form::Artifact, &Interfaces::default(), &[]).expect("plain");
    push(&registry, &reference, &built, silently())
        .await
        .expect("it is taken");
    let resolved = resolve(&registry, &reference).await.expect("it is there");

    let check = || signatures::admit(&registry, resolved.clone(), &trusted);
    let unsigned = check().await.expect_err("nobody signed it").to_string();
    let why = format!("signature: the image {} is not signed", built.digest);
    assert_eq!(unsigned, why);

    let add = |key| signatures::add(&registry, &reference, built.digest, key);
    add(&other).await.expect("it is taken");
    let somebody = check()
        .await
        .expect_err("somebody else signed it")
        .to_string();
    assert!(
        somebody.starts_with("signature: signed by somebody else: "),
        "{somebody}"
    );

    // Beside the other one, which stays.
    add(&ours).await.expect("it is taken");
    let admitted = check().await.expect("we signed it");
    let verified = admitted.signed().expect("somebody had to");
    assert_eq!(verified.key, ours.verifying_key().fingerprint());
    assert_eq!(verified.identity, reference.name());
    let offered = signatures::offered(&registry, &reference, built.digest).await;
    assert_eq!(offered.expect("they are there").len(), 2);

    // The same image and its signatures, in another repository.
    let elsewhere = server.reference("mallory/app:1");
    push(&registry, &elsewhere, &built, silently())
        .await
        .expect("it is taken");
    let tag = propeller_oci::sign::tag(built.digest);
    let list = registry
        .document(&reference.tagged(tag.clone()))
        .await
        .expect("it is there");
    let Document::Image(manifest) = &list.document else {
        panic!("it is a manifest");
    };
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        let bytes = registry
            .blob(&reference, blob, &|_| {})
            .await
            .expect("it is there");
        registry
            .push_blob(&elsewhere, &Vec::from(bytes).into(), silently())
            .await
            .expect("it is taken");
    }
    let media_type = OCI_MANIFEST;
    registry
        .push_manifest(&elsewhere.tagged(tag), media_type, &list.bytes.into())
        .await
        .expect("it is taken");
    let moved = resolve(&registry, &elsewhere).await.expect("it is there");
    let moved = signatures::admit(&registry, moved, &trusted).await;
    let moved = moved.expect_err("it is another repository").to_string();
    assert!(moved.contains("has signed this image as"), "{moved}");
}

/// Whoever may push can put a layer of their own on top of one that is encrypted.
#[tokio::test]
async fn a_plain_layer_above_an_encrypted_one_does_not_pass_for_encrypted() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    let person = Person::new();
    let reference = server.reference("mixed");
    let recipients = [person.public()];
    let below = build(MODULE, Form::Image, &Interfaces::default(), &recipients);
    let below = below.expect("there is a recipient");
    let other = [MODULE, b"\0\x02\x01x"].concat();
    let above = build(&other, Form::Image, &Interfaces::default(), &[]).expect("plain");
    let mut manifests = Vec::new();
    for built in [&below, &above] {
        push(&registry, &reference, built, silently())
            .await
            .expect("it is taken");
        let document = Document::parse(&built.manifest, None).expect("it is one");
        let Document::Image(manifest) = document else {
            panic!("it is an image");
        };
        manifests.push(manifest);
    }
    let mut mixed = manifests[0].clone();
    mixed.layers.extend(manifests[1].layers.clone());
    // Without what would say how the layers unpack.
    mixed.config.media_type = "application/vnd.oci.empty.v1+json".to_owned();
    let mixed = serde_json::to_vec(&mixed).expect("it has text keys");
    registry
        .push_manifest(&reference, OCI_MANIFEST, &mixed.into())
        .await
        .expect("it is taken");
    let admitted = anybodys(&registry, &reference).await.expect("it is there");
    assert!(manifests[0].is_encrypted() && !admitted.resolved().manifest().is_encrypted());
    let pulled = pull(
        &registry,
        &admitted,
        &options(vec![person.private()]),
        &|_| {},
    )
    .await;
    let pulled = pulled.expect("it is a module");
    assert_eq!((&**pulled.module, pulled.encrypted), (&*other, false));
}
