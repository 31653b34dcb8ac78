//! [`Peer`]: the device's side of a split virtqueue, obedient until it is told otherwise.
//!
//! It is written from the specification (VIRTIO 1.3 §2.7) and shares no code with the driver's side. As long as it has
//! not lied, it checks every chain that it is given; afterwards it takes what it finds.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use virtio_queue_rt::FeatureBits;
use virtio_sim::SimMemory;

use crate::script::Script;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A buffer of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its bus address.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
    /// Whether it is the device's to write.
    pub is_writable: bool,
}

/// A chain that the driver made available.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Its head.
    pub head: u16,
    /// Its buffers; none if it makes no sense, which is only ever the doing of the peer itself.
    pub parts: Vec<Part>,
}

impl Chain {
    /// How many bytes the device may write.
    pub fn writable(&self) -> u32 {
        self.parts.iter().filter(|part| part.is_writable).fold(0, |sum, part| sum.saturating_add(part.len))
    }
}

/// The device of one queue.
#[derive(Debug)]
pub struct Peer {
    memory: &'static SimMemory,
    size: u16,
    descriptors: u64,
    available: u64,
    used: u64,
    features: FeatureBits,
    next_available: u16,
    used_index: u16,
    /// Chains taken and not given back, oldest first.
    pub chains: VecDeque<Chain>,
    /// Whether it has lied, so that what it finds may be its own doing.
    pub is_lenient: bool,
}

impl Peer {
    /// At index 0 of rings that the driver set up: descriptor table, available ring, used ring.
    pub fn new(memory: &'static SimMemory, size: u16, parts: [u64; 3], features: FeatureBits) -> Self {
        let [descriptors, available, used] = parts;
        assert!(size.is_power_of_two(), "VQ-3");
        assert_eq!((descriptors % 16, available % 2, used % 4), (0, 0, 0), "VQ-1");
        Self {
            memory,
            size,
            descriptors,
            available,
            used,
            features,
            next_available: 0,
            used_index: 0,
            chains: VecDeque::new(),
            is_lenient: false,
        }
    }

    fn word(&self, address: u64) -> &AtomicU16 {
        // SAFETY: `at` checked the address; both sides reach the rings through atomics.
        unsafe { self.memory.at(address, 2).cast::<AtomicU16>().as_ref() }
    }

    fn long(&self, address: u64) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.memory.at(address, 4).cast::<AtomicU32>().as_ref() }
    }

    fn descriptor(&self, address: u64) -> (u64, u32, u16, u16) {
        let at = |offset| {
            // SAFETY: as above.
            let word: &AtomicU64 = unsafe { self.memory.at(address + offset, 8).cast().as_ref() };
            word.load(Ordering::Relaxed)
        };
        let rest = at(8);
        (at(0), rest as u32, (rest >> 32) as u16, (rest >> 48) as u16)
    }

    /// Takes every chain that the driver has made available.
    pub fn take_all(&mut self) {
        let index = self.word(self.available + 2).load(Ordering::Acquire);
        let waiting = index.wrapping_sub(self.next_available);
        assert!(self.is_lenient || waiting <= self.size, "VQ-13: the available index is {waiting} ahead");
        for _ in 0..waiting.min(self.size) {
            let entry = self.available + 4 + 2 * u64::from(self.next_available % self.size);
            let head = self.word(entry).load(Ordering::Relaxed);
            self.next_available = self.next_available.wrapping_add(1);
            match self.chain(head) {
                Ok(parts) => self.chains.push_back(Chain { head, parts }),
                Err(wrong) if !self.is_lenient => panic!("{wrong} in the chain at {head}"),
                Err(_) => self.chains.push_back(Chain { head, parts: Vec::new() }),
            }
        }
    }

    /// The buffers of a chain, or the rule that it breaks.
    fn chain(&self, head: u16) -> Result<Vec<Part>, &'static str> {
        if head >= self.size {
            return Err("VQ-6: a head beyond the table");
        }
        let (address, len, flags, _) = self.descriptor(self.descriptors + 16 * u64::from(head));
        if flags & INDIRECT == 0 {
            return self.walk(self.descriptors, self.size, head);
        }
        let count = u16::try_from(len / 16).map_err(|_| "VQ-10: a table longer than any queue")?;
        if !self.features.contains(FeatureBits::INDIRECT_DESC) {
            return Err("VQ-9: a table that was not negotiated");
        }
        if flags & (NEXT | WRITE) != 0 || !len.is_multiple_of(16) || count == 0 || count > self.size {
            return Err("VQ-10: a table with other flags, of no whole number of descriptors, or longer than the queue");
        }
        if !self.is_lenient {
            self.memory.at(address, len as usize);
        } else if self.memory.extent(address) < len as usize {
            return Err("a table outside of memory");
        }
        self.walk(address, count, 0)
    }

    /// Follows a chain in a table of `count` descriptors.
    fn walk(&self, table: u64, count: u16, first: u16) -> Result<Vec<Part>, &'static str> {
        let mut parts: Vec<Part> = Vec::new();
        let mut index = first;
        loop {
            if index >= count {
                return Err("VQ-6: a descriptor beyond its table");
            }
            let (address, len, flags, next) = self.descriptor(table + 16 * u64::from(index));
            let is_writable = flags & WRITE != 0;
            if flags & !(NEXT | WRITE) != 0 {
                return Err("VQ-9: flags that mean nothing here");
            }
            if len == 0 {
                return Err("an empty buffer");
            }
            if !is_writable && parts.last().is_some_and(|last| last.is_writable) {
                return Err("VQ-5: readable after writable");
            }
            parts.push(Part { address, len, is_writable });
            if parts.len() > usize::from(self.size) {
                return Err("VQ-7: a chain longer than the queue");
            }
            if flags & NEXT == 0 {
                return Ok(parts);
            }
            index = next;
        }
    }

    /// Fills the first `count` writable bytes of the chain with what [`fill`] says.
    pub fn write(&self, chain: &Chain, mut count: u32) {
        let mut position = 0;
        for part in chain.parts.iter().filter(|part| part.is_writable) {
            // A part that is longer is one that this device made up.
            let bytes = count.min(part.len).min(4096);
            for offset in 0..bytes {
                self.poke(part.address + u64::from(offset), fill(position));
                position += 1;
            }
            count -= bytes;
        }
    }

    /// Step of a script: something is given back, whatever it is (4 bytes), with some length (4).
    pub fn return_anything(&mut self, script: &Script<'_>) {
        self.is_lenient = true;
        let (id, len) = (script.long(), script.long());
        self.push(id, len, 1);
    }

    /// Step of a script: a used index (2 bytes) is shown.
    pub fn show_anything(&mut self, script: &Script<'_>) {
        self.is_lenient = true;
        self.show(script.word());
    }

    /// Step of a script: the queue's memory is overwritten somewhere (2 bytes) with something (8).
    pub fn spoil_anything(&mut self, script: &Script<'_>) {
        self.is_lenient = true;
        let (offset, value) = (script.word().into(), u64::from_le_bytes(script.bytes()));
        self.spoil(offset, value);
    }

    /// Writes one byte wherever there is memory.
    pub fn poke(&self, address: u64, value: u8) {
        if self.memory.extent(address) > 0 {
            let byte: NonNull<AtomicU8> = self.memory.at(address, 1).cast();
            // SAFETY: as for rings; buffers are not touched by the driver while they are in flight.
            unsafe { byte.as_ref() }.store(value, Ordering::Relaxed);
        }
    }

    /// Gives a chain back, or the last of a batch of `batch` of them.
    pub fn push(&mut self, id: u32, len: u32, batch: u16) {
        self.write_used(self.used_index, id, len);
        self.show(self.used_index.wrapping_add(batch));
    }

    /// Writes a used element.
    pub fn write_used(&self, position: u16, id: u32, len: u32) {
        let at = self.used + 4 + 8 * u64::from(position % self.size);
        self.long(at).store(id, Ordering::Relaxed);
        self.long(at + 4).store(len, Ordering::Relaxed);
    }

    /// What the used element at a position holds: an id and a length.
    pub fn used_element(&self, position: u16) -> (u32, u32) {
        let at = self.used + 4 + 8 * u64::from(position % self.size);
        (self.long(at).load(Ordering::Relaxed), self.long(at + 4).load(Ordering::Relaxed))
    }

    /// Shows a used index.
    pub fn show(&mut self, index: u16) {
        self.used_index = index;
        self.word(self.used + 2).store(index, Ordering::Release);
    }

    /// The used index that the driver would read now.
    pub fn used_index(&self) -> u16 {
        self.word(self.used + 2).load(Ordering::Relaxed)
    }

    fn has_event_idx(&self) -> bool {
        self.features.contains(FeatureBits::EVENT_IDX)
    }

    /// Writes the flags of the used ring.
    pub fn set_flags(&self, flags: u16) {
        self.word(self.used).store(flags, Ordering::Relaxed);
    }

    /// Writes `avail_event`, if there is one.
    pub fn set_avail_event(&self, index: u16) {
        if self.has_event_idx() {
            self.word(self.used + 4 + 8 * u64::from(self.size)).store(index, Ordering::Relaxed);
        }
    }

    /// Whether a driver that moves the available index from `old` to `new` must notify now (§2.7.13.4).
    pub fn wants_kick(&self, old: u16, new: u16) -> bool {
        if !self.has_event_idx() {
            return self.word(self.used).load(Ordering::Relaxed) & 1 == 0;
        }
        let event = self.word(self.used + 4 + 8 * u64::from(self.size)).load(Ordering::Relaxed);
        std::iter::successors(Some(old), |index| Some(index.wrapping_add(1)))
            .take_while(|i| *i != new)
            .any(|i| i == event)
    }

    /// Whether using one more buffer now would have to interrupt (§2.7.7.2).
    pub fn would_interrupt(&self) -> bool {
        match self.has_event_idx() {
            true => {
                let event = self.available + 4 + 2 * u64::from(self.size);
                self.word(event).load(Ordering::Relaxed) == self.used_index
            }
            false => self.word(self.available).load(Ordering::Relaxed) & 1 == 0,
        }
    }

    /// Overwrites eight bytes anywhere in the memory that holds the rings, and whatever else the driver keeps there.
    pub fn spoil(&mut self, offset: u64, value: u64) {
        let extent = self.memory.extent(self.descriptors) as u64;
        let start = self.descriptors + offset % extent.max(1);
        for (place, byte) in (start..).zip(value.to_le_bytes()) {
            if place < self.descriptors + extent {
                self.poke(place, byte);
            }
        }
    }
}

/// What an obedient device writes as the byte at `position` of what it may write.
pub fn fill(position: u32) -> u8 {
    (position % 251) as u8 ^ 0x5a
}
