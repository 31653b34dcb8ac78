//! The device, written from the specification, with the weakest accesses that it allows.
//!
//! It shares nothing with the driver but the ring: its indices, its decision and its fences are its own.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::fence;

use crate::ring::{Ring, SUPPRESS, Used, Wishes, passes, place};

/// What the device makes of a number.
pub fn answer(number: u32) -> u32 {
    number + 100
}

/// A request that the device has taken.
pub struct Taken {
    head: u16,
    buffer: u16,
    number: u32,
}

pub struct Device {
    ring: Arc<Ring>,
    wishes: Wishes,
    next_available: u16,
    used_index: u16,
    /// The used index when interrupts were last considered.
    signalled: u16,
}

impl Device {
    pub fn new(ring: &Arc<Ring>, start: u16, wishes: Wishes) -> Self {
        Self { ring: ring.clone(), wishes, next_available: start, used_index: start, signalled: start }
    }

    /// The index of the request that it takes next.
    pub fn next_available(&self) -> u16 {
        self.next_available
    }

    pub fn used_index(&self) -> u16 {
        self.used_index
    }

    /// Takes the next request if there is one. The index before the entry, the descriptor, the buffer (§2.7.13.3).
    pub fn pop(&mut self) -> Option<Taken> {
        if self.ring.available_index.0.load(Ordering::Acquire) == self.next_available {
            return None;
        }
        let head = self.ring.available[place(self.next_available)].get();
        let descriptor = self.ring.descriptors[usize::from(head)].get();
        let number = self.ring.buffers[usize::from(descriptor.buffer)].get();
        assert_eq!(number, descriptor.len, "descriptor and buffer belong together");
        self.next_available = self.next_available.wrapping_add(1);
        Some(Taken { head, buffer: descriptor.buffer, number })
    }

    /// Answers requests with a used element each, and shows the used index once.
    pub fn push(&mut self, requests: Vec<Taken>) {
        for Taken { head, buffer, number } in requests {
            self.ring.buffers[usize::from(buffer)].set(answer(number));
            self.ring.used[place(self.used_index)].set(Used { id: head, len: answer(number) });
            self.used_index = self.used_index.wrapping_add(1);
        }
        self.ring.used_index.0.store(self.used_index, Ordering::Release);
    }

    /// Answers requests with one used element, which names the last of them (IN_ORDER, §2.7.9).
    pub fn push_batch(&mut self, requests: Vec<Taken>) {
        let mut element = Used::default();
        let count = requests.len() as u16;
        for Taken { head, buffer, number } in requests {
            self.ring.buffers[usize::from(buffer)].set(answer(number));
            element = Used { id: head, len: answer(number) };
        }
        self.ring.used[place(self.used_index)].set(element);
        self.used_index = self.used_index.wrapping_add(count);
        self.ring.used_index.0.store(self.used_index, Ordering::Release);
    }

    /// Whether the driver wants an interrupt for what was pushed since the last time this was asked: the used
    /// index before the look at the driver's wish (§2.7.7.2).
    pub fn wants_interrupt(&mut self) -> bool {
        fence(Ordering::SeqCst);
        let old = mem::replace(&mut self.signalled, self.used_index);
        match self.wishes {
            Wishes::ByFlag => self.ring.available_flags.0.load(Ordering::Relaxed) & SUPPRESS == 0,
            Wishes::ByIndex => {
                let event = self.ring.used_event.0.load(Ordering::Relaxed);
                passes(event, old, self.used_index)
            }
        }
    }

    /// Asks for a kick at the next request, then looks once more (§2.7.10); whether there is one already.
    pub fn enable_kicks(&mut self) -> bool {
        match self.wishes {
            Wishes::ByFlag => self.ring.used_flags.0.store(0, Ordering::Relaxed),
            Wishes::ByIndex => self.ring.avail_event.0.store(self.next_available, Ordering::Relaxed),
        }
        fence(Ordering::SeqCst);
        self.ring.available_index.0.load(Ordering::Relaxed) != self.next_available
    }

    /// Asks for no more kicks, where the ring can say so.
    pub fn disable_kicks(&mut self) {
        if self.wishes == Wishes::ByFlag {
            self.ring.used_flags.0.store(SUPPRESS, Ordering::Relaxed);
        }
    }
}
