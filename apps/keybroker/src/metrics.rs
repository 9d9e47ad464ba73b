//! What the broker counts, for `GET /metrics` in Prometheus' text format.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds, from what a handshake takes to what a slow disk does.
const SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];

/// All counters of one broker.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    events: Family<Event, Counter>,
    requests: Family<Request, Counter>,
    seconds: Family<Step, Histogram>,
    sessions: Gauge,
    resources: Gauge,
    audit_broken: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Event {
    event: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    step: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("keybroker"),
            events: Family::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            sessions: Gauge::<i64, AtomicI64>::default(),
            resources: Gauge::default(),
            audit_broken: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let events = "What happened, by the names of the audit log";
        registry.register("events", events, self.events.clone());
        let requests = "Requests, by step and status";
        registry.register("requests", requests, self.requests.clone());
        let seconds = "Time from request to answer, by step";
        registry.register("request_seconds", seconds, self.seconds.clone());
        registry.register("sessions", "Handshakes under way", self.sessions.clone());
        registry.register("resources", "Resources", self.resources.clone());
        let broken = "1 if the audit log was not what it should be at the start";
        registry.register("audit_broken", broken, self.audit_broken.clone());
    }

    pub(crate) fn event(&self, event: String) {
        self.events.get_or_create(&Event { event }).inc();
    }

    pub(crate) fn request(&self, step: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Request { step, status }).inc();
        self.seconds
            .get_or_create(&Step { step })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn audit_broken(&self) {
        self.audit_broken.set(1);
    }

    /// Everything, in Prometheus' text format, with how things stand.
    pub(crate) fn text(&self, sessions: usize, resources: usize) -> String {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.sessions.set(number(sessions));
        self.resources.set(number(resources));
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}
