//! Greets whoever the arguments name, or the world.
//!
//! Arguments, an environment variable and standard output: what a command of WASI preview 1 has.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match writeln!(io::stdout(), "{} from Propeller, {}!", greeting(), whom()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The word to greet with. An empty `GREETING` counts as none.
fn greeting() -> String {
    match env::var_os("GREETING") {
        Some(word) if !word.is_empty() => word.to_string_lossy().into_owned(),
        _ => "Hello".to_owned(),
    }
}

/// Everything after the program's name, joined by spaces.
fn whom() -> String {
    let names: Vec<_> = env::args_os()
        .skip(1)
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if names.is_empty() {
        return "world".to_owned();
    }
    names.join(" ")
}
