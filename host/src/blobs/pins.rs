//! Who counts on components for a while, whatever becomes of the deployments here that need them.
//! Removes no component: it remembers what would have been removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use steerage_core::disk;
use steerage_core::id::{AppName, Digest};

use super::error::{BlobError, failed};

/// The folder of the pins, in that of the components.
const FOLDER: &str = "pins";
/// A pin holds for so long: a deploy takes seconds, minutes where the store is slow.
const HOLDS: Duration = Duration::from_millis(disk::KEEP_MS);

/// For what a component is pinned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinOwner {
    /// A deployment of this app is on its way here, and needs it.
    App(AppName),
    /// An older host has brought it, which says for nobody in particular: nothing ends this but time.
    Unsaid,
    /// Another host has let go of its own copy and counts on this one. It does not keep what no
    /// deployment needs any more.
    Promise,
}

/// All pins of one host. Those of [`PinOwner`]s outlive the process, as files.
#[derive(Debug)]
pub(super) struct Pins {
    folder: PathBuf,
    pinned: Mutex<Pinned>,
}

#[derive(Debug, Default)]
pub(super) struct Pinned {
    since: BTreeMap<Digest, BTreeMap<PinOwner, SystemTime>>,
    /// How many copies of a component are being taken, as for a backup.
    copies: BTreeMap<Digest, u32>,
    /// Those that would have been removed meanwhile.
    unwanted: BTreeSet<Digest>,
}

impl Pins {
    /// Reads the pins of an earlier run, in the folder of the components.
    pub(super) fn open(components: &Path) -> Self {
        let folder = components.join(FOLDER);
        let mut since = BTreeMap::<Digest, BTreeMap<_, _>>::new();
        for file in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            let name = file.file_name();
            let Some((digest, owner)) = parse(&name.to_string_lossy()) else { continue };
            let Ok(pinned_at) = file.metadata().and_then(|file| file.modified()) else { continue };
            since.entry(digest).or_default().insert(owner, pinned_at);
        }
        let pinned = Mutex::new(Pinned { since, ..Pinned::default() });
        Self { folder, pinned }
    }

    /// Takes the turn of whoever pins or removes components.
    pub(super) fn lock(&self) -> MutexGuard<'_, Pinned> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins a component from now on, also over a restart.
    pub(super) fn pin(&self, digest: &Digest, owner: &PinOwner) -> Result<(), BlobError> {
        let mut pinned = self.lock();
        let path = self.path(digest, owner);
        // There is none until something is pinned for the first time.
        fs::create_dir_all(&self.folder)
            .and_then(|()| fs::File::create(&path))
            .map_err(|error| failed("make", &path, error))?;
        pinned.since.entry(*digest).or_default().insert(owner.clone(), SystemTime::now());
        Ok(())
    }

    /// Ends a pin, if there is one.
    pub(super) fn unpin(&self, digest: &Digest, owner: &PinOwner) {
        let mut pinned = self.lock();
        let Some(owners) = pinned.since.get_mut(digest) else { return };
        if owners.remove(owner).is_some() {
            self.forget(digest, owner);
        }
        if owners.is_empty() {
            pinned.since.remove(digest);
        }
    }

    /// Forgets pins that hold no longer.
    pub(super) fn sweep(&self) {
        self.lock().since.retain(|digest, owners| {
            owners.retain(|owner, pinned_at| {
                let holds = holds(*pinned_at);
                if !holds {
                    self.forget(digest, owner);
                }
                holds
            });
            !owners.is_empty()
        });
    }

    fn forget(&self, digest: &Digest, owner: &PinOwner) {
        // One that stays is too old some time.
        drop(fs::remove_file(self.path(digest, owner)));
        // The last one takes the folder along; it stays while there are others.
        drop(fs::remove_dir(&self.folder));
    }

    fn path(&self, digest: &Digest, owner: &PinOwner) -> PathBuf {
        self.folder.join(format!("{}.{owner}", digest.hex()))
    }
}

impl Pinned {
    /// Whether a component has to stay that no deployment here needs. It is remembered where a copy of it
    /// is being taken.
    pub(super) fn holds_unneeded(&mut self, digest: &Digest) -> bool {
        if self.copies.contains_key(digest) {
            self.unwanted.insert(*digest);
            return true;
        }
        self.is_pinned(digest, |owner| *owner != PinOwner::Promise)
    }

    /// Whether anybody counts on a component.
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.copies.contains_key(digest) || self.is_pinned(digest, |_| true)
    }

    fn is_pinned(&self, digest: &Digest, counts: impl Fn(&PinOwner) -> bool) -> bool {
        let owners = self.since.get(digest).into_iter().flatten();
        owners.into_iter().any(|(owner, pinned_at)| counts(owner) && holds(*pinned_at))
    }

    /// Begins to take copies.
    pub(super) fn hold<'d>(&mut self, digests: impl Iterator<Item = &'d Digest>) {
        for digest in digests {
            *self.copies.entry(*digest).or_default() += 1;
        }
    }

    /// Ends to; returns those that would have been removed meanwhile.
    pub(super) fn release(&mut self, digests: &[Digest]) -> Vec<Digest> {
        let mut unwanted = Vec::new();
        for digest in digests {
            let Some(count) = self.copies.get_mut(digest) else { continue };
            *count -= 1;
            if *count == 0 {
                self.copies.remove(digest);
                unwanted.extend(self.unwanted.take(digest));
            }
        }
        unwanted
    }
}

/// Whether a pin from then still holds.
pub(super) fn holds(pinned_at: SystemTime) -> bool {
    // One of a time to come was made before the clock was set back.
    pinned_at.elapsed().map_or(true, |passed| passed < HOLDS)
}

fn parse(name: &str) -> Option<(Digest, PinOwner)> {
    let (digest, owner) = name.split_once('.')?;
    Some((digest.parse().ok()?, owner.parse().ok()?))
}

/// As files are named and hosts tell each other.
impl fmt::Display for PinOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(app) => write!(f, "app.{app}"),
            Self::Unsaid => f.write_str("unsaid"),
            Self::Promise => f.write_str("promise"),
        }
    }
}

/// A text that is no owner of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither app.NAME nor unsaid nor promise")]
pub struct BadPinOwner;

impl FromStr for PinOwner {
    type Err = BadPinOwner;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text.strip_prefix("app."), text) {
            (Some(app), _) => app.parse().map(Self::App).map_err(|_| BadPinOwner),
            (None, "unsaid") => Ok(Self::Unsaid),
            (None, "promise") => Ok(Self::Promise),
            _ => Err(BadPinOwner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> PinOwner {
        PinOwner::App(name.parse().unwrap())
    }

    #[test]
    fn the_end_of_one_apps_need_ends_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::open(folder.path());
        let digest = Digest::from_bytes([1; 32]);
        for owner in [app("one"), app("two"), PinOwner::Promise] {
            pins.pin(&digest, &owner).unwrap();
        }
        pins.unpin(&digest, &app("one"));
        // Also over a restart.
        let pins = Pins::open(folder.path());
        assert!(pins.lock().holds_unneeded(&digest));
        pins.unpin(&digest, &app("two"));
        // A promise keeps what a deployment needs, and nothing else.
        assert!(!pins.lock().holds_unneeded(&digest) && pins.lock().holds(&digest));
        pins.unpin(&digest, &PinOwner::Promise);
        assert!(!pins.lock().holds(&digest));
        assert!(!folder.path().join(FOLDER).exists());
    }

    #[test]
    fn what_is_copied_stays_until_the_last_copy_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::open(folder.path());
        let [one, two] = [1, 2].map(|byte| Digest::from_bytes([byte; 32]));
        pins.lock().hold([one, two].iter());
        pins.lock().hold([one].iter());
        assert!(pins.lock().holds_unneeded(&one) && pins.lock().holds(&two));
        assert_eq!(pins.lock().release(&[one]), []);
        assert!(pins.lock().holds_unneeded(&one));
        let unwanted = pins.lock().release(&[one, two]);
        assert_eq!(unwanted, [one], "nobody wanted to remove the second");
        assert!(!pins.lock().holds_unneeded(&one) && !pins.lock().holds(&two));
    }
}
