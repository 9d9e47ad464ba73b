//! `push`: a module becomes an image in a registry.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use propeller_inspect::{Report, inspect};
use propeller_oci::Reference;
use propeller_oci::artifact::{self, Built, Form, Interfaces};
use propeller_oci::sign::SigningKey;
use propeller_oci::signatures::{self, Added};
use serde_json::json;

use super::keys::{For, KeyArg};
use super::{Failure, RegistryArgs, read};
use crate::Ui;
use crate::clock::now_secs;
use crate::error::{CliError, Exit};
use crate::json::pretty;
use crate::keys::BrokerArgs;
use crate::units::bytes_text;

/// A module to push, and where to.
#[derive(Debug, Args)]
pub struct Push {
    /// WebAssembly module or component
    file: PathBuf,
    /// Where to: REGISTRY/REPOSITORY:TAG; http://… if it has no TLS
    #[arg(value_name = "REF")]
    reference: String,
    /// What it becomes: a Wasm artifact, or an image with a tar layer
    #[arg(
        long = "as",
        value_enum,
        default_value = "artifact",
        value_name = "FORM"
    )]
    form: FormArg,
    /// Key of whoever may open it: jwe:FILE with a public key; or
    /// provider:attestation-agent:keypath=FILE::keyid=kbs:///…, for whoever a key broker gives that
    /// key to; again for each of several
    #[arg(long, value_name = "jwe:FILE|provider:…")]
    encrypt: Vec<KeyArg>,
    /// Private key to sign it with, as cosign and skopeo do: EC P-256 in PEM
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// File with the passphrase of that key
    #[arg(long, value_name = "FILE", requires = "sign")]
    sign_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// What a module becomes in a registry.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormArg {
    /// A Wasm artifact: the module is the layer
    Artifact,
    /// An OCI image: the module is in a tar layer, for tools that know no other
    Image,
}

pub(crate) async fn run(args: Push, json: bool, ui: &mut Ui<'_>) -> Result<Exit, CliError> {
    let Push {
        file,
        reference,
        form,
        encrypt,
        sign,
        sign_passphrase_file,
        registry,
        broker,
    } = args;
    let reference = parse(&reference)?;
    if reference.digest().is_some() {
        return Err(Failure::PushToDigest(reference.to_string()).into());
    }
    let wasm = crate::inspect::module(&file).await?;
    let report = inspect(&wasm).map_err(|source| CliError::Inspect {
        path: file.clone(),
        source,
    })?;
    let recipients = For::read(&encrypt).await?;
    let recipients = recipients.recipients();
    let key = match &sign {
        Some(path) => Some(signing_key(path, sign_passphrase_file.as_ref()).await?),
        None => None,
    };
    // First, so that nothing is pushed whose key nobody has.
    let kept = match broker.is_given() {
        true => register(&broker, &encrypt).await?,
        false => Vec::new(),
    };
    let client = registry.client().await?;
    let form = match form {
        FormArg::Artifact => Form::Artifact,
        FormArg::Image => Form::Image,
    };
    let built = artifact::build(&wasm, form, &interfaces(&report), recipients);
    let built = built.map_err(Failure::from)?;
    send(&client, &reference, &built, ui).await?;
    let signer = match &key {
        Some(key) => {
            let added = signatures::add(&client, &reference, built.digest, key).await;
            let added = added.map_err(Failure::from)?;
            Some((key.verifying_key().fingerprint().to_string(), added))
        }
        None => None,
    };
    let pinned = reference.pinned(built.digest);
    if json {
        let told = json!({
            "reference": pinned.to_string(),
            "digest": built.digest.to_string(),
            "size_bytes": built.layer.len(),
            "recipients": recipients.count(),
            "keys_kept": kept,
            "signed_by": signer.as_ref().map(|(signer, _)| signer),
            "signed_before": signer.as_ref().map(|(_, added)| *added == Added::Before),
        });
        ui.text(&pretty(&told.to_string()))?;
        return Ok(Exit::Success);
    }
    let size = bytes_text(built.layer.len() as u64);
    ui.say(&format!("Pushed {} ({size}) as {pinned}", file.display()))?;
    tell(recipients.count(), &kept, signer, ui)?;
    Ok(Exit::Success)
}

/// Says who can open it, and who vouches for it.
fn tell(
    recipients: usize,
    kept: &[String],
    signer: Option<(String, Added)>,
    ui: &mut Ui<'_>,
) -> Result<(), CliError> {
    match recipients {
        0 => {}
        1 => ui.say("Encrypted for one recipient")?,
        count => ui.say(&format!("Encrypted for {count} recipients"))?,
    }
    for key in kept {
        ui.say(&format!("The key broker keeps {key}"))?;
    }
    match signer {
        Some((signer, Added::Signed)) => ui.say(&format!("Signed by {signer}"))?,
        Some((signer, Added::Before)) => ui.say(&format!(
            "Signed by {signer} already: no signature is added"
        ))?,
        None => {}
    }
    Ok(())
}

/// Has the key broker keep the keys that it is to release.
async fn register(broker: &BrokerArgs, keys: &[KeyArg]) -> Result<Vec<String>, CliError> {
    let admin = broker.admin().await.map_err(CliError::Broker)?;
    let mut kept = Vec::new();
    for key in keys {
        let KeyArg::Provider { path, id, .. } = key else {
            continue;
        };
        if id
            .host
            .as_deref()
            .is_some_and(|host| !admin.address().is(host))
        {
            return Err(Failure::KeptElsewhere(id.to_string()).into());
        }
        let secret = read(path).await?;
        let put = admin.put_resource(&id.path, &secret, now_secs()).await;
        put.map_err(|error| CliError::Broker(error.into()))?;
        kept.push(id.to_string());
    }
    match kept.is_empty() {
        true => Err(Failure::NothingToKeep.into()),
        false => Ok(kept),
    }
}

async fn send(
    client: &propeller_oci::Registry,
    reference: &Reference,
    built: &Built,
    ui: &Ui<'_>,
) -> Result<(), Failure> {
    let total = (built.layer.len() + built.config.len()) as u64;
    let bar = ui.progress(total, format!("Pushing {reference}"));
    let sent = bar.clone();
    let sent = std::sync::Arc::new(move |bytes| sent.inc(bytes));
    let pushed = artifact::push(client, reference, built, sent).await;
    bar.finish_and_clear();
    pushed?;
    Ok(())
}

async fn signing_key(path: &Path, passphrase: Option<&PathBuf>) -> Result<SigningKey, Failure> {
    let passphrase = match passphrase {
        Some(path) => Some(read(path).await?),
        None => None,
    };
    // An editor ends a file with a line feed, which is no part of a passphrase.
    let words = passphrase.as_deref().map(|words| words.trim_ascii_end());
    let pem = read(path).await?;
    SigningKey::from_pem(&pem, words).map_err(|source| Failure::key(path, source))
}

/// What a component imports and exports.
fn interfaces(report: &Report) -> Interfaces {
    let imports = report
        .imports
        .items
        .iter()
        .map(|import| match &import.from {
            Some(interface) => interface.clone(),
            None => import.name.clone(),
        });
    let exports = report.exports.items.iter().map(|export| {
        let interface = export.name.split_once('#');
        interface.map_or_else(|| export.name.clone(), |(name, _)| name.to_owned())
    });
    let once = |names: Vec<String>| {
        let names: std::collections::BTreeSet<_> = names.into_iter().collect();
        names.into_iter().collect()
    };
    Interfaces {
        imports: once(imports.collect()),
        exports: once(exports.collect()),
    }
}

pub(crate) fn parse(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|source| Failure::Reference {
        text: text.to_owned(),
        source,
    })
}
