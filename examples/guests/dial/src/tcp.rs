//! Connections: made, and waited for.

use wasip2::cli::{stdin, stdout};
use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::network::{ErrorCode, IpSocketAddress, Network};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

use crate::failure::Failure;
use crate::pipe::{self, Pipe};
use crate::{address, print};

/// Sends standard input and prints what comes back, both at once: a peer that answers while it
/// reads would otherwise wait for us as we wait for it.
pub(crate) fn connect(network: &Network, host: &str, port: u16) -> Result<(), Failure> {
    let (socket, input, output) = connect_any(network, host, port)?;
    let mut there = Pipe::new(stdin::get_stdin(), output);
    let mut back = Pipe::new(input, stdout::get_stdout());
    let mut sending = true;
    while pipe::step(&mut [&mut there, &mut back])? {
        if sending && there.is_done() {
            socket.shutdown(ShutdownType::Send)?;
            sending = false;
        }
    }
    Ok(())
}

/// Accepts one connection and sends back what it brings.
pub(crate) fn listen(network: &Network, address: IpSocketAddress) -> Result<(), Failure> {
    let listener = create_tcp_socket(address::family(&address))?;
    listener.start_bind(network, address)?;
    wait(&listener, || listener.finish_bind())?;
    listener.start_listen()?;
    wait(&listener, || listener.finish_listen())?;
    print("listening\n")?;

    let (socket, input, output) = wait(&listener, || listener.accept())?;
    let mut echo = Pipe::new(input, output);
    while pipe::step(&mut [&mut echo])? {}
    Ok(socket.shutdown(ShutdownType::Send)?)
}

/// A socket and its streams, which belong to it: bound in this order, they are dropped in time.
type Connection = (TcpSocket, InputStream, OutputStream);

/// Tries the host's addresses one by one. The last one's error is the one that counts.
fn connect_any(network: &Network, host: &str, port: u16) -> Result<Connection, Failure> {
    let mut result = Err(ErrorCode::NameUnresolvable);
    for address in address::resolve(network, host)? {
        result = connect_to(network, address::join(address, port));
        if result.is_ok() {
            break;
        }
    }
    Ok(result?)
}

fn connect_to(network: &Network, address: IpSocketAddress) -> Result<Connection, ErrorCode> {
    let socket = create_tcp_socket(address::family(&address))?;
    socket.start_connect(network, address)?;
    let (input, output) = wait(&socket, || socket.finish_connect())?;
    Ok((socket, input, output))
}

/// Repeats what cannot be done yet, once the socket has news.
fn wait<T>(socket: &TcpSocket, attempt: impl Fn() -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
    loop {
        match attempt() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            result => return result,
        }
    }
}
