//! Makes connections of its own, by `wasi:sockets`. Answers an error with status 500 and its name.
//!
//! `?to=` is an address with its port: it says `ping` there and answers what it is told. `?name=` with `?port=` is the
//! same by a name, which it looks up. `?n=` makes so many
//! sockets at once, and answers how many there are and why there are no more. `?listen=1` waits for others instead.

use std::net::{IpAddr, SocketAddr};

use guest_programs::{number, query, reply};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

guest_programs::serve!(dials);

fn dials(request: IncomingRequest, out: ResponseOutparam) {
    let n_sockets = number(&request, "n", 0);
    let answer = if n_sockets > 0 {
        Ok(hoarded(n_sockets))
    } else if query(&request, "listen").is_some() {
        listen().map(|()| "heard".to_owned())
    } else if let Some(name) = query(&request, "name") {
        told_by_name(&name, u16::try_from(number(&request, "port", 0)).expect("a port"))
    } else {
        let to = query(&request, "to").and_then(|to| to.parse().ok()).expect("an address");
        told(to)
    };
    match answer {
        Ok(text) => reply(out, 200, &text),
        Err(code) => reply(out, 500, code.name()),
    }
}

fn told(to: SocketAddr) -> Result<String, ErrorCode> {
    let family = if to.is_ipv4() { IpAddressFamily::Ipv4 } else { IpAddressFamily::Ipv6 };
    let socket = create_tcp_socket(family)?;
    socket.start_connect(&instance_network(), address(to))?;
    socket.subscribe().block();
    let (input, output) = socket.finish_connect()?;
    output.blocking_write_and_flush(b"ping").map_err(|_| ErrorCode::ConnectionReset)?;
    let answer = input.blocking_read(64).map_err(|_| ErrorCode::ConnectionReset)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Says it to the first of the addresses that answers.
fn told_by_name(name: &str, port: u16) -> Result<String, ErrorCode> {
    let addresses = resolve_addresses(&instance_network(), name)?;
    let mut failure = ErrorCode::NameUnresolvable;
    loop {
        addresses.subscribe().block();
        let ip = match addresses.resolve_next_address()? {
            None => return Err(failure),
            Some(IpAddress::Ipv4((a, b, c, d))) => IpAddr::from([a, b, c, d]),
            Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h))) => {
                IpAddr::from([a, b, c, d, e, f, g, h])
            }
        };
        match told(SocketAddr::new(ip, port)) {
            Ok(text) => return Ok(text),
            Err(code) => failure = code,
        }
    }
}

fn hoarded(n_sockets: u64) -> String {
    let mut sockets: Vec<TcpSocket> = Vec::new();
    for _ in 0..n_sockets {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => sockets.push(socket),
            Err(code) => return format!("{} {}", sockets.len(), code.name()),
        }
    }
    format!("{} all", sockets.len())
}

fn listen() -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), address("0.0.0.0:0".parse().expect("an address")))?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()
}

fn address(of: SocketAddr) -> IpSocketAddress {
    match of {
        SocketAddr::V4(of) => {
            let [a, b, c, d] = of.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: of.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(of) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: of.port(),
            flow_info: 0,
            address: of.ip().segments().into(),
            scope_id: 0,
        }),
    }
}
