//! Nobody falls asleep while there is work that nobody will wake it for.
//!
//! ```text
//!   driver                                  device
//!   publish -> wants a kick?                take what is there; ask for a kick; look again; sleep at index x
//!   take what is there; arm; sleep at x     show used elements -> wants an interrupt?
//! ```
//!
//! One side makes its index pass x, the other sleeps at x: then the first must have been told to wake it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use loom::thread;

use crate::device::Device;
use crate::driver::{Completions, Driver};
use crate::handshake::Notify;
use crate::ring::{Ring, SIZE, Wishes, passes};

/// Where the indices start: the first requests are the last before the wrap, on the wrap, and far from it.
const STARTS: [u16; 3] = [65_534, 65_535, 7];

/// In how many executions of a model the sleeper went to sleep and was woken, and how many it found everything.
#[derive(Default)]
struct Seen {
    woken: AtomicU32,
    awake: AtomicU32,
}

impl Seen {
    /// Both ways were gone, or the model shows nothing.
    fn check(&self) {
        assert!(self.woken.load(Relaxed) > 0 && self.awake.load(Relaxed) > 0, "a model that shows nothing");
    }

    /// The sleeper sleeps at index `x`; the other's index moved in these steps, each with or without a wake-up.
    fn judge(&self, x: u16, steps: &[(u16, u16, bool)], what: &str) {
        match steps.iter().find(|&&(old, new, _)| passes(x, old, new)) {
            None => self.awake.fetch_add(1, Relaxed),
            Some(&(old, new, woken)) => {
                assert!(woken, "{what} was lost: asleep at {x}, and the index moved from {old} to {new}");
                self.woken.fetch_add(1, Relaxed)
            }
        };
    }
}

/// The driver publishes batches; the device takes what it sees, and goes to sleep.
fn kicks(start: u16, wishes: Wishes, batches: &'static [u16]) {
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    loom::model(move || {
        let ring = Arc::new(Ring::new(start, wishes));
        let mut driver = Driver::new(&ring, start, wishes, Completions::Each);
        let mut device = Device::new(&ring, start, wishes);
        let sleeper = thread::spawn(move || {
            while device.pop().is_some() || device.enable_kicks() {}
            device.next_available()
        });
        let mut steps = Vec::new();
        for &batch in batches {
            (0..batch).for_each(|number| driver.submit(number.into()));
            let old = driver.published();
            let notify = driver.publish();
            steps.push((old, driver.published(), notify == Notify::Needed));
        }
        let asleep_at = sleeper.join().expect("the device is content");
        counted.judge(asleep_at, &steps, "a kick");
    });
    seen.check();
}

/// The device shows used elements in batches; the driver takes what it sees, and goes to sleep.
fn interrupts(start: u16, wishes: Wishes, batches: &'static [usize]) {
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    loom::model(move || {
        let ring = Arc::new(Ring::new(start, wishes));
        let mut driver = Driver::new(&ring, start, wishes, Completions::Each);
        let mut device = Device::new(&ring, start, wishes);
        (0..SIZE).for_each(|number| driver.submit(number.into()));
        let _ = driver.publish();
        let player = thread::spawn(move || {
            let mut steps = Vec::new();
            for &batch in batches {
                let requests = (0..batch).map(|_| device.pop().expect("published before")).collect();
                let old = device.used_index();
                device.push(requests);
                steps.push((old, device.used_index(), device.wants_interrupt()));
            }
            steps
        });
        while driver.poll() || !driver.arm() {}
        let asleep_at = driver.next_used();
        let steps = player.join().expect("the device is content");
        counted.judge(asleep_at, &steps, "an interrupt");
    });
    seen.check();
}

/// All that differs: how wishes are told, where the indices are, how requests are grouped.
fn in_all_ways<B: 'static>(model: impl Fn(u16, Wishes, &'static [B]), batches: &[&'static [B]]) {
    for wishes in Wishes::BOTH {
        for start in STARTS {
            for &batches in batches {
                model(start, wishes, batches);
            }
        }
    }
}

#[test]
fn vq_15_17_18_no_kick_is_lost() {
    in_all_ways(kicks, &[&[1], &[2], &[1, 1]]);
}

#[test]
fn vq_19_20_22_no_interrupt_is_lost() {
    in_all_ways(interrupts, &[&[1], &[2], &[1, 1]]);
}
