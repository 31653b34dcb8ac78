//! Whole conversations between sides that sleep whenever they may. A wake-up that does not come is a deadlock, which
//! loom reports.

use std::sync::Arc;

use loom::sync::Notify as Bell;
use loom::thread;

use crate::device::Device;
use crate::driver::{Completions, Driver};
use crate::handshake::Notify;
use crate::ring::{Ring, Wishes};

fn converse(start: u16, wishes: Wishes, requests: u32, completions: Completions) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let ring = Arc::new(Ring::new(start, wishes));
        let mut driver = Driver::new(&ring, start, wishes, completions);
        let mut device = Device::new(&ring, start, wishes);
        let (kick, interrupt) = (Arc::new(Bell::new()), Arc::new(Bell::new()));
        let player = thread::spawn({
            let (kick, interrupt) = (kick.clone(), interrupt.clone());
            move || {
                let mut served = 0;
                while served < requests {
                    let taken: Vec<_> = std::iter::from_fn(|| device.pop()).collect();
                    if taken.is_empty() {
                        if !device.enable_kicks() {
                            kick.wait();
                        }
                        device.disable_kicks();
                        continue;
                    }
                    served += taken.len() as u32;
                    match completions {
                        Completions::Each => device.push(taken),
                        Completions::Batches => device.push_batch(taken),
                    }
                    if device.wants_interrupt() {
                        interrupt.notify();
                    }
                }
            }
        });
        let (mut next, mut finished) = (0, 0);
        while finished < requests {
            let before = next;
            while driver.room() > 0 && next < requests {
                driver.submit(next);
                next += 1;
            }
            if next > before && driver.publish() == Notify::Needed {
                kick.notify();
            }
            match driver.poll() {
                true => finished += 1,
                false if driver.arm() => interrupt.wait(),
                false => {}
            }
        }
        player.join().expect("the device is content");
    });
}

#[test]
fn vq_15_22_nobody_sleeps_for_ever_by_flags() {
    converse(65_534, Wishes::ByFlag, 3, Completions::Each);
}

#[test]
fn vq_15_22_nobody_sleeps_for_ever_by_indices() {
    converse(65_534, Wishes::ByIndex, 3, Completions::Each);
}

#[test]
fn vq_15_22_29_nobody_sleeps_for_ever_in_order() {
    for wishes in Wishes::BOTH {
        converse(65_534, wishes, 3, Completions::Batches);
    }
}
