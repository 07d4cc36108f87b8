//! One keep-alive connection that is asked one thing at a time, by a thread that waits for it.
//! For single requests whose time is measured, and for the API; load comes from `load`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::answer::whole;

/// Longest wait for a part of an answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// An open connection.
#[derive(Debug)]
pub(crate) struct Plain {
    stream: TcpStream,
    address: SocketAddr,
}

impl Plain {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address })
    }

    /// Asks, and gives back the status and the whole answer as text, head and body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, String)> {
        let (address, length) = (self.address, body.len());
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        let mut text = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            let n_read = self.stream.read(&mut piece)?;
            if n_read == 0 {
                bail!("{method} {path}: the server closed the connection");
            }
            text.extend_from_slice(piece.get(..n_read).unwrap_or_default());
            let answer = whole(&text).with_context(|| format!("{method} {path}"))?;
            if let Some(answer) = answer {
                return Ok((answer.status, String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
}

/// Asks over a connection of its own for something whose length nobody says before; returns the body.
pub(crate) fn fetch(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(FETCH_TIMEOUT))?;
    // This version of HTTP has no chunks: the end of the connection ends the answer.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("half an answer")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("GET {path}: {text}");
    }
    Ok(body.to_owned())
}
