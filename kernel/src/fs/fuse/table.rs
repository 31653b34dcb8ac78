//! A hash table for what a mount looks for all the time: names in directories, and nodes by their numbers.
//!
//! ```text
//!   place   0        1        2        3        4     ..     a power of two, at most three quarters of them taken
//!           [      ] [h=.. v] [h=.. v] [      ] [h=.. v]
//!                     ^ where the highest bits of the hash point; taken ones are passed over, to the next free one
//! ```
//!
//! The table keeps hashes and values and compares nothing but hashes; whoever looks says which value with the right hash he
//! means. Removal moves what stands behind the gap forward, so there are no marks of what was there, and a table that has
//! been in use for a year is as fast as a new one.
//!
//! # Whom we believe
//!
//! The server chooses names and numbers. Each mount mixes a seed of its own into its hashes, so that no server has a list of
//! names ready that fall together; one that finds some nevertheless makes a search as long as the table, whose size is
//! bounded by [`Options`](super::Options), and no longer.

use alloc::vec::Vec;

/// Places that a table begins with.
const FIRST_PLACES: usize = 16;

/// An odd number without a pattern: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes hashes, other ones with another seed.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    seed: u64,
}

impl Hasher {
    /// Hashes that depend on `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed: mix(seed ^ MULTIPLIER) }
    }

    /// The hash of a number.
    pub fn number(self, number: u64) -> u64 {
        mix(self.seed ^ number)
    }

    /// The hash of a number and bytes.
    pub fn number_and_bytes(self, number: u64, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks::<8>();
        let begun = self.number(number ^ (bytes.len() as u64).rotate_left(56));
        let whole = words.iter().fold(begun, |hash, word| mix(hash ^ u64::from_le_bytes(*word)));
        mix(whole ^ rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
    }
}

/// Makes all bits depend on all bits.
fn mix(bits: u64) -> u64 {
    let product = u128::from(bits) * u128::from(MULTIPLIER);
    // Both halves.
    (product >> 64) as u64 ^ product as u64
}

/// See the module.
#[derive(Debug)]
pub struct Table<V> {
    places: Vec<Option<(u64, V)>>,
    taken: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { places: Vec::new(), taken: 0 }
    }
}

impl<V> Table<V> {
    /// Where a value with this hash belongs; the table must have places.
    fn home(&self, hash: u64) -> usize {
        // The highest bits, as many as it takes. There are two places at least.
        (hash >> (64 - self.places.len().trailing_zeros())) as usize
    }

    fn behind(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }

    /// Where the value is.
    fn position(&self, hash: u64, mut is_it: impl FnMut(&V) -> bool) -> Option<usize> {
        if self.taken == 0 {
            return None;
        }
        let mut place = self.home(hash);
        // There is a free place, so this ends.
        while let Some(Some((other, value))) = self.places.get(place) {
            if *other == hash && is_it(value) {
                return Some(place);
            }
            place = self.behind(place);
        }
        None
    }

    /// The value with this hash that `is_it` knows.
    pub fn get(&self, hash: u64, is_it: impl FnMut(&V) -> bool) -> Option<&V> {
        let place = self.position(hash, is_it)?;
        self.places.get(place)?.as_ref().map(|(_, value)| value)
    }

    /// Adds a value, which is not in it yet.
    pub fn insert(&mut self, hash: u64, value: V) {
        if (self.taken + 1) * 4 > self.places.len() * 3 {
            self.grow();
        }
        self.put(hash, value);
        self.taken += 1;
    }

    fn put(&mut self, hash: u64, value: V) {
        let mut place = self.home(hash);
        while let Some(Some(_)) = self.places.get(place) {
            place = self.behind(place);
        }
        if let Some(free) = self.places.get_mut(place) {
            *free = Some((hash, value));
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.places.len() * 2).max(FIRST_PLACES);
        let old = core::mem::replace(&mut self.places, (0..size).map(|_| None).collect());
        old.into_iter().flatten().for_each(|(hash, value)| self.put(hash, value));
    }

    /// Takes a value out of it.
    pub fn remove(&mut self, hash: u64, is_it: impl FnMut(&V) -> bool) -> Option<V> {
        let mut gap = self.position(hash, is_it)?;
        let (_, removed) = self.places.get_mut(gap)?.take()?;
        self.taken -= 1;
        // What stands behind it without a gap, and belongs at the gap or before it, would not be found any more.
        let mut place = self.behind(gap);
        while let Some(Some((hash, _))) = self.places.get(place) {
            let way = |from: usize| place.wrapping_sub(from) & (self.places.len() - 1);
            if way(self.home(*hash)) >= way(gap) {
                self.places.swap(gap, place);
                gap = place;
            }
            place = self.behind(place);
        }
        Some(removed)
    }

    /// All values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.places.iter().flatten().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With few hashes, so that many values want the same place, also the last and the first.
        #[test]
        fn a_table_holds_what_a_map_holds(
            steps in prop::collection::vec((any::<bool>(), 0..40_u64, prop_oneof![Just(0), Just(1), Just(u64::MAX)]), 0..400),
        ) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (is_insert, key, spread) in steps {
                let key = (key, spread);
                let hash = hash_of(&key);
                prop_assert_eq!(table.get(hash, |&found| found == key).is_some(), map.contains_key(&key));
                if !is_insert {
                    prop_assert_eq!(table.remove(hash, |&found| found == key).is_some(), map.remove(&key).is_some());
                } else if map.insert(key, ()).is_none() {
                    table.insert(hash, key);
                }
                let mut values: Vec<_> = table.values().copied().collect();
                values.sort_unstable();
                prop_assert!(values.iter().eq(map.keys()));
                prop_assert!(map.keys().all(|key| table.get(hash_of(key), |found| found == key).is_some()));
            }
        }
    }

    /// The hash that the test above gives a key.
    fn hash_of(&(key, spread): &(u64, u64)) -> u64 {
        Hasher::new(7).number(key % 5) ^ spread << 60
    }

    #[test]
    fn hashes_depend_on_all_that_they_are_made_of() {
        let hash = |seed, number, bytes: &[u8]| Hasher::new(seed).number_and_bytes(number, bytes);
        let all = [
            hash(1, 1, b"f00000"),
            hash(2, 1, b"f00000"),
            hash(1, 2, b"f00000"),
            hash(1, 1, b"f00001"),
            hash(1, 1, b"f00000\0"),
            hash(1, 1, b"\0f00000"),
            hash(1, 1, b"f00000f00000"),
            hash(1, 1, b""),
        ];
        for (number, one) in all.iter().enumerate() {
            assert!(!all[..number].contains(one), "{number}");
        }
    }
}
