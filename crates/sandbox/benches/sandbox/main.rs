//! What a sandbox costs: `cargo xtask bench sandbox [PART…]`.
//!
//! - [`port`]: our port beside bare Wasmtime ([`bare`]), and what an account alone takes
//!   ([`accounted`])
//! - [`isolation`]: a process for each guest beside threads
//! - [`metering`]: what fuel and epoch checks cost a guest that computes
//! - [`cold`]: the first task of a large module
//! - [`guests`]: what is run
//! - [`environment`], [`samples`], [`report`]: what is printed
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark speaks to whoever started it"
)]

mod accounted;
mod bare;
mod cold;
mod environment;
mod guests;
mod isolation;
mod metering;
mod port;
mod report;
mod samples;

use std::process::ExitCode;

use report::Goal;

/// The parts, in the order in which they are measured.
const PARTS: [(&str, Part); 4] = [
    ("port", port::measure),
    ("isolation", isolation::measure),
    ("metering", metering::measure),
    ("cold", cold::measure),
];

type Part = fn(&mut Vec<Goal>) -> Result<(), String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // Cargo's own test command builds and starts benchmarks too, without this flag.
    if !args.iter().any(|arg| arg == "--bench") {
        return ExitCode::SUCCESS;
    }
    let named: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let known = |name: &str| PARTS.iter().any(|(part, _)| *part == name);
    if let Some(unknown) = named.iter().find(|name| !known(name)) {
        let parts = PARTS.map(|(part, _)| part).join(", ");
        eprintln!("error: there is no part `{unknown}`; the parts are {parts}");
        return ExitCode::FAILURE;
    }
    environment::print();
    let mut goals = Vec::new();
    for (part, measure) in PARTS {
        if !named.is_empty() && !named.iter().any(|name| *name == part) {
            continue;
        }
        if let Err(error) = measure(&mut goals) {
            eprintln!("error: {part}: {error}");
            return ExitCode::FAILURE;
        }
    }
    report::goals(goals);
    ExitCode::SUCCESS
}
