//! `process` where the desk is locked: an interrupt in the middle of a submission, on the same core and on another.
//!
//! Whoever cannot look leaves a note and goes; whoever has the lock looks for notes after unlocking. The orderings of this
//! are checked by `tests/loom`.

use std::hint::black_box;
use std::sync::{Mutex, OnceLock};
use std::thread;

use toro_core::driver::Armed;
use virtio_queue_rt::asynchronous::Notifier;
use virtio_queue_rt::queue::{Cell, Payload, SlotStorage};
use virtio_queue_rt::{Notify, Virtqueue};

use super::common::{self, Bench, EVENT_IDX};
use super::*;

/// A device that answers while it is notified, and interrupts the very core that notifies it.
struct Immediate {
    other: Mutex<DeviceQueue>,
    queue: OnceLock<&'static AsyncQueue<DmaBuf, &'static Immediate>>,
    /// What `process` said in the interrupt.
    said: Mutex<Vec<Armed>>,
}

impl Notifier for Immediate {
    fn notify<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>>(
        &self,
        _: &Virtqueue<P, K, H, T, S>,
        wish: Notify,
    ) {
        if wish == Notify::Suppressed {
            return;
        }
        let mut other = self.other.lock().expect("no test panics with it");
        while answer(&mut other).is_some() {}
        let _ = other.enable_kicks();
        if other.wants_interrupt() {
            let queue = self.queue.get().expect("set before the first exchange");
            let said = queue.process().expect("an obedient device");
            self.said.lock().expect("no test panics with it").push(said);
        }
    }
}

#[test]
fn an_interrupt_during_a_submission_is_not_lost() {
    for features in [0, EVENT_IDX] {
        let Bench { queue, other, mut pool, .. } = common::bench::<DmaBuf, _, (), ()>(4, features);
        let device: &'static _ =
            Box::leak(Box::new(Immediate { other: Mutex::new(other), queue: OnceLock::new(), said: Mutex::default() }));
        let queue: &'static _ = Box::leak(Box::new(AsyncQueue::new(queue, device)));
        device.queue.set(queue).expect("it was not set before");
        let task = Task::new();
        for round in 0..20 {
            let mut future = queue.exchange((), buffer(&mut pool, round), Direction::FromDevice, ());
            assert!(task.poll(&mut future).is_pending(), "the lock was held when the interrupt came");
            assert_eq!(task.wakes(), usize::from(round) + 1, "whoever held it processed before he went on");
            let Poll::Ready(Ok(done)) = task.poll(&mut future) else { panic!("it was answered") };
            assert_eq!(done.payload[0], round + 1);
        }
        assert_eq!(*device.said.lock().expect("no test panics with it"), [Armed::Idle; 20]);
    }
}

/// How often two cores come to the desk at the same time.
const MEETINGS: usize = if cfg!(miri) { 8 } else { 10_000 };

/// Waits until a counter has come to `round`.
fn meet(counter: &AtomicUsize, round: usize) {
    for look in 1_u32.. {
        if counter.load(Ordering::Acquire) >= round {
            return;
        }
        if cfg!(miri) || look % 4096 == 0 {
            thread::yield_now();
        }
    }
}

/// A few nanoseconds, never quite the same.
fn dither(round: usize, salt: usize) {
    let length = (round + salt).wrapping_mul(0x9e37_79b9) >> 8 & 63;
    match cfg!(miri) {
        true => (0..length / 16).for_each(|_| thread::yield_now()),
        false => (0..length).for_each(|i| _ = black_box(i)),
    }
}

/// Keeps the desk locked for a while, so that the other core comes in between. Nobody has to be notified.
#[derive(Default)]
struct Dawdling {
    round: AtomicUsize,
}

impl Notifier for Dawdling {
    fn notify<P: Payload, K, H: Cell, T: Cell, S: SlotStorage<P, K>>(&self, _: &Virtqueue<P, K, H, T, S>, _: Notify) {
        dither(self.round.fetch_add(1, Ordering::Relaxed), 7777);
    }
}

#[test]
fn an_interrupt_that_meets_a_task_of_another_core_is_not_lost() {
    let Bench { queue, mut other, mut pool, .. } = common::bench::<DmaBuf, _, (), ()>(4, EVENT_IDX);
    let queue = AsyncQueue::new(queue, Dawdling::default());
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=MEETINGS {
                meet(&begun, round);
                dither(round, 0);
                assert_eq!(queue.process(), Ok(Armed::Idle));
                ended.store(round, Ordering::Release);
            }
        });
        for round in 1..=MEETINGS {
            let (task, bystander) = (Task::new(), Task::new());
            let mut future = queue.exchange((), buffer(&mut pool, 0), Direction::FromDevice, ());
            let mut elsewhere = queue.exchange((), buffer(&mut pool, 10), Direction::FromDevice, ());
            assert!(task.poll(&mut future).is_pending());
            assert_eq!(answer(&mut other), Some(0));
            begun.store(round, Ordering::Release);
            assert!(bystander.poll(&mut elsewhere).is_pending());
            meet(&ended, round);
            assert_eq!(task.wakes(), 1, "neither of the two looked, in round {round}");
            assert!(task.poll(&mut future).is_ready());
            assert_eq!(answer(&mut other), Some(10));
            assert_eq!(queue.process(), Ok(Armed::Idle));
            assert!(bystander.poll(&mut elsewhere).is_ready());
        }
    });
}
