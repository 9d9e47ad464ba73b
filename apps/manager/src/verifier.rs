//! A thread of its own that judges evidence: certificates and signatures take milliseconds, and the
//! dispatcher, who decides about every task, has none to spare.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use propeller_model::PropletId;
use propeller_wire::message::{AttestedReport, TeeClaim};
use tokio::sync::mpsc;
use tracing::error;

use crate::dispatch::Wake;
use crate::judge::{Judge, Standing};

/// Cases that wait at most. A case has up to 256 KiB of evidence, and takes milliseconds.
pub const CASES_MAX: usize = 64;
/// Those that one batch of the dispatcher may bring besides, before it looks again.
const CASES_MORE: usize = 512;

/// Evidence to be judged.
#[derive(Debug)]
pub struct Case {
    /// Whose it is.
    pub proplet: PropletId,
    /// What it is about.
    pub subject: Subject,
    /// What it has to be bound to, in the TEE's report data.
    pub report_data: [u8; 48],
    /// When it came, in milliseconds since 1970.
    pub came_ms: i64,
}

/// What evidence is about.
#[derive(Debug)]
pub enum Subject {
    /// A session, by its binding.
    Session([u8; 32], Box<TeeClaim>),
    /// An attempt.
    Attempt(Box<AttestedReport>),
}

impl Subject {
    /// What it is, in a word, for the metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Session(..) => "session",
            Self::Attempt(_) => "attempt",
        }
    }
}

/// What a case came to.
#[derive(Debug)]
pub struct Judged {
    /// Whose evidence it was.
    pub proplet: PropletId,
    /// What it was about.
    pub subject: Subject,
    /// What it is worth; in words, why nothing.
    pub verdict: Result<Standing, String>,
}

/// See the module.
#[derive(Debug)]
pub struct Verifier {
    cases: SyncSender<Case>,
    waiting: Arc<AtomicUsize>,
}

impl Verifier {
    /// Starts the thread. It ends with whoever holds the verifier, or when nobody can be woken.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(
        judge: Arc<Judge>,
        wakes: mpsc::WeakSender<Wake>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (cases, queue) = sync_channel(CASES_MAX + CASES_MORE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("verifier".to_owned())
            .spawn(move || work(&judge, &queue, &wakes, &left))?;
        Ok((Self { cases, waiting }, thread))
    }

    /// Whether it has so much to do that more has to come later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= CASES_MAX
    }

    /// Has a case judged. The dispatcher hears of it by [`Wake::Judged`].
    pub fn submit(&self, case: Case) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.cases.try_send(case).is_err() {
            // Its lease brings the attempt back.
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            error!("evidence cannot be judged: the thread for it is full, or has ended");
        }
    }
}

fn work(
    judge: &Judge,
    queue: &Receiver<Case>,
    wakes: &mpsc::WeakSender<Wake>,
    waiting: &AtomicUsize,
) {
    while let Ok(case) = queue.recv() {
        let judged = Box::new(case.judged(judge));
        waiting.fetch_sub(1, Ordering::Relaxed);
        let told = wakes
            .upgrade()
            .map(|wakes| wakes.blocking_send(Wake::Judged(judged)));
        if !matches!(told, Some(Ok(()))) {
            return;
        }
    }
}

impl Case {
    fn judged(self, judge: &Judge) -> Judged {
        let (kind, evidence) = match &self.subject {
            Subject::Session(_, claim) => (&claim.kind, &claim.evidence),
            Subject::Attempt(attested) => (&attested.proof.kind, &attested.proof.evidence),
        };
        let verdict = judge.judge(kind, evidence, &self.report_data, self.came_ms);
        Judged {
            proplet: self.proplet,
            subject: self.subject,
            verdict,
        }
    }
}
