//! `inspect` of an image: manifest, layers, encryption, signatures, and the module if it opens.

use propeller_inspect::{Call, Report, inspect};
use propeller_oci::crypt;
use propeller_oci::image::{self, Resolved};
use propeller_oci::manifest::Descriptor;
use propeller_oci::sign::Verified;
use propeller_oci::signatures::{self, Admitted, Offered, SignatureError};
use propeller_oci::{Reference, Registry};
use serde_json::{Value, json};

use super::pull::module;
use super::{Failure, OpenArgs, RegistryArgs};
use crate::Ui;
use crate::error::{CliError, Exit};
use crate::json::pretty;
use crate::table::{Facts, Side, Table};
use crate::units::bytes_text;

/// What there is to say of an image.
struct Looked {
    admitted: Admitted,
    signatures: Result<Vec<Offered>, String>,
    /// What the module is, or why nobody can say.
    module: Result<Report, String>,
}

pub(crate) async fn look(
    reference: &Reference,
    open: &OpenArgs,
    registry: &RegistryArgs,
    json: bool,
    ui: &mut Ui<'_>,
) -> Result<Exit, CliError> {
    let client = registry.client().await?;
    let looked = looked(&client, reference, open, ui).await?;
    if json {
        ui.text(&pretty(&as_json(&looked).to_string()))?;
    } else {
        ui.text(&as_text(&looked))?;
    }
    Ok(Exit::Success)
}

async fn looked(
    client: &Registry,
    reference: &Reference,
    open: &OpenArgs,
    ui: &Ui<'_>,
) -> Result<Looked, Failure> {
    let keys = open.keys().await?;
    let resolved = image::resolve(client, reference).await?;
    let admitted = open.admit(client, resolved).await?;
    let resolved = admitted.resolved();
    // Who asks for none must not be kept from looking by somebody's broken one.
    let signatures = offered(client, resolved).await;
    let signatures = signatures.map_err(|error| propeller_oci::chain(&error));
    let closed = keys.private.is_empty()
        && keys.wrapping.is_empty()
        && resolved
            .manifest()
            .layers
            .iter()
            .any(Descriptor::is_encrypted);
    let module = match closed {
        true => Err("it is encrypted: give a private key with --decryption-key".to_owned()),
        false => match module(client, &admitted, keys, ui).await {
            Ok(pulled) => inspect(&pulled.module).map_err(|error| error.to_string()),
            Err(Failure::Image(error)) => Err(told(&error)),
            Err(other) => return Err(other),
        },
    };
    Ok(Looked {
        admitted,
        signatures,
        module,
    })
}

/// The signatures that can admit an image: of what is named, and, where that is an index, of the
/// image in it.
async fn offered(client: &Registry, resolved: &Resolved) -> Result<Vec<Offered>, SignatureError> {
    let (top, image) = (resolved.digest(), resolved.image());
    let mut all = signatures::offered(client, resolved.pinned(), top).await?;
    if top != image {
        all.extend(signatures::offered(client, resolved.pinned(), image).await?);
    }
    Ok(all)
}

/// An error with its cause, on one line.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn as_text(looked: &Looked) -> String {
    let Looked {
        admitted,
        signatures,
        module,
    } = looked;
    let resolved = admitted.resolved();
    let mut facts = Facts::default();
    facts.add("image", &resolved.pinned().to_string());
    if resolved.digest() != resolved.image() {
        facts.add("chosen", &format!("{} of its index", resolved.image()));
    }
    facts.add("size", &bytes_text(resolved.manifest().bytes()));
    facts.add("config", &resolved.manifest().config.media_type);
    facts.add("signatures", &signed(admitted.signed(), signatures));
    if let Err(why) = module {
        facts.add("module", why);
    }
    let mut parts = vec![facts.render(), layers(&resolved.manifest().layers)];
    if let Ok(report) = module {
        let image = resolved.pinned();
        let run = |call: &Call| task(call, image);
        parts.push(crate::inspect::as_text(report, &run));
    }
    parts.join("\n")
}

fn signed(verified: Option<&Verified>, offered: &Result<Vec<Offered>, String>) -> String {
    match (verified, offered) {
        (Some(verified), _) => format!("signed by {} as {}", verified.key, verified.identity),
        (None, Err(why)) => why.clone(),
        (None, Ok(offered)) if offered.is_empty() => "none".to_owned(),
        (None, Ok(offered)) => format!("{}, not checked: see --require-signature", offered.len()),
    }
}

/// The command line of `propeller` that runs an image, which needs no file: a manager knows who
/// fetches it.
fn task(call: &Call, image: &Reference) -> String {
    let how = match call {
        Call::Command => "--inputs ARG,ARG --wait".to_owned(),
        Call::Service => "--daemon --grant-port PORT --start".to_owned(),
        Call::Chunks => "--stdin INPUT --wait".to_owned(),
        Call::Function { name, args } if args.is_empty() => format!("--invoke {name} --wait"),
        Call::Function { name, args } => {
            format!("--invoke {name} --inputs {} --wait", args.join(","))
        }
    };
    format!("propeller tasks create NAME --image {image} {how}")
}

/// What its module would be called.
fn file(resolved: &Resolved) -> String {
    let name = resolved.pinned().repository();
    format!("{}.wasm", name.rsplit('/').next().unwrap_or_default())
}

fn layers(layers: &[Descriptor]) -> String {
    let mut table = Table::new([
        ("LAYER", Side::Left),
        ("MEDIA TYPE", Side::Left),
        ("SIZE", Side::Right),
        ("ENCRYPTED FOR", Side::Left),
    ]);
    for layer in layers {
        let recipients = crypt::recipients(&layer.annotations).join(", ");
        table.add([
            layer.digest.to_string(),
            layer.media_type.clone(),
            bytes_text(layer.size),
            if layer.is_encrypted() {
                recipients
            } else {
                String::new()
            },
        ]);
    }
    table.render()
}

fn as_json(looked: &Looked) -> Value {
    let Looked {
        admitted,
        signatures,
        module,
    } = looked;
    let resolved = admitted.resolved();
    let manifest = resolved.manifest();
    let run = |call: &Call| task(call, resolved.pinned());
    let layers = manifest.layers.iter().map(|layer| {
        json!({
            "digest": layer.digest.to_string(),
            "media_type": layer.media_type,
            "size_bytes": layer.size,
            "encrypted": layer.is_encrypted(),
            "recipients": crypt::recipients(&layer.annotations),
        })
    });
    let layers: Vec<_> = layers.collect();
    json!({
        "reference": resolved.pinned().to_string(),
        "image": resolved.image().to_string(),
        "size_bytes": manifest.bytes(),
        "config": manifest.config.media_type,
        "layers": layers,
        "signatures": signatures.as_ref().ok().map(Vec::len),
        "signed_by": admitted.signed().map(|verified| verified.key.to_string()),
        "module": match module {
            Ok(report) => crate::inspect::as_json(file(resolved).as_ref(), report, &run),
            Err(_) => Value::Null,
        },
        "module_error": module.as_ref().err(),
    })
}
