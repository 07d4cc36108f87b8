//! The sockets of a door: one for each thread, all on one port, so that a connection stays on one core.
//! Accepts nothing.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel holds until they are accepted.
pub const BACKLOG: i32 = 1024;

/// A socket for each thread, all on one port.
pub(super) fn sockets(
    listen: SocketAddr,
    n_threads: usize,
) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let first = bind(listen)?;
    let listen = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..n_threads.max(1) {
        sockets.push(bind(listen)?);
    }
    Ok((listen, sockets))
}

pub(super) fn sockets_for_peers(
    listen: SocketAddr,
    n_threads: usize,
) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    let refused = |error| io::Error::other(format!("{listen}, for other hosts: {error}"));
    sockets(listen, n_threads).map_err(refused)
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
