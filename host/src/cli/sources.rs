//! Who told what a verb shows, where hosts of a fleet were asked: which of them said nothing, and why.
//! Prints nothing where all did, or where the host is alone.

use super::screen::Screen;
use crate::api::wire::Sources;

/// Says whose word is missing, beside the data.
pub(super) fn tell(screen: Screen, sources: Option<&Sources>) {
    for line in missing(sources) {
        screen.note(&line);
    }
}

/// A line for each host that said nothing.
pub(super) fn missing(sources: Option<&Sources>) -> impl Iterator<Item = String> {
    let unanswered = sources.into_iter().flat_map(|sources| &sources.unanswered);
    unanswered.map(|gone| {
        format!("{} says nothing, and what it knows is missing: {}", gone.host, gone.why)
    })
}
