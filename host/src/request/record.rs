//! Settling one call: when the last of its parts is gone, it is counted, logged and told once.
//! Does not decide how it ended; `Call` holds that.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::Method;
use http::request::Parts;
use steerage_core::id::CallId;
use steerage_core::outcome::{Fault, Outcome, Refusal};

use super::{Front, Reply};
use crate::call::{Call, Usage};
use crate::catalog::{Count, LoadedDeployment, Target};
use crate::respond;
use crate::telemetry::calls::CallSummary;
use crate::telemetry::events::{Event, EventPlace, Same, Severity};

/// A path of more bytes than this is cut where it is kept.
const LONGEST_PATH: usize = 256;
/// The same of a method; none that is in use is half as long.
const LONGEST_METHOD: usize = 32;

/// One call from its routing to its end. Held by the guest's side and by the response; recorded
/// when both are gone.
#[derive(Debug)]
pub struct Tally {
    call: Arc<Call>,
    deployed: Arc<LoadedDeployment>,
    count: Option<Arc<Count>>,
    front: Arc<Front>,
    started_at: Instant,
    method: Method,
    path: Box<str>,
    span: tracing::Span,
}

impl Tally {
    /// Starts the record of a call.
    pub fn begin(
        front: &Arc<Front>,
        id: CallId,
        started_at: Instant,
        target: &Target,
        request: &Parts,
    ) -> Arc<Self> {
        let deployed = target.deployed.clone();
        let path = request.uri.path();
        let path = path.get(..path.floor_char_boundary(LONGEST_PATH)).unwrap_or(path);
        let method = cut(&request.method);
        let span = tracing::debug_span!(
            "call",
            call_id = %id,
            app = %deployed.app,
            deployment = %deployed.generation,
            "http.request.method" = %method,
            "http.route" = target.route.to_str().unwrap_or_default(),
            "url.path" = path,
            "http.response.status_code" = tracing::field::Empty,
            outcome = tracing::field::Empty,
            fuel = tracing::field::Empty,
        );
        Arc::new(Self {
            call: Arc::new(Call::new(id)),
            deployed,
            count: target.count.clone(),
            front: front.clone(),
            started_at,
            method,
            path: path.into(),
            span,
        })
    }

    /// What the parts of the call share.
    #[must_use]
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// When the request came in.
    #[must_use]
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Notes that the guest is over, and its right to run given back.
    pub fn note_end(&self, deployed: &LoadedDeployment) {
        self.front.loader.parts().crash_log.note_end(deployed);
    }

    /// Whether the host has given up the calls that still run.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.front.shutdown.is_cut()
    }

    /// Ends the call as refused and answers it so.
    #[must_use]
    pub fn refuse(&self, refusal: Refusal) -> Reply {
        self.fail(Outcome::Refused(refusal))
    }

    /// Ends the call with `outcome`, unless it ended otherwise before, and answers it so.
    #[must_use]
    pub fn fail(&self, outcome: Outcome) -> Reply {
        self.call.cut(outcome);
        self.show_failure()
    }

    /// Answers a call whose guest has ended without a response.
    #[must_use]
    pub fn show_failure(&self) -> Reply {
        let outcome = match self.call.ended() {
            Some((outcome, _)) => outcome,
            None => Outcome::HostFailed { detail: "the call ended without an outcome".to_owned() },
        };
        let reply = respond::problem(&outcome, self.call.id);
        self.call.set_status(reply.status().as_u16());
        reply
    }

    /// Tells that the host does not do as the manifest says.
    fn tell_of_reuse(&self, n_served: u32) {
        let calls = if n_served == 1 { "1 call" } else { &format!("{n_served} calls") };
        let message = format!(
            "an instance answers no more than {calls}: one that had was asked again and gave no \
             answer, a fresh one did; instances of this deployment serve {calls} from now on"
        );
        let advice = format!(
            "set [instance] reuse = {n_served}, or build the guest with a toolchain whose instances \
             take more requests"
        );
        self.front.events.push(Event {
            app: Some(self.deployed.app.clone()),
            generation: Some(self.deployed.generation),
            call: Some(self.call.id),
            severity: Severity::Warning,
            advice: Some(advice),
            ..Event::now("reuse_refused", message)
        });
    }

    fn tell(&self, outcome: &Outcome, usage: &Usage) {
        let severity = match outcome.fault() {
            Fault::None | Fault::Client => return,
            Fault::Guest => Severity::Warning,
            Fault::Host => Severity::Error,
        };
        let same = Same {
            app: Some(&self.deployed.app),
            generation: Some(self.deployed.generation),
            kind: outcome.cause(),
            place: self.place(outcome),
        };
        // Before anything is made of it: the next thousand may be refused for the same reason.
        let is_counted = self.front.events.counted(&same);
        if is_counted && !self.front.events.are_repeats_followed() {
            return;
        }
        let mut evidence = vec![
            ("method".to_owned(), self.method.to_string()),
            ("path".to_owned(), self.path.to_string()),
            ("fuel".to_owned(), usage.fuel.about()),
            ("memory".to_owned(), usage.memory.about()),
            ("cpu".to_owned(), format!("{:.1?}", usage.cpu)),
        ];
        let frames = outcome.backtrace().iter();
        evidence.extend(frames.map(|frame| ("backtrace".to_owned(), frame.clone())));
        let event = Event {
            app: Some(self.deployed.app.clone()),
            generation: same.generation,
            place: same.place,
            call: Some(self.call.id),
            severity,
            evidence,
            advice: outcome.advice(),
            ..Event::now(outcome.cause(), outcome.to_string())
        };
        if is_counted {
            self.front.events.repeat(event);
        } else {
            self.front.events.push(event);
        }
    }

    /// Where a failure happened: in these frames of the guest, or where none are known on this path,
    /// for this reason. A call that was refused happened nowhere.
    fn place(&self, outcome: &Outcome) -> EventPlace {
        match outcome {
            Outcome::Refused(_) => EventPlace::ANY,
            Outcome::NoAnswer { detail } | Outcome::HostFailed { detail } => {
                EventPlace::of((&self.path, without_amounts(detail)))
            }
            _ if outcome.backtrace().is_empty() => EventPlace::of(&self.path),
            _ => EventPlace::of(outcome.backtrace()),
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let ended = self.call.ended();
        let (outcome, usage) = ended.unwrap_or_else(|| (Outcome::ClientGone, Usage::default()));
        let duration = self.started_at.elapsed();
        let status = self.call.status();
        let state = &self.deployed.state;
        let response_bytes = self.call.response_bytes();
        state.meter.record(&outcome, status, duration, &usage, response_bytes);
        if let Some(count) = &self.count {
            count.record(&outcome, status, duration);
        }
        self.tell(&outcome, &usage);
        if let Some(n_served) = self.call.most_served() {
            self.tell_of_reuse(n_served);
        }
        self.span.record("http.response.status_code", status);
        self.span.record("outcome", outcome.cause());
        self.span.record("fuel", usage.fuel.get());
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(parent: &self.span, duration_us, "call ended");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = now.saturating_sub(duration);
        state.calls.push(CallSummary {
            id: self.call.id,
            at: u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
            generation: self.deployed.generation,
            method: self.method.clone(),
            path: std::mem::take(&mut self.path),
            status,
            cause: outcome.cause(),
            duration,
            usage,
            response_bytes,
        });
    }
}

/// The method as it is kept: a caller may send any.
fn cut(method: &Method) -> Method {
    let kept = method.as_str().as_bytes().get(..LONGEST_METHOD);
    kept.and_then(|kept| Method::from_bytes(kept).ok()).unwrap_or_else(|| method.clone())
}

/// The reason without its figures, which differ where the reason does not.
fn without_amounts(reason: &str) -> String {
    reason.chars().filter(|char| !char.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_method_is_cut_and_no_other() {
        assert_eq!(cut(&Method::OPTIONS), Method::OPTIONS);
        let long = Method::from_bytes(&[b'X'; 60_000]).unwrap();
        assert_eq!(cut(&long).as_str(), "X".repeat(LONGEST_METHOD));
    }
}
