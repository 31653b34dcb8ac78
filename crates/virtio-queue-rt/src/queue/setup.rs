//! Making a queue: how many slots it has, what never changes in its descriptors, and what its device is told.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use toro_core::Dma;

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
    /// Of them, at most so many are used; and so many buffers has a request.
    pub wanted: Wanted,
    pub interface: Interface,
}

/// How large a queue shall be, at most. A number of descriptors alone, as `u16`, is one too.
///
/// The device may have less. `segments` counts only where the payload is
/// [`Segments`](toro_core::dma::Segments); every other kind says by itself how many buffers it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The most descriptors to use.
    pub descriptors: u16,
    /// The most buffers in a request: at least one, and no more than 254 or than a chain of that many descriptors has
    /// room for.
    pub segments: u16,
}

impl From<u16> for Wanted {
    fn from(descriptors: u16) -> Self {
        Self { descriptors, segments: 1 }
    }
}

impl<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>> Virtqueue<P, K, H, T, S> {
    /// Descriptors of a request beside those of its payload.
    const AROUND: u16 = H::DESCRIPTORS + T::DESCRIPTORS;

    /// The most descriptors that a request has, if at most `wanted.descriptors` are used.
    pub const fn descriptors_for(wanted: Wanted) -> u16 {
        if !P::IS_OPEN {
            return Self::AROUND + P::MOST;
        }
        let room = wanted.descriptors.saturating_sub(Self::AROUND);
        let segments = if wanted.segments < room { wanted.segments } else { room };
        let segments = if segments < P::MOST { segments } else { P::MOST };
        Self::AROUND + if segments == 0 { 1 } else { segments }
    }

    /// How many slots a queue that uses so many descriptors has when these features were negotiated. 0 if it is too
    /// small for one request: a request may not have more descriptors than the queue, wherever they are (§2.7.5.3.1).
    pub const fn slots_for(wanted: Wanted, features: FeatureBits) -> u16 {
        let each = Self::descriptors_for(wanted);
        match Self::uses_tables(each, features) {
            true if each <= wanted.descriptors => wanted.descriptors,
            true => 0,
            false => wanted.descriptors / each,
        }
    }

    const fn uses_tables(each: u16, features: FeatureBits) -> bool {
        each > 1 && features.contains(FeatureBits::INDIRECT_DESC)
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
        const { assert!(P::LONGEST + (H::SIZE + T::SIZE) as u64 <= 1 << 32) };
        let Shape { size, wanted, interface } = shape;
        let Agreed { features, tag } = agreed;
        let (count, each) = (Self::slots_for(wanted, features), Self::descriptors_for(wanted));
        if count == 0 || slots.as_ref().len() < usize::from(count) {
            return Err(InitError::QueueTooSmall(index));
        }
        let (parts, table) = match Self::uses_tables(each, features) {
            true => (Parts::in_tables(each), each),
            false => (Parts::in_columns(count), 0),
        };
        let needs = Needs { size, slots: count, header: H::SIZE, trailer: T::SIZE, table, interface };
        let rings = Rings::new(memory, needs)?;
        for (number, slot) in slots.as_mut().iter_mut().enumerate() {
            let after = if number + 1 < usize::from(count) { number as u16 + 1 } else { 0 };
            *slot = Slot::free(number as u16, after);
        }
        let most = each - Self::AROUND;
        for slot in 0..count {
            Self::lay_out(&rings, &parts, slot, most, most);
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
                most,
                take: 0,
                put: 0,
                shown: 0,
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

    /// Writes what is the same for all requests of a slot with `count` buffers: the descriptors of header and trailer,
    /// and the one that refers to its table. There is room for `most` buffers.
    pub(super) fn lay_out(rings: &Rings, parts: &Parts, slot: u16, count: u16, most: u16) {
        let is_in_table = parts.are_in_tables();
        // In a table the parts in use follow each other; in columns the trailer stays where it is.
        let last = H::DESCRIPTORS + if is_in_table { count } else { most };
        if H::DESCRIPTORS == 1 {
            let next = match (count, T::DESCRIPTORS) {
                (0, 0) => None,
                (0, _) => Some(parts.link(slot, last)),
                _ => Some(parts.link(slot, 1)),
            };
            let address = rings.header_address::<H>(slot).get();
            let header = Descriptor { address, len: H::SIZE as u32, is_writable: false, next };
            rings.write_part(parts.place(slot, 0), header);
        }
        if T::DESCRIPTORS == 1 {
            let address = rings.trailer_address::<T>(slot).get();
            let trailer = Descriptor { address, len: T::SIZE as u32, is_writable: true, next: None };
            rings.write_part(parts.place(slot, last), trailer);
        }
        if is_in_table {
            rings.refer_to_table(slot, last + T::DESCRIPTORS, Self::AROUND + most);
        }
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
