//! Problems as requests to a webhook, signed as the specification of Standard Webhooks has it.
//! Does not know other formats: whoever wants another one puts a translator between.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use ring::hmac;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use steerage_core::notify::{Notice, NotifyRules};
use steerage_core::problem::{FoundProblem, ProblemKey};

use super::settings::read_secret;
use super::{FullNotice, NoticeIdentity, NotifyOrigin, WebhookSettings};
use crate::telemetry::destinations;

/// What opens together is found within two looks, so that what is a symptom is known by then.
pub(super) const RULES: NotifyRules = NotifyRules {
    wait: 10_000,
    change_every: 60_000,
    repeat: None,
    at_once: 1,
    most: 1000,
    first_pause: 1_000,
    longest_pause: 60_000,
    try_for: 3_600_000,
};
/// Bytes of a digest that name a problem, or a message.
const ID_BYTES: usize = 12;

/// What is sent. New fields may come; those that are here stay.
#[derive(Debug, Serialize)]
struct Message<'m> {
    version: u32,
    /// `opened`, `changed` or `closed`.
    notice: &'static str,
    /// The same in all messages about one problem, from each host that tells it.
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<&'m str>,
    /// Who tells it.
    host: &'m str,
    /// Times are milliseconds since the epoch.
    sent_at: u64,
    opened_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<u64>,
    problem: WebhookProblem<'m>,
}

#[derive(Debug, Serialize)]
struct WebhookProblem<'m> {
    kind: &'m str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'m str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_at: Option<u64>,
    failed: u64,
    answered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'m str>,
    claim: &'m str,
    evidence: &'m [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<WebhookRemedy<'m>>,
    symptoms: &'m [String],
}

#[derive(Debug, Serialize)]
struct WebhookRemedy<'m> {
    text: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'m str>,
    changes: bool,
}

/// The request. The secret is read each time, so that another one can be put in its place.
pub(super) async fn request(
    settings: &WebhookSettings,
    origin: &NotifyOrigin,
    notice: &FullNotice,
) -> Result<Request<Full<Bytes>>, String> {
    let sent_at = destinations::now();
    let message = message(origin, notice, sent_at);
    let body = serde_json::to_vec(&message).map_err(|error| error.to_string())?;
    let id = message_id(&message.id, notice);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(settings.url.uri())
        .header(CONTENT_TYPE, "application/json")
        .header("user-agent", concat!("steerage/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &id)
        .header("webhook-timestamp", sent_at / 1000);
    if let Some(path) = settings.secret_file.clone() {
        // Its disk may stand still.
        let read = tokio::task::spawn_blocking(move || read_secret(&path)).await;
        let secret = read.map_err(|error| error.to_string())??;
        let signature = signature(&secret, &id, sent_at / 1000, &body);
        request = request.header("webhook-signature", signature);
    }
    request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())
}

fn message<'m>(origin: &'m NotifyOrigin, notice: &'m FullNotice, sent_at: u64) -> Message<'m> {
    Message {
        version: 1,
        notice: name(notice.notice),
        id: problem_id(origin, &notice.key),
        fleet: origin.fleet.as_deref(),
        host: &origin.host,
        sent_at,
        opened_at: notice.opened_at,
        closed_at: notice.closed_at,
        problem: told(&notice.problem, &notice.key),
    }
}

fn name(notice: Notice) -> &'static str {
    match notice {
        Notice::Opened => "opened",
        Notice::Changed => "changed",
        Notice::Repeated => "repeated",
        Notice::Closed => "closed",
    }
}

fn told<'m>(problem: &'m FoundProblem, key: &'m ProblemKey) -> WebhookProblem<'m> {
    WebhookProblem {
        kind: &problem.kind,
        state: problem.state.code(),
        app: problem.app.as_deref(),
        host: key.host.as_deref(),
        since: problem.since,
        last_at: problem.last_at,
        failed: problem.calls.0,
        answered: problem.calls.1,
        cause: problem.cause.as_ref().map(|(cause, _)| cause.as_str()),
        claim: &problem.claim,
        evidence: &problem.evidence,
        remedy: problem.remedy.as_ref().map(|remedy| WebhookRemedy {
            text: &remedy.text,
            command: remedy.command.as_deref(),
            changes: remedy.changes,
        }),
        symptoms: &problem.symptoms,
    }
}

/// The same on each host of a fleet. Hosts that are alone do not share problems.
fn problem_id(origin: &NotifyOrigin, key: &ProblemKey) -> String {
    let whose = origin.fleet.as_deref().unwrap_or(&origin.host);
    let parts = [whose, &key.kind, or_nothing(key.app.as_ref()), or_nothing(key.host.as_ref())];
    short_digest(&parts)
}

/// The same each time that one notice is tried, and of each notice another one. What the problem is like is
/// not enough for that: it may change back to what it was.
fn message_id(problem: &str, notice: &FullNotice) -> String {
    let NoticeIdentity { opening, n_settled, material } = notice.identity;
    let [opening, n_settled, material] = [opening, n_settled, material].map(|it| it.to_string());
    short_digest(&[problem, &opening, name(notice.notice), &n_settled, &material])
}

fn or_nothing(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

fn short_digest(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\n"));
    digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA256 of id, time and body.
fn signature(secret: &[u8], id: &str, seconds: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use steerage_core::notify::{Delivery, Receiver, Sighting};
    use steerage_core::problem::ProblemState;

    use super::*;
    use crate::notify::clock::NotifyMoment;
    use crate::notify::full;
    use crate::notify::tests::failing;

    #[test]
    fn it_waits_as_the_readme_says() {
        assert_eq!((RULES.wait, RULES.change_every), (10_000, 60_000));
        assert_eq!((RULES.first_pause, RULES.longest_pause), (1_000, 60_000));
    }

    /// A problem that is measured, then not, and so on; what is said of it grows richer between two tries.
    #[test]
    fn each_notice_has_an_id_of_its_own_and_all_tries_of_it_the_same() {
        let origin = NotifyOrigin { fleet: None, host: "h1".to_owned() };
        let mut receiver = Receiver::new(RULES);
        let (mut ids, mut names, mut now) = (Vec::new(), Vec::new(), 0);
        for state in [ProblemState::Open, ProblemState::Unmeasured].repeat(2) {
            let problem = FoundProblem { state, ..failing("web") };
            let (key, material) = (problem.key(), problem.material());
            let sighting = Sighting::Here { material, is_symptom: false };
            receiver.note(now, &BTreeMap::from([(key.clone(), sighting)]));
            let explained =
                FoundProblem { evidence: vec!["the reason".to_owned()], ..problem.clone() };
            for (problem, delivery) in [(problem, Delivery::InDoubt), (explained, Delivery::Taken)]
            {
                now += 100_000;
                let due = receiver.next(now);
                // The machine's clock is set back meanwhile.
                let wall = 9_000_000 - now;
                let moment = NotifyMoment { since_start: now, wall, wall_at_start: 5_000_000 };
                let last = BTreeMap::from([(key.clone(), Arc::new(problem))]);
                let notices = full(moment, &receiver, &last, due);
                assert_eq!(notices.len(), 1);
                ids.push(message_id(&problem_id(&origin, &key), &notices[0]));
                names.push(name(notices[0].notice));
                receiver.done(now, delivery, 0);
            }
        }
        assert_eq!(
            names,
            ["opened", "opened", "changed", "changed"]
                .into_iter()
                .chain(["changed"; 4])
                .collect::<Vec<_>>()
        );
        assert!(ids.chunks(2).all(|tries| tries[0] == tries[1]), "{ids:?}");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4, "{ids:?}");
    }

    /// The example of the specification's own libraries.
    #[test]
    fn messages_are_signed_as_others_sign_them() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
