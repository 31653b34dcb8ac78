//! The way of requests into a queue.
//!
//! ```text
//!   submit, submit_or     one request, checked                 \
//!                                                               admit: next free slot --> descriptors --> available ring
//!   submit_each           one after another, while there is     /      (its place is in the Entrance)
//!                         room; that is counted once
//! ```
//!
//! All of them write descriptors and ring entries only; the device sees nothing of it before
//! [`publish`](Virtqueue::publish). A request that no device accepts is handed back, and nothing of it is written.
//!
//! A loop over many requests would look up and store the queue's indices for each: whatever is written to memory that is
//! shared with the device might, as far as a compiler knows, have changed them. So they are kept in an [`Entrance`], which
//! stays in registers.

use core::mem;

use toro_core::driver::{Refusal, Refused};

use super::layout::Layout;
use super::parts::Parts;
use super::{Cell, Payload, Slot, SlotStorage, Token, Virtqueue};
use crate::ring::{Descriptor, Rings};

/// What [`Virtqueue::submit_each`] is to do next.
#[derive(Debug)]
pub enum Next<P, K> {
    /// Queue this.
    Request(P, K),
    /// Ask again.
    Nothing,
    /// Nothing more.
    End,
}

/// Where requests go in. When it is dropped, also because a caller panics, the queue knows of all that went through it.
struct Entrance<'a> {
    take: u16,
    next_available: u16,
    most: u16,
    /// The queue's `take` and `next_available`.
    home: (&'a mut u16, &'a mut u16),
}

impl Drop for Entrance<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        (*self.home.0, *self.home.1) = (self.take, self.next_available);
    }
}

/// Opens the entrance of an [`Inner`](super::Inner), whose other fields stay free to be borrowed.
macro_rules! entrance {
    ($inner:expr) => {
        Entrance {
            take: $inner.take,
            next_available: $inner.next_available,
            most: $inner.most,
            home: (&mut $inner.take, &mut $inner.next_available),
        }
    };
}

/// What [`Virtqueue::submit`] takes.
struct Request<P: Payload, K, H: Cell, T: Cell> {
    header: H::Value,
    payload: P,
    direction: P::Direction,
    trailer: T::Value,
    cookie: K,
}

impl<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>> Virtqueue<P, K, H, T, S> {
    /// Queues a request: `header` is stored in the slot's header cell, `trailer` in its trailer cell, and the
    /// payload moves into the queue. The device sees nothing before [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// [`Refused`] with payload and cookie inside: [`Refusal::Full`] while too many are in flight,
    /// [`Refusal::Invalid`] for a payload with an empty buffer, which no device accepts, with more buffers or bytes
    /// than the queue takes, or for nothing to read or write at all, and [`Refusal::Faulted`] after a fault.
    #[inline]
    pub fn submit(
        &mut self,
        header: H::Value,
        payload: P,
        direction: P::Direction,
        trailer: T::Value,
        cookie: K,
    ) -> Result<Token, Refused<(P, K)>> {
        let refused = |reason, payload, cookie| Refused { reason, request: (payload, cookie) };
        self.submit_or(header, payload, direction, trailer, cookie, refused)
    }

    /// As [`submit`](Self::submit), and `refused` makes of reason, payload and cookie what the caller says of a request
    /// that was not accepted.
    ///
    /// It becomes part of its caller: what that has found out about the payload is not asked again, and the payload
    /// moves straight to its slot. `submit` is for all places but the one where that counts.
    ///
    /// # Errors
    ///
    /// What `refused` made.
    #[inline(always)]
    pub fn submit_or<E>(
        &mut self,
        header: H::Value,
        payload: P,
        direction: P::Direction,
        trailer: T::Value,
        cookie: K,
        refused: impl FnOnce(Refusal, P, K) -> E,
    ) -> Result<Token, E> {
        let inner = &mut *self.inner;
        if inner.next_available.wrapping_sub(inner.next_used) >= inner.limit {
            return Err(refused(inner.fault.map_or(Refusal::Full, Refusal::Faulted), payload, cookie));
        }
        let mut entrance = entrance!(inner);
        let request = Request { header, payload, direction, trailer, cookie };
        match Self::admit(&mut entrance, &inner.rings, inner.parts, inner.slots.as_mut(), request) {
            Ok(slot) => Ok(Token(slot)),
            Err((payload, cookie)) => Err(refused(Refusal::Invalid, payload, cookie)),
        }
    }

    /// Queues requests without header or trailer one after another, as `next` gives them, until it says [`Next::End`] or the
    /// queue is full; `next` is not asked for what there is no room for. It is for loops over many requests: what is the
    /// same for all of them is found out once.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the first request that no device accepts, as of [`submit`](Self::submit); those before it are
    /// queued.
    #[inline(always)]
    pub fn submit_each(
        &mut self,
        direction: P::Direction,
        mut next: impl FnMut() -> Next<P, K>,
    ) -> Result<(), Refused<(P, K)>>
    where
        H: Cell<Value = ()>,
        T: Cell<Value = ()>,
    {
        let room = self.room();
        let inner = &mut *self.inner;
        let (rings, parts, slots) = (&inner.rings, inner.parts, inner.slots.as_mut());
        let mut entrance = entrance!(inner);
        let end = entrance.next_available.wrapping_add(room);
        while entrance.next_available != end {
            let (payload, cookie) = match next() {
                Next::Request(payload, cookie) => (payload, cookie),
                Next::Nothing => continue,
                Next::End => break,
            };
            let request = Request { header: (), payload, direction, trailer: (), cookie };
            if let Err(request) = Self::admit(&mut entrance, rings, parts, slots, request) {
                return Err(Refused { reason: Refusal::Invalid, request });
            }
        }
        Ok(())
    }

    /// Puts a request into the next slot; there is one. Gives back what no device accepts.
    #[inline(always)]
    fn admit(
        entrance: &mut Entrance<'_>,
        rings: &Rings,
        parts: Parts,
        slots: &mut [Slot<P, K>],
        request: Request<P, K, H, T>,
    ) -> Result<u16, (P, K)> {
        let Request { header, payload, direction, trailer, cookie } = request;
        let most = if P::IS_OPEN { entrance.most } else { P::MOST };
        let count = match payload.descriptors() {
            Some(count) if count + H::DESCRIPTORS > 0 && (!P::IS_OPEN || count <= most) => count,
            _ => return Err((payload, cookie)),
        };
        let Slot { next_free: slot, after, .. } = slots[usize::from(entrance.take)];
        entrance.take = after;
        let entry = &mut slots[usize::from(slot)];
        if P::Layout::IS_VARYING && entry.layout.changes_to(count) {
            Self::lay_out(rings, &parts, slot, count, most);
        }
        if H::DESCRIPTORS == 1 {
            rings.store_header::<H>(slot, header);
        }
        if T::DESCRIPTORS == 1 {
            rings.store_trailer::<T>(slot, trailer);
        }
        // Requests of one part have no tables, and the first place of a column is the slot's.
        let is_single = H::DESCRIPTORS + T::DESCRIPTORS == 0 && !P::IS_OPEN && P::MOST == 1;
        // In a table the parts in use follow each other; in columns the trailer stays where it is.
        let is_packed = P::Layout::IS_VARYING && parts.are_in_tables();
        let last = H::DESCRIPTORS + if is_packed { count } else { most };
        let after_payload = (T::DESCRIPTORS == 1).then(|| parts.link(slot, last));
        let mut writable = T::SIZE as u32;
        let mut part = H::DESCRIPTORS;
        let end = part + count;
        payload.each(direction, |address, len, is_writable| {
            let next = if part + 1 < end { Some(parts.link(slot, part + 1)) } else { after_payload };
            let place = if is_single { slot.into() } else { parts.place(slot, part) };
            rings.write_part(place, Descriptor { address: address.get(), len, is_writable, next });
            part += 1;
            if is_writable {
                // No request is that long: see where queues are made.
                writable += len;
            }
        });
        entry.writable = writable;
        // The slot was free and holds nothing; said in a way that needs no code to drop what it might hold.
        mem::forget(entry.request.replace((payload, cookie)));
        // The head is the slot's descriptor in the first row, with its header or, without one, the first of its payload;
        // or the one that refers to its table.
        rings.write_available(entrance.next_available, slot);
        entrance.next_available = entrance.next_available.wrapping_add(1);
        Ok(slot)
    }
}
