//! `data put`: a stream becomes the shards of a new object.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use propeller_ces::{Audit, EncodeError, Label, Watch, encode};

use super::Work;
use super::audit::AuditLog;
use super::bridge::Interruptible;
use super::failure::Failure;
use super::fresh::{Fresh, ShapeArgs};
use super::key_args::KeyArgs;
use super::name::Name;
use super::place::{Destination, StoreArgs, destination};
use crate::error::{CliError, Exit};

/// A file, and where its shards go.
#[derive(Debug, Args)]
pub struct Put {
    /// What to put; - for standard input
    file: PathBuf,
    /// Places that its shards go to in turn: folders, or s3://BUCKET/PREFIX, gs://…, az://…
    #[arg(long, value_name = "DEST", num_args = 1.., required = true, value_parser = destination)]
    shards: Vec<Destination>,
    /// Name of the object [default: that of the file]
    #[arg(long)]
    name: Option<Name>,
    /// Environment that the object belongs to, such as production [default: that of the key]
    #[arg(long, value_name = "NAME")]
    label: Option<Label>,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    stores: StoreArgs,
}

impl Put {
    fn name(&self) -> Result<Name, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        if self.file == Path::new("-") {
            return Err(Failure::Nameless);
        }
        let text = self.file.file_name().unwrap_or_default().to_string_lossy();
        text.parse().map_err(|source| Failure::Name {
            text: text.into_owned(),
            source,
        })
    }
}

pub(super) fn run(args: &Put, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let name = args.name()?;
    if args.keys.are_read_from(&args.file) {
        return Err(Failure::InputTwice.into());
    }
    let log = AuditLog::open(args.keys.audit_log.as_deref(), "put")?;
    let key = args.keys.one().map_err(Failure::from)?;
    let Input { read, len } = input(&args.file)?;
    let reach = args.stores.reach(&args.shards)?;
    let places = reach.places(&args.shards, &work.runtime)?;
    let options = args.shape.options(args.label);
    let mut fresh = Fresh::open(&name, places, options, len, work)?;
    let bar = work.ui.progress_of(len, format!("Putting {name}"));
    let hook = |event: &_| log.tell(event);
    let watch = Watch {
        audit: Audit::to(&hook),
        progress: &mut |bytes| bar.set_position(bytes),
    };
    let read = Interruptible {
        inner: read,
        interrupt: work.interrupt.clone(),
    };
    let sinks = fresh.sinks.0.iter_mut().collect();
    let summary = encode(read, sinks, &key, &options, watch);
    bar.finish_and_clear();
    let summary = summary.map_err(|error| match error {
        EncodeError::Input(source) => Failure::Read {
            path: args.file.clone(),
            source,
        },
        error => fresh.failure(error),
    })?;
    log.check()?;
    let told = fresh.place(&summary)?;
    work.show(&told.json, &told.text)?;
    Ok(Exit::Success)
}

/// What is put, and how long it is, if that is known.
struct Input {
    read: Box<dyn Read>,
    len: Option<u64>,
}

fn input(path: &Path) -> Result<Input, Failure> {
    if path == Path::new("-") {
        let (read, len) = (Box::new(io::stdin().lock()), None);
        return Ok(Input { read, len });
    }
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let len = meta.is_file().then_some(meta.len());
    let read = Box::new(file);
    Ok(Input { read, len })
}
