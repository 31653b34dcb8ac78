//! Addresses, one type for each side that uses them.
//!
//! The CPU reaches memory by a *physical* address (through its page tables), a device by a *bus* address. On a PC
//! without an IOMMU the two numbers are equal, which is exactly why they are easy to mix up; behind an IOMMU or in
//! a vhost-user process they differ.

use core::fmt;

/// An address as the CPU's page tables use it, before any translation by an IOMMU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct PhysAddr(u64);

impl PhysAddr {
    /// Wraps a number. Holding a physical address gives no access to anything.
    pub const fn new(address: u64) -> Self {
        Self(address)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysAddr({:#x})", self.0)
    }
}

/// An address as a device uses it: what goes into a descriptor.
///
/// A device that is told a bus address reads or writes the memory behind it, so one that exists in safe code must
/// stand for memory set aside for devices. It is minted by [`DmaBuf`](crate::DmaBuf) and
/// [`SharedRegion`](crate::SharedRegion) only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct BusAddr(u64);

impl BusAddr {
    /// Declares that a device may use this address.
    ///
    /// # Safety
    ///
    /// The address names memory that devices may read and write for as long as any driver may still hand it to
    /// one: memory returned by a [`DmaMemory`](crate::DmaMemory) and not released.
    #[allow(unsafe_code)]
    pub const unsafe fn new(address: u64) -> Self {
        Self(address)
    }

    /// The number, to be written into a descriptor or a queue address register.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address `bytes` further on, inside the same piece of memory.
    pub(crate) const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl fmt::Debug for BusAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusAddr({:#x})", self.0)
    }
}
