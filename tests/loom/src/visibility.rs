//! Each side sees all of what the other showed it: entries, descriptors, elements, buffers.
//!
//! Both sides poll. A wake-up orders what comes before it against what comes after, as a lock would, and so hides what
//! is missing in the ring itself.

use std::sync::Arc;

use loom::thread;

use crate::device::Device;
use crate::driver::{Completions, Driver};
use crate::ring::{Ring, SIZE, Wishes};

/// One more than there are slots, so that one is used again.
const REQUESTS: u32 = SIZE as u32 + 1;

/// In which order the device answers what it takes at once.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    AsTheyCome,
    Reversed,
}

fn both_poll(start: u16, completions: Completions, order: Order) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let wishes = Wishes::ByIndex;
        let ring = Arc::new(Ring::new(start, wishes));
        let mut driver = Driver::new(&ring, start, wishes, completions);
        let mut device = Device::new(&ring, start, wishes);
        let player = thread::spawn(move || {
            let mut served = 0;
            while served < REQUESTS {
                let mut requests: Vec<_> = std::iter::from_fn(|| device.pop()).collect();
                served += requests.len() as u32;
                match (requests.is_empty(), completions) {
                    (true, _) => thread::yield_now(),
                    (false, Completions::Batches) => device.push_batch(requests),
                    (false, Completions::Each) => {
                        if order == Order::Reversed {
                            requests.reverse();
                        }
                        device.push(requests);
                    }
                }
            }
        });
        let (mut next, mut finished) = (0, 0);
        while finished < REQUESTS {
            let before = next;
            while driver.room() > 0 && next < REQUESTS {
                driver.submit(next);
                next += 1;
            }
            if next > before {
                let _ = driver.publish();
            }
            match driver.poll() {
                true => finished += 1,
                false => thread::yield_now(),
            }
        }
        player.join().expect("the device is content");
    });
}

#[test]
fn vq_14_23_what_is_shown_is_complete() {
    both_poll(65_534, Completions::Each, Order::AsTheyCome);
    both_poll(65_535, Completions::Each, Order::AsTheyCome);
}

#[test]
fn vq_14_23_what_is_shown_in_another_order_is_complete() {
    both_poll(65_534, Completions::Each, Order::Reversed);
}

#[test]
fn vq_23_29_what_one_element_shows_of_a_batch_is_complete() {
    both_poll(65_534, Completions::Batches, Order::AsTheyCome);
}
