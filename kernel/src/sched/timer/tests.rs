//! The wheel against an ordered map, which cannot be wrong.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What the wheel has to be like: a map by deadline and running number.
#[derive(Default)]
struct Model {
    timers: BTreeMap<(u64, u64), u32>,
    next_number: u64,
}

impl Model {
    fn set(&mut self, deadline: u64, value: u32) -> (u64, u64) {
        let key = (deadline, self.next_number);
        self.next_number += 1;
        self.timers.insert(key, value);
        key
    }

    fn next_deadline(&self) -> Option<u64> {
        self.timers.first_key_value().map(|(key, _)| key.0)
    }

    fn pop_due(&mut self, now: u64) -> Option<u32> {
        self.next_deadline().filter(|&deadline| deadline <= now)?;
        self.timers.pop_first().map(|(_, value)| value)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Sets a timer so long after the present.
    Set(u64),
    /// Sets a timer for a point that may be over.
    SetAt(u64),
    /// Cancels one of the timers that were ever set.
    Cancel(prop::sample::Index),
    /// Lets time pass, and takes out at most so many timers that are due.
    Pass(u64, usize),
}

/// Durations of every order of magnitude.
fn duration() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0..64u32, any::<u64>()).prop_map(|(shift, bits)| bits >> shift),
        4 => (0..4u64).prop_map(|count| count * 1_000_000),
        // Many in the same slot, as the timeouts of a server are.
        8 => (0..10_000u64).prop_map(|more| 10_000_000_000 + more),
        1 => Just(u64::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => duration().prop_map(Step::Set),
        1 => duration().prop_map(Step::SetAt),
        4 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        3 => (duration(), 0..8usize).prop_map(|(time, count)| Step::Pass(time, count)),
        3 => (0..2_000_000u64, 0..8usize).prop_map(|(time, count)| Step::Pass(time, count)),
    ]
}

fn at(nanoseconds: u64) -> Instant {
    Instant::from_nanos(nanoseconds)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_an_ordered_map_does(steps in vec(step(), 1..120)) {
        let (mut queue, mut model) = (TimerQueue::new(), Model::default());
        let mut names = Vec::new();
        let mut now = 0u64;
        for (value, step) in (0..).zip(steps) {
            match step {
                Step::Set(after) => {
                    let deadline = now.saturating_add(after);
                    names.push((queue.set(at(deadline), value), model.set(deadline, value)));
                }
                Step::SetAt(deadline) => names.push((queue.set(at(deadline), value), model.set(deadline, value))),
                Step::Cancel(index) if !names.is_empty() => {
                    let (id, key) = names[index.index(names.len())];
                    prop_assert_eq!(queue.cancel(id), model.timers.remove(&key));
                }
                Step::Cancel(_) => {}
                Step::Pass(time, count) => {
                    now = now.saturating_add(time);
                    for _ in 0..count {
                        prop_assert_eq!(queue.pop_due(at(now)), model.pop_due(now));
                    }
                }
            }
            prop_assert_eq!(queue.next_deadline().map(Instant::as_nanos), model.next_deadline());
        }
        while let Some(value) = model.pop_due(u64::MAX) {
            prop_assert_eq!(queue.pop_due(at(u64::MAX)), Some(value));
        }
        prop_assert_eq!(queue.pop_due(at(u64::MAX)), None);
    }
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

#[test]
fn a_deadline_that_is_over_does_not_take_the_queue_back_in_time() {
    let mut queue = TimerQueue::new();
    assert_eq!(queue.pop_due(at(0x1000)), None);
    queue.set(at(0x1001), 'c');
    queue.set(at(0x0001), 'a');
    assert_eq!(queue.pop_due(at(0x1000)), Some('a'));
    queue.set(at(0x0005), 'b');
    let due: String = std::iter::from_fn(|| queue.pop_due(at(0x1001))).collect();
    assert_eq!(due, "bc");
}

#[test]
fn a_name_means_nothing_to_the_timer_that_took_its_place() {
    let mut queue = TimerQueue::new();
    let fired = queue.set(at(10), 'a');
    assert_eq!(queue.pop_due(at(10)), Some('a'));
    let cancelled = queue.set(at(20), 'b');
    assert_eq!(queue.cancel(cancelled), Some('b'));
    queue.set(at(30), 'c');
    assert_eq!(queue.timers.len(), 1);
    assert_eq!((queue.cancel(fired), queue.cancel(cancelled)), (None, None));
    assert_eq!(queue.pop_due(at(30)), Some('c'));
}

#[test]
fn memory_is_for_the_timers_that_are_live_at_once() {
    let mut queue = TimerQueue::new();
    for round in 0..100_000u64 {
        let ids = [50, 10, 90].map(|after| queue.set(at(round * 1000 + after), round));
        assert_eq!(queue.pop_due(at(round * 1000 + 20)), Some(round));
        assert_eq!((queue.cancel(ids[2]), queue.cancel(ids[0])), (Some(round), Some(round)));
    }
    assert_eq!(queue.timers.len(), 3);
    let ids: Vec<_> = (0..100_000).map(|after| queue.set(at(1_000_000_000 + after), after)).collect();
    assert!(ids.into_iter().rev().all(|id| queue.cancel(id).is_some()));
    assert_eq!((queue.timers.capacity(), queue.levels, queue.slots), (0, 0, [0; LEVELS]));
    assert!(queue.first.iter().all(|&place| place == NONE));
}

#[test]
fn an_empty_queue_is_small_and_owns_nothing() {
    static EMPTY: spin::Mutex<TimerQueue<u32>> = spin::Mutex::new(TimerQueue::new());
    let queue = EMPTY.lock();
    assert!(size_of::<TimerQueue<u32>>() < 200);
    assert_eq!((queue.timers.capacity(), queue.first.capacity()), (0, 0));
}
