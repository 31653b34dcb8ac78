//! A driver and a device with any features, the rings between them, and buffers.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::DmaPool;
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::{Chain, Wanted};
use virtio_sim::{PoppedChain, SimMemory};

use crate::common::{Bench, Buffers, bench_in};

pub use crate::common::buffer;
pub use virtio_sim::queue::feature::{EVENT_IDX, IN_ORDER, INDIRECT_DESC};

/// Header and trailer of most requests.
pub type Header = [AtomicU64; 2];
pub type Trailer = AtomicU8;

/// What a ring may be like, as far as chains go.
/// Miri is slow, and looks at the two ends.
pub const RINGS: &[u64] = match cfg!(miri) {
    true => &[0, INDIRECT_DESC | EVENT_IDX],
    false => &[0, EVENT_IDX, INDIRECT_DESC, INDIRECT_DESC | EVENT_IDX],
};

/// A device in service, its queue from both sides, and buffers of 64 bytes.
pub type Rig<P, K, H = (), T = ()> = Bench<P, K, H, T>;

/// A queue of `size` descriptors of a modern device that offers `features`, all of which are accepted.
pub fn rig<P: Payload, K, H: Cell, T: Cell>(size: u16, features: u64) -> Rig<P, K, H, T> {
    rig_wanting(size.into(), features)
}

/// As [`rig`], for requests of so many buffers.
pub fn rig_wanting<P: Payload, K, H: Cell, T: Cell>(wanted: Wanted, features: u64) -> Rig<P, K, H, T> {
    let buffers = Buffers { count: 4 * usize::from(wanted.descriptors) + 4, size: 64 };
    bench_in(SimMemory::leak(), wanted, features, buffers)
}

/// A chain with those parts whose bits are set: two readable ones, two writable ones, each of another length.
pub fn chain(pool: &mut DmaPool, parts: u8) -> Chain {
    let mut part = |number: u8, bytes: &[u8]| (parts >> number & 1 == 1).then(|| buffer(pool, bytes));
    Chain {
        readable: [part(0, &[0x10; 3]), part(1, &[0x11; 5])],
        writable: [part(2, &[0xee; 7]), part(3, &[0xee; 11])],
    }
}

/// How many buffers such a chain has.
pub fn count(parts: u8) -> usize {
    (parts & 15).count_ones() as usize
}

impl<P: Payload, K, H: Cell, T: Cell> Rig<P, K, H, T> {
    /// Shows what was submitted, and takes everything that the device sees.
    pub fn pop_all(&mut self) -> Vec<PoppedChain> {
        let _ = self.queue.publish();
        std::iter::from_fn(|| self.other.pop()).collect()
    }
}
