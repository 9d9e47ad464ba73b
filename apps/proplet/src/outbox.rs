//! Reports that nobody has acknowledged yet: in memory first, sealed on disk when it takes long.
//!
//! Memory is bounded, and a full outbox refuses new work. On disk there are only envelopes, sealed
//! with the workload key and bound to this proplet and this attempt.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use propeller_envelope::{Context, Keyring, open, seal};
use propeller_model::{AttemptId, PropletId};
use propeller_wire::message::{AttestedReport, FromProplet, Proof, Report, decode, encode};
use tracing::warn;

/// Reports that may wait. A week offline at one a minute.
const ENTRIES_MAX: usize = 10_000;
/// Bytes of reports that may wait.
const BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a report is only in memory.
const SPILL_AFTER: Duration = Duration::from_secs(5);
/// How long to wait for an acknowledgement before reporting again.
const RESEND_AFTER: Duration = Duration::from_secs(2);
/// Reports sent again at a time, so that a long queue does not flood the broker.
const RESEND_MAX: usize = 64;

/// How files end that have a report in them, and those that have its proof as well.
const REPORT: &str = "report";
const ATTESTED: &str = "attested";

/// Why an outbox cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the outbox at {path}")]
pub struct OutboxError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    owner: PropletId,
    keys: Keyring,
    entries: BTreeMap<AttemptId, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    report: Report,
    /// What proves where it was made, of an attempt in a TEE.
    proof: Option<Proof>,
    since: Instant,
    sent: Option<Instant>,
    on_disk: bool,
}

impl Outbox {
    /// Opens the outbox in a folder and takes up what an earlier process left in it.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(
        folder: &Path,
        owner: PropletId,
        keys: Keyring,
        now: Instant,
    ) -> Result<Self, OutboxError> {
        let wrong = |cause| OutboxError {
            path: folder.to_owned(),
            cause,
        };
        make_private(folder).map_err(wrong)?;
        let mut outbox = Self {
            folder: folder.to_owned(),
            owner,
            keys,
            entries: BTreeMap::new(),
            bytes: 0,
        };
        for entry in std::fs::read_dir(folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            outbox.take_up(&path, now);
        }
        Ok(outbox)
    }

    /// Writes and reads with other keys from here on.
    pub fn rekey(&mut self, keys: Keyring) {
        self.keys = keys;
    }

    /// Whether no further report fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX
    }

    /// Whether there is a report for an attempt.
    #[must_use]
    pub fn holds(&self, attempt: AttemptId) -> bool {
        self.entries.contains_key(&attempt)
    }

    /// The attempts with a report.
    pub fn attempts(&self) -> impl Iterator<Item = AttemptId> {
        self.entries.keys().copied()
    }

    /// Keeps a report until it is acknowledged.
    pub fn put(&mut self, report: Report, proof: Option<Proof>, now: Instant) {
        let entry = Entry {
            since: now,
            sent: None,
            on_disk: false,
            report,
            proof,
        };
        self.bytes += entry.bytes();
        self.entries.insert(entry.report.attempt, entry);
    }

    /// The manager has it, or does not want it.
    pub fn acknowledge(&mut self, attempt: AttemptId) {
        if let Some(entry) = self.entries.remove(&attempt) {
            self.bytes -= entry.bytes();
            if entry.on_disk {
                remove(&self.path(attempt, entry.kind()));
            }
        }
    }

    /// Nothing counts as sent any more: a new session begins.
    pub fn forget_sent(&mut self) {
        for entry in self.entries.values_mut() {
            entry.sent = None;
        }
    }

    /// Reports that should be sent now, or again.
    pub fn due(&mut self, now: Instant) -> Vec<FromProplet> {
        self.entries
            .values_mut()
            .filter(|entry| {
                entry
                    .sent
                    .is_none_or(|sent| now.saturating_duration_since(sent) >= RESEND_AFTER)
            })
            .take(RESEND_MAX)
            .map(|entry| {
                entry.sent = Some(now);
                entry.message()
            })
            .collect()
    }

    /// Writes down what has waited for long, or everything before a shutdown. Blocks.
    pub fn spill(&mut self, now: Instant, everything: bool) {
        let waiting: Vec<AttemptId> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.on_disk)
            .filter(|(_, entry)| {
                everything || now.saturating_duration_since(entry.since) >= SPILL_AFTER
            })
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in waiting {
            match self.write(attempt) {
                Ok(()) => {
                    if let Some(entry) = self.entries.get_mut(&attempt) {
                        entry.on_disk = true;
                    }
                }
                Err(error) => {
                    warn!(task = %attempt.task, attempt = attempt.number, error = %error, "a report stays in memory: it cannot be written down");
                    return;
                }
            }
        }
    }

    fn write(&self, attempt: AttemptId) -> io::Result<()> {
        let Some(entry) = self.entries.get(&attempt) else {
            return Ok(());
        };
        let name = name(attempt);
        let context = Context::Record {
            owner: self.owner.as_str(),
            name: &name,
        };
        let plain = match &entry.proof {
            None => encode(&entry.report),
            Some(proof) => encode(&AttestedReport {
                report: entry.report.clone(),
                proof: proof.clone(),
            }),
        };
        let sealed = seal(&self.keys, &context, &plain).map_err(io::Error::other)?;
        let path = self.path(attempt, entry.kind());
        let aside = path.with_extension("part");
        private_file(&aside)
            .and_then(|mut file| file.write_all(&sealed).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&aside, &path))
            .and_then(|()| std::fs::File::open(&self.folder)?.sync_all())
    }

    /// Takes up one file. What does not open is left alone: it may be for a key that comes back.
    fn take_up(&mut self, path: &Path, now: Instant) {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let kind = path.extension().and_then(|kind| kind.to_str());
        let (Some(stem), Some(kind @ (REPORT | ATTESTED))) = (stem, kind) else {
            return;
        };
        let context = Context::Record {
            owner: self.owner.as_str(),
            name: stem,
        };
        let report = std::fs::read(path)
            .ok()
            .and_then(|sealed| open(&self.keys, &context, &sealed).ok())
            .and_then(|plain| match kind {
                ATTESTED => {
                    let AttestedReport { report, proof } = decode(&plain).ok()?;
                    Some((report, Some(proof)))
                }
                _ => Some((decode::<Report>(&plain).ok()?, None)),
            });
        let Some((report, proof)) = report else {
            warn!(file = %path.display(), "a report in the outbox does not open");
            return;
        };
        let entry = Entry {
            since: now,
            sent: None,
            on_disk: true,
            report,
            proof,
        };
        self.bytes += entry.bytes();
        self.entries.insert(entry.report.attempt, entry);
    }

    fn path(&self, attempt: AttemptId, kind: &str) -> PathBuf {
        self.folder.join(name(attempt)).with_extension(kind)
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let proof = self.proof.as_ref().map_or(0, |proof| proof.evidence.len());
        self.report.output.len() + proof
    }

    fn kind(&self) -> &'static str {
        match self.proof {
            None => REPORT,
            Some(_) => ATTESTED,
        }
    }

    fn message(&self) -> FromProplet {
        let report = self.report.clone();
        match &self.proof {
            None => FromProplet::Finished(report),
            Some(proof) => FromProplet::FinishedAttested(Box::new(AttestedReport {
                report,
                proof: proof.clone(),
            })),
        }
    }
}

fn name(attempt: AttemptId) -> String {
    format!("{}-{}", attempt.task, attempt.number)
}

fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!(file = %path.display(), error = %error, "an acknowledged report cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use propeller_envelope::WorkloadKey;
    use propeller_model::TaskId;
    use propeller_wire::message::Usage;

    use super::*;

    fn attempt(number: u32) -> AttemptId {
        AttemptId {
            task: TaskId(uuid::Uuid::from_u128(7)),
            number,
        }
    }

    fn report(number: u32) -> Report {
        Report {
            attempt: attempt(number),
            success: true,
            output: b"canary-in-the-outbox".to_vec().into(),
            usage: Usage::default(),
            exit: propeller_model::ExitKind::Returned,
        }
    }

    fn outbox(folder: &Path, keys: &Keyring) -> Outbox {
        let owner = "p".parse().unwrap();
        Outbox::open(folder, owner, keys.clone(), Instant::now()).unwrap()
    }

    #[test]
    fn a_report_survives_a_restart_sealed_and_goes_when_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::new(WorkloadKey::generate().unwrap());
        let now = Instant::now();
        let mut before = outbox(folder.path(), &keys);
        before.put(report(1), None, now);
        before.spill(now, true);
        drop(before);
        let files: Vec<PathBuf> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let bytes = std::fs::read(&files[0]).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
        let mut after = outbox(folder.path(), &keys);
        assert!(after.holds(attempt(1)));
        assert_eq!(after.due(now).len(), 1);
        after.acknowledge(attempt(1));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_report_is_sent_again_only_after_a_while_or_in_a_new_session() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::new(WorkloadKey::generate().unwrap());
        let now = Instant::now();
        let mut outbox = outbox(folder.path(), &keys);
        outbox.put(report(1), None, now);
        assert_eq!(outbox.due(now).len(), 1);
        assert_eq!(outbox.due(now).len(), 0);
        outbox.forget_sent();
        assert_eq!(outbox.due(now).len(), 1);
        assert_eq!(outbox.due(now + RESEND_AFTER).len(), 1);
    }

    #[test]
    fn a_report_of_another_proplet_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::new(WorkloadKey::generate().unwrap());
        let now = Instant::now();
        let mut first = outbox(folder.path(), &keys);
        first.put(report(1), None, now);
        first.spill(now, true);
        let other = Outbox::open(folder.path(), "q".parse().unwrap(), keys, now).unwrap();
        assert_eq!(other.attempts().count(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
