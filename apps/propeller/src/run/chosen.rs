//! Which manager `propeller run` uses: one of its own, or a running one.
//!
//! The flag has the identity of the one that every command has for its manager, and takes its place:
//! there its default or the environment say where the manager is, and here only who writes it on the
//! command line wants another one than the one that `run` starts.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Error, FromArgMatches};

/// The flag of [`Connection`](propeller_cli::Connection) whose place is taken.
const MANAGER: &str = "manager_url";
/// What else is about a running manager, and how it is written.
const ABOUT_IT: [(&str, &str); 6] = [
    ("token", "--token"),
    ("token_file", "--token-file"),
    ("ca_cert", "--ca-cert"),
    ("insecure", "--insecure"),
    ("tls_verification", "--tls-verification"),
    ("atom_url", "--atom-url"),
];

/// The address of the running manager that is to do it, if there is one.
#[derive(Debug)]
pub(super) struct Chosen(pub(super) Option<String>);

impl clap::Args for Chosen {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new(MANAGER)
                .short('m')
                .long("manager")
                .visible_alias("manager-url")
                .value_name("URL")
                .help("Let a running manager do it, instead of everything in this process"),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Chosen {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let is_written = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        if is_written(MANAGER) {
            return Ok(Self(matches.get_one::<String>(MANAGER).cloned()));
        }
        match ABOUT_IT.into_iter().find(|(id, _)| is_written(id)) {
            None => Ok(Self(None)),
            Some((_, flag)) => Err(Error::raw(
                ErrorKind::ArgumentConflict,
                format!(
                    "{flag} is about a running manager, and `run` starts one of its own: name a \
                     running one with --manager URL"
                ),
            )),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser, Subcommand};
    use propeller_cli::Connection;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        connection: Connection,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Debug, Subcommand)]
    enum Verb {
        Run(Box<crate::run::Args>),
    }

    fn chosen(flags: &[&str]) -> Result<Option<String>, String> {
        let line = [&["propeller"], flags].concat();
        match Line::try_parse_from(line) {
            Ok(line) => {
                let Verb::Run(args) = line.verb;
                if let Some(url) = &args.manager.0 {
                    assert_eq!(&line.connection.manager_url, url);
                }
                Ok(args.manager.0)
            }
            Err(error) => Err(error.to_string().lines().next().unwrap().to_owned()),
        }
    }

    #[test]
    fn whoever_names_a_manager_gets_it_however_it_is_written() {
        let url = "http://127.0.0.1:1";
        for flags in [
            ["run", "--manager", url, "a.wasm"],
            ["run", "--manager-url", url, "a.wasm"],
            ["run", "-m", url, "a.wasm"],
            ["-m", url, "run", "a.wasm"],
            ["--manager-url", url, "run", "a.wasm"],
        ] {
            assert_eq!(chosen(&flags), Ok(Some(url.to_owned())), "{flags:?}");
        }
        assert_eq!(chosen(&["run", "a.wasm"]), Ok(None));
    }

    #[test]
    fn what_is_about_a_running_manager_is_refused_without_one() {
        for flag in [
            "--token=x",
            "--token-file=x",
            "--ca-cert=x",
            "--insecure",
            "--tls-verification=false",
            "--atom-url=x",
        ] {
            let name = flag.split('=').next().unwrap();
            let expected = format!("error: {name} is about a running manager");
            for line in [[flag, "run", "a.wasm"], ["run", flag, "a.wasm"]] {
                let refusal = chosen(&line).unwrap_err();
                assert!(refusal.starts_with(&expected), "{refusal}");
                assert!(refusal.ends_with("--manager URL"), "{refusal}");
            }
            let url = "http://127.0.0.1:1";
            assert!(chosen(&["run", flag, "--manager", url, "a.wasm"]).is_ok());
        }
        assert_eq!(chosen(&["run", "--json", "a.wasm"]), Ok(None));
    }

    #[test]
    fn help_of_run_names_no_default_and_no_variable_for_its_manager() {
        let mut line = Line::command();
        line.build();
        let run = line.find_subcommand_mut("run").unwrap();
        let help = run.render_long_help().to_string();
        assert!(help.contains("-m, --manager <URL>"), "{help}");
        assert!(!help.contains("PROPELLER_MANAGER_URL"), "{help}");
        assert!(!help.contains("localhost"), "{help}");
    }
}
