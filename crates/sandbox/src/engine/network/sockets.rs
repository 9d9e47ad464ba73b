//! `wasi:sockets`: TCP to and from where the job says, and lookups of its hosts' names.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime::{Error, Result};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, SocketError};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

use super::Reach;
use crate::engine::guest::Guest;

/// Lets a guest use its sockets as far as `reach` goes.
pub(in crate::engine) fn allow(wasi: &mut WasiCtxBuilder, reach: &Reach) {
    let reach = reach.clone();
    wasi.allow_tcp(true)
        .allow_udp(false)
        .allow_ip_name_lookup(true)
        .socket_addr_check(move |address, usage| {
            let reach = reach.clone();
            Box::pin(async move {
                match usage {
                    SocketAddrUse::TcpConnect => reach.may_connect(address).await,
                    SocketAddrUse::TcpListen => reach.may_listen(address),
                    // Whoever comes to a port that the guest may listen on.
                    SocketAddrUse::TcpAccept => true,
                    // The port that a connection goes out from is the system's choice.
                    SocketAddrUse::TcpBind => address.port() == 0 || reach.may_listen(address),
                    SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                        false
                    }
                }
            })
        });
}

/// Name lookups that answer for the hosts of the job alone: the question itself would carry data
/// to whoever answers for the name.
struct Lookup;

impl HasData for Lookup {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    reach: Reach,
    sockets: WasiSocketsCtxView<'a>,
}

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        self.sockets.convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<Error>) -> Result<Option<ErrorCode>> {
        self.sockets.network_error_code(error)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> Result<()> {
        network::HostNetwork::drop(&mut self.sockets, network)
    }
}

impl ip_name_lookup::Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        if !self.reach.may_look_up(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        self.sockets.resolve_addresses(network, name)
    }
}

impl ip_name_lookup::HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        self.sockets.resolve_next_address(stream)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.sockets, stream)
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}

/// Replaces the lookups of names, and adds `wasi:http`.
pub(in crate::engine) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<Guest, Lookup>(linker, |guest| View {
        reach: guest.reach(),
        sockets: guest.sockets(),
    })?;
    linker.allow_shadowing(false);
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}
