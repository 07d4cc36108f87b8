//! What all hosts of a fleet know, from whichever of them is asked. Each keeps its own calls, lines, events
//! and counters; this asks the others over the peer door, and puts together what they say.
//! A host that says nothing is named with the reason, never left out in silence. Keeps nothing.

mod following;
mod lines;
mod together;
mod whom;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use steerage_core::id::HostName;

pub(super) use self::following::{Followed, Missing};
pub(super) use self::together::Together;
pub(super) use self::whom::{Whom, whom};
use super::problem::{Cause, Refusal};
use super::{NO_ENDPOINT, wire};

/// How long another host may take to say what it knows.
const WITHIN: Duration = Duration::from_secs(5);
/// The most bytes of what one host says.
const LARGEST: usize = 64 << 20;
/// Hosts that are asked at once.
const AT_ONCE: usize = 64;
/// How the detail begins where a host knows no such app, in every version.
const NO_APP: &str = "no app named ";

/// Where hosts tell each other what happened to them lately.
pub(super) const LATELY: &str = "/v1/lately";

/// Asks those who are meant, and puts what they say together with what is known here; at most so many
/// things of those that have an order.
pub(super) async fn gather<T: Together>(
    whom: Option<Whom>,
    path: &str,
    here: T,
    limit: usize,
) -> Result<T, Refusal> {
    let Some(whom) = whom else { return Ok(here) };
    let mut sources = wire::Sources::default();
    let mut all = here;
    if whom.is_here() {
        all.come_from(whom.me());
        sources.hosts.push(whom.me().to_string());
    } else {
        all.forget_numbers();
    }
    let asked_of = &whom;
    let asked = stream::iter(whom.others()).map(|name| async move {
        let said = tokio::time::timeout(WITHIN, ask::<T>(asked_of, &name, path)).await;
        let said = said.unwrap_or_else(|_| Err(format!("it does not say within {WITHIN:?}")));
        (name, said)
    });
    let mut said: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    said.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, said) in said {
        match said {
            Ok(told) => {
                sources.hosts.push(name.to_string());
                if let Some(mut told) = told {
                    told.come_from(&name);
                    all.add(told);
                }
            }
            Err(why) if whom.is_one() => {
                let detail = format!("{name} cannot be asked: {why}; see `steerage hosts`");
                return Err(Refusal::new(Cause::HostSilent, detail));
            }
            Err(why) => sources.unanswered.push(wire::Unanswered { host: name.to_string(), why }),
        }
    }
    sources.hosts.sort();
    all.finish(limit, sources);
    Ok(all)
}

/// Asks one host; `None` where it knows no such app.
async fn ask<T: Together>(whom: &Whom, name: &HostName, path: &str) -> Result<Option<T>, String> {
    let (response, _in_flight) = whom.request(name, path).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| format!("its answer broke off: {error}"))?.to_bytes();
    if status != StatusCode::OK {
        return refused(status, &body).map(|()| None);
    }
    serde_json::from_slice(&body)
        .map(Some)
        .map_err(|error| format!("what it says cannot be read: {error}"))
}

/// What it means that a host refuses to tell: nothing worse than that it knows no such app, or why it is
/// silent.
fn refused(status: StatusCode, body: &[u8]) -> Result<(), String> {
    let problem: Option<wire::Problem> = serde_json::from_slice(body).ok();
    let (cause, detail) =
        problem.as_ref().map_or(("", ""), |problem| (&problem.cause, &problem.detail));
    match cause {
        "not_found" if detail.starts_with(NO_APP) => Ok(()),
        "not_found" if detail.starts_with(NO_ENDPOINT) => {
            Err("its version does not tell that".to_owned())
        }
        // What there is not is something else, as where it keeps no history.
        "not_found" => Err(format!("it answers {detail:?}")),
        // By its version it takes this for a call of some app.
        "no_route" | "no_host" => Err("its version does not tell other hosts".to_owned()),
        cause => Err(format!("it answers {status} {cause}")),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::api::no_such_path;

    async fn meant(answer: Refusal) -> Result<(), String> {
        let (head, body) = answer.into_response().into_parts();
        refused(head.status, &body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn a_host_that_knows_no_such_app_has_told_and_one_of_an_older_version_has_not() {
        assert_eq!(meant(Refusal::no_app(&"shop".parse().unwrap())).await, Ok(()));
        let request = http::Request::get("/v1/apps/shop/destinations");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let older = Err("its version does not tell that".to_owned());
        assert_eq!(meant(no_such_path(request).await).await, older);
        // As versions before this one have sent both.
        let sent = |detail: &str| {
            let title = "There is no such thing";
            let sent = serde_json::json!({
                "type": "about:blank", "title": title, "status": 404, "detail": detail,
                "cause": "not_found",
            });
            refused(StatusCode::NOT_FOUND, sent.to_string().as_bytes())
        };
        assert_eq!(sent("no app named shop is deployed"), Ok(()));
        assert_eq!(sent("no endpoint /v1/problems; /v1/openapi.json lists them all"), older);
        assert_eq!(sent("it keeps none"), Err("it answers \"it keeps none\"".to_owned()));
    }
}
