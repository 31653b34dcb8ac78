//! The device's side of a split virtqueue.

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use crate::device::QueueSetup;
use crate::memory::SimMemory;

/// A chain that the driver made available.
#[derive(Debug, Clone)]
pub struct PoppedChain {
    /// Its head.
    pub head: u16,
    /// Address and length of what the device reads.
    pub readable: Vec<(u64, u32)>,
    /// Address and length of what the device writes.
    pub writable: Vec<(u64, u32)>,
}

impl PoppedChain {
    /// How many bytes the device can write.
    pub fn writable_len(&self) -> u32 {
        self.writable.iter().map(|(_, len)| len).sum()
    }
}

/// The device's view of one queue.
#[derive(Debug)]
pub struct DeviceQueue {
    memory: &'static SimMemory,
    setup: QueueSetup,
    has_event_idx: bool,
    next_available: u16,
    used_index: u16,
    /// The used index when interrupts were last considered.
    signalled: u16,
}

impl DeviceQueue {
    /// Starts at index 0 of rings that the driver set up.
    pub fn new(memory: &'static SimMemory, setup: QueueSetup, has_event_idx: bool) -> Self {
        assert!(setup.size.is_power_of_two(), "VQ-3");
        assert_eq!((setup.descriptors % 16, setup.available % 2, setup.used % 4), (0, 0, 0), "VQ-1");
        Self { memory, setup, has_event_idx, next_available: 0, used_index: 0, signalled: 0 }
    }

    /// The number of descriptors.
    pub fn size(&self) -> u16 {
        self.setup.size
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

    fn available_index(&self, ordering: Ordering) -> u16 {
        self.u16_at(self.setup.available + 2).load(ordering)
    }

    /// The driver's flags in the available ring.
    pub fn available_flags(&self) -> u16 {
        self.u16_at(self.setup.available).load(Ordering::Relaxed)
    }

    /// Takes the next chain, if the driver has made one available.
    ///
    /// # Panics
    ///
    /// If the chain is one that no driver may make (VQ-5, VQ-7, VQ-8, VQ-9, VQ-13).
    pub fn pop(&mut self) -> Option<PoppedChain> {
        let available = self.available_index(Ordering::Acquire);
        if available == self.next_available {
            return None;
        }
        let size = self.setup.size;
        let waiting = available.wrapping_sub(self.next_available);
        assert!(waiting <= size, "VQ-13: the available index is {waiting} ahead of a queue of {size}");
        let entry = self.setup.available + 4 + 2 * u64::from(self.next_available % size);
        let head = self.u16_at(entry).load(Ordering::Relaxed);
        self.next_available = self.next_available.wrapping_add(1);
        let mut chain = PoppedChain { head, readable: Vec::new(), writable: Vec::new() };
        let mut index = head;
        loop {
            assert!(index < size, "a descriptor index beyond the table");
            let at = self.setup.descriptors + 16 * u64::from(index);
            let address = self.u64_at(at).load(Ordering::Relaxed);
            let rest = self.u64_at(at + 8).load(Ordering::Relaxed);
            let (len, flags, next) = (rest as u32, (rest >> 32) as u16, (rest >> 48) as u16);
            assert_eq!(flags & !3, 0, "VQ-9: only NEXT and WRITE were negotiated");
            assert!(len > 0, "zero-sized buffers are not allowed");
            if flags & 2 != 0 {
                chain.writable.push((address, len));
            } else {
                assert!(chain.writable.is_empty(), "VQ-5: readable after writable");
                chain.readable.push((address, len));
            }
            assert!(chain.readable.len() + chain.writable.len() <= usize::from(size), "VQ-7, VQ-8: too long");
            if flags & 1 == 0 {
                return Some(chain);
            }
            index = next;
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
        let chain = PoppedChain { head: 0, readable: vec![(address, len)], writable: Vec::new() };
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
        self.u32_at(at).store(id, Ordering::Relaxed);
        self.u32_at(at + 4).store(len, Ordering::Relaxed);
    }

    /// Shows the driver a used index.
    pub fn show_used_index(&mut self, index: u16) {
        self.used_index = index;
        self.u16_at(self.setup.used + 2).store(index, Ordering::Release);
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

    /// Gives a chain back and says at once whether the driver wants an interrupt: nothing but the fence lies
    /// between showing the used index and looking at the driver's wish, which is when a driver that orders its
    /// own two accesses wrongly is most likely to be caught.
    pub fn push_and_signal(&mut self, id: u32, len: u32) -> bool {
        self.write_used(self.used_index, id, len);
        let old = std::mem::replace(&mut self.signalled, self.used_index.wrapping_add(1));
        self.used_index = self.signalled;
        let index = self.u16_at(self.setup.used + 2);
        let wish = self.u16_at(self.wish());
        index.store(self.used_index, Ordering::Release);
        fence(Ordering::SeqCst);
        self.is_wished(wish.load(Ordering::Relaxed), old)
    }

    /// Whether the driver wants an interrupt for what was pushed since the last time this was asked.
    pub fn wants_interrupt(&mut self) -> bool {
        fence(Ordering::SeqCst);
        let old = std::mem::replace(&mut self.signalled, self.used_index);
        old != self.used_index && self.is_wished(self.u16_at(self.wish()).load(Ordering::Relaxed), old)
    }

    /// Where the driver says when it wants an interrupt: `used_event`, or the flags of the available ring.
    fn wish(&self) -> u64 {
        match self.has_event_idx {
            true => self.setup.available + 4 + 2 * u64::from(self.setup.size),
            false => self.setup.available,
        }
    }

    /// What that word means for a used index that has moved from `old` to where it is.
    fn is_wished(&self, wish: u16, old: u16) -> bool {
        match self.has_event_idx {
            true => self.used_index.wrapping_sub(wish).wrapping_sub(1) < self.used_index.wrapping_sub(old),
            false => wish & 1 == 0,
        }
    }

    /// Asks the driver to kick for the next chain and looks again; `true`: there is one already.
    pub fn enable_kicks(&mut self) -> bool {
        let (at, value) = match self.has_event_idx {
            true => (self.setup.used + 4 + 8 * u64::from(self.setup.size), self.next_available),
            false => (self.setup.used, 0),
        };
        // Found before, so that nothing but the fence lies between the two accesses.
        let (wish, index) = (self.u16_at(at), self.u16_at(self.setup.available + 2));
        wish.store(value, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        index.load(Ordering::Relaxed) != self.next_available
    }

    /// Tells the driver that kicks are not needed, where the ring can say so.
    pub fn disable_kicks(&mut self) {
        if !self.has_event_idx {
            self.u16_at(self.setup.used).store(1, Ordering::Relaxed);
        }
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
