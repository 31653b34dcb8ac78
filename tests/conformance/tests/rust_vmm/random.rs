//! Anything in any order: both sides take steps at random, and what each may conclude from the other's silence is
//! checked after every step.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::DmaBuf;
use toro_core::dma::Segments;
use toro_core::driver::Armed;
use virtio_conformance::exchange::Random;
use virtio_conformance::{Field, Rig, Shape, rig};
use virtio_queue_rt::{Chain, Notify};

use crate::{EVENT, INDIRECT, RINGS};

/// How many walks, and how long each is.
const SEEDS: u64 = 25;
const STEPS: u32 = 600;

/// What a side may do.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Awake,
    /// Does nothing before it is woken.
    Asleep,
}

/// Whether an index that moves from `old` to `new` passes `event`, counted step by step.
fn passes(event: u16, old: u16, new: u16) -> bool {
    (0..new.wrapping_sub(old)).any(|step| old.wrapping_add(step) == event)
}

/// Where the walk begins.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    /// With indices at 0.
    Fresh,
    /// So far on that indices wrap soon; the device then falls asleep whenever it can.
    BeforeTheWrap,
}

fn walk<P: Shape, H: Field, T: Field>(size: u16, features: u64, seed: u64, start: Start) {
    let Rig { mut driver, mut oracle, .. } = rig::<P, H, T>(size, features, seed);
    while start == Start::BeforeTheWrap && driver.finished() < 65_500 {
        (0..driver.room()).for_each(|_| driver.submit());
        let _ = driver.publish();
        while let Some(request) = oracle.pop() {
            oracle.answer(request);
        }
        driver.drain();
    }
    let _ = oracle.wants_interrupt();
    let mut random = Random::new(!seed);
    let mut pending = Vec::new();
    let (mut device, mut caller) = (Side::Awake, Side::Awake);
    let (mut quiet, mut answered) = (false, driver.finished());
    for step in 0..STEPS {
        match random.below(8) {
            0 | 1 => {
                for _ in 0..random.below(usize::from(driver.room()) + 1) {
                    driver.submit();
                }
            }
            2 | 3 => {
                let old = oracle.available_index();
                let wish = driver.publish();
                let new = oracle.available_index();
                let expected = match oracle.has_event_idx() {
                    true => passes(oracle.avail_event(), old, new),
                    false => old != new && !quiet,
                };
                assert_eq!(wish == Notify::Needed, expected, "VQ-17, VQ-18: step {step} of seed {seed}");
                if wish == Notify::Needed {
                    device = Side::Awake;
                }
                assert!(device == Side::Awake || old == new, "a kick was lost: step {step} of seed {seed}");
            }
            4 if device == Side::Awake => {
                for _ in 0..random.below(usize::from(size) + 1) {
                    pending.extend(oracle.pop());
                }
            }
            5 if device == Side::Awake => {
                let count = random.below(pending.len() + 1);
                for _ in 0..count {
                    let next = if oracle.is_in_order() { 0 } else { random.below(pending.len()) };
                    oracle.answer(pending.remove(next));
                    answered += 1;
                }
                if oracle.wants_interrupt() {
                    caller = Side::Awake;
                }
                assert!(caller == Side::Awake || count == 0, "an interrupt was lost: step {step} of seed {seed}");
            }
            6 => {
                if device == Side::Awake && pending.is_empty() {
                    quiet = false;
                    if oracle.enable_notification() {
                        oracle.disable_notification();
                        quiet = !oracle.has_event_idx();
                    } else {
                        device = Side::Asleep;
                    }
                }
            }
            _ => {
                // Who looks is awake.
                caller = Side::Awake;
                if random.below(2) == 0 {
                    driver.drain();
                } else {
                    let _ = driver.poll();
                }
                if random.below(2) == 0 && driver.arm() == Armed::Idle {
                    assert_eq!(driver.finished(), answered, "VQ-22: idle, but there was work: step {step}");
                    caller = Side::Asleep;
                }
            }
        }
        if start == Start::BeforeTheWrap && device == Side::Awake && pending.is_empty() {
            device = if oracle.enable_notification() { Side::Awake } else { Side::Asleep };
        }
        if !oracle.has_event_idx() {
            assert!(oracle.available_flags() <= 1, "VQ-19");
        } else {
            assert_eq!(oracle.available_flags(), 0, "VQ-20");
        }
    }
    // Whatever is left can be finished.
    let _ = driver.publish();
    pending.extend(std::iter::from_fn(|| oracle.pop()));
    pending.into_iter().for_each(|request| oracle.answer(request));
    driver.drain();
    assert_eq!(driver.submitted(), driver.finished());
    assert_eq!(driver.retire(), 0);
}

#[test]
fn vq_17_18_19_20_22_nobody_is_left_sleeping_whatever_happens() {
    for seed in 0..SEEDS {
        let features = RINGS[seed as usize % 5];
        let size = 4 << (seed % 6);
        walk::<DmaBuf, (), ()>(size, features, seed, Start::Fresh);
        walk::<Chain, (), ()>(size, features, seed, Start::Fresh);
        walk::<Option<DmaBuf>, [AtomicU64; 2], AtomicU8>(size, features, seed, Start::Fresh);
        walk::<Chain, AtomicU8, AtomicU8>(size.max(8), features, seed, Start::Fresh);
        walk::<Segments, AtomicU8, AtomicU8>(size.max(8), features, seed, Start::Fresh);
    }
}

#[test]
fn vq_18_nobody_is_left_sleeping_where_indices_wrap() {
    walk::<DmaBuf, (), ()>(16, EVENT, 100, Start::BeforeTheWrap);
    walk::<DmaBuf, AtomicU8, ()>(16, INDIRECT | EVENT, 101, Start::BeforeTheWrap);
}
