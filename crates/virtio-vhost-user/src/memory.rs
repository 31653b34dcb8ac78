//! [`GuestMemory`]: memory that this process shares with its devices.
//!
//! ```text
//!   a file without a name (memfd), of fixed size
//!        |  mapped here                   user addresses, as the kernel likes it     CPU; ring addresses
//!        +  mapped by the daemon          its own affair
//!        +  called 0x1_0000_0000 ..       guest addresses                            what descriptors hold
//! ```
//!
//! vhost-user knows a place by two addresses: rings by where this process sees them, buffers by where a guest would. The
//! guest's begin at [`GUEST_BASE`], where no mapping is likely, so that a mix-up fails at once.
//!
//! # Ownership
//!
//! Blocks are handed out first fit from a list of free ranges and never overlap. The mapping is made for the life of
//! the process: a queue that is given up without a confirmed reset stays with the daemon for ever, and so does what it
//! lies in.
//!
//! # Who has it
//!
//! A mapping keeps what it was made of open. So each daemon is given an opening of the file of its own, made for it and
//! closed here at once, on which there is a shared lock (`flock`). That lock ends with the last descriptor of the opening
//! *and* its last mapping, in whatever process: when a lock against all others can be had on yet another opening, no daemon
//! has the memory any more. The system gives up the mappings of a process that is killed, and what it was reading into
//! them, before anybody can see that.
//!
//! It is one lock for the whole memory: where several devices share it, there is no proof while one of them lives. And it
//! says nothing of pages that a daemon has had pinned for another device, as those do that drive hardware of their own.
//!
//! # Hostile daemons
//!
//! The file is sealed against shrinking, so that whoever has it cannot take the memory away under our feet. What a
//! daemon writes where it should not is the same as with any device that has no IOMMU.
#![allow(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{
    FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, flock, ftruncate, memfd_create, open,
};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use toro_core::{BusAddr, DmaBlock, DmaMemory};

/// The guest address of the first byte.
pub const GUEST_BASE: u64 = 0x1_0000_0000;
/// What blocks can be aligned to, at most: a page, as mappings are.
const PAGE: usize = 4096;
/// What blocks are a multiple of, in place and size: two owners never share a cache line.
const LINE: usize = 64;
/// The largest memory there is: 1 TiB.
const LARGEST: usize = 1 << 40;

/// A free range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
}

/// Memory for devices, to be shared with the daemons that are them.
pub struct GuestMemory {
    file: File,
    /// Invariant: `size` bytes are mapped here, readable and writable, for ever.
    base: NonNull<u8>,
    size: usize,
    /// What nobody has, in order, no two ranges touching each other. Invariant: within `size`.
    free: Mutex<Vec<Range>>,
}

// SAFETY: the mapping belongs to the process, not to a thread; `free` is behind a lock, and each byte behind `base` is
// touched by whoever was given it only.
unsafe impl Send for GuestMemory {}
// SAFETY: as above.
unsafe impl Sync for GuestMemory {}

impl GuestMemory {
    /// At least `bytes` of memory, mapped for the life of the process. One is enough for any number of devices; those
    /// whose daemons shall not see each other's data have one each.
    ///
    /// # Errors
    ///
    /// What the operating system says; [`InvalidInput`](io::ErrorKind::InvalidInput) for nothing, or more than 1 TiB.
    pub fn new(bytes: usize) -> io::Result<&'static Self> {
        if bytes == 0 || bytes > LARGEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let size = bytes.next_multiple_of(PAGE);
        let file = memfd_create("virtio", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, size as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // SAFETY: a new mapping, at a place that the kernel chooses, replaces none.
        let base =
            unsafe { mmap(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)? };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let free = Mutex::new(vec![Range { start: 0, end: size }]);
        Ok(Box::leak(Box::new(Self { file: file.into(), base, size, free })))
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many bytes nobody has.
    pub fn available(&self) -> usize {
        self.ranges().iter().map(|range| range.end - range.start).sum()
    }

    /// An opening of the file, for a daemon to map. Whoever has it, or a mapping of it, has the memory.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        let _turn = self.ranges();
        let opening = self.open_file()?;
        flock(&opening, FlockOperation::NonBlockingLockShared)?;
        Ok(opening)
    }

    /// Whether no daemon has the memory. Where that cannot be found out, one may.
    pub(crate) fn is_ours_alone(&self) -> bool {
        // Two that look at once would be in each other's way.
        let _turn = self.ranges();
        self.open_file().is_ok_and(|opening| flock(&opening, FlockOperation::NonBlockingLockExclusive).is_ok())
    }

    fn open_file(&self) -> io::Result<OwnedFd> {
        // The one way to open a file that has no name once more.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        Ok(open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Where this process sees its first byte.
    pub(crate) fn user_base(&self) -> u64 {
        self.base.as_ptr().expose_provenance() as u64
    }

    /// How far `bytes` bytes at a guest address are from the first one; `None` if they are not all here.
    pub(crate) fn offset_of(&self, address: BusAddr, bytes: usize) -> Option<u64> {
        let offset = address.get().checked_sub(GUEST_BASE)?;
        let end = offset.checked_add(bytes as u64)?;
        (end <= self.size as u64).then_some(offset)
    }

    /// Reads a word that a device may be writing at the same time: through the file, as no reference may exist to it.
    /// A word that changes meanwhile may be read half and half.
    pub(crate) fn read_word(&self, offset: u64) -> io::Result<u16> {
        let mut word = [0; 2];
        self.file.read_exact_at(&mut word, offset)?;
        Ok(u16::from_le_bytes(word))
    }

    fn ranges(&self) -> MutexGuard<'_, Vec<Range>> {
        // Nothing panics with it half changed.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes `size` bytes, aligned, out of the first range that has them.
fn take(free: &mut Vec<Range>, size: usize, align: usize) -> Option<usize> {
    let fit = |range: &Range| {
        let start = range.start.next_multiple_of(align);
        start.checked_add(size).filter(|end| *end <= range.end).map(|end| Range { start, end })
    };
    let (index, taken) = free.iter().enumerate().find_map(|(index, range)| Some((index, fit(range)?)))?;
    let whole = free[index];
    let rest = [Range { end: taken.start, ..whole }, Range { start: taken.end, ..whole }];
    free.splice(index..=index, rest.into_iter().filter(|range| range.start < range.end));
    Some(taken.start)
}

/// Puts a range back, joining it with its neighbours.
fn put(free: &mut Vec<Range>, range: Range) {
    let index = free.partition_point(|other| other.start < range.start);
    let joins_before = index > 0 && free[index - 1].end == range.start;
    let joins_after = free.get(index).is_some_and(|after| after.start == range.end);
    match (joins_before, joins_after) {
        (true, true) => {
            free[index - 1].end = free[index].end;
            free.remove(index);
        }
        (true, false) => free[index - 1].end = range.end,
        (false, true) => free[index].start = range.start,
        (false, false) => free.insert(index, range),
    }
}

// SAFETY:
// - size and alignment: `take` gives a range of `size` bytes inside the mapping at a multiple of `align`, which divides
//   a page, and the mapping and `GUEST_BASE` both begin at a multiple of that;
// - contiguous, valid: the mapping is one piece, readable and writable for the life of the process, and cannot shrink
//   (sealed); a daemon is told of it as one piece from `GUEST_BASE` on;
// - zeroed: below;
// - nobody else's: a range leaves the list before it is handed out, and comes back by `release` only.
unsafe impl DmaMemory for GuestMemory {
    fn allocate(&self, size: usize, align: usize) -> Option<DmaBlock> {
        if size == 0 || align > PAGE {
            return None;
        }
        let size = size.checked_next_multiple_of(LINE)?;
        let offset = take(&mut self.ranges(), size, align.max(LINE))?;
        // SAFETY: `take` gives ranges of the list only, which lie within the mapping.
        let cpu = unsafe { self.base.add(offset) };
        // SAFETY: `size` bytes from here on are in the mapping and have just become ours alone; a daemon has no business
        // with memory that was released.
        unsafe { cpu.write_bytes(0, size) };
        // SAFETY: what a driver may tell devices about: handed out here, and not released before they are done with it.
        let bus = unsafe { BusAddr::new(GUEST_BASE + offset as u64) };
        // SAFETY: both addresses are `offset` bytes into the same file, of which `size` bytes are zero and the caller's.
        Some(unsafe { DmaBlock::new(cpu, bus, size) })
    }

    unsafe fn release(&self, block: DmaBlock) {
        // It came from here, so that its address is beyond the base; its size may be said as it was asked for.
        let start = block.bus().get().saturating_sub(GUEST_BASE) as usize;
        let end = start + block.size().next_multiple_of(LINE);
        put(&mut self.ranges(), Range { start, end });
    }
}

impl fmt::Debug for GuestMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestMemory({} of {} bytes available)", self.available(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use toro_core::{DmaPool, SharedRegion};

    use super::*;

    #[test]
    fn addresses_of_a_block_are_as_far_into_the_mapping_as_into_the_guest() {
        let memory = GuestMemory::new(1 << 16).expect("memory");
        let _first = memory.allocate(100, 1).expect("room");
        let block = memory.allocate(5000, 4096).expect("room");
        assert_eq!(block.bus().get(), GUEST_BASE + 4096);
        assert_eq!(block.cpu().as_ptr() as u64, memory.user_base() + 4096);
        assert_eq!(memory.offset_of(block.bus(), 60 * 1024), Some(4096));
        assert_eq!(memory.offset_of(block.bus(), 60 * 1024 + 1), None);
        assert!(memory.allocate(1, 8192).is_none() && memory.allocate(1 << 16, 1).is_none());
    }

    #[test]
    fn released_memory_is_handed_out_again_and_is_zero() {
        let memory = GuestMemory::new(1 << 16).expect("memory");
        for _ in 0..3 {
            let mut pool = DmaPool::new(memory, 2, 30_000).expect("room for two");
            assert!(DmaPool::new(memory, 1, 30_000).is_err());
            let mut buffer = pool.take().expect("one of two");
            buffer.set_len(30_000).expect("as long as it is");
            assert!(buffer.iter().all(|byte| *byte == 0));
            buffer.fill(0xa5);
        }
        assert_eq!(memory.available(), 1 << 16);
    }

    #[test]
    fn a_word_is_read_through_the_file_as_it_is_in_memory() {
        let memory = GuestMemory::new(4096).expect("memory");
        let region = SharedRegion::new(memory, 4096).expect("room");
        region.at::<std::sync::atomic::AtomicU16>(9).store(0x1234_u16.to_le(), std::sync::atomic::Ordering::Relaxed);
        assert_eq!(memory.read_word(18).expect("within the file"), 0x1234);
        assert!(memory.read_word(4095).is_err());
    }

    #[test]
    fn a_daemon_cannot_shrink_the_file() {
        let memory = GuestMemory::new(4096).expect("memory");
        assert!(memory.file.set_len(0).is_err());
        assert!(GuestMemory::new(0).is_err() && GuestMemory::new(usize::MAX).is_err());
    }

    #[test]
    fn free_ranges_join_whatever_the_order_of_release() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut free = vec![Range { start: 0, end: 300 }];
            let taken = [100, 100, 100].map(|size| take(&mut free, size, 1).expect("room"));
            assert!(free.is_empty());
            for index in order {
                put(&mut free, Range { start: taken[index], end: taken[index] + 100 });
            }
            assert_eq!(free, [Range { start: 0, end: 300 }]);
        }
    }

    #[test]
    fn memory_is_somebodys_while_it_is_open_or_mapped() {
        use rustix::mm::munmap;

        let memory = GuestMemory::new(PAGE).expect("memory");
        assert!(memory.is_ours_alone());
        let [first, second] = [memory.open().expect("an opening"), memory.open().expect("another one")];
        drop(second);
        assert!(!memory.is_ours_alone(), "it is open");
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at a place that the kernel chooses, replaces none.
        let mapping = unsafe { mmap(ptr::null_mut(), PAGE, protection, MapFlags::SHARED, &first, 0) };
        let mapping = mapping.expect("a mapping");
        drop(first);
        assert!(!memory.is_ours_alone(), "it is mapped");
        // SAFETY: it was made above, and nothing refers to it.
        unsafe { munmap(mapping, PAGE) }.expect("it is mapped");
        assert!(memory.is_ours_alone());
    }
}
