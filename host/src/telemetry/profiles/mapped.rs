//! Which functions of guests lie at an address: all compiled code that is mapped in this process.
//! Reads no code.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steerage_core::profile::{CUT_FRAME, HOST_FRAME};
use steerage_sampler::Sample;

/// Functions that are remembered of one component. To find another one, all functions of it are gone through.
const MOST_KNOWN: usize = 4096;

/// A function, and where it lies from the beginning of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFunction {
    /// Where it lies, from the beginning of the code.
    pub place: Range<usize>,
    /// Its name, as a person reads it.
    pub name: String,
}

/// Finds the function that lies at a place from the beginning of the code.
type Functions = Box<dyn Fn(usize) -> Option<FoundFunction> + Send + Sync>;

/// By where each begins: where it ends, and its name.
type KnownFunctions = BTreeMap<u64, (u64, Option<Arc<str>>)>;

/// That some code is mapped. Until this is dropped.
pub struct MappedCode {
    begin: u64,
}

/// Some code.
struct Text {
    end: u64,
    functions: Functions,
    /// What was found, by where each begins, and where it ends. What lies between functions, such as the ways in and
    /// out of the code, has no name.
    known: Mutex<KnownFunctions>,
}

/// By where each begins. No two lie in the same place.
static TEXTS: Mutex<BTreeMap<u64, Arc<Text>>> = Mutex::new(BTreeMap::new());

fn texts() -> MutexGuard<'static, BTreeMap<u64, Arc<Text>>> {
    TEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MappedCode {
    /// Code is mapped there; `find` says which function of it lies at a place from its beginning.
    #[must_use]
    pub fn new(
        text: &[u8],
        find: impl Fn(usize) -> Option<FoundFunction> + Send + Sync + 'static,
    ) -> Self {
        let Range { start, end } = text.as_ptr_range();
        let (begin, end) = (start.addr() as u64, end.addr() as u64);
        let text = Text { end, functions: Box::new(find), known: Mutex::default() };
        texts().insert(begin, Arc::new(text));
        Self { begin }
    }
}

impl Drop for MappedCode {
    fn drop(&mut self) {
        texts().remove(&self.begin);
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
    let mut is_inside = false;
    for (place, address) in sample.frames().iter().enumerate() {
        // All but the innermost is where a function goes on after its call, which may be the end of it.
        let address = address.saturating_sub(u64::from(place > 0));
        let Some((begin, text)) = text_at(address) else {
            // What called the guest is the host, and so is what the guest called.
            if is_inside {
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
    if sample.is_cut() {
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
    /// The function that lies there.
    fn name(&self, begin: u64, address: u64) -> Option<Arc<str>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, (end, name))) = known.range(..=address).next_back()
            && address < *end
        {
            return name.clone();
        }
        let place = usize::try_from(address.saturating_sub(begin)).ok()?;
        let found = (self.functions)(place);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        let at = |place: usize| begin.saturating_add(place as u64);
        let (range, name) = match found {
            Some(found) => (at(found.place.start)..at(found.place.end), Some(found.name.into())),
            None => (address..address.saturating_add(1), None),
        };
        known.insert(range.start, (range.end, Option::clone(&name)));
        name
    }
}
