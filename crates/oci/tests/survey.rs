//! Images whose module is found in their layers without any of them in memory.
#![cfg(test)]

use std::collections::HashMap;
use std::io::Read as _;

use propeller_model::Digest;
use propeller_oci::crypt::Keys;
use propeller_oci::image::{ImageError, Next, Packed, PullOptions, Survey, pull, resolve};
use propeller_oci::layer::{Scratch, Spot, UnpackLimits};
use propeller_oci::manifest::Descriptor;
use propeller_oci::registry::{Fetched, Progress, SILENTLY};
use propeller_oci::signatures::{Admitted, admit};
use propeller_oci::{Coming, Pieces, Reference, Source, media, sha256};
use serde_json::json;

const LIMITS: UnpackLimits = UnpackLimits {
    unpacked_bytes: 1 << 20,
    module_bytes: 1 << 16,
    entries: 100,
};
const OLD: &[u8] = b"\0asm, the old one";
const NEW: &[u8] = b"\0asm, the new one, which is longer";

/// An image with these files in its layers.
struct Image {
    manifest: Vec<u8>,
    blobs: HashMap<Digest, Vec<u8>>,
}

/// What the image says of itself.
#[derive(Default)]
struct Said {
    entrypoint: &'static [&'static str],
    media_type: Option<&'static str>,
    /// What stands in place of the last diff id.
    diff_id: Option<Digest>,
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive
            .append_data(&mut header, name, *bytes)
            .expect("memory takes it");
    }
    archive.into_inner().expect("memory takes it")
}

/// Gives it one layer after the other.
fn survey_all(
    mut survey: Survey,
    layer: impl Fn(Packed) -> Vec<u8>,
) -> Result<(Spot, Packed), ImageError> {
    loop {
        let next = layer(survey.next());
        match survey.look_through(next.as_slice(), &mut Scratch::default())? {
            Next::Layer(more) => survey = more,
            Next::Found { module, layer } => return Ok((module, layer)),
        }
    }
}

impl Image {
    fn new(said: Said, layers: &[&[(&str, &[u8])]]) -> Self {
        let archives: Vec<_> = layers.iter().map(|files| archive(files)).collect();
        let mut diff_ids: Vec<_> = archives.iter().map(|bytes| sha256(bytes)).collect();
        if let (Some(last), Some(other)) = (diff_ids.last_mut(), said.diff_id) {
            *last = other;
        }
        let diff_ids: Vec<_> = diff_ids.iter().map(ToString::to_string).collect();
        let config = json!({
            "config": {"Entrypoint": said.entrypoint}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let mut blobs = HashMap::new();
        let mut keep = |media_type: &str, blob: Vec<u8>| {
            let (digest, size) = (sha256(&blob), blob.len());
            blobs.insert(digest, blob);
            json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
        };
        let config = keep(media::OCI_CONFIG, config.to_string().into_bytes());
        let media_type = said.media_type.unwrap_or(media::TAR_ZSTD_LAYER);
        let packed = archives
            .iter()
            .map(|bytes| zstd::encode_all(bytes.as_slice(), 3).expect("memory takes it"));
        let layers: Vec<_> = packed.map(|bytes| keep(media_type, bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": layers,
        });
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs,
        }
    }

    async fn admitted(&self) -> Admitted {
        let reference: Reference = "example.com/a/b:1".parse().expect("it is one");
        let resolved = resolve(self, &reference).await.expect("it is one");
        admit(self, resolved, &[])
            .await
            .expect("nobody has to sign")
    }

    /// The module, out of layers that are read twice.
    async fn found(&self) -> Result<Vec<u8>, ImageError> {
        let survey = Survey::begin(self, &self.admitted().await, LIMITS).await?;
        let (spot, layer) = survey_all(survey, |packed| self.blobs[&packed.digest].clone())?;
        let layer = &self.blobs[&layer.digest];
        let (mut module, mut scratch) = (Vec::new(), Scratch::default());
        let mut reading = spot
            .read(layer.as_slice(), &mut scratch)
            .expect("it is what it was");
        reading.read_to_end(&mut module).expect("it is what it was");
        Ok(module)
    }

    /// The same, out of layers in memory.
    async fn pulled(&self) -> Result<Vec<u8>, ImageError> {
        let options = PullOptions {
            layers_at_once: 1,
            module_bytes_max: LIMITS.module_bytes,
            unpacked_bytes_max: LIMITS.unpacked_bytes,
            entries_max: LIMITS.entries,
            keys: Keys::default(),
        };
        let pulled = pull(self, &self.admitted().await, &options, SILENTLY).await?;
        Ok(pulled.module.to_vec())
    }

    /// What comes out in both ways.
    async fn both(&self) -> Result<Vec<u8>, String> {
        let [found, pulled] = [self.found().await, self.pulled().await]
            .map(|out| out.map_err(|error| error.to_string()));
        assert_eq!(found, pulled);
        found
    }
}

impl Source for Image {
    fn document<'a>(&'a self, reference: &'a Reference) -> Coming<'a, Fetched> {
        Box::pin(async { Fetched::read(reference, self.manifest.clone(), None) })
    }

    fn blob<'a>(
        &'a self,
        _: &'a Reference,
        descriptor: &'a Descriptor,
        _: Progress<'a>,
    ) -> Coming<'a, Pieces> {
        Box::pin(async move { Ok(Pieces::from(self.blobs[&descriptor.digest].clone())) })
    }
}

#[tokio::test]
async fn a_later_layer_that_replaces_or_takes_away_the_module_is_heard() {
    let below: &[(&str, &[u8])] = &[("app.wasm", OLD), ("lib/other.wasm", OLD)];
    let program = Said {
        entrypoint: &["/app.wasm"],
        ..Said::default()
    };
    let replaced = Image::new(program, &[below, &[("readme", b"text"), ("app.wasm", NEW)]]);
    assert_eq!(replaced.both().await.as_deref(), Ok(NEW));
    let gone: &[(&str, &[u8])] = &[("lib/.wh..wh..opq", b"")];
    let only = Image::new(Said::default(), &[below, gone]);
    assert_eq!(only.both().await.as_deref(), Ok(OLD));
    let both = Image::new(Said::default(), &[below, gone, &[(".wh.app.wasm", b"")]]);
    let why = both.both().await.expect_err("there is none");
    assert!(why.contains("have no module"), "{why}");
}

#[tokio::test]
async fn what_is_not_what_its_digests_say_is_refused_before_anything_comes_out() {
    let said = Said {
        diff_id: Some(sha256(b"something else")),
        ..Said::default()
    };
    let layers: [&[(&str, &[u8])]; 2] = [&[("readme", b"text")], &[("app.wasm", NEW)]];
    let other = Image::new(said, &layers);
    let why = other.both().await.expect_err("it is another one");
    assert!(
        why.starts_with("digest: layer 2 unpacks to sha256:"),
        "{why}"
    );

    // Bytes behind the archive, which nothing else looks at, and bytes that are missing.
    let good = Image::new(Said::default(), &layers);
    let admitted = good.admitted().await;
    for (change, why) in [
        (
            (|blob: &mut Vec<u8>| blob.extend([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 1, 0, 0]))
                as fn(&mut Vec<u8>),
            "size: ",
        ),
        (
            |blob| blob.truncate(blob.len() / 2),
            "media type: layer 1 is no tar archive",
        ),
        (Vec::clear, "size: "),
    ] {
        let survey = Survey::begin(&good, &admitted, LIMITS)
            .await
            .expect("it is one");
        let error = survey_all(survey, |packed| {
            let mut blob = good.blobs[&packed.digest].clone();
            change(&mut blob);
            blob
        });
        let said = error.expect_err("it is another one").to_string();
        assert!(said.starts_with(why), "{said}");
    }
}

#[tokio::test]
async fn what_is_too_large_encrypted_or_no_wasm_is_refused() {
    let zeros = vec![0; 1 << 20];
    let bomb = Image::new(Said::default(), &[&[("readme", &zeros), ("app.wasm", NEW)]]);
    let why = bomb.both().await.expect_err("it is too large");
    assert_eq!(why, "size: the layers unpack to more than 1048576 bytes");
    let large = Image::new(Said::default(), &[&[("app.wasm", &zeros[..70_000])]]);
    let why = large.both().await.expect_err("it is too large");
    assert_eq!(
        why,
        "size: the modules in the layers have more than 65536 bytes"
    );
    let text = Image::new(Said::default(), &[&[("app.wasm", b"text")]]);
    let why = text.both().await.expect_err("it is no Wasm");
    assert!(why.contains("is no WebAssembly"), "{why}");
    for (media_type, why) in [
        (
            "application/vnd.oci.image.layer.v1.tar+zstd+encrypted",
            "key: layer 1 is encrypted",
        ),
        (
            media::WASM_LAYER,
            "media type: its module is a layer by itself",
        ),
    ] {
        let said = Said {
            media_type: Some(media_type),
            ..Said::default()
        };
        let image = Image::new(said, &[&[("app.wasm", NEW)]]);
        let error = image.found().await.expect_err("it is not for this");
        assert!(error.to_string().starts_with(why), "{error}");
    }
}
