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
    /// Legacy devices only: the driver may divide requests into descriptors as it likes.
    #[doc(alias = "VIRTIO_F_ANY_LAYOUT")]
    pub const ANY_LAYOUT: Self = Self::bit(27);
    /// A descriptor may name a table of descriptors.
    #[doc(alias = "VIRTIO_F_INDIRECT_DESC")]
    pub const INDIRECT_DESC: Self = Self::bit(28);
    /// The device may say at which index it wants to be notified, and the driver likewise.
    #[doc(alias = "VIRTIO_F_EVENT_IDX")]
    pub const EVENT_IDX: Self = Self::bit(29);
    /// The device follows VIRTIO 1.0 or later; without it, it is a legacy device.
    #[doc(alias = "VIRTIO_F_VERSION_1")]
    pub const VERSION_1: Self = Self::bit(32);
    /// The device accesses memory through the platform's means; addresses are bus addresses.
    #[doc(alias = "VIRTIO_F_ACCESS_PLATFORM")]
    pub const ACCESS_PLATFORM: Self = Self::bit(33);
    /// The device uses buffers in the order in which they were made available.
    #[doc(alias = "VIRTIO_F_IN_ORDER")]
    pub const IN_ORDER: Self = Self::bit(35);
    /// The device sees memory as a device does, not as one more CPU.
    #[doc(alias = "VIRTIO_F_ORDER_PLATFORM")]
    pub const ORDER_PLATFORM: Self = Self::bit(36);
    /// A notification says how far the queue has come.
    #[doc(alias = "VIRTIO_F_NOTIFICATION_DATA")]
    pub const NOTIFICATION_DATA: Self = Self::bit(38);
    /// The device says what a notification shall hold in place of the queue's index.
    #[doc(alias = "VIRTIO_F_NOTIF_CONFIG_DATA")]
    pub const NOTIF_CONFIG_DATA: Self = Self::bit(39);
    /// A queue can be reset by itself.
    #[doc(alias = "VIRTIO_F_RING_RESET")]
    pub const RING_RESET: Self = Self::bit(40);

    /// The ring and transport features that this crate implements on modern devices.
    ///
    /// ORDER_PLATFORM is among them where the atomics of the language order accesses as devices see them, which is on
    /// x86.
    pub const RING: Self = Self(
        Self::INDIRECT_DESC.0
            | Self::EVENT_IDX.0
            | Self::VERSION_1.0
            | Self::ACCESS_PLATFORM.0
            | Self::IN_ORDER.0
            | Self::NOTIFICATION_DATA.0
            | Self::NOTIF_CONFIG_DATA.0
            | Self::RING_RESET.0
            | if cfg!(any(target_arch = "x86", target_arch = "x86_64")) { Self::ORDER_PLATFORM.0 } else { 0 },
    );

    /// Those that it implements on legacy devices.
    pub const RING_LEGACY: Self = Self(Self::ANY_LAYOUT.0 | Self::INDIRECT_DESC.0 | Self::EVENT_IDX.0);

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

/// What to accept of `offered`: the device features in `known`, and those ring features that this crate implements
/// and that work through the transport.
pub(crate) fn accept(offered: FeatureBits, known: FeatureBits, transport: FeatureBits) -> FeatureBits {
    let ring = (FeatureBits::RING | FeatureBits::RING_LEGACY) & transport;
    with_prerequisites(offered & ((known & FeatureBits::DEVICE) | ring))
}

/// `accepted` without ring features whose prerequisite is missing.
///
/// The specification knows none among those of this crate. But a queue in order has its descriptors in the order of
/// the table (§2.7.5.2), and requests of several descriptors in fixed places do not; in a table of their own they do.
pub(crate) fn with_prerequisites(accepted: FeatureBits) -> FeatureBits {
    match accepted.contains(FeatureBits::INDIRECT_DESC) {
        true => accepted,
        false => accepted & !FeatureBits::IN_ORDER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: FeatureBits = FeatureBits::from_bits(u64::MAX);

    #[test]
    fn ftr_1_3_4_hd_ft_1_only_known_and_offered_bits_are_accepted() {
        let known = FeatureBits::bit(5) | FeatureBits::bit(63);
        assert_eq!(accept(EVERYTHING, known, FeatureBits::RING), known | FeatureBits::RING);
        assert_eq!(accept(FeatureBits::EMPTY, EVERYTHING, EVERYTHING), FeatureBits::EMPTY);
        assert_eq!(accept(FeatureBits::bit(5), known, EVERYTHING), FeatureBits::bit(5));
    }

    #[test]
    fn ftr_13_a_driver_cannot_ask_for_ring_features_by_itself() {
        let accepted = accept(EVERYTHING, EVERYTHING, EVERYTHING);
        for reserved in [24, 25, 26, 30, 31, 34, 37, 41, 42, 43, 44, 49] {
            assert!((accepted & FeatureBits::bit(reserved)).is_empty(), "bit {reserved}");
        }
    }

    #[test]
    fn hd_ft_5_what_the_transport_cannot_do_is_not_accepted() {
        let transport = FeatureBits::RING & !FeatureBits::NOTIFICATION_DATA;
        assert_eq!(accept(EVERYTHING, FeatureBits::EMPTY, transport), transport);
    }

    #[test]
    fn ftr_2_in_order_needs_tables() {
        let accepted = accept(!FeatureBits::INDIRECT_DESC, FeatureBits::EMPTY, FeatureBits::RING);
        assert!((accepted & FeatureBits::IN_ORDER).is_empty());
        assert!(accept(EVERYTHING, FeatureBits::EMPTY, FeatureBits::RING).contains(FeatureBits::IN_ORDER));
    }
}
