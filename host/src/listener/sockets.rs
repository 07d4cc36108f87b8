//! The sockets of a door: one for each thread, all on one port, so that a connection stays on one core.
//! Accepts nothing.
//!
//! Sockets share a port when all of them say so (`SO_REUSEPORT`), and the kernel then deals connections
//! out among them: also to those of another process of the same user. So the first one does not say
//! it until it listens: where anybody else listens, it is refused, and whoever comes later and does
//! the same is refused as well.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel holds until they are accepted.
pub const BACKLOG: i32 = 1024;

/// A socket for each thread, all on one port that nobody else has.
///
/// # Errors
/// The address is taken (`AddrInUse`), or not ours.
pub fn open(listen: SocketAddr, n_threads: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let first = bind(listen, false)?;
    let listen: TcpListener = first.try_clone()?.into();
    let listen = listen.local_addr()?;
    let mut sockets = Vec::with_capacity(n_threads.max(1));
    if n_threads > 1 {
        first.set_reuse_port(true)?;
    }
    sockets.push(first.into());
    for _ in 1..n_threads {
        sockets.push(bind(listen, true)?.into());
    }
    Ok((listen, sockets))
}

fn bind(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process that are not quite over do not count; listeners do.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_ours_alone_on_whatever_address_it_is_asked_for() {
        let (taken, sockets) = open(SocketAddr::from(([127, 0, 0, 1], 0)), 3).unwrap();
        assert_eq!(sockets.len(), 3);
        for ip in ["127.0.0.1", "0.0.0.0", "::"] {
            for n_threads in [1, 2] {
                let other = SocketAddr::new(ip.parse().unwrap(), taken.port());
                let error = open(other, n_threads).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{other}");
            }
        }
        drop(sockets);
        assert!(open(taken, 2).is_ok());
    }

    #[test]
    fn of_many_that_start_at_once_one_has_the_port() {
        let free = open(SocketAddr::from(([127, 0, 0, 1], 0)), 1).unwrap().0;
        let starts: Vec<_> = (0..16).map(|_| std::thread::spawn(move || open(free, 2))).collect();
        let opened: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        assert!(opened.iter().filter(|opened| opened.is_ok()).count() <= 1);
        assert!(opened.iter().flatten().all(|(_, sockets)| sockets.len() == 2));
    }

    #[test]
    fn every_thread_is_given_connections() {
        let (listen, sockets) = open(SocketAddr::from(([127, 0, 0, 1], 0)), 2).unwrap();
        let clients: Vec<_> =
            (0..64).map(|_| std::net::TcpStream::connect(listen).unwrap()).collect();
        let accepted =
            sockets.iter().map(|socket| std::iter::from_fn(|| socket.accept().ok()).count());
        let accepted: Vec<usize> = accepted.collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|n_accepted| *n_accepted > 0), "{accepted:?}");
    }
}
