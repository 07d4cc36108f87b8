//! The last calls of an app: how each ended and what it took.
//! Does not keep more than a handful and does not survive the process.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use steerage_core::id::{CallId, Generation};

use crate::call::Usage;

/// How many calls are kept of each app.
const KEPT: usize = 64;

/// One call, after it is over.
#[derive(Clone, Debug)]
pub struct CallSummary {
    /// The call.
    pub id: CallId,
    /// Milliseconds since the epoch when it came in.
    pub at: u64,
    /// The deployment that served it.
    pub generation: Generation,
    /// The request's method.
    pub method: Method,
    /// The request's path, without the query; cut when long.
    pub path: Box<str>,
    /// The status sent, 0 when none was.
    pub status: u16,
    /// The cause code of its outcome.
    pub cause: &'static str,
    /// From accepting the request to the last response byte.
    pub duration: Duration,
    /// What the guest took.
    pub usage: Usage,
    /// Bytes of response body.
    pub response_bytes: u64,
}

/// A ring of the last calls.
#[derive(Debug, Default)]
pub struct Calls {
    ring: Mutex<VecDeque<CallSummary>>,
}

impl Calls {
    /// Adds one, dropping the oldest when full.
    pub fn push(&self, call: CallSummary) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(call);
    }

    /// The last `n` calls, oldest first.
    #[must_use]
    pub fn tail(&self, n: usize) -> Vec<CallSummary> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().skip(ring.len().saturating_sub(n)).cloned().collect()
    }
}
