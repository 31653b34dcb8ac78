//! [`Timers`]: when each socket wants to be looked at again.
//!
//! A binary heap with at most one entry per socket, and a table that says where in the heap a socket's entry is:
//!
//! ```text
//!   heap      [ (10 ms, socket 4) (30 ms, socket 0) (1 s, socket 7) ]     earliest first
//!   position  [ 1, -, -, -, 0, -, -, 2 ]                                  by socket
//! ```
//!
//! A busy connection moves its retransmission deadline with every segment, always to a later time. Such a move
//! leaves the heap alone: the entry stays where it is, and when it comes up the owner sets the deadline anew. A
//! deadline that moves to an earlier time moves its entry. So the heap is rarely touched, never holds more entries
//! than there are sockets, and never misses a deadline.

use alloc::vec::Vec;

use toro_core::Instant;

const ABSENT: u32 = u32::MAX;

/// Deadlines by socket number.
pub(super) struct Timers {
    heap: Vec<(Instant, u32)>,
    /// Where in the heap the entry of a socket is, or `ABSENT`.
    position: Vec<u32>,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self { heap: Vec::new(), position: Vec::new() }
    }

    /// The earliest time at which [`expired`](Self::expired) will return something. It may be earlier than any
    /// deadline that was set last.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.0)
    }

    /// How many sockets have an entry.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Asks for `key` to come up at `at` or earlier.
    pub(super) fn set(&mut self, key: u32, at: Instant) {
        let index = key as usize;
        if index >= self.position.len() {
            self.position.resize(index + 1, ABSENT);
        }
        let position = self.position[index];
        if position == ABSENT {
            self.position[index] = self.heap.len() as u32;
            self.heap.push((at, key));
            self.rise(self.heap.len() - 1);
        } else if at < self.heap[position as usize].0 {
            self.heap[position as usize].0 = at;
            self.rise(position as usize);
        }
    }

    /// Removes the entry of `key`, if there is one.
    pub(super) fn cancel(&mut self, key: u32) {
        if let Some(&position) = self.position.get(key as usize)
            && position != ABSENT
        {
            self.remove(position as usize);
        }
    }

    /// Removes and returns a socket whose entry is due.
    pub(super) fn expired(&mut self, now: Instant) -> Option<u32> {
        let &(at, key) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove(0);
        Some(key)
    }

    fn remove(&mut self, position: usize) {
        let (_, key) = self.heap.swap_remove(position);
        self.position[key as usize] = ABSENT;
        if position < self.heap.len() {
            self.position[self.heap[position].1 as usize] = position as u32;
            self.sink(position);
            self.rise(position);
        }
    }

    fn rise(&mut self, mut child: usize) {
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.heap[parent].0 <= self.heap[child].0 {
                break;
            }
            self.swap(parent, child);
            child = parent;
        }
    }

    fn sink(&mut self, mut parent: usize) {
        loop {
            let left = 2 * parent + 1;
            if left >= self.heap.len() {
                break;
            }
            let right = left + 1;
            let child = if right < self.heap.len() && self.heap[right].0 < self.heap[left].0 { right } else { left };
            if self.heap[parent].0 <= self.heap[child].0 {
                break;
            }
            self.swap(parent, child);
            parent = child;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.position[self.heap[a].1 as usize] = a as u32;
        self.position[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn entries_come_up_in_order_of_time_whatever_the_order_of_setting() {
        let mut timers = Timers::new();
        let mut random = 12345_u64;
        for key in 0..500_u32 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            timers.set(key, at(random >> 40));
        }
        for key in (0..500).step_by(3) {
            timers.cancel(key);
        }
        for key in (1..500).step_by(3) {
            timers.set(key, at(u64::from(key)));
        }
        let mut last = at(0);
        let mut seen = 0;
        while let Some(next) = timers.earliest() {
            assert!(next >= last);
            last = next;
            let key = timers.expired(next).expect("the earliest entry is due at its time");
            assert_ne!(key % 3, 0, "cancelled");
            seen += 1;
        }
        assert_eq!(seen, 333);
    }

    #[test]
    fn a_later_deadline_leaves_the_entry_and_an_earlier_one_moves_it() {
        let mut timers = Timers::new();
        timers.set(3, at(100));
        timers.set(3, at(900));
        assert_eq!((timers.earliest(), timers.len()), (Some(at(100)), 1));
        timers.set(3, at(50));
        assert_eq!((timers.earliest(), timers.len()), (Some(at(50)), 1));
        assert_eq!(timers.expired(at(49)), None);
        assert_eq!(timers.expired(at(50)), Some(3));
        assert_eq!(timers.earliest(), None);
    }
}
