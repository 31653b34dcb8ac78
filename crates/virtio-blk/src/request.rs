//! From what a caller wants to what the device reads, and from its status byte to a result.
//!
//! Nothing is sent that the disk could not do (§5.2.6.1): not beyond its end, not in parts of a block, no command whose
//! feature is missing, no write to a disk that refuses writes. All of that is decided by the snapshot of the
//! configuration, in numbers that cannot overflow: a capacity has fewer than 2^64 bytes, and sectors are compared by
//! subtraction from it.

use toro_core::dma::Segments;
use toro_core::driver::block::{BlockError, BlockOperation, BlockRequest, SECTOR, SERIAL_BYTES};
use toro_core::{DmaBuf, driver::block::COMMAND_BYTES};
use virtio_queue_rt::Direction;

use crate::config::{LONGEST_SECTORS, RangeLimit, Traits};
use crate::features;
use crate::wire::{self, Range, kind, status};

/// What a request that names ranges of sectors does to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOperation {
    /// Forget what they hold.
    Discard,
    /// Make them read as zeros.
    WriteZeroes {
        /// Whether the disk may give up the room that they take.
        may_discard: bool,
    },
    /// Erase them for good.
    SecureErase,
}

/// What goes into the header, and which way the data goes.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    pub(crate) kind: u32,
    pub(crate) sector: u64,
    pub(crate) direction: Direction,
}

impl Traits {
    /// What to tell the device, unless the disk takes no such request. Where the request has a range for data, that is
    /// left for [`range_of`](Self::range_of) to say.
    pub(crate) fn order(&self, request: &BlockRequest) -> Option<Order> {
        let BlockRequest { unit, operation, data } = request;
        if *unit != 0 {
            return None;
        }
        match *operation {
            BlockOperation::Read { sector } | BlockOperation::Write { sector } => {
                let lengths = data.as_slice().iter().map(DmaBuf::len);
                let is_taken = self.takes_transfer(*operation, sector, lengths);
                is_taken.then(|| Order::transfer(*operation, sector))
            }
            _ => self.command(*operation, data),
        }
    }

    /// Whether the disk takes such a read or write with buffers of these lengths.
    #[inline(always)]
    pub(crate) fn takes_transfer(
        &self,
        operation: BlockOperation,
        sector: u64,
        lengths: impl Iterator<Item = usize>,
    ) -> bool {
        let (mut bytes, mut parts, mut longest) = (0, 0, 0);
        for len in lengths {
            bytes += len as u64;
            parts |= len;
            longest = longest.max(len);
        }
        let sectors = bytes / SECTOR as u64;
        parts % SECTOR == 0
            && longest <= self.segment_bytes
            && sectors > 0
            && sectors <= u64::from(LONGEST_SECTORS)
            && (sector | sectors) & self.block_mask == 0
            && self.has(sector, sectors)
            && (matches!(operation, BlockOperation::Read { .. }) || !self.is_read_only())
    }

    /// Whether the disk has these sectors.
    #[inline]
    fn has(&self, sector: u64, sectors: u64) -> bool {
        self.sectors.checked_sub(sector).is_some_and(|left| sectors <= left)
    }

    /// Everything but reads and writes.
    #[cold]
    fn command(&self, operation: BlockOperation, data: &Segments) -> Option<Order> {
        let (kind, direction) = match (operation, data) {
            (BlockOperation::Flush, Segments::None) if self.features.contains(features::FLUSH) => {
                (kind::FLUSH, Direction::ToDevice)
            }
            (BlockOperation::Identify, Segments::One(buffer)) if buffer.len() == SERIAL_BYTES => {
                (kind::GET_ID, Direction::FromDevice)
            }
            (_, Segments::One(buffer)) if buffer.total_capacity() >= COMMAND_BYTES => {
                self.range_of(operation)?;
                (ranged(operation)?.0.kind(), Direction::ToDevice)
            }
            _ => return None,
        };
        Some(Order { kind, sector: 0, direction })
    }

    /// The one range that a request has for data, if it is of such a kind and the disk takes it.
    pub(crate) fn range_of(&self, operation: BlockOperation) -> Option<Range> {
        let (operation, sector, sectors) = ranged(operation)?;
        self.range(operation, sector, sectors)
    }

    /// One range as the device wants it, if the disk takes it.
    pub(crate) fn range(&self, operation: RangeOperation, sector: u64, sectors: u32) -> Option<Range> {
        let count = u64::from(sectors);
        let is_sound = (1..=self.range_limit(operation).sectors).contains(&sectors)
            && (sector | count) & self.block_mask == 0
            && self.has(sector, count)
            && !self.is_read_only();
        let is_unmapped = operation == RangeOperation::WriteZeroes { may_discard: true } && self.may_unmap;
        let flags = if is_unmapped { Range::UNMAP } else { 0 };
        is_sound.then(|| wire::range(self.order, sector, sectors, flags))
    }

    /// How much such a request takes.
    pub(crate) fn range_limit(&self, operation: RangeOperation) -> RangeLimit {
        match operation {
            RangeOperation::Discard => self.discard,
            RangeOperation::WriteZeroes { .. } => self.write_zeroes,
            RangeOperation::SecureErase => self.secure_erase,
        }
    }
}

impl Order {
    /// What a read or a write is told as.
    #[inline(always)]
    pub(crate) fn transfer(operation: BlockOperation, sector: u64) -> Self {
        match operation {
            BlockOperation::Read { .. } => Self { kind: kind::IN, sector, direction: Direction::FromDevice },
            _ => Self { kind: kind::OUT, sector, direction: Direction::ToDevice },
        }
    }
}

impl RangeOperation {
    /// The request that does this to one range.
    pub(crate) fn over(self, sector: u64, sectors: u32) -> BlockOperation {
        match self {
            Self::Discard => BlockOperation::Discard { sector, sectors },
            Self::WriteZeroes { may_discard } => BlockOperation::WriteZeroes { sector, sectors, may_discard },
            Self::SecureErase => BlockOperation::SecureErase { sector, sectors },
        }
    }

    pub(crate) fn kind(self) -> u32 {
        match self {
            Self::Discard => kind::DISCARD,
            Self::WriteZeroes { .. } => kind::WRITE_ZEROES,
            Self::SecureErase => kind::SECURE_ERASE,
        }
    }
}

/// Replaces what a buffer holds. It is long enough.
pub(crate) fn fill(buffer: &mut DmaBuf, bytes: &[u8]) -> Result<(), toro_core::dma::TooLong> {
    buffer.reset(0)?;
    buffer.extend(bytes)
}

/// What a request with a range does, and to which sectors.
pub(crate) fn ranged(operation: BlockOperation) -> Option<(RangeOperation, u64, u32)> {
    match operation {
        BlockOperation::Discard { sector, sectors } => Some((RangeOperation::Discard, sector, sectors)),
        BlockOperation::WriteZeroes { sector, sectors, may_discard } => {
            Some((RangeOperation::WriteZeroes { may_discard }, sector, sectors))
        }
        BlockOperation::SecureErase { sector, sectors } => Some((RangeOperation::SecureErase, sector, sectors)),
        _ => None,
    }
}

/// What a status byte means. Success is one value of 256, and not the one that was there before.
#[inline]
pub(crate) fn result(byte: u8) -> Result<(), BlockError> {
    match byte {
        status::OK => Ok(()),
        status::IOERR => Err(BlockError::Failed),
        status::UNSUPP => Err(BlockError::Unsupported),
        _ => Err(BlockError::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hd_blk_1_blk_18_only_a_written_zero_is_success() {
        for byte in 0..=u8::MAX {
            let expected = match byte {
                0 => Ok(()),
                1 => Err(BlockError::Failed),
                2 => Err(BlockError::Unsupported),
                _ => Err(BlockError::Protocol),
            };
            assert_eq!(result(byte), expected, "{byte}");
        }
        assert!(result(status::UNWRITTEN).is_err());
    }
}
