//! Making sockets, as `wasi:sockets/tcp-create-socket` has it: each takes a file of its app's and of the host's.
//! Does not judge addresses: the doorway of outbound connections does.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::{self, Host};
use wasmtime_wasi::p2::{SocketError, SocketResult, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use crate::sandbox::guest::Guest;
use crate::sandbox::outbound::NoSocket;

/// A guest whose sockets are counted.
struct Counted<'g>(&'g mut Guest);

struct CountedSockets;

impl HasData for CountedSockets {
    type Data<'g> = Counted<'g>;
}

/// Links the function, in a linker that allows shadowing.
///
/// # Errors
/// When it has another type, which would be a bug.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    tcp_create_socket::add_to_linker::<_, CountedSockets>(linker, |guest| Counted(guest))
}

impl Host for Counted<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        match self.0.take_socket_file() {
            Ok(()) => self.0.sockets().create_tcp_socket(family),
            Err(NoSocket::NotAllowed) => Err(ErrorCode::AccessDenied.into()),
            Err(NoSocket::TooMany) => Err(ErrorCode::NewSocketLimit.into()),
        }
    }
}

// What the functions of an interface fail with belongs to another one, which is served as it was.
impl network::Host for Counted<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.0.sockets().convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.0.sockets().network_error_code(error)
    }
}

impl network::HostNetwork for Counted<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0.sockets(), network)
    }
}
