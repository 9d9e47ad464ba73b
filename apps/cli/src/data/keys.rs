//! `data keys`: the keys that objects are under.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use propeller_ces::{Audit, Key, Label, backup};
use serde_json::json;
use zeroize::Zeroizing;

use super::Work;
use super::audit::AuditLog;
use super::failure::Failure;
use super::files::sync_name;
use super::fresh::plural;
use super::key_args::{KeyArgs, KeySources};
use super::passphrase::PassphraseArgs;
use crate::error::{CliError, Exit};

/// The longest backup that is read, in bytes: what the format allows.
const BACKUP_LEN_MAX: u64 = 65_536;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// Make a new random key
    New(New),
    /// Say the ids of keys, which stand in the objects that are under them
    Id(Id),
    /// Seal keys under a passphrase, in a text that can be printed and kept
    Backup(Backup),
    /// Open a backup, and write its keys down
    Restore(Restore),
}

/// A key to make.
#[derive(Debug, Args)]
pub struct New {
    /// New file for the key; - for standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// The only environment that it is for, such as production [default: every one]
    #[arg(long, value_name = "NAME")]
    label: Option<Label>,
    /// File to which a line of JSON is added for every use of a key
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
}

/// Keys to name.
#[derive(Debug, Args)]
pub struct Id {
    #[command(flatten)]
    keys: KeySources,
}

/// Keys to back up.
#[derive(Debug, Args)]
pub struct Backup {
    /// New file for the backup; - for standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// A backup to open.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    file: PathBuf,
    /// New file for its keys; - for standard output
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// File to which a line of JSON is added for every use of a key
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(verb: &KeyVerb, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    match verb {
        KeyVerb::New(args) => new(args, work)?,
        KeyVerb::Id(args) => {
            let keys = args.keys.keys().map_err(Failure::from)?;
            work.show(&json!({ "keys": ids(&keys) }), &names(&keys))?;
        }
        KeyVerb::Backup(args) => back_up(args, work)?,
        KeyVerb::Restore(args) => restore(args, work)?,
    }
    Ok(Exit::Success)
}

fn new(args: &New, work: &mut Work<'_, '_>) -> Result<(), CliError> {
    let log = AuditLog::open(args.audit_log.as_deref(), "keys new")?;
    let key = Key::random().map_err(Failure::from)?;
    let key = key.labelled(args.label.unwrap_or(Label::NONE));
    log.created(&key);
    log.check()?;
    give(&args.output, &[key], "is", work)
}

fn back_up(args: &Backup, work: &mut Work<'_, '_>) -> Result<(), CliError> {
    let log = AuditLog::open(args.keys.audit_log.as_deref(), "keys backup")?;
    let keys = args.keys.keys().map_err(Failure::from)?;
    let passphrase = args.passphrase.read(true)?;
    let hook = |event: &_| log.tell(event);
    let text = backup::export(&keys, &passphrase, Audit::to(&hook)).map_err(Failure::from)?;
    log.check()?;
    if args.output == Path::new("-") {
        return print(text.as_bytes(), &keys, work);
    }
    create(&args.output, text.as_bytes())?;
    let count = keys.len();
    let json = json!({ "file": args.output.to_string_lossy(), "keys": ids(&keys) });
    let text = format!(
        "{count} {} backed up in {}:\n{}",
        plural(count, "key is", "keys are"),
        args.output.display(),
        names(&keys)
    );
    work.show(&json, &text)
}

fn restore(args: &Restore, work: &mut Work<'_, '_>) -> Result<(), CliError> {
    let log = AuditLog::open(args.audit_log.as_deref(), "keys restore")?;
    let failed = |source| Failure::Read {
        path: args.file.clone(),
        source,
    };
    let file = File::open(&args.file).map_err(failed)?;
    let mut text = String::new();
    let read = file.take(BACKUP_LEN_MAX + 1).read_to_string(&mut text);
    read.map_err(failed)?;
    let passphrase = args.passphrase.read(false)?;
    let hook = |event: &_| log.tell(event);
    let keys = backup::import(&text, &passphrase, Audit::to(&hook));
    let keys = keys.map_err(|source| Failure::Import {
        path: args.file.clone(),
        source,
    })?;
    log.check()?;
    give(&args.output, &keys, "is restored", work)
}

/// Hands keys out: to a new file that nobody else may read, or to whoever reads our output.
fn give(output: &Path, keys: &[Key], what: &str, work: &mut Work<'_, '_>) -> Result<(), CliError> {
    let text = lines(keys);
    if output == Path::new("-") {
        return print(text.as_bytes(), keys, work);
    }
    create(output, text.as_bytes())?;
    let json = json!({ "file": output.to_string_lossy(), "keys": ids(keys) });
    let mut told = String::new();
    for key in keys {
        told.push_str(&format!(
            "Key {} {what} in {}\n",
            name(key),
            output.display()
        ));
    }
    work.show(&json, &told)
}

/// Hands a text to whoever reads our output, and says elsewhere which keys are in it.
fn print(text: &[u8], keys: &[Key], work: &mut Work<'_, '_>) -> Result<(), CliError> {
    work.ui.raw(text)?;
    for key in keys {
        work.ui.note(&format!("key {}", name(key)));
    }
    Ok(())
}

/// As key options read them: a key a line, and its label behind it.
fn lines(keys: &[Key]) -> Zeroizing<String> {
    // Of its final size from the beginning, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(String::with_capacity(keys.len() * 128));
    for key in keys {
        text.push_str(&key.to_hex());
        if !key.label().is_empty() {
            text.push(' ');
            text.push_str(key.label().as_str());
        }
        text.push('\n');
    }
    text
}

fn name(key: &Key) -> String {
    match key.label().is_empty() {
        true => key.id().to_string(),
        false => format!("{} for {}", key.id(), key.label()),
    }
}

fn names(keys: &[Key]) -> String {
    let mut names = String::new();
    for key in keys {
        names.push_str(&name(key));
        names.push('\n');
    }
    names
}

fn ids(keys: &[Key]) -> Vec<serde_json::Value> {
    let id = |key: &Key| json!({ "id": key.id().to_string(), "label": key.label().as_str() });
    keys.iter().map(id).collect()
}

/// A new file for its owner alone; one that is there is never replaced: it may be the only copy.
fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Failure::InTheWay(path.to_owned()),
        _ => Failure::Write {
            path: path.to_owned(),
            source,
        },
    };
    let mut file = options.open(path).map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // A file without a name is as good as none.
    let written = written.and_then(|()| sync_name(path));
    written.map_err(|source| {
        std::fs::remove_file(path).ok();
        failed(source)
    })
}
