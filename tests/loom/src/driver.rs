//! The driver: `Virtqueue` reduced to what it shares with the device, over the very handshake of `Virtqueue`.
//!
//! Each function does what its namesake does, in the same order. A request is a number in its buffer, and finished it is
//! what [`answer`](crate::device::answer) says.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::device::answer;
use crate::handshake::{Handshake, Notify};
use crate::ring::{Descriptor, Ring, SIZE, Wishes, place};
use crate::word::ModelWord;

/// How used elements are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completions {
    /// One element for each request.
    Each,
    /// One element stands for all requests up to the one it names (IN_ORDER).
    Batches,
}

pub struct Driver {
    ring: Arc<Ring>,
    wishes: Wishes,
    completions: Completions,
    next_available: u16,
    published: u16,
    next_used: u16,
    seen_used: u16,
    is_armed: bool,
    batch_left: u16,
    free: VecDeque<u16>,
    /// The number in flight in each slot.
    in_flight: [Option<u32>; SIZE as usize],
}

impl Driver {
    pub fn new(ring: &Arc<Ring>, start: u16, wishes: Wishes, completions: Completions) -> Self {
        Self {
            ring: ring.clone(),
            wishes,
            completions,
            next_available: start,
            published: start,
            next_used: start,
            seen_used: start,
            is_armed: false,
            batch_left: 0,
            free: (0..SIZE).map(|step| start.wrapping_add(step) % SIZE).collect(),
            in_flight: [None; SIZE as usize],
        }
    }

    fn handshake(&self) -> Handshake<'_, ModelWord, fn(u16) -> u16> {
        Handshake {
            available_flags: &self.ring.available_flags,
            available_index: &self.ring.available_index,
            used_flags: &self.ring.used_flags,
            used_index: &self.ring.used_index,
            avail_event: (self.wishes == Wishes::ByIndex).then_some(&self.ring.avail_event),
            convert: |word| word,
        }
    }

    /// How many more can be submitted.
    pub fn room(&self) -> u16 {
        SIZE - self.next_available.wrapping_sub(self.next_used)
    }

    /// The index of the request that finishes next.
    pub fn next_used(&self) -> u16 {
        self.next_used
    }

    /// The available index as last published.
    pub fn published(&self) -> u16 {
        self.published
    }

    pub fn submit(&mut self, number: u32) {
        let slot = self.free.pop_front().expect("there is room");
        self.ring.buffers[usize::from(slot)].set(number);
        self.ring.descriptors[usize::from(slot)].set(Descriptor { buffer: slot, len: number });
        self.ring.available[place(self.next_available)].set(slot);
        self.next_available = self.next_available.wrapping_add(1);
        self.in_flight[usize::from(slot)] = Some(number);
    }

    pub fn publish(&mut self) -> Notify {
        let (old, new) = (self.published, self.next_available);
        self.published = new;
        self.handshake().publish(old, new)
    }

    /// Whether the caller may sleep.
    pub fn arm(&mut self) -> bool {
        let used = match self.wishes {
            Wishes::ByIndex => self.handshake().arm_event(&self.ring.used_event, self.next_used),
            Wishes::ByFlag => {
                self.is_armed = true;
                self.handshake().arm_flag()
            }
        };
        used == self.next_used
    }

    fn look(&mut self) {
        if self.is_armed {
            self.is_armed = false;
            self.handshake().disarm_flag();
        }
        self.seen_used = self.handshake().used();
        let in_flight = self.published.wrapping_sub(self.next_used);
        assert!(self.seen_used.wrapping_sub(self.next_used) <= in_flight, "more is used than is in flight");
    }

    /// Takes the next finished request out and checks it; whether there was one.
    pub fn poll(&mut self) -> bool {
        if self.seen_used == self.next_used {
            self.look();
            if self.seen_used == self.next_used {
                return false;
            }
        }
        let slot = match self.completions {
            Completions::Each => {
                let used = self.ring.used[place(self.next_used)].get();
                let number = self.in_flight[usize::from(used.id)].expect("it is in flight");
                assert_eq!(used.len, answer(number));
                used.id
            }
            Completions::Batches => {
                let slot = self.next_used % SIZE;
                if self.batch_left == 0 {
                    let last = self.ring.used[place(self.next_used)].get().id;
                    self.batch_left = last.wrapping_sub(slot) % SIZE + 1;
                }
                self.batch_left -= 1;
                slot
            }
        };
        let number = self.in_flight[usize::from(slot)].take().expect("it is in flight");
        assert_eq!(self.ring.buffers[usize::from(slot)].get(), answer(number), "the answer in the buffer");
        self.free.push_back(slot);
        self.next_used = self.next_used.wrapping_add(1);
        true
    }
}
