//! `propeller-cli`: the command line alone, without the services.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use propeller_cli::{Cli, Ui};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing before this installs a provider");
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let terminal = (io::stdout().is_terminal(), io::stderr().is_terminal());
    let mut ui = Ui::new(&mut out, &mut err, terminal.1).on_terminal(terminal.0, terminal.1);
    propeller_cli::run(cli.verb, &cli.connection, Cli::command(), &mut ui)
        .await
        .into()
}
