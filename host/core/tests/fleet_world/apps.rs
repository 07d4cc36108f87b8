//! What a made-up host does about each app: the next step of it, its end, and what is announced then.
//! Decides nothing: `core::node` does.

use steerage_core::id::{AppName, Generation, HostName};
use steerage_core::liveness::Probe;
use steerage_core::node::{FleetKey, LeaseId};
use steerage_core::reconcile::{Step, Wish as Wanted};

use crate::host::Registration;
use crate::ops::Op;
use crate::records::{Deployment, Key, ReadyRecord, Value};
use crate::store::Commit;
use crate::world::{Event, World};

impl World {
    /// Looks at apps, begins what is to be done, and announces.
    pub(crate) fn see_to_apps(&mut self, at: usize) {
        let (now, rules) = (self.now, self.rules);
        let mut begun = Vec::new();
        {
            let SimPart { name, process } = self.part(at);
            let Some(process) = process else { return };
            let since = now.saturating_sub(process.began_at);
            process.reconciler.wake(since);
            while let Some(app) = process.reconciler.next_app() {
                let mut status = process.status(&name, &app, rules.fingerprints);
                let is_seen =
                    process.view.app(&app).is_some() && !process.view.vanished.contains(&app);
                let is_unreadable = process.view.is_unreadable(&FleetKey::App(app.clone()));
                let is_absent = if is_unreadable { !rules.unreadable } else { !rules.tombstones };
                if is_absent && process.has_read && (!is_seen || is_unreadable) {
                    status.wish = Wanted::Removed;
                }
                begun.extend(process.reconciler.begin(&app, &status).map(|step| (app, step)));
            }
            let batch = process.reconciler.batch();
            begun
                .extend(batch.into_iter().map(|(app, generation)| (app, Step::Follow(generation))));
        }
        for (app, step) in begun {
            let takes = match step {
                Step::Prepare(_) => self.random.millis(5, 900),
                _ => self.random.millis(1, 50),
            };
            let run = self.hosts[at].up.as_ref().map_or(0, |process| process.run);
            self.at(now + takes, Event::StepDone { at, run, app, step });
        }
        self.announce(at);
    }

    pub(crate) fn step_done(&mut self, at: usize, app: &AppName, step: Step) {
        let done = match step {
            Step::Prepare(generation) | Step::Follow(generation) => {
                self.bring(at, app, generation, matches!(step, Step::Prepare(_)))
            }
            Step::Forget(latest) => {
                self.forget(at, app, latest);
                Ok(())
            }
            Step::Rest | Step::Retire | Step::Try(_) | Step::EndCanary => Ok(()),
        };
        self.story.add(format!(
            "{:?} {}: {step:?} of {app} {}",
            self.now,
            self.hosts[at].name,
            done.as_ref().err().map_or("is done", |why| why)
        ));
        let now = self.now;
        let Some(process) = self.hosts[at].up.as_mut() else { return };
        let since = now.saturating_sub(process.began_at);
        process.reconciler.done(app, done.is_ok(), since);
        if done.is_ok() {
            process.announcer.note(app, step, since);
        }
        self.see_to_apps(at);
    }

    fn forget(&mut self, at: usize, app: &AppName, latest: Generation) {
        let current = self.hosts[at].disk.current.get(app);
        if current.is_some_and(|current| *current > latest.get()) {
            return;
        }
        let had = self.hosts[at].disk.last.get(app).copied().unwrap_or(0);
        let served = self.hosts[at].up.as_ref().and_then(|process| process.served.get(app));
        let had = served.map_or(had, |served| served.generation);
        self.truth.forgotten.push((self.hosts[at].name.clone(), app.clone(), had));
        self.hosts[at].disk.forget(app);
        if let Some(process) = self.hosts[at].up.as_mut() {
            process.served.remove(app);
        }
    }

    /// Has a deployment here, with its component where that is needed.
    fn bring(
        &mut self,
        at: usize,
        app: &AppName,
        generation: Generation,
        with_code: bool,
    ) -> Result<(), &'static str> {
        let number = generation.get();
        let Some(process) = self.hosts[at].up.as_ref() else { return Err("is over") };
        let wanted = process.view.wanted_fingerprint(app, number).map(str::to_owned);
        let is_wanted = |found: &&Deployment| {
            !self.rules.fingerprints
                || wanted.as_ref().is_none_or(|wanted| found.fingerprint() == *wanted)
        };
        let kept = self.hosts[at].disk.ledger.get(app).and_then(|kept| kept.get(&number));
        let kept = kept.filter(is_wanted).cloned();
        let is_away = self.hosts[at].is_cut_off || process.back_at.is_none();
        let found = match (kept, self.store.entries().get(&Key::Deployment(app.clone(), number))) {
            (Some(kept), _) => kept,
            (None, Some(entry)) if !is_away => match &entry.value {
                Value::Deployment(found) if is_wanted(&found) => found.clone(),
                _ => return Err("is another one"),
            },
            (None, _) => return Err("is missing"),
        };
        if self.random.chance(3) {
            return Err("failed");
        }
        if with_code && !self.hosts[at].disk.blobs.contains(&found.component) {
            let has = |other: &usize| {
                self.hosts[*other].disk.blobs.contains(&found.component)
                    && self.probed(at, *other).1 == Probe::Answers
            };
            if !(0..self.hosts.len()).filter(|other| *other != at).any(|other| has(&other)) {
                return Err("has no component anywhere");
            }
            self.hosts[at].disk.blobs.insert(found.component);
        }
        self.hosts[at].disk.keep(app, &found);
        if let Some(process) = self.hosts[at].up.as_mut() {
            process.served.insert(app.clone(), found);
        }
        Ok(())
    }

    pub(crate) fn announce(&mut self, at: usize) {
        let now = self.now;
        let SimPart { name, process } = self.part(at);
        let Some(process) = process else { return };
        let since = now.saturating_sub(process.began_at);
        let Registration::Held(lease) = process.registration else { return };
        process.announcer.note_lease(Some(LeaseId(lease)), since);
        if process.is_announcing || process.back_at.is_none() {
            return;
        }
        let batch = process.announcer.batch(process.reconciler.is_idle(), since);
        if batch.is_empty() {
            return;
        }
        process.is_announcing = true;
        let writes = batch.iter().map(|(app, code)| {
            let served = process.served.get(app);
            let value = code.map(|code| {
                let served = served.filter(|served| served.generation == code.generation.get());
                Value::Ready(ReadyRecord {
                    generation: code.generation.get(),
                    fingerprint: served.map(Deployment::fingerprint),
                })
            });
            (Key::Fleet(FleetKey::Ready(name.clone(), app.clone())), value)
        });
        let commit = Commit { writes: writes.collect(), lease: Some(lease), guards: Vec::new() };
        self.commit(at, Op::Announce(batch), commit);
    }
}

/// A host's name with its process.
pub(crate) struct SimPart<'w> {
    pub(crate) name: HostName,
    pub(crate) process: Option<&'w mut crate::host::Process>,
}

impl World {
    fn part(&mut self, at: usize) -> SimPart<'_> {
        let host = &mut self.hosts[at];
        SimPart { name: host.name.clone(), process: host.up.as_mut() }
    }
}
