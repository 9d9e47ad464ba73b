//! What the manager counts, for `GET /metrics` in Prometheus' text format.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

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
