//! Tells receivers outside, a webhook and Alertmanagers, what is wrong on this host. Each receiver has a task
//! of its own. A slow or dead receiver holds up only that task.
//! Does not decide what to tell whom, nor when: `core::notify` does. Does not find problems: `api` does.

mod alertmanager;
mod clock;
mod look;
mod meter;
mod post;
mod settings;
mod source;
mod webhook;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use futures_util::future::{join, join_all, pending};
use steerage_core::notify::{
    Delivery, Notice, NoticeFacts, NotifyRules, Receiver, ReceiverNews, Sighting,
};
use steerage_core::problem::{FoundProblem, ProblemKey};
use tokio::sync::watch;

use self::clock::{NotifyClock, NotifyMoment};
use self::look::Looked;
use self::meter::NotifyMeter;
use self::post::Poster;
pub use self::settings::{NotifySettings, WebhookSettings, parse_urls};
pub use self::source::{ProblemSource, ProblemsHere, ToldElsewhere};
use crate::connector::OutsideUrl;
use crate::telemetry::events::{Event, EventPlace, Events, Severity};
use crate::telemetry::metrics::ReceiverReading;

/// Who tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyOrigin {
    /// The fleet, where there is one.
    pub fleet: Option<String>,
    /// This host's name, or the machine's where the host is alone.
    pub host: String,
}

/// All receivers of one host; none by default.
#[derive(Debug, Default)]
pub struct Notifier {
    outlets: Vec<Outlet>,
}

/// One receiver, and how to reach it.
#[derive(Debug)]
struct Outlet {
    way: Way,
    url: OutsideUrl,
    poster: Poster,
    origin: NotifyOrigin,
    meter: Arc<NotifyMeter>,
}

/// What a receiver understands.
#[derive(Debug)]
enum Way {
    Webhook(WebhookSettings),
    Alertmanager,
}

/// A notice with all that can be said of its problem.
#[derive(Clone, Debug)]
struct FullNotice {
    notice: Notice,
    key: ProblemKey,
    problem: Arc<FoundProblem>,
    /// Milliseconds since the epoch when this host first saw it, and when it was over.
    opened_at: u64,
    closed_at: Option<u64>,
    /// What makes it another notice than those before it, and the same each time that it is tried.
    identity: NoticeIdentity,
}

/// By what two notices of one problem and one name are told apart.
#[derive(Clone, Copy, Debug)]
struct NoticeIdentity {
    opening: u64,
    n_settled: u64,
    material: u64,
}

impl Notifier {
    /// The receivers that an operator named.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: &NotifySettings, origin: &NotifyOrigin) -> io::Result<Self> {
        let mut ways = Vec::new();
        if let Some(webhook) = &settings.webhook {
            ways.push((webhook.url.clone(), Way::Webhook(webhook.clone())));
        }
        let urls = settings.alertmanagers.iter();
        ways.extend(urls.map(|url| (settings::alerts(url), Way::Alertmanager)));
        let poster = Poster::new()?;
        let outlets = ways.into_iter().map(|(url, way)| {
            let (poster, origin, meter) = (poster.clone(), origin.clone(), Arc::default());
            Outlet { way, url, poster, origin, meter }
        });
        Ok(Self { outlets: outlets.collect() })
    }

    /// What was sent and lost, of each receiver.
    #[must_use]
    pub fn readings(&self) -> Vec<ReceiverReading> {
        let read =
            |outlet: &Outlet| outlet.meter.reading(outlet.way.name(), outlet.url.authority());
        self.outlets.iter().map(read).collect()
    }

    /// Tells them until it is dropped.
    pub async fn run(self: Arc<Self>, source: impl ProblemSource, events: Arc<Events>) {
        if self.outlets.is_empty() {
            return;
        }
        let (publish, looks) = watch::channel(Arc::new(Looked::default()));
        let tellers = self.outlets.iter().map(|outlet| outlet.tell(looks.clone(), &events));
        join(look::look(source, publish), join_all(tellers)).await;
    }
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager => "alertmanager",
        }
    }

    fn rules(&self) -> NotifyRules {
        match self {
            Self::Webhook(_) => webhook::RULES,
            Self::Alertmanager => alertmanager::RULES,
        }
    }
}

impl Outlet {
    /// Tells this one what was found, as soon as that is due.
    async fn tell(&self, mut looks: watch::Receiver<Arc<Looked>>, events: &Events) {
        let clock = NotifyClock::start();
        let mut receiver = Receiver::new(self.way.rules());
        let mut last: BTreeMap<ProblemKey, Arc<FoundProblem>> = BTreeMap::new();
        let mut is_loss_told = false;
        loop {
            let looked = looks.borrow_and_update().clone();
            let seen: BTreeMap<ProblemKey, Sighting> =
                looked.iter().map(|(key, found)| (key.clone(), found.sighting)).collect();
            receiver.note(clock.now(), &seen);
            for (key, found) in looked.iter() {
                last.insert(key.clone(), found.problem.clone());
            }
            last.retain(|key, _| receiver.knows(key));
            let due = receiver.next(clock.now());
            if !due.is_empty() {
                let notices = full(clock.moment(), &receiver, &last, due);
                let (delivery, why) = self.send(&notices).await;
                receiver.done(clock.now(), delivery, fastrand::u64(..));
                let news = receiver.news();
                self.tell_operators(news, &why, events);
                if news == Some(ReceiverNews::Works) {
                    is_loss_told = false;
                }
            }
            if self.meter.set(receiver.counts()) > 0 && !is_loss_told {
                is_loss_told = true;
                self.tell_loss(events);
            }
            let due = async {
                match receiver.next_at() {
                    Some(at) => tokio::time::sleep(clock.until(at)).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                looked = looks.changed() => if looked.is_err() { return },
                () = due => {}
            }
        }
    }

    /// Sends them in one message; what became of it, and why, where it was not taken.
    async fn send(&self, notices: &[FullNotice]) -> (Delivery, String) {
        match &self.way {
            Way::Webhook(settings) => {
                // By its rules there is one at a time.
                let Some(notice) = notices.first() else { return (Delivery::Taken, String::new()) };
                match webhook::request(settings, &self.origin, notice).await {
                    Ok(request) => self.poster.post(request).await,
                    Err(why) => (Delivery::NotReached, why),
                }
            }
            Way::Alertmanager => match alertmanager::request(&self.url, &self.origin, notices) {
                Ok(request) => self.poster.post(request).await,
                Err(why) => (Delivery::Refused, why),
            },
        }
    }

    fn tell_operators(&self, news: Option<ReceiverNews>, why: &str, events: &Events) {
        let who = format!("the {} at {}", self.way.name(), self.url.authority());
        // Both are of this receiver: the end of its failing is not that of another's.
        let place = EventPlace::of(&who);
        match news {
            Some(ReceiverNews::Fails) => {
                let message = format!("{who} does not take what this host tells it: {why}");
                tracing::error!("{message}");
                let advice = "see that it runs and can be reached from here; it is tried again, and what it \
                              never hears is counted in notices_lost_total"
                    .to_owned();
                let (severity, advice) = (Severity::Error, Some(advice));
                let event = Event::now("receiver_failing", message);
                events.push(Event { severity, advice, place, ..event });
            }
            Some(ReceiverNews::Works) => {
                let message = format!("{who} takes what this host tells it again");
                tracing::info!("{message}");
                events.push(Event { place, ..Event::now("receiver_works", message) });
            }
            None => {}
        }
    }

    fn tell_loss(&self, events: &Events) {
        let message = format!(
            "the {} at {} will never hear of some problems of this host",
            self.way.name(),
            self.url.authority()
        );
        tracing::error!("{message}");
        let advice =
            "`steerage problems` and `steerage events` tell them; notices_lost_total counts \
                      them"
                .to_owned();
        let (severity, advice) = (Severity::Error, Some(advice));
        events.push(Event { severity, advice, ..Event::now("notices_lost", message) });
    }
}

fn full(
    now: NotifyMoment,
    receiver: &Receiver<ProblemKey>,
    last: &BTreeMap<ProblemKey, Arc<FoundProblem>>,
    due: Vec<(ProblemKey, Notice)>,
) -> Vec<FullNotice> {
    let full = due.into_iter().filter_map(|(key, notice)| {
        let NoticeFacts { opened_at, closed_at, material, n_settled } = receiver.facts(&key)?;
        let problem = last.get(&key)?.clone();
        let identity = NoticeIdentity { opening: now.number_of(opened_at), n_settled, material };
        let closed_at = closed_at.map(|at| now.wall_of(at));
        let opened_at = now.wall_of(opened_at);
        Some(FullNotice { notice, key, problem, opened_at, closed_at, identity })
    });
    full.collect()
}

#[cfg(test)]
mod tests;
