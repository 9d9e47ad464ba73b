//! `pull`: the module of an image becomes a file.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use propeller_oci::crypt::Keys;
use propeller_oci::image::{self, Pulled};
use propeller_oci::signatures::Admitted;
use propeller_oci::{Registry, sha256};
use serde_json::json;

use super::push::parse;
use super::{Failure, OpenArgs, RegistryArgs, limits};
use crate::Ui;
use crate::error::{CliError, Exit};
use crate::json::pretty;
use crate::new_file::{NewFile, Readers};
use crate::units::bytes_text;

/// An image, and where its module goes.
#[derive(Debug, Args)]
pub struct Pull {
    /// The image: REGISTRY/REPOSITORY:TAG, or with @sha256:…; http://… if it has no TLS
    #[arg(value_name = "REF")]
    reference: String,
    /// Where the module goes; - for standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

pub(crate) async fn run(args: Pull, json: bool, ui: &mut Ui<'_>) -> Result<Exit, CliError> {
    let Pull {
        reference,
        output,
        open,
        registry,
    } = args;
    let reference = parse(&reference)?;
    let keys = open.keys().await?;
    let client = registry.client().await?;
    let resolved = image::resolve(&client, &reference)
        .await
        .map_err(Failure::from)?;
    let admitted = open.admit(&client, resolved).await?;
    let resolved = admitted.resolved();
    let pulled = module(&client, &admitted, keys, ui).await?;
    let standard = output == Path::new("-");
    let piped = match standard {
        true => {
            ui.raw(&pulled.module)?;
            true
        }
        false => write(&output, &pulled).map_err(|source| Failure::Write {
            path: output.clone(),
            source,
        })?,
    };
    let signer = admitted.signed().map(|signed| signed.key.to_string());
    if json {
        let told = json!({
            "reference": resolved.pinned().to_string(),
            "file": output.to_string_lossy(),
            "size_bytes": pulled.module.len(),
            "digest": sha256(&pulled.module).to_string(),
            "encrypted": pulled.encrypted,
            "signed_by": signer,
        });
        let told = pretty(&told.to_string());
        match piped {
            true => ui.raw_note(told.as_bytes()),
            false => ui.text(&told)?,
        }
        return Ok(Exit::Success);
    }
    let size = bytes_text(pulled.module.len() as u64);
    let decrypted = if pulled.encrypted { ", decrypted" } else { "" };
    let from = resolved.pinned();
    let to = match standard {
        true => "standard output".to_owned(),
        false => output.display().to_string(),
    };
    let mut sentences = vec![format!("Pulled {from} to {to} ({size}{decrypted})")];
    sentences.extend(signer.map(|signer| format!("Signed by {signer}")));
    for sentence in sentences {
        match piped {
            true => ui.note(&sentence),
            false => ui.say(&sentence)?,
        }
    }
    Ok(Exit::Success)
}

/// Writes the module where it goes, and says whether that is a pipe or a device.
fn write(path: &Path, pulled: &Pulled) -> io::Result<bool> {
    let readers = match pulled.encrypted {
        true => Readers::Owner,
        false => Readers::AsBefore,
    };
    let mut file = NewFile::open(path, readers)?;
    file.write(&pulled.module)?;
    let is_stream = file.is_stream();
    file.place()?;
    Ok(is_stream)
}

/// Fetches the module, with a bar while it comes.
pub(super) async fn module(
    client: &Registry,
    admitted: &Admitted,
    keys: Keys,
    ui: &Ui<'_>,
) -> Result<Pulled, Failure> {
    let resolved = admitted.resolved();
    let total = resolved.manifest().bytes();
    let bar = ui.progress(total, format!("Pulling {}", resolved.pinned().name()));
    let options = limits(keys);
    let pulled = image::pull(client, admitted, &options, &|bytes| bar.inc(bytes)).await;
    bar.finish_and_clear();
    Ok(pulled?)
}
