//! [`Slab`]: a growing array whose places are used again.

use alloc::vec::Vec;

/// Values by small numbers. A number is used again after its value has been removed.
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), vacant: Vec::new() }
    }

    /// How many values it holds.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    /// Stores a value and returns its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(key) = self.vacant.pop() {
            self.places[key as usize] = Some(value);
            return key;
        }
        self.places.push(Some(value));
        u32::try_from(self.places.len() - 1).expect("a kernel does not hold four billion sockets")
    }

    pub(super) fn get(&self, key: u32) -> Option<&T> {
        self.places.get(key as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.places.get_mut(key as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, key: u32) -> Option<T> {
        let value = self.places.get_mut(key as usize)?.take()?;
        self.vacant.push(key);
        Some(value)
    }

    /// The numbers in use, lowest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        self.places.iter().enumerate().filter(|(_, place)| place.is_some()).map(|(key, _)| key as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_only_after_its_value_is_gone() {
        let mut slab = Slab::new();
        let a = slab.insert('a');
        let b = slab.insert('b');
        assert_ne!(a, b);
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.insert('c'), a);
        assert_eq!(slab.get(b), Some(&'b'));
        assert_eq!(slab.len(), 2);
        assert!(slab.keys().eq([a, b]));
    }
}
