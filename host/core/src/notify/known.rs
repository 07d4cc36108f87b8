//! One problem, as far as one receiver is concerned: what it was told of it, and what is to be told next.
//! Knows no other problem: `notify` says whose turn it is.

use super::words::{Delivery, Notice, NoticeFacts, NotifyCounts, NotifyRules, Sighting};

/// A problem, as far as the receiver is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownProblem {
    state: CourseSeen,
    /// Since when it is seen.
    since: u64,
    pub(super) told: Option<ToldNotice>,
    /// The last message, where the receiver refused it.
    refused: Option<RefusedNotice>,
    /// Somebody tried to tell the opening.
    was_tried: bool,
    /// Notices of it that were taken or refused.
    n_settled: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CourseSeen {
    Open { material: u64, is_symptom: bool },
    Unclear,
    Over { at: u64 },
}

/// What the receiver was told last, or may have been.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToldNotice {
    pub(super) material: u64,
    at: u64,
    /// What it may not have got.
    pub(super) in_doubt: Option<Notice>,
}

/// A message that the receiver refused. It is not sent again while it would say the same, except where all
/// that is open is repeated.
#[derive(Clone, Copy, Debug)]
struct RefusedNotice {
    material: u64,
    at: u64,
}

impl KnownProblem {
    /// It is seen for the first time.
    pub(super) fn open(since: u64, material: u64, is_symptom: bool) -> Self {
        let state = CourseSeen::Open { material, is_symptom };
        Self { state, since, told: None, refused: None, was_tried: false, n_settled: 0 }
    }

    /// Somebody tries to tell it.
    pub(super) fn note_try(&mut self) {
        self.was_tried = true;
    }

    /// What belongs to a notice of it.
    pub(super) fn facts(&self) -> NoticeFacts {
        let closed_at = match self.state {
            CourseSeen::Over { at } => Some(at),
            CourseSeen::Open { .. } | CourseSeen::Unclear => None,
        };
        let (opened_at, n_settled) = (self.since, self.n_settled);
        NoticeFacts { opened_at, closed_at, material: self.material(), n_settled }
    }

    /// Takes what is seen of it now; whether there is anything left to tell.
    pub(super) fn see(
        &mut self,
        now: u64,
        rules: &NotifyRules,
        seen: Option<&Sighting>,
        counts: &mut NotifyCounts,
    ) -> bool {
        match (seen, self.told) {
            (Some(Sighting::Here { material, is_symptom }), told) => {
                let is_new = told.is_none_or(|told| told.in_doubt == Some(Notice::Opened));
                // What was unclear for a while was never over.
                if is_new && matches!(self.state, CourseSeen::Over { .. }) {
                    self.since = now;
                }
                self.state = CourseSeen::Open { material: *material, is_symptom: *is_symptom };
                true
            }
            (Some(Sighting::Elsewhere), None) => false,
            // Whether it is told there is not known: what was told here is over once nobody has it.
            (Some(Sighting::Unclear | Sighting::Elsewhere), Some(_)) => {
                if self.is_open() {
                    self.state = CourseSeen::Unclear;
                }
                true
            }
            (Some(Sighting::Unclear) | None, None) => {
                let was_due = self.due(rules).is_some_and(|(at, _)| at <= now);
                // What was refused was counted then.
                if (was_due || self.was_tried) && self.refused.is_none() {
                    counts.lost += 1;
                }
                false
            }
            (None, Some(_)) => {
                if !matches!(self.state, CourseSeen::Over { .. }) {
                    self.state = CourseSeen::Over { at: now };
                }
                true
            }
        }
    }

    /// What is to be told next, and when.
    pub(super) fn due(&self, rules: &NotifyRules) -> Option<(u64, Notice)> {
        let (material, is_symptom) = match (self.state, self.told) {
            // An end that may not have arrived is tried again after what others wait for.
            (CourseSeen::Over { at }, Some(told)) => {
                return Some((at.max(told.at), Notice::Closed));
            }
            (CourseSeen::Over { .. }, None) | (CourseSeen::Unclear, _) => return None,
            (CourseSeen::Open { material, is_symptom }, _) => (material, is_symptom),
        };
        let (at, notice) = match self.told {
            None if is_symptom => return None,
            None => (self.since.saturating_add(rules.wait), Notice::Opened),
            Some(ToldNotice { at, in_doubt: Some(notice), .. }) => (at, notice),
            Some(told) if told.material != material => {
                (told.at.saturating_add(rules.change_every), Notice::Changed)
            }
            Some(told) => (told.at.saturating_add(rules.repeat?), Notice::Repeated),
        };
        match self.refused {
            Some(refused) if refused.material == material => {
                Some((refused.at.saturating_add(rules.repeat?), notice))
            }
            Some(refused) => Some((at.max(refused.at.saturating_add(rules.change_every)), notice)),
            None => Some((at, notice)),
        }
    }

    /// It was told; whether there may be more to tell.
    pub(super) fn told(&mut self, now: u64, notice: Notice, delivery: Delivery) -> bool {
        let material = self.material();
        match (notice, delivery) {
            (_, Delivery::NotReached) => return true,
            (Notice::Closed, Delivery::Taken | Delivery::Refused) => return false,
            (Notice::Closed, Delivery::InDoubt) => {
                // Where it opens again, the receiver may take it for closed.
                if let Some(told) = &mut self.told {
                    (told.in_doubt, told.at) = (Some(Notice::Opened), now);
                }
                self.refused = None;
            }
            (_, Delivery::InDoubt) => {
                // What it got for sure stays so long as nobody knows better.
                let known = self.told.map_or(material, |told| told.material);
                self.told = Some(ToldNotice { material: known, at: now, in_doubt: Some(notice) });
                self.refused = None;
            }
            (_, Delivery::Taken) => {
                self.told = Some(ToldNotice { material, at: now, in_doubt: None });
                (self.refused, self.n_settled) = (None, self.n_settled + 1);
            }
            (_, Delivery::Refused) => {
                self.refused = Some(RefusedNotice { material, at: now });
                self.n_settled += 1;
            }
        }
        true
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, CourseSeen::Open { .. })
    }

    fn material(&self) -> u64 {
        if let CourseSeen::Open { material, .. } = self.state {
            return material;
        }
        self.told.map_or(0, |told| told.material)
    }

    pub(super) fn over_for(&self, now: u64) -> u64 {
        match self.state {
            CourseSeen::Over { at } => now.saturating_sub(at),
            CourseSeen::Open { .. } | CourseSeen::Unclear => 0,
        }
    }
}
