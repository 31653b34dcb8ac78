//! Where the parts of a split virtqueue lie (VIRTIO 1.3 §2.7).
//!
//! A virtqueue is three tables in memory that both sides see. The driver writes the first two, the device the
//! third. Behind them, in the same region, lie what a queue may have per slot: header and trailer cells, and a table
//! of descriptors for a request that has one of its own.
//!
//! ```text
//!   driver writes                              device writes          per slot
//!   descriptor table      available ring       used ring              cells         tables
//!   [0] addr len NEXT -+  flags                flags                  header[0] ..  [0] addr len NEXT
//!   [1] addr len WRITE<+  idx: 5               idx: 4                 trailer[0] .. [1] addr len WRITE
//!   [2] table INDIRECT    [0][2][4]..          [(0, 60)][(2, 0)]..
//!   ..                    used_event           avail_event
//! ```
//!
//! The three lie where it suits the caches in a modern device; in a legacy one they are one block, the used ring at
//! the next multiple of the queue's alignment (§2.7.2). Accesses are atomic: the device is one more thread. Words are
//! little-endian in a modern device and in the byte order of the guest in a legacy one (§2.7.3), which is the same on
//! most machines.

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use toro_core::{BusAddr, Dma, OutOfDmaMemory, SharedArrays, SharedRegion};

use crate::handshake::Handshake;
use crate::queue::Cell;
use crate::transport::{Interface, RingAddresses};

/// Descriptor flag: the chain goes on at `next`.
const NEXT: u16 = 1;
/// Descriptor flag: the device writes this buffer.
const WRITE: u16 = 2;
/// Descriptor flag: the buffer is a table of descriptors.
const INDIRECT: u16 = 4;
/// The size of a descriptor in bytes.
const DESCRIPTOR: usize = 16;

/// The largest queue there is.
pub(crate) const MAX_SIZE: u16 = 32_768;

/// One entry of a table of descriptors.
#[derive(Clone, Copy)]
pub(crate) struct Descriptor {
    pub address: u64,
    pub len: u32,
    pub is_writable: bool,
    pub next: Option<u16>,
}

/// What a queue needs memory for.
#[derive(Clone, Copy)]
pub(crate) struct Needs {
    /// Descriptors: a power of two.
    pub size: u16,
    /// Slots, at most as many.
    pub slots: u16,
    /// Sizes of the cells in bytes: powers of two, or 0.
    pub header: usize,
    pub trailer: usize,
    /// Descriptors in the table of each slot; 0 if they have none.
    pub table: u16,
    pub interface: Interface,
}

/// The arrays in a queue's memory, by number. The heads are the words in front of a ring.
mod array {
    /// Where the descriptors of requests are written: the descriptor table, or the tables of the slots.
    pub const PARTS: usize = 0;
    pub const DESCRIPTORS: usize = 1;
    pub const HEADERS: usize = 2;
    pub const TRAILERS: usize = 3;
    /// As many as have cells of 64-bit words.
    pub const WIDE: usize = 4;
    pub const AVAILABLE_HEAD: usize = 4;
    pub const AVAILABLE: usize = 5;
    pub const USED_HEAD: usize = 6;
    pub const USED: usize = 7;
    pub const AVAIL_EVENT: usize = 8;
    pub const COUNT: usize = 9;

    /// In a head: where flags and index are, in 16-bit words.
    pub const FLAGS: usize = 0;
    pub const INDEX: usize = 1;
}

/// The memory of one split virtqueue.
#[derive(Debug)]
pub(crate) struct Rings {
    arrays: SharedArrays<{ array::COUNT }, { array::WIDE }>,
    order: ByteOrder,
    size: u16,
    /// In bytes from the start of the region.
    available: usize,
    used: usize,
    headers: usize,
    trailers: usize,
    tables: usize,
    /// In 16-bit words from the start of the region.
    used_event: usize,
}

/// In which order the bytes of a word are, in memory shared with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteOrder {
    Little,
    Guest,
}

macro_rules! convert {
    ($($name:ident: $word:ty),*) => {$(
        /// From the guest's order to the shared one, and back.
        #[inline(always)]
        fn $name(self, word: $word) -> $word {
            // Where the two are the same there is nothing to look at.
            if cfg!(target_endian = "little") || self == Self::Guest { word } else { word.swap_bytes() }
        }
    )*};
}

impl ByteOrder {
    convert!(u16: u16, u32: u32, u64: u64);
}

impl Rings {
    /// Zeroed rings, and what the slots need.
    pub fn new(memory: Dma, needs: Needs) -> Result<Self, OutOfDmaMemory> {
        let Needs { size, slots, .. } = needs;
        debug_assert!(size.is_power_of_two() && size <= MAX_SIZE && slots <= size);
        let n = usize::from(size);
        let (available, used, end) = match needs.interface {
            Interface::Modern => {
                // Flags and index of a ring share a cache line with its first elements, and those are aligned to their
                // size: the rings start at 4 modulo 64.
                let available = (DESCRIPTOR * n).next_multiple_of(64) + 4;
                let used = (available + 6 + 2 * n).next_multiple_of(64) + 4;
                (available, used, used + 6 + 8 * n)
            }
            Interface::Legacy { queue_align, .. } => {
                let available = DESCRIPTOR * n;
                let used = (available + 6 + 2 * n).next_multiple_of(queue_align.into());
                (available, used, (used + 6 + 8 * n).next_multiple_of(queue_align.into()))
            }
        };
        let cells = usize::from(slots).next_power_of_two();
        let headers = end.next_multiple_of(64);
        let header_bytes = (cells * needs.header).max(1);
        let trailers = (headers + header_bytes).next_multiple_of(64);
        let trailer_bytes = (cells * needs.trailer).max(1);
        let tables = (trailers + trailer_bytes).next_multiple_of(64);
        let table_bytes = cells * usize::from(stride(needs.table)) * DESCRIPTOR;
        // Every array has room for the largest cell.
        let region = SharedRegion::new(memory, tables + table_bytes.max(DESCRIPTOR))?;
        let parts = if needs.table == 0 { (0, DESCRIPTOR * n) } else { (tables, table_bytes) };
        let arrays = [
            parts,
            (0, DESCRIPTOR * n),
            (headers, header_bytes),
            (trailers, trailer_bytes),
            (available, 4),
            (available + 4, 2 * n),
            (used, 4),
            (used + 4, 8 * n),
            (used + 4 + 8 * n, 2),
        ];
        Ok(Self {
            arrays: SharedArrays::new(region, arrays),
            order: if needs.interface == Interface::Modern { ByteOrder::Little } else { ByteOrder::Guest },
            size,
            available,
            used,
            headers,
            trailers,
            tables,
            used_event: (available + 4 + 2 * n) / 2,
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
    #[inline]
    pub fn trailer_address<T: Cell>(&self, slot: u16) -> BusAddr {
        self.region().bus_addr(self.trailers + usize::from(slot) * T::SIZE)
    }

    /// Stores a slot's header. Published with the request.
    #[inline]
    pub fn store_header<H: Cell>(&self, slot: u16, value: H::Value) {
        H::store::<{ array::HEADERS }, { array::COUNT }, { array::WIDE }>(&self.arrays, slot.into(), value);
    }

    /// Stores a slot's trailer. Published with the request.
    #[inline]
    pub fn store_trailer<T: Cell>(&self, slot: u16, value: T::Value) {
        T::store::<{ array::TRAILERS }, { array::COUNT }, { array::WIDE }>(&self.arrays, slot.into(), value);
    }

    /// Loads a slot's trailer, once.
    #[inline]
    pub fn load_trailer<T: Cell>(&self, slot: u16) -> T::Value {
        T::load::<{ array::TRAILERS }, { array::COUNT }, { array::WIDE }>(&self.arrays, slot.into())
    }

    pub fn addresses(&self) -> RingAddresses {
        RingAddresses {
            size: self.size,
            descriptors: self.region().bus_addr(0),
            available: self.region().bus_addr(self.available),
            used: self.region().bus_addr(self.used),
        }
    }

    /// Writes a descriptor of a request, as two 64-bit stores, at an index of the descriptor table, or of the tables of
    /// all slots. Relaxed: published by the store to the available index.
    #[inline]
    pub fn write_part(&self, index: usize, descriptor: Descriptor) {
        let (next, has_next) = match descriptor.next {
            Some(next) => (next, NEXT),
            None => (0, 0),
        };
        let flags = has_next | if descriptor.is_writable { WRITE } else { 0 };
        let entry = self.arrays.at::<{ array::PARTS }, [AtomicU64; 2]>(index);
        self.write_entry(entry, descriptor.address, descriptor.len, flags, next);
    }

    /// Makes the descriptor of a slot refer to the first `count` entries of its table, which has room for `most`.
    #[inline]
    pub fn refer_to_table(&self, slot: u16, count: u16, most: u16) {
        let offset = (usize::from(slot) << stride(most).ilog2()) * DESCRIPTOR;
        let address = self.region().bus_addr(self.tables + offset);
        let entry = self.arrays.at::<{ array::DESCRIPTORS }, [AtomicU64; 2]>(slot.into());
        self.write_entry(entry, address.get(), u32::from(count) * DESCRIPTOR as u32, INDIRECT, 0);
    }

    #[inline(always)]
    fn write_entry(&self, entry: &[AtomicU64; 2], address: u64, len: u32, flags: u16, next: u16) {
        entry[0].store(self.order.u64(address), Ordering::Relaxed);
        let rest = if cfg!(target_endian = "big") && self.order == ByteOrder::Guest {
            u64::from(len) << 32 | u64::from(flags) << 16 | u64::from(next)
        } else {
            self.order.u64(u64::from(len) | u64::from(flags) << 32 | u64::from(next) << 48)
        };
        entry[1].store(rest, Ordering::Relaxed);
    }

    /// Puts the head of a chain at `position` of the available ring, unless it is there already: a device that
    /// completes in order then finds the line unchanged in its cache.
    #[inline]
    pub fn write_available(&self, position: u16, head: u16) {
        let entry = self.arrays.at::<{ array::AVAILABLE }, AtomicU16>(position.into());
        let head = self.order.u16(head);
        if entry.load(Ordering::Relaxed) != head {
            entry.store(head, Ordering::Relaxed);
        }
    }

    /// The words by which the two sides tell each other how far they are.
    #[inline(always)]
    pub fn handshake(&self, has_event_idx: bool) -> Handshake<'_, AtomicU16, impl Fn(u16) -> u16> {
        let order = self.order;
        Handshake {
            available_flags: self.arrays.front::<{ array::AVAILABLE_HEAD }, { array::FLAGS }, AtomicU16>(),
            available_index: self.arrays.front::<{ array::AVAILABLE_HEAD }, { array::INDEX }, AtomicU16>(),
            used_flags: self.arrays.front::<{ array::USED_HEAD }, { array::FLAGS }, AtomicU16>(),
            used_index: self.arrays.front::<{ array::USED_HEAD }, { array::INDEX }, AtomicU16>(),
            avail_event: has_event_idx.then(|| self.arrays.front::<{ array::AVAIL_EVENT }, 0, AtomicU16>()),
            convert: move |word| order.u16(word),
        }
    }

    /// Where the driver says after which completion it wants an interrupt (EVENT_IDX).
    #[inline]
    pub fn used_event(&self) -> &AtomicU16 {
        self.region().at(self.used_event)
    }

    /// Reads a used element, each field once: the id of the head, and the number of bytes written.
    #[inline]
    pub fn used_element(&self, position: u16) -> (u32, u32) {
        let element = self.arrays.at::<{ array::USED }, [AtomicU32; 2]>(position.into());
        (self.order.u32(element[0].load(Ordering::Relaxed)), self.order.u32(element[1].load(Ordering::Relaxed)))
    }
}

/// How far apart the tables of slots are, in descriptors, if each has `table` of them.
pub(crate) const fn stride(table: u16) -> u16 {
    if table == 0 { 0 } else { table.next_power_of_two() }
}
