//! How a driver meets a kernel.
//!
//! There are two directions only: the kernel calls down, the driver answers. A driver never calls the kernel
//! back; it is polled, and it says whether it may be left alone.
//!
//! ```text
//!  bus scan --> DeviceId + Resources --> first Driver that matches --> attach() --> Attached       once
//!  device   --> interrupt: flag it, wake the owning core                            no driver code, no lock
//!  core:        loop { receive / complete; work; transmit / submit + publish;
//!                      if nothing to do && device.arm()? == Armed::Idle { sleep } }
//! ```
//!
//! # Ownership
//!
//! [`Driver::attach`] consumes the [`Resources`] and returns an object that owns the device. That object is
//! [`Send`] and has one owner; a kernel gives it to the core that shall drive it and needs no lock.
//!
//! A device with several queues can be divided: the kernel says among how many [`owners`](Resources::owners), and the
//! driver returns one object for each, such as [`Attached::NetQueues`]. Each is as independent of the others as if it
//! were a device of its own, and interrupts its own owner.
//!
//! # Sleeping
//!
//! [`arm`](net::NetDevice::arm) asks the device to interrupt at its next completion and *then looks once more*.
//! Only the answer [`Armed::Idle`] allows its owner to sleep: with it, whatever the device does next raises an
//! interrupt. This is the place where wake-ups get lost in other systems.
//!
//! # Failure
//!
//! A device that breaks the protocol gives a [`DeviceFault`]. From then on the object refuses work until it has
//! been reset, and memory that the device may still reach is not reused.
//!
//! # Without an allocator
//!
//! [`Driver`], [`Resources`] and [`Attached`] need the feature `alloc`. A system without one calls the plain
//! constructor of the device crate and keeps the concrete type.

use core::fmt;

pub mod block;
pub mod fuse;
pub mod net;

#[cfg(feature = "alloc")]
mod attach;
#[cfg(feature = "alloc")]
pub use attach::{Attached, Driver, Location, MmioDevice, PciFunction, Resources};

/// What a bus says a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceId {
    /// A PCI function, by the first words of its configuration space.
    Pci {
        /// Vendor id, offset 0x00.
        vendor: u16,
        /// Device id, offset 0x02.
        device: u16,
        /// Base class, sub-class and programming interface (`0xCCSSPP`), offset 0x09.
        class: u32,
    },
    /// A virtio-mmio register block with a device behind it, by its DeviceID register (never 0).
    VirtioMmio {
        /// The virtio device type, for example 1 for a network device.
        device_type: u32,
    },
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci { vendor, device, class } => {
                write!(f, "vendor {vendor:#06x}, device {device:#06x}, class {class:#08x}")
            }
            Self::VirtioMmio { device_type } => write!(f, "virtio device type {device_type}"),
        }
    }
}

/// Whether the owner of a device may sleep.
#[must_use = "sleeping on `WorkPending` loses a wake-up"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// Nothing is waiting, and the next completion raises an interrupt.
    Idle,
    /// Something arrived meanwhile: poll again, then arm again.
    WorkPending,
}

/// How the device broke the protocol. Its queues are poisoned until a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceFault {
    /// A used element names a descriptor that does not exist.
    UsedIdOutOfRange {
        /// What the device wrote.
        id: u32,
    },
    /// A used element names a descriptor that is not the head of a request in flight.
    UsedIdNotInFlight {
        /// What the device wrote.
        id: u32,
    },
    /// A used element of a queue whose requests finish in order names one that is not among those that finished.
    UsedIdOutOfOrder {
        /// What the device wrote.
        id: u32,
    },
    /// The used index moved by more than what was in flight, or backwards.
    UsedIndexJump {
        /// How far the used index moved, modulo 65,536.
        advance: u16,
        /// How many requests the device had been given.
        in_flight: u16,
    },
    /// A received packet claims to lie in more buffers than the device had been given.
    PacketTooLong {
        /// How many buffers it claims.
        buffers: u16,
    },
    /// The device says that it needs a reset (DEVICE_NEEDS_RESET).
    NeedsReset,
    /// The device no longer answers: its registers read as all ones.
    Gone,
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsedIdOutOfRange { id } => write!(f, "used element names descriptor {id}, beyond the queue"),
            Self::UsedIdNotInFlight { id } => write!(f, "used element names descriptor {id}, which is not in flight"),
            Self::UsedIdOutOfOrder { id } => write!(f, "used element names descriptor {id}, out of order"),
            Self::UsedIndexJump { advance, in_flight } => {
                write!(f, "used index moved by {advance} with {in_flight} requests in flight")
            }
            Self::PacketTooLong { buffers } => {
                write!(f, "received packet claims {buffers} buffers, more than the queue has")
            }
            Self::NeedsReset => f.write_str("the device asks for a reset"),
            Self::Gone => f.write_str("the device is gone"),
        }
    }
}

impl core::error::Error for DeviceFault {}

/// Why a device could not be taken into service. The device is left reset or marked failed, never half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// The bus did not provide what the driver needs, or the device describes itself inconsistently.
    Resources(&'static str),
    /// The device lacks a feature without which the driver cannot work, or refused the driver's choice.
    Features,
    /// A queue that the device type requires is missing or unusable.
    Queue {
        /// Its index.
        index: u16,
    },
    /// A value in the device's configuration space is out of range.
    Configuration(&'static str),
    /// The device did not answer in time.
    TimedOut,
    /// The platform has no more memory for devices.
    OutOfDmaMemory,
    /// The device broke the protocol while it was being set up.
    Fault(DeviceFault),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resources(what) => write!(f, "unusable resources: {what}"),
            Self::Features => f.write_str("feature negotiation failed"),
            Self::Queue { index } => write!(f, "queue {index} is missing or unusable"),
            Self::Configuration(what) => write!(f, "unusable device configuration: {what}"),
            Self::TimedOut => f.write_str("the device did not answer in time"),
            Self::OutOfDmaMemory => f.write_str("out of memory for devices"),
            Self::Fault(fault) => write!(f, "device fault: {fault}"),
        }
    }
}

impl core::error::Error for AttachError {}

impl From<DeviceFault> for AttachError {
    fn from(fault: DeviceFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<crate::time::TimedOut> for AttachError {
    fn from(_: crate::time::TimedOut) -> Self {
        Self::TimedOut
    }
}

impl From<crate::OutOfDmaMemory> for AttachError {
    fn from(_: crate::OutOfDmaMemory) -> Self {
        Self::OutOfDmaMemory
    }
}

/// A request in flight, unique among those; small, and reused after completion, so fit to index a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u16);

/// A request that could not be accepted now, with everything that was handed in.
#[derive(Debug)]
pub struct Refused<R> {
    /// Why.
    pub reason: Refusal,
    /// The request, unchanged.
    pub request: R,
}

/// Why a request was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Too many requests in flight: try again after a completion.
    Full,
    /// The request can never be accepted by this device: too long, empty, or of a kind that it does not have.
    Invalid,
    /// The device has failed and awaits a reset.
    Faulted(DeviceFault),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("too many requests in flight"),
            Self::Invalid => f.write_str("the device cannot take such a request"),
            Self::Faulted(fault) => write!(f, "the device has failed: {fault}"),
        }
    }
}
