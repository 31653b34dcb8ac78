//! Driver side of the split virtqueue (VIRTIO 1.3 §2.7).
//!
//! # Slots
//!
//! A queue of *N* descriptors is divided into slots, each with the same number of descriptors in fixed places:
//!
//! ```text
//!   descriptors   0 .. slots     slots .. 2 slots    ...        one column per slot, one row per part
//!                 header 0..     payload 0..         trailer 0..
//!   slot 5:       [5]  ------>   [slots + 5] ----->  [2 slots + 5]
//! ```
//!
//! A chain's head is therefore its slot's number, and descriptors of headers and trailers never change. Which slot
//! is used next is decided by a private list of free slots, so that nothing is ever looked up in memory that the
//! device can write.
//!
//! # A request's life
//!
//! ```text
//!   Free --submit--> Submitted --publish--> InFlight --poll, drain--> Free
//!                                              |  fault
//!                                              +--------> Lost --retire after a reset--> handed back
//! ```
//!
//! # Ordering
//!
//! 1. *Descriptors and ring entry before the available index* (§2.7.13.3): the index is stored with release.
//! 2. *The available index before the look at the device's suppression* (§2.7.13.4): otherwise both sides can miss
//!    each other, the device going to sleep while the driver believes it awake. Release and acquire do not order a
//!    store before a later load; both accesses are sequentially consistent, which costs one `xchg` on x86.
//! 3. *Enabling interrupts before the last look at the used index* (§2.7.14), in [`Virtqueue::arm`]: the same
//!    pattern with the roles swapped.
//!
//! And the used index is loaded with acquire before elements and buffers are looked at.
//!
//! # Hostile devices
//!
//! A used element is believed only if it names a slot that is in flight, and the used index only as far as there
//! is something in flight. Anything else is a [`DeviceFault`]: the queue then accepts and completes nothing until
//! it is retired. The length of a used element is clamped to what the device could write.

mod notify;
mod payload;
mod slot;

use core::fmt;
use core::mem::{self, ManuallyDrop};
use core::sync::atomic::Ordering;

pub use payload::{Cell, Chain, Direction, Payload};
pub use slot::{Slot, SlotStorage, Slots};
use toro_core::Dma;
use toro_core::driver::{Armed, DeviceFault, Refusal, Refused};

use self::notify::need_event;
use crate::features::FeatureBits;
use crate::init::{DeviceTag, InitError, Quiesced};
use crate::ring::{Descriptor, Rings, SUPPRESS};
use crate::transport::{Doorbell, QueueIndex, RingAddresses};

/// Whether the device asked to hear about what was just published.
#[must_use = "a needed notification that is not sent stalls the queue"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// It did, or may have: ring its doorbell.
    Needed,
    /// It looks by itself.
    Suppressed,
}

/// Names a request in flight: its slot, unique among those in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u16);

/// A finished request.
#[derive(Debug)]
pub struct Done<P, K, V> {
    /// What was submitted to be read or written, back in the caller's hands.
    pub payload: P,
    /// What the caller attached to it.
    pub cookie: K,
    /// What `submit` returned for it.
    pub token: Token,
    /// How many bytes the device says it wrote, never more than it could. Some devices say too little.
    pub written: u32,
    /// What the trailer cell holds. Written by the device or not: it starts as the caller set it.
    pub trailer: V,
}

/// A split virtqueue whose requests have a payload `P` and a cookie `K`, and around the payload a header `H` and a
/// trailer `T` in queue memory, all of which may be nothing.
///
/// Dropping it leaks its memory and all that is in flight, because the device may still use them;
/// [`retire`](Self::retire) gives everything back.
pub struct Virtqueue<P: Payload, K, H: Cell = (), T: Cell = (), S: SlotStorage<P, K> = Slots<P, K>> {
    inner: ManuallyDrop<Inner<P, K, H, T, S>>,
}

struct Inner<P, K, H, T, S> {
    rings: Rings,
    slots: S,
    /// Where in the list of free slots the next is taken, and the next is put.
    take: u16,
    put: u16,
    /// How many slots there are, and so how many descriptors in a row of the table.
    row: u16,
    /// How many requests may be in flight: all slots, or 0 after a fault.
    limit: u16,
    /// Free-running indices, as in the rings. Invariant: `next_used <= published <= next_available`, and they are
    /// at most `limit` apart (modulo 65,536).
    next_available: u16,
    published: u16,
    next_used: u16,
    /// The used index as last read. Invariant: between `next_used` and `published`.
    seen_used: u16,
    has_event_idx: bool,
    /// Whether interrupts are enabled by flag (without EVENT_IDX).
    is_armed: bool,
    fault: Option<DeviceFault>,
    index: QueueIndex,
    doorbell: Option<Doorbell>,
    tag: DeviceTag,
    cells: core::marker::PhantomData<(P, K, H, T)>,
}

impl<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>> Virtqueue<P, K, H, T, S> {
    /// Descriptors per slot.
    pub const DESCRIPTORS: u16 = H::DESCRIPTORS + P::MOST + T::DESCRIPTORS;

    /// How many slots fit into a queue of `size` descriptors.
    pub const fn slots_for(size: u16) -> u16 {
        size / Self::DESCRIPTORS
    }

    /// Lays out a queue of `size` descriptors. The storage has at least [`slots_for`](Self::slots_for)`(size)`
    /// slots.
    pub(crate) fn with_storage(
        index: QueueIndex,
        size: u16,
        memory: Dma,
        features: FeatureBits,
        tag: DeviceTag,
        mut slots: S,
    ) -> Result<Self, InitError> {
        let limit = Self::slots_for(size);
        if limit == 0 || slots.as_ref().len() < usize::from(limit) {
            return Err(InitError::QueueTooSmall(index));
        }
        let rings = Rings::new(memory, size, limit, H::SIZE, T::SIZE)?;
        for (number, slot) in slots.as_mut().iter_mut().enumerate() {
            let after = if number + 1 < usize::from(limit) { number as u16 + 1 } else { 0 };
            *slot = Slot::free(number as u16, after);
        }
        for slot in 0..limit {
            if H::DESCRIPTORS == 1 {
                let address = rings.header_address::<H>(slot).get();
                let next = Some(slot + limit);
                rings.write_descriptor(slot, Descriptor { address, len: H::SIZE as u32, is_writable: false, next });
            }
            if T::DESCRIPTORS == 1 {
                let address = rings.trailer_address::<T>(slot).get();
                let number = slot + limit * (H::DESCRIPTORS + P::MOST);
                let trailer = Descriptor { address, len: T::SIZE as u32, is_writable: true, next: None };
                rings.write_descriptor(number, trailer);
            }
        }
        let has_event_idx = features.contains(FeatureBits::EVENT_IDX);
        if !has_event_idx {
            rings.available_flags().store(SUPPRESS.to_le(), Ordering::Relaxed);
        }
        Ok(Self {
            inner: ManuallyDrop::new(Inner {
                rings,
                slots,
                take: 0,
                put: 0,
                row: limit,
                limit,
                next_available: 0,
                published: 0,
                next_used: 0,
                seen_used: 0,
                has_event_idx,
                is_armed: false,
                fault: None,
                index,
                doorbell: None,
                tag,
                cells: core::marker::PhantomData,
            }),
        })
    }

    /// Where the rings are.
    pub(crate) fn addresses(&self) -> RingAddresses {
        self.inner.rings.addresses()
    }

    pub(crate) fn set_doorbell(&mut self, doorbell: Doorbell) {
        self.inner.doorbell = Some(doorbell);
    }

    /// Frees a queue that the device was never told about.
    pub(crate) fn discard(self) {
        drop(ManuallyDrop::into_inner(self.inner));
    }

    /// How its device is notified; `None` only before the device knows the queue.
    #[inline]
    pub fn doorbell(&self) -> Option<Doorbell> {
        self.inner.doorbell
    }

    /// How many requests can be in flight at once.
    pub fn capacity(&self) -> u16 {
        self.inner.row
    }

    /// How many requests are in the queue, published or not, finished but not taken out included.
    #[inline]
    pub fn len(&self) -> u16 {
        self.inner.next_available.wrapping_sub(self.inner.next_used)
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many more can be submitted now; none after a fault.
    #[inline]
    pub fn room(&self) -> u16 {
        self.inner.limit.saturating_sub(self.len())
    }

    /// The fault that poisoned it, if one did.
    pub fn fault(&self) -> Option<DeviceFault> {
        self.inner.fault
    }

    /// Queues a request: `header` is stored in the slot's header cell, `trailer` in its trailer cell, and the
    /// payload moves into the queue. The device sees nothing before [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// [`Refused`] with payload and cookie inside: [`Refusal::Full`] while too many are in flight,
    /// [`Refusal::Invalid`] for a payload with an empty buffer, which no device accepts, or for nothing to read or
    /// write at all, and [`Refusal::Faulted`] after a fault.
    #[inline]
    pub fn submit(
        &mut self,
        header: H::Value,
        payload: P,
        direction: P::Direction,
        trailer: T::Value,
        cookie: K,
    ) -> Result<Token, Refused<(P, K)>> {
        let inner = &mut *self.inner;
        if inner.next_available.wrapping_sub(inner.next_used) >= inner.limit {
            let reason = inner.fault.map_or(Refusal::Full, Refusal::Faulted);
            return Err(Refused { reason, request: (payload, cookie) });
        }
        let count = match payload.descriptors() {
            Some(count) if count + H::DESCRIPTORS > 0 => count,
            _ => return Err(Refused { reason: Refusal::Invalid, request: (payload, cookie) }),
        };
        let slots = inner.slots.as_mut();
        let Slot { next_free: slot, after, .. } = slots[usize::from(inner.take)];
        inner.take = after;
        let row = inner.row;
        let first = slot + row * H::DESCRIPTORS;
        let trailer_number = slot + row * (H::DESCRIPTORS + P::MOST);
        let after_payload = (T::DESCRIPTORS == 1).then_some(trailer_number);
        if H::DESCRIPTORS == 1 {
            if P::MOST > 0 && P::IS_VARIABLE {
                let address = inner.rings.header_address::<H>(slot).get();
                let next = if count > 0 { Some(first) } else { after_payload };
                let descriptor = Descriptor { address, len: H::SIZE as u32, is_writable: false, next };
                inner.rings.write_descriptor(slot, descriptor);
            }
            inner.rings.store_header::<H>(slot, header);
        }
        if T::DESCRIPTORS == 1 {
            inner.rings.store_trailer::<T>(slot, trailer);
        }
        let mut writable = T::SIZE as u32;
        let mut number = first;
        let mut left = count;
        payload.each(direction, |address, len, is_writable| {
            left -= 1;
            let next = if left > 0 { Some(number + row) } else { after_payload };
            inner.rings.write_descriptor(number, Descriptor { address: address.get(), len, is_writable, next });
            number += row;
            if is_writable {
                writable = writable.saturating_add(len);
            }
        });
        // The head is the slot's first descriptor in use; without a header that is its first payload descriptor,
        // which has the slot's number.
        inner.rings.write_available(inner.next_available, slot);
        inner.next_available = inner.next_available.wrapping_add(1);
        let entry = &mut slots[usize::from(slot)];
        entry.writable = writable;
        // The slot was free and holds nothing; said in a way that needs no code to drop what it might hold.
        mem::forget(entry.request.replace((payload, cookie)));
        Ok(Token(slot))
    }

    /// Shows the device all that was submitted since the last time, and says whether it wants to be notified.
    #[inline]
    pub fn publish(&mut self) -> Notify {
        let inner = &mut *self.inner;
        let (old, new) = (inner.published, inner.next_available);
        if old == new {
            return Notify::Suppressed;
        }
        inner.published = new;
        // Ordering 1 and 2 of the module: after the descriptors, and before the load below. Pairs with the
        // device's load of the available index.
        inner.rings.available_index().store(new.to_le(), Ordering::SeqCst);
        let is_needed = if inner.has_event_idx {
            need_event(u16::from_le(inner.rings.avail_event().load(Ordering::SeqCst)), new, old)
        } else {
            u16::from_le(inner.rings.used_flags().load(Ordering::SeqCst)) & SUPPRESS == 0
        };
        if is_needed { Notify::Needed } else { Notify::Suppressed }
    }

    /// Asks for an interrupt at the next completion, then looks once more.
    ///
    /// Only after [`Armed::Idle`] may the caller sleep.
    #[inline]
    pub fn arm(&mut self) -> Armed {
        let inner = &mut *self.inner;
        // Ordering 3 of the module; pairs with the device's store of the used index and its look at our wish.
        if inner.has_event_idx {
            inner.rings.used_event().store(inner.next_used.to_le(), Ordering::SeqCst);
        } else {
            inner.rings.available_flags().store(0, Ordering::SeqCst);
            inner.is_armed = true;
        }
        let used = u16::from_le(inner.rings.used_index().load(Ordering::SeqCst));
        if used == inner.next_used { Armed::Idle } else { Armed::WorkPending }
    }

    /// Reads the used index, once, and believes it as far as requests are in flight.
    #[inline]
    fn look(&mut self) -> Result<u16, DeviceFault> {
        let inner = &mut *self.inner;
        if let Some(fault) = inner.fault {
            return Err(fault);
        }
        if inner.is_armed {
            inner.is_armed = false;
            inner.rings.available_flags().store(SUPPRESS.to_le(), Ordering::Relaxed);
        }
        // Acquire: pairs with the device's release of the used index, before elements and buffers are read.
        let used = u16::from_le(inner.rings.used_index().load(Ordering::Acquire));
        let advance = used.wrapping_sub(inner.next_used);
        let in_flight = inner.published.wrapping_sub(inner.next_used);
        if advance > in_flight {
            return Err(self.poison(DeviceFault::UsedIndexJump { advance, in_flight }));
        }
        inner.seen_used = used;
        Ok(advance)
    }

    #[cold]
    fn poison(&mut self, fault: DeviceFault) -> DeviceFault {
        self.inner.limit = 0;
        self.inner.fault = Some(fault);
        fault
    }

    /// The fault of a used element that names nothing in flight.
    #[cold]
    fn refuse(&mut self, id: u32) -> DeviceFault {
        self.poison(match id < u32::from(self.inner.row) {
            true => DeviceFault::UsedIdNotInFlight { id },
            false => DeviceFault::UsedIdOutOfRange { id },
        })
    }

    /// Takes the element at `next_used` out. There is one: `seen_used` is ahead.
    #[inline]
    fn take_next(&mut self) -> Result<Done<P, K, T::Value>, DeviceFault> {
        let inner = &mut *self.inner;
        let (id, len) = inner.rings.used_element(inner.next_used);
        let slots = inner.slots.as_mut();
        // As 32 bits: an id that is too large must not be cut down to a valid one. What storage there is beyond the
        // slots of the queue is never in flight.
        let Some((entry, (payload, cookie))) =
            slots.get_mut(id as usize).and_then(|entry| entry.request.take().map(|request| (entry, request)))
        else {
            return Err(self.refuse(id));
        };
        let slot = id as u16;
        let written = len.min(entry.writable);
        let place = &mut slots[usize::from(inner.put)];
        place.next_free = slot;
        inner.put = place.after;
        inner.next_used = inner.next_used.wrapping_add(1);
        let trailer = inner.rings.load_trailer::<T>(slot);
        Ok(Done { payload, cookie, token: Token(slot), written, trailer })
    }

    /// Takes the next finished request out, if there is one.
    ///
    /// # Errors
    ///
    /// The device broke the protocol, now or earlier.
    #[inline]
    pub fn poll(&mut self) -> Result<Option<Done<P, K, T::Value>>, DeviceFault> {
        if self.inner.seen_used == self.inner.next_used && self.look()? == 0 {
            return Ok(None);
        }
        if let Some(fault) = self.inner.fault {
            return Err(fault);
        }
        self.take_next().map(Some)
    }

    /// Takes all finished requests out, reading the used index once; returns how many there were.
    ///
    /// # Errors
    ///
    /// The device broke the protocol; what was taken out before stays taken out.
    #[inline]
    pub fn drain(&mut self, mut each: impl FnMut(Done<P, K, T::Value>)) -> Result<u16, DeviceFault> {
        let finished = self.look()?;
        for _ in 0..finished {
            each(self.take_next()?);
        }
        Ok(finished)
    }

    /// Ends the queue: frees its memory and hands every unfinished request back.
    ///
    /// # Errors
    ///
    /// Gives the queue back if the proof is for another device.
    #[allow(clippy::result_large_err)]
    pub fn retire(self, proof: &Quiesced, mut unfinished: impl FnMut(P, K)) -> Result<(), Self> {
        if !proof.is_for(self.inner.tag) {
            return Err(self);
        }
        let mut inner = ManuallyDrop::into_inner(self.inner);
        for slot in inner.slots.as_mut() {
            if let Some((payload, cookie)) = slot.request.take() {
                unfinished(payload, cookie);
            }
        }
        Ok(())
    }
}

impl<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>> fmt::Debug for Virtqueue<P, K, H, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        write!(f, "Virtqueue({}, {} of {} in use", inner.index.0, self.len(), self.capacity())?;
        if let Some(fault) = inner.fault { write!(f, ", {fault})") } else { f.write_str(")") }
    }
}
