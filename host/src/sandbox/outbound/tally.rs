//! What becomes of one outbound request, told once to its app's destinations and to its call: how it ended,
//! how long it took and how long it was waited for.
//! Does not send it, and does not know what it is about.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use steerage_core::destinations::{CountedAs, EndReason, RequestEnd, RequestOver};
use steerage_core::spent::Phase;
use wasmtime_wasi_http::Error;

use crate::call::{CallTime, OutboundRequest, WaitedFor, known_method};
use crate::telemetry::destinations::{Destinations, now};

/// The call that a request is of.
#[derive(Clone, Debug)]
pub(super) struct CallOf {
    /// Where its time goes.
    pub(super) time: Arc<CallTime>,
    /// When its time is over.
    pub(super) deadline: Instant,
}

/// One request, from when the guest sends it until its answer is over or nobody wants it any more.
#[derive(Debug)]
pub(super) struct RequestTally {
    destinations: Arc<Destinations>,
    /// As `host:port`.
    destination: Arc<str>,
    method: &'static str,
    call: Option<(CallOf, WaitedFor)>,
    /// How it is counted, since it is under way.
    begun: Option<CountedAs>,
    /// When the guest sent it, and when it could be.
    sent_at: Instant,
    began_at: Instant,
    /// Since when the guest waits for it, or for more of its answer.
    waiting_since: Option<Instant>,
    waited: Duration,
    /// The span of the guest in which it was sent, if any.
    below: Option<NonZeroU64>,
    /// The status of its answer, and how long that took.
    answered: Option<(u16, Duration)>,
    failed: Option<EndReason>,
    is_told: bool,
}

impl RequestTally {
    /// That of a request which is waited for from now on.
    pub(super) fn new(
        destinations: Arc<Destinations>,
        destination: Arc<str>,
        method: &Method,
        call: Option<CallOf>,
    ) -> Self {
        let below = call.as_ref().and_then(|call| call.time.spans().open());
        let call = call.map(|call| {
            let waited_for = WaitedFor::new(call.time.clone(), Phase::Outbound);
            (call, waited_for)
        });
        let now = Instant::now();
        let mut tally = Self {
            destinations,
            destination,
            method: known_method(method),
            call,
            begun: None,
            sent_at: now,
            began_at: now,
            waiting_since: None,
            waited: Duration::ZERO,
            below,
            answered: None,
            failed: None,
            is_told: false,
        };
        tally.wait(true);
        tally
    }

    /// It may be sent, and is under way from now on.
    pub(super) fn begin(&mut self) {
        self.began_at = Instant::now();
        self.begun = Some(self.destinations.begin(&self.destination));
    }

    /// The head of its answer is there.
    pub(super) fn answer(&mut self, status: u16) {
        self.answered = Some((status, self.began_at.elapsed()));
        self.wait(false);
    }

    /// It has failed, or the rest of its answer has.
    pub(super) fn fail(&mut self, error: &Error) {
        self.failed = Some(reason(error, self.answered.is_some()));
        self.tell();
    }

    /// Its answer is there to the end.
    pub(super) fn finish(&mut self) {
        self.tell();
    }

    /// Says whether the guest waits for it from now on.
    pub(super) fn wait(&mut self, is_waiting: bool) {
        if is_waiting == self.waiting_since.is_some() || self.is_told {
            return;
        }
        let now = Instant::now();
        if let Some((call, waited_for)) = &mut self.call {
            waited_for.set(is_waiting);
            let waits = call.time.outbound_waits();
            if is_waiting {
                waits.begin(&self.destination, now);
            } else {
                waits.pause(&self.destination, now);
            }
        }
        let since = if is_waiting { Some(now) } else { None };
        if let Some(since) = std::mem::replace(&mut self.waiting_since, since) {
            self.waited += now.saturating_duration_since(since);
        }
    }

    fn tell(&mut self) {
        if self.is_told {
            return;
        }
        let was_waiting = self.waiting_since.is_some();
        self.wait(false);
        self.is_told = true;
        let is_late = self.call.as_ref().is_some_and(|(call, _)| call.deadline <= Instant::now());
        let (end, why) = match (self.failed, self.answered) {
            (Some(reason), _) => (reason.end(), reason.text()),
            // Whoever was waiting has stopped doing so, and not because it had an answer.
            (None, _) if was_waiting && is_late => {
                (EndReason::CallOver.end(), EndReason::CallOver.text())
            }
            (None, Some((500.., _))) => (RequestEnd::ServerError, "answered 5xx"),
            (None, Some(_)) => (RequestEnd::Answered, ""),
            (None, None) => (RequestEnd::GivenUp, "given up by the guest or its client"),
        };
        let status = self.answered.map_or(0, |(status, _)| status);
        if let Some((call, _)) = &self.call {
            let waits = call.time.outbound_waits();
            waits.end(&self.destination, end);
            let after = |moment: Instant| moment.saturating_duration_since(call.time.started_at());
            waits.note_over(OutboundRequest {
                destination: self.destination.clone(),
                method: self.method,
                began_after: after(self.sent_at),
                ended_after: after(Instant::now()),
                waited: self.waited,
                below: self.below,
                status,
                end,
            });
        }
        let over = RequestOver {
            end,
            why,
            status: match (end, self.answered) {
                (RequestEnd::Answered | RequestEnd::ServerError, Some((status, _))) => status,
                _ => 0,
            },
            took: self.answered.map_or_else(|| self.began_at.elapsed(), |(_, took)| took),
            waited: self.waited,
            at: now(),
        };
        self.destinations.record(&self.destination, self.begun, &over);
    }
}

impl Drop for RequestTally {
    fn drop(&mut self) {
        self.tell();
    }
}

/// Why a request failed whose guest was told this.
fn reason(error: &Error, is_answered: bool) -> EndReason {
    match error {
        Error::HttpRequestDenied => EndReason::NotAllowed,
        Error::DestinationIpProhibited => EndReason::AddressNotOpen,
        Error::ConnectionLimitReached => EndReason::TooMany,
        Error::DnsError { .. } => EndReason::NameNotFound,
        Error::ConnectionTimeout => EndReason::NotConnectedInTime,
        Error::ConnectionRefused => EndReason::ConnectionRefused,
        Error::TlsCertificateError => EndReason::BadCertificate,
        Error::TlsProtocolError => EndReason::NoTls,
        Error::ConnectionReadTimeout if is_answered => EndReason::NoMoreInTime,
        Error::ConnectionReadTimeout => EndReason::NoAnswerInTime,
        _ if is_answered => EndReason::AnswerBrokeOff,
        Error::ConnectionTerminated => EndReason::ClosedUnanswered,
        _ => EndReason::NoHttp,
    }
}

#[cfg(test)]
mod tests {
    use super::super::connect::Destination;
    use super::*;

    fn tally(destinations: &Arc<Destinations>, left: Duration) -> RequestTally {
        let now = Instant::now();
        let call = CallOf { time: Arc::new(CallTime::since(now)), deadline: now + left };
        let destination = Destination::of(&"https://API.example.com/a".parse().unwrap()).unwrap();
        let shown = destination.authority().into();
        RequestTally::new(destinations.clone(), shown, &Method::GET, Some(call))
    }

    /// How a request ended that `done` was done to, and how its call was told.
    fn ended(
        left: Duration,
        done: impl FnOnce(&mut RequestTally),
    ) -> (RequestEnd, Option<RequestEnd>) {
        let destinations = Arc::<Destinations>::default();
        let mut tally = tally(&destinations, left);
        let time = tally.call.as_ref().unwrap().0.time.clone();
        done(&mut tally);
        drop(tally);
        let table = destinations.read().unwrap();
        let (name, counts) = table.each().next().unwrap();
        assert_eq!((name, counts.requests(), counts.running()), ("api.example.com:443", 1, 0));
        let end = counts.recent().next().unwrap().end();
        assert_eq!(counts.last_error().is_some(), end.is_wrong());
        let [longest, _] = time.longest_waits(Instant::now());
        (end, longest.unwrap().wrong)
    }

    #[test]
    fn each_request_is_told_once_with_its_end() {
        let long = Duration::from_secs(3600);
        let wrong = |end| (end, Some(end));
        let answered = (RequestEnd::Answered, None);
        assert_eq!(ended(long, |_| {}), (RequestEnd::GivenUp, None));
        assert_eq!(ended(Duration::ZERO, |_| {}), wrong(RequestEnd::TimedOut));
        let end = ended(long, |tally| {
            tally.begin();
            tally.answer(404);
            tally.finish();
            tally.fail(&Error::ConnectionTerminated);
        });
        assert_eq!(end, answered);
        let end = ended(Duration::ZERO, |tally| {
            tally.begin();
            // The guest has what it wanted, whatever comes of its call.
            tally.answer(200);
        });
        assert_eq!(end, answered);
        let end = ended(long, |tally| {
            tally.begin();
            tally.answer(503);
        });
        assert_eq!(end, wrong(RequestEnd::ServerError));
        let end = ended(Duration::ZERO, |tally| {
            tally.begin();
            tally.answer(200);
            tally.wait(true);
        });
        assert_eq!(end, wrong(RequestEnd::TimedOut));
        let end = ended(long, |tally| {
            tally.begin();
            tally.answer(200);
            tally.fail(&Error::ConnectionTerminated);
        });
        assert_eq!(end, wrong(RequestEnd::BrokeOff));
        assert_eq!(
            ended(long, |tally| tally.fail(&Error::HttpRequestDenied)),
            wrong(RequestEnd::Denied)
        );
    }
}
