//! With a real registry, and with another tool at its other side.

use std::process::Command;

use bytes::Bytes;
use propeller_oci::artifact::{Form, Interfaces, build, push};
use propeller_oci::image::{ImageError, pull, resolve};
use propeller_oci::manifest::{Descriptor, Index, Platform};
use propeller_oci::media;
use propeller_oci::registry::{Authorities, Obstacle, silently};
use propeller_oci::{Credentials, Registry, RegistryOptions, sha256};

use crate::support::{MODULE, Server, anonymous, anybodys, client, credentials, options, program};

/// `propeller:secret`, by bcrypt with the lowest cost.
const HTPASSWD: &str = "propeller:$2b$05$mzr/YnTIxHf./q2yMx63oOABWBq0SHbUzX2oP.qVD5.xxUarfKk7i\n";

fn built(form: Form) -> propeller_oci::artifact::Built {
    build(MODULE, form, &Interfaces::default(), &[]).expect("nothing is encrypted")
}

pub(crate) async fn pulled(registry: &Registry, reference: &propeller_oci::Reference) -> Vec<u8> {
    let admitted = anybodys(registry, reference).await.expect("it is there");
    let pulled = pull(registry, &admitted, &options(Vec::new()), &|_| {}).await;
    pulled.expect("it is a module").module.to_vec()
}

#[tokio::test]
async fn what_is_pushed_is_pulled_by_tag_and_by_digest() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    for (form, name) in [
        (Form::Artifact, "artifact:1"),
        (Form::Image, "some/image:2"),
    ] {
        let reference = server.reference(name);
        let built = built(form);
        let digest = push(&registry, &reference, &built, silently())
            .await
            .expect("it is taken");
        assert_eq!(digest, built.digest);
        assert_eq!(pulled(&registry, &reference).await, MODULE);
        assert_eq!(pulled(&registry, &reference.pinned(digest)).await, MODULE);
        let resolved = resolve(&registry, &reference).await.expect("it is there");
        assert_eq!(resolved.pinned().digest(), Some(digest));
    }
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_sent_again() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    let reference = server.reference("twice");
    let blob = Bytes::from_static(MODULE);
    let push = || registry.push_blob(&reference, &blob, silently());
    assert!(push().await.expect("it is taken"));
    assert!(!push().await.expect("it is there"));
}

#[tokio::test]
async fn of_several_images_the_one_for_wasm_is_taken_and_the_index_is_pinned() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    let other = [MODULE, b"\0\x02\x01x"].concat();
    let other = build(&other, Form::Image, &Interfaces::default(), &[]).expect("plain");
    let wasm = built(Form::Image);
    let reference = server.reference("several:1");
    let mut manifests = Vec::new();
    for (built, architecture, os) in [(&other, "amd64", "linux"), (&wasm, "wasm", "wasip1")] {
        push(&registry, &reference, built, silently())
            .await
            .expect("it is taken");
        manifests.push(Descriptor {
            media_type: media::OCI_MANIFEST.to_owned(),
            digest: built.digest,
            size: built.manifest.len() as u64,
            annotations: Default::default(),
            platform: Some(Platform {
                architecture: architecture.to_owned(),
                os: os.to_owned(),
            }),
        });
    }
    let index = Index {
        schema_version: 2,
        manifests,
    };
    let index = serde_json::to_vec(&index).expect("it has text keys").into();
    let digest = registry
        .push_manifest(&reference, media::OCI_INDEX, &index)
        .await;
    let digest = digest.expect("it is taken");
    let resolved = resolve(&registry, &reference).await.expect("it is there");
    assert_eq!(
        (resolved.pinned().digest(), resolved.image()),
        (Some(digest), wasm.digest)
    );
    assert_eq!(pulled(&registry, resolved.pinned()).await, MODULE);
}

#[tokio::test]
async fn a_moved_tag_changes_nothing_for_who_has_the_digest() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    let reference = server.reference("moving");
    push(&registry, &reference, &built(Form::Artifact), silently())
        .await
        .expect("it is taken");
    let first = resolve(&registry, &reference)
        .await
        .expect("it is there")
        .pinned()
        .clone();
    let other = [MODULE, b"\0\x02\x01x"].concat();
    let other = build(&other, Form::Artifact, &Interfaces::default(), &[]).expect("plain");
    push(&registry, &reference, &other, silently())
        .await
        .expect("it is taken");
    assert_eq!(pulled(&registry, &first).await, MODULE);
    assert_ne!(pulled(&registry, &reference).await, MODULE);
}

#[tokio::test]
async fn a_password_opens_what_is_closed_to_strangers() {
    let Some(server) = Server::start(|folder| {
        let file = folder.path().join("htpasswd");
        std::fs::write(&file, HTPASSWD).expect("there is room");
        format!(
            "http: {{addr: \"127.0.0.1:0\"}}\nauth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            file.display()
        )
    }) else {
        return;
    };
    let reference = server.reference("closed");
    let with = |credentials: Credentials| {
        client(RegistryOptions {
            credentials,
            ..RegistryOptions::default()
        })
    };
    let known = with(credentials(&server.address, "propeller", "secret"));
    push(&known, &reference, &built(Form::Artifact), silently())
        .await
        .expect("it is taken");
    assert_eq!(pulled(&known, &reference).await, MODULE);

    let stranger = resolve(&anonymous(), &reference)
        .await
        .expect_err("nobody said who");
    let asks = format!(
        "credentials: {} asks for a name and a password",
        server.address
    );
    assert!(stranger.to_string().starts_with(&asks), "{stranger}");
    let wrong = with(credentials(&server.address, "propeller", "wrong"));
    let wrong = resolve(&wrong, &reference)
        .await
        .expect_err("it is another password");
    let refused = format!(
        "credentials: {} does not let propeller pull from closed: UNAUTHORIZED",
        server.address
    );
    assert!(wrong.to_string().starts_with(&refused), "{wrong}");
}

#[tokio::test]
async fn a_registry_with_a_certificate_of_its_own_is_trusted_if_it_is_named() {
    let Some(server) = Server::start(|folder| {
        let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
        let key = key.expect("it can be made");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("cert.pem"), key.cert.pem()).expect("there is room");
        std::fs::write(path("key.pem"), key.signing_key.serialize_pem()).expect("there is room");
        format!(
            "http: {{addr: \"127.0.0.1:0\", tls: {{certificate: {}, key: {}}}}}\n",
            path("cert.pem").display(),
            path("key.pem").display()
        )
    }) else {
        return;
    };
    let reference = format!("{}/secure", server.address)
        .parse()
        .expect("it is a reference");
    let cert = std::fs::read(server.folder.path().join("cert.pem")).expect("it is there");
    let trusting = client(RegistryOptions {
        extra_roots: vec![Authorities::from_pem(&cert).expect("it is one")],
        ..RegistryOptions::default()
    });
    push(&trusting, &reference, &built(Form::Artifact), silently())
        .await
        .expect("it is taken");
    assert_eq!(pulled(&trusting, &reference).await, MODULE);
    let refused = resolve(&anonymous(), &reference)
        .await
        .expect_err("nobody trusts it");
    assert!(
        refused
            .to_string()
            .starts_with(&format!("network: no manifest from {}", server.address)),
        "{refused}"
    );
    let plain = server.reference("secure");
    let refused = resolve(&anonymous(), &plain)
        .await
        .expect_err("it has TLS")
        .to_string();
    let why = format!(
        "network: {} answers the manifest with 400: it speaks TLS, so leave `http://` out of its \
         name",
        server.address
    );
    assert_eq!(refused, why);
}

/// What a client that trusts this certificate says of a server that shows it.
async fn obstacle_of(params: rcgen::CertificateParams) -> Option<Obstacle> {
    let key = rcgen::KeyPair::generate().expect("it can be made");
    let cert = params.self_signed(&key).expect("it can be signed").pem();
    let trusted = cert.clone();
    let server = Server::start(|folder| {
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("cert.pem"), cert).expect("there is room");
        std::fs::write(path("key.pem"), key.serialize_pem()).expect("there is room");
        format!(
            "http: {{addr: \"127.0.0.1:0\", tls: {{certificate: {}, key: {}}}}}\n",
            path("cert.pem").display(),
            path("key.pem").display()
        )
    })?;
    let trusting = client(RegistryOptions {
        extra_roots: vec![Authorities::from_pem(trusted.as_bytes()).expect("it is one")],
        ..RegistryOptions::default()
    });
    let reference = format!("{}/secure", server.address);
    let reference = reference.parse().expect("it is a reference");
    match resolve(&trusting, &reference).await {
        Err(ImageError::Registry(error)) => error.obstacle(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_stands_in_the_way_of_tls_is_told_apart() {
    let Some(plain) = Server::plain() else {
        return;
    };
    let names = vec!["127.0.0.1".to_owned()];
    let params = || rcgen::CertificateParams::new(names.clone()).expect("it is a name");
    // As `openssl req -x509` has it.
    let mut authority = params();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(obstacle_of(authority).await, Some(Obstacle::Authority));
    let mut old = params();
    old.not_after = rcgen::date_time_ymd(2000, 1, 1);
    assert_eq!(obstacle_of(old).await, Some(Obstacle::Certificate));
    let reference = format!("{}/a", plain.address);
    let reference = reference.parse().expect("it is a reference");
    match resolve(&anonymous(), &reference).await {
        Err(ImageError::Registry(error)) => assert_eq!(error.obstacle(), Some(Obstacle::NoTls)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_by_its_name() {
    let Some(server) = Server::plain() else {
        return;
    };
    let said = resolve(&anonymous(), &server.reference("nobody/knows:it")).await;
    let said = said.expect_err("it is not there").to_string();
    let name = format!(
        "name: {} has no nobody/knows:it: MANIFEST_UNKNOWN manifest unknown",
        server.address
    );
    assert_eq!(said, name);
}

/// Runs skopeo, which has to succeed.
pub(crate) fn skopeo(skopeo: &std::path::Path, args: &[&str]) -> String {
    let done = Command::new(skopeo)
        .arg("--insecure-policy")
        .args(args)
        .output();
    let done = done.expect("it starts");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{args:?}: {told}");
    String::from_utf8(done.stdout).expect("it is text")
}

#[tokio::test]
async fn skopeo_reads_what_we_push_and_we_read_what_it_pushes() {
    let (Some(server), Some(tool)) = (Server::plain(), program("skopeo")) else {
        return;
    };
    let registry = anonymous();
    let ours = server.reference("ours:1");
    let digest = push(&registry, &ours, &built(Form::Image), silently())
        .await
        .expect("taken");
    let shown = skopeo(
        &tool,
        &[
            "inspect",
            "--tls-verify=false",
            &format!("docker://{}/ours:1", server.address),
        ],
    );
    assert!(shown.contains(&digest.to_string()), "{shown}");
    assert!(shown.contains("\"Architecture\": \"wasm\""), "{shown}");

    // Through its own folder and back, in both formats and with both compressions.
    let folder = server.folder.path().join("layout");
    let layout = format!("oci:{}:x", folder.display());
    let from = format!("docker://{}/ours:1", server.address);
    skopeo(&tool, &["copy", "--src-tls-verify=false", &from, &layout]);
    for (name, more) in [
        ("gzip", vec!["--dest-compress-format", "gzip"]),
        ("zstd", vec!["--dest-compress-format", "zstd"]),
        ("docker", vec!["--format", "v2s2"]),
    ] {
        let to = format!("docker://{}/theirs:{name}", server.address);
        let mut args = vec!["copy", "--dest-tls-verify=false"];
        args.extend(more);
        args.extend([layout.as_str(), to.as_str()]);
        skopeo(&tool, &args);
        let theirs = server.reference(&format!("theirs:{name}"));
        assert_eq!(pulled(&registry, &theirs).await, MODULE, "{name}");
    }
    assert_eq!(sha256(MODULE), sha256(&pulled(&registry, &ours).await));
}
