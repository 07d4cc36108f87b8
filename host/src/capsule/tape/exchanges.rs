//! The guest's own requests on the tape of its call: each is written down with what came of it, or finds in the
//! recording which answer it is to be given. Sends nothing.

use steerage_core::capsule::is_same_but_for_secrets;

use super::{Planned, State, Tape, size};
use crate::capsule::recording::{Exchange, RecordedAnswer};

/// About what stands around an answer.
const WORDS: usize = 60;
/// What a request of the guest takes in memory besides its method and whom it asks.
const EXCHANGE: usize = 250;

impl Tape {
    /// The guest sends a request of its own; returns its number, or that of the first which it sent then by this
    /// method to there, and has not sent again so far. A component that was mended may ask in another order.
    #[must_use]
    pub fn begin_exchange(&self, method: &str, to: &str) -> Option<usize> {
        let mut state = self.state();
        let State { recording, position, .. } = &mut *state;
        if self.is_playing() {
            let is_unsent = |number: &usize| position.sent.get(*number) != Some(&true);
            let find = |is_it: fn(&str, &str) -> bool| {
                let mut each = recording.outbound.iter().enumerate();
                let same = |of: &Exchange| is_it(&of.method, method) && is_it(&of.to, to);
                each.find(|(number, of)| is_unsent(number) && same(of)).map(|(number, _)| number)
            };
            // A secret that stood in it was replaced.
            let number = find(|then, now| then == now).or_else(|| find(is_same_but_for_secrets));
            let n_sent = position.sent.iter().filter(|is_sent| **is_sent).count();
            position.is_otherwise |= number != Some(n_sent);
            position.sent.resize(recording.outbound.len(), false);
            if let Some(is_sent) = number.and_then(|number| position.sent.get_mut(number)) {
                *is_sent = true;
            }
            return number;
        }
        if !state.has_room(EXCHANGE + method.len() + to.len()) {
            return None;
        }
        let (method, to) = (method.to_owned(), to.to_owned());
        state.recording.outbound.push(Exchange { method, to, answer: None });
        Some(state.recording.outbound.len() - 1)
    }

    /// What came of it.
    pub fn note_answer(&self, number: usize, answer: RecordedAnswer) {
        let words = match &answer {
            RecordedAnswer::Failed { error } => error.len(),
            RecordedAnswer::Answered { headers, .. } => size(headers),
        };
        let mut state = self.state();
        if !self.is_playing()
            && state.has_room(WORDS + words)
            && let Some(exchange) = state.recording.outbound.get_mut(number)
        {
            exchange.answer = Some(answer);
        }
    }

    /// What is to come of it.
    #[must_use]
    pub fn planned_answer(&self, number: Option<usize>) -> Planned {
        let state = self.state();
        let exchange = number.and_then(|number| state.recording.outbound.get(number));
        match exchange.map(|exchange| exchange.answer.clone()) {
            None => Planned::Unknown,
            Some(None) => Planned::Never,
            Some(Some(answer)) => Planned::Answer(answer),
        }
    }
}
