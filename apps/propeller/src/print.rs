//! Documents that are generated from the code, checked in, and checked to be fresh.

use std::process::ExitCode;

use clap::{Command, ValueEnum};

use crate::services::{BROKER_SCHEMA, ended, show};

/// Which document.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    document: Document,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Document {
    /// The OpenAPI document of the manager's REST API.
    Openapi,
    /// The reference of all commands.
    Cli,
    /// The reference of all settings.
    Config,
}

/// Prints a document.
#[must_use]
pub fn print(args: &Args, program: Command) -> ExitCode {
    let text = match args.document {
        Document::Openapi => propeller_manager::http::openapi(),
        Document::Cli => cli(program),
        Document::Config => config(),
    };
    ended(show(&text))
}

fn config() -> String {
    let mut out = "# Settings\n\n\
        A value is looked for in the environment, then in `.env`, then in `config.toml`, then in the defaults below.\n\
        An empty value counts as not set.\n\
        Unknown keys are errors in files and warnings in the environment.\n\
        `propeller manager config show`, and the same of `proplet`, `proxy`, `keybroker` and `broker`, print every value and where it came from.\n\n"
        .to_owned();
    for schema in [
        propeller_manager::config::SCHEMA,
        propeller_proplet::config::SCHEMA,
        propeller_proxy::config::SCHEMA,
        propeller_keybroker::config::SCHEMA,
        BROKER_SCHEMA,
    ] {
        out.push_str(&schema.reference());
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn cli(mut program: Command) -> String {
    let mut out = "# Commands\n".to_owned();
    program.build();
    describe(&mut program, "propeller", &mut out);
    out
}

/// One section for each command, depth first. A fixed width keeps it the same on every terminal.
fn describe(command: &mut Command, name: &str, out: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let help = command.clone().term_width(100).render_help().to_string();
    out.push_str(&format!(
        "\n## `{name}`\n\n```text\n{}\n```\n",
        help.trim_end()
    ));
    for sub in command.get_subcommands_mut() {
        if sub.get_name() != "help" {
            let name = format!("{name} {}", sub.get_name());
            describe(sub, &name, out);
        }
    }
}
