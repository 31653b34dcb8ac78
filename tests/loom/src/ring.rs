//! The memory of one virtqueue.
//!
//! The words of the handshake are atomics. Everything that they protect is a plain cell here, even what the queue
//! reaches with relaxed atomics: loom then reports each access that is not ordered after the other side's, and not just
//! those whose value gives them away.
//!
//! It is in a plain `Arc`: one of loom's would order its owners' ends, and abort where a failed check unwinds.

use loom::cell::Cell;

use crate::word::ModelWord;

/// Slots, and entries of each ring.
pub const SIZE: u16 = 2;

/// Flag of either ring: "do not wake me".
pub const SUPPRESS: u16 = 1;

/// How the two sides say when they want to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wishes {
    /// VIRTIO_F_EVENT_IDX was not negotiated.
    ByFlag,
    /// It was.
    ByIndex,
}

impl Wishes {
    pub const BOTH: [Self; 2] = [Self::ByFlag, Self::ByIndex];
}

/// A plain value that two threads reach.
pub struct Plain<T>(Cell<T>);

// SAFETY: loom runs one thread at a time, and panics before an access that is not ordered after those of other threads.
unsafe impl<T: Send> Sync for Plain<T> {}

impl<T: Copy> Plain<T> {
    fn new(value: T) -> Self {
        Self(Cell::new(value))
    }

    pub fn get(&self) -> T {
        self.0.get()
    }

    pub fn set(&self, value: T) {
        self.0.set(value);
    }
}

/// What a descriptor says: which buffer, and how much of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptor {
    pub buffer: u16,
    pub len: u32,
}

/// An element of the used ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub id: u16,
    pub len: u32,
}

/// The three tables, and the buffers.
pub struct Ring {
    pub descriptors: [Plain<Descriptor>; SIZE as usize],
    pub available_flags: ModelWord,
    pub available_index: ModelWord,
    pub available: [Plain<u16>; SIZE as usize],
    pub used_event: ModelWord,
    pub used_flags: ModelWord,
    pub used_index: ModelWord,
    pub used: [Plain<Used>; SIZE as usize],
    pub avail_event: ModelWord,
    pub buffers: [Plain<u32>; SIZE as usize],
}

impl Ring {
    /// An idle ring after `start` requests, none of whose sides wants to be woken.
    pub fn new(start: u16, wishes: Wishes) -> Self {
        let flags = if wishes == Wishes::ByFlag { SUPPRESS } else { 0 };
        let long_ago = start.wrapping_sub(9);
        Self {
            descriptors: std::array::from_fn(|_| Plain::new(Descriptor::default())),
            available_flags: ModelWord::new(flags),
            available_index: ModelWord::new(start),
            available: std::array::from_fn(|_| Plain::new(0)),
            used_event: ModelWord::new(long_ago),
            used_flags: ModelWord::new(flags),
            used_index: ModelWord::new(start),
            used: std::array::from_fn(|_| Plain::new(Used::default())),
            avail_event: ModelWord::new(long_ago),
            buffers: std::array::from_fn(|_| Plain::new(0)),
        }
    }
}

/// Where a free-running index points.
pub fn place(index: u16) -> usize {
    usize::from(index % SIZE)
}

/// Whether an index that moved from `old` to `new` passed `at`, step by step.
pub fn passes(at: u16, old: u16, new: u16) -> bool {
    let mut index = old;
    while index != new {
        if index == at {
            return true;
        }
        index = index.wrapping_add(1);
    }
    false
}
