//! Tries to reach what a guest must not have, and reports what it got, one line for each attempt.
//!
//! It lists its environment and arguments, its preopened directories, and the outcome of reading
//! `/etc/passwd`, of resolving a name and of connecting to `?port=` on the loopback.

use std::fs;

use guest_programs::{number, reply};
use wasip2::{
    cli::environment,
    filesystem::preopens,
    http::types::{IncomingRequest, ResponseOutparam},
    sockets::{
        instance_network, ip_name_lookup,
        network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress},
        tcp_create_socket,
    },
};

guest_programs::serve!(probe);

fn probe(request: IncomingRequest, out: ResponseOutparam) {
    let mut lines = String::new();
    for (name, value) in environment::get_environment() {
        lines += &format!("env {name}={value}\n");
    }
    for argument in environment::get_arguments() {
        lines += &format!("argument {argument}\n");
    }
    for (_, path) in preopens::get_directories() {
        lines += &format!("directory {path}\n");
    }
    let file = fs::read("/etc/passwd").map(|bytes| bytes.len());
    lines += &format!("file {}\n", outcome(file.map_err(|error| error.kind().to_string())));
    lines += &format!("resolve {}\n", outcome(resolve("localhost").map_err(|code| code.name())));
    let port = u16::try_from(number(&request, "port", 80)).expect("a port");
    lines += &format!("connect {}\n", outcome(connect(port).map_err(|code| code.name())));
    reply(out, 200, &lines);
}

fn outcome<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.map_or_else(|reason| format!("denied: {reason}"), |_| "granted".to_owned())
}

fn resolve(name: &str) -> Result<(), ErrorCode> {
    let addresses = ip_name_lookup::resolve_addresses(&instance_network::instance_network(), name)?;
    addresses.subscribe().block();
    addresses.resolve_next_address()?.map(drop).ok_or(ErrorCode::NameUnresolvable)
}

fn connect(port: u16) -> Result<(), ErrorCode> {
    let network = instance_network::instance_network();
    let socket = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)?;
    let address = Ipv4SocketAddress { port, address: (127, 0, 0, 1) };
    socket.start_connect(&network, IpSocketAddress::Ipv4(address))?;
    socket.subscribe().block();
    socket.finish_connect().map(drop)
}
