//! How long a core polls on when there is nothing to do, learnt from its sleeps.
//!
//! ```text
//!   nothing to do                                  halt                woken
//!   |-- polls, ever less often, as it is patient --|------ sleeps -----|
//!   |<------------- within `most`: the sleep was superfluous, twice the patience ------------->|
//!   |<------------- longer: all polling was in vain, half the patience --------------------------------- ...
//! ```
//!
//! Polling pays where it ends before it would have to be given up, which each sleep tells. One from which something woke the
//! core before the longest polling would have ended was superfluous, and the core polls twice as long the next time. After one
//! that lasted longer, all polling before it was in vain, and the core polls half as long, and soon not at all. So a server whose
//! clients take their time sleeps at once, and one that is busy does not sleep.
//!
//! # Two patiences
//!
//! What a core waits for tells how long it may take. Where nobody owes it anything, the next packet or message may come at any
//! time or never, and those of a busy connection follow each other within [`AT_RANDOM`]. A device that owes an answer does give
//! it, a few kilobytes of a fast disk in a few microseconds, a large read of a file server in a hundred, and so it pays to wait up
//! to [`FOR_ANSWER`]. Each kind of wait learns for itself: whoever learnt one thing from both would sleep beside a quick disk
//! because its clients are slow, or poll for slow clients because its disk is quick. A device that is slower than that is soon
//! not polled for either.
//!
//! All durations are nanoseconds, as a core computes with them at each look.

use core::cell::Cell;

/// How long a core polls on, at most, for what may come. An interrupt and the way back from a halt cost a virtual machine
/// several microseconds, more than most packets of a busy connection take to follow each other.
const AT_RANDOM: u64 = 50_000;
/// How long at most for an answer that a device owes. A sleep would cost it the registers that arm the device, an interrupt, and
/// the registers that answer that: each may be an exit of the virtual machine.
const FOR_ANSWER: u64 = 200_000;
/// The shortest time between two looks, and the least patience that is any: no device answers that fast.
pub const LEAST_PAUSE: u64 = 800;
/// The longest, which is about what an interrupt costs: who polls for an answer is not to get it later than who sleeps.
pub const MOST_PAUSE: u64 = 12_500;

/// What a core waits for that has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever may come.
    Anything,
    /// An answer that a device owes, or whatever comes before it.
    Answer,
}

/// How long a core polls on, for either kind of wait.
pub struct Patience {
    at_random: Cell<u64>,
    for_answer: Cell<u64>,
}

impl Patience {
    /// The longest of both kinds.
    pub const fn new() -> Self {
        Self { at_random: Cell::new(AT_RANDOM), for_answer: Cell::new(FOR_ANSWER) }
    }

    /// How long to poll on at present: not at all, or [`LEAST_PAUSE`] to the most for this kind of wait.
    #[inline]
    pub fn nanoseconds(&self, expected: Expected) -> u64 {
        self.of(expected).get()
    }

    /// Learns from a sleep, at its end: there had been nothing to do for so long, the polling before it included.
    #[inline]
    pub fn learn(&self, expected: Expected, idle_nanoseconds: u64) {
        let patience = self.of(expected);
        patience.set(after_sleep(patience.get(), idle_nanoseconds, most(expected)));
    }

    #[inline]
    fn of(&self, expected: Expected) -> &Cell<u64> {
        match expected {
            Expected::Anything => &self.at_random,
            Expected::Answer => &self.for_answer,
        }
    }
}

/// The longest polling in this kind of wait.
#[inline]
const fn most(expected: Expected) -> u64 {
    match expected {
        Expected::Anything => AT_RANDOM,
        Expected::Answer => FOR_ANSWER,
    }
}

/// The patience that follows from `patience` when polling and a sleep together have lasted for `idle`.
#[inline]
fn after_sleep(patience: u64, idle: u64, most: u64) -> u64 {
    let half = patience / 2;
    if idle <= most {
        (patience * 2).clamp(LEAST_PAUSE, most)
    } else if half < LEAST_PAUSE {
        0
    } else {
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [(Expected, u64); 2] = [(Expected::Anything, 50_000), (Expected::Answer, 200_000)];
    const SECOND: u64 = 1_000_000_000;

    /// Lets a core sleep `count` times for as long.
    fn sleep(patience: &Patience, expected: Expected, idle: u64, count: usize) {
        (0..count).for_each(|_| patience.learn(expected, idle));
    }

    #[test]
    fn sleeps_that_polling_would_have_outlasted_double_the_patience_up_to_the_most() {
        for (expected, most) in KINDS {
            let patience = Patience::new();
            sleep(&patience, expected, most * 2, 100);
            let mut last = patience.nanoseconds(expected);
            assert_eq!(last, 0, "{expected:?}");
            let mut lengths = Vec::new();
            while last < most {
                patience.learn(expected, most);
                let next = patience.nanoseconds(expected);
                assert_eq!(next, (last * 2).clamp(LEAST_PAUSE, most), "{expected:?}");
                lengths.push(next);
                last = next;
            }
            assert!(lengths.len() < 10, "{expected:?}: {lengths:?}");
            patience.learn(expected, 1);
            assert_eq!(patience.nanoseconds(expected), most, "{expected:?}: no longer than that");
        }
    }

    #[test]
    fn sleeps_that_last_longer_halve_the_patience_until_there_is_none() {
        for (expected, most) in KINDS {
            let patience = Patience::new();
            assert_eq!(patience.nanoseconds(expected), most, "a core begins with all of it");
            patience.learn(expected, most + 1);
            assert_eq!(patience.nanoseconds(expected), most / 2, "{expected:?}");
            sleep(&patience, expected, most + 1, 8);
            assert_eq!(patience.nanoseconds(expected), 0, "{expected:?}");
            patience.learn(expected, u64::MAX);
            assert_eq!(patience.nanoseconds(expected), 0, "{expected:?}: less there is not");
        }
    }

    #[test]
    fn an_answer_is_waited_for_longer_than_what_may_come() {
        let patience = Patience::new();
        let idle = 100_000;
        for expected in [Expected::Anything, Expected::Answer] {
            sleep(&patience, expected, idle, 100);
        }
        assert_eq!(patience.nanoseconds(Expected::Anything), 0);
        assert!(patience.nanoseconds(Expected::Answer) > idle);
    }

    #[test]
    fn neither_kind_of_wait_learns_from_the_other() {
        for (expected, other) in [(Expected::Anything, Expected::Answer), (Expected::Answer, Expected::Anything)] {
            let patience = Patience::new();
            let before = patience.nanoseconds(other);
            sleep(&patience, expected, SECOND, 100);
            assert_eq!(patience.nanoseconds(other), before, "{other:?}");
            sleep(&patience, other, SECOND, 3);
            let before = patience.nanoseconds(other);
            sleep(&patience, expected, 1, 100);
            assert_eq!(patience.nanoseconds(other), before, "{other:?}");
        }
    }
}
