//! What made a plan necessary: what has changed in the view since the plan before, in words for people.
//! Says nothing of single moves: [`Why`](super::Why) does.

use std::fmt;

use super::view::{App, Host, Standing};
use crate::id::{AppName, HostName};

/// As many are listed one by one for one plan.
const MOST_LISTED: usize = 12;

/// What made a plan necessary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The host that planned had just come to plan, or had to begin anew: it compared all.
    Began,
    /// A host was gone.
    HostLost(HostName),
    /// A host was there that was not before.
    HostCame(HostName),
    /// A host was drained.
    Drained(HostName),
    /// A host took nothing new any more.
    Cordoned(HostName),
    /// A host was open again.
    Opened(HostName),
    /// A host had other labels, another zone, or more or less room.
    HostChanged(HostName),
    /// An app was new.
    NewApp(AppName),
    /// An app was removed.
    Removed(AppName),
    /// An app wanted more or fewer replicas, by load or since somebody said so.
    Scaled {
        /// The app.
        app: AppName,
        /// How many it wanted before.
        from: u32,
        /// How many it wanted then.
        to: u32,
    },
    /// An app asked for other hosts, another neighbourhood or another priority.
    AppChanged(AppName),
    /// Apps used more or less than before.
    Use,
    /// Nothing had moved for long enough to empty hosts.
    Quiet,
}

/// What has made a plan necessary so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Triggers {
    listed: Vec<Trigger>,
    n_more: usize,
}

impl Triggers {
    /// Notes one more, once.
    pub fn note(&mut self, trigger: Trigger) {
        if self.listed.contains(&trigger) {
            return;
        }
        if self.listed.len() < MOST_LISTED {
            self.listed.push(trigger);
        } else {
            self.n_more += 1;
        }
    }

    /// Forgets all: they have been seen to.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// In words, in the order in which they were noted.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let more = (self.n_more > 0).then(|| format!("and {} more", self.n_more));
        self.listed.iter().map(ToString::to_string).chain(more).collect()
    }
}

/// What it means for plans that a host has become another, if anything.
#[must_use]
pub fn of_host(name: &HostName, before: Option<&Host>, now: Option<&Host>) -> Option<Trigger> {
    let name = name.clone();
    match (before, now) {
        (Some(_), None) => Some(Trigger::HostLost(name)),
        (None, Some(_)) => Some(Trigger::HostCame(name)),
        (Some(before), Some(now)) if before.standing != now.standing => Some(match now.standing {
            Standing::Open => Trigger::Opened(name),
            Standing::Cordoned => Trigger::Cordoned(name),
            Standing::Draining => Trigger::Drained(name),
        }),
        (Some(before), Some(now)) if before != now => Some(Trigger::HostChanged(name)),
        _ => None,
    }
}

/// The same of an app; where it is counts for nothing, since plans decide that.
#[must_use]
pub fn of_app(name: &AppName, before: Option<&App>, now: Option<&App>) -> Option<Trigger> {
    let (before, now) = match (before, now) {
        (None, None) => return None,
        (None, Some(_)) => return Some(Trigger::NewApp(name.clone())),
        (Some(_), None) => return Some(Trigger::Removed(name.clone())),
        (Some(before), Some(now)) => (before, now),
    };
    if before.replicas != now.replicas {
        let (from, to) = (before.replicas, now.replicas);
        return Some(Trigger::Scaled { app: name.clone(), from, to });
    }
    let asks_the_same = before.needs == now.needs
        && before.apart_from == now.apart_from
        && before.spread == now.spread
        && before.priority == now.priority;
    if !asks_the_same {
        return Some(Trigger::AppChanged(name.clone()));
    }
    (before.demand != now.demand).then_some(Trigger::Use)
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began => f.write_str("the host that planned had just begun to"),
            Self::HostLost(host) => write!(f, "host {host} was gone"),
            Self::HostCame(host) => write!(f, "host {host} came"),
            Self::Drained(host) => write!(f, "host {host} was drained"),
            Self::Cordoned(host) => write!(f, "host {host} was cordoned"),
            Self::Opened(host) => write!(f, "host {host} was opened"),
            Self::HostChanged(host) => write!(f, "host {host} had other labels or other room"),
            Self::NewApp(app) => write!(f, "{app} was new"),
            Self::Removed(app) => write!(f, "{app} was removed"),
            Self::Scaled { app, from, to } => write!(f, "{app} wanted {to} replicas, not {from}"),
            Self::AppChanged(app) => write!(f, "{app} asked for something else"),
            Self::Use => f.write_str("apps used more or less than before"),
            Self::Quiet => f.write_str("nothing had moved for a while, so hosts could be emptied"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{app, app_name, host, host_name, ssd};
    use super::*;

    #[test]
    fn what_has_changed_is_said_in_words() {
        let (h1, a1) = (host_name(1), app_name(1));
        let standing = |standing| Host { standing, ..host(0, 100, 10) };
        let open = standing(Standing::Open);
        let host = |before: Option<&Host>, now: Option<&Host>| {
            of_host(&h1, before, now).map(|trigger| trigger.to_string())
        };
        assert_eq!(host(None, Some(&open)).unwrap(), "host h1 came");
        assert_eq!(host(Some(&open), None).unwrap(), "host h1 was gone");
        assert_eq!(host(Some(&open), Some(&open)), None);
        let drained = standing(Standing::Draining);
        assert_eq!(host(Some(&open), Some(&drained)).unwrap(), "host h1 was drained");
        let labelled = Host { labels: ssd(), ..open.clone() };
        let told = host(Some(&open), Some(&labelled)).unwrap();
        assert_eq!(told, "host h1 had other labels or other room");
        let app_of = |before: &App, now: &App| {
            of_app(&a1, Some(before), Some(now)).map(|trigger| trigger.to_string())
        };
        let one = app(1, 10, 10);
        assert_eq!(app_of(&one, &app(3, 10, 10)).unwrap(), "a1 wanted 3 replicas, not 1");
        assert_eq!(app_of(&one, &app(1, 20, 10)).unwrap(), "apps used more or less than before");
        let moved = App { on: [host_name(2)].into(), ..one.clone() };
        assert_eq!(app_of(&one, &moved), None, "that is what plans do");
        let picky = App { needs: ssd(), ..one.clone() };
        assert_eq!(app_of(&one, &picky).unwrap(), "a1 asked for something else");
    }

    #[test]
    fn many_are_counted_and_none_is_told_twice() {
        let mut triggers = Triggers::default();
        for number in 0..MOST_LISTED + 3 {
            triggers.note(Trigger::NewApp(app_name(number)));
            triggers.note(Trigger::NewApp(app_name(0)));
        }
        let texts = triggers.texts();
        assert_eq!((texts.len(), &*texts[0]), (MOST_LISTED + 1, "a0 was new"));
        assert_eq!(texts[MOST_LISTED], "and 3 more");
        triggers.clear();
        assert_eq!(triggers.texts(), Vec::<String>::new());
    }
}
