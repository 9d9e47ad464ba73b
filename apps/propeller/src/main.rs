//! `propeller`: everything in one binary.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use propeller::{demo, print, run, services, up};
use propeller_cli::{Connection, Ui};
use propeller_settings::harden;

/// Run WebAssembly workloads on machines and brokers you do not control
#[derive(Debug, Parser)]
#[command(name = "propeller", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run an encrypted task through the whole path, on this machine, and show what happened
    Demo(demo::Args),
    /// Run one module through the encrypted path and print its result
    Run(Box<run::Args>),
    /// Start broker, manager, proxy and one proplet, and keep them running
    Up(up::Args),
    /// Start the manager
    Manager(services::Args),
    /// Start a proplet
    Proplet(services::Args),
    /// Start a proxy, which fetches images for proplets that cannot
    Proxy(services::Args),
    /// Start a key broker, which releases keys to proplets that are attested
    Keybroker(services::Args),
    /// Start the embedded MQTT broker
    Broker(services::Args),
    /// Print a document that is generated from the code
    #[command(hide = true)]
    Print(print::Args),
    #[command(flatten)]
    Client(propeller_cli::Verb),
}

fn main() -> ExitCode {
    // The first thing: a guest's process has one thread and has opened nothing.
    propeller_proplet::isolation::enter_if_child();
    // Before anything else: whoever uses TLS later finds one provider, and the same one.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return ExitCode::FAILURE;
    }
    let hardened = harden::no_core_dumps().and_then(|()| harden::many_files());
    if let Err(error) = hardened {
        return services::ended(Err(error));
    }
    let cli = Cli::parse();
    let mut builder = match cli.verb {
        // It has little to compute and large buffers: one thread has them from one heap, where several
        // would keep one each, and take turns in returning pages and asking for them again.
        Verb::Proxy(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(dispatch(cli));
            // A reader of standard input may be blocked for good: nobody waits for it.
            runtime.shutdown_background();
            code
        }
        Err(_) => ExitCode::FAILURE,
    }
}

async fn dispatch(cli: Cli) -> ExitCode {
    let Cli { connection, verb } = cli;
    match verb {
        Verb::Demo(args) => demo::demo(&args, connection.json).await,
        Verb::Run(args) => run::run(*args, &connection).await,
        Verb::Up(args) => up::up(&args).await,
        Verb::Manager(args) => services::manager(&args).await,
        Verb::Proplet(args) => services::proplet(&args).await,
        Verb::Proxy(args) => services::proxy(&args).await,
        Verb::Keybroker(args) => services::keybroker(&args).await,
        Verb::Broker(args) => services::broker(&args).await,
        Verb::Print(args) => print::print(&args, Cli::command()),
        Verb::Client(verb) => {
            let (mut out, mut err) = (io::stdout(), io::stderr());
            let terminal = (io::stdout().is_terminal(), io::stderr().is_terminal());
            let ui = Ui::new(&mut out, &mut err, terminal.1);
            let mut ui = ui.on_terminal(terminal.0, terminal.1);
            propeller_cli::run(verb, &connection, Cli::command(), &mut ui)
                .await
                .into()
        }
    }
}
