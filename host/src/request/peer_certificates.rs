//! Signing what another host asks for, on the connection on which it has shown its certificate: it gets
//! another one for the same name. Does not decide who gets one: `core::renewal` does.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};

use super::head::Visitor;
use super::inbound::Inbound;
use super::{CallContext, Reply};
use crate::forward::CERTIFICATES;
use crate::identity::signing::{LONGEST_REQUEST, SignError};
use crate::respond::ResponseBody;
use crate::telemetry::chain;
use crate::telemetry::events::{Event, Severity};

/// Whether another host asks for a certificate by this request.
pub(super) fn is_asked<B>(request: &Request<B>) -> bool {
    *request.method() == Method::POST && request.uri().path() == CERTIFICATES
}

/// Answers it.
pub(super) async fn answer(
    context: &Arc<CallContext>,
    visitor: &Visitor,
    request: Request<Inbound>,
) -> Reply {
    let (Some(signer), Some(fleet)) = (&context.signer, &context.fleet) else {
        return said(StatusCode::NOT_FOUND, "it has not the authority's key".to_owned());
    };
    // Nobody is let in without one where hosts have certificates.
    let Some(shown) = visitor.shown.clone() else {
        return said(StatusCode::FORBIDDEN, "no certificate was shown".to_owned());
    };
    let asked = Limited::new(request.into_body(), LONGEST_REQUEST).collect().await;
    let Ok(asked) = asked.map(http_body_util::Collected::to_bytes) else {
        return said(StatusCode::BAD_REQUEST, "its request broke off".to_owned());
    };
    let (signer, fleet) = (signer.clone(), fleet.clone());
    let who = visitor.caller.remote;
    // Elsewhere, since the key is read from the disk.
    let signed = tokio::task::spawn_blocking(move || {
        let without = |authority: &str| fleet.not_believing(authority);
        signer.sign(&shown, &asked, fleet.is_current(), without)
    });
    match signed.await {
        Ok(Ok(certificate)) => said(StatusCode::OK, certificate),
        Ok(Err(error)) => {
            tracing::warn!(%who, error = chain(&error), "a host was given no certificate");
            if let SignError::Key(error) = &error {
                tell_no_key(context, &chain(error));
            }
            let status = match error {
                SignError::Refused(_) => StatusCode::FORBIDDEN,
                SignError::BadRequest(_) => StatusCode::BAD_REQUEST,
                SignError::Key(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            said(status, chain(&error))
        }
        Err(_) => said(StatusCode::INTERNAL_SERVER_ERROR, "it failed".to_owned()),
    }
}

fn tell_no_key(context: &CallContext, why: &str) {
    let message = format!("no certificates of other hosts can be signed here: {why}");
    let advice = "put the authority's key there again; until then hosts ask others, and their \
                  certificates are renewed by hand with `steerage cert renew` where nobody can sign";
    context.events.push(Event {
        severity: Severity::Error,
        advice: Some(advice.to_owned()),
        ..Event::now("cannot_sign", message)
    });
}

fn said(status: StatusCode, text: String) -> Reply {
    let mut reply = Response::new(ResponseBody::Host(Full::new(Bytes::from(text))));
    *reply.status_mut() = status;
    reply
}
