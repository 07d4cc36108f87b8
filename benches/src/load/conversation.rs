//! One keep-alive connection: ask, read the whole answer, ask again; reconnect when it ends.
//! Does not decide when to ask.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::answer::{Answer, whole};
use super::pace::{Turn, Turns};

/// How long a caller whose connection ended waits before it tries again.
const BACK_OFF: Duration = Duration::from_millis(10);

/// What one connection asks, and how patiently.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) address: SocketAddr,
    /// Asked for one after the other, again and again.
    pub(super) paths: Vec<String>,
    pub(super) give_up: Duration,
}

/// An open connection and what was read from it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Asks as long as there are turns, and counts what comes back.
pub(super) async fn converse(asking: Asking, turns: Rc<Turns>, shared: Arc<Shared>) {
    let Asking { address, paths, give_up } = asking;
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let requests: Vec<String> = paths.iter().map(request).collect();
    let mut connection = None;
    for request in requests.iter().cycle() {
        let Turn::Send(due_at) = turns.next().await else {
            shared.broken();
            continue;
        };
        let asked = ask(&mut connection, address, request.as_bytes());
        match tokio::time::timeout(give_up, asked).await {
            Ok(Ok(answer)) => {
                if shared.answered(answer.status, due_at.elapsed()).is_err() || answer.closes {
                    connection = None;
                }
            }
            Ok(Err(_)) => {
                shared.broken();
                connection = None;
                tokio::time::sleep(BACK_OFF).await;
            }
            Err(_) => {
                shared.broken();
                connection = None;
            }
        }
    }
}

async fn ask(
    connection: &mut Option<Connection>,
    address: SocketAddr,
    request: &[u8],
) -> Result<Answer> {
    let connection = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(address).await?),
    };
    connection.ask(request).await
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(answer) = whole(&self.buffer)? {
                return Ok(answer);
            }
        }
    }
}
