//! What a request may carry: buffers that move into the queue, and cells that live in it.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use toro_core::dma::{LARGEST_BUFFER, LONGEST_TRANSFER, Segments};
use toro_core::{BusAddr, DmaBuf, SharedArrays};

use super::layout::{Fixed, Layout, Varying};

mod sealed {
    pub trait Sealed {}
}

/// Which way the bytes of a payload go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads them.
    ToDevice,
    /// The device writes them.
    FromDevice,
}

/// The buffers of a request.
///
/// Sealed: an implementation that named other memory than it owns would let a device write anywhere.
pub trait Payload: sealed::Sealed {
    /// How its direction is said.
    type Direction: Copy;
    /// The most descriptors that it can take.
    #[doc(hidden)]
    const MOST: u16;
    /// Whether a queue has room for as many as its maker says, and not for [`MOST`](Self::MOST).
    #[doc(hidden)]
    const IS_OPEN: bool = false;
    /// The most bytes that it can have.
    #[doc(hidden)]
    const LONGEST: u64 = Self::MOST as u64 * LARGEST_BUFFER as u64;
    /// What a slot remembers of the last one: something if it may take fewer descriptors than the most.
    #[doc(hidden)]
    type Layout: Layout;

    /// How many descriptors it takes; `None` if the device could not accept it.
    #[doc(hidden)]
    fn descriptors(&self) -> Option<u16>;

    /// Names each buffer, readable ones first: address, length, and whether the device may write.
    #[doc(hidden)]
    fn each(&self, direction: Self::Direction, visit: impl FnMut(BusAddr, u32, bool));
}

impl sealed::Sealed for DmaBuf {}

impl Payload for DmaBuf {
    type Direction = Direction;
    const MOST: u16 = 1;
    type Layout = Fixed;

    #[inline]
    fn descriptors(&self) -> Option<u16> {
        (!self.is_empty()).then_some(1)
    }

    #[inline]
    fn each(&self, direction: Direction, mut visit: impl FnMut(BusAddr, u32, bool)) {
        visit(self.bus_addr(), self.len() as u32, direction == Direction::FromDevice);
    }
}

impl sealed::Sealed for Option<DmaBuf> {}

impl Payload for Option<DmaBuf> {
    type Direction = Direction;
    const MOST: u16 = 1;
    type Layout = Varying;

    #[inline]
    fn descriptors(&self) -> Option<u16> {
        match self {
            Some(buffer) => buffer.descriptors(),
            None => Some(0),
        }
    }

    #[inline]
    fn each(&self, direction: Direction, visit: impl FnMut(BusAddr, u32, bool)) {
        if let Some(buffer) = self {
            buffer.each(direction, visit);
        }
    }
}

/// Up to two buffers for the device to read and up to two for it to write, in this order (VIRTIO 1.3 §2.7.4.2).
///
/// It is what a request with bulk data in its middle needs: a small header and the data, each way.
#[derive(Debug, Default)]
pub struct Chain {
    /// Read by the device.
    pub readable: [Option<DmaBuf>; 2],
    /// Written by the device.
    pub writable: [Option<DmaBuf>; 2],
}

impl sealed::Sealed for Chain {}

impl Payload for Chain {
    type Direction = ();
    const MOST: u16 = 4;
    type Layout = Varying;

    #[inline]
    fn descriptors(&self) -> Option<u16> {
        let mut count = 0;
        for buffer in self.readable.iter().chain(&self.writable).flatten() {
            if buffer.is_empty() {
                return None;
            }
            count += 1;
        }
        Some(count)
    }

    #[inline]
    fn each(&self, (): (), mut visit: impl FnMut(BusAddr, u32, bool)) {
        for buffer in self.readable.iter().flatten() {
            visit(buffer.bus_addr(), buffer.len() as u32, false);
        }
        for buffer in self.writable.iter().flatten() {
            visit(buffer.bus_addr(), buffer.len() as u32, true);
        }
    }
}

/// One buffer in two descriptors: its first bytes, and the rest.
///
/// It is what devices want that have not left the layout of requests open
/// ([`ANY_LAYOUT`](crate::FeatureBits::ANY_LAYOUT)) and whose headers lie directly in front of the data (§5.1.6.6).
#[derive(Debug)]
pub struct Divided {
    buffer: DmaBuf,
    front: u32,
}

impl Divided {
    /// Gives the first `front` bytes of a buffer a descriptor of their own. There has to be at least one byte on either
    /// side, or no queue takes it.
    pub fn new(buffer: DmaBuf, front: usize) -> Self {
        let front = u32::try_from(front).unwrap_or(0);
        Self { buffer, front }
    }

    /// The buffer.
    pub fn into_buffer(self) -> DmaBuf {
        self.buffer
    }
}

impl sealed::Sealed for Divided {}

impl Payload for Divided {
    type Direction = Direction;
    const MOST: u16 = 2;
    type Layout = Fixed;

    #[inline]
    fn descriptors(&self) -> Option<u16> {
        (self.front > 0 && (self.front as usize) < self.buffer.len()).then_some(2)
    }

    #[inline]
    fn each(&self, direction: Direction, mut visit: impl FnMut(BusAddr, u32, bool)) {
        let is_writable = direction == Direction::FromDevice;
        visit(self.buffer.bus_addr(), self.front, is_writable);
        // `descriptors` has seen that the front is shorter.
        let rest = self.buffer.bus_addr_at(self.front as usize);
        visit(rest, self.buffer.len() as u32 - self.front, is_writable);
    }
}

impl sealed::Sealed for Segments {}

/// None, one, or as many buffers as the queue was made for, all in one direction.
impl Payload for Segments {
    type Direction = Direction;
    const MOST: u16 = MOST_SEGMENTS;
    const IS_OPEN: bool = true;
    const LONGEST: u64 = LONGEST_TRANSFER;
    type Layout = Varying;

    #[inline]
    fn descriptors(&self) -> Option<u16> {
        match self {
            Self::None => Some(0),
            Self::One(buffer) => buffer.descriptors(),
            // Without the feature `alloc` there is no other kind.
            #[allow(unreachable_patterns)]
            _ => count_segments(self.as_slice()),
        }
    }

    #[inline]
    fn each(&self, direction: Direction, mut visit: impl FnMut(BusAddr, u32, bool)) {
        let is_writable = direction == Direction::FromDevice;
        // Most have one: it is spared the loop.
        if let Self::One(buffer) = self {
            return visit(buffer.bus_addr(), buffer.len() as u32, is_writable);
        }
        for buffer in self.as_slice() {
            visit(buffer.bus_addr(), buffer.len() as u32, is_writable);
        }
    }
}

/// The most buffers of a [`Segments`] that a queue can take: with header and trailer they are 256 descriptors, which is
/// as large as queues mostly are.
pub const MOST_SEGMENTS: u16 = 254;

/// How many descriptors these buffers take; `None` for what no device can accept.
fn count_segments(buffers: &[DmaBuf]) -> Option<u16> {
    // Looked at first: so the sum of lengths is small enough for 64 bits, and soon found.
    let count = u16::try_from(buffers.len()).ok().filter(|&count| count <= MOST_SEGMENTS)?;
    let mut bytes = 0;
    for buffer in buffers {
        if buffer.is_empty() {
            return None;
        }
        bytes += buffer.len() as u64;
    }
    (bytes <= LONGEST_TRANSFER).then_some(count)
}

/// A small value per slot in queue memory, next to the payload: a request's header or its status byte.
///
/// Sealed, like [`Payload`].
pub trait Cell: sealed::Sealed {
    /// What is stored in it.
    type Value: Copy;
    /// Its size in bytes.
    #[doc(hidden)]
    const SIZE: usize;
    /// 1, or 0 for the cell that is not there.
    #[doc(hidden)]
    const DESCRIPTORS: u16 = (Self::SIZE > 0) as u16;

    /// Stores a value in the cell of a slot, one of array `A`. Published with the request.
    #[doc(hidden)]
    fn store<const A: usize, const N: usize, const W: usize>(
        arrays: &SharedArrays<N, W>,
        slot: usize,
        value: Self::Value,
    );
    /// Loads the value, once.
    #[doc(hidden)]
    fn load<const A: usize, const N: usize, const W: usize>(arrays: &SharedArrays<N, W>, slot: usize) -> Self::Value;
}

impl sealed::Sealed for () {}

/// No cell.
impl Cell for () {
    type Value = ();
    const SIZE: usize = 0;

    #[inline]
    fn store<const A: usize, const N: usize, const W: usize>(_: &SharedArrays<N, W>, _: usize, (): ()) {}
    #[inline]
    fn load<const A: usize, const N: usize, const W: usize>(_: &SharedArrays<N, W>, _: usize) {}
}

impl sealed::Sealed for AtomicU8 {}

/// One byte.
impl Cell for AtomicU8 {
    type Value = u8;
    const SIZE: usize = 1;

    #[inline]
    fn store<const A: usize, const N: usize, const W: usize>(arrays: &SharedArrays<N, W>, slot: usize, value: u8) {
        arrays.at::<A, Self>(slot).store(value, Ordering::Relaxed);
    }
    #[inline]
    fn load<const A: usize, const N: usize, const W: usize>(arrays: &SharedArrays<N, W>, slot: usize) -> u8 {
        arrays.at::<A, Self>(slot).load(Ordering::Relaxed)
    }
}

impl sealed::Sealed for [AtomicU8; 2] {}

/// Two bytes.
impl Cell for [AtomicU8; 2] {
    type Value = [u8; 2];
    const SIZE: usize = 2;

    #[inline]
    fn store<const A: usize, const N: usize, const W: usize>(arrays: &SharedArrays<N, W>, slot: usize, value: [u8; 2]) {
        let cell = arrays.at::<A, Self>(slot);
        cell[0].store(value[0], Ordering::Relaxed);
        cell[1].store(value[1], Ordering::Relaxed);
    }
    #[inline]
    fn load<const A: usize, const N: usize, const W: usize>(arrays: &SharedArrays<N, W>, slot: usize) -> [u8; 2] {
        let cell = arrays.at::<A, Self>(slot);
        [cell[0].load(Ordering::Relaxed), cell[1].load(Ordering::Relaxed)]
    }
}

impl sealed::Sealed for [AtomicU64; 2] {}

/// Sixteen bytes, as two little-endian words.
impl Cell for [AtomicU64; 2] {
    type Value = [u64; 2];
    const SIZE: usize = 16;

    #[inline]
    fn store<const A: usize, const N: usize, const W: usize>(
        arrays: &SharedArrays<N, W>,
        slot: usize,
        value: [u64; 2],
    ) {
        let cell = arrays.at::<A, Self>(slot);
        cell[0].store(value[0].to_le(), Ordering::Relaxed);
        cell[1].store(value[1].to_le(), Ordering::Relaxed);
    }
    #[inline]
    fn load<const A: usize, const N: usize, const W: usize>(arrays: &SharedArrays<N, W>, slot: usize) -> [u64; 2] {
        let cell = arrays.at::<A, Self>(slot);
        [u64::from_le(cell[0].load(Ordering::Relaxed)), u64::from_le(cell[1].load(Ordering::Relaxed))]
    }
}
