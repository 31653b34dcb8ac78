//! What the heaps of a machine are built on.

use core::ptr::NonNull;

use super::owner::OwnerTable;
use super::remote::Inbox;

/// Frames and the things that all cores share, seen from one core.
///
/// # Safety
///
/// 1. Frames: a run that is allocated is valid for reads and writes for as long as it is allocated, aligned as asked,
///    and overlaps no other that is. A run may be given back in parts.
/// 2. The number of this core is always the same, and no other core has it.
/// 3. Whatever core asks, the table of owners is the same, and so is the inbox of a given core.
pub unsafe trait Machine {
    /// Allocates a run of frames of `size` bytes, both rounded up to whole frames.
    fn allocate_frames(&self, size: usize, align: usize) -> Option<NonNull<u8>>;

    /// Frees a run of frames.
    ///
    /// # Safety
    ///
    /// The frames of `start` and the `size` bytes behind it are allocated, and the caller gives them up.
    unsafe fn free_frames(&self, start: NonNull<u8>, size: usize);

    /// Resizes a run of frames in place, if possible.
    ///
    /// # Safety
    ///
    /// `start` is a run of `old_size` bytes that the caller owns; it gives up what is behind `new_size`.
    unsafe fn resize_frames(&self, start: NonNull<u8>, old_size: usize, new_size: usize) -> bool;

    /// Bytes in frames that are free.
    fn free_memory(&self) -> usize;

    /// The number of this core, less than [`owner::NOBODY`](super::owner::NOBODY).
    fn core(&self) -> u8;

    /// Which core's pool has which granule.
    fn owners(&self) -> &OwnerTable;

    /// Where blocks of `core` that others freed wait for it.
    fn inbox(&self, core: u8) -> &Inbox;
}
