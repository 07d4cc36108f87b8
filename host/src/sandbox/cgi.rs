//! Serving a program the CGI way (RFC 3875): the request in its environment and on stdin, the
//! response on stdout. Does not decide limits and does not make stores.

pub mod environment;
mod head;
pub mod output;

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body;
use tokio_util::io::StreamReader;
use wasmtime_wasi::cli::AsyncStdinStream;

/// A request body as a program's stdin.
pub fn stdin<B>(body: B) -> AsyncStdinStream
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    AsyncStdinStream::new(StreamReader::new(Chunks(Mutex::new(Box::pin(body)))))
}

/// The data frames of a body. The lock is never waited for: it makes the body `Sync`.
struct Chunks<B>(Mutex<Pin<Box<B>>>);

impl<B> Stream for Chunks<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        loop {
            return match body.as_mut().poll_frame(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    let error: wasmtime_wasi_http::Error = error.into();
                    Poll::Ready(Some(Err(std::io::Error::other(error.to_string()))))
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    // Trailers: a program has no place for them.
                    Err(_) => continue,
                },
            };
        }
    }
}
