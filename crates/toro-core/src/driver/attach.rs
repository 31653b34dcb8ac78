//! The meeting itself: what a bus hands to a driver, and what the driver hands back.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;

use super::block::BlockDevice;
use super::fuse::FuseDevice;
use super::net::NetDevice;
use super::{AttachError, DeviceId};
use crate::dma::Dma;
use crate::io::IoWindow;
use crate::pci::ConfigSpace;
use crate::pci::msix::MsiMessage;
use crate::time::Clock;

/// A driver, as a kernel's list of drivers knows it.
///
/// Duties of an implementer: `matches` decides from the id alone, without touching the device; `attach` leaves a
/// device that it could not take into service reset or marked failed; neither blocks without a deadline.
pub trait Driver: Sync {
    /// A short name for logs, such as `virtio-net`.
    fn name(&self) -> &'static str;

    /// Whether this driver wants to try a device with this id.
    fn matches(&self, id: &DeviceId) -> bool;

    /// Takes the device into service.
    ///
    /// # Errors
    ///
    /// Why it cannot be used; see [`AttachError`].
    fn attach(&self, resources: Resources) -> Result<Attached, AttachError>;
}

/// A device in service, by its class.
#[non_exhaustive]
pub enum Attached {
    /// A network interface with one owner.
    Net(Box<dyn NetDevice>),
    /// A network interface divided among several owners: its queue pairs, at least two and at most as many as there
    /// are [`owners`](Resources::owners). They share address and link and nothing else; number *k* interrupts owner
    /// *k*.
    NetQueues(Vec<Box<dyn NetDevice>>),
    /// A device with disks, with one owner.
    Block(Box<dyn BlockDevice>),
    /// A disk divided among several owners: its queues, at least two and at most as many as there are
    /// [`owners`](Resources::owners). All reach the same units; number *k* interrupts owner *k*.
    BlockQueues(Vec<Box<dyn BlockDevice>>),
    /// A carrier of FUSE requests.
    Fuse(Box<dyn FuseDevice>),
    /// Of a class of its own: the driver keeps it, for whoever knows that driver.
    Other,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Net(_) => "Attached::Net",
            Self::NetQueues(_) => "Attached::NetQueues",
            Self::Block(_) => "Attached::Block",
            Self::BlockQueues(_) => "Attached::BlockQueues",
            Self::Fuse(_) => "Attached::Fuse",
            Self::Other => "Attached::Other",
        })
    }
}

/// All that a driver gets from the platform.
pub struct Resources {
    /// The device itself.
    pub location: Location,
    /// Where memory that the device may reach comes from.
    pub memory: Dma,
    /// What waits are measured with.
    pub clock: &'static dyn Clock,
    /// How many owners, mostly cores, the device may be divided among. It is a wish: a driver that makes one object of
    /// every device, or a device that cannot be divided so often, leaves the last ones without.
    pub owners: NonZeroU16,
}

/// How a device is reached.
#[non_exhaustive]
pub enum Location {
    /// A PCI function.
    Pci(PciFunction),
    /// A block of memory-mapped registers without a bus, such as virtio-mmio.
    Mmio(MmioDevice),
}

/// A PCI function whose BARs the bus has mapped.
pub struct PciFunction {
    /// Its configuration space.
    pub config: Box<dyn ConfigSpace + Send>,
    /// Its BARs: index 0 to 5 as in the configuration space; `None` where there is none, or it is the upper half
    /// of a 64-bit one.
    pub bars: [Option<IoWindow>; 6],
    /// Interrupt messages set aside for this function, for its MSI-X table, or the first of them for its MSI, one for
    /// each owner: number *k* interrupts owner *k*. With fewer of them than [`owners`](Resources::owners), the device has no
    /// more owners than messages. Empty: the function's interrupt line leads to its one owner, if it has a line; else the
    /// driver is polled only.
    pub messages: Vec<MsiMessage>,
}

/// A register block, with its interrupt line already routed to the owning core. As there is one line, there is one
/// owner.
pub struct MmioDevice {
    /// The registers.
    pub registers: IoWindow,
}
