//! Fields of `wasi:http` 0.2: the headers of a message, or its trailers, as a guest has them. They are
//! shared between all who only look at them, and copied when one of them is changed.
//! Does not weigh them against the guest's memory: `held` does.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, Entry, HeaderName, HeaderValue, MaxSizeReached};

use crate::header::{is_forbidden, remove};

/// Most bytes of the fields that a guest makes: as much as a request brings, so that it can pass on what it
/// was given. Each line counts for its own fields as well, so this bounds their number, too.
pub(in crate::sandbox) const MOST_FIELDS: usize = 64 << 10;

/// The fields of one message.
#[derive(Debug)]
pub(in crate::sandbox) struct Fields {
    lines: Lines,
    /// What they count for while they may be changed; `None` where they may not.
    size: Option<usize>,
}

#[derive(Debug)]
enum Lines {
    /// Nobody else has them. Most that a guest makes are never shared, which spares an allocation.
    Own(HeaderMap),
    Shared(Arc<HeaderMap>),
}

/// Why fields are not as a guest would have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::sandbox) enum Refusal {
    /// They may not be changed.
    #[error("these fields are immutable")]
    Immutable,
    /// A name or a value is none, or there is a second length.
    #[error("the name or the value of a field has a wrong syntax")]
    InvalidSyntax,
    /// Such a field is not the guest's to say.
    #[error("a guest may not say such a field")]
    Forbidden,
    /// This ends the guest.
    #[error("fields of more than {MOST_FIELDS} bytes")]
    TooLarge,
}

impl From<MaxSizeReached> for Refusal {
    fn from(_: MaxSizeReached) -> Self {
        Self::TooLarge
    }
}

/// The name of a field that a guest may say.
///
/// # Errors
/// It is no name, or is forbidden.
pub(in crate::sandbox) fn name_of(text: &str) -> Result<HeaderName, Refusal> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| Refusal::InvalidSyntax)?;
    if is_forbidden(&name) { Err(Refusal::Forbidden) } else { Ok(name) }
}

/// The value of a field of this name.
///
/// # Errors
/// It is no value.
pub(in crate::sandbox) fn value_of(name: &HeaderName, text: &[u8]) -> Result<HeaderValue, Refusal> {
    // The digits of a length have no sign.
    if name == CONTENT_LENGTH {
        let digits = std::str::from_utf8(text).ok().filter(|_| is_length(text));
        // As one writes a number: zeros before it would go out as they are.
        let length = digits.and_then(|digits| digits.parse::<u64>().ok());
        return length.map(HeaderValue::from).ok_or(Refusal::InvalidSyntax);
    }
    HeaderValue::from_bytes(text).map_err(|_| Refusal::InvalidSyntax)
}

fn is_length(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// The length that headers announce.
///
/// # Errors
/// It stands there twice, or is no number.
pub(in crate::sandbox) fn announced(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || !is_length(value.as_bytes()) {
        return Err(());
    }
    value.to_str().ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or(())
}

impl Fields {
    /// Fields that a guest makes.
    pub(in crate::sandbox) fn new() -> Self {
        Self { lines: Lines::Own(HeaderMap::new()), size: Some(0) }
    }

    /// What a guest may see of a message that somebody else has sent; it cannot be changed.
    pub(in crate::sandbox) fn shown(mut headers: HeaderMap) -> Self {
        remove(&mut headers, is_forbidden);
        Self { lines: Lines::Own(headers), size: None }
    }

    /// All of them.
    pub(in crate::sandbox) fn lines(&self) -> &HeaderMap {
        match &self.lines {
            Lines::Own(lines) => lines,
            Lines::Shared(lines) => lines,
        }
    }

    /// From now on nobody can change them.
    pub(in crate::sandbox) fn freeze(&mut self) {
        self.size = None;
    }

    /// The same, to be looked at.
    pub(in crate::sandbox) fn share(&mut self) -> Self {
        Self { lines: Lines::Shared(self.shared()), size: None }
    }

    /// The same, which may be changed.
    pub(in crate::sandbox) fn copy(&mut self) -> Self {
        let size = self.size.unwrap_or_else(|| size_of_lines(self.lines()));
        Self { lines: Lines::Shared(self.shared()), size: Some(size) }
    }

    fn shared(&mut self) -> Arc<HeaderMap> {
        match &mut self.lines {
            Lines::Shared(lines) => lines.clone(),
            Lines::Own(lines) => {
                let shared = Arc::new(std::mem::take(lines));
                self.lines = Lines::Shared(shared.clone());
                shared
            }
        }
    }

    /// Adds a value to those of this name.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(in crate::sandbox) fn append(
        &mut self,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<(), Refusal> {
        let size = self.size.ok_or(Refusal::Immutable)? + size_of_value(&value);
        let size = match self.change().try_entry(name).map_err(|_| Refusal::TooLarge)? {
            // Who reads two lengths may believe either.
            Entry::Occupied(line) if line.key() == CONTENT_LENGTH => {
                return Err(Refusal::InvalidSyntax);
            }
            Entry::Occupied(mut line) => {
                let size = bounded(size)?;
                line.append(value);
                size
            }
            Entry::Vacant(line) => {
                let size = bounded(size + size_of_name(line.key()))?;
                line.try_insert(value)?;
                size
            }
        };
        self.size = Some(size);
        Ok(())
    }

    /// Puts these values in the place of those of this name.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(in crate::sandbox) fn set(
        &mut self,
        name: HeaderName,
        values: Vec<HeaderValue>,
    ) -> Result<(), Refusal> {
        let size = self.size.ok_or(Refusal::Immutable)?;
        if name == CONTENT_LENGTH && values.len() > 1 {
            return Err(Refusal::InvalidSyntax);
        }
        let added = match values.len() {
            0 => 0,
            _ => size_of_name(&name) + values.iter().map(size_of_value).sum::<usize>(),
        };
        let size = bounded(size.saturating_sub(self.size_of(&name)) + added)?;
        let mut values = values.into_iter();
        let Some(first) = values.next() else {
            self.change().remove(&name);
            self.size = Some(size);
            self.give_back();
            return Ok(());
        };
        let mut line = match self.change().try_entry(name).map_err(|_| Refusal::TooLarge)? {
            Entry::Occupied(mut line) => {
                line.insert(first);
                line
            }
            Entry::Vacant(line) => line.try_insert_entry(first)?,
        };
        for value in values {
            line.append(value);
        }
        self.size = Some(size);
        Ok(())
    }

    /// Takes out all values of this name.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(in crate::sandbox) fn delete(&mut self, name: &HeaderName) -> Result<(), Refusal> {
        let size = self.size.ok_or(Refusal::Immutable)?;
        let taken = self.size_of(name);
        // Where there is none, they need not be copied.
        if taken > 0 {
            self.change().remove(name);
            self.size = Some(size.saturating_sub(taken));
            self.give_back();
        }
        Ok(())
    }

    /// A map keeps its room when lines are taken out: an empty one is made anew, since its room is weighed no
    /// more.
    fn give_back(&mut self) {
        if self.lines().is_empty() {
            self.lines = Lines::Own(HeaderMap::new());
        }
    }

    fn change(&mut self) -> &mut HeaderMap {
        match &mut self.lines {
            Lines::Own(lines) => lines,
            Lines::Shared(lines) => Arc::make_mut(lines),
        }
    }

    /// What the lines of this name count for; 0 where there is none.
    fn size_of(&self, name: &HeaderName) -> usize {
        let values = self.lines().get_all(name);
        let size: usize = values.iter().map(size_of_value).sum();
        if size == 0 { 0 } else { size + size_of_name(name) }
    }
}

impl From<Fields> for HeaderMap {
    fn from(fields: Fields) -> Self {
        match fields.lines {
            Lines::Own(lines) => lines,
            Lines::Shared(lines) => Arc::unwrap_or_clone(lines),
        }
    }
}

fn bounded(size: usize) -> Result<usize, Refusal> {
    if size > MOST_FIELDS { Err(Refusal::TooLarge) } else { Ok(size) }
}

fn size_of_lines(lines: &HeaderMap) -> usize {
    let names: usize = lines.keys().map(size_of_name).sum();
    names + lines.values().map(size_of_value).sum::<usize>()
}

fn size_of_name(name: &HeaderName) -> usize {
    name.as_str().len() + size_of::<HeaderName>()
}

fn size_of_value(value: &HeaderValue) -> usize {
    value.len() + size_of::<HeaderValue>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        name_of(text).unwrap()
    }

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).unwrap()
    }

    fn told(fields: &Fields) -> String {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}\n", value.as_bytes().escape_ascii())
        };
        fields.lines().iter().map(line).collect()
    }

    #[test]
    fn what_is_shared_stays_as_it_is_when_a_copy_is_changed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", value("1"));
        headers.insert("host", value("not shown"));
        let mut shown = Fields::shown(headers);
        let (again, mut copy) = (shown.share(), shown.copy());
        assert_eq!(copy.append(name("x-b"), value("2")), Ok(()));
        let mut second = copy.copy();
        assert_eq!(second.delete(&name("x-a")), Ok(()));
        assert_eq!(second.set(name("x-b"), vec![value("3"), value("4")]), Ok(()));
        assert_eq!(told(&shown), "x-a: 1\n");
        assert_eq!(told(&again), "x-a: 1\n");
        assert_eq!(told(&copy), "x-a: 1\nx-b: 2\n");
        assert_eq!(told(&second), "x-b: 3\nx-b: 4\n");
        copy.freeze();
        for fixed in [&mut shown, &mut copy] {
            assert_eq!(fixed.append(name("x"), value("1")), Err(Refusal::Immutable));
            assert_eq!(fixed.set(name("x-a"), Vec::new()), Err(Refusal::Immutable));
            assert_eq!(fixed.delete(&name("x-a")), Err(Refusal::Immutable));
        }
    }

    #[test]
    fn what_was_shared_and_is_had_alone_again_is_not_copied() {
        let mut fields = Fields::new();
        fields.append(name("x-a"), value("1")).unwrap();
        drop(fields.share());
        let before = std::ptr::from_ref(fields.lines());
        fields.append(name("x-b"), value("2")).unwrap();
        assert_eq!(std::ptr::from_ref(fields.lines()), before);
    }

    #[test]
    fn their_size_is_what_is_in_them_whatever_was_done_to_them() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut fields = Fields::new();
        for _ in 0..2_000 {
            let name = name(&"abcdefgh"[..rng.usize(1..5)]);
            let values = |rng: &mut fastrand::Rng| {
                (0..rng.usize(..4)).map(|_| value(&"x".repeat(rng.usize(..9)))).collect()
            };
            let done = match rng.u8(..5) {
                0 => fields.delete(&name),
                1 => fields.set(name, values(&mut rng)),
                2 => {
                    fields = fields.copy();
                    Ok(())
                }
                _ => fields.append(name, value("xyz")),
            };
            assert_eq!(done, Ok(()));
            assert_eq!(fields.size, Some(size_of_lines(fields.lines())));
            if rng.u8(..40) == 0 {
                fields = Fields::new();
            }
        }
    }

    #[test]
    fn they_are_bounded_in_bytes_and_in_number() {
        let mut fields = Fields::new();
        let mut n_lines = 0;
        while fields.append(name(&format!("x-{n_lines}")), value("")).is_ok() {
            n_lines += 1;
        }
        assert!((500..1_000).contains(&n_lines), "{n_lines}");
        assert_eq!(fields.append(name("y-yyy"), value("")), Err(Refusal::TooLarge));
        let many = vec![value(""); 2_000];
        assert_eq!(fields.set(name("x-1"), many), Err(Refusal::TooLarge));
        assert_eq!(fields.lines().len(), n_lines, "what is refused changes nothing");
        assert_eq!(fields.delete(&name("x-1")), Ok(()));
        assert_eq!(fields.append(name("x-1"), value("")), Ok(()));
        for n_line in 0..n_lines {
            fields.delete(&name(&format!("x-{n_line}"))).unwrap();
        }
        assert_eq!(
            (fields.lines().capacity(), fields.size),
            (0, Some(0)),
            "its room is given back"
        );
        let long = value(&"x".repeat(MOST_FIELDS));
        assert_eq!(Fields::new().append(name("x"), long.clone()), Err(Refusal::TooLarge));
        assert_eq!(Fields::new().set(name("x"), vec![long]), Err(Refusal::TooLarge));
    }

    #[test]
    fn names_and_values_are_what_they_may_be() {
        for text in ["", "x a", "x:", "x\u{e9}", "x\n", &"x".repeat(70_000)] {
            assert_eq!(name_of(text), Err(Refusal::InvalidSyntax), "{text:.9}");
        }
        for text in ["Host", "CONNECTION", "transfer-encoding", "http2-settings"] {
            assert_eq!(name_of(text), Err(Refusal::Forbidden), "{text}");
        }
        assert_eq!(name_of("X-Own").unwrap(), "x-own");
        let own = name("x-own");
        assert!(value_of(&own, b"").is_ok() && value_of(&own, b"\xff\t\x80").is_ok());
        for wrong in [&b"a\r\nb"[..], b"a\0", b"\x7f"] {
            assert_eq!(value_of(&own, wrong), Err(Refusal::InvalidSyntax));
        }
        let too_large = u128::from(u64::MAX) + 1;
        let too_large = too_large.to_string();
        for wrong in [&b""[..], b"+1", b"-1", b"1 ", b"0x1", too_large.as_bytes()] {
            assert_eq!(value_of(&CONTENT_LENGTH, wrong), Err(Refusal::InvalidSyntax));
        }
        let most = u64::MAX.to_string();
        assert_eq!(value_of(&CONTENT_LENGTH, most.as_bytes()).unwrap(), most);
        assert_eq!(value_of(&CONTENT_LENGTH, b"007").unwrap(), "7");
    }

    #[test]
    fn a_length_stands_once_and_is_a_number() {
        let mut fields = Fields::new();
        assert_eq!(announced(fields.lines()), Ok(None));
        fields.append(CONTENT_LENGTH, value("17")).unwrap();
        assert_eq!(announced(fields.lines()), Ok(Some(17)));
        assert_eq!(fields.append(CONTENT_LENGTH, value("17")), Err(Refusal::InvalidSyntax));
        let two = vec![value("1"), value("1")];
        assert_eq!(fields.set(CONTENT_LENGTH, two), Err(Refusal::InvalidSyntax));
        fields.set(CONTENT_LENGTH, vec![value("99999999999999999999")]).unwrap();
        assert_eq!(announced(fields.lines()), Err(()));
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_LENGTH, value("1"));
        headers.append(CONTENT_LENGTH, value("1"));
        assert_eq!(announced(&headers), Err(()), "what somebody else has sent");
    }
}
