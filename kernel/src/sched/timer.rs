//! The timer queue: what is to happen when, in order, cancellable.
//!
//! A hierarchical timing wheel. Each level has 64 slots, and a slot of a level is as long as the whole level below; a
//! timer goes to the level of the highest of six-bit digits in which its deadline differs from the present:
//!
//! ```text
//!   present          ... 0|13|07|42         level 0: 64 slots of 1 ns     a bit for each slot that is in use,
//!   deadline         ... 0|13|31|05         level 1: 64 slots of 64 ns    a number for the timer that is first in it
//!   level 1, slot 31 ---------^             ...
//!                                           level 10: 16 slots of 36 years
//! ```
//!
//! The timers of a slot are a pairing heap: the first one on top, the others below it in no great order. So nothing is
//! ever moved down to a finer level, as wheels do with lists in their slots, and the next deadline is known to the
//! nanosecond: it is on top of the first slot in use of some level, and bitmaps name those.
//!
//! # Costs
//!
//! Setting a timer compares it with one other. Most timers are timeouts that are cancelled soon, before anything came to
//! lie below them, and then cancelling is unlinking. Below a timer that has been on top of its slot there may be others,
//! and somebody has to take its place: amortised O(log n) in the number of timers of that slot alone, when it is cancelled
//! and when it fires. Finding the next one looks at eleven timers at most.
//!
//! # Order
//!
//! The present only moves forward, and never past a timer that is still to fire; a timer whose deadline was over when it
//! was set holds it where it is. Hence all timers of a level have the digits above it in common with the present, and the
//! first slot in use has the earliest ones. Timers of different levels are compared, because the present has moved on
//! since they were set. Equal deadlines fire in the order in which they were set, which a running number tells.
//!
//! # Memory
//!
//! Timers lie in one vector, which grows to the largest number that were set at the same time; links are places in it.
//! Names hold the running number, so a name whose timer is over means nothing, whatever lies in its place.

use alloc::vec::Vec;

use crate::time::Instant;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;
/// No timer.
const NONE: u32 = u32::MAX;
/// A vector as long as this is given back when it has become empty.
const LARGE: usize = 1024;

/// Names a timer for [`TimerQueue::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    number: u64,
    place: u32,
}

/// Values with deadlines.
pub struct TimerQueue<T> {
    timers: Vec<Timer<T>>,
    /// The first free place, linked through `next`.
    free: u32,
    live: u32,
    next_number: u64,
    /// The latest time that is known to be over.
    present: u64,
    /// The levels in use, a bit each.
    levels: u16,
    /// The slots in use of each level, a bit each.
    slots: [u64; LEVELS],
    /// The first timer of every slot, level by level. Empty until a timer is set.
    first: Vec<u32>,
}

/// A timer in the heap of its slot, or a free place.
struct Timer<T> {
    /// `None` in a free place.
    value: Option<T>,
    deadline: u64,
    number: u64,
    /// The first of those below it.
    child: u32,
    /// Its next sibling.
    next: u32,
    /// Its previous sibling, or its parent if it is the first child; `NONE` on top.
    previous: u32,
    slot: u16,
}

impl<T> TimerQueue<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            timers: Vec::new(),
            free: NONE,
            live: 0,
            next_number: 0,
            present: 0,
            levels: 0,
            slots: [0; LEVELS],
            first: Vec::new(),
        }
    }

    /// Adds `value`, due at `deadline`.
    pub fn set(&mut self, deadline: Instant, value: T) -> TimerId {
        if self.first.is_empty() {
            self.first.resize(LEVELS * SLOTS, NONE);
        }
        let deadline = deadline.as_nanos();
        let (level, digit) = self.slot_of(deadline);
        let slot = level * SLOTS + digit;
        let number = self.next_number;
        self.next_number += 1;
        let place = self.place(Timer {
            value: Some(value),
            deadline,
            number,
            child: NONE,
            next: NONE,
            previous: NONE,
            slot: slot as u16,
        });
        self.first[slot] = self.meld(self.first[slot], place);
        self.slots[level] |= 1 << digit;
        self.levels |= 1 << level;
        TimerId { number, place }
    }

    /// Takes a timer out. `None` if it has fired.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let timer = self.timers.get(id.place as usize)?;
        if timer.number != id.number || timer.value.is_none() {
            return None;
        }
        self.remove(id.place)
    }

    /// When the next timer is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.earliest().map(|place| Instant::from_nanos(self.timers[place as usize].deadline))
    }

    /// Takes out the next timer that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let now = now.as_nanos();
        let due = self.earliest().filter(|&place| self.timers[place as usize].deadline <= now);
        let over = due.map_or(now, |place| self.timers[place as usize].deadline);
        self.present = self.present.max(over);
        self.remove(due?)
    }

    /// Level and slot for a deadline.
    fn slot_of(&self, deadline: u64) -> (usize, usize) {
        let level = ((deadline ^ self.present) | 1).ilog2() / DIGIT_BITS;
        (level as usize, (deadline >> (level * DIGIT_BITS)) as usize % SLOTS)
    }

    /// The timer that is to fire next.
    fn earliest(&self) -> Option<u32> {
        let mut levels = self.levels;
        let mut earliest = None;
        while levels != 0 {
            let level = levels.trailing_zeros() as usize;
            levels &= levels - 1;
            let place = self.first[level * SLOTS + self.slots[level].trailing_zeros() as usize];
            if earliest.is_none_or(|other| self.is_before(place, other)) {
                earliest = Some(place);
            }
        }
        earliest
    }

    /// Puts a timer into a free place.
    fn place(&mut self, timer: Timer<T>) -> u32 {
        self.live += 1;
        let place = self.free;
        if let Some(free) = self.timers.get_mut(place as usize) {
            self.free = free.next;
            *free = timer;
            return place;
        }
        let place = self.timers.len() as u32;
        assert!(place != NONE, "more timers than can be numbered");
        self.timers.push(timer);
        place
    }

    /// Takes a timer out of its slot, and its value out of it.
    fn remove(&mut self, place: u32) -> Option<T> {
        let (child, previous, slot) = {
            let timer = &self.timers[place as usize];
            (timer.child, timer.previous, usize::from(timer.slot))
        };
        let below = if child == NONE { NONE } else { self.meld_siblings(child) };
        if previous == NONE {
            self.first[slot] = below;
            if below == NONE {
                let level = slot / SLOTS;
                self.slots[level] &= !(1 << (slot % SLOTS));
                self.levels &= !(u16::from(self.slots[level] == 0) << level);
            }
        } else {
            self.unlink(place);
            if below != NONE {
                self.first[slot] = self.meld(self.first[slot], below);
            }
        }

        let timer = &mut self.timers[place as usize];
        timer.next = self.free;
        let value = timer.value.take();
        self.free = place;
        self.live -= 1;
        if self.live == 0 && self.timers.len() >= LARGE {
            self.timers = Vec::new();
            self.free = NONE;
        }
        value
    }

    fn is_before(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.timers[a as usize], &self.timers[b as usize]);
        (a.deadline, a.number) < (b.deadline, b.number)
    }

    /// Joins two heaps, either of which may be empty, and gives the top of the result, whose own links stay as they are.
    fn meld(&mut self, a: u32, b: u32) -> u32 {
        if a == NONE {
            return b;
        }
        if b == NONE {
            return a;
        }
        let (top, child) = if self.is_before(a, b) { (a, b) } else { (b, a) };
        let sibling = core::mem::replace(&mut self.timers[top as usize].child, child);
        if sibling != NONE {
            self.timers[sibling as usize].previous = child;
        }
        let child = &mut self.timers[child as usize];
        (child.next, child.previous) = (sibling, top);
        top
    }

    /// Makes one heap of `first` and its siblings: of each two one, then from the last to the first all.
    fn meld_siblings(&mut self, first: u32) -> u32 {
        // The last pair, linked through `next` to those before it.
        let mut pairs = NONE;
        let mut rest = first;
        while rest != NONE {
            let a = rest;
            let b = self.timers[a as usize].next;
            rest = if b == NONE { NONE } else { self.timers[b as usize].next };
            let pair = self.meld(a, b);
            self.timers[pair as usize].next = pairs;
            pairs = pair;
        }
        let mut top = NONE;
        while pairs != NONE {
            let pair = pairs;
            pairs = self.timers[pair as usize].next;
            top = self.meld(top, pair);
        }
        let timer = &mut self.timers[top as usize];
        (timer.next, timer.previous) = (NONE, NONE);
        top
    }

    /// Takes a timer that is not on top from among its siblings.
    fn unlink(&mut self, place: u32) {
        let timer = &self.timers[place as usize];
        let (next, previous) = (timer.next, timer.previous);
        let before = &mut self.timers[previous as usize];
        if before.child == place {
            before.child = next;
        } else {
            before.next = next;
        }
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
    }
}

#[cfg(test)]
mod tests;
