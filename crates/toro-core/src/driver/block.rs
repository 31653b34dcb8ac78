//! Disks: [`BlockDevice`] and its requests.
//!
//! A block device moves whole sectors between its disks and memory. It has one disk, or several that share its registers,
//! such as the drives of an ATA controller; each is a *unit*, and a request names the one that it is for.
//!
//! ```text
//!   submit, submit, ..  --publish-->  in flight  --complete-->  BlockCompletion      in any order
//!                                        |  reset
//!                                        +--------------------> handed back, unfinished
//! ```
//!
//! # Order and durability
//!
//! Requests may be served in any order, also when they overlap: whoever needs one after the other waits for the first
//! to complete. A completed write is stable only after a flush of the same unit that was submitted *after* the write
//! completed, unless the disk says that it [has no cache](Disk::has_cache).
//!
//! # Whose memory
//!
//! A request owns its buffers, from submission to completion, as everywhere here. What a read that failed, or that a lying
//! device called done, left in them is whatever was there before.

use core::fmt;

use super::{Armed, AttachError, DeviceFault, Refused, RequestId};
use crate::dma::Segments;
use crate::time::Instant;

/// Bytes in a sector: the unit of all addresses and capacities here, whatever a disk's own blocks are.
pub const SECTOR: usize = 512;

/// What shall be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockOperation {
    /// Fill the request's buffers from the disk, from this sector on.
    Read {
        /// The first sector.
        sector: u64,
    },
    /// Write the request's buffers to the disk, from this sector on.
    Write {
        /// The first sector.
        sector: u64,
    },
    /// Make stable what was written and completed before. No data.
    Flush,
    /// Forget what these sectors hold: reading them gives anything until they are written again. The request has one
    /// buffer of at least [`COMMAND_BYTES`], whose contents the driver replaces; the same goes for the next two.
    Discard {
        /// The first sector.
        sector: u64,
        /// How many.
        sectors: u32,
    },
    /// Make these sectors read as zeros.
    WriteZeroes {
        /// The first sector.
        sector: u64,
        /// How many.
        sectors: u32,
        /// Whether the disk may give up the room that they take.
        may_discard: bool,
    },
    /// Erase these sectors so that nobody can get at what they held.
    SecureErase {
        /// The first sector.
        sector: u64,
        /// How many.
        sectors: u32,
    },
    /// Write the disk's serial number, up to 20 bytes of text padded with zeros, to the request's one buffer, which has
    /// exactly [`SERIAL_BYTES`].
    Identify,
}

/// Room in the buffer of a [`BlockOperation::Discard`] and its like.
pub const COMMAND_BYTES: usize = 64;

/// Length of a serial number.
pub const SERIAL_BYTES: usize = 20;

/// A request, with the buffers that the device owns from submission to completion.
#[derive(Debug)]
pub struct BlockRequest {
    /// Which disk.
    pub unit: u8,
    /// What shall be done.
    pub operation: BlockOperation,
    /// The buffers. For a read or a write their lengths are multiples of [`SECTOR`], and their sum is one of the disk's
    /// [`block_size`](Disk::block_size).
    pub data: Segments,
}

/// A request that the device has finished with.
#[derive(Debug)]
pub struct BlockCompletion {
    /// What `submit` returned for it.
    pub id: RequestId,
    /// The request, its buffers back in the caller's hands.
    pub request: BlockRequest,
    /// Whether it was done.
    pub result: Result<(), BlockError>,
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockError {
    /// The disk could not do it, without saying more.
    Failed,
    /// The disk does not know such a request.
    Unsupported,
    /// The disk cannot read or write this sector.
    Medium {
        /// The first one that failed, where the disk says so.
        sector: Option<u64>,
    },
    /// Data was spoilt on the way between disk and memory.
    Transfer,
    /// The device did not answer in time.
    TimedOut,
    /// The device said something that is not an answer; what became of the request is unknown.
    Protocol,
    /// The device was reset, or went away, before the request was done.
    Interrupted,
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("the disk reports an error"),
            Self::Unsupported => f.write_str("the disk does not support the request"),
            Self::Medium { sector: Some(sector) } => write!(f, "sector {sector} cannot be read or written"),
            Self::Medium { sector: None } => f.write_str("a sector cannot be read or written"),
            Self::Transfer => f.write_str("data was spoilt between disk and memory"),
            Self::TimedOut => f.write_str("the disk did not answer in time"),
            Self::Protocol => f.write_str("the disk gave an answer that is none"),
            Self::Interrupted => f.write_str("the device was reset or went away before the request was done"),
        }
    }
}

impl core::error::Error for BlockError {}

/// A disk, as it describes itself at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Capacity in sectors of 512 bytes.
    pub sectors: u64,
    /// Bytes in the smallest piece that can be read or written: a power of two, at least 512. Requests begin and end on
    /// a multiple of it.
    pub block_size: u32,
    /// Bytes in the smallest piece that the disk writes without having to read first; a multiple of `block_size`.
    pub physical_block_size: u32,
    /// Whether it refuses writes.
    pub is_read_only: bool,
    /// Whether completed writes may be lost with the power until a flush.
    pub has_cache: bool,
}

/// What a device can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// How many requests can be in flight, for all units together.
    pub in_flight: usize,
    /// The most buffers that a request can have.
    pub segments: usize,
    /// The longest buffer, in bytes: a multiple of [`SECTOR`].
    pub segment_bytes: usize,
    /// The most sectors in a read or a write.
    pub sectors: u32,
    /// The most sectors to discard at once; 0 where the device cannot.
    pub discard_sectors: u32,
    /// The most sectors to fill with zeros at once; 0 where the device cannot.
    pub write_zeroes_sectors: u32,
    /// The most sectors to erase securely at once; 0 where the device cannot.
    pub secure_erase_sectors: u32,
}

/// A device with disks, or one of its queues.
///
/// What a caller may rely on: each accepted request completes at most once; a request that the device did not confirm
/// never completes as done; after `arm` answered [`Armed::Idle`] the next completion raises an interrupt, or
/// [`deadline`](Self::deadline) says when to look; nothing the device does makes a method panic, or wait without end.
pub trait BlockDevice: Send {
    /// How many units it has. They are numbered from 0; there are gaps where no disk is.
    fn units(&self) -> u8;

    /// What a unit is, as far as is known now; `None` if there is no disk.
    fn disk(&self, unit: u8) -> Option<Disk>;

    /// Asks the device whether its disks have changed, and says whether they have.
    fn refresh(&mut self) -> bool;

    /// What it can take.
    fn limits(&self) -> BlockLimits;

    /// Queues a request.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the request inside: [`Refusal::Full`](super::Refusal::Full) while too many are in flight,
    /// [`Refusal::Invalid`](super::Refusal::Invalid) for what no such disk takes: beyond its end, not in whole blocks, a
    /// write to a read-only disk, more than [`limits`](Self::limits) says, or an operation that it does not have; and
    /// [`Refusal::Faulted`](super::Refusal::Faulted) after a fault.
    fn submit(&mut self, request: BlockRequest) -> Result<RequestId, Refused<BlockRequest>>;

    /// Shows the device all that was submitted, and notifies it where it asked for that.
    fn publish(&mut self);

    /// The next finished request, if there is one.
    ///
    /// # Errors
    ///
    /// The device broke the protocol; nothing will complete until it is reset.
    fn complete(&mut self) -> Result<Option<BlockCompletion>, DeviceFault>;

    /// Asks for an interrupt at the next completion, then looks once more.
    ///
    /// # Errors
    ///
    /// The device broke the protocol.
    fn arm(&mut self) -> Result<Armed, DeviceFault>;

    /// When [`complete`](Self::complete) wants to be called at the latest, interrupt or not, so that what takes too long
    /// is noticed; `None` if it never minds.
    fn deadline(&self) -> Option<Instant>;

    /// Resets the device and takes it into service again. Every request that had not completed is handed to
    /// `unfinished`, with [`BlockError::Interrupted`]: whether it was done is unknown.
    ///
    /// # Errors
    ///
    /// Why the device cannot be used any more: then what was in flight stays with it for ever. Also if this object is one
    /// of several that share the device, which then nobody resets alone.
    fn reset(&mut self, unfinished: &mut dyn FnMut(BlockCompletion)) -> Result<(), AttachError>;
}
