//! Addresses, as people write them and as the bindings have them.

use std::net::IpAddr;

use wasip2::sockets::ip_name_lookup::{ResolveAddressStream, resolve_addresses};
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    Network,
};

use crate::failure::Failure;

pub(crate) fn port(text: &str) -> Result<u16, Failure> {
    text.parse().map_err(|_| Failure::Port(text.to_owned()))
}

pub(crate) fn socket_address(address: &str, port: &str) -> Result<IpSocketAddress, Failure> {
    let address = address
        .parse()
        .map_err(|_| Failure::Address(address.to_owned()))?;
    Ok(join(address, self::port(port)?))
}

pub(crate) fn join(address: IpAddr, port: u16) -> IpSocketAddress {
    match address {
        IpAddr::V4(address) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port,
            address: address.octets().into(),
        }),
        IpAddr::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port,
            flow_info: 0,
            address: address.segments().into(),
            scope_id: 0,
        }),
    }
}

pub(crate) fn family(address: &IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

/// All addresses of the host. A literal address is its own, and nobody is asked for it.
pub(crate) fn resolve(network: &Network, host: &str) -> Result<Vec<IpAddr>, Failure> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let names = resolve_addresses(network, host)?;
    let mut addresses = Vec::new();
    while let Some(address) = next(&names)? {
        addresses.push(match address {
            IpAddress::Ipv4(address) => IpAddr::from(<[u8; 4]>::from(address)),
            IpAddress::Ipv6(address) => IpAddr::from(<[u16; 8]>::from(address)),
        });
    }
    Ok(addresses)
}

fn next(names: &ResolveAddressStream) -> Result<Option<IpAddress>, ErrorCode> {
    loop {
        match names.resolve_next_address() {
            Err(ErrorCode::WouldBlock) => names.subscribe().block(),
            result => return result,
        }
    }
}
