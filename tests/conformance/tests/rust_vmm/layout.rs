//! Where the rings are: rust-vmm looks at the addresses and says whether they can be.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::DmaBuf;
use virtio_conformance::{Bus, Field, Rig, Shape, rig_over};
use virtio_queue_rt::Chain;

use crate::{EVENT, INDIRECT, RINGS};

/// Fills the queue once, and has all of it answered.
fn one_round<P: Shape, H: Field, T: Field>(bus: Bus, size: u16, features: u64) {
    let Rig { mut driver, mut oracle, memory, .. } = rig_over::<P, H, T>(bus, size, features, u64::from(size));
    for _ in 0..driver.capacity() {
        driver.submit();
    }
    let _ = driver.publish();
    while let Some(request) = oracle.pop() {
        oracle.answer(request);
    }
    assert_eq!(driver.drain(), driver.capacity());
    assert_eq!(driver.room(), driver.capacity());
    assert_eq!(driver.retire(), 0);
    assert_eq!(memory.blocks(), 0, "all memory came home");
}

#[test]
fn vq_1_2_3_every_size_is_accepted_and_can_be_filled() {
    for power in 0..16 {
        one_round::<DmaBuf, (), ()>(Bus::Mmio, 1 << power, RINGS[power % 5]);
    }
}

#[test]
fn vq_1_2_3_cells_do_not_disturb_the_rings() {
    for features in RINGS {
        for size in [8, 64, 1024] {
            one_round::<Chain, [AtomicU64; 2], AtomicU8>(Bus::Pci, size, features);
            one_round::<Chain, AtomicU8, [AtomicU64; 2]>(Bus::Mmio, size, features);
        }
    }
}

#[test]
fn vq_30_a_legacy_queue_is_where_its_page_says() {
    for bus in [Bus::LegacyMmio, Bus::LegacyPci] {
        for power in 0..16 {
            one_round::<DmaBuf, (), ()>(bus, 1 << power, [0, EVENT][power % 2]);
        }
        for features in [0, EVENT, INDIRECT, INDIRECT | EVENT] {
            one_round::<Chain, [AtomicU64; 2], AtomicU8>(bus, 64, features);
        }
    }
}
