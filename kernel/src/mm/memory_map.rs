//! The machine's memory map, normalised: which physical ranges are RAM that the kernel may use.
//!
//! The map that a monitor hands over is a list of `(address, size, type)` in the E820 tradition. It need not be sorted,
//! entries may overlap, be empty or run past the end of the address space. [`MemoryMap::from_entries`] turns it into
//! sorted, disjoint, page-aligned ranges of usable RAM:
//!
//! ```text
//!   given      |-- usable --------------------------|        |--- usable ---|
//!                        |- reserved -|
//!   result     |=========|            |=============|        |==============|     usable minus everything else
//! ```
//!
//! An address that any entry calls something other than RAM is not RAM. Usable ranges shrink to whole pages, others
//! grow to whole pages. Nothing here trusts the input: arithmetic saturates, and what does not fit into the fixed table
//! is dropped, which wastes memory but is safe.

use super::PAGE_SIZE;
use super::physical::{read_u32, read_u64};

/// E820 type of ordinary RAM.
const TYPE_RAM: u32 = 1;
/// Ranges that the table holds; real maps have fewer than ten.
const CAPACITY: usize = 64;
/// Entries of a loader's map that are looked at; more than any firmware has, and as many as a zero page can hold.
pub const MAX_ENTRIES: usize = 128;
/// Bytes of an entry that mean something.
const ENTRY_SIZE: usize = 20;
/// Physical addresses above this are not believed: the identity map occupies the lower canonical half.
pub const MAX_PHYSICAL: u64 = 1 << 47;

/// One entry as the monitor describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First physical address.
    pub address: u64,
    /// Length in bytes.
    pub size: u64,
    /// E820 type: 1 is RAM, everything else is not for us.
    pub kind: u32,
}

/// A range of physical addresses, page-aligned at both ends, `start < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// First address behind the range.
    pub end: u64,
}

impl Range {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.end - self.start
    }
}

/// Sorted, disjoint, page-aligned ranges of usable RAM.
#[derive(Clone)]
pub struct MemoryMap {
    ranges: [Range; CAPACITY],
    used: usize,
}

impl MemoryMap {
    const fn new() -> Self {
        Self { ranges: [Range { start: 0, end: 0 }; CAPACITY], used: 0 }
    }

    /// Normalises `entries`, an iterator that can be run twice: once for the RAM, once for what is not.
    pub fn from_entries(entries: impl Iterator<Item = Entry> + Clone) -> Self {
        let mut map = Self::new();
        for entry in entries.clone().filter(|entry| entry.kind == TYPE_RAM) {
            let start = entry.address.checked_next_multiple_of(PAGE_SIZE).unwrap_or(MAX_PHYSICAL);
            let end = entry.address.saturating_add(entry.size).min(MAX_PHYSICAL) & !(PAGE_SIZE - 1);
            // Taking out first what is there already keeps the ranges disjoint.
            map.remove(start, end);
            map.insert(start, end);
        }
        for entry in entries.filter(|entry| entry.kind != TYPE_RAM) {
            map.remove(entry.address, entry.address.saturating_add(entry.size));
        }
        map
    }

    /// Reads the table that all boot protocols have: entries of `entry_size` bytes, each with an address at 0, a size at 8
    /// and a type at 16. `None` if that leaves no RAM.
    pub fn read(table: &[u8], entry_size: usize) -> Option<Self> {
        let entries = table.chunks_exact(entry_size.max(ENTRY_SIZE)).take(MAX_ENTRIES).filter_map(|entry| {
            Some(Entry { address: read_u64(entry, 0)?, size: read_u64(entry, 8)?, kind: read_u32(entry, 16)? })
        });
        Some(Self::from_entries(entries)).filter(|map| !map.ranges().is_empty())
    }

    /// The usable ranges in ascending order.
    pub fn ranges(&self) -> &[Range] {
        self.ranges.get(..self.used).unwrap_or_default()
    }

    /// Bytes of usable RAM.
    pub fn total(&self) -> u64 {
        self.ranges().iter().map(Range::size).sum()
    }

    /// Takes the pages that `start..end` touches out of the map.
    pub fn remove(&mut self, start: u64, end: u64) {
        let start = start & !(PAGE_SIZE - 1);
        let end = end.checked_next_multiple_of(PAGE_SIZE).unwrap_or(MAX_PHYSICAL).min(MAX_PHYSICAL);
        if start >= end {
            return;
        }
        let old = core::mem::replace(self, Self::new());
        for range in old.ranges() {
            self.insert(range.start, range.end.min(start));
            self.insert(range.start.max(end), range.end);
        }
    }

    /// Whether every byte of `start..end` is usable RAM.
    pub fn contains(&self, start: u64, end: u64) -> bool {
        self.ranges().iter().any(|range| range.start <= start && end <= range.end)
    }

    /// Whether any byte of `start..end` is usable RAM.
    pub fn overlaps(&self, start: u64, end: u64) -> bool {
        self.ranges().iter().any(|range| range.start < end && start < range.end)
    }

    /// Adds a range that overlaps none of the present ones, keeping the order; an empty one is ignored.
    fn insert(&mut self, start: u64, end: u64) {
        if start >= end || self.used == CAPACITY {
            return;
        }
        let place = self.ranges().partition_point(|range| range.start < start);
        self.ranges.copy_within(place..self.used, place + 1);
        self.ranges[place] = Range { start, end };
        self.used += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ram(address: u64, size: u64) -> Entry {
        Entry { address, size, kind: 1 }
    }

    fn reserved(address: u64, size: u64) -> Entry {
        Entry { address, size, kind: 2 }
    }

    fn map(entries: &[Entry]) -> Vec<(u64, u64)> {
        let map = MemoryMap::from_entries(entries.iter().copied());
        map.ranges().iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn ranges_are_sorted_and_shrunk_to_pages() {
        assert_eq!(map(&[ram(0x10_0000, 0x1234), ram(0x10, 0x9_fbf0)]), [(0x1000, 0x9_f000), (0x10_0000, 0x10_1000)]);
    }

    #[test]
    fn reserved_wins_over_ram_wherever_it_is_listed() {
        let expected = [(0x1000, 0x3000), (0x5000, 0x9000)];
        assert_eq!(map(&[ram(0x1000, 0x8000), reserved(0x3800, 0x1000)]), expected);
        assert_eq!(map(&[reserved(0x3800, 0x1000), ram(0x1000, 0x8000)]), expected);
    }

    #[test]
    fn overlapping_ram_is_counted_once() {
        let entries = [ram(0x1000, 0x4000), ram(0x3000, 0x4000), ram(0x2000, 0x1000)];
        let map = MemoryMap::from_entries(entries.iter().copied());
        assert_eq!(map.total(), 0x6000);
        assert!(map.ranges().windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    #[test]
    fn absurd_entries_neither_wrap_nor_panic() {
        assert_eq!(map(&[ram(u64::MAX, u64::MAX), ram(0x1000, 0), ram(u64::MAX - 5, 3)]), []);
        assert_eq!(map(&[ram(0x1000, u64::MAX)]), [(0x1000, MAX_PHYSICAL)]);
        assert_eq!(map(&[ram(0x1000, 0x1000), reserved(0, u64::MAX)]), []);
    }

    #[test]
    fn more_entries_than_the_table_holds_are_dropped() {
        let entries: Vec<Entry> = (0..1000).map(|index| ram(index * 0x2000, 0x1000)).collect();
        assert_eq!(map(&entries).len(), CAPACITY);
    }

    #[test]
    fn containment_asks_for_every_byte_and_overlap_for_any() {
        let map = MemoryMap::from_entries([ram(0x1000, 0x2000)].into_iter());
        assert!(map.contains(0x1000, 0x3000) && !map.contains(0x1000, 0x3001));
        assert!(map.overlaps(0x2fff, 0x9000) && !map.overlaps(0x3000, 0x9000));
    }
}
