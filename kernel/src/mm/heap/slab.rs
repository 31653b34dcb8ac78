//! A slab: one or four frames cut into blocks of one class, all of one core.
//!
//! ```text
//!   slab, aligned to its size
//!   | header, 64 bytes | block | block | block | ... | block | rest |
//!     owner, class        |               ^
//!     free  --------------+---------------+---> null           free blocks, the last freed first
//!     frees to an event
//! ```
//!
//! A block's slab is found by rounding its address down. The header says whose it is, which every core may read, as it
//! does not change while a block is out; everything else is the owner's alone.
//!
//! # States
//!
//! ```text
//!   Current --- nothing left ---> Full --- a block is freed ---> Partial --- every block is free ---> gone
//!      ^                                                            |
//!      +------------------------- the class needs another ----------+
//! ```
//!
//! One slab of each class is current: blocks are taken from it alone. Full ones are in no list and Partial ones in that
//! of their class (see [`small`](super::small)). Freeing a block is the same few instructions in every state, because
//! the header counts down the frees after which something is to be done, and a current slab counts one more than will
//! ever come:
//!
//! | state | `frees_to_event` |
//! |---|---|
//! | Current | blocks that are out, and one |
//! | Partial | blocks that are out |
//! | Full | 1 |

use core::cell::Cell;
use core::ptr::NonNull;

use super::class::{Class, SMALL_ALIGN};

/// See the [states](self#states).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The one from which its class takes blocks.
    Current,
    /// Has blocks that are free and blocks that are out.
    Partial,
    /// Was current until its last block was taken; none has been freed since.
    Full,
}

/// A free block. The rest of it is not initialised.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

/// The header of a slab.
#[repr(C, align(64))]
pub struct Slab {
    /// The free blocks. Invariant: each is a block of this slab that is not out, once.
    free: Cell<Option<NonNull<FreeBlock>>>,
    frees_to_event: Cell<u32>,
    /// Number of the core whose slab this is. Not changed while a block is out, so that other cores may read it.
    owner: u8,
    class: Class,
    state: Cell<State>,
    /// Bytes of a block, for counting.
    block_size: u32,
    /// The neighbours in the list of partial slabs, while it is in one.
    pub next: Cell<Option<NonNull<Slab>>>,
    pub previous: Cell<Option<NonNull<Slab>>>,
}

const _: () = assert!(size_of::<Slab>() == SMALL_ALIGN, "the first block follows the header");

impl Slab {
    /// Blocks in a slab of `class`.
    pub const fn capacity(class: Class) -> usize {
        (class.slab_size() - size_of::<Self>()) / class.size()
    }

    /// Makes a slab of `memory`, with every block free, in lists of none. It is current.
    ///
    /// # Safety
    ///
    /// `memory` is [`slab_size`](Class::slab_size) bytes long and so aligned, valid for reads and writes, and exclusively
    /// this slab's until it is given up.
    pub unsafe fn create(memory: NonNull<u8>, class: Class, owner: u8) -> NonNull<Self> {
        let mut free = None;
        for index in (0..Self::capacity(class)).rev() {
            // SAFETY: in bounds, as index < capacity.
            let block = unsafe { memory.add(size_of::<Self>() + index * class.size()) }.cast::<FreeBlock>();
            // SAFETY: valid for writes by this function's contract; aligned, as the size of every class is a multiple of
            // 16 and the first block's offset is, too.
            unsafe { block.write(FreeBlock { next: free }) };
            free = Some(block);
        }
        let slab = memory.cast::<Self>();
        let header = Self {
            free: Cell::new(free),
            frees_to_event: Cell::new(1),
            owner,
            class,
            state: Cell::new(State::Current),
            block_size: class.size() as u32,
            next: Cell::new(None),
            previous: Cell::new(None),
        };
        // SAFETY: valid for writes and aligned by this function's contract.
        unsafe { slab.write(header) };
        slab
    }

    /// The slab in which a block of `class` lies.
    #[inline]
    pub fn of(block: NonNull<u8>, class: Class) -> NonNull<Self> {
        let slab = block.as_ptr().map_addr(|address| address & !(class.slab_size() - 1)).cast();
        // SAFETY: a slab's start is not at address 0, where nothing is mapped; so the address of a block of it, rounded
        // down, is not 0 either. (For any other pointer the result is of no use, but `NonNull` it must be.)
        unsafe { NonNull::new_unchecked(slab) }
    }

    /// The core whose slab this is.
    ///
    /// # Safety
    ///
    /// `slab` is a live slab of which the caller, on whatever core, has a block.
    #[inline]
    pub unsafe fn owner(slab: NonNull<Self>) -> u8 {
        // SAFETY: in bounds of a live header.
        let owner = unsafe { &raw const (*slab.as_ptr()).owner };
        // SAFETY: initialised before any block was given out, and not written to while one is.
        unsafe { owner.read() }
    }

    /// Takes a block. For the owner of a current slab.
    #[inline]
    pub fn take(&self) -> Option<NonNull<u8>> {
        let block = self.free.get()?;
        // SAFETY: a free block of this slab (field invariant), initialised as one by `create` or `put`.
        self.free.set(unsafe { block.as_ref() }.next);
        self.frees_to_event.set(self.frees_to_event.get() + 1);
        Some(block.cast())
    }

    /// Takes a block back. True if that is an event: the caller has to see to the slab's state. For the owner.
    ///
    /// # Safety
    ///
    /// `block` is a block of this slab that is out, and is given up by the caller.
    #[inline]
    pub unsafe fn put(&self, block: NonNull<u8>) -> bool {
        let block = block.cast::<FreeBlock>();
        // SAFETY: the caller gives up the block; blocks are aligned and large enough for this.
        unsafe { block.write(FreeBlock { next: self.free.get() }) };
        self.free.set(Some(block));
        let left = self.frees_to_event.get() - 1;
        self.frees_to_event.set(left);
        left == 0
    }

    /// Bytes of a block.
    #[inline]
    pub fn block_size(&self) -> usize {
        self.block_size as usize
    }

    /// The slab's class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The slab's state.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Current, with no block left, to Full.
    pub fn fill(&self) {
        debug_assert!(self.free.get().is_none());
        self.state.set(State::Full);
        self.frees_to_event.set(1);
    }

    /// Full, with the first block back, to Partial.
    pub fn open(&self) {
        self.state.set(State::Partial);
        self.frees_to_event.set(Self::capacity(self.class) as u32 - 1);
    }

    /// Partial to Current.
    pub fn promote(&self) {
        self.state.set(State::Current);
        self.frees_to_event.set(self.frees_to_event.get() + 1);
    }

    /// Whether no block of a current slab is out.
    pub fn is_unused(&self) -> bool {
        self.frees_to_event.get() == 1
    }
}
