//! Datagrams.

use std::net::{Ipv4Addr, Ipv6Addr};

use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Network};
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

use crate::failure::Failure;
use crate::{address, print};

/// Sends one datagram to the address, from a port that the host chooses.
pub(crate) fn send(network: &Network, address: IpSocketAddress) -> Result<(), Failure> {
    let family = address::family(&address);
    let socket = create_udp_socket(family)?;
    socket.start_bind(network, unspecified(family))?;
    finish_bind(&socket)?;

    let (_incoming, outgoing) = socket.stream(None)?;
    while outgoing.check_send()? == 0 {
        outgoing.subscribe().block();
    }
    outgoing.send(&[OutgoingDatagram {
        data: b"dial\n".to_vec(),
        remote_address: Some(address),
    }])?;
    print("sent\n")
}

fn unspecified(family: IpAddressFamily) -> IpSocketAddress {
    match family {
        IpAddressFamily::Ipv4 => address::join(Ipv4Addr::UNSPECIFIED.into(), 0),
        IpAddressFamily::Ipv6 => address::join(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}

fn finish_bind(socket: &UdpSocket) -> Result<(), ErrorCode> {
    loop {
        match socket.finish_bind() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            result => return result,
        }
    }
}
