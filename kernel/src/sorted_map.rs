//! A map for few keys: pairs in the order of their keys, in one piece of memory.
//!
//! ```text
//!   keys     22      80      443            found by halving
//!   values   [ .. ]  [ .. ]  [ .. ]         what stands behind moves when one comes or goes
//! ```
//!
//! For the handfuls that the kernel keeps in order (ports that are listened to, groups, drivers, locks) this is faster than a tree, and a
//! hundredth of its code: every type of a tree's keys and values is kilobytes of instructions. Keys that only grow are added at the
//! end, which moves nothing. Where there may be thousands in any order, take a tree or [`Table`](crate::fs) of hashes.

// What an image has of the kernel may need half of it.
#![cfg_attr(not(all(feature = "fs", feature = "net")), allow(dead_code))]

use alloc::vec::Vec;

/// See the module.
#[derive(Clone, Debug)]
pub struct SortedMap<K, V> {
    pairs: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SortedMap<K, V> {
    /// Empty, without memory.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.pairs.iter().map(|(key, _)| key)
    }

    /// All values, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.pairs.iter().map(|(_, value)| value)
    }

    /// All pairs, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.pairs.iter().map(|(key, value)| (key, value))
    }

    /// Its values, in the order of their keys.
    pub fn into_values(self) -> impl Iterator<Item = V> {
        self.pairs.into_iter().map(|(_, value)| value)
    }

    /// Takes out the pairs that `is_it` names.
    pub fn take_if(&mut self, mut is_it: impl FnMut(&V) -> bool) -> Vec<(K, V)> {
        self.pairs.extract_if(.., |(_, value)| is_it(value)).collect()
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn position(&self, key: &K) -> Result<usize, usize> {
        match self.pairs.last() {
            // Keys that only grow are new at the end.
            Some((last, _)) if last < key => Err(self.pairs.len()),
            _ => self.pairs.binary_search_by(|(other, _)| other.cmp(key)),
        }
    }

    /// Whether there is a value for this key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.position(key).is_ok()
    }

    /// The value for this key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let place = self.position(key).ok()?;
        self.pairs.get(place).map(|(_, value)| value)
    }

    /// The value for this key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.position(key).ok()?;
        self.pairs.get_mut(place).map(|(_, value)| value)
    }

    /// The value for this key, which is the default one if there was none.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let place = match self.position(&key) {
            Ok(place) => place,
            Err(place) => {
                self.pairs.insert(place, (key, V::default()));
                place
            }
        };
        &mut self.pairs[place].1
    }

    /// Sets the value for this key; gives the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.position(&key) {
            Ok(place) => Some(core::mem::replace(&mut self.pairs[place].1, value)),
            Err(place) => {
                self.pairs.insert(place, (key, value));
                None
            }
        }
    }

    /// Takes the value for this key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.position(key).ok()?;
        Some(self.pairs.remove(place).1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((0u8..3, 0u8..20, any::<u8>()), 0..200)) {
            let (mut map, mut model) = (SortedMap::new(), BTreeMap::new());
            for (what, key, value) in steps {
                match what {
                    0 => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    1 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    _ => {
                        *map.get_or_default(key) ^= value;
                        *model.entry(key).or_default() ^= value;
                    }
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.get_mut(&key), model.get_mut(&key));
                prop_assert_eq!(map.contains_key(&key), model.contains_key(&key));
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(map.iter().eq(model.iter()));
                prop_assert!(map.keys().eq(model.keys()) && map.values().eq(model.values()));
            }
            let taken = map.take_if(|value| value % 2 == 0);
            let expected: Vec<_> = model.extract_if(.., |_, value| *value % 2 == 0).collect();
            prop_assert_eq!(taken, expected);
            prop_assert!(map.into_values().eq(model.into_values()));
        }
    }
}
