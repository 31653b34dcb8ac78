//! Requests of every shape, in queues of every kind, until indices have wrapped.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::DmaBuf;
use virtio_conformance::exchange::Random;
use virtio_conformance::{Field, Rig, Shape, rig};
use virtio_queue_rt::Chain;

use crate::{EVENT, INDIRECT, RINGS};

/// More than the indices can count.
const LAP: u64 = 70_000;

/// Has `count` requests answered, in the order of the ring or in any other, in batches of any size.
fn exchange<P: Shape, H: Field, T: Field>(size: u16, features: u64, count: u64) {
    let Rig { mut driver, mut oracle, memory, .. } = rig::<P, H, T>(size, features, count ^ features);
    let mut random = Random::new(u64::from(size));
    let mut pending = Vec::new();
    while driver.finished() < count {
        for _ in 0..1 + random.below(driver.capacity().into()) {
            if driver.room() > 0 {
                driver.submit();
            }
        }
        let _ = driver.publish();
        pending.extend(std::iter::from_fn(|| oracle.pop()));
        for _ in 0..random.below(pending.len() + 1) {
            let next = if oracle.is_in_order() { 0 } else { random.below(pending.len()) };
            oracle.answer(pending.remove(next));
        }
        while random.below(8) > 0 && driver.poll().is_some() {}
        if random.below(2) == 0 {
            driver.drain();
        }
    }
    let unfinished = driver.submitted() - driver.finished();
    assert_eq!(driver.retire() as u64, unfinished);
    assert_eq!(memory.blocks(), 0, "all memory came home");
}

#[test]
fn vq_13_single_buffers_keep_their_identity_over_the_wrap() {
    exchange::<DmaBuf, (), ()>(256, 0, LAP);
    exchange::<DmaBuf, (), ()>(2, EVENT, LAP);
}

#[test]
fn vq_13_requests_with_header_and_trailer_keep_their_identity_over_the_wrap() {
    exchange::<Option<DmaBuf>, [AtomicU64; 2], AtomicU8>(64, EVENT, LAP);
    exchange::<Option<DmaBuf>, [AtomicU64; 2], AtomicU8>(64, INDIRECT, 5_000);
}

#[test]
fn vq_5_8_chains_of_every_combination_in_queues_of_every_size() {
    for power in 2..=10 {
        for features in RINGS {
            exchange::<Chain, (), ()>(1 << power, features, 600);
        }
    }
    exchange::<Chain, (), ()>(16, INDIRECT | EVENT, LAP);
}

#[test]
fn chains_between_cells() {
    for size in [8, 32, 1024] {
        for features in RINGS {
            exchange::<Chain, [AtomicU64; 2], AtomicU8>(size, features, 2_000);
            exchange::<Chain, AtomicU8, [AtomicU64; 2]>(size, features, 2_000);
            exchange::<Chain, (), AtomicU8>(size, features, 1_000);
            exchange::<Chain, AtomicU8, ()>(size, features, 1_000);
        }
    }
}

#[test]
fn single_buffers_between_cells() {
    for power in 2..=10 {
        for features in RINGS {
            exchange::<DmaBuf, AtomicU8, ()>(1 << power, features, 600);
            exchange::<DmaBuf, (), AtomicU8>(1 << power, features, 600);
            exchange::<DmaBuf, AtomicU8, AtomicU8>(1 << power, features, 600);
        }
    }
}
