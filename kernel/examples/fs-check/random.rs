//! Numbers that look random and are the same for the same seed (SplitMix64).

use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// Where the numbers come from.
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// One of these numbers.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start()).saturating_add(1);
        range.start() + self.next() % span.max(1)
    }

    /// A place in a list of `length`, which must not be empty.
    pub fn index(&mut self, length: usize) -> usize {
        (self.next() % (length as u64).max(1)) as usize
    }

    /// One of `choices`.
    pub fn one_of<'c, T>(&mut self, choices: &'c [T]) -> Option<&'c T> {
        choices.get(self.index(choices.len()))
    }

    /// Whether something happens that happens once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    /// So many bytes, none of them zero: holes are told from them.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend((self.next() | 0x0101_0101_0101_0101).to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
