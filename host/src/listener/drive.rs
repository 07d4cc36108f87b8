//! A connection that is served until it ends, or until it is told to finish or to end.
//! Knows neither requests nor answers.

use super::connection::Word;
use super::idle::Idle;
use super::room::Entered;
use super::{BoxError, Listener, Service};

impl<S: Service> Listener<S> {
    /// Serves a connection until it ends, or finishes it when it is told to.
    pub(super) async fn drive<C>(
        &self,
        connection: C,
        finish: fn(std::pin::Pin<&mut C>),
        entered: &Entered,
        is_http2: bool,
    ) -> Result<(), BoxError>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut driven = std::pin::pin!(connection);
        let connection = &entered.connection;
        let ends_idle = is_http2 && self.settings.ends_idle;
        let mut idle = ends_idle.then(|| Idle::new(self.settings.limits));
        let mut known = None;
        std::future::poll_fn(|context| {
            loop {
                if let std::task::Poll::Ready(ended) = driven.as_mut().poll(context) {
                    return std::task::Poll::Ready(ended.map_err(BoxError::from));
                }
                let told = match idle.as_mut().map(|idle| idle.poll(connection, context)) {
                    Some(std::task::Poll::Ready(word)) => word,
                    _ => std::task::ready!(connection.poll_told(known, context)),
                };
                // Who was not heard of yet has asked for nothing that could be finished.
                if told == Word::End || !connection.is_heard() {
                    return std::task::Poll::Ready(Ok(()));
                }
                if known < Some(told) {
                    known = Some(told);
                    finish(driven.as_mut());
                }
            }
        })
        .await
    }
}
