//! Reports of the kernel's, through configfs (`Documentation/ABI/testing/configfs-tsm-report`).
//!
//! ```text
//!  mkdir ─▶ provider? ─▶ privlevel ─▶ inblob ─▶ outblob, auxblob ─▶ generation? ─▶ rmdir
//! ```
//!
//! The kernel counts writes to a request in `generation`. As many as were made here means that
//! nobody else made one, and that the report is of what was asked.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::Duration;

use super::error::{AttestError, Contention};
use crate::Tee;
use crate::detect::Machine;
use crate::detect::entry::{Entry, REPORTS};

/// How often a request is made anew. A program that attests takes a few milliseconds, and one that
/// is in the way for longer has to be looked at by a person.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(3);

/// Of a quote or of certificates; kernels have 32 KiB for each.
const BLOB_BYTES_MAX: usize = 1 << 20;
/// A number and a line's end.
const GENERATION_BYTES_MAX: usize = 64;

const NO_SUCH_DEVICE: i32 = 6;

/// A report as one kind of TEE makes it.
pub(super) struct Request {
    pub(super) tee: Tee,
    /// What the driver calls itself, and the module that it is in.
    pub(super) driver: &'static str,
    pub(super) module: &'static str,
    /// Decimal text, where there are levels.
    pub(super) privlevel: Option<&'static str>,
    /// Whether certificates may come along.
    pub(super) auxblob: bool,
    /// Finds the report data in a report.
    pub(super) report_data: fn(&[u8]) -> Option<&[u8]>,
}

enum Fault {
    Contended(Contention),
    Final(AttestError),
}

impl From<AttestError> for Fault {
    fn from(error: AttestError) -> Self {
        Self::Final(error)
    }
}

/// A report, and the certificates that came along.
pub(super) type Blobs = (Vec<u8>, Vec<u8>);

/// Has a report made about `data`, with a request of its own for each try.
pub(super) fn report(
    machine: &dyn Machine,
    request: &Request,
    data: &[u8],
) -> Result<Blobs, AttestError> {
    let mut tries = 1;
    loop {
        match once(machine, request, data) {
            Ok(blobs) => return Ok(blobs),
            Err(Fault::Final(error)) => return Err(error),
            Err(Fault::Contended(contention)) if tries == TRIES => {
                return Err(AttestError::Contended { contention, tries });
            }
            Err(Fault::Contended(contention)) => {
                tracing::debug!(%contention, "asking for another report");
            }
        }
        tries += 1;
        thread::sleep(PAUSE);
    }
}

fn once(machine: &dyn Machine, request: &Request, data: &[u8]) -> Result<Blobs, Fault> {
    let entry = Entry::create(machine).map_err(|error| request.uncreated(error))?;
    let provider = entry.provider();
    let provider = provider.map_err(|error| fault("read", of("provider"), error))?;
    if provider != request.driver {
        return Err(request.other_driver(provider).into());
    }
    let mut writes = 0_u64;
    if let Some(level) = request.privlevel {
        let level = entry.write("privlevel", level.as_bytes());
        level.map_err(unprivileged)?;
        writes += 1;
    }
    let written = entry.write("inblob", data);
    written.map_err(|error| fault("write", of("inblob"), error))?;
    writes += 1;
    let outblob = entry.read("outblob", BLOB_BYTES_MAX);
    let outblob = outblob.map_err(|error| request.unreported(error))?;
    let auxblob = match request.auxblob {
        true => certificates(&entry)?,
        false => Vec::new(),
    };
    if generation(&entry)? != Some(writes) {
        return Err(Fault::Contended(Contention::Raced));
    }
    request.about(&outblob, data)?;
    Ok((outblob, auxblob))
}

impl Request {
    /// Why there is no folder for a request.
    fn uncreated(&self, error: io::Error) -> Fault {
        let (tee, driver, module) = (self.tee, self.driver, self.module);
        match error.kind() {
            ErrorKind::NotFound => AttestError::NoReports { tee, driver }.into(),
            // 128 random bits that are taken were not free before we drew them.
            ErrorKind::AlreadyExists => Fault::Contended(Contention::Raced),
            _ if error.raw_os_error() == Some(NO_SUCH_DEVICE) => {
                AttestError::NoDriver { tee, module }.into()
            }
            _ => fault("make a folder in", REPORTS.to_owned(), error),
        }
    }

    fn other_driver(&self, found: String) -> AttestError {
        let (tee, driver) = (self.tee, self.driver);
        AttestError::OtherDriver { tee, driver, found }
    }

    /// Why there is no report: once everything was accepted, because of the hardware or its host.
    fn unreported(&self, error: io::Error) -> Fault {
        match fault("read", of("outblob"), error) {
            Fault::Final(AttestError::Kernel { source, .. }) => {
                let tee = self.tee;
                AttestError::Refused { tee, source }.into()
            }
            other => other,
        }
    }

    /// Whether a report is about `data`, whatever the kernel counted.
    fn about(&self, outblob: &[u8], data: &[u8]) -> Result<(), Fault> {
        let tee = self.tee;
        if outblob.is_empty() {
            return Err(AttestError::Empty { tee }.into());
        }
        match (self.report_data)(outblob) {
            Some(found) if found == data => Ok(()),
            Some(_) => Err(Fault::Contended(Contention::Foreign)),
            None => Err(AttestError::Malformed {
                tee,
                what: "it has no version that is known here, or ends too early",
                source: None,
            }
            .into()),
        }
    }
}

/// What the host gave along, if the kernel knows of such things.
fn certificates(entry: &Entry<'_>) -> Result<Vec<u8>, Fault> {
    match entry.read("auxblob", BLOB_BYTES_MAX) {
        Ok(auxblob) => Ok(auxblob),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(fault("read", of("auxblob"), error)),
    }
}

fn generation(entry: &Entry<'_>) -> Result<Option<u64>, Fault> {
    let text = entry.read("generation", GENERATION_BYTES_MAX);
    let text = text.map_err(|error| fault("read", of("generation"), error))?;
    Ok(str::from_utf8(&text)
        .ok()
        .and_then(|text| text.trim().parse().ok()))
}

fn unprivileged(error: io::Error) -> Fault {
    match error.kind() {
        ErrorKind::InvalidInput => AttestError::Level(error).into(),
        _ => fault("write", of("privlevel"), error),
    }
}

/// What a step's failure means, wherever it fails.
fn fault(step: &'static str, path: String, source: io::Error) -> Fault {
    match source.kind() {
        ErrorKind::ResourceBusy | ErrorKind::WouldBlock => Fault::Contended(Contention::Busy),
        ErrorKind::NotFound => Fault::Contended(Contention::Vanished),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            AttestError::Denied { path }.into()
        }
        _ => AttestError::Kernel { step, path, source }.into(),
    }
}

/// A file of a request, whose name means nothing to anybody.
fn of(file: &str) -> String {
    format!("{REPORTS}/…/{file}")
}
