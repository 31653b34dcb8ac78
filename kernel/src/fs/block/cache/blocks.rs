//! [`Blocks`]: what a cache holds, and what of it the disk does not have yet.
//!
//! Blocks lie in places, which are used again. A place whose block was not looked at since the hand of the clock last passed
//! is the next one to be used for another, unless the disk does not have its block yet.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use toro_core::Instant;

/// When a block came to differ from the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The number of the write.
    pub sequence: u64,
    /// The time.
    pub at: Instant,
}

struct Place {
    number: u64,
    data: Vec<u8>,
    was_used: bool,
}

/// The blocks of a cache, by their numbers on the volume.
pub struct Blocks {
    capacity: usize,
    places: Vec<Place>,
    index: BTreeMap<u64, usize>,
    /// Blocks that differ from the disk, and that no write on its way will change.
    pub dirty: BTreeMap<u64, Since>,
    /// Blocks that are on their way to the disk as they were a while ago.
    pub writing: BTreeMap<u64, Since>,
    hand: usize,
}

impl Blocks {
    /// Room for `capacity` blocks.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            places: Vec::new(),
            index: BTreeMap::new(),
            dirty: BTreeMap::new(),
            writing: BTreeMap::new(),
            hand: 0,
        }
    }

    /// A block's bytes, if it is here.
    pub fn get(&mut self, number: u64) -> Option<&mut [u8]> {
        let place = self.places.get_mut(*self.index.get(&number)?)?;
        place.was_used = true;
        Some(&mut place.data)
    }

    /// Whether a block is here.
    pub fn has(&self, number: u64) -> bool {
        self.index.contains_key(&number)
    }

    /// Puts a block here that was not, with these bytes; false if there is no room.
    pub fn put(&mut self, number: u64, bytes: &[u8]) -> Option<()> {
        let place = self.room()?;
        let chosen = self.places.get_mut(place)?;
        chosen.data.clear();
        chosen.data.try_reserve_exact(bytes.len()).ok()?;
        chosen.data.extend_from_slice(bytes);
        chosen.number = number;
        chosen.was_used = true;
        self.index.insert(number, place);
        Some(())
    }

    /// Lets go of a block that the disk has.
    pub fn forget(&mut self, number: u64) {
        if let Some(place) = self.index.remove(&number).and_then(|place| self.places.get_mut(place)) {
            place.was_used = false;
        }
    }

    /// A place without a block.
    fn room(&mut self) -> Option<usize> {
        if self.places.len() < self.capacity && self.places.try_reserve(1).is_ok() {
            self.places.push(Place { number: u64::MAX, data: Vec::new(), was_used: false });
            return Some(self.places.len() - 1);
        }
        // Once to forget which were used, and once to find one.
        for _ in 0..2 * self.places.len() {
            let index = self.hand;
            self.hand = if index + 1 < self.places.len() { index + 1 } else { 0 };
            let place = self.places.get_mut(index)?;
            let number = place.number;
            if self.dirty.contains_key(&number) || self.writing.contains_key(&number) {
                continue;
            }
            if !core::mem::take(&mut place.was_used) {
                if self.index.get(&number) == Some(&index) {
                    self.index.remove(&number);
                }
                return Some(index);
            }
        }
        None
    }

    /// Notes that a block differs from the disk.
    pub fn soil(&mut self, number: u64, since: Since) {
        self.dirty.entry(number).or_insert(since);
    }

    /// The first run of blocks, at most `most` and none before `from`, that have differed from the disk since `limit` at the
    /// latest. A run does not begin with one that is on its way: `Err` says that this is the first.
    pub fn next_run(&self, from: u64, most: u64, limit: u64) -> Option<Result<Range<u64>, u64>> {
        let is_meant = |since: &Since| since.sequence <= limit;
        let (&first, _) = self.dirty.range(from..).find(|(_, since)| is_meant(since))?;
        if self.writing.contains_key(&first) {
            return Some(Err(first));
        }
        let mut end = first + 1;
        let continues =
            |number: u64| self.dirty.get(&number).is_some_and(is_meant) && !self.writing.contains_key(&number);
        while end - first < most && continues(end) {
            end += 1;
        }
        Some(Ok(first..end))
    }

    /// Whether a write on its way carries something that was written by `limit`.
    pub fn is_writing_since(&self, limit: u64) -> bool {
        self.writing.values().any(|since| since.sequence <= limit)
    }

    /// Whether something written by `limit` is not on the disk, nor on its way.
    pub fn is_dirty_since(&self, limit: u64) -> bool {
        self.dirty.values().any(|since| since.sequence <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(sequence: u64) -> Since {
        Since { sequence, at: Instant::from_nanos(0) }
    }

    #[test]
    fn what_was_not_used_goes_first_and_what_is_dirty_stays() {
        let mut blocks = Blocks::new(3);
        for number in 0..3 {
            assert!(blocks.put(number, &[number as u8; 8]).is_some());
        }
        blocks.soil(0, since(1));
        assert!(blocks.put(3, &[3; 8]).is_some());
        assert!(blocks.has(0) && blocks.has(3));
        assert_eq!(blocks.index.len(), 3);
        blocks.dirty.clear();
        blocks.writing.insert(0, since(1));
        (4..9).for_each(|number| assert!(blocks.put(number, &[0; 8]).is_some()));
        assert_eq!(blocks.get(0).map(|bytes| bytes.to_vec()), Some(vec![0; 8]));
        for number in [7, 8] {
            blocks.soil(number, since(2));
        }
        assert!(blocks.put(9, &[0; 8]).is_none(), "all are dirty or on their way");
    }

    #[test]
    fn runs_are_ascending_and_of_what_is_meant() {
        let mut blocks = Blocks::new(8);
        for (number, sequence) in [(5, 1), (6, 2), (7, 9), (9, 3), (2, 9)] {
            blocks.soil(number, since(sequence));
        }
        assert_eq!(blocks.next_run(0, 8, 5), Some(Ok(5..7)));
        assert_eq!(blocks.next_run(0, 1, 5), Some(Ok(5..6)));
        assert_eq!(blocks.next_run(7, 8, 5), Some(Ok(9..10)));
        assert_eq!(blocks.next_run(10, 8, 5), None);
        assert_eq!(blocks.next_run(0, 8, 9), Some(Ok(2..3)));
        blocks.writing.insert(6, since(1));
        assert_eq!(blocks.next_run(3, 8, 5), Some(Ok(5..6)));
        assert_eq!(blocks.next_run(6, 8, 5), Some(Err(6)));
    }
}
