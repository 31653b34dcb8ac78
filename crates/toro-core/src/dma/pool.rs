//! [`DmaPool`]: buffers of one size, made once and used for ever.
//!
//! ```text
//!   owner                                         anyone, any core
//!   take ----- local list <---recycle---          drop(DmaBuf)
//!                  ^                                    |
//!                  |  whole list at once                v
//!                  +------------------------- returned list (atomic)
//! ```
//!
//! A pool has one owner, who alone takes buffers out. Buffers come back in two ways: the owner's own
//! [`recycle`](DmaPool::recycle) is a few plain instructions; dropping a buffer pushes it, from any core, onto a
//! second list with one compare-and-swap. When the owner's own list runs dry, that one becomes it, in one swap. With a
//! single consumer that takes everything there is no ABA problem.
//!
//! # The end of a pool
//!
//! Dropping the pool while buffers are out is fine: the last buffer to come back frees the memory. This is also
//! what makes leaking a live queue safe: the pool of the buffers inside never ends.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use super::buf::{BufferSlot, DmaBuf, TooLong};
use super::memory::{Dma, DmaBlock, OutOfDmaMemory};
use crate::addr::BusAddr;

/// End of a list of slots.
const NONE: u32 = u32::MAX;
/// What `returned` holds once the owner is gone.
const CLOSED: u32 = u32::MAX - 1;
/// The largest buffer there is, in bytes: what no request of several buffers can make too long for any device.
pub const LARGEST_BUFFER: usize = 1 << 29;
/// Buffers are allocated in blocks of about this size, so that a large pool needs no huge contiguous piece.
const BLOCK: usize = 64 * 1024;

/// What every buffer of a pool knows. Lives in a block of its own (of the CPU's memory, like the slots).
pub(super) struct PoolShared {
    /// Bytes in each buffer.
    pub(super) capacity: u32,
    /// Number of buffers.
    count: u32,
    /// First of `count` slots. Invariant: they live until `free`.
    slots: NonNull<BufferSlot>,
    /// Head of the list of buffers that were dropped, or `CLOSED`.
    returned: AtomicU32,
    /// After closing: buffers still out. May go below zero for a moment while the owner is closing.
    orphans: AtomicI64,
    /// Where the buffers' memory came from.
    memory: Dma,
    /// Buffers per block; the first of each block starts it.
    per_block: u32,
    /// Bytes per block.
    block_size: usize,
    /// Whether slots and this struct are boxes, to be freed with the pool.
    #[cfg_attr(not(any(feature = "alloc", test)), allow(dead_code))]
    owned: bool,
}

impl PoolShared {
    /// A pool of one buffer that is out, in memory that is not the pool's. It has no owner, and is never closed or freed.
    pub(super) fn of_one(slot: NonNull<BufferSlot>, capacity: u32, memory: Dma) -> Self {
        Self {
            capacity,
            count: 1,
            slots: slot,
            returned: AtomicU32::new(NONE),
            orphans: AtomicI64::new(0),
            memory,
            per_block: 1,
            block_size: capacity as usize,
            owned: false,
        }
    }

    /// Head of the list of buffers that were dropped.
    pub(super) fn returned(&self) -> &AtomicU32 {
        &self.returned
    }

    fn slot(&self, index: u32) -> NonNull<BufferSlot> {
        debug_assert!(index < self.count);
        // SAFETY: list heads and links hold indices of this pool only, which are less than `count`.
        unsafe { self.slots.add(index as usize) }
    }

    fn index_of(&self, slot: NonNull<BufferSlot>) -> u32 {
        // SAFETY: both point into the one array of slots of this pool.
        let distance = unsafe { slot.offset_from(self.slots) };
        distance as u32
    }

    /// Takes a slot back, from any core.
    ///
    /// # Safety
    ///
    /// The caller was the last handle to the slot.
    // Short, but wherever a buffer might be dropped it would be in the way.
    #[inline(never)]
    pub(super) unsafe fn give_back(slot: NonNull<BufferSlot>) {
        // SAFETY: the caller is the only one to know this slot; it is filled in.
        let pool = unsafe { slot.as_ref() }.pool;
        // SAFETY: the pool outlives its buffers, of which this is one.
        let shared = unsafe { &*pool };
        let index = shared.index_of(slot);
        let mut head = shared.returned.load(Ordering::Relaxed);
        loop {
            if head == CLOSED {
                // SAFETY: the owner is gone, and this handle is counted among the orphans.
                return unsafe { Self::orphan_came_home(pool) };
            }
            // SAFETY: the slot is ours until the exchange below succeeds; the link is atomic.
            unsafe { slot.as_ref() }.len.store(head, Ordering::Relaxed);
            // Release: what was done with the buffer happens before the owner takes it (Acquire in `returned`).
            match shared.returned.compare_exchange_weak(head, index, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Counts a buffer that came back to a closed pool; the last one frees everything.
    ///
    /// # Safety
    ///
    /// The pool is closed; the caller owned one of its buffers and uses it no more.
    #[cold]
    unsafe fn orphan_came_home(pool: *const Self) {
        let shared = NonNull::new(pool.cast_mut()).expect("slots in use belong to a pool");
        // SAFETY: the pool lives until the count below says that all are home.
        let orphans = &unsafe { shared.as_ref() }.orphans;
        // AcqRel: whoever frees has seen everybody's last use.
        if orphans.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the owner is gone (only it raises the count) and this was the last buffer.
            unsafe { Self::free(shared) };
        }
    }

    /// Gives all memory back.
    ///
    /// # Safety
    ///
    /// No buffer of the pool exists, and its owner is gone or goes now.
    unsafe fn free(shared: NonNull<Self>) {
        // SAFETY: nobody else can reach the pool any more.
        let pool = unsafe { shared.as_ref() };
        let mut first = 0;
        while first < pool.count {
            // SAFETY: no handle exists, so the slot can be read.
            let slot = unsafe { pool.slot(first).as_ref() };
            let cpu = NonNull::new(slot.data).expect("slots in use point to memory");
            // SAFETY: `bus` is the bus address of that same memory.
            let bus = unsafe { BusAddr::new(slot.bus) };
            // SAFETY: put together again as it was allocated in `fill`.
            let block = unsafe { DmaBlock::new(cpu, bus, pool.block_size) };
            // SAFETY: from `allocate` of the same source; no handle is left, and a device only ever holds bytes of
            // buffers that some queue holds.
            unsafe { pool.memory.release(block) };
            first += pool.per_block;
        }
        #[cfg(any(feature = "alloc", test))]
        if pool.owned {
            let slots = core::ptr::slice_from_raw_parts_mut(pool.slots.as_ptr(), pool.count as usize);
            // SAFETY: `owned` says that the slots are a leaked `Box<[BufferSlot]>` of this length.
            drop(unsafe { alloc::boxed::Box::from_raw(slots) });
            // SAFETY: `owned` says that the pool is a leaked `Box` too; `pool` is not used again.
            drop(unsafe { alloc::boxed::Box::from_raw(shared.as_ptr()) });
        }
    }
}

/// Room for the bookkeeping of one pool of `N` buffers, to be declared as a `static` where there is no allocator.
pub struct PoolStorage<const N: usize> {
    /// Whether a pool has it, for ever.
    is_taken: AtomicBool,
    room: UnsafeCell<Room<N>>,
}

struct Room<const N: usize> {
    slots: [BufferSlot; N],
    shared: MaybeUninit<PoolShared>,
}

// SAFETY: `take` lets one caller reach the room, once; what is in it is `Sync` by the pool's own means.
unsafe impl<const N: usize> Sync for PoolStorage<N> {}
// SAFETY: as above; and a pool in it has the storage borrowed for ever, so that it does not move.
unsafe impl<const N: usize> Send for PoolStorage<N> {}

impl<const N: usize> PoolStorage<N> {
    /// Empty storage.
    pub const fn new() -> Self {
        let room = Room { slots: [const { BufferSlot::empty() }; N], shared: MaybeUninit::uninit() };
        Self { is_taken: AtomicBool::new(false), room: UnsafeCell::new(room) }
    }

    /// The room, the first time; then `None`.
    // From a shared reference, but to one caller only.
    #[allow(clippy::mut_from_ref)]
    fn take(&'static self) -> Option<&'static mut Room<N>> {
        // Relaxed: nothing has been done with the room before the one swap that finds it free.
        if self.is_taken.swap(true, Ordering::Relaxed) {
            return None;
        }
        // SAFETY: the swap finds `false` once, so this is the only reference that there ever is.
        Some(unsafe { &mut *self.room.get() })
    }
}

impl<const N: usize> Default for PoolStorage<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for PoolStorage<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolStorage({N} buffers)")
    }
}

/// Buffers of one size for one owner.
pub struct DmaPool {
    /// Invariant: this is the owner; the pool is not closed.
    shared: NonNull<PoolShared>,
    /// Head of the owner's free list.
    local: u32,
}

// SAFETY: the owner's list is reached through `&mut self` only; what buffers share with it is atomic.
unsafe impl Send for DmaPool {}
// SAFETY: through `&DmaPool` only constants and atomics are read.
unsafe impl Sync for DmaPool {}

impl DmaPool {
    /// A pool of `count` buffers of `size` bytes each, at most [`LARGEST_BUFFER`], with its bookkeeping on the heap.
    ///
    /// # Errors
    ///
    /// [`OutOfDmaMemory`] if the platform cannot provide the memory, or the numbers are zero or absurd.
    #[cfg(any(feature = "alloc", test))]
    pub fn new(memory: Dma, count: usize, size: usize) -> Result<Self, OutOfDmaMemory> {
        use alloc::boxed::Box;

        let slots: Box<[BufferSlot]> = (0..count).map(|_| BufferSlot::empty()).collect();
        let shared = Self::describe(memory, count, size, true)?;
        let slots = NonNull::from(Box::leak(slots)).cast::<BufferSlot>();
        let shared = NonNull::from(Box::leak(Box::new(PoolShared { slots, ..shared })));
        // SAFETY: both were just made, for each other, with `count` slots.
        match unsafe { Self::fill(shared) } {
            Ok(()) => Ok(Self::open(shared)),
            Err(error) => {
                let slots = core::ptr::slice_from_raw_parts_mut(slots.as_ptr(), count);
                // SAFETY: leaked above, and nothing was made of them.
                drop(unsafe { Box::from_raw(slots) });
                // SAFETY: leaked above, and nothing was made of it.
                drop(unsafe { Box::from_raw(shared.as_ptr()) });
                Err(error)
            }
        }
    }

    /// A pool of `N` buffers of `size` bytes each, with its bookkeeping in the caller's storage: for a platform
    /// without an allocator.
    ///
    /// ```no_run
    /// # use toro_core::{Dma, DmaPool, OutOfDmaMemory, dma::PoolStorage};
    /// # fn example(memory: Dma) -> Result<(), OutOfDmaMemory> {
    /// static STORAGE: PoolStorage<4> = PoolStorage::new();
    /// let mut pool = DmaPool::in_storage(memory, &STORAGE, 4096)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and where a pool has had the storage before. The storage is lost in any case.
    pub fn in_storage<const N: usize>(
        memory: Dma,
        storage: &'static PoolStorage<N>,
        size: usize,
    ) -> Result<Self, OutOfDmaMemory> {
        let room = storage.take().ok_or(OutOfDmaMemory)?;
        let slots = NonNull::from(&mut room.slots).cast::<BufferSlot>();
        let shared = Self::describe(memory, N, size, false)?;
        let shared = NonNull::from(room.shared.write(PoolShared { slots, ..shared }));
        // SAFETY: both were just made, for each other, with `N` slots; the storage is borrowed for ever.
        unsafe { Self::fill(shared) }?;
        Ok(Self::open(shared))
    }

    fn describe(memory: Dma, count: usize, size: usize, owned: bool) -> Result<PoolShared, OutOfDmaMemory> {
        // Buffers begin on cache lines, so that no line is shared between two owners.
        let stride = size.checked_next_multiple_of(64).ok_or(OutOfDmaMemory)?;
        if count == 0 || count >= CLOSED as usize || size == 0 || size > LARGEST_BUFFER {
            return Err(OutOfDmaMemory);
        }
        let per_block = (BLOCK / stride).clamp(1, count);
        Ok(PoolShared {
            capacity: size as u32,
            count: count as u32,
            slots: NonNull::dangling(),
            returned: AtomicU32::new(NONE),
            orphans: AtomicI64::new(0),
            memory,
            per_block: per_block as u32,
            block_size: stride.checked_mul(per_block).ok_or(OutOfDmaMemory)?,
            owned,
        })
    }

    /// Allocates the blocks and fills in the slots.
    ///
    /// # Safety
    ///
    /// `shared` was made by `describe`, with `slots` pointing to `count` slots that nobody else uses.
    unsafe fn fill(shared: NonNull<PoolShared>) -> Result<(), OutOfDmaMemory> {
        // SAFETY: the caller made it and shares it with nobody.
        let pool = unsafe { shared.as_ref() };
        let stride = pool.block_size / pool.per_block as usize;
        // Whole pages where blocks are large enough: bulk data then starts on a page.
        let align = if stride.is_multiple_of(4096) { 4096 } else { 64 };
        let mut first = 0;
        while first < pool.count {
            let Some(block) = pool.memory.allocate(pool.block_size, align) else {
                Self::unfill(pool, first);
                return Err(OutOfDmaMemory);
            };
            let in_block = pool.per_block.min(pool.count - first);
            for i in 0..in_block {
                let index = first + i;
                let offset = i as usize * stride;
                // SAFETY: `offset + stride <= block_size`, by the choice of `per_block`.
                let data = unsafe { block.cpu().add(offset) };
                let slot = BufferSlot {
                    data: data.as_ptr(),
                    bus: block.bus().offset(offset as u64).get(),
                    pool: shared.as_ptr(),
                    start: 0,
                    len: AtomicU32::new(if index + 1 < pool.count { index + 1 } else { NONE }),
                };
                // SAFETY: index < count, and nobody else uses the slots yet.
                unsafe { pool.slot(index).write(slot) };
            }
            first += in_block;
        }
        Ok(())
    }

    /// Releases the blocks of the first `filled` buffers after a failed allocation.
    fn unfill(pool: &PoolShared, filled: u32) {
        let mut first = 0;
        while first < filled {
            // SAFETY: slots below `filled` are filled in, and nobody else uses them.
            let slot = unsafe { pool.slot(first).as_ref() };
            let cpu = NonNull::new(slot.data).expect("filled slots point to memory");
            // SAFETY: `bus` is the bus address of that same memory.
            let bus = unsafe { BusAddr::new(slot.bus) };
            // SAFETY: put together again as it was allocated.
            let block = unsafe { DmaBlock::new(cpu, bus, pool.block_size) };
            // SAFETY: allocated by `fill` just now; no buffer was made of it.
            unsafe { pool.memory.release(block) };
            first += pool.per_block;
        }
    }

    fn open(shared: NonNull<PoolShared>) -> Self {
        Self { shared, local: 0 }
    }

    fn shared(&self) -> &PoolShared {
        // SAFETY: a pool lives at least until its owner is dropped.
        unsafe { self.shared.as_ref() }
    }

    /// Bytes in each buffer.
    pub fn buffer_size(&self) -> usize {
        self.shared().capacity as usize
    }

    /// How many buffers the pool has, in use or not.
    pub fn count(&self) -> usize {
        self.shared().count as usize
    }

    /// How many can be taken now, those that were dropped included. They are counted one by one.
    pub fn available(&mut self) -> usize {
        let (taken_back, last) = self.measure(self.local);
        let returned = self.returned();
        match last {
            None => self.local = returned,
            Some(last) => {
                // SAFETY: slots in the owner's list are the owner's alone; the link is atomic.
                unsafe { self.shared().slot(last).as_ref() }.len.store(returned, Ordering::Relaxed);
            }
        }
        taken_back + self.measure(returned).0
    }

    /// An empty buffer without headroom; `None` while all are in use.
    #[inline]
    pub fn take(&mut self) -> Option<DmaBuf> {
        let slots = self.shared().slots;
        self.take_as(slots, 0, 0)
    }

    /// Takes buffers, one for each call of `next` until all are in use, with `headroom` bytes in front and all bytes behind
    /// those in use. They hold what the last user left there.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if the buffers are not that long.
    #[inline]
    pub fn whole(&mut self, headroom: usize) -> Result<Whole<'_>, TooLong> {
        let PoolShared { capacity, slots, .. } = *self.shared();
        let len = u32::try_from(headroom).ok().and_then(|start| capacity.checked_sub(start)).ok_or(TooLong)?;
        Ok(Whole { pool: self, slots, start: capacity - len, len })
    }

    /// Takes a buffer of these bytes.
    ///
    /// `slots` are the pool's, and `start + len` is at most its capacity.
    #[inline(always)]
    fn take_as(&mut self, slots: NonNull<BufferSlot>, start: u32, len: u32) -> Option<DmaBuf> {
        if self.local == NONE {
            self.local = self.returned();
            if self.local == NONE {
                return None;
            }
        }
        debug_assert!(self.local < self.shared().count && slots == self.shared().slots);
        // SAFETY: they are the pool's, as both callers see to, and list heads and links hold indices of this pool only,
        // which are less than `count`.
        let slot = unsafe { slots.add(self.local as usize) };
        // SAFETY: a slot in the owner's list has no handle, and only the owner touches the list.
        let free = unsafe { &mut *slot.as_ptr() };
        self.local = *free.len.get_mut();
        free.start = start;
        *free.len.get_mut() = len;
        // SAFETY: filled in by `fill`, and just taken out of the list: no other handle exists.
        Some(unsafe { DmaBuf::from_slot(slot) })
    }

    /// Takes a buffer back without an atomic operation. A buffer of another pool goes back to that one.
    #[inline]
    pub fn recycle(&mut self, buffer: DmaBuf) {
        if !core::ptr::eq(buffer.pool(), self.shared.as_ptr()) {
            drop(buffer);
            return;
        }
        let slot = buffer.into_slot();
        let index = self.shared().index_of(slot);
        // SAFETY: the handle was dissolved; the slot is now the owner's.
        let free = unsafe { &mut *slot.as_ptr() };
        *free.len.get_mut() = self.local;
        self.local = index;
    }

    /// The list of all buffers that were dropped, which is linked as the owner's is and becomes the owner's.
    #[inline]
    fn returned(&self) -> u32 {
        // Acquire: pairs with the Release of `give_back`; the buffers' last uses happened before.
        self.shared().returned.swap(NONE, Ordering::Acquire)
    }

    /// How long a list of the owner's is, and which is its last slot.
    fn measure(&self, mut head: u32) -> (usize, Option<u32>) {
        let (mut len, mut last) = (0, None);
        while head != NONE {
            (len, last) = (len + 1, Some(head));
            // SAFETY: slots in a list of the owner's are the owner's alone; the link is atomic.
            head = unsafe { self.shared().slot(head).as_ref() }.len.load(Ordering::Relaxed);
        }
        (len, last)
    }
}

impl Drop for DmaPool {
    fn drop(&mut self) {
        // AcqRel: buffers dropped from here on see CLOSED and count themselves.
        let returned = self.shared().returned.swap(CLOSED, Ordering::AcqRel);
        let home = self.measure(self.local).0 + self.measure(returned).0;
        let shared = self.shared();
        let out = i64::from(shared.count) - home as i64;
        if shared.orphans.fetch_add(out, Ordering::AcqRel) + out == 0 {
            // SAFETY: all buffers are home, and the owner goes now. Buffers that came home meanwhile took the
            // count below zero, so none of them has freed the pool.
            unsafe { PoolShared::free(self.shared) };
        }
    }
}

/// Buffers that are taken out of a pool one after another: see [`DmaPool::whole`].
///
/// What is the same for all of them is found out once.
#[derive(Debug)]
pub struct Whole<'a> {
    pool: &'a mut DmaPool,
    /// The pool's.
    slots: NonNull<BufferSlot>,
    /// Invariant: `start + len` is the pool's capacity.
    start: u32,
    len: u32,
}

impl Iterator for Whole<'_> {
    type Item = DmaBuf;

    #[inline(always)]
    fn next(&mut self) -> Option<DmaBuf> {
        self.pool.take_as(self.slots, self.start, self.len)
    }
}

impl fmt::Debug for DmaPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaPool({} x {} bytes)", self.count(), self.buffer_size())
    }
}

#[cfg(test)]
mod tests;
