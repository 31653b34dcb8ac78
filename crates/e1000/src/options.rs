//! What a platform chooses, and what it is told: [`Options`] and [`Counters`].

use core::num::NonZeroU16;
use core::time::Duration;

use toro_core::driver::net::MacAddress;

/// Choices that a platform makes once.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Descriptors of the receive ring, 8 to 4,096; the next power of two counts.
    pub receive_slots: u16,
    /// Descriptors of the transmit ring, 16 to 4,096; the next power of two counts.
    pub transmit_slots: u16,
    /// Receive buffers beyond those in the ring: how many frames may be held by the stack at once.
    pub receive_spare: u16,
    /// Frames that the device cuts into segments: which, and how many buffers of 64 KiB there are for them.
    pub segmentation: Segmenting,
    /// The least time between two interrupts, at most 16.7 milliseconds. Some devices have a least time of their own, of
    /// 128 microseconds.
    pub interrupt_gap: Duration,
    /// The interface's address where the device has none.
    pub fallback_mac: MacAddress,
}

/// Which TCP segments the device cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmenting {
    /// None.
    Off,
    /// Those over IPv4, with this many large buffers.
    Ipv4(NonZeroU16),
    /// Those over IPv6 too. The controllers can, but QEMU's 8254x puts the wrong length into the IPv6 header, and its 82574
    /// cuts them only on some of its networks.
    Ipv4AndIpv6(NonZeroU16),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_slots: 256,
            transmit_slots: 256,
            receive_spare: 64,
            segmentation: Segmenting::Ipv4(NonZeroU16::new(8).expect("not zero")),
            interrupt_gap: Duration::ZERO,
            // Locally administered; unique only as far as one such device is on the link.
            fallback_mac: MacAddress([0x02, 0x74, 0x6f, 0x72, 0x6f, 0x02]),
        }
    }
}

/// What did not go as it should since the device was attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Received buffers whose length cannot be that of a frame, or that are pieces of none.
    pub malformed: u64,
    /// Received frames that the device says were damaged on the way.
    pub damaged: u64,
    /// Frames to transmit that were too short or too long, or whose notes made no sense.
    pub refused: u64,
    /// Frames that were lost because the device was reset.
    pub lost: u64,
    /// How often that was.
    pub resets: u64,
}
