//! A thread of its own that judges evidence: certificates and signatures take milliseconds, and the
//! dispatcher, who decides about every task, has none to spare.
//!
//! Of each session and of each attempt one piece is judged at a time, so that nobody keeps others
//! waiting by repeating himself.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use propeller_model::{AttemptId, PropletId};
use propeller_wire::message::{AttestedReport, TeeClaim};
use tokio::sync::mpsc;
use tracing::error;

use crate::dispatch::Wake;
use crate::judge::{Judge, Standing};

/// Bytes of cases that wait: thousands of sessions, whose evidence has some ten KiB each.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same, while attempts are taken: a proplet reports those again after two seconds, and shows
/// its evidence for a session once.
const ATTEMPTS_BYTES_MAX: usize = BYTES_MAX / 2;
/// What a case takes besides its bytes.
const CASE_BYTES: usize = 1024;

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

/// Names what is judged at most once at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Session([u8; 32]),
    Attempt(PropletId, AttemptId),
}

/// See the module.
#[derive(Debug)]
pub struct Verifier {
    cases: Sender<Case>,
    /// What is under way, with what it takes. The queue needs no other bound.
    under_way: HashMap<Name, usize>,
    bytes: usize,
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

    fn name(&self, proplet: &PropletId) -> Name {
        match self {
            Self::Session(binding, _) => Name::Session(*binding),
            Self::Attempt(attested) => Name::Attempt(proplet.clone(), attested.report.attempt),
        }
    }

    fn bytes(&self) -> usize {
        CASE_BYTES
            + match self {
                Self::Session(_, claim) => claim.evidence.len(),
                Self::Attempt(attested) => {
                    attested.proof.evidence.len() + attested.report.output.len()
                }
            }
    }
}

impl Case {
    /// Whether it is about this proplet's attempt.
    #[must_use]
    pub fn is_about(&self, proplet: &PropletId, attempt: AttemptId) -> bool {
        let about = match &self.subject {
            Subject::Session(..) => return false,
            Subject::Attempt(attested) => attested.report.attempt,
        };
        about == attempt && self.proplet == *proplet
    }

    fn judged(self, judge: &Judge) -> Judged {
        let (kind, evidence) = match &self.subject {
            Subject::Session(_, claim) => (&claim.kind, &claim.evidence),
            Subject::Attempt(attested) => (&attested.proof.kind, &attested.proof.evidence),
        };
        let judging = || judge.judge(kind, evidence, &self.report_data, self.came_ms);
        // Strangers wrote it. One that a parser cannot take must not end the judging of all others.
        let verdict = catch_unwind(AssertUnwindSafe(judging)).unwrap_or_else(|_| {
            error!(target: "security", proplet = %self.proplet, "judging evidence panicked");
            Err("judging it failed, which is a mistake of the manager's: see its log".to_owned())
        });
        Judged {
            proplet: self.proplet,
            subject: self.subject,
            verdict,
        }
    }
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
        let (cases, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("verifier".to_owned())
            .spawn(move || work(&judge, &queue, &wakes))?;
        let verifier = Self {
            cases,
            under_way: HashMap::new(),
            bytes: 0,
        };
        Ok((verifier, thread))
    }

    /// Whether this proplet's report of an attempt is being judged.
    #[must_use]
    pub fn judges(&self, proplet: &PropletId, attempt: AttemptId) -> bool {
        let name = Name::Attempt(proplet.clone(), attempt);
        self.under_way.contains_key(&name)
    }

    /// Has a case judged, of which the dispatcher hears by [`Wake::Judged`]; `false` if there is too
    /// much to do. What is judged already is not judged a second time.
    #[must_use]
    pub fn submit(&mut self, case: Case) -> bool {
        let (name, bytes) = (case.subject.name(&case.proplet), case.subject.bytes());
        if self.under_way.contains_key(&name) {
            return true;
        }
        let most = match case.subject {
            Subject::Session(..) => BYTES_MAX,
            Subject::Attempt(_) => ATTEMPTS_BYTES_MAX,
        };
        if self.bytes + bytes > most || self.cases.send(case).is_err() {
            return false;
        }
        self.bytes += bytes;
        self.under_way.insert(name, bytes);
        true
    }

    /// Takes note of a verdict.
    pub fn done(&mut self, judged: &Judged) {
        let name = judged.subject.name(&judged.proplet);
        self.bytes -= self.under_way.remove(&name).unwrap_or_default();
    }
}

fn work(judge: &Judge, queue: &Receiver<Case>, wakes: &mpsc::WeakSender<Wake>) {
    while let Ok(case) = queue.recv() {
        let judged = Box::new(case.judged(judge));
        let told = wakes
            .upgrade()
            .map(|wakes| wakes.blocking_send(Wake::Judged(judged)));
        if !matches!(told, Some(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use propeller_wire::message::TeeClaim;
    use serde_bytes::ByteBuf;

    use super::*;

    fn claim(binding: u8, bytes: usize) -> Case {
        Case {
            proplet: "p1".parse().unwrap(),
            subject: Subject::Session(
                [binding; 32],
                Box::new(TeeClaim {
                    kind: "sample".to_owned(),
                    evidence: ByteBuf::from(vec![b' '; bytes]),
                }),
            ),
            report_data: [0; 48],
            came_ms: 0,
        }
    }

    /// A verifier whose thread waits for nobody, and what it was given.
    fn verifier() -> (Verifier, Receiver<Case>) {
        let (cases, queue) = channel();
        let verifier = Verifier {
            cases,
            under_way: HashMap::new(),
            bytes: 0,
        };
        (verifier, queue)
    }

    #[test]
    fn who_repeats_himself_is_judged_once_at_a_time() {
        let (mut verifier, queue) = verifier();
        for _ in 0..3 {
            assert!(verifier.submit(claim(1, 10)));
        }
        assert!(verifier.submit(claim(2, 10)));
        let judge = Judge::default();
        let judged: Vec<Judged> = queue.try_iter().map(|case| case.judged(&judge)).collect();
        assert_eq!(judged.len(), 2);
        verifier.done(&judged[0]);
        assert!(verifier.submit(claim(1, 10)));
        assert_eq!(queue.try_iter().count(), 1);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_given_back() {
        let (mut verifier, queue) = verifier();
        assert!(verifier.submit(claim(1, BYTES_MAX / 2)));
        assert!(!verifier.submit(claim(2, BYTES_MAX / 2)));
        let first = queue.try_recv().unwrap().judged(&Judge::default());
        assert!(first.verdict.is_err());
        verifier.done(&first);
        assert_eq!(verifier.bytes, 0);
        assert!(verifier.submit(claim(2, BYTES_MAX / 2)));
    }

    #[tokio::test]
    async fn verdicts_come_back_as_wakes() {
        let (wakes, mut woken) = mpsc::channel(1);
        let judge = Arc::new(Judge::default());
        let (mut verifier, thread) = Verifier::start(judge, wakes.downgrade()).unwrap();
        assert!(verifier.submit(claim(1, 10)));
        let Some(Wake::Judged(judged)) = woken.recv().await else {
            panic!("nothing but verdicts wakes");
        };
        assert_eq!(judged.verdict, Err("it is no JSON".to_owned()));
        drop(verifier);
        thread.join().unwrap();
    }
}
