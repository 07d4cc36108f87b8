//! Outbound HTTP of guests: only to hosts the manifest allows, and of addresses that are not public
//! only to what the operator opened besides. Bounded per call, per app and for the host.
//! Does not follow redirects and keeps no cookies: a guest does what it wants to itself.

mod answer;
mod app_egress;
mod charge;
mod connect;
mod connections;
mod denials;
mod egress;
mod found;
mod hooks;
mod look_ups;
mod names;
mod patience;
mod prepare;
mod recorded;
mod redis;
mod resp;
mod sockets;
mod tally;

use std::sync::Arc;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use steerage_core::outbound::{Denial, OutboundDecision, OutboundPolicy};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use self::answer::AnswerBody;
use self::app_egress::{AppEgress, Files};
pub use self::charge::ConnectionCharge;
use self::connect::{ConnectFailure, Destination, Stream, connect};
use self::connections::{Connections, Sender};
pub use self::denials::Denials;
pub use self::egress::{Egress, OwnDoors};
pub use self::look_ups::NoAddress;
use self::patience::Patience;
use self::prepare::{direct, empty, repeatable, settle};
use self::recorded::RecordedRequest;
pub use self::redis::{MOST_REDIS_BYTES, RedisConnection, RedisDoor, RedisFailure};
pub use self::resp::RedisReply;
pub use self::sockets::{Doorway, NoSocket, SocketFiles};
use self::tally::{CallOf, RequestTally};
use super::held::Sent;
use crate::call::CallTime;
use crate::capsule::Tape;
use crate::telemetry::destinations::Destinations;

/// Requests of one call that are under way at once. More wait for one of them to end.
const MOST_PER_CALL: usize = 64;
/// Bytes that a connection buffers of what it reads, so also the longest head of a response.
const MOST_BUFFERED: usize = 64 << 10;

/// The way out for one deployment's calls. Connections are kept, and never shared with others.
#[derive(Debug)]
pub struct Outbound {
    inner: Arc<Inner>,
    /// The turns of this instance's requests; made when it sends the first.
    turns: Option<Arc<Semaphore>>,
    /// What its requests weigh that wait or are under way; made as late.
    sent: Option<Sent>,
    /// The call that the instance serves.
    call: Option<CallOf>,
    /// Where it is written down what came of its requests, or from where it is said again.
    tape: Option<Tape>,
}

#[derive(Debug)]
struct Inner {
    app: Arc<AppEgress>,
    connections: Arc<Connections>,
    destinations: Arc<Destinations>,
    charge: ConnectionCharge,
}

impl Outbound {
    /// A way out that `policy` guards; refusals are told to `denials`, and what becomes of each request to
    /// `destinations`.
    #[must_use]
    pub fn new(
        policy: OutboundPolicy,
        egress: Arc<Egress>,
        (denials, destinations): (Denials, Arc<Destinations>),
        charge: ConnectionCharge,
    ) -> Self {
        let app = Arc::new(AppEgress::new(policy, egress, denials));
        let inner = Inner { app, connections: Arc::default(), destinations, charge };
        Self { inner: Arc::new(inner), turns: None, sent: None, call: None, tape: None }
    }

    /// The same way out, for an instance of its own: requests of a call are counted apart.
    #[must_use]
    pub fn for_instance(&self) -> Self {
        Self { inner: self.inner.clone(), turns: None, sent: None, call: None, tape: None }
    }

    /// The way out for connections that guests make themselves; `None` where the manifest allows none.
    pub(super) fn doorway(&self) -> Option<Doorway> {
        Doorway::of(&self.inner.app)
    }

    /// What makes connections to Redis.
    pub(super) fn redis(&self) -> RedisDoor {
        RedisDoor::of(&self.inner.app)
    }

    /// From now on its instance serves this call, whose time it takes and which is cut then.
    pub(super) fn start_call(&mut self, time: &Arc<CallTime>, deadline: Instant) {
        self.call = Some(CallOf { time: time.clone(), deadline: deadline.into_std() });
    }

    /// Where the time goes of the call that its instance serves.
    #[inline]
    pub(super) fn time(&self) -> Option<&Arc<CallTime>> {
        self.call.as_ref().map(|call| &call.time)
    }

    /// From now on a tape has part in what its guest is told of its requests.
    pub(super) fn attach_tape(&mut self, tape: Tape) {
        self.tape = Some(tape);
    }

    /// Sends a request; the connection is asked for and the time counts once what this returns is polled.
    pub(super) fn start(
        &mut self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> impl Future<Output = Result<Response<WasiBody>, Error>> + Send + use<> {
        let recorded = self.tape.as_ref().map(|tape| RecordedRequest::begin(tape, &request));
        let (recorded, request) = match recorded {
            // In a box, as it is rare.
            Some(recorded) if recorded.is_played() => (None, Err(Box::pin(recorded.play(request)))),
            recorded => (recorded, Ok(request)),
        };
        let sent = request.map(|request| self.send(request, options));
        async move {
            let sent = match sent {
                Ok(sent) => sent,
                Err(played) => return played.await,
            };
            let answer = sent.await;
            match recorded {
                Some(recorded) => recorded.note(answer),
                None => answer,
            }
        }
    }

    fn send(
        &mut self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> impl Future<Output = Result<Response<WasiBody>, Error>> + Send + use<> {
        let turns = self.turns.get_or_insert_with(|| Arc::new(Semaphore::new(MOST_PER_CALL)));
        let turns = turns.clone();
        let counted = self.sent.get_or_insert_default().count(&request);
        let destination = Destination::of(request.uri());
        // From now on, not when a task begins to send it: the guest may stop running before.
        let tally = destination.as_ref().map(|to| {
            let (destinations, call) = (self.inner.destinations.clone(), self.call.clone());
            let shown = self.inner.app.denials.shown(&to.authority()).into();
            RequestTally::new(destinations, shown, request.method(), call)
        });
        let sent = self.inner.clone().send(request, options, turns, destination.zip(tally));
        async move {
            let answer = sent.await;
            drop(counted);
            answer
        }
    }

    /// Lets none of the requests begin that wait for their turn: the instance is over.
    fn close(&self) {
        if let Some(turns) = &self.turns {
            turns.close();
        }
    }

    /// What the requests of this instance weigh that wait or are under way.
    pub(super) fn n_bytes_sent(&self) -> usize {
        self.sent.as_ref().map_or(0, Sent::n_bytes)
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    async fn send(
        self: Arc<Self>,
        request: Request<WasiBody>,
        options: RequestOptions,
        turns: Arc<Semaphore>,
        to: Option<(Destination, RequestTally)>,
    ) -> Result<Response<WasiBody>, Error> {
        let (destination, mut tally) = to.ok_or(Error::HttpRequestUriInvalid)?;
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let patience = Patience::of(&options);
        let sent = self.send_when_let(request, &destination, &patience, (turns, &mut tally)).await;
        let (response, turn) = sent.inspect_err(|error| tally.fail(error))?;
        tally.answer(response.status().as_u16());
        let body = |body| AnswerBody::new(body, patience.between_bytes, turn, tally).boxed_unsync();
        Ok(response.map(body))
    }

    /// Sends a request that the policy allows, once it is its turn.
    async fn send_when_let(
        &self,
        request: Request<WasiBody>,
        destination: &Destination,
        patience: &Patience,
        (turns, tally): (Arc<Semaphore>, &mut RequestTally),
    ) -> Result<(Response<Incoming>, OwnedSemaphorePermit), Error> {
        let asked =
            self.app.policy.permits(destination.scheme(), destination.host(), destination.port());
        let OutboundDecision::Allowed { is_named } = asked else {
            self.app.denials.note(destination, Denial::NotListed);
            return Err(Error::HttpRequestDenied);
        };
        // Otherwise the time is over, or the instance.
        let Ok(Ok(turn)) = timeout_at(patience.connect_until, turns.acquire_owned()).await else {
            return Err(Error::ConnectionLimitReached);
        };
        tally.begin();
        Ok((self.exchange(request, destination, is_named, patience).await?, turn))
    }

    /// Sends a request over a connection that waits, or over a new one.
    ///
    /// A connection that waits may have been closed by the other side without a word, or just now.
    /// What was not written then is sent again over another. What was written is too, once and over a
    /// new connection, where doing it twice is as good as once (RFC 9110, 9.2.2) and it has no body.
    async fn exchange(
        &self,
        mut request: Request<WasiBody>,
        destination: &Destination,
        is_named: bool,
        patience: &Patience,
    ) -> Result<Response<Incoming>, Error> {
        direct(&mut request)?;
        request = settle(request).await;
        let mut copy = repeatable(&request);
        let mut is_last_try = false;
        loop {
            let kept = if is_last_try { None } else { self.connections.take(destination) };
            let is_kept = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.open(destination, is_named, patience.connect_until).await?,
            };
            match timeout(patience.first_byte, sender.try_send_request(request)).await {
                Err(_) => return Err(Error::ConnectionReadTimeout),
                Ok(Ok(response)) => {
                    self.connections.keep(destination.clone(), sender);
                    return Ok(response);
                }
                Ok(Err(mut failed)) => {
                    let unsent = failed.take_message();
                    let error = failed.into_error();
                    let again = unsent.or_else(|| {
                        is_last_try = true;
                        let copy = copy.take().filter(|_| is_broken(&error))?;
                        Some(Request::from_parts(copy, empty()))
                    });
                    request = again.filter(|_| is_kept).ok_or_else(|| explain(&error))?;
                }
            }
        }
    }

    async fn open(
        &self,
        destination: &Destination,
        is_named: bool,
        deadline: Instant,
    ) -> Result<Sender, Error> {
        let opened = async {
            let files = self.files(deadline).await?;
            match connect(&self.app.egress, &self.app.names, destination, is_named, deadline)
                .await?
            {
                Stream::Plain(stream) => self.begin(TokioIo::new(stream), files).await,
                Stream::Tls(stream) => self.begin(TokioIo::new(stream), files).await,
            }
        };
        opened.await.map_err(|failure| {
            if let OpenFailure::Connect(ConnectFailure::Denied(denial)) = &failure {
                self.app.denials.note(destination, *denial);
            }
            Error::from(failure)
        })
    }

    /// Room for one more connection: first of this app, so that its own connections that wait go
    /// before it takes from the others.
    async fn files(&self, deadline: Instant) -> Result<Files, OpenFailure> {
        let in_time = async {
            let own = match self.app.files.clone().try_acquire_owned() {
                Ok(own) => own,
                Err(_) => {
                    self.connections.drop_oldest();
                    self.app.files.clone().acquire_owned().await.map_err(|_| OpenFailure::NoRoom)?
                }
            };
            let all = &self.app.egress.connections;
            let of_host = match all.clone().try_acquire_owned() {
                Ok(of_host) => of_host,
                Err(_) => {
                    self.connections.drop_oldest();
                    all.clone().acquire_owned().await.map_err(|_| OpenFailure::NoRoom)?
                }
            };
            Ok((own, of_host))
        };
        timeout_at(deadline, in_time).await.unwrap_or(Err(OpenFailure::NoRoom))
    }

    async fn begin<S>(&self, stream: S, files: Files) -> Result<Sender, OpenFailure>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        let (sender, connection) = builder.max_buf_size(MOST_BUFFERED).handshake(stream).await?;
        // Reading and writing are the app's work, whoever's thread does it.
        tokio::spawn(self.charge.clone().of(async move {
            // Whoever waits for its response hears how it ended.
            drop(connection.await);
            drop(files);
        }));
        Ok(sender)
    }
}

/// Why no connection could be begun.
#[derive(Debug, thiserror::Error)]
enum OpenFailure {
    #[error("as many connections are open as may be")]
    NoRoom,
    #[error(transparent)]
    Connect(#[from] ConnectFailure),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl From<OpenFailure> for Error {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::NoRoom => Self::ConnectionLimitReached,
            OpenFailure::Connect(failure) => Self::from(&failure),
            OpenFailure::Http(error) => explain(&error),
        }
    }
}

/// Whether the connection ended instead of answering.
fn is_broken(error: &hyper::Error) -> bool {
    let is_io = |error: &hyper::Error| {
        std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
    };
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_io(error)
}

fn explain(error: &hyper::Error) -> Error {
    if is_broken(error) { Error::ConnectionTerminated } else { Error::HttpProtocolError }
}
