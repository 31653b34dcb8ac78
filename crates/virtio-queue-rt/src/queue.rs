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
//! Where INDIRECT_DESC was negotiated and requests have more than one part, each slot has a table of its own instead,
//! made once with the queue, and takes a single descriptor, so that there are *N* slots:
//!
//! ```text
//!   descriptors   0 .. N                             tables
//!   slot 5:       [5] INDIRECT ------------------->  [5 x 4 + 0] header -> [+1] payload -> [+2] trailer
//! ```
//!
//! Either way a chain's head is its slot's number, and the descriptors of headers, and mostly of trailers, never change.
//! Which slot is used next is decided by a private list of free slots, so that nothing is ever looked up in memory that
//! the device can write.
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
//! 1. *Descriptors and ring entry before the available index* (§2.7.13.3), in [`Virtqueue::publish`].
//! 2. *The available index before the look at the device's wish to be notified* (§2.7.13.4), there too.
//! 3. *The wish for interrupts before the last look at the used index* (§2.7.14), in [`Virtqueue::arm`].
//! 4. *The used index before used elements and buffers*, in [`Virtqueue::poll`] and [`Virtqueue::drain`].
//!
//! The second and the third are a store before a load, which release and acquire do not order: without a full fence
//! both sides can fall asleep, each believing the other awake.
//!
//! # In order
//!
//! Where IN_ORDER was negotiated, one used element may stand for a batch: everything up to the request that it names,
//! which alone has a length. The others were used in full (§2.7.9).
//!
//! # Hostile devices
//!
//! A used element is believed only if it names a slot that is in flight, and the used index only as far as there
//! is something in flight. Anything else is a [`DeviceFault`]: the queue then accepts and completes nothing until
//! it is retired. The length of a used element is clamped to what the device could write.

mod layout;
mod parts;
mod payload;
mod setup;
mod slot;
mod submit;

use core::fmt;
use core::mem::ManuallyDrop;

pub use payload::{Cell, Chain, Direction, Divided, MOST_SEGMENTS, Payload};
pub(crate) use setup::Shape;
pub use setup::Wanted;
pub use slot::{Slot, SlotStorage, Slots};
pub use submit::Next;
use toro_core::driver::{Armed, DeviceFault};

use self::parts::Parts;
pub use crate::handshake::Notify;
use crate::init::{DeviceTag, Quiesced};
use crate::ring::Rings;
use crate::transport::{Doorbell, QueueIndex};

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
    /// Whether the device claims to have written more than it could. `written` is then all that it could.
    pub is_overlong: bool,
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
    parts: Parts,
    /// How many buffers a request may have.
    most: u16,
    /// Where in the list of free slots the next is taken, and the next is put.
    take: u16,
    put: u16,
    /// What `take` was when requests were last published. What was taken out from there on has not been shown to the device,
    /// and is still in the list: nothing is put there before it is published and finished.
    shown: u16,
    /// How many slots there are.
    count: u16,
    /// How many requests may be in flight: all slots, or 0 after a fault.
    limit: u16,
    /// Free-running indices, as in the rings. Invariant: `next_used <= published <= next_available`, and they are
    /// at most `count` apart (modulo 65,536).
    next_available: u16,
    published: u16,
    next_used: u16,
    /// The used index as last read. Invariant: between `next_used` and `published`.
    seen_used: u16,
    has_event_idx: bool,
    is_in_order: bool,
    /// Whether interrupts are enabled by flag (without EVENT_IDX).
    is_armed: bool,
    /// In order: how many requests of the batch that is being taken out are left, and the length of the last.
    /// Invariant: `batch_left <= seen_used - next_used`.
    batch_left: u16,
    batch_len: u32,
    fault: Option<DeviceFault>,
    index: QueueIndex,
    doorbell: Option<Doorbell>,
    tag: DeviceTag,
    cells: core::marker::PhantomData<(P, K, H, T)>,
}

/// Where finished requests come out: [`Inner`]'s fields of these names, so that a loop can keep them.
struct Exit {
    next_used: u16,
    put: u16,
    /// Whether elements are to be looked at more closely.
    is_peculiar: bool,
    /// But not those that complete the next request alone: all are in order, and all are published.
    is_sequence: bool,
}

impl<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>> Virtqueue<P, K, H, T, S> {
    /// Its number.
    pub fn index(&self) -> QueueIndex {
        self.inner.index
    }

    /// The available index as last published: how many requests there have been, modulo 65,536.
    #[inline]
    pub(crate) fn available_index(&self) -> u16 {
        self.inner.published
    }

    /// How its device is notified; `None` only before the device knows the queue.
    #[inline]
    pub fn doorbell(&self) -> Option<Doorbell> {
        self.inner.doorbell
    }

    /// How many requests can be in flight at once.
    pub fn capacity(&self) -> u16 {
        self.inner.count
    }

    /// How many buffers the payload of a request can have.
    pub fn segments(&self) -> u16 {
        self.inner.most
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

    /// Shows the device all that was submitted since the last time, and says whether it wants to be notified.
    #[inline]
    pub fn publish(&mut self) -> Notify {
        let inner = &mut *self.inner;
        let (old, new) = (inner.published, inner.next_available);
        if old == new {
            return Notify::Suppressed;
        }
        inner.published = new;
        inner.shown = inner.take;
        inner.rings.handshake(inner.has_event_idx).publish(old, new)
    }

    /// Asks for an interrupt at the next completion, then looks once more.
    ///
    /// Only after [`Armed::Idle`] may the caller sleep.
    #[inline]
    pub fn arm(&mut self) -> Armed {
        let inner = &mut *self.inner;
        let handshake = inner.rings.handshake(inner.has_event_idx);
        let used = if inner.has_event_idx {
            handshake.arm_event(inner.rings.used_event(), inner.next_used)
        } else {
            inner.is_armed = true;
            handshake.arm_flag()
        };
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
            inner.rings.handshake(inner.has_event_idx).disarm_flag();
        }
        let used = inner.rings.handshake(inner.has_event_idx).used();
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
        let inner = &mut *self.inner;
        inner.limit = 0;
        inner.fault = Some(fault);
        // So that whoever asks for the next looks first, and finds the fault.
        (inner.seen_used, inner.batch_left) = (inner.next_used, 0);
        fault
    }

    /// The fault of a used element that names nothing in flight.
    #[cold]
    fn refuse(&mut self, id: u32) -> DeviceFault {
        self.poison(match id < u32::from(self.inner.count) {
            true => DeviceFault::UsedIdNotInFlight { id },
            false => DeviceFault::UsedIdOutOfRange { id },
        })
    }

    /// Whether the request in a slot has not been published yet. Its entry in the ring stands, so the slot may not be given
    /// away, whatever the device says about a request that it cannot know.
    #[cold]
    fn is_unpublished(&self, id: u32) -> bool {
        let inner = &*self.inner;
        let slots = inner.slots.as_ref();
        let unpublished = inner.next_available.wrapping_sub(inner.published);
        let mut place = inner.shown;
        (0..unpublished).any(|_| {
            let Slot { next_free: slot, after, .. } = slots[usize::from(place)];
            place = after;
            u32::from(slot) == id
        })
    }

    /// Takes the element at `next_used` out. There is one: `seen_used` is ahead.
    #[inline]
    fn take_next(&mut self) -> Result<Done<P, K, T::Value>, DeviceFault> {
        let mut exit = self.exit();
        self.take_here(&mut exit)
    }

    /// Where requests are taken out now.
    #[inline(always)]
    fn exit(&self) -> Exit {
        let Inner { next_used, put, published, next_available, is_in_order, .. } = *self.inner;
        let has_unpublished = published != next_available;
        let is_sequence = is_in_order && !has_unpublished;
        Exit { next_used, put, is_peculiar: is_in_order || has_unpublished, is_sequence }
    }

    /// As `take_next`, by indices that the caller keeps from one element to the next.
    #[inline(always)]
    fn take_here(&mut self, exit: &mut Exit) -> Result<Done<P, K, T::Value>, DeviceFault> {
        let (mut id, mut len) = self.inner.rings.used_element(exit.next_used);
        // In order, most have an element of their own.
        if exit.is_peculiar && !(exit.is_sequence && self.is_batch_of_one(exit.next_used, id)) {
            (id, len) = self.peculiar_element()?;
        }
        let inner = &mut *self.inner;
        let slots = inner.slots.as_mut();
        // As 32 bits: an id that is too large must not be cut down to a valid one. What storage there is beyond the
        // slots of the queue is never in flight.
        let Some((entry, (payload, cookie))) =
            slots.get_mut(id as usize).and_then(|entry| entry.request.take().map(|request| (entry, request)))
        else {
            return Err(self.refuse(id));
        };
        let slot = id as u16;
        let (is_overlong, written) = (len > entry.writable, len.min(entry.writable));
        let place = &mut slots[usize::from(exit.put)];
        place.next_free = slot;
        exit.put = place.after;
        exit.next_used = exit.next_used.wrapping_add(1);
        // At once: the caller's code runs before the next one.
        (inner.put, inner.next_used) = (exit.put, exit.next_used);
        let trailer = inner.rings.load_trailer::<T>(slot);
        Ok(Done { payload, cookie, token: Token(slot), written, is_overlong, trailer })
    }

    /// Whether an element of a queue in order completes the one request that is next.
    #[inline(always)]
    fn is_batch_of_one(&self, next_used: u16, id: u32) -> bool {
        self.inner.batch_left == 0 && id == u32::from(next_used & (self.inner.count - 1))
    }

    /// The id and the length of what finished next, where requests finish in order, or some have not been published.
    #[inline(never)]
    fn peculiar_element(&mut self) -> Result<(u32, u32), DeviceFault> {
        let (id, len) = match self.inner.is_in_order {
            false => self.inner.rings.used_element(self.inner.next_used),
            true => self.next_in_order()?,
        };
        if self.inner.published != self.inner.next_available && self.is_unpublished(id) {
            return Err(self.refuse(id));
        }
        Ok((id, len))
    }

    /// The id and the length of what finished next in a queue whose requests finish in order: there a slot has the
    /// number of its request, modulo the size of the queue.
    #[inline]
    fn next_in_order(&mut self) -> Result<(u32, u32), DeviceFault> {
        let inner = &mut *self.inner;
        let mask = inner.count - 1;
        let slot = inner.next_used & mask;
        if inner.batch_left == 0 {
            let (id, len) = inner.rings.used_element(inner.next_used);
            if id > u32::from(mask) {
                return Err(self.refuse(id));
            }
            let skipped = (id as u16).wrapping_sub(slot) & mask;
            if skipped >= inner.seen_used.wrapping_sub(inner.next_used) {
                return Err(self.poison(DeviceFault::UsedIdOutOfOrder { id }));
            }
            inner.batch_left = skipped + 1;
            inner.batch_len = len;
        }
        inner.batch_left -= 1;
        // What has no element of its own was used in full (§2.7.9).
        let len = match inner.batch_left {
            0 => inner.batch_len,
            _ => inner.slots.as_ref()[usize::from(slot)].writable,
        };
        Ok((slot.into(), len))
    }

    /// Whether [`poll`](Self::poll) and [`drain`](Self::drain) may find something, or have a fault to tell. It is less than
    /// either of them does, for those who mostly look in vain.
    #[inline]
    pub fn has_news(&self) -> bool {
        let inner = &*self.inner;
        // A queue that is armed by flag is disarmed by a real look.
        inner.is_armed
            || inner.fault.is_some()
            || inner.rings.handshake(inner.has_event_idx).used() != inner.next_used
            || inner.seen_used != inner.next_used
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
        self.take_next().map(Some)
    }

    /// Takes all finished requests out, reading the used index once; returns how many there were.
    ///
    /// # Errors
    ///
    /// The device broke the protocol; what was taken out before stays taken out.
    #[inline]
    pub fn drain(&mut self, each: impl FnMut(Done<P, K, T::Value>)) -> Result<u16, DeviceFault> {
        self.drain_up_to(u16::MAX, each)
    }

    /// As [`drain`](Self::drain), but takes at most `most` out.
    ///
    /// It becomes part of its caller: what is found out about a request stays in registers. It is for the loops where that
    /// counts.
    ///
    /// # Errors
    ///
    /// As `drain`.
    #[inline(always)]
    pub fn drain_up_to(&mut self, most: u16, mut each: impl FnMut(Done<P, K, T::Value>)) -> Result<u16, DeviceFault> {
        let finished = self.look()?.min(most);
        let mut exit = self.exit();
        for _ in 0..finished {
            each(self.take_here(&mut exit)?);
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
        self.recover(proof, |_, payload, cookie| unfinished(payload, cookie)).map(|_| ())
    }

    /// As [`retire`](Self::retire), and says which request each is, and returns the storage of the slots for another
    /// queue.
    ///
    /// # Errors
    ///
    /// As `retire`.
    #[allow(clippy::result_large_err)]
    pub fn recover(self, proof: &Quiesced, unfinished: impl FnMut(Token, P, K)) -> Result<S, Self> {
        if !proof.is_for(self.inner.tag) {
            return Err(self);
        }
        Ok(self.free(unfinished))
    }

    /// Frees everything but the slots. The device does not use the queue any more.
    pub(crate) fn free(self, mut unfinished: impl FnMut(Token, P, K)) -> S {
        let Inner { mut slots, .. } = ManuallyDrop::into_inner(self.inner);
        for (number, slot) in slots.as_mut().iter_mut().enumerate() {
            if let Some((payload, cookie)) = slot.request.take() {
                // There are no more than descriptors, and those have 16-bit numbers.
                unfinished(Token(number as u16), payload, cookie);
            }
        }
        slots
    }
}

impl<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>> fmt::Debug for Virtqueue<P, K, H, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.inner;
        write!(f, "Virtqueue({}, {} of {} in use", inner.index.0, self.len(), self.capacity())?;
        if let Some(fault) = inner.fault { write!(f, ", {fault})") } else { f.write_str(")") }
    }
}
