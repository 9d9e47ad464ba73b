//! The attempts of a proplet: begun, ended, stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use propeller_model::{AttemptId, Digest};
use propeller_wire::message::{
    AttestedReport, FromProplet, Module, Refusal, Refused, Start, StartAttested, StartImage,
};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::{error, info, warn};

use crate::attested::{Attesting, Opened};
use crate::delivered::{self, Delivered};
use crate::watch::Slot;
use crate::work::{Worked, work};
use crate::worker::Worker;

/// How long an attempt runs before the manager is told: most are over by then, and their report
/// says all of it.
const TELL_AFTER: Duration = Duration::from_millis(25);

/// An attempt under way.
#[derive(Debug)]
pub(crate) struct Running {
    handle: AbortHandle,
    /// Its module, if that came from the manager.
    digest: Option<Digest>,
    /// Whose task it is.
    pub(crate) tenant: String,
    /// What its guest prints.
    pub(crate) transcript: Slot,
}

/// The start of a module that has come out of an image.
fn opened(start: StartImage, digest: Digest) -> Start {
    let StartImage {
        attempt,
        tenant,
        app_name,
        image: _,
        input,
        trace,
    } = start;
    Start {
        attempt,
        tenant,
        app_name,
        module: Module {
            digest,
            sealed_len: 0,
            sealed: None,
        },
        input,
        trace,
    }
}

impl Worker {
    /// Runs an attempt whose module is here.
    pub(crate) fn begin(&mut self, start: Start, sealed: Bytes) {
        let (attempt, tenant) = (start.attempt, start.tenant.clone());
        let digest = Some(start.module.digest);
        let (bench, received) = (self.bench.clone(), Instant::now());
        // On the guests' own threads from the beginning, unless there is more to do before.
        let quick = start.module.sealed_len <= delivered::QUICK_LEN_MAX;
        let threads = bench.runtime.threads().filter(|_| quick).cloned();
        self.spawn(attempt, tenant, digest, threads, move |slot| {
            work(bench, start, Delivered::Sealed(sealed), received, slot)
        });
    }

    /// Fetches the module of an image and runs the attempt.
    pub(crate) fn begin_image(&mut self, start: StartImage) {
        let (attempt, tenant) = (start.attempt, start.tenant.clone());
        let (bench, received) = (self.bench.clone(), Instant::now());
        self.spawn(attempt, tenant, None, None, move |slot| async move {
            match bench.images.module(&start.image).await {
                Ok(module) => {
                    let start = opened(start, module.digest);
                    let module = Delivered::Open(module.wasm);
                    work(bench, start, module, received, slot).await
                }
                Err(text) => Worked::Refused(Refused {
                    attempt,
                    reason: Refusal::NoModule,
                    text,
                }),
            }
        });
    }

    /// Has the module of an encrypted image opened, and runs the attempt.
    pub(crate) fn begin_attested(
        &mut self,
        start: StartAttested,
        attesting: Arc<Attesting>,
        session: [u8; 32],
    ) {
        let (attempt, tenant) = (start.start.attempt, start.start.tenant.clone());
        let (mut bench, received) = (self.bench.clone(), Instant::now());
        self.spawn(attempt, tenant, None, None, move |slot| async move {
            let Opened {
                module,
                runtime,
                proof,
            } = match attesting.open(&start, session).await {
                Ok(opened) => opened,
                Err((reason, text)) => {
                    warn!(target: "security", id = %attempt.task, error = %text, "an encrypted module was not opened");
                    return Worked::Refused(Refused {
                        attempt,
                        reason,
                        text,
                    });
                }
            };
            bench.runtime = runtime;
            let start = opened(start.start, module.digest);
            let module = Delivered::Open(module.wasm);
            match work(bench, start, module, received, slot).await {
                Worked::Report(report) => {
                    Worked::Attested(Box::new(AttestedReport { report, proof }))
                }
                other => other,
            }
        });
    }

    fn spawn<W: Future<Output = Worked> + Send + 'static>(
        &mut self,
        attempt: AttemptId,
        tenant: String,
        digest: Option<Digest>,
        threads: Option<Handle>,
        work: impl FnOnce(Slot) -> W,
    ) {
        let long = self.long.clone();
        let transcript = Slot::default();
        let run = work(Slot::clone(&transcript));
        let attend = async move {
            tokio::pin!(run);
            let worked = match tokio::time::timeout(TELL_AFTER, &mut run).await {
                Ok(worked) => worked,
                Err(_) => {
                    // A full queue means that the manager learns it from the report.
                    let _told = long.try_send(attempt);
                    run.await
                }
            };
            (attempt, worked)
        };
        let handle = match threads {
            Some(threads) => self.attempts.spawn_on(attend, &threads),
            None => self.attempts.spawn(attend),
        };
        let running = Running {
            handle,
            digest,
            tenant,
            transcript,
        };
        self.running.insert(attempt, running);
    }

    /// Stops an attempt, whatever stage it is in.
    pub(crate) fn stop(&mut self, attempt: AttemptId) {
        let running = self.running.remove(&attempt);
        if let Some(running) = &running {
            running.handle.abort();
        }
        if running.is_some() || self.fetches.stop(attempt) {
            info!(id = %attempt.task, attempt = attempt.number, "stopped app");
        }
        self.outbox.acknowledge(attempt);
    }

    pub(crate) fn ended(&mut self, attempt: AttemptId, worked: Worked) {
        let Some(Running { digest, .. }) = self.running.remove(&attempt) else {
            return;
        };
        match worked {
            Worked::Report(report) => {
                self.outbox.put(report, None, Instant::now());
                self.report();
            }
            Worked::Attested(attested) => {
                let AttestedReport { report, proof } = *attested;
                self.outbox.put(report, Some(proof), Instant::now());
                self.report();
            }
            Worked::Refused(refused) => {
                if let Some(digest) = digest.filter(|_| refused.reason == Refusal::Unopenable) {
                    // What does not open may have been damaged on its way: fetch it anew.
                    self.modules.remove(digest);
                }
                self.say(&FromProplet::Refused(refused));
            }
        }
    }

    /// An attempt that panicked is our fault and must not hold its slot.
    pub(crate) fn crashed(&mut self, failed: &tokio::task::JoinError) {
        if failed.is_cancelled() {
            return;
        }
        let attempt = self
            .running
            .iter()
            .find(|(_, running)| running.handle.id() == failed.id())
            .map(|(attempt, _)| *attempt);
        if let Some(attempt) = attempt {
            error!(id = %attempt.task, error = %failed, "an attempt crashed");
            self.running.remove(&attempt);
            self.refuse(
                attempt,
                Refusal::LeaseLost,
                "the proplet crashed in this attempt",
            );
        }
    }

    pub(crate) fn stop_all(&mut self, why: &str) {
        if !self.running.is_empty() {
            warn!(attempts = self.running.len(), why, "stopping all apps");
        }
        for (_, running) in self.running.drain() {
            running.handle.abort();
        }
        let waiting: Vec<AttemptId> = self.fetches.attempts().collect();
        for attempt in waiting {
            self.fetches.stop(attempt);
        }
    }
}
