//! Slots: what the driver knows about each request, in memory that no device sees.

use core::fmt;

use super::layout::Layout;
use super::payload::Payload;

/// The bookkeeping of one slot. Made by [`Slot::default`] where storage is declared.
pub struct Slot<P: Payload, K> {
    /// What is in flight here; `None` while the slot is free.
    pub(super) request: Option<(P, K)>,
    /// How many bytes the device may write.
    pub(super) writable: u32,
    /// The list of free slots is a ring through all slots: this is the number in the list's place `i`, if this is
    /// slot `i`. It says nothing about this slot.
    pub(super) next_free: u16,
    /// The place after this one in the list, which is the first after the last.
    pub(super) after: u16,
    /// What its descriptors say.
    pub(super) layout: P::Layout,
}

impl<P: Payload, K> Slot<P, K> {
    pub(super) const fn free(number: u16, after: u16) -> Self {
        Self { request: None, writable: 0, next_free: number, after, layout: P::Layout::NONE }
    }
}

impl<P: Payload, K> Default for Slot<P, K> {
    fn default() -> Self {
        Self::free(0, 0)
    }
}

impl<P: Payload, K> fmt::Debug for Slot<P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.request.is_some() { "Slot(in flight)" } else { "Slot(free)" })
    }
}

mod sealed {
    pub trait Storage {}
}

/// Where a queue keeps its slots: a boxed slice, an array, or a borrowed slice that lives for ever.
///
/// Sealed: storage that answered with other slots each time would hand a buffer to two owners.
pub trait SlotStorage<P: Payload, K>: sealed::Storage + AsRef<[Slot<P, K>]> + AsMut<[Slot<P, K>]> {}

impl<P: Payload, K, S: sealed::Storage + AsRef<[Slot<P, K>]> + AsMut<[Slot<P, K>]>> SlotStorage<P, K> for S {}

impl<P: Payload, K> sealed::Storage for &'static mut [Slot<P, K>] {}
impl<P: Payload, K, const N: usize> sealed::Storage for [Slot<P, K>; N] {}
#[cfg(any(feature = "alloc", test))]
impl<P: Payload, K> sealed::Storage for alloc::boxed::Box<[Slot<P, K>]> {}

/// The usual storage: boxed with the feature `alloc`, borrowed without.
#[cfg(any(feature = "alloc", test))]
pub type Slots<P, K> = alloc::boxed::Box<[Slot<P, K>]>;
/// The usual storage: boxed with the feature `alloc`, borrowed without.
#[cfg(not(any(feature = "alloc", test)))]
pub type Slots<P, K> = &'static mut [Slot<P, K>];
