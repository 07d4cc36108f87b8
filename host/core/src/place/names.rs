//! Which number a host's name stands for: a table without an order of its own, so that the same names
//! always give the same plan. Placement looks up every replica's host; in an ordered map that took a
//! third of a plan in which little moves.

use crate::id::HostName;

/// The numbers of names, found by FNV-1a (Fowler, Noll, Vo) and linear probing.
#[derive(Debug)]
pub(super) struct Names {
    slots: Vec<Option<(HostName, usize)>>,
}

impl Names {
    /// Numbers the names in their order.
    pub(super) fn new<'n>(names: impl ExactSizeIterator<Item = &'n HostName>) -> Self {
        // At most half full, so that probing ends soon.
        let n_slots = (names.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![None; n_slots];
        for (number, name) in names.enumerate() {
            let mut place = hash(name.as_str());
            while let Some(slot) = slots.get_mut(place & (n_slots - 1)) {
                if slot.is_none() {
                    *slot = Some((name.clone(), number));
                    break;
                }
                place = place.wrapping_add(1);
            }
        }
        Self { slots }
    }

    /// The number of a name.
    pub(super) fn get(&self, name: &HostName) -> Option<usize> {
        let mut place = hash(name.as_str());
        loop {
            let slot = self.slots.get(place & (self.slots.len() - 1))?;
            let (known, number) = slot.as_ref()?;
            if known == name {
                return Some(*number);
            }
            place = place.wrapping_add(1);
        }
    }
}

fn hash(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from((hash ^ (hash >> 32)) & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_number_and_others_have_none() {
        let names: Vec<HostName> =
            (0..1000).map(|n| format!("host-{n}").parse().unwrap()).collect();
        let table = Names::new(names.iter());
        for (number, name) in names.iter().enumerate() {
            assert_eq!(table.get(name), Some(number));
        }
        assert_eq!(table.get(&"host-1000".parse().unwrap()), None);
        assert_eq!(Names::new([].iter()).get(&"a".parse().unwrap()), None);
    }
}
