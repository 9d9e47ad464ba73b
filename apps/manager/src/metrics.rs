//! What the manager counts, for `GET /metrics` in Prometheus' text format.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use propeller_wire::message::Steps;

/// Seconds, from a token that is in force to an image over a slow line.
const SECONDS: [f64; 10] = [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0, 100.0];

/// All counters of one manager.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Tasks that were accepted.
    pub submitted: Counter,
    /// Attempts that were given to a proplet.
    pub assigned: Counter,
    /// Reports about attempts that no longer count.
    pub stale_reports: Counter,
    /// Batches that the store did not take.
    pub store_failures: Counter,
    settled: Family<Outcome, Counter>,
    dropped: Family<Why, Counter>,
    requests: Family<Request, Counter>,
    evidence: Family<Evidence, Counter>,
    attested: Family<Step, Histogram>,
    object_bytes: Family<Way, Counter>,
    waiting: Gauge,
    active: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Evidence {
    about: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Way {
    direction: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("manager"),
            submitted: Counter::<u64, AtomicU64>::default(),
            assigned: Counter::default(),
            stale_reports: Counter::default(),
            store_failures: Counter::default(),
            settled: Family::default(),
            dropped: Family::default(),
            requests: Family::default(),
            evidence: Family::default(),
            attested: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            object_bytes: Family::default(),
            waiting: Gauge::<i64, AtomicI64>::default(),
            active: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("tasks_submitted", "Tasks accepted", self.submitted.clone());
        registry.register(
            "attempts_assigned",
            "Attempts given to a proplet",
            self.assigned.clone(),
        );
        registry.register(
            "reports_stale",
            "Reports about attempts that no longer count",
            self.stale_reports.clone(),
        );
        registry.register(
            "store_failures",
            "Batches that the store did not take",
            self.store_failures.clone(),
        );
        registry.register(
            "tasks_settled",
            "Runs that ended, by outcome",
            self.settled.clone(),
        );
        registry.register(
            "frames_dropped",
            "Frames that came to nothing, by reason",
            self.dropped.clone(),
        );
        registry.register(
            "api_requests",
            "Requests, by method, path and status",
            self.requests.clone(),
        );
        registry.register(
            "evidence",
            "Evidence of proplets, by what it is about (session, attempt) and by outcome",
            self.evidence.clone(),
        );
        registry.register(
            "attested_seconds",
            "What attested starts took, by step, as their proplets say",
            self.attested.clone(),
        );
        registry.register(
            "object_bytes",
            "Bytes of objects that clients sent (in) and fetched (out)",
            self.object_bytes.clone(),
        );
        registry.register("tasks_waiting", "Tasks in the queue", self.waiting.clone());
        registry.register("attempts_active", "Attempts under way", self.active.clone());
    }

    /// A run ended.
    pub fn settled(&self, outcome: &'static str) {
        self.settled.get_or_create(&Outcome { outcome }).inc();
    }

    /// A frame came to nothing.
    pub fn dropped(&self, why: &'static str) {
        self.dropped.get_or_create(&Why { why }).inc();
    }

    /// A request was answered. `path` is the route, not what the client wrote.
    pub fn request(&self, method: &str, path: &str, status: u16) {
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            status,
        };
        self.requests.get_or_create(&request).inc();
    }

    /// Evidence was judged, or there was too much of it.
    pub fn evidence(&self, about: &'static str, outcome: &'static str) {
        let evidence = Evidence { about, outcome };
        self.evidence.get_or_create(&evidence).inc();
    }

    /// An attested start counts, with what it took.
    pub fn attested(&self, steps: &Steps) {
        let steps = [
            ("evidence", steps.evidence_us),
            ("token", steps.token_us),
            ("key", steps.key_us),
            ("image", steps.image_us),
            ("decryption", steps.decrypt_us),
        ];
        for (step, us) in steps {
            let seconds = Duration::from_micros(us).as_secs_f64();
            self.attested.get_or_create(&Step { step }).observe(seconds);
        }
    }

    /// A part of an object came in, or went out.
    pub fn object_bytes(&self, direction: &'static str, len: usize) {
        let bytes = self.object_bytes.get_or_create(&Way { direction });
        bytes.inc_by(len as u64);
    }

    /// How things stand.
    pub fn gauge(&self, waiting: u64, active: usize) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.active.set(i64::try_from(active).unwrap_or(i64::MAX));
    }

    /// Everything, in Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}
