//! Where the parts of a split virtqueue lie (VIRTIO 1.3 §2.7).
//!
//! A virtqueue is three tables in memory that both sides see. The driver writes the first two, the device the
//! third. Behind them, in the same region, lie the header and trailer cells that a queue may have per slot.
//!
//! ```text
//!   driver writes                              device writes
//!   descriptor table      available ring       used ring                 cells
//!   [0] addr len NEXT -+  flags                flags                     header[0] header[1] ..
//!   [1] addr len WRITE<+  idx: 5               idx: 4                    trailer[0] ..
//!   ..                    [0][2][4]..          [(0, 60)][(2, 0)]..
//!                         used_event           avail_event
//! ```
//!
//! All of it is little-endian in a modern device. Accesses are atomic: the device is one more thread.

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use toro_core::{BusAddr, Dma, OutOfDmaMemory, SharedArrays, SharedRegion};

use crate::queue::Cell;
use crate::transport::RingAddresses;

/// Descriptor flag: the chain goes on at `next`.
const NEXT: u16 = 1;
/// Descriptor flag: the device writes this buffer.
const WRITE: u16 = 2;

/// Available ring flag: no interrupts, please. Used ring flag: no notifications, please.
pub(crate) const SUPPRESS: u16 = 1;

/// The largest queue there is.
pub(crate) const MAX_SIZE: u16 = 32_768;

/// One entry of the descriptor table.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor {
    pub address: u64,
    pub len: u32,
    pub is_writable: bool,
    pub next: Option<u16>,
}

/// The arrays in a queue's memory, by number. The heads are the words in front of a ring; since elements are aligned,
/// a head begins with two words that belong to nobody.
mod array {
    pub const DESCRIPTORS: usize = 0;
    pub const AVAILABLE_HEAD: usize = 1;
    pub const AVAILABLE: usize = 2;
    pub const USED_HEAD: usize = 3;
    pub const USED: usize = 4;
    pub const HEADERS: usize = 5;
    pub const TRAILERS: usize = 6;
    pub const COUNT: usize = 7;

    /// In a head: where flags and index are, in 16-bit words.
    pub const FLAGS: usize = 2;
    pub const INDEX: usize = 3;
}

/// The memory of one split virtqueue.
#[derive(Debug)]
pub(crate) struct Rings {
    arrays: SharedArrays<{ array::COUNT }>,
    size: u16,
    /// In bytes from the start of the region.
    available: usize,
    used: usize,
    headers: usize,
    trailers: usize,
    /// In 16-bit words from the start of the region.
    used_event: usize,
    avail_event: usize,
}

impl Rings {
    /// Zeroed rings of `size` descriptors (a power of two), and room for cells of these sizes (powers of two, or 0)
    /// in each of `slots` slots.
    pub fn new(
        memory: Dma,
        size: u16,
        slots: u16,
        header_size: usize,
        trailer_size: usize,
    ) -> Result<Self, OutOfDmaMemory> {
        debug_assert!(size.is_power_of_two() && size <= MAX_SIZE);
        let n = usize::from(size);
        let cells = usize::from(slots).next_power_of_two();
        // Flags and index of a ring share a cache line with its first elements, and those are aligned to their size:
        // the rings start at 4 modulo 64.
        let available = (16 * n).next_multiple_of(64) + 4;
        let used = (available + 6 + 2 * n).next_multiple_of(64) + 4;
        let headers = (used + 6 + 8 * n).next_multiple_of(64);
        let header_bytes = (cells * header_size).max(1);
        let trailers = (headers + header_bytes).next_multiple_of(64);
        let trailer_bytes = (cells * trailer_size).max(1);
        let region = SharedRegion::new(memory, trailers + trailer_bytes.max(16))?;
        let arrays = [
            (0, 16 * n),
            (available - 4, 8),
            (available + 4, 2 * n),
            (used - 4, 8),
            (used + 4, 8 * n),
            (headers, header_bytes),
            (trailers, trailer_bytes),
        ];
        Ok(Self {
            arrays: SharedArrays::new(region, arrays),
            size,
            available,
            used,
            headers,
            trailers,
            used_event: (available + 4 + 2 * n) / 2,
            avail_event: (used + 4 + 8 * n) / 2,
        })
    }

    fn region(&self) -> &SharedRegion {
        self.arrays.region()
    }

    /// Where the device finds the header cell of a slot.
    #[inline]
    pub fn header_address<H: Cell>(&self, slot: u16) -> BusAddr {
        self.region().bus_addr(self.headers + usize::from(slot) * H::SIZE)
    }

    /// Where the device finds the trailer cell of a slot.
    pub fn trailer_address<T: Cell>(&self, slot: u16) -> BusAddr {
        self.region().bus_addr(self.trailers + usize::from(slot) * T::SIZE)
    }

    /// Stores a slot's header. Published with the request.
    #[inline]
    pub fn store_header<H: Cell>(&self, slot: u16, value: H::Value) {
        H::store::<{ array::HEADERS }, { array::COUNT }>(&self.arrays, slot.into(), value);
    }

    /// Stores a slot's trailer. Published with the request.
    #[inline]
    pub fn store_trailer<T: Cell>(&self, slot: u16, value: T::Value) {
        T::store::<{ array::TRAILERS }, { array::COUNT }>(&self.arrays, slot.into(), value);
    }

    /// Loads a slot's trailer, once.
    #[inline]
    pub fn load_trailer<T: Cell>(&self, slot: u16) -> T::Value {
        T::load::<{ array::TRAILERS }, { array::COUNT }>(&self.arrays, slot.into())
    }

    pub fn addresses(&self) -> RingAddresses {
        RingAddresses {
            size: self.size,
            descriptors: self.region().bus_addr(0),
            available: self.region().bus_addr(self.available),
            used: self.region().bus_addr(self.used),
        }
    }

    /// Writes a descriptor, as two 64-bit stores. Relaxed: published by the store to the available index.
    #[inline]
    pub fn write_descriptor(&self, index: u16, descriptor: Descriptor) {
        let (next, has_next) = match descriptor.next {
            Some(next) => (next, NEXT),
            None => (0, 0),
        };
        let flags = has_next | if descriptor.is_writable { WRITE } else { 0 };
        let rest = u64::from(descriptor.len) | u64::from(flags) << 32 | u64::from(next) << 48;
        let entry = self.arrays.at::<{ array::DESCRIPTORS }, [AtomicU64; 2]>(index.into());
        entry[0].store(descriptor.address.to_le(), Ordering::Relaxed);
        entry[1].store(rest.to_le(), Ordering::Relaxed);
    }

    /// Puts the head of a chain at `position` of the available ring, unless it is there already: a device that
    /// completes in order then finds the line unchanged in its cache.
    #[inline]
    pub fn write_available(&self, position: u16, head: u16) {
        let entry = self.arrays.at::<{ array::AVAILABLE }, AtomicU16>(position.into());
        let head = head.to_le();
        if entry.load(Ordering::Relaxed) != head {
            entry.store(head, Ordering::Relaxed);
        }
    }

    #[inline]
    pub fn available_flags(&self) -> &AtomicU16 {
        self.arrays.front::<{ array::AVAILABLE_HEAD }, { array::FLAGS }, AtomicU16>()
    }

    #[inline]
    pub fn available_index(&self) -> &AtomicU16 {
        self.arrays.front::<{ array::AVAILABLE_HEAD }, { array::INDEX }, AtomicU16>()
    }

    /// Where the driver says after which completion it wants an interrupt.
    #[inline]
    pub fn used_event(&self) -> &AtomicU16 {
        self.region().at(self.used_event)
    }

    #[inline]
    pub fn used_flags(&self) -> &AtomicU16 {
        self.arrays.front::<{ array::USED_HEAD }, { array::FLAGS }, AtomicU16>()
    }

    #[inline]
    pub fn used_index(&self) -> &AtomicU16 {
        self.arrays.front::<{ array::USED_HEAD }, { array::INDEX }, AtomicU16>()
    }

    /// Where the device says after which buffer it wants a notification.
    #[inline]
    pub fn avail_event(&self) -> &AtomicU16 {
        self.region().at(self.avail_event)
    }

    /// Reads a used element, each field once: the id of the head, and the number of bytes written.
    #[inline]
    pub fn used_element(&self, position: u16) -> (u32, u32) {
        let element = self.arrays.at::<{ array::USED }, [AtomicU32; 2]>(position.into());
        (u32::from_le(element[0].load(Ordering::Relaxed)), u32::from_le(element[1].load(Ordering::Relaxed)))
    }
}
