//! [`Disk`]: a disk for an application, without a file system.

use alloc::rc::Rc;
use alloc::string::String;
#[cfg(target_os = "none")]
use alloc::sync::Arc;

use toro_core::DmaBuf;
use toro_core::driver::block::{BlockOperation, SECTOR, SERIAL_BYTES};

use super::buffers::{Buffers, LONGEST_BUFFER};
use super::error::DiskError;
use super::queue::{Finished, Queue, Ticket};
use super::registry::{Claim, DiskInfo, Entry};
use super::volume::{Transfer, command_buffer, operation};
use crate::fs::scheduler::Scheduler;
use crate::io::{Error, Result};
#[cfg(target_os = "none")]
use crate::sched::Outcome;

/// How much the blocking calls move at a time.
const PIECE: usize = 1 << 20;

/// The way to the device.
pub(super) enum Way {
    /// It is the calling core's.
    Home(Rc<Queue>),
    /// It is another core's, which is sent the requests.
    #[cfg(target_os = "none")]
    Away(super::registry::Home),
}

/// A disk, or a partition of one.
///
/// Sectors have 512 bytes and are counted from the beginning of the disk or partition. What is read or written begins and
/// ends on a multiple of [`block_size`](DiskInfo::block_size). Requests may be served in any order: who needs one after the
/// other waits for the first.
///
/// A disk belongs to one core, or to several that have a queue each. Others may use it all the same: their requests are
/// sent to an owner, buffers and all, so that costs two messages between cores and no copy.
///
/// # Example
///
/// ```ignore
/// let disk = toro::fs::block::Disk::open("virtio-blk0")?;
/// let mut buffer = disk.buffer(4096)?;
/// buffer.fill(7);
/// let pending: Vec<_> = (0..8).map(|block| Ok(disk.write(block * 8, disk.buffer(4096)?))).collect::<Result<_>>()?;
/// for pending in pending {
///     let (buffer, result) = pending.wait();
///     result?;
/// }
/// disk.flush()?;
/// ```
pub struct Disk {
    way: Way,
    entry: Entry,
    buffers: Rc<Buffers>,
    scheduler: Rc<dyn Scheduler>,
    /// Held by who may write.
    claim: Option<Claim>,
}

impl Disk {
    /// A handle. Without a claim it is for reading only.
    pub(super) fn new(
        way: Way,
        entry: Entry,
        buffers: Rc<Buffers>,
        scheduler: Rc<dyn Scheduler>,
        claim: Option<Claim>,
    ) -> Self {
        Self { way, entry, buffers, scheduler, claim }
    }

    /// What it is, as it was when it was found.
    pub fn info(&self) -> &DiskInfo {
        &self.entry.info
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.entry.info.name
    }

    /// How many sectors of 512 bytes it has, as far as is known now. A disk may grow or shrink; a partition of it keeps its
    /// bounds, and what of it is not on the disk any more is an error.
    pub fn sectors(&self) -> u64 {
        self.entry.sectors()
    }

    /// Asks the device how large the disk is, and says it. That is not necessary before sectors are read or written that a
    /// disk has got meanwhile, nor noticed at once where a device tells of such changes by itself.
    pub fn refresh(&self) -> u64 {
        match &self.way {
            Way::Home(queue) => drop(queue.refresh()),
            #[cfg(target_os = "none")]
            Way::Away(home) => super::system::refresh(*home),
        }
        self.sectors()
    }

    /// Whether this handle can only read: because the disk can, or because it was opened for that.
    pub fn is_read_only(&self) -> bool {
        self.claim.is_none()
    }

    /// The most bytes that the device moves in one request from or to one buffer. Longer ones are taken, and done in pieces.
    pub fn longest_request(&self) -> usize {
        let limits = &self.entry.limits;
        limits.segment_bytes.min((limits.sectors as usize).saturating_mul(SECTOR)).min(LONGEST_BUFFER)
    }

    /// A buffer of this length, at most 4 MiB, which holds anything. Waits for one while all are in use.
    ///
    /// # Errors
    ///
    /// `OutOfMemory`.
    pub fn buffer(&self, bytes: usize) -> Result<DmaBuf> {
        Ok(self.buffers.take_in_time(bytes, &*self.scheduler)?)
    }

    /// Begins to fill a buffer from sector `sector` on.
    pub fn read(&self, sector: u64, buffer: DmaBuf) -> Pending {
        self.transfer(Transfer::Read, sector, buffer)
    }

    /// Begins to write a buffer to sector `sector` and those behind it.
    pub fn write(&self, sector: u64, buffer: DmaBuf) -> Pending {
        if self.is_read_only() {
            return Pending::over(Some(buffer), Err(DiskError::ReadOnly));
        }
        self.transfer(Transfer::Write, sector, buffer)
    }

    /// Reads whole blocks, and waits for them.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is not in whole blocks or beyond the end; the device's.
    pub fn read_at(&self, bytes: &mut [u8], sector: u64) -> Result<()> {
        let mut at = sector;
        for piece in bytes.chunks_mut(PIECE) {
            let (buffer, result) = self.read(at, self.buffer(piece.len())?).wait();
            result?;
            let buffer = buffer.ok_or(Error::from(DiskError::Dead))?;
            piece.copy_from_slice(buffer.get(..piece.len()).ok_or(Error::from(DiskError::Dead))?);
            at = at.saturating_add((piece.len() / SECTOR) as u64);
        }
        Ok(())
    }

    /// Writes whole blocks, and waits until the disk has them. They are stable after a [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is not in whole blocks or beyond the end; `ReadOnlyFilesystem`; the device's.
    pub fn write_at(&self, bytes: &[u8], sector: u64) -> Result<()> {
        let mut at = sector;
        for piece in bytes.chunks(PIECE) {
            let mut buffer = self.buffer(piece.len())?;
            buffer.copy_from_slice(piece);
            self.write(at, buffer).wait().1?;
            at = at.saturating_add((piece.len() / SECTOR) as u64);
        }
        Ok(())
    }

    /// Makes stable all that was written and has completed before, by whomever.
    ///
    /// # Errors
    ///
    /// The device's: then nothing is known of what was written since the last flush.
    pub fn flush(&self) -> Result<()> {
        self.start_flush().wait().1
    }

    /// Begins what [`flush`](Self::flush) does. A disk without a cache has nothing to do.
    pub fn start_flush(&self) -> Pending {
        if !self.entry.info.has_cache {
            return Pending::over(None, Ok(()));
        }
        self.submit(BlockOperation::Flush, None)
    }

    /// Lets the disk forget what these sectors hold.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the device cannot; otherwise as [`write_at`](Self::write_at).
    pub fn discard(&self, sector: u64, sectors: u64) -> Result<()> {
        let most = self.entry.limits.discard_sectors;
        self.command(sector, sectors, most, |sector, sectors| BlockOperation::Discard { sector, sectors })
    }

    /// Makes these sectors read as zeros, without sending any.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the device cannot; otherwise as [`write_at`](Self::write_at).
    pub fn write_zeroes(&self, sector: u64, sectors: u64) -> Result<()> {
        let most = self.entry.limits.write_zeroes_sectors;
        let may_discard = false;
        self.command(sector, sectors, most, |sector, sectors| BlockOperation::WriteZeroes {
            sector,
            sectors,
            may_discard,
        })
    }

    /// The serial number, as far as it is printable ASCII.
    ///
    /// # Errors
    ///
    /// `Unsupported` where it has none.
    pub fn serial(&self) -> Result<String> {
        let mut buffer = self.buffer(SERIAL_BYTES)?;
        buffer.fill(0);
        let (buffer, result) = self.submit(BlockOperation::Identify, Some(buffer)).wait();
        result?;
        let bytes = buffer.as_deref().unwrap_or_default();
        let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        let printable = |&byte: &u8| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
        Ok(text.iter().map(printable).collect())
    }

    /// A command about many sectors, in as many requests as the device's limit asks for.
    fn command(&self, sector: u64, sectors: u64, most: u32, make: impl Fn(u64, u32) -> BlockOperation) -> Result<()> {
        if self.is_read_only() {
            return Err(DiskError::ReadOnly.into());
        }
        let block = u64::from(self.entry.info.block_size) / SECTOR as u64;
        let most = u64::from(most) / block.max(1) * block;
        if most == 0 {
            return Err(DiskError::Unsupported.into());
        }
        let mut at = self.entry.window.place(sector, sectors).ok_or(Error::from(DiskError::Misplaced))?;
        if !at.is_multiple_of(block.max(1)) || !sectors.is_multiple_of(block.max(1)) {
            return Err(DiskError::Misplaced.into());
        }
        let end = sector.saturating_add(sectors);
        if end > self.sectors() && end > self.refresh() {
            return Err(DiskError::Misplaced.into());
        }
        let mut left = sectors;
        while left > 0 {
            let count = left.min(most);
            let piece = u32::try_from(count).unwrap_or(u32::MAX);
            self.submit(make(at, piece), Some(command_buffer(&self.buffers)?)).wait().1?;
            at += count;
            left -= count;
        }
        Ok(())
    }

    fn transfer(&self, transfer: Transfer, sector: u64, buffer: DmaBuf) -> Pending {
        match operation(transfer, self.entry.window, self.entry.info.block_size, sector, buffer.len()) {
            Ok(operation) => self.submit(operation, Some(buffer)),
            Err(error) => Pending::over(Some(buffer), Err(error)),
        }
    }

    fn submit(&self, operation: BlockOperation, buffer: Option<DmaBuf>) -> Pending {
        let unit = self.entry.unit;
        match &self.way {
            Way::Home(queue) => Pending(Stage::Home(queue.submit(unit, operation, buffer))),
            #[cfg(target_os = "none")]
            Way::Away(home) => Pending(Stage::Away(super::system::send(*home, unit, operation, buffer))),
        }
    }
}

/// A request under way. Dropped, it leaves the request alone: the buffer goes back to its pool when that has ended.
#[must_use = "whether the request was done is known by waiting only"]
pub struct Pending(Stage);

enum Stage {
    Home(Ticket),
    #[cfg(target_os = "none")]
    Away(Arc<Outcome<Finished>>),
    Over(Finished),
}

impl Pending {
    fn over(buffer: Option<DmaBuf>, result: core::result::Result<(), DiskError>) -> Self {
        Self(Stage::Over(Finished { buffer, result }))
    }

    /// Waits until the request has ended. The buffer comes back, also after an error, but not from a device that failed and
    /// could not be reset: then its memory is lost.
    pub fn wait(self) -> (Option<DmaBuf>, Result<()>) {
        let Finished { buffer, result } = match self.0 {
            Stage::Home(ticket) => ticket.wait(),
            #[cfg(target_os = "none")]
            Stage::Away(outcome) => {
                // The owner ends every request.
                outcome.take(None).unwrap_or(Finished { buffer: None, result: Err(DiskError::Dead) })
            }
            Stage::Over(finished) => finished,
        };
        (buffer, result.map_err(Error::from))
    }

    /// Whether waiting would return at once.
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Stage::Home(ticket) => ticket.is_finished(),
            #[cfg(target_os = "none")]
            Stage::Away(outcome) => outcome.is_there(),
            Stage::Over(_) => true,
        }
    }
}
