//! Where a call stands in a trace: the W3C context that came with its request, and the span that is its own.
//! Knows no headers and draws no numbers: both are given.

use std::num::NonZeroU64;

use crate::id::CallId;

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag that says that the span is recorded.
const SAMPLED: u8 = 1;
/// The flags that are known; others are not passed on. The second says that the trace's id is random.
const KNOWN_FLAGS: u8 = 3;

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace: u128,
    /// The span that asks.
    pub span: NonZeroU64,
    /// Its flags.
    pub flags: u8,
}

/// A call in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTrace {
    /// The trace; never 0.
    pub trace: u128,
    /// The span that asked for the call; `None` where the trace begins with it.
    pub parent: Option<NonZeroU64>,
    /// The call's own span.
    pub span: NonZeroU64,
    /// The flags that whoever it asks is told.
    pub flags: u8,
}

impl TraceParent {
    /// Reads one; see W3C Trace Context, 3.2. Later versions are read as far as they are known.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = (text.get(..LENGTH)?, text.get(LENGTH..)?);
        let [v1, v2, b'-', ids @ ..] = known else { return None };
        let (trace, span) = (ids.get(..32)?, ids.get(33..49)?);
        let (dashes, flags) = ([ids.get(32)?, ids.get(49)?], ids.get(50..52)?);
        let are_digits = [v1, v2].into_iter().chain(trace).chain(span).chain(flags).all(is_digit);
        let is_first_version = [*v1, *v2] == *b"00";
        let has_right_end = match rest {
            [] => true,
            [b'-', ..] => !is_first_version,
            _ => false,
        };
        if !are_digits || dashes != [&b'-'; 2] || [*v1, *v2] == *b"ff" || !has_right_end {
            return None;
        }
        let trace = number(trace);
        let span = NonZeroU64::new(u64::try_from(number(span)).ok()?)?;
        let flags = u8::try_from(number(flags)).ok()?;
        (trace != 0).then_some(Self { trace, span, flags })
    }

    /// The context of a call with which a trace begins, where no span of the call is exported. The same for
    /// the same call, so that another host sees that there is no such span.
    #[must_use]
    pub fn begun(call: CallId) -> Self {
        let trace = call.as_u128().max(1);
        // The upper half and the lower half in one.
        let folded = u64::try_from((trace >> 64) ^ (trace & u128::from(u64::MAX))).unwrap_or(0);
        Self { trace, span: NonZeroU64::new(folded).unwrap_or(NonZeroU64::MIN), flags: 0 }
    }

    /// The same as text, in version 00.
    #[must_use]
    pub fn text(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        for (place, length, number) in [
            (3, 32, self.trace),
            (36, 16, u128::from(self.span.get())),
            (53, 2, u128::from(self.flags & KNOWN_FLAGS)),
        ] {
            if let Some(digits) = text.get_mut(place..place + length) {
                write(digits, number);
            }
        }
        text
    }

    /// Whether the span that asks is recorded.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl CallTrace {
    /// A call with this span, which came with this context or with none. `sample` decides of a trace and of
    /// what its parent says, where there is one, whether it is recorded.
    #[must_use]
    pub fn of(
        call: CallId,
        came_with: Option<TraceParent>,
        span: NonZeroU64,
        sample: impl FnOnce(u128, Option<bool>) -> bool,
    ) -> Self {
        let begun = TraceParent::begun(call);
        // What a host began before this one has no span of its own.
        let parent =
            came_with.filter(|parent| (parent.trace, parent.span) != (begun.trace, begun.span));
        let trace = parent.map_or(begun.trace, |parent| parent.trace);
        let is_sampled = sample(trace, parent.map(|parent| parent.is_sampled()));
        let of_parent = parent.map_or(0, |parent| parent.flags & KNOWN_FLAGS & !SAMPLED);
        let flags = of_parent | if is_sampled { SAMPLED } else { 0 };
        Self { trace, parent: parent.map(|parent| parent.span), span, flags }
    }

    /// Whether it is recorded, whatever becomes of it.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// What those whom the call asks are told.
    #[must_use]
    pub fn told(&self) -> TraceParent {
        TraceParent { trace: self.trace, span: self.span, flags: self.flags }
    }
}

/// The id of a trace, as its 32 digits.
#[must_use]
pub fn trace_id(text: &str) -> Option<u128> {
    let is_one = text.len() == 32 && text.bytes().all(|byte| is_digit(&byte));
    is_one.then(|| number(text.as_bytes())).filter(|id| *id != 0)
}

/// The id of a span, as its 16 digits.
#[must_use]
pub fn span_id(text: &str) -> Option<NonZeroU64> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| is_digit(&byte));
    NonZeroU64::new(u64::try_from(is_one.then(|| number(text.as_bytes()))?).ok()?)
}

/// A hexadecimal digit, which W3C Trace Context has in lower case.
fn is_digit(byte: &u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)
}

/// Of hexadecimal digits, 32 at most.
fn number(digits: &[u8]) -> u128 {
    digits.iter().fold(0, |number, digit| {
        let value = if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
        (number << 4) | u128::from(value)
    })
}

fn write(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        let value = u8::try_from(number & 15).unwrap_or(0);
        *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn span(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    #[test]
    fn what_is_valid_is_read_and_nothing_else() {
        let parent = TraceParent::parse(VALID.as_bytes()).unwrap();
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parent.span.get(), parent.flags), (0xb7ad_6b71_6920_3331, 1));
        let later = VALID.replacen("00", "cc", 1);
        assert_eq!(TraceParent::parse(later.as_bytes()), Some(parent));
        assert_eq!(TraceParent::parse(format!("{later}-more").as_bytes()), Some(parent));
        for wrong in [
            String::new(),
            VALID.to_uppercase(),
            VALID.replacen("00", "ff", 1),
            format!("{VALID}-more"),
            format!("{later}more"),
            VALID[..54].to_owned(),
            VALID.replace('-', "_"),
            VALID.replace("b7ad6b7169203331", "0000000000000000"),
            VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALID.replace("-01", "-0g"),
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_call_hangs_below_who_asked_and_begins_a_trace_where_nobody_did() {
        let call = CallId::from_u128(0xab << 64 | 0xcd);
        let came_with = TraceParent::parse(VALID.as_bytes());
        let below = CallTrace::of(call, came_with, span(7), |_, parent| parent == Some(true));
        assert_eq!(
            below.told().text(),
            *b"00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01"
        );
        assert_eq!(below.parent, came_with.map(|parent| parent.span));
        // What another host began for the same call is no span of anybody.
        for came_with in [None, Some(TraceParent::begun(call))] {
            let root = CallTrace::of(call, came_with, span(7), |_, parent| parent.is_some());
            assert_eq!((root.trace, root.parent, root.is_sampled()), (call.as_u128(), None, false));
        }
        // A proxy may have made the call's id of its own trace's.
        let parent = TraceParent { trace: call.as_u128(), span: span(9), flags: 3 };
        let below = CallTrace::of(call, Some(parent), span(7), |_, _| false);
        assert_eq!((below.parent, below.flags), (Some(span(9)), 2));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1_u128.., number in 1_u64.., flags in 0_u8..4) {
            let parent = TraceParent { trace, span: span(number), flags };
            prop_assert_eq!(TraceParent::parse(&parent.text()), Some(parent));
        }

        #[test]
        fn what_was_changed_anywhere_is_read_whole_or_not_at_all(place in 0_usize..55, byte: u8) {
            let mut text = VALID.as_bytes().to_vec();
            text[place] = byte;
            if let Some(parent) = TraceParent::parse(&text) {
                // But for the version and for flags that nobody knows.
                let known = TraceParent { flags: parent.flags & KNOWN_FLAGS, ..parent };
                let mut written = known.text();
                written[..2].copy_from_slice(&text[..2]);
                prop_assert_eq!(&written[..53], &text[..53]);
            }
        }
    }

    #[test]
    fn only_what_has_all_digits_is_an_id_and_none_is_zero() {
        for text in
            ["", "0", "0000000000000000", "00f067aa0ba902b", "00f067aa0ba902bg", "+0f067aa0ba902b7"]
        {
            assert_eq!(span_id(text), None, "{text:?}");
        }
        assert_eq!(span_id("00f067aa0ba902b7"), NonZeroU64::new(0x00f0_67aa_0ba9_02b7));
        for text in ["a", "0000000000000000000000000000000A", "00000000000000000000000000000000"] {
            assert_eq!(trace_id(text), None, "{text:?}");
        }
        assert_eq!(trace_id("0000000000000000000000000000000a"), Some(10));
    }
}
