//! The DAX window: files mapped into memory that the device shares (VIRTIO 1.3 §5.11.6.4).
//!
//! ```text
//!   shared memory region 0      [ granule | granule | granule | granule | .. ]
//!                                   |          \_________/         |
//!                               WindowRange      Mapping        WindowRange
//!                               allocated,       the server has mapped     not to be touched
//!                               not to be        a piece of a file here:
//!                               touched          read and write copy
//!
//!   allocate --> WindowRange --SETUPMAPPING succeeded--> mapped --> Mapping
//!                    ^                                                |
//!   release <--------+-- unmapped <------REMOVEMAPPING succeeded------+
//! ```
//!
//! The window says what is where; it sends nothing. Whoever speaks FUSE asks the server for mappings, with the offset and
//! the length of a range, and tells the window what came of it. A range that the server may or may not have mapped, as its
//! answer was lost, is dropped: nobody uses it again before [`DaxWindow::clear`], after a reset.
//!
//! # Ownership
//!
//! Ranges and mappings are owned like boxes and belong to the window that made them. What is not mapped cannot be read,
//! because it takes a [`Mapping`] to read (FS-8).
//!
//! # Shared with somebody else
//!
//! The host, and everybody who has the file, may change what is in a mapping at any time, and may cut the file off, so that
//! its pages are no longer there. So there is no reference to it, only copies in and out ([`WindowMemory`]), which may fail
//! ([`WindowError::Vanished`]). A platform that cannot survive such an access has no use for the window.
//!
//! # Hostile devices
//!
//! The length of the window is read once, with its address; nothing beyond it is touched, whatever is mapped. The
//! granularity that the server asks for is bounded.

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

mod memory;
mod spans;

pub use self::memory::{RegisterMemory, Vanished, WindowMemory};
use self::spans::{Span, Spans};

/// The id of the shared memory region that the window is.
pub const WINDOW_ID: u8 = 0;

/// The largest granule that is accepted, as a power of two: 1 GiB.
const LARGEST_SHIFT: u32 = 30;

/// Why something was not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowError {
    /// It is not in the mapping, or the mapping is of another window or of before a [`DaxWindow::clear`].
    Outside,
    /// The mapping is for reading alone.
    ReadOnly,
    /// The host has taken the pages away, as when the file was cut off. Some of the bytes may have been copied.
    Vanished,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outside => "the bytes are not in the mapping",
            Self::ReadOnly => "the mapping is for reading alone",
            Self::Vanished => "the host has taken the pages away",
        })
    }
}

impl core::error::Error for WindowError {}

impl From<Vanished> for WindowError {
    fn from(_: Vanished) -> Self {
        Self::Vanished
    }
}

/// What the server was asked to allow in a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A part of the window with no file in it, as far as is known. Dropped, it is lost until [`DaxWindow::clear`].
#[must_use = "a range that is dropped is lost until the window is cleared"]
#[derive(Debug, PartialEq, Eq)]
pub struct WindowRange {
    span: Span,
    window: Stamp,
}

/// A part of the window with a piece of a file in it. Dropped, it is lost as a [`WindowRange`] is.
#[must_use = "a mapping that is dropped is lost until the window is cleared"]
#[derive(Debug, PartialEq, Eq)]
pub struct Mapping {
    range: WindowRange,
    len: u64,
    access: Access,
}

/// Which window, since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(u32);

impl Stamp {
    fn next() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl WindowRange {
    /// Where it begins, in bytes from the start of the window (`moffset`): a multiple of the granule.
    pub fn offset(&self) -> u64 {
        self.span.start
    }

    /// Its length in bytes: a multiple of the granule, not 0.
    pub fn len(&self) -> u64 {
        self.span.len
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Mapping {
    /// Where it begins, in bytes from the start of the window.
    pub fn offset(&self) -> u64 {
        self.range.offset()
    }

    /// How many bytes are mapped.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct DaxWindow<M> {
    memory: M,
    /// A power of two.
    granule: u64,
    /// A multiple of the granule, no more than the memory has.
    len: u64,
    free: Spans,
    stamp: Stamp,
}

impl<M: WindowMemory> DaxWindow<M> {
    /// A window in which everything is free. Offsets and lengths of ranges are multiples of two to the power of
    /// `alignment`, which is what INIT's `map_alignment` says.
    ///
    /// `None` if there is not even one granule, or a granule is more than a gibibyte: files are read and written then
    /// (FS-7).
    pub fn new(memory: M, alignment: u32) -> Option<Self> {
        if alignment > LARGEST_SHIFT {
            return None;
        }
        let granule = 1_u64 << alignment;
        let len = memory.len() & !(granule - 1);
        (len > 0).then(|| Self { memory, granule, len, free: Spans::all(len), stamp: Stamp::next() })
    }

    /// What lengths and offsets of ranges are multiples of, in bytes.
    pub fn granule(&self) -> u64 {
        self.granule
    }

    /// How many bytes can be mapped, in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// How many bytes are free.
    pub fn free(&self) -> u64 {
        self.free.total()
    }

    /// A free range of at least `len` bytes, the first that is long enough. `None` for one of 0 bytes, and if there is
    /// none: then something has to be unmapped, or read.
    pub fn allocate(&mut self, len: u64) -> Option<WindowRange> {
        let len = len.checked_next_multiple_of(self.granule)?;
        let span = self.free.take(len)?;
        Some(WindowRange { span, window: self.stamp })
    }

    /// Takes a range back.
    ///
    /// # Errors
    ///
    /// Gives it back if it is another window's, or of before a [`clear`](Self::clear).
    pub fn release(&mut self, range: WindowRange) -> Result<(), WindowRange> {
        if range.window != self.stamp {
            return Err(range);
        }
        self.free.put(range.span);
        Ok(())
    }

    /// The server has mapped the first `len` bytes of a range (SETUPMAPPING), so that they can be used.
    ///
    /// # Errors
    ///
    /// Gives the range back if it is not so long, or is another window's.
    pub fn mapped(&self, range: WindowRange, len: u64, access: Access) -> Result<Mapping, WindowRange> {
        if range.window != self.stamp || len > range.len() {
            return Err(range);
        }
        Ok(Mapping { range, len, access })
    }

    /// The server has removed a mapping (REMOVEMAPPING): its range can be mapped again, or released.
    pub fn unmapped(&self, mapping: Mapping) -> WindowRange {
        mapping.range
    }

    /// The device was reset, and nothing is mapped any more: ranges and mappings of before are void, and everything is free.
    pub fn clear(&mut self) {
        self.stamp = Stamp::next();
        self.free = Spans::all(self.len);
    }

    /// Copies out of a mapping, from `offset` bytes behind its start on.
    ///
    /// # Errors
    ///
    /// What is not all in the mapping is not copied; see [`WindowError`].
    pub fn read(&self, mapping: &Mapping, offset: u64, out: &mut [u8]) -> Result<(), WindowError> {
        let at = self.place(mapping, offset, out.len())?;
        Ok(self.memory.read(at, out)?)
    }

    /// Copies into a mapping, from `offset` bytes behind its start on. It is stable after an FSYNC of the file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`WindowError::ReadOnly`].
    pub fn write(&self, mapping: &Mapping, offset: u64, bytes: &[u8]) -> Result<(), WindowError> {
        let at = self.place(mapping, offset, bytes.len())?;
        if mapping.access == Access::Read {
            return Err(WindowError::ReadOnly);
        }
        Ok(self.memory.write(at, bytes)?)
    }

    /// Where in the window `len` bytes of a mapping are.
    fn place(&self, mapping: &Mapping, offset: u64, len: usize) -> Result<u64, WindowError> {
        let end = offset.checked_add(len as u64).ok_or(WindowError::Outside)?;
        if mapping.range.window != self.stamp || end > mapping.len {
            return Err(WindowError::Outside);
        }
        // A range lies in the window, so this overflows nothing.
        Ok(mapping.offset() + offset)
    }
}
