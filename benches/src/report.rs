//! What was measured, as Markdown for people and as JSON for programs.

use std::fmt::Write;

use propeller::stack::chain;
use serde::Serialize;

use crate::conclusion::{Goal, Ratio, goals, megabytes, ratios};
use crate::environment::Environment;
use crate::latency::{Latency, Legs};
use crate::module::Module;
use crate::processes::{Memory, StartUp};
use crate::sealed::Sealed;
use crate::throughput::Throughput;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) environment: Environment,
    pub(crate) latency: Vec<Latency>,
    pub(crate) throughput: Vec<Throughput>,
    pub(crate) start_up: Option<StartUp>,
    pub(crate) memory: Option<Memory>,
    pub(crate) module: Option<Module>,
    pub(crate) sealed: Option<Sealed>,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) goals: Vec<Goal>,
    /// Tasks that did not give the right result.
    pub(crate) lost: usize,
    /// Measurements that came to nothing, and why.
    pub(crate) failures: Vec<String>,
    /// What this machine has no means for.
    pub(crate) skipped: Vec<String>,
}

impl Report {
    pub(crate) fn new(environment: Environment) -> Self {
        Self {
            environment,
            latency: Vec::new(),
            throughput: Vec::new(),
            start_up: None,
            memory: None,
            module: None,
            sealed: None,
            ratios: Vec::new(),
            goals: Vec::new(),
            lost: 0,
            failures: Vec::new(),
            skipped: Vec::new(),
        }
    }

    pub(crate) fn skip(&mut self, what: &str) {
        eprintln!("skipped {what}");
        self.skipped.push(what.to_owned());
    }

    /// Draws the conclusions, when everything is measured.
    pub(crate) fn conclude(&mut self) {
        self.lost = self.throughput.iter().map(|level| level.lost).sum();
        self.ratios = ratios(self);
        self.goals = goals(self);
    }

    /// Whether nothing was lost and nothing failed. Slow is not bad, only slow.
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.failures.is_empty()
    }
}

/// One JSON object with everything.
pub(crate) fn json(report: &Report) -> String {
    match serde_json::to_string_pretty(report) {
        Ok(json) => json,
        Err(error) => serde_json::json!({ "error": chain(&error) }).to_string(),
    }
}

/// Where it was measured, as Markdown.
pub(crate) fn environment(environment: &Environment) -> String {
    let Environment {
        cpu,
        cores,
        memory,
        kernel,
        rustc,
        profile,
        commit,
        binary,
        data_dir,
        filesystem,
        fsync_ms,
        load_average,
    } = environment;
    let binary = match binary {
        Some(path) => path.display().to_string(),
        None => "none".to_owned(),
    };
    let data = format!("{} ({filesystem})", data_dir.display());
    let rows = [
        ["processor", &format!("{cpu}, {cores} cores")],
        ["memory", memory],
        ["kernel", kernel],
        ["rustc", rustc],
        ["profile", profile],
        ["commit", commit],
        ["binary", &binary],
        ["data directories", &data],
        ["fsync of 4 KiB there, median", &ms(*fsync_ms)],
        ["load average", load_average],
    ];
    let rows = rows.map(|row| row.map(ToOwned::to_owned).to_vec());
    section("Environment", &["what", "value"], &rows)
}

/// Everything but the environment, as Markdown.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    out.push_str(&latency(&report.latency));
    out.push_str(&legs(&report.latency));
    out.push_str(&throughput(&report.throughput));
    out.push_str(&processes(report));
    out.push_str(&module(report.module.as_ref()));
    out.push_str(&sealed(report.sealed.as_ref()));
    let rows = report.ratios.iter();
    let rows: Vec<_> = rows
        .map(|ratio| vec![ratio.what.clone(), format!("{:.2}", ratio.ratio)])
        .collect();
    out.push_str(&section("Ratios", &["what", "ratio"], &rows));
    let rows = report.goals.iter();
    let rows: Vec<_> = rows
        .map(
            |Goal {
                 what,
                 goal,
                 measured,
                 met,
             }| {
                let met = if *met { "yes" } else { "no" };
                vec![what.clone(), goal.clone(), measured.clone(), met.to_owned()]
            },
        )
        .collect();
    let head = ["what", "goal", "measured", "met"];
    out.push_str(&section("Goals", &head, &rows));
    out.push_str(&list("Skipped", &report.skipped));
    out.push_str(&list("Failed", &report.failures));
    out
}

fn latency(measured: &[Latency]) -> String {
    let rows: Vec<_> = measured
        .iter()
        .map(|l| {
            let broker = l.broker.word().to_owned();
            let count = l.samples.to_string();
            vec![broker, count, ms(l.p50_ms), ms(l.p95_ms), ms(l.p99_ms)]
        })
        .collect();
    let head = ["broker", "tasks", "p50", "p95", "p99"];
    section("Latency of one task at a time, durable", &head, &rows)
}

fn legs(measured: &[Latency]) -> String {
    type Leg = (&'static str, fn(&Legs) -> Option<f64>);
    const LEGS: [Leg; 6] = [
        ("submit: request to 201, first commit", |l| l.submit_ms),
        ("settle: 201 to result", |l| l.settle_ms),
        ("of that, proplet: prepare", |l| l.prepare_ms),
        ("of that, proplet: compile", |l| l.compile_ms),
        ("of that, proplet: run", |l| l.run_ms),
        ("of that, remainder: transport, second commit", |l| {
            l.remainder_ms
        }),
    ];
    if measured.is_empty() {
        return String::new();
    }
    let brokers = measured.iter().map(|latency| latency.broker.word());
    let head: Vec<&str> = ["leg"].into_iter().chain(brokers).collect();
    let rows = LEGS.map(|(name, leg)| {
        let values = measured.iter().map(|latency| ms(leg(&latency.legs)));
        [name.to_owned()].into_iter().chain(values).collect()
    });
    section("Legs of one task, medians", &head, &rows)
}

fn throughput(measured: &[Throughput]) -> String {
    let rows: Vec<_> = measured
        .iter()
        .map(|t| {
            vec![
                t.broker.word().to_owned(),
                t.in_flight.to_string(),
                t.tasks.to_string(),
                format!("{:.0}", t.tasks_per_second),
                ms(t.p50_ms),
                ms(t.p99_ms),
                t.right.to_string(),
                t.lost.to_string(),
            ]
        })
        .collect();
    let head = [
        "broker",
        "in flight",
        "submitted",
        "tasks/s",
        "p50",
        "p99",
        "right",
        "lost",
    ];
    section("Throughput, durable, one proplet", &head, &rows)
}

fn processes(report: &Report) -> String {
    let mut rows = Vec::new();
    if let Some(StartUp {
        runs,
        p50_ms,
        slowest_ms,
    }) = &report.start_up
    {
        let median = format!("`propeller up` is ready, median of {runs}");
        rows.push(vec![median, ms(*p50_ms)]);
        rows.push(vec!["the slowest".to_owned(), ms(*slowest_ms)]);
    }
    if let Some(memory) = report.memory {
        let weight = format!("{:.1} MB", megabytes(memory));
        rows.push(vec![
            "idle `propeller proplet`, resident".to_owned(),
            weight,
        ]);
    }
    section("Processes", &["what", "value"], &rows)
}

fn module(measured: Option<&Module>) -> String {
    let Some(module) = measured else {
        return String::new();
    };
    let rows = [
        ("upload", module.upload_ms),
        ("first run: request to result", module.cold_ms),
        ("of that, proplet: prepare", module.cold_prepare_ms),
        ("of that, proplet: compile", module.cold_compile_ms),
        ("later run: request to result", module.cached_ms),
        ("of that, proplet: run", module.cached_run_ms),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), ms(value)]);
    let Module {
        bytes,
        modules,
        cached_runs,
        ..
    } = module;
    let title = format!(
        "A module of {bytes} bytes: medians of {modules} modules and {cached_runs} later runs"
    );
    section(&title, &["what", "value"], &rows)
}

fn sealed(measured: Option<&Sealed>) -> String {
    let Some(Sealed {
        bytes,
        modules,
        later_runs,
        first,
        later,
        at_rest_ms,
    }) = measured
    else {
        return String::new();
    };
    let pairs = [
        ("upload and first run", first),
        ("later run: request to result", later),
    ];
    let mut rows = Vec::from(pairs.map(|(name, pair)| {
        let ratio = pair
            .ratio()
            .map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"));
        vec![
            name.to_owned(),
            ms(pair.sealed_ms),
            ms(pair.plain_ms),
            ratio,
        ]
    }));
    let at_rest = "for comparison: sealing the module once and opening it once";
    let at_rest_ms = ms(*at_rest_ms);
    rows.push(vec![
        at_rest.to_owned(),
        at_rest_ms.clone(),
        at_rest_ms,
        "–".to_owned(),
    ]);
    let title = format!(
        "A module of {bytes} bytes, sealed beside plain: medians of {modules} modules and {later_runs} later runs"
    );
    section(
        &title,
        &["what", "sealed", "plain", "sealed / plain"],
        &rows,
    )
}

/// A number of milliseconds for people.
pub(crate) fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2} ms"))
}

/// A heading and a table; nothing if there are no rows.
fn section(title: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let rule = vec!["---"; head.len()].join("|");
    let mut out = format!("## {title}\n\n| {} |\n|{rule}|\n", head.join(" | "));
    for row in rows {
        // Writing to a text cannot fail.
        let _written = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
    out
}

fn list(title: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!("## {title}\n\n- {}\n\n", items.join("\n- "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_heading_a_rule_and_rows() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        let expected = "## T\n\n| x | y |\n|---|---|\n| a | 1 |\n\n";
        assert_eq!(section("T", &["x", "y"], &rows), expected);
        assert_eq!(section("T", &["x"], &[]), "");
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        assert_eq!(ms(None), "–");
        assert_eq!(ms(Some(1.234)), "1.23 ms");
    }
}
