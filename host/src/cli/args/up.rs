//! The flags of `steerage up`, and what people write for the address it serves at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::cli::variables::parse_flag;

/// Where `up` serves: apart from a host's own default, so that both can run.
const DEFAULT_PORT: u16 = 3000;
const DEFAULT_LISTEN: &str = "127.0.0.1:3000";

/// `steerage up`.
#[derive(Debug, Args)]
pub struct Up {
    /// The app's manifest
    #[arg(short, long, value_name = "FILE", default_value = "steerage.toml")]
    pub file: PathBuf,
    /// Where to serve the app: a port of this machine, or an address and a port
    #[arg(
        long,
        value_name = "ADDR",
        env = "STEERAGE_LISTEN",
        default_value = DEFAULT_LISTEN,
        value_parser = address,
    )]
    pub listen: SocketAddr,
    /// Build as `steerage build` does: slower, and as fast as in production once it runs
    #[arg(long)]
    pub release: bool,
    /// What a variable of the manifest is; also STEERAGE_VARIABLE_NAME in the environment or in .env beside the
    /// manifest, which are for secrets, too
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = parse_flag)]
    pub variables: Vec<(String, String)>,
    /// Do not watch the sources
    #[arg(long)]
    pub once: bool,
    /// Print nothing but the app's log lines and errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// Reads `3001`, `:3001`, `localhost:3001`, `127.0.0.1`, `[::1]:3001`. What is left out is as in the
/// default, so that an app is never served beyond this machine by accident.
fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("expected a port such as 3001, or an address such as {DEFAULT_LISTEN}");
    if let Ok(whole) = text.parse() {
        return Ok(whole);
    }
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    if let Some(ip) = ip(text) {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let ip =
        if host.is_empty() { Ipv4Addr::LOCALHOST.into() } else { ip(host).ok_or_else(wrong)? };
    Ok(SocketAddr::new(ip, port))
}

fn ip(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("3001", "127.0.0.1:3001"),
            (":3001", "127.0.0.1:3001"),
            ("localhost:3001", "127.0.0.1:3001"),
            ("localhost", "127.0.0.1:3000"),
            ("127.0.0.1", "127.0.0.1:3000"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:3001", "[::1]:3001"),
            ("::1", "[::1]:3000"),
            ("[::1]", "[::1]:3000"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "http", "70000", ":x", "example.com:80", "127.0.0.1:", "http://a:1"] {
            assert!(address(text).unwrap_err().contains("such as 3001"), "{text}");
        }
    }
}
