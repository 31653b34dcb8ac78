//! [`CachedDisk`]: a volume with a write-back cache, for a file system.
//!
//! ```text
//!   read   --> block here? ---------------------------------> copy
//!              no: read the missing run, more of it for a sequential reader, keep it
//!   write  --> the block here changes, and is dirty           (a part of a block that is not here is read first)
//!   64 KiB and more: past the cache, but through what it has
//!                        |
//!   a few seconds later, at a quarter of the cache, at a flush: runs of dirty blocks, ascending --> disk
//! ```
//!
//! # Barriers
//!
//! [`flush`](CachedDisk::flush) is one: what was written before it, by a call that has returned, is stable when it returns.
//! It writes all that was dirty when it began, waits for what was on its way already, and then flushes the disk. What is
//! written meanwhile does not hold it up. Between two flushes anything may become stable or not.
//!
//! # Errors
//!
//! A block that could not be written stays dirty. The next flush tries again and reports it if that fails, and so does each
//! one after it, until the block is written; so a flush that succeeds means that everything is stable. When the cache may
//! not hold more dirty blocks, and cannot get rid of those it has, a write reports why. A flush of the disk that failed is
//! reported by the call that asked for it; what the disk had not made stable until then may be lost, and nobody can tell.
//!
//! # Several threads
//!
//! All of this belongs to one core. A call that has to wait for the disk first locks the blocks that it is about, and every
//! other call on one of them waits; so nobody sees half of a write, and what is read from the disk is never older than what
//! the cache forgot meanwhile. Writing back locks nothing: it copies blocks, and marks them as on their way, so that no
//! second copy overtakes the first.

use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::time::Duration;

use toro_core::DmaBuf;
use toro_core::driver::block::SECTOR;
#[cfg(feature = "fat")]
use toro_fat::{Storage, StorageError};

use self::blocks::Blocks;
use super::error::DiskError;
use super::registry::Claim;
use super::volume::Volume;
use crate::fs::scheduler::Event;

mod blocks;
mod reading;
mod write_back;
mod writing;

/// Bytes in a block, unless the disk's own are larger.
const BLOCK: usize = 4096;
/// The fewest blocks that a cache has.
const LEAST: usize = 128;
/// From this length on a read or a write is not kept.
const LARGE: usize = 64 << 10;
/// How much is locked, and moved, at a time.
const PIECE: usize = 1 << 20;
/// How much is read for somebody who reads on and on.
const AHEAD: usize = 64 << 10;
/// How long a block may be dirty, about.
const DELAY: Duration = Duration::from_secs(2);

/// What a cache does with what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Keeps it for a while, in at most this many bytes.
    WriteBack {
        /// How large the cache is; there is a least size.
        bytes: usize,
    },
    /// Gives it to the disk at once.
    WriteThrough,
}

/// A volume with a write-back cache. A handle: a clone is the same cache.
#[derive(Clone)]
pub struct CachedDisk(Rc<Cache>);

impl Drop for CachedDisk {
    fn drop(&mut self) {
        // The last but for the one that tends the cache, which gets its turn some time. If nothing was ever written, the
        // disk need not stay taken until then: somebody on another core may be about to open it.
        let is_last = !self.0.is_read_only && Rc::strong_count(&self.0) == 2;
        if is_last && self.0.state.try_borrow().is_ok_and(|state| state.sequence == 0) {
            drop(self.0.claim.take());
        }
        // Whoever tends the cache looks whether it is the last one.
        self.0.soiled.announce();
    }
}

/// A handle that does not keep a cache alive.
pub(super) struct WeakCachedDisk(Weak<Cache>);

impl WeakCachedDisk {
    /// The cache, if anybody has it still.
    pub(super) fn upgrade(&self) -> Option<CachedDisk> {
        self.0.upgrade().map(CachedDisk)
    }
}

struct Cache {
    volume: Volume,
    /// Bytes in a block.
    block: usize,
    /// How many sectors the blocks of this cache are of: whole blocks of the disk, the most that it has had.
    sectors: Cell<u64>,
    is_read_only: bool,
    policy: Policy,
    most_dirty: usize,
    state: RefCell<State>,
    /// Announced when blocks were unlocked, or have been written.
    changed: Rc<dyn Event>,
    /// Announced when the first block became dirty.
    soiled: Rc<dyn Event>,
    claim: Cell<Option<Claim>>,
}

struct State {
    blocks: Blocks,
    locked: Vec<Range<u64>>,
    /// The number of the last write.
    sequence: u64,
    /// How many writes past the cache are on their way.
    direct: usize,
    /// How many writes the disk has finished, and how many of these were before the last flush of the disk.
    written: u64,
    stable: u64,
    /// Where somebody who reads on and on reads next.
    next_read: u64,
    /// The last time that writing back failed.
    trouble: Option<toro_core::Instant>,
}

/// Blocks that others keep away from.
struct Lock<'a> {
    cache: &'a Cache,
    range: Range<u64>,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.state.borrow_mut();
        if let Some(place) = state.locked.iter().position(|range| *range == self.range) {
            state.locked.swap_remove(place);
        }
        drop(state);
        self.cache.changed.announce();
    }
}

impl CachedDisk {
    /// A cache for `volume`, which only reads if the disk says so. It holds `claim` for as long as it lives.
    pub fn new(volume: Volume, policy: Policy, claim: Option<Claim>) -> Self {
        let disk = volume.disk();
        let own = disk.map_or(SECTOR, |disk| disk.block_size as usize);
        let block = own.max(BLOCK);
        let capacity = match policy {
            Policy::WriteBack { bytes } => (bytes / block).max(LEAST),
            Policy::WriteThrough => LEAST,
        };
        Self(Rc::new(Cache {
            block,
            sectors: Cell::new(whole_sectors(&volume)),
            is_read_only: disk.is_none_or(|disk| disk.is_read_only),
            policy,
            most_dirty: capacity / 4,
            state: RefCell::new(State {
                blocks: Blocks::new(capacity),
                locked: Vec::new(),
                sequence: 0,
                direct: 0,
                written: 0,
                stable: 0,
                next_read: 0,
                trouble: None,
            }),
            changed: volume.event(),
            soiled: volume.event(),
            volume,
            claim: Cell::new(claim),
        }))
    }

    /// How many sectors of 512 bytes there are now. Those that a disk has got are of use at once. Of those that it has lost,
    /// the ones that were written and are not on the disk are an error of every flush.
    pub fn sectors(&self) -> u64 {
        whole_sectors(&self.0.volume)
    }

    /// Whether it refuses writes.
    pub fn is_read_only(&self) -> bool {
        self.0.is_read_only
    }

    /// A buffer of this length, at most 4 MiB, from the pools of the core. Waits for one while all are in use.
    ///
    /// # Errors
    ///
    /// [`DiskError::OutOfMemory`].
    pub fn buffer(&self, bytes: usize) -> Result<DmaBuf, DiskError> {
        self.0.volume.buffer(bytes)
    }

    /// Fills `out` from sector `sector` on.
    ///
    /// # Errors
    ///
    /// [`DiskError::Misplaced`] for what is not in whole sectors or beyond the end; the disk's.
    pub fn read(&self, sector: u64, out: &mut [u8]) -> Result<(), DiskError> {
        self.0.check(sector, out.len())?;
        let mut at = sector;
        let mut rest = out;
        while !rest.is_empty() {
            let length = self.0.piece(at, rest.len());
            let (piece, behind) = rest.split_at_mut(length);
            self.0.read_piece(at, piece)?;
            at += (length / SECTOR) as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Writes `data` to sector `sector` and those behind it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`DiskError::ReadOnly`].
    pub fn write(&self, sector: u64, data: &[u8]) -> Result<(), DiskError> {
        if self.0.is_read_only {
            return Err(DiskError::ReadOnly);
        }
        self.0.check(sector, data.len())?;
        let mut at = sector;
        let mut rest = data;
        while !rest.is_empty() {
            let length = self.0.piece(at, rest.len());
            let (piece, behind) = rest.split_at(length);
            self.0.write_piece(at, piece)?;
            at += (length / SECTOR) as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Makes stable what was written before.
    ///
    /// # Errors
    ///
    /// The disk's; see the module for what that means.
    pub fn flush(&self) -> Result<(), DiskError> {
        self.0.flush()
    }

    pub(super) fn downgrade(&self) -> WeakCachedDisk {
        WeakCachedDisk(Rc::downgrade(&self.0))
    }

    /// Whether there is another handle to this cache.
    pub fn is_shared(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Whether the disk has everything, stable or not.
    pub fn is_clean(&self) -> bool {
        let state = self.0.state.borrow();
        state.blocks.dirty.is_empty() && state.blocks.writing.is_empty() && state.direct == 0
    }

    /// Waits until a block has been dirty for a while, and writes back what is dirty: what a thread does over and over.
    pub fn tend(&self) {
        self.0.tend();
    }
}

/// The sectors of a volume that are in whole blocks of its disk.
fn whole_sectors(volume: &Volume) -> u64 {
    let whole = volume.disk().map_or(1, |disk| (disk.block_size as usize / SECTOR).max(1) as u64);
    volume.sectors() / whole * whole
}

impl Cache {
    fn check(&self, sector: u64, bytes: usize) -> Result<(), DiskError> {
        let end = sector.checked_add((bytes / SECTOR) as u64).ok_or(DiskError::Misplaced)?;
        if end > whole_sectors(&self.volume) {
            self.volume.refresh();
        }
        if end > whole_sectors(&self.volume) || !bytes.is_multiple_of(SECTOR) {
            return Err(DiskError::Misplaced);
        }
        if end > self.sectors.get() { self.grow() } else { Ok(()) }
    }

    /// Takes in what the volume has got. The last block, if it was a short one, is written and forgotten: it gets longer.
    fn grow(&self) -> Result<(), DiskError> {
        let last = self.sectors.get() / self.stride();
        let range = last..last + 1;
        self.wait_for(&range);
        let _lock = self.lock(range);
        loop {
            let mut state = self.state.borrow_mut();
            if state.blocks.writing.contains_key(&last) {
                drop(state);
                self.changed.wait();
            } else if state.blocks.dirty.contains_key(&last) {
                drop(state);
                self.write_back(u64::MAX)?;
            } else {
                state.blocks.forget(last);
                break;
            }
        }
        // Another thread may have been here meanwhile.
        self.sectors.set(self.sectors.get().max(whole_sectors(&self.volume)));
        Ok(())
    }

    /// Sectors in a block.
    fn stride(&self) -> u64 {
        (self.block / SECTOR) as u64
    }

    /// The blocks that `bytes` bytes from `sector` on are in.
    fn range(&self, sector: u64, bytes: usize) -> Range<u64> {
        let end = sector + (bytes / SECTOR) as u64;
        sector / self.stride()..end.div_ceil(self.stride())
    }

    /// Bytes in these blocks, of which the volume's last one may be shorter.
    fn bytes_in(&self, range: &Range<u64>) -> usize {
        let end = (range.end * self.stride()).min(self.sectors.get());
        end.saturating_sub(range.start * self.stride()) as usize * SECTOR
    }

    /// How much of `bytes` bytes from `sector` on is done at a time: large pieces begin and end with a block.
    fn piece(&self, sector: u64, bytes: usize) -> usize {
        let within = (sector % self.stride()) as usize * SECTOR;
        if within > 0 {
            return bytes.min(self.block - within);
        }
        let whole = bytes / self.block * self.block;
        if whole == 0 { bytes } else { whole.min(PIECE.max(self.block)) }
    }

    fn is_locked(&self, range: &Range<u64>) -> bool {
        let state = self.state.borrow();
        state.locked.iter().any(|other| other.start < range.end && range.start < other.end)
    }

    /// Waits until nobody has locked any of these blocks.
    fn wait_for(&self, range: &Range<u64>) {
        while self.is_locked(range) {
            self.changed.wait();
        }
    }

    /// Locks blocks that nobody has locked.
    fn lock(&self, range: Range<u64>) -> Lock<'_> {
        self.state.borrow_mut().locked.push(range.clone());
        Lock { cache: self, range }
    }
}

#[cfg(feature = "fat")]
impl Storage for CachedDisk {
    fn sectors(&self) -> u64 {
        CachedDisk::sectors(self)
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        CachedDisk::read(self, sector, buffer).map_err(Into::into)
    }

    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        CachedDisk::write(self, sector, data).map_err(Into::into)
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.0.flush().map_err(Into::into)
    }
}

#[cfg(feature = "fat")]
impl From<DiskError> for StorageError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Misplaced => Self::OutOfRange,
            DiskError::ReadOnly => Self::ReadOnly,
            _ => Self::Failed,
        }
    }
}
