//! The limit: hello from hyper alone, with nothing behind it.
//! Built as the host's own ingress is: one thread per core, each with its own socket.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

/// Serves until it is killed.
pub(crate) fn serve(listen: SocketAddr) -> Result<()> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<_> =
        (0..n_threads).map(|_| std::thread::spawn(move || serve_one(listen))).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::Error::msg("a thread panicked"))??;
    }
    Ok(())
}

fn serve_one(listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        let listener = socket.listen(1024)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let service = service_fn(|_request| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello\n"))))
                });
                // The client closes when it is done.
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
            });
        }
    })
}
