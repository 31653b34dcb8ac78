//! Requests of every shape, in queues of every kind, until indices have wrapped.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::DmaBuf;
use toro_core::dma::Segments;
use virtio_conformance::exchange::Random;
use virtio_conformance::{Bus, Field, Rig, Shape, rig_over};
use virtio_queue_rt::Chain;

use crate::{EVENT, IN_ORDER, INDIRECT, RINGS};

/// More than the indices can count.
const LAP: u64 = 70_000;

fn exchange<P: Shape, H: Field, T: Field>(size: u16, features: u64, count: u64) {
    exchange_over::<P, H, T>(Bus::Mmio, size, features, count);
}

/// Has `count` requests answered, in the order of the ring or in any other, in batches of any size.
fn exchange_over<P: Shape, H: Field, T: Field>(bus: Bus, size: u16, features: u64, count: u64) {
    let Rig { mut driver, mut oracle, memory, .. } = rig_over::<P, H, T>(bus, size, features, count ^ features);
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
            exchange::<Chain, [AtomicU64; 2], AtomicU8>(size, features, 800);
            exchange::<Segments, [AtomicU64; 2], AtomicU8>(size, features, 800);
            exchange::<Segments, [AtomicU64; 2], ()>(size, features, 800);
            exchange::<Chain, AtomicU8, [AtomicU64; 2]>(size, features, 800);
            exchange::<Chain, (), AtomicU8>(size, features, 800);
            exchange::<Chain, AtomicU8, ()>(size, features, 800);
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

#[test]
fn vq_27_28_a_device_that_completes_in_order_finds_tables_in_order() {
    exchange::<Chain, [AtomicU64; 2], AtomicU8>(64, INDIRECT | EVENT | IN_ORDER, LAP / 2);
    exchange::<Segments, [AtomicU64; 2], AtomicU8>(64, INDIRECT | EVENT | IN_ORDER, LAP / 4);
    exchange::<DmaBuf, (), ()>(16, INDIRECT | IN_ORDER, LAP / 2);
}

#[test]
fn every_kind_of_registers_leads_to_the_same_rings() {
    for bus in Bus::ALL {
        for features in [0, EVENT, INDIRECT, INDIRECT | EVENT] {
            exchange_over::<DmaBuf, (), ()>(bus, 32, features, 1_000);
            exchange_over::<Chain, [AtomicU64; 2], AtomicU8>(bus, 32, features, 1_000);
            exchange_over::<Segments, [AtomicU64; 2], AtomicU8>(bus, 32, features, 1_000);
        }
    }
}
