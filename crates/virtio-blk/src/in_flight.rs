//! [`InFlight`]: what the driver remembers of a request in flight.
//!
//! It is written and read once for each request, so it is two words, which the compiler keeps in registers: an enum that
//! says the same is copied through memory, piece by piece.

use toro_core::driver::block::BlockOperation;

use crate::driver::Command;
use crate::request::{RangeOperation, ranged};
use crate::wire::kind;

/// What the driver remembers of a request in flight.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// The type, as in the request's header or one of those below; and in the upper half a number. Of one range: how many
    /// sectors it has, at least one. Of several: 0. Of a flush that settles: which switch.
    what: u64,
    sector: u64,
}

/// A flush that makes stable what was written before the cache was switched off for the so-many-th time.
const SETTLING: u32 = kind::FLUSH | 1 << 16;
/// Zeros, and the disk may give up the room.
const WRITE_ZEROES_OR_DISCARD: u32 = kind::WRITE_ZEROES | 1 << 16;

/// A request, as far as the driver remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    Request(BlockOperation),
    /// A flush, and how often the cache had been switched off before.
    Settling(u32),
    Command(Command),
}

impl InFlight {
    #[inline(always)]
    const fn new(kind: u32, number: u32, sector: u64) -> Self {
        Self { what: kind as u64 | (number as u64) << 32, sector }
    }

    /// A flush after the cache was switched off for the so-many-th time.
    pub(crate) const fn settling(switch: u32) -> Self {
        Self::new(SETTLING, switch, 0)
    }

    pub(crate) fn command(command: Command) -> Self {
        match command {
            Command::Lifetime => Self::new(kind::GET_LIFETIME, 0, 0),
            Command::Ranges(operation) => Self::ranges(operation, 0, 0),
        }
    }

    /// A request.
    #[inline(always)]
    pub(crate) fn request(operation: BlockOperation) -> Self {
        match operation {
            BlockOperation::Read { sector } => Self::new(kind::IN, 0, sector),
            BlockOperation::Write { sector } => Self::new(kind::OUT, 0, sector),
            BlockOperation::Flush => Self::new(kind::FLUSH, 0, 0),
            // None but those with a range are left.
            _ => match ranged(operation) {
                Some((operation, sector, sectors)) => Self::ranges(operation, sectors, sector),
                None => Self::new(kind::GET_ID, 0, 0),
            },
        }
    }

    fn ranges(operation: RangeOperation, sectors: u32, sector: u64) -> Self {
        let kind = match operation {
            RangeOperation::WriteZeroes { may_discard: true } => WRITE_ZEROES_OR_DISCARD,
            _ => operation.kind(),
        };
        Self::new(kind, sectors, sector)
    }

    /// The read or write that it was.
    #[inline(always)]
    pub(crate) fn transfer(self) -> Option<BlockOperation> {
        match self.what as u32 {
            kind::IN => Some(BlockOperation::Read { sector: self.sector }),
            kind::OUT => Some(BlockOperation::Write { sector: self.sector }),
            _ => None,
        }
    }

    /// What it was.
    pub(crate) fn remembered(self) -> Remembered {
        let number = (self.what >> 32) as u32;
        let ranges = |operation: RangeOperation| match number {
            0 => Remembered::Command(Command::Ranges(operation)),
            sectors => Remembered::Request(operation.over(self.sector, sectors)),
        };
        match self.what as u32 {
            kind::IN => Remembered::Request(BlockOperation::Read { sector: self.sector }),
            kind::OUT => Remembered::Request(BlockOperation::Write { sector: self.sector }),
            kind::FLUSH => Remembered::Request(BlockOperation::Flush),
            SETTLING => Remembered::Settling(number),
            kind::DISCARD => ranges(RangeOperation::Discard),
            kind::WRITE_ZEROES => ranges(RangeOperation::WriteZeroes { may_discard: false }),
            WRITE_ZEROES_OR_DISCARD => ranges(RangeOperation::WriteZeroes { may_discard: true }),
            kind::SECURE_ERASE => ranges(RangeOperation::SecureErase),
            kind::GET_LIFETIME => Remembered::Command(Command::Lifetime),
            // Nothing but GET_ID is left.
            _ => Remembered::Request(BlockOperation::Identify),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_remembered_as_it_was_in_sixteen_bytes() {
        let (sector, sectors) = (u64::MAX / 512, u32::MAX);
        let transfers = [BlockOperation::Read { sector }, BlockOperation::Write { sector }];
        let others = [
            BlockOperation::Flush,
            BlockOperation::Discard { sector, sectors },
            BlockOperation::WriteZeroes { sector, sectors, may_discard: true },
            BlockOperation::WriteZeroes { sector, sectors, may_discard: false },
            BlockOperation::SecureErase { sector, sectors },
            BlockOperation::Identify,
        ];
        for operation in transfers.into_iter().chain(others) {
            let in_flight = InFlight::request(operation);
            assert_eq!(in_flight.remembered(), Remembered::Request(operation));
            assert_eq!(in_flight.transfer(), transfers.contains(&operation).then_some(operation));
        }
        let ranges = [
            RangeOperation::Discard,
            RangeOperation::WriteZeroes { may_discard: true },
            RangeOperation::WriteZeroes { may_discard: false },
            RangeOperation::SecureErase,
        ];
        for command in ranges.map(Command::Ranges).into_iter().chain([Command::Lifetime]) {
            assert_eq!(InFlight::command(command).remembered(), Remembered::Command(command));
        }
        assert_eq!(InFlight::settling(7).remembered(), Remembered::Settling(7));
        assert_eq!(size_of::<InFlight>(), 16);
    }
}
