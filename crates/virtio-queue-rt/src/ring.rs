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

use toro_core::{Dma, OutOfDmaMemory, SharedRegion};

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

/// The memory of one split virtqueue, with its offsets.
#[derive(Debug)]
pub(crate) struct Rings {
    region: SharedRegion,
    size: u16,
    /// In 16-bit words from the start of the region.
    available: usize,
    used: usize,
    /// The used ring's elements, in 64-bit words from the start of the region.
    used_elements: usize,
    /// In bytes.
    headers: usize,
    trailers: usize,
}

impl Rings {
    /// Zeroed rings of `size` descriptors (a power of two), and room for cells of these sizes in each of `slots`
    /// slots.
    pub fn new(
        memory: Dma,
        size: u16,
        slots: u16,
        header_size: usize,
        trailer_size: usize,
    ) -> Result<Self, OutOfDmaMemory> {
        debug_assert!(size.is_power_of_two() && size <= MAX_SIZE);
        let n = usize::from(size);
        let available = 16 * n;
        // The used ring's flags and index share a cache line with its first elements, and those are aligned to
        // their size: the ring starts at 4 modulo 64.
        let used = (available + 6 + 2 * n).next_multiple_of(64) + 4;
        let headers = (used + 6 + 8 * n).next_multiple_of(64);
        let trailers = (headers + usize::from(slots) * header_size).next_multiple_of(64);
        let end = trailers + usize::from(slots) * trailer_size;
        let region = SharedRegion::new(memory, end)?;
        Ok(Self {
            region,
            size,
            available: available / 2,
            used: used / 2,
            used_elements: (used + 4) / 8,
            headers,
            trailers,
        })
    }

    pub fn size(&self) -> u16 {
        self.size
    }

    pub fn region(&self) -> &SharedRegion {
        &self.region
    }

    /// Offset of the header cells, in bytes.
    pub fn headers(&self) -> usize {
        self.headers
    }

    /// Offset of the trailer cells, in bytes.
    pub fn trailers(&self) -> usize {
        self.trailers
    }

    pub fn addresses(&self) -> RingAddresses {
        RingAddresses {
            size: self.size,
            descriptors: self.region.bus_addr(0),
            available: self.region.bus_addr(self.available * 2),
            used: self.region.bus_addr(self.used * 2),
        }
    }

    #[inline]
    fn word(&self, index: usize) -> &AtomicU16 {
        self.region.at::<AtomicU16>(index)
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
        let entry = self.region.at::<[AtomicU64; 2]>(usize::from(index));
        entry[0].store(descriptor.address.to_le(), Ordering::Relaxed);
        entry[1].store(rest.to_le(), Ordering::Relaxed);
    }

    /// Puts the head of a chain at `position` of the available ring, unless it is there already: a device that
    /// completes in order then finds the line unchanged in its cache.
    #[inline]
    pub fn write_available(&self, position: u16, head: u16) {
        let entry = self.word(self.available + 2 + usize::from(position & (self.size - 1)));
        let head = head.to_le();
        if entry.load(Ordering::Relaxed) != head {
            entry.store(head, Ordering::Relaxed);
        }
    }

    pub fn available_flags(&self) -> &AtomicU16 {
        self.word(self.available)
    }

    pub fn available_index(&self) -> &AtomicU16 {
        self.word(self.available + 1)
    }

    /// Where the driver says after which completion it wants an interrupt.
    pub fn used_event(&self) -> &AtomicU16 {
        self.word(self.available + 2 + usize::from(self.size))
    }

    pub fn used_flags(&self) -> &AtomicU16 {
        self.word(self.used)
    }

    pub fn used_index(&self) -> &AtomicU16 {
        self.word(self.used + 1)
    }

    /// Where the device says after which buffer it wants a notification.
    pub fn avail_event(&self) -> &AtomicU16 {
        self.word(self.used + 2 + 4 * usize::from(self.size))
    }

    /// Reads a used element, each field once: the id of the head, and the number of bytes written.
    #[inline]
    pub fn used_element(&self, position: u16) -> (u32, u32) {
        let index = self.used_elements + usize::from(position & (self.size - 1));
        let element = self.region.at::<[AtomicU32; 2]>(index);
        (u32::from_le(element[0].load(Ordering::Relaxed)), u32::from_le(element[1].load(Ordering::Relaxed)))
    }
}
