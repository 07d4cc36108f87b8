//! Slots of many apps as blocks of bytes, one after the other: each says how long it is and has a checksum,
//! so what a disk has damaged is passed over and the next block is found. The names of causes stand in each,
//! so that another version with other causes reads it.
//! Reads and writes no files.

use super::code::{Unreadable, put, take_as, take_bytes};
use super::grain::Grain;
use super::slot::{Slot, UNKNOWN, number_of};
use crate::outcome::Outcome;

/// How each block begins; another version of the format begins otherwise.
const MAGIC: [u8; 8] = *b"\xF5hist\r\n1";
/// Bytes before the body: the magic, the length, the checksum.
const HEAD: usize = 20;
/// The longest name of an app that is believed.
const LONGEST_NAME: usize = 255;

/// A block that is being written: what apps did in one slot of time.
#[derive(Clone, Debug)]
pub struct BlockWriter {
    bytes: Vec<u8>,
    /// One slot, before its length is known.
    one: Vec<u8>,
    n_apps: usize,
}

/// A block that was read.
#[derive(Clone, Debug)]
pub struct Block<'b> {
    /// How long its slots are.
    pub grain: Grain,
    /// Which slot, of those that are counted from the epoch.
    pub slot: u32,
    /// Whether nothing more is said of this slot: it was made in one piece, and this is its last block.
    pub is_last: bool,
    /// The numbers here of the causes of who wrote it.
    causes: Vec<u8>,
    entries: &'b [u8],
}

/// What is found in a file, one after the other.
#[derive(Clone, Debug)]
pub enum Piece<'b> {
    /// A block, and where it ends in the file.
    Block(Block<'b>, usize),
    /// So many bytes that are none.
    Damaged(usize),
    /// So many bytes at the end, which may be the beginning of one: it is being written, or who wrote it was
    /// killed.
    Cut(usize),
}

/// The blocks of a file.
#[derive(Clone, Debug)]
pub struct Blocks<'b> {
    file: &'b [u8],
    at: usize,
}

/// The apps of a block and what each did, in the order in which they were written.
#[derive(Clone, Debug)]
pub struct Entries<'b> {
    left: &'b [u8],
    causes: &'b [u8],
}

/// What one app did, not read yet: most of it nobody asked for.
#[derive(Clone, Copy, Debug)]
pub struct AppEntry<'b> {
    /// The app.
    pub app: &'b str,
    bytes: &'b [u8],
    causes: &'b [u8],
}

impl BlockWriter {
    /// A block of this slot, without apps.
    #[must_use]
    pub fn new(grain: Grain, slot: u32) -> Self {
        let mut bytes = vec![0; HEAD];
        bytes.push(match grain {
            Grain::Minute => 0,
            Grain::Hour => 1,
        });
        // Whether it is the last one, which is known at the end.
        bytes.push(0);
        put(&mut bytes, u64::from(slot));
        put(&mut bytes, Outcome::CAUSES.len() as u64);
        for cause in Outcome::CAUSES {
            put(&mut bytes, cause.len() as u64);
            bytes.extend_from_slice(cause.as_bytes());
        }
        Self { bytes, one: Vec::new(), n_apps: 0 }
    }

    /// Adds what an app did.
    pub fn push(&mut self, app: &str, slot: &Slot) {
        self.one.clear();
        slot.encode(&mut self.one);
        put(&mut self.bytes, app.len() as u64);
        self.bytes.extend_from_slice(app.as_bytes());
        put(&mut self.bytes, self.one.len() as u64);
        self.bytes.extend_from_slice(&self.one);
        self.n_apps += 1;
    }

    /// Bytes that it has so far.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no app in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_apps == 0
    }

    /// Its bytes; `is_last` says that nothing more comes of this slot.
    #[must_use]
    pub fn finish(mut self, is_last: bool) -> Vec<u8> {
        if let Some(flag) = self.bytes.get_mut(HEAD + 1) {
            *flag = u8::from(is_last);
        }
        let body = self.bytes.get(HEAD..).unwrap_or_default();
        let (length, sum) = (body.len() as u64, checksum(body));
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let head = MAGIC.into_iter().chain(length).chain(sum.to_le_bytes());
        for (place, byte) in self.bytes.iter_mut().zip(head) {
            *place = byte;
        }
        self.bytes
    }
}

impl<'b> Blocks<'b> {
    /// Reads a whole file.
    #[must_use]
    pub fn of(file: &'b [u8]) -> Self {
        Self { file, at: 0 }
    }
}

impl<'b> Iterator for Blocks<'b> {
    type Item = Piece<'b>;

    fn next(&mut self) -> Option<Piece<'b>> {
        let rest = self.file.get(self.at..).filter(|rest| !rest.is_empty())?;
        match framed(rest) {
            Framed::Whole(body) => {
                let n_bytes = HEAD + body.len();
                self.at += n_bytes;
                match Block::read(body) {
                    Ok(block) => Some(Piece::Block(block, self.at)),
                    Err(Unreadable) => Some(Piece::Damaged(n_bytes)),
                }
            }
            // The length may be what is damaged, so a block is looked for behind the first byte.
            broken => {
                let next = rest.get(1..).and_then(|rest| find(rest, &MAGIC)).map(|at| at + 1);
                let n_bytes = next.unwrap_or(rest.len());
                self.at += n_bytes;
                let is_cut = next.is_none() && matches!(broken, Framed::Short);
                Some(if is_cut { Piece::Cut(n_bytes) } else { Piece::Damaged(n_bytes) })
            }
        }
    }
}

impl<'b> Block<'b> {
    fn read(body: &'b [u8]) -> Result<Self, Unreadable> {
        let [grain, is_last, left @ ..] = body else { return Err(Unreadable) };
        let grain = match grain {
            0 => Grain::Minute,
            1 => Grain::Hour,
            _ => return Err(Unreadable),
        };
        let mut left = left;
        let slot = take_as(&mut left)?;
        let causes: Result<Vec<u8>, Unreadable> = (0..take_as::<u8>(&mut left)?)
            .map(|_| {
                let code = take_bytes(&mut left)?;
                let known = std::str::from_utf8(code).ok().and_then(number_of);
                Ok(known.unwrap_or(UNKNOWN))
            })
            .collect();
        Ok(Self { grain, slot, is_last: *is_last == 1, causes: causes?, entries: left })
    }

    /// What is in it.
    #[must_use]
    pub fn entries(&'b self) -> Entries<'b> {
        Entries { left: self.entries, causes: &self.causes }
    }
}

impl<'b> Iterator for Entries<'b> {
    type Item = Result<AppEntry<'b>, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_err() {
            // Where one ends is not known, nor where the next begins.
            self.left = &[];
        }
        Some(entry)
    }
}

impl<'b> Entries<'b> {
    fn take(&mut self) -> Result<AppEntry<'b>, Unreadable> {
        let app = take_bytes(&mut self.left)?;
        if app.len() > LONGEST_NAME {
            return Err(Unreadable);
        }
        let app = std::str::from_utf8(app).map_err(|_| Unreadable)?;
        Ok(AppEntry { app, bytes: take_bytes(&mut self.left)?, causes: self.causes })
    }
}

impl AppEntry<'_> {
    /// What the app did.
    ///
    /// # Errors
    /// The bytes are no slot.
    pub fn slot(&self) -> Result<Slot, Unreadable> {
        Slot::decode(self.bytes, self.causes)
    }
}

/// How a file goes on.
enum Framed<'b> {
    /// With a block whose checksum is right: its body.
    Whole(&'b [u8]),
    /// With what may be the beginning of one.
    Short,
    /// With something else.
    Wrong,
}

fn framed(rest: &[u8]) -> Framed<'_> {
    let n_magic = MAGIC.len().min(rest.len());
    if rest.get(..n_magic) != MAGIC.get(..n_magic) {
        return Framed::Wrong;
    }
    let Some((head, behind)) = rest.split_at_checked(HEAD) else { return Framed::Short };
    let number = |range: std::ops::Range<usize>| {
        let bytes = head.get(range).unwrap_or_default().iter().rev();
        bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let length = usize::try_from(number(8..12)).unwrap_or(usize::MAX);
    let Some(body) = behind.get(..length) else { return Framed::Short };
    if checksum(body) == number(12..20) { Framed::Whole(body) } else { Framed::Wrong }
}

fn find(rest: &[u8], what: &[u8]) -> Option<usize> {
    rest.windows(what.len()).position(|window| window == what)
}

/// Against disks, not against people: whoever writes there may write what is right.
fn checksum(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(tail).for_each(|(place, byte)| *place = *byte);
    let sum = words.iter().chain([&last]).fold(bytes.len() as u64 ^ ODD, |sum, word| {
        let mixed = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        mixed ^ mixed >> 29
    });
    sum.wrapping_mul(ODD) ^ sum >> 32
}

/// Which slot a block says that it is of.
#[cfg(test)]
pub(super) fn slot_of(bytes: &[u8]) -> Option<u32> {
    take_as(&mut bytes.get(HEAD + 2..)?).ok()
}

/// The checksum that a block should have.
#[cfg(test)]
pub(super) fn checksum_of(bytes: &[u8]) -> u64 {
    checksum(bytes.get(HEAD..).unwrap_or_default())
}
