//! The timer queue: what is to happen when, in order, cancellable.
//!
//! An ordered map by deadline, with a running number to tell equal deadlines apart, so that they fire in the order in
//! which they were set. Most timers are timeouts that are cancelled, which costs as much as setting them: O(log n), and
//! nothing stays behind.

use alloc::collections::BTreeMap;

use crate::time::Instant;

/// Names a timer for [`TimerQueue::cancel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    deadline: Instant,
    number: u64,
}

/// Values with deadlines.
pub struct TimerQueue<T> {
    timers: BTreeMap<TimerId, T>,
    next_number: u64,
}

impl<T> TimerQueue<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { timers: BTreeMap::new(), next_number: 0 }
    }

    /// Adds `value`, due at `deadline`.
    pub fn set(&mut self, deadline: Instant, value: T) -> TimerId {
        let id = TimerId { deadline, number: self.next_number };
        self.next_number += 1;
        self.timers.insert(id, value);
        id
    }

    /// Takes a timer out. `None` if it has fired.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        self.timers.remove(&id)
    }

    /// When the next timer is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|(id, _)| id.deadline)
    }

    /// Takes out the next timer that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        self.next_deadline().filter(|&deadline| deadline <= now)?;
        self.timers.pop_first().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanoseconds: u64) -> Instant {
        Instant::from_nanos(nanoseconds)
    }

    #[test]
    fn timers_fire_in_order_of_deadline_then_of_setting() {
        let mut queue = TimerQueue::new();
        for (deadline, value) in [(30, 'c'), (10, 'a'), (20, 'b'), (10, 'A')] {
            queue.set(at(deadline), value);
        }
        assert_eq!(queue.next_deadline(), Some(at(10)));
        assert_eq!(queue.pop_due(at(9)), None);
        let due: String = std::iter::from_fn(|| queue.pop_due(at(20))).collect();
        assert_eq!(due, "aAb");
        assert_eq!(queue.next_deadline(), Some(at(30)));
    }

    #[test]
    fn a_cancelled_timer_never_fires_and_leaves_nothing() {
        let mut queue = TimerQueue::new();
        let first = queue.set(at(10), 1);
        queue.set(at(20), 2);
        assert_eq!(queue.cancel(first), Some(1));
        assert_eq!(queue.cancel(first), None);
        assert_eq!(queue.pop_due(at(100)), Some(2));
        assert_eq!(queue.pop_due(at(100)), None);
        assert_eq!(queue.next_deadline(), None);
    }
}
