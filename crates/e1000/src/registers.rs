//! The registers, by the names that the manuals give them (PCI/PCI-X Family of Gigabit Ethernet Controllers Software
//! Developer's Manual §13; 82574 GbE Controller Datasheet §10).
//!
//! ```text
//!   0x0000  control, status, EEPROM, PHY         0x3800  transmit ring
//!   0x00c0  interrupts                           0x5000  checksums of received frames
//!   0x0100  receive control                      0x5200  groups, by hash
//!   0x0400  transmit control                     0x5400  addresses, exactly
//!   0x2800  receive ring
//! ```
//!
//! All are 32 bits wide, and every access to one leaves a virtual machine. The two that matter for speed are the tails of
//! the rings, written once per burst, and the interrupt causes, read once per wake.

use bitflags::bitflags;
use toro_core::Registers;
use toro_core::io::{ReadClears, ReadOnly, ReadWrite, Reg, WriteOnly};

pub(crate) const CONTROL: Reg<u32, ReadWrite> = Reg::at(0x0000);
pub(crate) const STATUS: Reg<u32, ReadOnly> = Reg::at(0x0008);
pub(crate) const EEPROM_READ: Reg<u32, ReadWrite> = Reg::at(0x0014);
pub(crate) const PHY: Reg<u32, ReadWrite> = Reg::at(0x0020);
pub(crate) const FLOW_CONTROL_ADDRESS_LOW: Reg<u32, WriteOnly> = Reg::at(0x0028);
pub(crate) const FLOW_CONTROL_ADDRESS_HIGH: Reg<u32, WriteOnly> = Reg::at(0x002c);
pub(crate) const FLOW_CONTROL_TYPE: Reg<u32, WriteOnly> = Reg::at(0x0030);
pub(crate) const FLOW_CONTROL_TIMER: Reg<u32, WriteOnly> = Reg::at(0x0170);
/// Interrupt causes. Reading takes them all, and takes the interrupt line down.
pub(crate) const CAUSES: Reg<u32, ReadClears> = Reg::at(0x00c0);
/// The least time between two interrupts, in [`INTERRUPT_GAP_UNIT`]s.
pub(crate) const INTERRUPT_GAP: Reg<u32, WriteOnly> = Reg::at(0x00c4);
/// Causes that may interrupt from now on.
pub(crate) const MASK_SET: Reg<u32, WriteOnly> = Reg::at(0x00d0);
/// Causes that may not interrupt any more.
pub(crate) const MASK_CLEAR: Reg<u32, WriteOnly> = Reg::at(0x00d8);
pub(crate) const RECEIVE_CONTROL: Reg<u32, WriteOnly> = Reg::at(0x0100);
pub(crate) const TRANSMIT_CONTROL: Reg<u32, WriteOnly> = Reg::at(0x0400);
pub(crate) const TRANSMIT_GAP: Reg<u32, WriteOnly> = Reg::at(0x0410);
pub(crate) const RECEIVE_DELAY: Reg<u32, WriteOnly> = Reg::at(0x2820);
pub(crate) const RECEIVE_ABSOLUTE_DELAY: Reg<u32, WriteOnly> = Reg::at(0x282c);
pub(crate) const TRANSMIT_DELAY: Reg<u32, WriteOnly> = Reg::at(0x3820);
pub(crate) const TRANSMIT_THRESHOLDS: Reg<u32, ReadWrite> = Reg::at(0x3828);
pub(crate) const TRANSMIT_ABSOLUTE_DELAY: Reg<u32, WriteOnly> = Reg::at(0x382c);
pub(crate) const RECEIVE_CHECKSUM: Reg<u32, WriteOnly> = Reg::at(0x5000);
/// Where the registers end that a driver must be able to reach.
pub(crate) const END: usize = 0x5600;

/// The registers of a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingRegisters {
    pub(crate) base_low: Reg<u32, WriteOnly>,
    pub(crate) base_high: Reg<u32, WriteOnly>,
    /// In bytes.
    pub(crate) length: Reg<u32, WriteOnly>,
    /// Where the device is. Written before the ring is used, never read.
    pub(crate) head: Reg<u32, WriteOnly>,
    /// Where the driver is: the first descriptor that is not the device's.
    pub(crate) tail: Reg<u32, WriteOnly>,
}

impl RingRegisters {
    const fn at(base: usize) -> Self {
        Self {
            base_low: Reg::at(base),
            base_high: Reg::at(base + 0x04),
            length: Reg::at(base + 0x08),
            head: Reg::at(base + 0x10),
            tail: Reg::at(base + 0x18),
        }
    }
}

pub(crate) const RECEIVE_RING: RingRegisters = RingRegisters::at(0x2800);
pub(crate) const TRANSMIT_RING: RingRegisters = RingRegisters::at(0x3800);

/// Words of the table of groups, of 32 bits each.
pub(crate) const GROUP_WORDS: usize = 128;
/// Addresses that are compared exactly, the interface's own among them.
pub(crate) const EXACT_ADDRESSES: usize = 16;
/// In the upper half of an exact address: it counts.
pub(crate) const ADDRESS_VALID: u32 = 1 << 31;

/// A word of the table of groups.
pub(crate) const fn group_word(index: usize) -> Reg<u32, WriteOnly> {
    Reg::at(0x5200 + 4 * index)
}

/// The halves of an exact address.
pub(crate) const fn exact_address(index: usize) -> [Reg<u32, ReadWrite>; 2] {
    [Reg::at(0x5400 + 8 * index), Reg::at(0x5404 + 8 * index)]
}

/// Nanoseconds in a unit of [`INTERRUPT_GAP`].
pub(crate) const INTERRUPT_GAP_UNIT: u64 = 256;
/// The longest gap, in those units.
pub(crate) const LONGEST_INTERRUPT_GAP: u64 = 0xffff;
/// Gaps between transmitted frames for copper: 10, 8 and 6 units (§13.4.34).
pub(crate) const COPPER_GAPS: u32 = 0x0060_200a;

bitflags! {
    /// The control register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Control: u32 {
        const LINK_RESET = 1 << 3;
        /// Speed as the PHY negotiates it.
        const AUTO_SPEED = 1 << 5;
        const SET_LINK_UP = 1 << 6;
        /// Loss of signal means its contrary.
        const INVERT_LOSS = 1 << 7;
        const FORCE_SPEED = 1 << 11;
        const FORCE_DUPLEX = 1 << 12;
        const RESET = 1 << 26;
        const RECEIVE_FLOW_CONTROL = 1 << 27;
        const TRANSMIT_FLOW_CONTROL = 1 << 28;
        /// VLAN tags are taken out and put in by the device.
        const VLAN = 1 << 30;
        const PHY_RESET = 1 << 31;
        const _ = !0;
    }

    /// Receive control.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct ReceiveControl: u32 {
        const ENABLE = 1 << 1;
        /// Frames to any address.
        const ALL_UNICAST = 1 << 3;
        /// Frames to any group.
        const ALL_GROUPS = 1 << 4;
        const BROADCAST = 1 << 15;
        /// Without the frame check sequence.
        const STRIP_CHECK = 1 << 26;
    }

    /// Transmit control.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct TransmitControl: u32 {
        const ENABLE = 1 << 1;
        /// Short frames are padded.
        const PAD = 1 << 3;
        /// Fifteen tries on a shared medium.
        const COLLISIONS = 0x0f << 4;
        /// The distance at which collisions count, for full duplex.
        const DISTANCE = 0x40 << 12;
        /// A late collision is tried again.
        const RETRY_LATE = 1 << 24;
    }

    /// What the device interrupts for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Causes: u32 {
        /// A transmit descriptor that asked for it has been written back.
        const SENT = 1 << 0;
        const LINK = 1 << 2;
        const SEQUENCE = 1 << 3;
        /// The receive ring runs out of buffers.
        const FEW_BUFFERS = 1 << 4;
        /// It has run out of them.
        const OVERRUN = 1 << 6;
        const RECEIVED = 1 << 7;
        const _ = !0;
    }
}

/// The status register: the link is up.
pub(crate) const LINK_UP: u32 = 1 << 1;

/// What a driver waits for in its sleep.
pub(crate) const WAKING: Causes = Causes::RECEIVED.union(Causes::OVERRUN).union(Causes::LINK).union(Causes::SEQUENCE);

/// Sums of received IP headers and TCP or UDP segments are looked at.
pub(crate) const LOOK_AT_SUMS: u32 = 1 << 8 | 1 << 9;
/// Of an 82574: a bit that has to be set for descriptors to be counted (§10.2.6.9).
pub(crate) const COUNT_DESCRIPTORS: u32 = 1 << 22;

/// What every register of a device that is not there any more reads as.
pub(crate) const NOBODY: u32 = u32::MAX;

/// Waits until all that was written so far has reached the device, and says whether it still answers.
pub(crate) fn flush<R: Registers + ?Sized>(registers: &R) -> bool {
    STATUS.read(registers) != NOBODY
}
