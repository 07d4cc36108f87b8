//! How many apps may have their code mapped, and whose goes first when there are more.
//! Does not map or measure anything: what the kernel grants and when apps were used are arguments.

use crate::machine::{FILES_OF_HOST, MAPPINGS_OF_CODE, MAPPINGS_OF_HOST, MAPPINGS_OF_INSTANCE};

/// Memory of one app's code beside its file: what Wasmtime reads of it and links. Measured 54 KiB for
/// a small `wasi:http` component.
const MEMORY_OF_CODE: u64 = 64 << 10;
/// One part in so many of the memory may be taken by that.
const PART_OF_MEMORY: u64 = 4;
/// One part in so many of the apps is unmapped together.
const BATCH: usize = 128;
/// With fewer than this, apps would push each other out all the time, whatever the kernel says.
pub const LEAST: u32 = 16;

/// What there is room for, and what else needs it.
#[derive(Clone, Copy, Debug)]
pub struct MapRoom {
    /// How many mappings a process may have.
    pub mappings: u64,
    /// How many files a process may have open.
    pub files: u64,
    /// How many bytes of memory there are.
    pub memory: u64,
    /// How many instances may live at once.
    pub slots: u32,
    /// How many connections of clients there may be.
    pub connections: u64,
}

/// An app whose code is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedApp {
    /// When it was last called, on any clock.
    pub used_at: u64,
    /// Whether calls of it run: unmapping it would give nothing back.
    pub is_busy: bool,
}

/// The most apps whose code may be mapped at once.
///
/// Code is mapped from its file, which stays open as long as instances may be made from it.
#[must_use]
pub fn most(room: &MapRoom) -> u32 {
    let instances = u64::from(room.slots).saturating_mul(MAPPINGS_OF_INSTANCE);
    let mappings = room.mappings.saturating_sub(MAPPINGS_OF_HOST).saturating_sub(instances);
    let files = room.files.saturating_sub(FILES_OF_HOST).saturating_sub(room.connections);
    let memory = room.memory / PART_OF_MEMORY / MEMORY_OF_CODE;
    let most = (mappings / MAPPINGS_OF_CODE).min(files).min(memory);
    u32::try_from(most).unwrap_or(u32::MAX).max(LEAST)
}

/// Which `n` to unmap, as places in the list: those of no running call, the longest unused first;
/// fewer where there are no more. Of two that were used at once the earlier in the list goes.
#[must_use]
pub fn oldest(apps: &[MappedApp], n: usize) -> Vec<usize> {
    let idle = apps.iter().enumerate().filter(|(_, app)| !app.is_busy);
    let mut idle: Vec<(u64, usize)> = idle.map(|(place, app)| (app.used_at, place)).collect();
    if n < idle.len() {
        idle.select_nth_unstable(n);
        idle.truncate(n);
    }
    idle.sort_unstable();
    idle.into_iter().map(|(_, place)| place).collect()
}

/// How many to unmap to make room for one more, `mapped` being there: a few at once, so that
/// choosing, which looks at all of them, is not done for each.
#[must_use]
pub fn batch(mapped: usize, most: u32) -> usize {
    let most = most as usize;
    if mapped < most { 0 } else { mapped - most + (most / BATCH).max(1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(mappings: u64, slots: u32) -> u32 {
        most(&MapRoom { mappings, files: 1 << 20, memory: 1 << 40, slots, connections: 10_000 })
    }

    #[test]
    fn mappings_are_left_for_the_instances() {
        assert_eq!(room(65_530, 4096), (65_530 - 1024 - 6 * 4096) / 4);
        assert_eq!(room(65_530, 10_000), 1126);
        assert_eq!(room(65_530, 100_000), LEAST);
        assert_eq!(room(0, 16), LEAST);
        assert_eq!(room(u64::MAX, 16), (1 << 20) - 10_000 - 256);
    }

    #[test]
    fn a_small_machine_keeps_little_code() {
        let room = MapRoom {
            mappings: 65_530,
            files: 1 << 20,
            memory: 512 << 20,
            slots: 64,
            connections: 10,
        };
        assert_eq!(most(&room), 2048);
        assert_eq!(most(&MapRoom { files: 1024, ..room }), 1024 - 256 - 10);
    }

    fn standings() -> impl Strategy<Value = Vec<MappedApp>> {
        let standing = (0_u64..20, any::<bool>());
        let standing = standing.prop_map(|(used_at, is_busy)| MappedApp { used_at, is_busy });
        prop::collection::vec(standing, 0..40)
    }

    proptest! {
        #[test]
        fn the_longest_unused_go_and_never_a_busy_one(apps in standings(), n in 0_usize..50) {
            let gone = oldest(&apps, n);
            let n_idle = apps.iter().filter(|app| !app.is_busy).count();
            prop_assert_eq!(gone.len(), n.min(n_idle));
            for place in &gone {
                prop_assert!(!apps[*place].is_busy);
                for (other, app) in apps.iter().enumerate() {
                    let stays = !app.is_busy && !gone.contains(&other);
                    prop_assert!(!stays || (apps[*place].used_at, *place) < (app.used_at, other));
                }
            }
        }

        #[test]
        fn a_batch_makes_room_for_one_more(mapped in 0_usize..2000, most in 1_u32..1000) {
            let left = mapped.saturating_sub(batch(mapped, most));
            prop_assert!(left < most as usize);
            prop_assert!(mapped >= most as usize || left == mapped);
        }
    }
}
