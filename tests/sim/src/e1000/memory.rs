//! What the device reads and writes by bus address.

use std::sync::atomic::{AtomicU64, Ordering};

use super::registers::Chip;

impl Chip {
    /// A word of a descriptor, shared with the driver.
    fn word(&self, at: u64) -> &AtomicU64 {
        let word = self.memory.at(at, 8).cast::<AtomicU64>();
        assert!(word.is_aligned(), "E1-7: a ring at {at:#x}, which is not a multiple of 16");
        // SAFETY: in a live block of zeroed memory, as `at` has checked, aligned, and used by both sides as an atomic; the
        // reference is gone before the driver can free the block, in the same thread.
        unsafe { word.as_ref() }
    }

    /// Fetches a descriptor.
    pub(super) fn fetch(&self, at: u64) -> [u64; 2] {
        // Acquire: what the driver has written before it told the tail. Registers are behind a lock, too.
        [at, at + 8].map(|at| u64::from_le(self.word(at).load(Ordering::Acquire)))
    }

    /// Writes the second word of a descriptor back.
    pub(super) fn write_back(&self, at: u64, word: u64) {
        // Release: the buffer's bytes come first.
        self.word(at + 8).store(word.to_le(), Ordering::Release);
    }

    /// Reads bytes of a buffer.
    pub(super) fn fetch_bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        if len > 0 {
            let from = self.memory.at(at, len);
            // SAFETY: in a live block, as `at` has checked; the driver has lent the bytes to the device.
            unsafe { from.as_ptr().copy_to_nonoverlapping(bytes.as_mut_ptr(), len) };
        }
        bytes
    }

    /// Writes bytes into a buffer.
    pub(super) fn store_bytes(&self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let to = self.memory.at(at, bytes.len());
        // SAFETY: in a live block, as `at` has checked; the driver has lent the bytes to the device.
        unsafe { to.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}
