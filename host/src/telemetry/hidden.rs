//! The secrets of an app, as they are taken out of what it prints and of what is told of it.
//! Knows them as they were set, and in no other spelling: what a guest encodes is not known again.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use memchr::memmem::Finder;
use steerage_core::manifest::{SHORTEST_HIDDEN, VariableName};

/// Values of one secret that are hidden: calls that began before it was set anew may still say the one before.
const VALUES_OF_EACH: usize = 2;

/// The secrets of one app. Costs a look at a pointer where there are none.
#[derive(Default)]
pub struct HiddenTexts {
    known: ArcSwapOption<Known>,
    /// Held by whoever adds to them.
    next: Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    /// The values of each secret, the newest first.
    values: Vec<(VariableName, Vec<String>)>,
    /// What is looked for, the longest first: of a text whose middle was taken out nothing would be found.
    texts: Vec<(Finder<'static>, String)>,
    /// The same in small letters, for names of hosts.
    in_names: Vec<(Finder<'static>, String)>,
}

impl HiddenTexts {
    /// Hides these values from now on.
    pub fn hide<'s>(&self, secrets: impl IntoIterator<Item = (&'s VariableName, &'s str)>) {
        let _turn = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.known.load().as_deref().cloned().unwrap_or_default();
        let mut is_news = false;
        for (name, value) in secrets {
            is_news |= known.add(name, value);
        }
        if is_news {
            (known.texts, known.in_names) =
                (known.find(str::to_owned), known.find(str::to_ascii_lowercase));
            self.known.store(Some(Arc::new(known)));
        }
    }

    /// The text without them: the name of each stands where it stood.
    #[must_use]
    pub fn taken_out_of<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &*self.known.load() {
            Some(known) => all_replaced(text, &known.texts),
            None => Cow::Borrowed(text),
        }
    }

    /// The same of the name of a host, which is in small letters whatever a guest wrote.
    #[must_use]
    pub fn taken_out_of_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &*self.known.load() {
            Some(known) => all_replaced(name, &known.in_names),
            None => Cow::Borrowed(name),
        }
    }
}

impl Known {
    /// Whether it was not known.
    fn add(&mut self, name: &VariableName, value: &str) -> bool {
        let place = self.values.iter().position(|(known, _)| known == name);
        let Some((_, values)) = place.and_then(|place| self.values.get_mut(place)) else {
            self.values.push((name.clone(), vec![value.to_owned()]));
            return true;
        };
        if values.first().is_some_and(|newest| newest == value) {
            return false;
        }
        values.insert(0, value.to_owned());
        values.truncate(VALUES_OF_EACH);
        true
    }

    /// What is looked for in texts in which secrets stand so.
    fn find(&self, spelled: impl Fn(&str) -> String) -> Vec<(Finder<'static>, String)> {
        let mut texts = Vec::new();
        for (name, values) in &self.values {
            for value in values {
                // What is printed comes line by line.
                let lines = value.lines().filter(|line| *line != value);
                let each = [value.as_str()].into_iter().chain(lines).map(str::trim);
                texts.extend(each.map(|text| (text, name)));
            }
        }
        texts.retain(|(text, _)| text.len() >= SHORTEST_HIDDEN);
        texts.sort_by_key(|(text, name)| (Reverse(text.len()), *text, (*name).clone()));
        texts.dedup_by_key(|(text, _)| *text);
        let finder = |text: &str| Finder::new(&spelled(text)).into_owned();
        texts.iter().map(|(text, name)| (finder(text), format!("[secret {name}]"))).collect()
    }
}

fn all_replaced<'t>(text: &'t str, each: &[(Finder<'_>, String)]) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    for (finder, shown) in each {
        if let Some(without) = replaced(&text, finder, shown) {
            text = Cow::Owned(without);
        }
    }
    text
}

/// `None` where it is not found.
fn replaced(text: &str, finder: &Finder<'_>, shown: &str) -> Option<String> {
    let mut ranges = finder.find_iter(text.as_bytes()).peekable();
    ranges.peek()?;
    let (mut without, mut from) = (String::with_capacity(text.len()), 0);
    for at in ranges {
        without.push_str(text.get(from..at).unwrap_or_default());
        without.push_str(shown);
        from = at + finder.needle().len();
    }
    without.push_str(text.get(from..).unwrap_or_default());
    Some(without)
}

impl fmt::Debug for HiddenTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenTexts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(secrets: &[(&str, &str)]) -> HiddenTexts {
        let hidden = HiddenTexts::default();
        for (name, value) in secrets {
            hidden.hide([(&name.parse().unwrap(), *value)]);
        }
        hidden
    }

    #[test]
    fn secrets_are_replaced_by_their_names_wherever_they_stand() {
        let hidden =
            hidden(&[("password", "hunter2"), ("token", "hunter2-token"), ("pin", "1234")]);
        for (text, expected) in [
            ("", ""),
            ("nothing", "nothing"),
            ("hunter2", "[secret password]"),
            ("a hunter2hunter2 b", "a [secret password][secret password] b"),
            // The longer one is not taken apart.
            ("äö hunter2-token äö", "äö [secret token] äö"),
            // Too short to be known again.
            ("1234", "1234"),
        ] {
            assert_eq!(hidden.taken_out_of(text), expected);
        }
        assert!(matches!(hidden.taken_out_of("nothing"), Cow::Borrowed(_)));
        hidden.hide([(&"key".parse().unwrap(), "sk_LIVE_1")]);
        assert_eq!(hidden.taken_out_of_name("sk_live_1.test:80"), "[secret key].test:80");
    }

    #[test]
    fn each_line_of_a_secret_is_one() {
        let key = "-----BEGIN KEY-----\r\nMIIEvQ\nAA\n-----END KEY-----\n";
        let hidden = hidden(&[("key", key)]);
        assert_eq!(hidden.taken_out_of("MIIEvQ"), "[secret key]");
        assert_eq!(hidden.taken_out_of("say -----END KEY-----"), "say [secret key]");
        assert_eq!(hidden.taken_out_of("AA"), "AA");
        assert_eq!(hidden.taken_out_of(&format!("{key}x")), "[secret key]\nx");
    }

    #[test]
    fn the_value_before_stays_hidden_and_none_before_that() {
        let hidden = hidden(&[("password", "first-one"), ("password", "second-one")]);
        hidden.hide([(&"password".parse().unwrap(), "second-one")]);
        assert_eq!(hidden.taken_out_of("first-one").as_ref(), "[secret password]");
        hidden.hide([(&"password".parse().unwrap(), "third-one")]);
        assert_eq!(hidden.taken_out_of("first-one second-one"), "first-one [secret password]");
        assert_eq!(format!("{hidden:?}"), "HiddenTexts");
    }
}
