//! How an outbound request ended, in codes and in words, and what can be done about it.
//! Does not decide it: whoever sends requests sees it.

/// How an outbound request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestEnd {
    /// It was answered, with a status below 500.
    Answered,
    /// It was answered with a status of class 5xx.
    ServerError,
    /// The app may not send it.
    Denied,
    /// As many requests or connections were under way as may be; the destination was not asked.
    NoRoom,
    /// There was no connection.
    Unconnected,
    /// No answer, or no more of one, came in time: the guest's patience or its call's time was over.
    TimedOut,
    /// The connection ended, or made no sense, before the answer was whole.
    BrokeOff,
    /// The guest, or its client, did not want the answer any more.
    GivenUp,
}

impl RequestEnd {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::ServerError,
        Self::Denied,
        Self::NoRoom,
        Self::Unconnected,
        Self::TimedOut,
        Self::BrokeOff,
        Self::GivenUp,
    ];

    /// Its name in metrics and in the API.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "server_error",
            Self::Denied => "denied",
            Self::NoRoom => "no_room",
            Self::Unconnected => "unconnected",
            Self::TimedOut => "timed_out",
            Self::BrokeOff => "broke_off",
            Self::GivenUp => "given_up",
        }
    }

    /// The one with this code.
    #[must_use]
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.code() == code)
    }

    /// What requests did that ended so, or what was done to them: `3 of 4 requests` and this is a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Answered => "were answered",
            Self::ServerError => "were answered 5xx",
            Self::Denied => "were denied",
            Self::NoRoom => "found no room on this host",
            Self::Unconnected => "got no connection",
            Self::TimedOut => "timed out",
            Self::BrokeOff => "broke off",
            Self::GivenUp => "were given up",
        }
    }

    /// What can be done where requests to a destination end so again and again; nothing where nothing is
    /// wrong.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Answered | Self::GivenUp => "",
            Self::ServerError => "see in its own log why it answers so",
            Self::Denied => {
                "if the app is meant to ask it, allow it: the event `outbound_denied` has the line"
            }
            Self::NoRoom => "send fewer requests at once",
            Self::Unconnected => {
                "see whether it runs, and whether this host reaches it under that name and port"
            }
            Self::TimedOut => {
                "see why it takes so long; give outbound requests a shorter timeout than the call has, and \
                 answer without them"
            }
            Self::BrokeOff => "see in its own log why it ends connections before it has answered",
        }
    }

    /// Whether no whole answer came, and somebody wanted it.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Self::Answered | Self::ServerError | Self::GivenUp => false,
            Self::Denied | Self::NoRoom | Self::Unconnected | Self::TimedOut | Self::BrokeOff => {
                true
            }
        }
    }

    /// Whether something was wrong: a failure, or an answer of class 5xx.
    #[must_use]
    pub fn is_wrong(self) -> bool {
        self.is_failure() || self == Self::ServerError
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_end_has_its_place_and_a_code_of_its_own() {
        let places: Vec<_> = RequestEnd::ALL.iter().map(|end| *end as usize).collect();
        assert_eq!(places, (0..RequestEnd::ALL.len()).collect::<Vec<_>>());
        let codes: BTreeSet<_> = RequestEnd::ALL.iter().map(|end| end.code()).collect();
        assert_eq!(codes.len(), RequestEnd::ALL.len());
        assert!(RequestEnd::ALL.iter().all(|end| RequestEnd::of_code(end.code()) == Some(*end)));
    }
}
