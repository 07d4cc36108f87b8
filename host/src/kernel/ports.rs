//! Who listens on a port of this machine, by what the kernel shows in `/proc`.
//! Sees the processes it may look into only: those of the same user, or all for root.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listener's state in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The program that listens where `address` would, as `name (process 123)`; `None` where it cannot be
/// told.
#[must_use]
pub fn holder(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listeners(&table, address))
        .collect();
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut processes = fs::read_dir("/proc").ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    let id = processes.find(|id| {
        let Ok(files) = fs::read_dir(format!("/proc/{id}/fd")) else { return false };
        files.flatten().any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str())
        })
    })?;
    let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
    Some(format!("{} (process {id})", name.trim()))
}

/// The sockets of a table that listen where `address` would.
fn listeners(table: &str, address: SocketAddr) -> Vec<u64> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, state) = (words.next()?, words.nth(1)?);
        let (ip, port) = local.split_once(':')?;
        let is_same = state == LISTEN
            && u16::from_str_radix(port, 16).ok()? == address.port()
            && overlap(ip_of(ip)?, address.ip());
        // Past queues, timers, retries, user and timeout.
        is_same.then(|| words.nth(5)?.parse().ok())?
    });
    lines.collect()
}

fn overlap(one: IpAddr, other: IpAddr) -> bool {
    let (one, other) = (one.to_canonical(), other.to_canonical());
    one == other || one.is_unspecified() || other.is_unspecified()
}

/// An address as the kernel writes it: words of four bytes, each in the machine's own order.
fn ip_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(1)?, word(2)?, word(3)?];
    let bytes: [u8; 16] = words.concat().try_into().ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_named() {
        for ip in ["127.0.0.1", "::1", "0.0.0.0"] {
            let Ok(listener) = std::net::TcpListener::bind((ip, 0)) else { continue };
            let port = listener.local_addr().unwrap().port();
            let holder = holder(SocketAddr::new(ip.parse().unwrap(), port)).unwrap();
            assert!(holder.contains(&format!("(process {})", std::process::id())), "{holder}");
        }
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(holder(nobody), None);
    }

    #[test]
    fn listeners_are_those_whose_addresses_overlap() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 11 1\n\
            1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12 1\n\
            2: 0100007F:1F90 0100007F:AAAA 01 00000000:00000000 00:00000000 00000000 0 0 13 1\n";
        let at = |address: &str| listeners(table, address.parse().unwrap());
        assert_eq!(at("127.0.0.1:8080"), [11]);
        assert_eq!(at("0.0.0.0:8080"), [11]);
        assert_eq!(at("127.0.0.2:8080"), [0; 0]);
        assert_eq!(at("127.0.0.2:8081"), [12]);
        assert_eq!(at("[::]:8081"), [12]);
    }
}
