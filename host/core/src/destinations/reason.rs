//! Why outbound requests had no good answer, as far as the host knows: a word of its own for each, and what to
//! do about it.
//! Does not find out: whoever sends them says.

use super::end::RequestEnd;

/// Why a request ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndReason {
    /// The manifest does not name the destination.
    NotAllowed,
    /// The manifest does, and the operator opens no such address.
    AddressNotOpen,
    /// As many requests or connections were under way as may be.
    TooMany,
    /// Nobody knows the name.
    NameNotFound,
    /// There was no connection in time.
    NotConnectedInTime,
    /// Nobody listens there.
    ConnectionRefused,
    /// The certificate is not valid for the name, or at this time.
    BadCertificate,
    /// What answers speaks no TLS, or not as this host does.
    NoTls,
    /// The answer began, and no more of it came in time.
    NoMoreInTime,
    /// No answer came in time.
    NoAnswerInTime,
    /// The time of the call was over first.
    CallOver,
    /// The answer broke off.
    AnswerBrokeOff,
    /// The connection ended without an answer.
    ClosedUnanswered,
    /// What came was no HTTP.
    NoHttp,
}

impl EndReason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 14] = [
        Self::NotAllowed,
        Self::AddressNotOpen,
        Self::TooMany,
        Self::NameNotFound,
        Self::NotConnectedInTime,
        Self::ConnectionRefused,
        Self::BadCertificate,
        Self::NoTls,
        Self::NoMoreInTime,
        Self::NoAnswerInTime,
        Self::CallOver,
        Self::AnswerBrokeOff,
        Self::ClosedUnanswered,
        Self::NoHttp,
    ];

    /// How such a request ends.
    #[must_use]
    pub fn end(self) -> RequestEnd {
        match self {
            Self::NotAllowed | Self::AddressNotOpen => RequestEnd::Denied,
            Self::TooMany => RequestEnd::NoRoom,
            Self::NameNotFound
            | Self::NotConnectedInTime
            | Self::ConnectionRefused
            | Self::BadCertificate
            | Self::NoTls => RequestEnd::Unconnected,
            Self::NoMoreInTime | Self::NoAnswerInTime | Self::CallOver => RequestEnd::TimedOut,
            Self::AnswerBrokeOff | Self::ClosedUnanswered | Self::NoHttp => RequestEnd::BrokeOff,
        }
    }

    /// It in a few words, as the API tells it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::NotAllowed => "not in allowed_outbound_hosts",
            Self::AddressNotOpen => "its address is not open to apps",
            Self::TooMany => "too many requests or connections at once",
            Self::NameNotFound => "its name was not found",
            Self::NotConnectedInTime => "no connection in time",
            Self::ConnectionRefused => "connection refused",
            Self::BadCertificate => "its certificate is not valid",
            Self::NoTls => "no TLS connection",
            Self::NoMoreInTime => "no more of the answer in time",
            Self::NoAnswerInTime => "no answer in time",
            Self::CallOver => "the call's time was over first",
            Self::AnswerBrokeOff => "the answer broke off",
            Self::ClosedUnanswered => "closed without an answer",
            Self::NoHttp => "the answer was no HTTP",
        }
    }

    /// The one with this text; a later version may have others.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.text() == text)
    }

    /// What can be done about it: more than where only the end is known, see [`RequestEnd::remedy`].
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NotAllowed => {
                "if the app is meant to ask it, add it to allowed_outbound_hosts in steerage.toml: the event \
                 `outbound_denied` has the line"
            }
            Self::AddressNotOpen => {
                "if apps are meant to ask it, the operator opens such addresses with --outbound-private; \
                 link-local ones are open to no app"
            }
            Self::NameNotFound => {
                "see whether the name is right, and whether the resolver of this host knows it"
            }
            Self::BadCertificate => {
                "renew its certificate, or have the app ask it by a name that its certificate has"
            }
            Self::NoTls => "see whether it speaks TLS on that port: the app asked it with https",
            Self::NoHttp => "see whether it speaks HTTP on that port, and whether it wants TLS",
            _ => self.end().remedy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_is_known_by_its_text_is_wrong_and_has_a_remedy() {
        let texts: BTreeSet<_> = EndReason::ALL.iter().map(|reason| reason.text()).collect();
        assert_eq!(texts.len(), EndReason::ALL.len());
        for reason in EndReason::ALL {
            assert_eq!(EndReason::of_text(reason.text()), Some(reason));
            assert!(reason.end().is_wrong() && !reason.remedy().is_empty(), "{reason:?}");
        }
        assert_eq!(EndReason::of_text("answered 503"), None);
    }
}
