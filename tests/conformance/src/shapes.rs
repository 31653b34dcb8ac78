//! What requests look like: payloads and cells of every kind, filled at random.

use std::sync::atomic::{AtomicU8, AtomicU64};

use toro_core::dma::Segments;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::queue::{Cell, Payload};
use virtio_queue_rt::{Chain, Direction};

use crate::exchange::Random;

/// A payload that tests can make, look at and take apart.
pub trait Shape: Payload + Sized {
    /// The most buffers it takes.
    const BUFFERS: usize;

    /// One at random.
    fn make(pool: &mut DmaPool, random: &mut Random) -> (Self, Self::Direction);
    /// What the device can read of it.
    fn readable(&self, direction: Self::Direction) -> Vec<u8>;
    /// What lies where the device can write.
    fn writable(&self, direction: Self::Direction) -> Vec<u8>;
    /// Gives its buffers back.
    fn recycle(self, pool: &mut DmaPool);
}

/// A buffer of random length and contents.
fn buffer(pool: &mut DmaPool, random: &mut Random) -> DmaBuf {
    let mut buffer = pool.take().expect("the pool has a buffer for every request in flight");
    let len = 1 + random.below(pool.buffer_size());
    buffer.set_len(len).expect("not more than its size");
    random.fill(&mut buffer);
    buffer
}

fn direction(random: &mut Random) -> Direction {
    if random.below(2) == 0 { Direction::ToDevice } else { Direction::FromDevice }
}

impl Shape for DmaBuf {
    const BUFFERS: usize = 1;

    fn make(pool: &mut DmaPool, random: &mut Random) -> (Self, Direction) {
        (buffer(pool, random), direction(random))
    }
    fn readable(&self, direction: Direction) -> Vec<u8> {
        if direction == Direction::ToDevice { self.to_vec() } else { Vec::new() }
    }
    fn writable(&self, direction: Direction) -> Vec<u8> {
        if direction == Direction::FromDevice { self.to_vec() } else { Vec::new() }
    }
    fn recycle(self, pool: &mut DmaPool) {
        pool.recycle(self);
    }
}

impl Shape for Option<DmaBuf> {
    const BUFFERS: usize = 1;

    /// There is none in one of four; only good behind a header.
    fn make(pool: &mut DmaPool, random: &mut Random) -> (Self, Direction) {
        ((random.below(4) > 0).then(|| buffer(pool, random)), direction(random))
    }
    fn readable(&self, direction: Direction) -> Vec<u8> {
        self.as_ref().map_or_else(Vec::new, |buffer| Shape::readable(buffer, direction))
    }
    fn writable(&self, direction: Direction) -> Vec<u8> {
        self.as_ref().map_or_else(Vec::new, |buffer| Shape::writable(buffer, direction))
    }
    fn recycle(self, pool: &mut DmaPool) {
        if let Some(buffer) = self {
            pool.recycle(buffer);
        }
    }
}

impl Shape for Chain {
    const BUFFERS: usize = 4;

    /// Every combination of parts, except none at all.
    fn make(pool: &mut DmaPool, random: &mut Random) -> (Self, ()) {
        let parts = 1 + random.below(15);
        let mut part = |number: u32| (parts >> number & 1 == 1).then(|| buffer(pool, random));
        (Self { readable: [part(0), part(1)], writable: [part(2), part(3)] }, ())
    }
    fn readable(&self, (): ()) -> Vec<u8> {
        self.readable.iter().flatten().flat_map(|buffer| buffer.to_vec()).collect()
    }
    fn writable(&self, (): ()) -> Vec<u8> {
        self.writable.iter().flatten().flat_map(|buffer| buffer.to_vec()).collect()
    }
    fn recycle(self, pool: &mut DmaPool) {
        for buffer in self.readable.into_iter().chain(self.writable).flatten() {
            pool.recycle(buffer);
        }
    }
}

impl Shape for Segments {
    const BUFFERS: usize = 6;

    /// Up to six; none is only good behind a header.
    fn make(pool: &mut DmaPool, random: &mut Random) -> (Self, Direction) {
        let mut buffers: Vec<_> = (0..random.below(Self::BUFFERS + 1)).map(|_| buffer(pool, random)).collect();
        let segments = match buffers.len() {
            0 => Self::None,
            1 => buffers.pop().map_or(Self::None, Self::One),
            _ => buffers.into(),
        };
        (segments, direction(random))
    }
    fn readable(&self, direction: Direction) -> Vec<u8> {
        self.as_slice().iter().flat_map(|buffer| Shape::readable(buffer, direction)).collect()
    }
    fn writable(&self, direction: Direction) -> Vec<u8> {
        self.as_slice().iter().flat_map(|buffer| Shape::writable(buffer, direction)).collect()
    }
    fn recycle(self, pool: &mut DmaPool) {
        match self {
            Self::None => {}
            Self::One(buffer) => pool.recycle(buffer),
            Self::Many(buffers) => buffers.into_vec().into_iter().for_each(|buffer| pool.recycle(buffer)),
        }
    }
}

/// A cell that tests can fill and look at.
pub trait Field: Cell {
    /// A value at random.
    fn make(random: &mut Random) -> Self::Value;
    /// A value as the device sees it.
    fn bytes(value: Self::Value) -> Vec<u8>;
}

impl Field for () {
    fn make(_: &mut Random) {}
    fn bytes((): ()) -> Vec<u8> {
        Vec::new()
    }
}

impl Field for AtomicU8 {
    fn make(random: &mut Random) -> u8 {
        random.next() as u8
    }
    fn bytes(value: u8) -> Vec<u8> {
        vec![value]
    }
}

impl Field for [AtomicU64; 2] {
    fn make(random: &mut Random) -> [u64; 2] {
        [random.next(), random.next()]
    }
    fn bytes(value: [u64; 2]) -> Vec<u8> {
        value.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}
