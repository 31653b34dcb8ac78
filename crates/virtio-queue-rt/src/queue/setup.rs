//! Making a queue: how many slots it has, what never changes in its descriptors, and what its device is told.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use toro_core::Dma;
use toro_core::dma::LARGEST_BUFFER;

use super::parts::Parts;
use super::payload::{Cell, Payload};
use super::slot::{Slot, SlotStorage};
use super::{Inner, Virtqueue};
use crate::features::FeatureBits;
use crate::init::{Agreed, DeviceTag, InitError};
use crate::ring::{Descriptor, Needs, Rings};
use crate::transport::{Doorbell, Interface, QueueIndex, RingAddresses};

/// The dimensions of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Descriptors in the ring.
    pub size: u16,
    /// Slots: as [`Virtqueue::slots_for`] says for at most so many descriptors.
    pub slots: u16,
    pub interface: Interface,
}

impl<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>> Virtqueue<P, K, H, T, S> {
    /// The most descriptors that a request has.
    pub const DESCRIPTORS: u16 = H::DESCRIPTORS + P::MOST + T::DESCRIPTORS;

    /// How many slots a queue of `size` descriptors has when these features were negotiated. 0 if it is too small for
    /// one request: a request may not have more descriptors than the queue, wherever they are (§2.7.5.3.1).
    pub const fn slots_for(size: u16, features: FeatureBits) -> u16 {
        match Self::uses_tables(features) {
            true if Self::DESCRIPTORS <= size => size,
            true => 0,
            false => size / Self::DESCRIPTORS,
        }
    }

    const fn uses_tables(features: FeatureBits) -> bool {
        Self::DESCRIPTORS > 1 && features.contains(FeatureBits::INDIRECT_DESC)
    }

    /// Lays out a queue. The storage has at least as many slots as the shape.
    pub(crate) fn with_storage(
        index: QueueIndex,
        shape: Shape,
        memory: Dma,
        agreed: Agreed,
        mut slots: S,
    ) -> Result<Self, InitError> {
        // No request is longer than 4 GiB (§2.7.5.2), whatever its buffers.
        const { assert!(P::MOST as u64 * LARGEST_BUFFER as u64 + (H::SIZE + T::SIZE) as u64 <= 1 << 32) };
        let Shape { size, slots: count, interface } = shape;
        let Agreed { features, tag } = agreed;
        if count == 0 || slots.as_ref().len() < usize::from(count) {
            return Err(InitError::QueueTooSmall(index));
        }
        let (parts, table) = match Self::uses_tables(features) {
            true => (Parts::in_tables(Self::DESCRIPTORS), Self::DESCRIPTORS),
            false => (Parts::in_columns(count), 0),
        };
        let needs = Needs { size, slots: count, header: H::SIZE, trailer: T::SIZE, table, interface };
        let rings = Rings::new(memory, needs)?;
        for (number, slot) in slots.as_mut().iter_mut().enumerate() {
            let after = if number + 1 < usize::from(count) { number as u16 + 1 } else { 0 };
            *slot = Slot::free(number as u16, after);
        }
        for slot in 0..count {
            if H::DESCRIPTORS == 1 {
                Self::write_header(&rings, parts, slot, Some(parts.link(slot, 1)));
            }
            if T::DESCRIPTORS == 1 {
                Self::write_trailer(&rings, parts, slot, H::DESCRIPTORS + P::MOST);
            }
            if parts.are_in_tables() {
                rings.refer_to_table(slot, Self::DESCRIPTORS, Self::DESCRIPTORS);
            }
        }
        let has_event_idx = features.contains(FeatureBits::EVENT_IDX);
        if !has_event_idx {
            rings.handshake(has_event_idx).disarm_flag();
        }
        Ok(Self {
            inner: ManuallyDrop::new(Inner {
                rings,
                slots,
                parts,
                take: 0,
                put: 0,
                count,
                limit: count,
                next_available: 0,
                published: 0,
                next_used: 0,
                seen_used: 0,
                has_event_idx,
                is_in_order: features.contains(FeatureBits::IN_ORDER),
                is_armed: false,
                batch_left: 0,
                batch_len: 0,
                fault: None,
                index,
                doorbell: None,
                tag,
                cells: PhantomData,
            }),
        })
    }

    #[inline(always)]
    pub(super) fn write_header(rings: &Rings, parts: Parts, slot: u16, next: Option<u16>) {
        let address = rings.header_address::<H>(slot).get();
        let header = Descriptor { address, len: H::SIZE as u32, is_writable: false, next };
        rings.write_part(parts.place(slot, 0), header);
    }

    #[inline(always)]
    pub(super) fn write_trailer(rings: &Rings, parts: Parts, slot: u16, part: u16) {
        let address = rings.trailer_address::<T>(slot).get();
        let trailer = Descriptor { address, len: T::SIZE as u32, is_writable: true, next: None };
        rings.write_part(parts.place(slot, part), trailer);
    }

    /// Where the rings are.
    pub(crate) fn addresses(&self) -> RingAddresses {
        self.inner.rings.addresses()
    }

    pub(crate) fn set_doorbell(&mut self, doorbell: Doorbell) {
        self.inner.doorbell = Some(doorbell);
    }

    /// Its memory, nothing having been submitted.
    pub(crate) fn into_rings(self) -> Rings {
        ManuallyDrop::into_inner(self.inner).rings
    }

    /// Whether it was made in this initialisation of its device.
    pub(crate) fn belongs_to(&self, tag: DeviceTag) -> bool {
        self.inner.tag == tag
    }
}
