//! A bounded ring between one producer and one consumer.
//!
//! ```text
//!                 head (the consumer's)      tail (the producer's)
//!                   v                          v
//!   slots   | free  | full  | full  | full   | free  | ...      slot = index & (size - 1)
//!
//!   producer: tail, head as last seen          consumer: head, tail as last seen
//! ```
//!
//! Both indices count up for ever and wrap with the machine word. The array has the next power of two of slots, so that an index
//! becomes a slot by a mask; but exactly as many elements fit as were asked for. Everything is allocated at the start.
//!
//! Each half keeps its own index, and what it has last seen of the other one's: only a ring that looks full, or empty, asks
//! the other core's cache line. Head and tail lie 128 bytes apart, since processors fetch lines in pairs.
//!
//! # Ownership
//!
//! A slot from `head` up to `tail` holds an element and is the consumer's; the others hold nothing and are the producer's. Each
//! half moves its own index only, and thereby gives one slot away after the other. What is left when both halves are gone
//! is dropped by the last of them.
//!
//! # Ordering
//!
//! The producer releases `tail` after it has written a slot, and the consumer acquires it before it reads; the consumer releases
//! `head` after it has read a slot, and the producer acquires it before it writes anew. A half that goes away releases
//! `is_closed`: who sees that has seen everything before it. So a consumer that is told "closed" and *afterwards* finds
//! nothing has had everything.
//!
//! Nothing here wakes a core that sleeps. A push is a store, not an exchange: it goes with `Doorbell::ring`, which has a fence.

use alloc::boxed::Box;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::atomic::{Arc, AtomicBool, AtomicUsize, Ordering};
use crate::cell::UnsafeCell;

/// Something with two cache lines to itself.
#[repr(align(128))]
struct Line<T>(T);

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

/// What both halves reach.
struct Shared<T> {
    /// Moved by the consumer alone. Slots from here up to `tail` hold elements.
    head: Line<AtomicUsize>,
    /// Moved by the producer alone. Never more than the capacity ahead of `head`.
    tail: Line<AtomicUsize>,
    /// Whether one of the halves is gone.
    is_closed: AtomicBool,
    /// A power of two of them. Which half may touch which is said in the module.
    slots: Box<[Slot<T>]>,
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Relaxed: whoever drops the last reference has acquired what the other half did.
        let tail = self.tail.0.load(Ordering::Relaxed);
        let mut head = self.head.0.load(Ordering::Relaxed);
        while head != tail {
            let slot = &self.slots[head & (self.slots.len() - 1)];
            head = head.wrapping_add(1);
            // SAFETY: it holds an element, being between head and tail, and is dropped once; both halves are gone.
            slot.with_mut(|slot| unsafe { slot.cast::<T>().drop_in_place() });
        }
    }
}

/// A ring that holds up to `capacity` elements, as its two halves. It allocates here and never again: an array of
/// `capacity.next_power_of_two()` slots.
///
/// # Panics
///
/// If `capacity` is zero, or more than half of what a `usize` counts.
pub fn channel<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a ring has room for something");
    let size = capacity.checked_next_power_of_two().expect("a ring has no more slots than there are indices");
    let ring = Arc::new(Shared {
        head: Line(AtomicUsize::new(0)),
        tail: Line(AtomicUsize::new(0)),
        is_closed: AtomicBool::new(false),
        slots: (0..size).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let slots = NonNull::from(&*ring.slots).cast();
    let producer = Producer { slots, mask: size - 1, capacity, tail: 0, head_seen: 0, ring: ring.clone() };
    (producer, Consumer { slots, mask: size - 1, head: 0, tail_seen: 0, ring })
}

/// The half that puts elements in.
pub struct Producer<T> {
    /// Those of `ring`, one pointer nearer.
    slots: NonNull<Slot<T>>,
    /// One less than the number of slots.
    mask: usize,
    capacity: usize,
    /// `ring.tail`.
    tail: usize,
    /// Where `ring.head` was when last looked at. It moves towards `tail` only, so that there is at least so much room.
    head_seen: usize,
    ring: Arc<Shared<T>>,
}

// SAFETY: it moves elements to the thread of the consumer, which `T` permits. There is one producer, wherever it is.
unsafe impl<T: Send> Send for Producer<T> {}

impl<T> Producer<T> {
    /// Puts an element in, unless the ring is full.
    ///
    /// It does not ask whether the consumer is still there: what nobody takes any more is dropped with the ring.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the element back.
    #[inline]
    pub fn push(&mut self, element: T) -> Result<(), Full<T>> {
        if self.tail.wrapping_sub(self.head_seen) == self.capacity {
            // Acquire: pairs with the store in `pop`. The elements before are out of their slots.
            self.head_seen = self.ring.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == self.capacity {
                return Err(Full(element));
            }
        }
        // SAFETY: the mask keeps it within the array, which lives as long as `ring`.
        let slot = unsafe { self.slots.add(self.tail & self.mask) };
        // SAFETY: as above; slots are only shared with the other half, as the cells that they are.
        let slot = unsafe { slot.as_ref() };
        // SAFETY: less than `capacity` slots are full, so this one is not, and the producer's alone.
        slot.with_mut(|slot| unsafe { slot.write(MaybeUninit::new(element)) });
        self.tail = self.tail.wrapping_add(1);
        // Release: pairs with the load in `pop`. The element is in its slot.
        self.ring.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }

    /// How many elements can be pushed now. More room may come at any time, and none goes but by a push.
    pub fn room(&self) -> usize {
        self.capacity - self.tail.wrapping_sub(self.ring.head.0.load(Ordering::Relaxed))
    }

    /// How many elements fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether the consumer is gone, so that nobody takes what is pushed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed.load(Ordering::Acquire)
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        // Release: pairs with `Consumer::is_closed`. All that was pushed is there.
        self.ring.is_closed.store(true, Ordering::Release);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Producer").field("room", &self.room()).finish_non_exhaustive()
    }
}

/// The half that takes elements out.
pub struct Consumer<T> {
    /// Those of `ring`, one pointer nearer.
    slots: NonNull<Slot<T>>,
    /// One less than the number of slots.
    mask: usize,
    /// `ring.head`.
    head: usize,
    /// Where `ring.tail` was when last looked at. It moves away from `head` only, so that at least so much is in.
    tail_seen: usize,
    ring: Arc<Shared<T>>,
}

// SAFETY: it moves elements from the thread of the producer, which `T` permits. There is one consumer, wherever it is.
unsafe impl<T: Send> Send for Consumer<T> {}

impl<T> Consumer<T> {
    /// Takes the element that was pushed first, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail_seen {
            // Acquire: pairs with the store in `push`. The elements before are in their slots.
            self.tail_seen = self.ring.tail.0.load(Ordering::Acquire);
            if self.head == self.tail_seen {
                return None;
            }
        }
        // SAFETY: the mask keeps it within the array, which lives as long as `ring`.
        let slot = unsafe { self.slots.add(self.head & self.mask) };
        // SAFETY: as above; slots are only shared with the other half, as the cells that they are.
        let slot = unsafe { slot.as_ref() };
        // SAFETY: between head and tail, so it holds an element and is the consumer's alone; head moves on below, so that it is
        // read once.
        let element = slot.with(|slot| unsafe { slot.cast::<T>().read() });
        self.head = self.head.wrapping_add(1);
        // Release: pairs with the load in `push`. The element is out of its slot.
        self.ring.head.0.store(self.head, Ordering::Release);
        Some(element)
    }

    /// How many elements can be taken now. More may come at any time, and none goes but by a pop.
    pub fn len(&self) -> usize {
        self.ring.tail.0.load(Ordering::Relaxed).wrapping_sub(self.head)
    }

    /// Whether there is nothing to take, as far as this core can see.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the producer is gone. If so, and if [`pop`](Self::pop) finds nothing *after* that, nothing will come any more.
    #[inline]
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with the producer's drop. All that it pushed is there.
        self.ring.is_closed.load(Ordering::Acquire)
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // Release: pairs with `Producer::is_closed`. What the consumer did before is there.
        self.ring.is_closed.store(true, Ordering::Release);
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Consumer").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A ring had no room for this element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the ring is full")
    }
}

impl<T> core::error::Error for Full<T> {}
