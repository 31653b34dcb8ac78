//! Which core's pool a block belongs to: one byte for each granule of physical addresses.
//!
//! ```text
//!   address      base      + 64 KiB   + 128 KiB  + 192 KiB
//!   granule      |    0    |    1     |    2     |    3     | ...
//!   table           0xff       3          3          0        ...       0xff: of no pool
//! ```
//!
//! Pools get their memory in whole granules and keep it, so an entry is written once, by the core that will own it,
//! before it gives out any block there. Another core looks a block up only when it has got that block from the owner,
//! directly or by way of others; whatever passed it on ordered the entry before it. So relaxed accesses are enough.
//!
//! A GiB of addresses costs 16 KiB. Small blocks need no table: their slab says whose they are.

use core::sync::atomic::{AtomicU8, Ordering};

/// Bytes for which the table has one entry; pools grow by multiples of this.
pub const GRANULE: usize = 64 * 1024;
/// The number that is no core's.
pub const NOBODY: u8 = u8::MAX;

/// The table of owners. It is empty until memory has been found for it, and then no pool can grow.
pub struct OwnerTable(spin::Once<Entries>);

struct Entries {
    /// First address of the first granule.
    base: usize,
    owners: &'static [AtomicU8],
}

impl OwnerTable {
    /// A table without entries.
    pub const fn new() -> Self {
        Self(spin::Once::new())
    }

    /// Entries that a table has for the addresses `start..end`.
    pub const fn entries_for(start: usize, end: usize) -> usize {
        end.div_ceil(GRANULE) - start / GRANULE
    }

    /// Gives the table its entries, the first for the granule of address `start`. Only the first call has an effect.
    pub fn initialise(&self, start: usize, owners: &'static [AtomicU8]) {
        owners.iter().for_each(|owner| owner.store(NOBODY, Ordering::Relaxed));
        self.0.call_once(|| Entries { base: start & !(GRANULE - 1), owners });
    }

    /// Makes `owner` the owner of the granules from `address` on, `size` bytes. False, with no effect, where the table
    /// does not have them all.
    #[must_use]
    pub fn record(&self, address: usize, size: usize, owner: u8) -> bool {
        let range = self.0.get().and_then(|entries| {
            let first = address.checked_sub(entries.base)? / GRANULE;
            entries.owners.get(first..first.checked_add(size.div_ceil(GRANULE))?)
        });
        range.into_iter().flatten().for_each(|entry| entry.store(owner, Ordering::Relaxed));
        range.is_some()
    }

    /// The owner of the granule of `address`, or [`NOBODY`].
    #[inline]
    pub fn owner(&self, address: usize) -> u8 {
        let entry = self.0.get().and_then(|entries| entries.owners.get(address.wrapping_sub(entries.base) / GRANULE));
        entry.map_or(NOBODY, |entry| entry.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(start: usize, end: usize) -> OwnerTable {
        let table = OwnerTable::new();
        let entries = (0..OwnerTable::entries_for(start, end)).map(|_| AtomicU8::new(0)).collect();
        table.initialise(start, Vec::leak(entries));
        table
    }

    #[test]
    fn an_owner_has_every_address_of_its_granules_and_no_other() {
        let table = table(0x10_1000, 0x40_0000);
        assert!(table.record(0x20_0000, 2 * GRANULE, 5));
        assert!(table.record(0x22_0000, GRANULE, 6));
        let owners = [0x1f_ffff, 0x20_0000, 0x21_ffff, 0x22_0000, 0x22_ffff, 0x23_0000].map(|a| table.owner(a));
        assert_eq!(owners, [NOBODY, 5, 5, 6, 6, NOBODY]);
    }

    #[test]
    fn the_table_reaches_from_the_first_to_the_last_byte_of_memory() {
        let table = table(0x10_1000, 0x20_0001);
        assert!(table.record(0x10_0000, GRANULE, 1) && table.record(0x20_0000, GRANULE, 2));
        assert_eq!((table.owner(0x10_1000), table.owner(0x20_0000)), (1, 2));
    }

    #[test]
    fn what_is_outside_is_nobodys_and_cannot_be_recorded() {
        let table = table(0x10_0000, 0x20_0000);
        assert!(!table.record(0xf_0000, GRANULE, 1) && !table.record(0x1f_0000, 2 * GRANULE, 1));
        assert!([0, 0xf_ffff, 0x1f_0000, 0x20_0000, usize::MAX].iter().all(|&a| table.owner(a) == NOBODY));
        assert!(!OwnerTable::new().record(0x10_0000, GRANULE, 1));
    }
}
