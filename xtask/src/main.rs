//! The project's own commands: `cargo xtask VERB`, one file per verb.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command that a person runs in a terminal answers there"
)]

mod bench;
mod features;
mod generate;
mod guests;
mod metadata;
mod run;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use metadata::Metadata;

/// A verb with the line that `cargo xtask` shows for it.
struct Verb {
    name: &'static str,
    does: &'static str,
    run: fn(&Metadata, &[String]) -> Result<ExitCode, String>,
}

const VERBS: [Verb; 7] = [
    Verb {
        name: "tidy",
        does: "check the rules of ARCHITECTURE.md and CONTRIBUTING.md, change nothing",
        run: tidy::run,
    },
    Verb {
        name: "features",
        does: "check that the proplet builds with each of its features alone",
        run: features::run,
    },
    Verb {
        name: "test",
        does: "install what tests need, run every test, count: test [FILTER…]",
        run: test::run,
    },
    Verb {
        name: "generate",
        does: "write the generated files that `tidy` compares",
        run: generate::run,
    },
    Verb {
        name: "guests",
        does: "rebuild the example guests",
        run: guests::run,
    },
    Verb {
        name: "bench",
        does: "measure: bench [e2e] [ARGS…]",
        run: bench::run,
    },
    Verb {
        name: "soak",
        does: "run what is long: tests, then the fuzz targets: soak [ARGS of these]",
        run: soak::run,
    },
];

/// The exit code of a command line that cannot be understood.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", usage());
        return ExitCode::from(EXIT_USAGE);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprint!("xtask: no verb `{name}`\n{}", usage());
        return ExitCode::from(EXIT_USAGE);
    };
    match Metadata::load().and_then(|metadata| (verb.run)(&metadata, rest)) {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("xtask {name}: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = "usage: cargo xtask VERB [ARGS…]\n\n".to_owned();
    for Verb { name, does, .. } in VERBS {
        text.push_str(&format!("  {name:<9} {does}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_names_every_verb() {
        for verb in VERBS {
            assert!(usage().contains(verb.name), "{}", verb.name);
        }
    }
}
