//! How long one task takes, one at a time, and where that time goes.

use std::time::Duration;

use propeller_api::{Results, TaskUsage};
use serde::Serialize;

use crate::bed::Bed;
use crate::brokers::Kind;
use crate::e2e::Plan;
use crate::error::BenchError;
use crate::round::{Round, add_request, round, usage};
use crate::samples::Samples;

/// `examples/guests/add`: next to no work, so that what is measured is everything else.
pub(crate) const ADD: &[u8] = include_bytes!("../../examples/guests/add.wasm");

/// One broker's latency.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) broker: Kind,
    pub(crate) samples: usize,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) legs: Legs,
}

/// Medians of the legs. Each is a median of its own, so their sum is not exactly the total's.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Legs {
    /// From the request to the 201: HTTP, sealing, the commit that makes the task durable.
    pub(crate) submit_ms: Option<f64>,
    /// From the 201 to the result. The legs below are inside.
    pub(crate) settle_ms: Option<f64>,
    /// In the proplet: fetching, opening, waiting for a thread.
    pub(crate) prepare_ms: Option<f64>,
    /// In the proplet: compiling; 0 if the module was cached.
    pub(crate) compile_ms: Option<f64>,
    /// In the proplet: running.
    pub(crate) run_ms: Option<f64>,
    /// What is left of `settle`: both ways over the broker, the second commit, the HTTP answer.
    pub(crate) remainder_ms: Option<f64>,
}

/// Measures with a client that submits, waits for the result, and only then submits again.
pub(crate) async fn measure(bed: &Bed, kind: Kind, plan: &Plan) -> Result<Latency, BenchError> {
    let module = bed.upload("add", ADD).await?;
    let request = add_request(&module, 2, 40);
    let mut connection = bed.connect().await?;
    for _ in 0..plan.warm_up {
        round(&mut connection, &request, is_42).await?;
    }
    let mut rounds = Vec::with_capacity(plan.samples);
    for _ in 0..plan.samples {
        rounds.push(round(&mut connection, &request, is_42).await?);
    }
    // Afterwards, so that asking does not disturb what is measured.
    let mut costs = Vec::with_capacity(rounds.len());
    for round in &rounds {
        costs.push(usage(&mut connection, &round.id).await?);
    }
    let totals: Samples = rounds.iter().map(Round::total).collect();
    Ok(Latency {
        broker: kind,
        samples: totals.len(),
        p50_ms: totals.percentile_ms(50),
        p95_ms: totals.percentile_ms(95),
        p99_ms: totals.percentile_ms(99),
        legs: legs(&rounds, &costs),
    })
}

fn is_42(results: &Results) -> bool {
    results.results.as_str() == Some("42")
}

fn legs(rounds: &[Round], costs: &[TaskUsage]) -> Legs {
    let proplet = |leg: fn(&TaskUsage) -> u64| -> Option<f64> {
        let durations = costs.iter().map(|cost| Duration::from_micros(leg(cost)));
        durations.collect::<Samples>().median_ms()
    };
    let client = |leg: fn(&Round) -> Duration| -> Option<f64> {
        rounds.iter().map(leg).collect::<Samples>().median_ms()
    };
    let remainders = rounds.iter().zip(costs).map(|(round, cost)| {
        let inside = Duration::from_micros(cost.prepare_us + cost.compile_us + cost.run_us);
        round.settle.saturating_sub(inside)
    });
    Legs {
        submit_ms: client(|round| round.submit),
        settle_ms: client(|round| round.settle),
        prepare_ms: proplet(|cost| cost.prepare_us),
        compile_ms: proplet(|cost| cost.compile_us),
        run_ms: proplet(|cost| cost.run_us),
        remainder_ms: remainders.collect::<Samples>().median_ms(),
    }
}
