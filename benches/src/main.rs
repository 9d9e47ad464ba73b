//! `propeller-bench`: measures what a user feels, and prints where it was measured.
//!
//! - [`e2e`]: which measurements there are, and in which order
//! - [`latency`], [`throughput`], [`processes`], [`module`], [`sealed`]: one measurement each
//! - [`registry`]: images, and the proxy
//! - [`attested`]: encrypted tasks
//! - [`bed`], [`brokers`], [`http`], [`round`]: what they run on
//! - [`environment`], [`samples`], [`conclusion`], [`report`]: what is printed
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark speaks to whoever started it"
)]

mod attested;
mod bed;
mod brokers;
mod conclusion;
mod e2e;
mod environment;
mod error;
mod http;
mod latency;
mod module;
mod processes;
mod registry;
mod report;
mod round;
mod samples;
mod sealed;
mod throughput;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use propeller::stack::{Scratch, chain};

use crate::e2e::Plan;
use crate::environment::Environment;
use crate::report::Report;

/// Measures Propeller on this machine, over loopback
#[derive(Debug, Parser)]
#[command(name = "propeller-bench", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The whole path of a task: latency, legs, throughput, start-up, memory, cold modules
    E2e(e2e::Args),
    /// Images by way of a proxy, over mosquitto: speed, memory, and what each part costs
    Registry(registry::Args),
    /// Encrypted tasks: from the start message to the first instruction, step by step
    Attested(attested::Args),
}

fn main() -> ExitCode {
    // Before there are threads: proplets are part of this program.
    propeller_proplet::isolation::enter_if_child();
    // Then this: whoever uses TLS later finds one provider, and the same one.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    let measured = match Cli::parse().verb {
        Verb::E2e(args) => e2e(&args),
        Verb::Registry(args) => alone(registry::run(&args)),
        Verb::Attested(args) => alone(attested::run(&args)),
    };
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints. False if a task was lost or a measurement came to nothing.
fn e2e(args: &e2e::Args) -> Result<bool, String> {
    let plan = Plan::of(args);
    throughput::raise_open_files(&plan)?;
    let environment = gather()?;
    if !args.json {
        print!("{}", report::environment(&environment));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = Box::pin(e2e::run(&plan, environment)) => Ok(report),
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    });
    runtime.shutdown_background();
    let report: Report = report?;
    if args.json {
        println!("{}", report::json(&report));
    } else {
        print!("{}", report::text(&report));
    }
    Ok(report.is_good())
}

/// Measures and prints.
fn alone(measure: impl Future<Output = Result<(), registry::Failure>>) -> Result<bool, String> {
    print!("{}", report::environment(&gather()?));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let measured = runtime.block_on(measure);
    measured.map_err(|error| chain(&*error)).map(|()| true)
}

fn gather() -> Result<Environment, String> {
    let scratch = Scratch::new().map_err(|error| format!("no temporary directory: {error}"))?;
    Environment::gather(&scratch.path("")).map_err(|error| chain(&error))
}
