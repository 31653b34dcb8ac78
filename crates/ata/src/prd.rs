//! The table of physical region descriptors: what a bus master knows of memory (Bus Master IDE 1.0 §1.2).
//!
//! ```text
//!   entry   [ address: u32, even ][ bytes: u16, even, 0 is 65536 ][ flags: u16, bit 15 in the last ]
//! ```
//!
//! No region crosses a multiple of 64 KiB, nor does the table, which here is a page. The master sees no more than 4 GiB.
//! The regions together are exactly as long as the command's data: with less or more in the table, controllers end in
//! different ways, and some do not say that they have ended.

use core::sync::atomic::{AtomicU32, Ordering};

use toro_core::dma::Segments;
use toro_core::{Dma, SharedRegion};

use crate::memory::Cursor;

/// Entries in a table of one page.
const ENTRIES: usize = 512;
const TABLE_BYTES: usize = ENTRIES * 8;
/// No region crosses a multiple of this.
const BOUNDARY: u64 = 1 << 16;
/// The first address out of reach.
const REACH: u64 = 1 << 32;
/// The last entry.
const END: u32 = 1 << 31;

/// The table of one channel. The master reads it while a command runs; nobody writes it then.
pub(crate) struct PrdTable {
    region: SharedRegion,
    address: u32,
}

impl PrdTable {
    /// A table where the bus master can read it, if the platform has such memory.
    pub(crate) fn new(memory: Dma) -> Option<Self> {
        let region = SharedRegion::new(memory, TABLE_BYTES).ok()?;
        let address = region.bus_addr(0).get();
        let is_reachable = address.is_multiple_of(TABLE_BYTES as u64) && address + TABLE_BYTES as u64 <= REACH;
        is_reachable.then_some(Self { region, address: address as u32 })
    }

    /// What the master is told.
    pub(crate) fn address(&self) -> u32 {
        self.address
    }

    /// Describes `bytes` bytes from a place in a request on. `bytes` is no more than [`fitting`] says.
    pub(crate) fn fill(&self, segments: &Segments, from: Cursor, bytes: usize) {
        let mut left = bytes;
        for (index, (address, length)) in regions(segments, from, bytes).take(ENTRIES).enumerate() {
            left -= length;
            // 65,536 is written as 0.
            let length = length as u32 & 0xffff;
            let end = if left == 0 { END } else { 0 };
            self.region.at::<AtomicU32>(2 * index).store(address as u32, Ordering::Relaxed);
            self.region.at::<AtomicU32>(2 * index + 1).store(length | end, Ordering::Relaxed);
        }
    }
}

/// Whether the bus master can reach all of these buffers.
pub(crate) fn is_reachable(segments: &Segments) -> bool {
    segments.as_slice().iter().all(|buffer| {
        let address = buffer.bus_addr().get();
        let end = address.checked_add(buffer.len() as u64);
        address.is_multiple_of(2) && buffer.len().is_multiple_of(2) && end.is_some_and(|end| end <= REACH)
    })
}

/// How many of the `most` bytes from a place on a table can describe, in whole blocks.
pub(crate) fn fitting(segments: &Segments, from: Cursor, most: usize, block: usize) -> usize {
    let bytes: usize = regions(segments, from, most).take(ENTRIES).map(|(_, length)| length).sum();
    bytes - bytes % block
}

/// The regions of the first `bytes` bytes from a place on.
fn regions(segments: &Segments, from: Cursor, bytes: usize) -> impl Iterator<Item = (u64, usize)> {
    let mut cursor = from;
    let mut left = bytes;
    core::iter::from_fn(move || {
        loop {
            let buffer = segments.as_slice().get(cursor.segment)?;
            let rest = buffer.len().saturating_sub(cursor.offset).min(left);
            if left == 0 {
                return None;
            }
            if rest == 0 {
                cursor = Cursor { segment: cursor.segment + 1, offset: 0 };
                continue;
            }
            let address = buffer.bus_addr().get() + cursor.offset as u64;
            let length = rest.min((BOUNDARY - address % BOUNDARY) as usize);
            cursor.offset += length;
            left -= length;
            return Some((address, length));
        }
    })
}
