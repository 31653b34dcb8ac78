//! The device: rust-vmm's queue, and the rules that it leaves to others.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use virtio_queue::desc::split::Descriptor;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use virtio_sim::QueueSetup;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::exchange::answer;
use crate::memory::GuestRam;

/// The feature bits that matter to a ring.
mod feature {
    pub const INDIRECT_DESC: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const IN_ORDER: u64 = 1 << 35;
}

/// A request that the device has taken from the available ring.
#[derive(Debug)]
pub struct Request {
    chain: DescriptorChain<&'static GuestMemoryMmap>,
    /// How many came before it.
    pub serial: u64,
    /// How many descriptors it has; those of an indirect table, if it has one.
    pub descriptors: usize,
    /// What it says.
    pub readable: Vec<u8>,
    /// How many bytes the answer may have.
    pub room: usize,
}

/// A device with one queue, implemented by rust-vmm.
#[derive(Debug)]
pub struct OracleDevice {
    memory: &'static GuestRam,
    queue: Queue,
    features: u64,
    taken: u64,
    /// How many requests had an indirect table.
    pub indirect: u64,
}

impl OracleDevice {
    /// Takes over what the driver wrote to the registers.
    ///
    /// # Panics
    ///
    /// If rust-vmm does not accept it (VQ-1, VQ-2, VQ-3).
    pub fn new(memory: &'static GuestRam, setup: QueueSetup, max_size: u16, features: u64) -> Self {
        let mut queue = Queue::new(max_size).expect("tests offer powers of two");
        queue.try_set_size(setup.size).expect("VQ-3: a power of two, not larger than the maximum");
        queue.try_set_desc_table_address(GuestAddress(setup.descriptors)).expect("VQ-1: the descriptor table");
        queue.try_set_avail_ring_address(GuestAddress(setup.available)).expect("VQ-1: the available ring");
        queue.try_set_used_ring_address(GuestAddress(setup.used)).expect("VQ-1: the used ring");
        queue.set_event_idx(features & feature::EVENT_IDX != 0);
        queue.set_ready(setup.is_ready);
        assert!(queue.is_valid(memory.mapped()), "VQ-2: rings of {} outside of memory", setup.size);
        Self { memory, queue, features, taken: 0, indirect: 0 }
    }

    /// What was negotiated.
    pub fn features(&self) -> u64 {
        self.features
    }

    /// Whether EVENT_IDX was.
    pub fn has_event_idx(&self) -> bool {
        self.features & feature::EVENT_IDX != 0
    }

    /// Whether completions have to come in order.
    pub fn is_in_order(&self) -> bool {
        self.features & feature::IN_ORDER != 0
    }

    /// How many requests it has taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next request.
    ///
    /// # Panics
    ///
    /// If it is one that no driver may make.
    pub fn pop(&mut self) -> Option<Request> {
        let memory = self.memory.mapped();
        let mut available = self.queue.iter(memory).expect("VQ-13: at most the queue's size ahead");
        let chain = available.next()?;
        let head = chain.head_index();
        assert!(head < self.queue.size(), "head {head} beyond the table");
        if self.is_in_order() {
            let next = self.taken % u64::from(self.queue.size());
            assert_eq!(u64::from(head), next, "VQ-27: one descriptor each, in the order of the table");
        }
        self.check_head(head);
        let (mut descriptors, mut length, mut writable) = (0, 0_u64, false);
        let mut goes_on = true;
        for descriptor in chain.clone() {
            descriptors += 1;
            length += u64::from(descriptor.len());
            goes_on = descriptor.has_next();
            let is_next = usize::from(descriptor.next()) == descriptors;
            assert!(!self.is_in_order() || !goes_on || is_next, "VQ-28: a table in order");
            assert!(descriptor.len() > 0, "an empty buffer");
            assert!(descriptor.is_write_only() || !writable, "VQ-5: readable after writable");
            writable |= descriptor.is_write_only();
        }
        // rust-vmm ends a chain silently where it is broken.
        assert!(descriptors > 0 && !goes_on, "a broken chain from {head}, after {descriptors} descriptors");
        assert!(descriptors <= usize::from(self.queue.size()), "VQ-8: {descriptors} descriptors");
        assert!(length <= 1 << 32, "VQ-7: {length} bytes");
        let mut reader = chain.clone().reader(memory).expect("readable buffers lie in memory");
        let mut readable = vec![0; reader.available_bytes()];
        reader.read_exact(&mut readable).expect("as many as there are");
        let room = chain.clone().writer(memory).expect("writable buffers lie in memory").available_bytes();
        let serial = self.taken;
        self.taken += 1;
        Some(Request { chain, serial, descriptors, readable, room })
    }

    /// The rules for a head that refers to an indirect table (VQ-9, VQ-11, VQ-12), which rust-vmm does not enforce.
    fn check_head(&mut self, head: u16) {
        let at = GuestAddress(self.queue.desc_table() + 16 * u64::from(head));
        let descriptor: Descriptor = self.memory.mapped().read_obj(at).expect("the table lies in memory");
        if !descriptor.refers_to_indirect_table() {
            return;
        }
        assert!(self.features & feature::INDIRECT_DESC != 0, "VQ-9: INDIRECT without the feature");
        assert!(!descriptor.has_next(), "VQ-11: INDIRECT and NEXT");
        assert!(!descriptor.is_write_only(), "VQ-12: INDIRECT and WRITE");
        let len = descriptor.len();
        assert!(len > 0 && len.is_multiple_of(16), "VQ-12: a table of {len} bytes");
        assert!(len / 16 <= u32::from(self.queue.size()), "VQ-8: a table of {} descriptors", len / 16);
        self.indirect += 1;
    }

    /// Writes the answer and gives the request back.
    pub fn answer(&mut self, request: Request) {
        let bytes = answer(request.serial, &request.readable, request.room);
        self.answer_with(request, &bytes);
    }

    /// Writes these bytes as the answer and gives the request back.
    pub fn answer_with(&mut self, request: Request, bytes: &[u8]) {
        let memory = self.memory.mapped();
        let head = request.chain.head_index();
        let mut writer = request.chain.writer(memory).expect("writable buffers lie in memory");
        writer.write_all(bytes).expect("not more than there is room for");
        self.queue.add_used(memory, head, bytes.len() as u32).expect("the used ring lies in memory");
    }

    /// Whether the driver wants an interrupt for what was given back since the last time this was asked.
    pub fn wants_interrupt(&mut self) -> bool {
        let memory = self.memory.mapped();
        // It orders the look after the used index, with or without EVENT_IDX; it leaves the flag to others.
        let wanted = self.queue.needs_notification(memory).expect("the available ring lies in memory");
        match self.has_event_idx() {
            true => wanted,
            false => self.available_flags() & 1 == 0,
        }
    }

    /// The flags of the available ring.
    pub fn available_flags(&self) -> u16 {
        let at = GuestAddress(self.queue.avail_ring());
        self.memory.mapped().load(at, Ordering::Relaxed).map(u16::from_le).expect("it lies in memory")
    }

    /// The index of the available ring.
    pub fn available_index(&self) -> u16 {
        self.queue.avail_idx(self.memory.mapped(), Ordering::Acquire).expect("it lies in memory").0
    }

    /// The index after which the device has asked to be notified.
    pub fn avail_event(&self) -> u16 {
        let at = GuestAddress(self.queue.used_ring() + 4 + 8 * u64::from(self.queue.size()));
        self.memory.mapped().load(at, Ordering::Relaxed).map(u16::from_le).expect("it lies in memory")
    }

    /// Asks to be notified of the next request, then looks once more; `true`: there is one already.
    pub fn enable_notification(&mut self) -> bool {
        self.queue.enable_notification(self.memory.mapped()).expect("the used ring lies in memory")
    }

    /// Asks not to be notified, where the ring can say so.
    pub fn disable_notification(&mut self) {
        self.queue.disable_notification(self.memory.mapped()).expect("the used ring lies in memory");
    }
}
