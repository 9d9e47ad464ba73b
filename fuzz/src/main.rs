//! `propeller-fuzz [TARGET] [--seed N] [--runs N] [--seconds N]`: runs fuzz targets.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that a person runs in a terminal answers there"
)]

use std::process::ExitCode;
use std::time::Duration;

use propeller_fuzz::{Failure, Limit, TARGETS, Target, corpus, fuzz, replay};

const USAGE: &str = "usage: propeller-fuzz [TARGET] [--seed N] [--runs N] [--seconds N]";
/// For each target, unless somebody asks for more.
const TIME: Duration = Duration::from_secs(10);

struct Job {
    targets: Vec<Target>,
    seed: u64,
    limit: Limit,
}

fn main() -> ExitCode {
    let job = match job(std::env::args().skip(1)) {
        Ok(job) => job,
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    for target in &job.targets {
        if let Err(reason) = run(target, &job) {
            eprintln!("{}: {reason}", target.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(target: &Target, job: &Job) -> Result<(), String> {
    let name = target.name;
    let corpus = corpus(target).map_err(|error| format!("cannot read its corpus: {error}"))?;
    if let Some(input) = replay(target, &corpus) {
        return Err(format!("fuzz/corpus/{name}/{input} fails"));
    }
    let seed = job.seed;
    println!(
        "{name}: {} inputs pass, mutating from seed {seed}",
        corpus.len()
    );
    match fuzz(target, &corpus, seed, job.limit) {
        Ok(count) => {
            println!("{name}: {count} mutations pass");
            Ok(())
        }
        Err(Failure { seed, input }) => {
            let path = std::env::temp_dir().join(format!("propeller-fuzz-{name}-{seed}"));
            let kept = std::fs::write(&path, input);
            let kept = kept.map_or_else(|error| error.to_string(), |()| path.display().to_string());
            Err(format!(
                "seed {seed} fails; try `{name} --seed {seed} --runs 1`; input: {kept}"
            ))
        }
    }
}

fn job(mut args: impl Iterator<Item = String>) -> Result<Job, String> {
    let mut job = Job {
        targets: TARGETS.to_vec(),
        seed: fastrand::u64(..),
        limit: Limit::Time(TIME),
    };
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
            value
                .parse::<u64>()
                .map_err(|_| format!("`{value}` is not a number"))
        };
        match arg.as_str() {
            "--seed" => job.seed = number()?,
            "--runs" => job.limit = Limit::Runs(number()?),
            "--seconds" => job.limit = Limit::Time(Duration::from_secs(number()?)),
            name => job.targets = vec![target(name)?],
        }
    }
    Ok(job)
}

fn target(name: &str) -> Result<Target, String> {
    let known = TARGETS.map(|target| target.name).join(", ");
    let found = TARGETS.into_iter().find(|target| target.name == name);
    found.ok_or_else(|| format!("there is no target `{name}`, only {known}"))
}
