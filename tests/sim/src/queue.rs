//! The device's side of a split virtqueue.
//!
//! It looks at the rings as the specification describes them, in the byte order that the interface prescribes, and
//! panics where a driver does what none may do. What the driver left in memory can be looked at, too.

mod chain;

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

pub use chain::{PoppedChain, RawDescriptor};

use crate::device::QueueSetup;
use crate::memory::GuestMemory;

/// The features that change what a ring looks like.
pub mod feature {
    /// Chains may be in tables of their own.
    pub const INDIRECT_DESC: u64 = 1 << 28;
    /// Each side says at which index it wants to be woken.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// Little-endian rings; without it, the device is a legacy one and its rings are in the guest's byte order.
    pub const VERSION_1: u64 = 1 << 32;
    /// Chains are used in the order of the table.
    pub const IN_ORDER: u64 = 1 << 35;
}

/// The device's view of one queue.
#[derive(Debug)]
pub struct DeviceQueue {
    memory: &'static dyn GuestMemory,
    setup: QueueSetup,
    /// What was negotiated.
    features: u64,
    next_available: u16,
    used_index: u16,
    /// The used index when interrupts were last considered.
    signalled: u16,
    /// With IN_ORDER: the descriptor that has to be used next.
    next_descriptor: u16,
}

impl DeviceQueue {
    /// Starts at index 0 of rings that the driver set up with a modern device.
    pub fn new(memory: &'static dyn GuestMemory, setup: QueueSetup, has_event_idx: bool) -> Self {
        let event_idx = if has_event_idx { feature::EVENT_IDX } else { 0 };
        Self::negotiated(memory, setup, feature::VERSION_1 | event_idx)
    }

    /// Starts at index 0 of rings that the driver set up after these features had been negotiated.
    pub fn negotiated(memory: &'static dyn GuestMemory, setup: QueueSetup, features: u64) -> Self {
        assert!(setup.size.is_power_of_two(), "VQ-3");
        assert_eq!((setup.descriptors % 16, setup.available % 2, setup.used % 4), (0, 0, 0), "VQ-1");
        Self { memory, setup, features, next_available: 0, used_index: 0, signalled: 0, next_descriptor: 0 }
    }

    /// The number of descriptors.
    pub fn size(&self) -> u16 {
        self.setup.size
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    /// An atomic word of shared memory.
    fn u16_at(&self, address: u64) -> &AtomicU16 {
        // SAFETY: `at` checked the address; the rings are reached through atomics by both sides.
        unsafe { self.memory.at(address, 2).cast::<AtomicU16>().as_ref() }
    }

    fn u32_at(&self, address: u64) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.memory.at(address, 4).cast::<AtomicU32>().as_ref() }
    }

    fn u64_at(&self, address: u64) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.memory.at(address, 8).cast::<AtomicU64>().as_ref() }
    }

    /// Between the ring's byte order and ours; the same way in both directions.
    fn order16(&self, word: u16) -> u16 {
        if self.has(feature::VERSION_1) { u16::from_le(word) } else { word }
    }

    fn order32(&self, word: u32) -> u32 {
        if self.has(feature::VERSION_1) { u32::from_le(word) } else { word }
    }

    fn order64(&self, word: u64) -> u64 {
        if self.has(feature::VERSION_1) { u64::from_le(word) } else { word }
    }

    /// The driver's index in the available ring.
    pub fn available_index(&self, ordering: Ordering) -> u16 {
        self.order16(self.u16_at(self.setup.available + 2).load(ordering))
    }

    /// The driver's flags in the available ring.
    pub fn available_flags(&self) -> u16 {
        self.order16(self.u16_at(self.setup.available).load(Ordering::Relaxed))
    }

    /// The entry of the available ring at a free-running position.
    pub fn available_entry(&self, position: u16) -> u16 {
        let at = self.setup.available + 4 + 2 * u64::from(position % self.setup.size);
        self.order16(self.u16_at(at).load(Ordering::Relaxed))
    }

    /// After which used element the driver wants an interrupt (EVENT_IDX).
    pub fn used_event(&self) -> u16 {
        self.order16(self.u16_at(self.setup.available + 4 + 2 * u64::from(self.setup.size)).load(Ordering::Relaxed))
    }

    /// The device's own flags, and the index after which it wants a kick (EVENT_IDX).
    pub fn kick_wish(&self) -> (u16, u16) {
        let event = self.setup.used + 4 + 8 * u64::from(self.setup.size);
        let load = |at| self.order16(self.u16_at(at).load(Ordering::Relaxed));
        (load(self.setup.used), load(event))
    }

    /// A descriptor of the ring's table.
    pub fn descriptor(&self, index: u16) -> RawDescriptor {
        assert!(index < self.setup.size, "descriptor {index}, beyond the table");
        self.descriptor_in(self.setup.descriptors, index)
    }

    /// A descriptor of any table.
    pub fn descriptor_in(&self, table: u64, index: u16) -> RawDescriptor {
        let at = table + 16 * u64::from(index);
        let address = self.order64(self.u64_at(at).load(Ordering::Relaxed));
        // One access, as the driver's; the fields then lie in it as they do in memory.
        let rest = self.u64_at(at + 8).load(Ordering::Relaxed).to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = rest;
        RawDescriptor {
            address,
            len: self.order32(u32::from_ne_bytes([a, b, c, d])),
            flags: self.order16(u16::from_ne_bytes([e, f])),
            next: self.order16(u16::from_ne_bytes([g, h])),
        }
    }

    /// Takes the next chain, if the driver has made one available.
    ///
    /// # Panics
    ///
    /// If the chain is one that no driver may make (VQ-5, VQ-7 to VQ-13, VQ-27, VQ-28).
    pub fn pop(&mut self) -> Option<PoppedChain> {
        let available = self.available_index(Ordering::Acquire);
        if available == self.next_available {
            return None;
        }
        let size = self.setup.size;
        let waiting = available.wrapping_sub(self.next_available);
        assert!(waiting <= size, "VQ-13: the available index is {waiting} ahead of a queue of {size}");
        let head = self.available_entry(self.next_available);
        self.next_available = self.next_available.wrapping_add(1);
        let mut chain = PoppedChain { head, ..PoppedChain::default() };
        let mut index = head;
        loop {
            let descriptor = self.descriptor(index);
            if self.has(feature::IN_ORDER) {
                assert_eq!(index, self.next_descriptor, "VQ-27: descriptors in the order of the table");
                self.next_descriptor = (index + 1) % size;
            }
            if descriptor.is(RawDescriptor::INDIRECT) {
                self.walk_table(descriptor, &mut chain);
                return Some(chain);
            }
            assert_eq!(descriptor.flags & !(RawDescriptor::NEXT | RawDescriptor::WRITE), 0, "unknown flags");
            chain.add(descriptor, size);
            if !descriptor.is(RawDescriptor::NEXT) {
                return Some(chain);
            }
            index = descriptor.next;
        }
    }

    /// Follows the chain into a table of its own.
    fn walk_table(&self, reference: RawDescriptor, chain: &mut PoppedChain) {
        let RawDescriptor { address, len, flags, .. } = reference;
        assert!(self.has(feature::INDIRECT_DESC), "VQ-9: INDIRECT was not negotiated");
        assert_eq!(flags & RawDescriptor::NEXT, 0, "VQ-11: INDIRECT and NEXT");
        assert_eq!(flags, RawDescriptor::INDIRECT, "VQ-12: INDIRECT with other flags");
        assert!(len > 0 && len.is_multiple_of(16), "VQ-12: a table of {len} bytes");
        chain.table = Some((address, len));
        let mut index = 0;
        loop {
            assert!(u32::from(index) < len / 16, "VQ-12: entry {index} of a table of {len} bytes");
            let descriptor = self.descriptor_in(address, index);
            assert!(!descriptor.is(RawDescriptor::INDIRECT), "VQ-10: a table in a table");
            chain.add(descriptor, self.setup.size);
            if !descriptor.is(RawDescriptor::NEXT) {
                return;
            }
            if self.has(feature::IN_ORDER) {
                assert_eq!(descriptor.next, index + 1, "VQ-28: a table in order");
            }
            index = descriptor.next;
        }
    }

    /// Copies what the driver gave to be read.
    pub fn read(&self, chain: &PoppedChain) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(address, len) in &chain.readable {
            let from = self.memory.at(address, len as usize);
            // SAFETY: `at` checked the range; the driver does not touch a buffer in flight.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(from.as_ptr(), len as usize) });
        }
        bytes
    }

    /// Copies bytes at a bus address, whatever their direction.
    pub fn peek(&self, address: u64, len: u32) -> Vec<u8> {
        let chain = PoppedChain { readable: vec![(address, len)], ..PoppedChain::default() };
        self.read(&chain)
    }

    /// Writes to the driver's buffers, as far as they reach; returns how many bytes that was.
    pub fn write(&self, chain: &PoppedChain, mut bytes: &[u8]) -> u32 {
        let mut written = 0;
        for &(address, len) in &chain.writable {
            let part = bytes.len().min(len as usize);
            let to = self.memory.at(address, len as usize);
            // SAFETY: `at` checked the range; the driver does not touch a buffer in flight.
            unsafe { to.copy_from_nonoverlapping(std::ptr::NonNull::from(bytes).cast(), part) };
            bytes = &bytes[part..];
            written += part as u32;
        }
        written
    }

    /// Writes a used element without showing it yet.
    pub fn write_used(&mut self, position: u16, id: u32, len: u32) {
        let at = self.setup.used + 4 + 8 * u64::from(position % self.setup.size);
        self.u32_at(at).store(self.order32(id), Ordering::Relaxed);
        self.u32_at(at + 4).store(self.order32(len), Ordering::Relaxed);
    }

    /// What a used element holds, id and length.
    pub fn used_element(&self, position: u16) -> (u32, u32) {
        let at = self.setup.used + 4 + 8 * u64::from(position % self.setup.size);
        let load = |at| self.order32(self.u32_at(at).load(Ordering::Relaxed));
        (load(at), load(at + 4))
    }

    /// Shows the driver a used index.
    pub fn show_used_index(&mut self, index: u16) {
        self.used_index = index;
        self.u16_at(self.setup.used + 2).store(self.order16(index), Ordering::Release);
    }

    /// The used index last shown.
    pub fn used_index(&self) -> u16 {
        self.used_index
    }

    /// Gives a chain back.
    pub fn push(&mut self, id: u32, len: u32) {
        self.write_used(self.used_index, id, len);
        self.show_used_index(self.used_index.wrapping_add(1));
    }

    /// Gives the next `count` chains back with the one element that names the last of them (IN_ORDER, §2.7.9).
    pub fn push_batch(&mut self, count: u16, last: u32, len: u32) {
        self.write_used(self.used_index, last, len);
        self.show_used_index(self.used_index.wrapping_add(count));
    }

    /// Gives a chain back and says at once whether the driver wants an interrupt: nothing but the fence lies
    /// between showing the used index and looking at the driver's wish, which is when a driver that orders its
    /// own two accesses wrongly is most likely to be caught.
    pub fn push_and_signal(&mut self, id: u32, len: u32) -> bool {
        self.write_used(self.used_index, id, len);
        let old = std::mem::replace(&mut self.signalled, self.used_index.wrapping_add(1));
        self.used_index = self.signalled;
        let index = self.u16_at(self.setup.used + 2);
        let wish = self.u16_at(self.wish());
        index.store(self.order16(self.used_index), Ordering::Release);
        fence(Ordering::SeqCst);
        self.is_wished(self.order16(wish.load(Ordering::Relaxed)), old)
    }

    /// Whether the driver wants an interrupt for what was pushed since the last time this was asked.
    pub fn wants_interrupt(&mut self) -> bool {
        fence(Ordering::SeqCst);
        let old = std::mem::replace(&mut self.signalled, self.used_index);
        old != self.used_index && self.is_wished(self.order16(self.u16_at(self.wish()).load(Ordering::Relaxed)), old)
    }

    /// Where the driver says when it wants an interrupt: `used_event`, or the flags of the available ring.
    fn wish(&self) -> u64 {
        match self.has(feature::EVENT_IDX) {
            true => self.setup.available + 4 + 2 * u64::from(self.setup.size),
            false => self.setup.available,
        }
    }

    /// What that word means for a used index that has moved from `old` to where it is.
    fn is_wished(&self, wish: u16, old: u16) -> bool {
        match self.has(feature::EVENT_IDX) {
            true => self.used_index.wrapping_sub(wish).wrapping_sub(1) < self.used_index.wrapping_sub(old),
            false => wish & 1 == 0,
        }
    }

    /// Asks the driver to kick for the next chain and looks again; `true`: there is one already.
    pub fn enable_kicks(&mut self) -> bool {
        let (at, value) = match self.has(feature::EVENT_IDX) {
            true => (self.setup.used + 4 + 8 * u64::from(self.setup.size), self.next_available),
            false => (self.setup.used, 0),
        };
        // Found before, so that nothing but the fence lies between the two accesses.
        let (wish, index) = (self.u16_at(at), self.u16_at(self.setup.available + 2));
        wish.store(self.order16(value), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.order16(index.load(Ordering::Relaxed)) != self.next_available
    }

    /// Tells the driver that kicks are not needed, where the ring can say so.
    pub fn disable_kicks(&mut self) {
        if !self.has(feature::EVENT_IDX) {
            self.u16_at(self.setup.used).store(self.order16(1), Ordering::Relaxed);
        }
    }

    /// Overwrites an indirect table with junk.
    pub fn scribble_table(&self, table: u64, len: u32) {
        for word in 0..u64::from(len) / 8 {
            self.u64_at(table + 8 * word).store(0xdead_beef_dead_beef, Ordering::Relaxed);
        }
    }

    /// Overwrites what the device says about kicks, flags and index alike.
    pub fn scribble_kick_wish(&self, word: u16) {
        self.u16_at(self.setup.used).store(word, Ordering::Relaxed);
        self.u16_at(self.setup.used + 4 + 8 * u64::from(self.setup.size)).store(word, Ordering::Relaxed);
    }

    /// Overwrites the descriptor table and the available ring with junk, as a lying device may.
    pub fn scribble(&self) {
        for word in 0..2 * u64::from(self.setup.size) {
            self.u64_at(self.setup.descriptors + 8 * word).store(0xdead_beef_dead_beef, Ordering::Relaxed);
        }
        for entry in 0..u64::from(self.setup.size) {
            self.u16_at(self.setup.available + 4 + 2 * entry).store(0xdead, Ordering::Relaxed);
        }
    }
}
