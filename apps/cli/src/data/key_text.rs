//! The texts that keys are read from, each overwritten when it is dropped.

use std::env::VarError;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use propeller_ces::KEY_VARIABLE;
use zeroize::{Zeroize as _, Zeroizing};

use super::handed;
use super::key_args::{KeyFailure, Origin, TEXT_LEN_MAX};

pub(super) fn file(path: &Path) -> Result<Zeroizing<String>, KeyFailure> {
    read(&Origin::File(path.to_owned()), open_secret(path)?)
}

/// Opens a file with a secret, which nobody but its owner may read.
pub(super) fn open_secret(path: &Path) -> Result<File, KeyFailure> {
    let failed = |source| KeyFailure::Read {
        origin: Origin::File(path.to_owned()),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // A pipe, as of `<(…)` in a shell, has no readers but the one it is for.
        if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
            let origin = Origin::File(path.to_owned());
            return Err(KeyFailure::Shared { origin });
        }
    }
    Ok(file)
}

pub(super) fn descriptor(number: u32) -> Result<Zeroizing<String>, KeyFailure> {
    let origin = Origin::Descriptor(number);
    match handed::open(number) {
        Ok(file) => read(&origin, file),
        Err(source) => Err(KeyFailure::Read { origin, source }),
    }
}

/// The variable's text. It is no argument, because others see command lines.
///
/// An empty variable is how many scripts say that there is none.
#[allow(
    clippy::disallowed_methods,
    reason = "a key is no setting: no file or flag may have it, and what reads settings keeps copies"
)]
pub(super) fn variable() -> Result<Option<Zeroizing<String>>, KeyFailure> {
    let text = match std::env::var(KEY_VARIABLE) {
        Ok(text) => Zeroizing::new(text),
        Err(VarError::NotPresent) => return Ok(None),
        Err(VarError::NotUnicode(text)) => {
            text.into_encoded_bytes().zeroize();
            let origin = Origin::Variable;
            return Err(KeyFailure::Text { origin });
        }
    };
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// Its standard error is ours, so that it can say what is wrong or ask for something. Its standard
/// input is empty: ours may be what is put. It does not get the key that the variable has.
pub(super) fn command(line: &str) -> Result<Zeroizing<String>, KeyFailure> {
    let origin = Origin::Command;
    let failed = |source| KeyFailure::Read {
        origin: Origin::Command,
        source,
    };
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(line)
        .env_remove(KEY_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let text = match child.stdout.take() {
        Some(out) => read(&origin, out),
        None => Err(KeyFailure::Empty {
            origin: origin.clone(),
        }),
    };
    if matches!(text, Err(KeyFailure::Long { .. })) {
        // It would wait for somebody to read the rest.
        child.kill().ok();
    }
    let status = child.wait().map_err(failed)?;
    match status.success() || matches!(text, Err(KeyFailure::Long { .. })) {
        true => text,
        false => Err(KeyFailure::Command { origin, status }),
    }
}

fn read(origin: &Origin, from: impl io::Read) -> Result<Zeroizing<String>, KeyFailure> {
    // Of its final size from the beginning, so that growing leaves no copies behind.
    let room = usize::try_from(TEXT_LEN_MAX + 1).unwrap_or(usize::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    let read = from.take(TEXT_LEN_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|source| KeyFailure::Read {
        origin: origin.clone(),
        source,
    })?;
    if bytes.len() as u64 > TEXT_LEN_MAX {
        return Err(KeyFailure::Long {
            origin: origin.clone(),
        });
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(KeyFailure::Text {
                origin: origin.clone(),
            })
        }
    }
}
