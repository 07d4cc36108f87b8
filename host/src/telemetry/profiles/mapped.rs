//! Which functions of guests lie at an address: all compiled code that is mapped in this process.
//! Reads no code.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use steerage_core::profile::{CUT_FRAME, HOST_FRAME};
use steerage_sampler::Sample;

/// What the functions of all code may take here. Of components that have more, the rest has no names.
const MOST_BYTES: usize = 64 << 20;
/// What a function takes besides its name.
const BYTES_EACH: usize = size_of::<FoundFunction>();
/// What has a place in code and no name.
const UNNAMED: &str = "[unnamed]";

/// A function, and where it lies from the beginning of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFunction {
    /// Where it lies, from the beginning of the code.
    pub place: Range<usize>,
    /// Its name, as a person reads it.
    pub name: Arc<str>,
}

/// Tells all functions of some code until it hears that there is no room for more.
type Tell = Box<dyn Fn(&mut dyn FnMut(FoundFunction) -> bool) + Send + Sync>;

/// That some code is mapped. Until this is dropped.
pub struct MappedCode {
    begin: u64,
}

/// Some code.
struct Text {
    end: u64,
    tell: Tell,
    /// In the order of their places. Made when the first sample lies in the code: most code is never sampled, and
    /// going through all functions for each sample would be work that a component chooses.
    functions: OnceLock<Functions>,
}

/// The functions of some code, which count against the bound until they are dropped.
struct Functions {
    all: Vec<FoundFunction>,
    n_bytes: usize,
    /// Not all functions have a place here.
    is_cut: bool,
}

/// What all of these take now.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// By where each begins. No two lie in the same place.
static TEXTS: Mutex<BTreeMap<u64, Arc<Text>>> = Mutex::new(BTreeMap::new());

fn texts() -> MutexGuard<'static, BTreeMap<u64, Arc<Text>>> {
    TEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MappedCode {
    /// Code is mapped there; `tell` tells its functions until it is told that there is no room for more.
    #[must_use]
    pub fn new(
        text: &[u8],
        tell: impl Fn(&mut dyn FnMut(FoundFunction) -> bool) + Send + Sync + 'static,
    ) -> Self {
        let Range { start, end } = text.as_ptr_range();
        let (begin, end) = (start.addr() as u64, end.addr() as u64);
        let text = Text { end, tell: Box::new(tell), functions: OnceLock::new() };
        texts().insert(begin, Arc::new(text));
        Self { begin }
    }
}

impl Drop for MappedCode {
    fn drop(&mut self) {
        let removed = texts().remove(&self.begin);
        // The code may be unmapped by this, and nobody needs to wait for that.
        drop(removed);
    }
}

impl fmt::Debug for MappedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MappedCode({:x})", self.begin)
    }
}

/// The functions of a sample, the outermost first.
pub(super) fn stack(sample: &Sample) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    let (mut is_inside, mut is_cut) = (false, sample.is_cut());
    for (place, address) in sample.frames().iter().enumerate() {
        // All but the innermost is where a function goes on after its call, which may be the end of it.
        let address = address.saturating_sub(u64::from(place > 0));
        let Some((begin, text)) = text_at(address) else {
            // What called the guest is the host, and so is what the guest called.
            if is_inside {
                is_cut = false;
                break;
            }
            continue;
        };
        if !is_inside && place > 0 {
            names.push(HOST_FRAME.into());
        }
        is_inside = true;
        names.extend(text.name(begin, address));
    }
    if names.is_empty() {
        return vec![HOST_FRAME.into()];
    }
    if is_cut {
        names.push(CUT_FRAME.into());
    }
    names.reverse();
    names
}

/// Where code begins that lies there, and the code.
fn text_at(address: u64) -> Option<(u64, Arc<Text>)> {
    let texts = texts();
    let (begin, text) = texts.range(..=address).next_back()?;
    (address < text.end).then(|| (*begin, text.clone()))
}

impl Text {
    /// The function that lies there. What lies between functions, such as the ways in and out of the code, is none.
    fn name(&self, begin: u64, address: u64) -> Option<Arc<str>> {
        let functions = self.functions.get_or_init(|| Functions::read(&self.tell));
        let place = usize::try_from(address.saturating_sub(begin)).ok()?;
        let after = functions.all.partition_point(|function| function.place.start <= place);
        let before = after.checked_sub(1).and_then(|before| functions.all.get(before));
        let found = before.filter(|function| function.place.contains(&place));
        match found {
            Some(found) => Some(found.name.clone()),
            None => functions.is_cut.then(|| UNNAMED.into()),
        }
    }
}

impl Functions {
    fn read(tell: &Tell) -> Self {
        let mut read = Self { all: Vec::new(), n_bytes: 0, is_cut: false };
        tell(&mut |function| {
            let n_bytes = BYTES_EACH + function.name.len();
            if BYTES.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes > MOST_BYTES {
                BYTES.fetch_sub(n_bytes, Ordering::Relaxed);
                read.is_cut = true;
                return false;
            }
            read.n_bytes += n_bytes;
            read.all.push(function);
            true
        });
        read.all.sort_by_key(|function| function.place.start);
        read
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        BYTES.fetch_sub(self.n_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_name_of_its_function_and_a_huge_component_takes_no_more_than_its_room() {
        let text = |n_functions: usize, name: &'static str| Text {
            end: u64::MAX,
            functions: OnceLock::new(),
            tell: Box::new(move |take| {
                // Not in the order of their places.
                for n in (0..n_functions).rev() {
                    let place = n * 10..n * 10 + 8;
                    if !take(FoundFunction { place, name: format!("{name}{n}").into() }) {
                        return;
                    }
                }
            }),
        };
        let small = text(3, "f");
        let named = |at: u64| small.name(1000, at).map(|name| name.to_string());
        assert_eq!(named(1000).as_deref(), Some("f0"));
        assert_eq!(named(1017).as_deref(), Some("f1"));
        assert_eq!((named(1018), named(1028)), (None, None), "between functions, and beyond");
        let huge =
            text(2_000_000, "a name of some length, as hostile components have it in their names");
        assert_eq!(huge.name(0, 5).as_deref(), Some(UNNAMED));
        assert!(huge.name(0, 19_999_995).is_some_and(|name| name.ends_with("1999999")));
        assert!(BYTES.load(Ordering::Relaxed) <= MOST_BYTES);
        drop(huge);
        assert!(BYTES.load(Ordering::Relaxed) < MOST_BYTES / 2, "it is given back");
    }
}
