//! [`DmaBuf`]: an owned buffer, one pointer wide.
//!
//! ```text
//!   DmaBuf --> BufferSlot (CPU-only memory)         data (memory that the device reaches)
//!              data, bus, pool                      +----------+---------------+-----------+
//!              start, len                           | headroom |     bytes     |  tailroom |
//!                                                   +----------+---------------+-----------+
//!                                                   0        start        start+len     capacity
//! ```
//!
//! Buffers travel through rings, bursts and lists by value, so the handle is one pointer wide; what it points to
//! lies in an array beside the pool, in memory that no device knows of. A lying device can therefore spoil the
//! bytes, never the bookkeeping.
//!
//! All of a buffer is initialised at all times: the platform hands out zeroed memory, and only initialised bytes
//! are ever stored. [`DmaBuf::set_len`] is therefore safe. It can expose what an earlier user left; whoever
//! parses a reply must look only at what the device says it wrote.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering};

use super::pool::PoolShared;
use crate::addr::BusAddr;

/// The bookkeeping of one buffer: 32 bytes, in an array that belongs to its pool.
#[repr(align(32))]
pub(super) struct BufferSlot {
    /// First byte of the buffer. Invariant: valid for `pool.capacity` bytes, touched only through the one
    /// `DmaBuf` that points here.
    pub(super) data: *mut u8,
    /// The same byte, as the device knows it.
    pub(super) bus: u64,
    /// Whose it is. Invariant: outlives every `DmaBuf` that points here.
    pub(super) pool: *const PoolShared,
    /// Offset of the first byte in use. Invariant while a `DmaBuf` exists: `start + len <= pool.capacity`.
    pub(super) start: u32,
    /// Number of bytes in use; in a free list, the index of the next free slot. Atomic because a slot that has
    /// just been freed may be looked at by the pool's owner on another core.
    pub(super) len: AtomicU32,
}

impl BufferSlot {
    /// A slot without a buffer.
    pub(super) const fn empty() -> Self {
        Self { data: ptr::null_mut(), bus: 0, pool: ptr::null(), start: 0, len: AtomicU32::new(0) }
    }
}

// SAFETY: the pointers are only followed by the holder of the one `DmaBuf` for this slot, or by the pool while
// no such handle exists; both hand over with release/acquire (see `pool.rs`).
unsafe impl Send for BufferSlot {}

impl fmt::Debug for BufferSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BufferSlot")
    }
}

/// A buffer that a device can read or write, owned by whoever holds this value.
///
/// As a slice it is the bytes in use. Dropping it gives it back to its pool, from any core.
pub struct DmaBuf {
    /// Invariant: the only handle to this slot; the slot's own invariants hold.
    slot: NonNull<BufferSlot>,
}

// SAFETY: a `DmaBuf` is the only access to its slot and its bytes, like a `Box`; the way back into the pool is
// through an atomic list.
unsafe impl Send for DmaBuf {}
// SAFETY: through `&DmaBuf` bytes and bookkeeping can only be read.
unsafe impl Sync for DmaBuf {}

impl DmaBuf {
    /// Makes the handle for a free slot.
    ///
    /// # Safety
    ///
    /// The slot is filled in, belongs to a live pool, and no other handle to it exists.
    pub(super) unsafe fn from_slot(slot: NonNull<BufferSlot>) -> Self {
        Self { slot }
    }

    /// Dissolves the handle without giving the buffer back.
    pub(super) fn into_slot(self) -> NonNull<BufferSlot> {
        let slot = self.slot;
        core::mem::forget(self);
        slot
    }

    #[inline]
    fn slot(&self) -> &BufferSlot {
        // SAFETY: the slot lives as long as its pool, which outlives this handle; writes need `&mut self`.
        unsafe { self.slot.as_ref() }
    }

    #[inline]
    fn slot_mut(&mut self) -> &mut BufferSlot {
        // SAFETY: as in `slot`; this is the only handle, and it is borrowed mutably.
        unsafe { self.slot.as_mut() }
    }

    /// The pool that it goes back to.
    #[inline]
    pub(super) fn pool(&self) -> *const PoolShared {
        self.slot().pool
    }

    /// Bytes from the start of the memory to its end, used or not: what [`headroom`](Self::headroom), the bytes
    /// in use and the tailroom add up to.
    #[inline]
    pub fn total_capacity(&self) -> usize {
        // SAFETY: a pool outlives its buffers.
        let pool = unsafe { &*self.slot().pool };
        pool.capacity as usize
    }

    /// The longest that it can be with its present headroom.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.total_capacity() - self.headroom()
    }

    /// Unused bytes in front.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.slot().start as usize
    }

    /// Number of bytes in use. Also the length that a device is told.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.slot().len.load(Ordering::Relaxed) as usize
    }

    /// Address of the first byte in use, as a device knows it.
    #[inline]
    pub fn bus_addr(&self) -> BusAddr {
        let slot = self.slot();
        // SAFETY: `bus` names the memory of this buffer, which came from a `DmaMemory` and is released only after
        // the last handle is gone.
        let base = unsafe { BusAddr::new(slot.bus) };
        base.offset(u64::from(slot.start))
    }

    /// Address of a byte in use, as a device knows it.
    ///
    /// # Panics
    ///
    /// If `offset` lies beyond the bytes in use.
    #[inline]
    pub fn bus_addr_at(&self, offset: usize) -> BusAddr {
        assert!(offset < self.len(), "offset {offset} in a buffer of {} bytes", self.len());
        self.bus_addr().offset(offset as u64)
    }

    /// Sets the number of bytes in use, leaving the headroom. Bytes that come into use hold what the last user
    /// left there.
    ///
    /// # Errors
    ///
    /// [`TooLong`] beyond [`capacity`](Self::capacity); nothing has changed.
    #[inline]
    pub fn set_len(&mut self, len: usize) -> Result<(), TooLong> {
        if len > self.capacity() {
            return Err(TooLong);
        }
        *self.slot_mut().len.get_mut() = len as u32;
        Ok(())
    }

    /// Empties the buffer and sets how many bytes are kept free in front.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if the whole buffer is not that long; nothing has changed.
    #[inline]
    pub fn reset(&mut self, headroom: usize) -> Result<(), TooLong> {
        if headroom > self.total_capacity() {
            return Err(TooLong);
        }
        let slot = self.slot_mut();
        slot.start = headroom as u32;
        *slot.len.get_mut() = 0;
        Ok(())
    }

    /// Grows the buffer to the front by `bytes` of its headroom.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if the headroom is shorter; nothing has changed.
    #[inline]
    pub fn push_front(&mut self, bytes: usize) -> Result<(), TooLong> {
        if bytes > self.headroom() {
            return Err(TooLong);
        }
        let slot = self.slot_mut();
        slot.start -= bytes as u32;
        *slot.len.get_mut() += bytes as u32;
        Ok(())
    }

    /// Turns the first `bytes` into headroom.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if fewer are in use; nothing has changed.
    #[inline]
    pub fn pull_front(&mut self, bytes: usize) -> Result<(), TooLong> {
        if bytes > self.len() {
            return Err(TooLong);
        }
        let slot = self.slot_mut();
        slot.start += bytes as u32;
        *slot.len.get_mut() -= bytes as u32;
        Ok(())
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if they do not fit behind those in use; nothing has changed.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let len = self.len();
        self.set_len(len.checked_add(bytes.len()).ok_or(TooLong)?)?;
        self[len..].copy_from_slice(bytes);
        Ok(())
    }
}

impl Deref for DmaBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let slot = self.slot();
        let len = slot.len.load(Ordering::Relaxed) as usize;
        // SAFETY: `start <= start + len <= capacity` by the slot's invariant, so this stays in the allocation.
        let first = unsafe { slot.data.add(slot.start as usize) };
        // SAFETY:
        // - in bounds: as above;
        // - initialised: the platform's memory is zeroed, and devices write whole bytes;
        // - not aliased: this is the only handle, and a device touches the bytes only while a queue holds it, when
        //   nobody can call this.
        unsafe { core::slice::from_raw_parts(first, len) }
    }
}

impl DerefMut for DmaBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let slot = self.slot_mut();
        let len = *slot.len.get_mut() as usize;
        // SAFETY: `start <= start + len <= capacity` by the slot's invariant, so this stays in the allocation.
        let first = unsafe { slot.data.add(slot.start as usize) };
        // SAFETY: as in `deref`, and the handle is borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(first, len) }
    }
}

impl Drop for DmaBuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is the only handle, and it is gone after this.
        unsafe { PoolShared::give_back(self.slot) };
    }
}

impl fmt::Debug for DmaBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaBuf({} bytes at {:?})", self.len(), self.bus_addr())
    }
}

/// A buffer is shorter than what it was asked to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("longer than the buffer")
    }
}

impl core::error::Error for TooLong {}
