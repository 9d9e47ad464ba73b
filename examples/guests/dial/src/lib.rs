//! Uses the sockets of WASI 0.2 from the command line, one verb for each thing to try.
//!
//! Exit status: 0 done, 1 anything else; standard error has the error code.

mod address;
mod failure;
mod pipe;
mod tcp;
mod udp;

use wasip2::cli::{environment, stdout};
use wasip2::exports::cli::run::Guest;
use wasip2::sockets::instance_network::instance_network;

use failure::Failure;

struct Dial;

wasip2::cli::command::export!(Dial);

impl Guest for Dial {
    fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        dial(&arguments).map_err(|failure| eprintln!("dial: {failure}"))
    }
}

fn dial(arguments: &[&str]) -> Result<(), Failure> {
    let network = instance_network();
    match arguments {
        ["connect", host, port] => tcp::connect(&network, host, address::port(port)?),
        ["listen", address, port] => tcp::listen(&network, address::socket_address(address, port)?),
        ["lookup", host] => {
            for address in address::resolve(&network, host)? {
                print(&format!("{address}\n"))?;
            }
            Ok(())
        }
        ["udp", address, port] => udp::send(&network, address::socket_address(address, port)?),
        _ => Err(Failure::Usage),
    }
}

/// Returns when the host has taken the text, which is short.
fn print(text: &str) -> Result<(), Failure> {
    Ok(stdout::get_stdout().blocking_write_and_flush(text.as_bytes())?)
}
