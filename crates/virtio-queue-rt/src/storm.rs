//! Interrupts that come without work.
//!
//! A few are normal: a line is shared with another device, a vector with another queue, an event index was passed while
//! the driver was looking anyway. A device that interrupts without end and never finishes anything, by mistake or on
//! purpose, would keep a processor busy with nothing else, and no single interrupt shows which of the two it is. What
//! shows it is a long row of empty ones:
//!
//! ```text
//!   interrupt, 0 finished     1 2 3 .. limit - 1 | limit
//!   verdict                   Arm Arm Arm ..     | Poll  Poll ..  until a timer lets it rest
//! ```
//!
//! A queue that is not armed asks for no interrupts, so an honest device is quiet at once; where the device interrupts
//! all the same, the caller masks the line or the vector. Requests finish meanwhile, too: they are found when the caller
//! looks, on its timer. After each of those looks the device gets another chance of `limit` empty interrupts, so that
//! no more than that many come in one period of the timer.
//!
//! # Example
//!
//! ```
//! use virtio_queue_rt::storm::{StormGuard, Verdict};
//!
//! let mut guard = StormGuard::new(3);
//! assert_eq!([0, 0, 7, 0, 0].map(|finished| guard.interrupt(finished)), [Verdict::Arm; 5]);
//! assert_eq!(guard.interrupt(0), Verdict::Poll);
//! guard.rest();
//! assert_eq!(guard.interrupt(0), Verdict::Arm);
//! ```

/// How the driver goes on after an interrupt.
#[must_use = "a queue that is armed in a storm keeps the storm going"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arms its queues and waits for the next.
    Arm,
    /// It leaves its queues as they are, masks the interrupt, and looks at them on a timer.
    Poll,
}

/// Counts interrupts in a row that found nothing to do, for all queues that one interrupt stands for.
#[derive(Clone, Debug)]
pub struct StormGuard {
    limit: u16,
    empty: u16,
}

impl StormGuard {
    /// Calls `limit` empty interrupts in a row a storm; with 0, the first is one already.
    pub const fn new(limit: u16) -> Self {
        Self { limit, empty: 0 }
    }

    /// Judges an interrupt that found `finished` requests finished, as [`Virtqueue::drain`](crate::Virtqueue::drain)
    /// counts them, in all queues together.
    #[inline]
    pub const fn interrupt(&mut self, finished: u16) -> Verdict {
        self.empty = if finished > 0 { 0 } else { self.empty.saturating_add(1) };
        if self.empty > 0 && self.empty >= self.limit { Verdict::Poll } else { Verdict::Arm }
    }

    /// Forgets what has been: called from the timer on which the driver looks after [`Verdict::Poll`].
    pub const fn rest(&mut self) {
        self.empty = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hd_irq_1_a_row_of_empty_interrupts_is_a_storm_and_work_ends_it() {
        let mut guard = StormGuard::new(100);
        for round in 0..3 {
            for _ in 1..100 {
                assert_eq!(guard.interrupt(0), Verdict::Arm, "round {round}");
            }
            assert_eq!(guard.interrupt(0), Verdict::Poll);
            assert_eq!(guard.interrupt(0), Verdict::Poll, "and goes on");
            assert_eq!(guard.interrupt(1), Verdict::Arm, "that was none");
        }
    }

    #[test]
    fn hd_irq_1_a_storm_does_not_end_by_lasting() {
        let mut guard = StormGuard::new(2);
        assert_eq!(guard.interrupt(0), Verdict::Arm);
        for _ in 0..200_000 {
            assert_eq!(guard.interrupt(0), Verdict::Poll);
        }
    }

    #[test]
    fn hd_irq_1_each_rest_allows_as_many_again() {
        let mut guard = StormGuard::new(5);
        for _ in 0..10 {
            let armed = (0..1000).filter(|_| guard.interrupt(0) == Verdict::Arm).count();
            assert_eq!(armed, 4);
            guard.rest();
        }
    }

    #[test]
    fn hd_irq_1_a_guard_without_patience_still_lets_work_through() {
        let mut guard = StormGuard::new(0);
        assert_eq!(guard.interrupt(3), Verdict::Arm);
        assert_eq!(guard.interrupt(0), Verdict::Poll);
    }
}
