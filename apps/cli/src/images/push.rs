//! `push`: a module becomes an image in a registry.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use propeller_inspect::{Report, inspect};
use propeller_oci::Reference;
use propeller_oci::artifact::{self, Built, Form, Interfaces};
use propeller_oci::sign::SigningKey;
use propeller_oci::signatures::{self, Added};
use serde_json::json;

use super::keeping::{Existing, Keeping};
use super::keys::{For, KeyArg};
use super::{Failure, RegistryArgs, read};
use crate::Ui;
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
    /// Have the broker replace another key that it keeps under such a keyid: images that were
    /// encrypted with that one do not open any more
    #[arg(long, requires = "kbs")]
    replace_key: bool,
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
        replace_key,
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
    let existing = match replace_key {
        true => Existing::Replace,
        false => Existing::Keep,
    };
    let keeping = Keeping::of(&broker, &encrypt, existing).await?;
    let client = registry.client().await?;
    let form = match form {
        FormArg::Artifact => Form::Artifact,
        FormArg::Image => Form::Image,
    };
    let built = artifact::build(&wasm, form, &interfaces(&report), recipients);
    let built = built.map_err(Failure::from)?;
    send(&client, &reference, &built, ui).await?;
    // After the blobs, so that a push that fails has changed no key; before the manifest, so that
    // nobody finds an image whose key nobody has.
    let kept = match &keeping {
        Some(keeping) => keeping.keep().await?,
        None => Vec::new(),
    };
    let pushed = artifact::push_manifest(&client, &reference, &built).await;
    pushed.map_err(Failure::from)?;
    let signer = match &key {
        Some(key) => {
            let added = signatures::add(&client, &reference, built.digest, key).await;
            let added = added.map_err(Failure::from)?;
            Some((key.verifying_key().fingerprint().to_string(), added))
        }
        None => None,
    };
    let pushed = Pushed {
        reference: reference.pinned(built.digest),
        digest: built.digest.to_string(),
        bytes: built.layer.len(),
        recipients: recipients.count(),
        kept,
        signer,
    };
    match json {
        true => ui.text(&pushed.json())?,
        false => pushed.tell(&file, ui)?,
    }
    Ok(Exit::Success)
}

/// What was pushed, who can open it, and who vouches for it.
struct Pushed {
    reference: Reference,
    digest: String,
    bytes: usize,
    recipients: usize,
    /// Keys that the broker keeps.
    kept: Vec<String>,
    signer: Option<(String, Added)>,
}

impl Pushed {
    fn json(&self) -> String {
        let signer = self.signer.as_ref();
        let told = json!({
            "reference": self.reference.to_string(),
            "digest": self.digest,
            "size_bytes": self.bytes,
            "recipients": self.recipients,
            "keys_kept": self.kept,
            "signed_by": signer.map(|(signer, _)| signer),
            "signed_before": signer.map(|(_, added)| *added == Added::Before),
        });
        pretty(&told.to_string())
    }

    fn tell(&self, file: &Path, ui: &mut Ui<'_>) -> Result<(), CliError> {
        let size = bytes_text(self.bytes as u64);
        let pinned = &self.reference;
        ui.say(&format!("Pushed {} ({size}) as {pinned}", file.display()))?;
        match self.recipients {
            0 => {}
            1 => ui.say("Encrypted for one recipient")?,
            count => ui.say(&format!("Encrypted for {count} recipients"))?,
        }
        for key in &self.kept {
            ui.say(&format!("The key broker keeps {key}"))?;
        }
        match &self.signer {
            Some((signer, Added::Signed)) => ui.say(&format!("Signed by {signer}"))?,
            Some((signer, Added::Before)) => ui.say(&format!(
                "Signed by {signer} already: no signature is added"
            ))?,
            None => {}
        }
        Ok(())
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
    let pushed = artifact::push_blobs(client, reference, built, sent).await;
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
