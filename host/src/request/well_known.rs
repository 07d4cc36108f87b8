//! What the host answers itself. Does not know what is below the prefix for other hosts.

use http::Response;
use steerage_core::outcome::{Outcome, Refusal};

use super::accepted::Accepted;
use super::{CallContext, Reply};
use crate::respond::ResponseBody;

/// What the host answers itself, below its reserved prefix, which no app can shadow.
pub(super) fn answer(accepted: &Accepted, context: &CallContext) -> Option<Reply> {
    let path = accepted.request.uri().path().strip_prefix("/.well-known/steerage/")?;
    let refusal = match path {
        "health" if context.shutdown.has_begun() => Refusal::Draining,
        // To it, every app is one that there is not.
        "health" if context.fleet.as_ref().is_some_and(|fleet| !fleet.is_known()) => {
            Refusal::NotReady
        }
        "health" => return Some(Response::new(ResponseBody::Host("ok\n".into()))),
        _ => Refusal::NoRoute,
    };
    Some(context.turn_away(accepted.id, Outcome::Refused(refusal)))
}
