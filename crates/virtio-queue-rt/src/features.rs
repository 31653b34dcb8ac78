//! Feature bits (VIRTIO 1.3 §2.2, §6): what a device offers, what a driver accepts.
//!
//! A driver says which *device* features it knows; which *ring* features are acceptable is decided here, once for
//! all drivers, by an allow-list. Everything else that a device offers is refused silently, whatever it may mean.

use core::fmt;
use core::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of feature bits 0 to 63.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct FeatureBits(u64);

impl FeatureBits {
    /// None at all.
    pub const EMPTY: Self = Self(0);
    /// The device may say at which index it wants to be notified, and the driver likewise.
    #[doc(alias = "VIRTIO_F_EVENT_IDX")]
    pub const EVENT_IDX: Self = Self::bit(29);
    /// The device follows VIRTIO 1.0 or later; without it, it is a legacy device.
    #[doc(alias = "VIRTIO_F_VERSION_1")]
    pub const VERSION_1: Self = Self::bit(32);
    /// The device accesses memory through the platform's means; addresses are bus addresses.
    #[doc(alias = "VIRTIO_F_ACCESS_PLATFORM")]
    pub const ACCESS_PLATFORM: Self = Self::bit(33);

    /// The ring and transport features that this crate implements on modern transports.
    pub const RING: Self = Self(Self::EVENT_IDX.0 | Self::VERSION_1.0 | Self::ACCESS_PLATFORM.0);

    /// Bits 0 to 23 and 50 to 63: those that a device type defines.
    pub const DEVICE: Self = Self(0x00ff_ffff | !0 << 50);

    /// The set that holds bit `number` only.
    ///
    /// # Panics
    ///
    /// If there is no such bit: `number` is 64 or more.
    pub const fn bit(number: u32) -> Self {
        assert!(number < 64);
        Self(1 << number)
    }

    /// The set whose members are the bits set in `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As a number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all members of `other` are in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it has no members.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for FeatureBits {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for FeatureBits {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for FeatureBits {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for FeatureBits {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Debug for FeatureBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeatureBits({:#x})", self.0)
    }
}

/// What to accept of `offered`: the device features in `known`, and the ring features that this crate implements.
pub(crate) fn accept(offered: FeatureBits, known: FeatureBits) -> FeatureBits {
    offered & ((known & FeatureBits::DEVICE) | FeatureBits::RING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ftr_1_3_4_hd_ft_1_only_known_and_offered_bits_are_accepted() {
        let known = FeatureBits::bit(5) | FeatureBits::bit(63);
        let everything = FeatureBits::from_bits(u64::MAX);
        assert_eq!(accept(everything, known), known | FeatureBits::RING);
        assert_eq!(accept(FeatureBits::EMPTY, everything), FeatureBits::EMPTY);
        assert_eq!(accept(FeatureBits::bit(5), known), FeatureBits::bit(5));
    }

    #[test]
    fn ftr_13_a_driver_cannot_ask_for_ring_features_by_itself() {
        let greedy = FeatureBits::from_bits(u64::MAX);
        let accepted = accept(greedy, greedy);
        for reserved in [24, 27, 28, 30, 34, 35, 36, 37, 38, 39, 40, 41, 43, 49] {
            assert!((accepted & FeatureBits::bit(reserved)).is_empty(), "bit {reserved}");
        }
    }
}
