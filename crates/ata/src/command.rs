//! Commands: their codes, their registers, how their data moves and how long they may take.

use core::time::Duration;

use crate::registers::{Direction, LBA, OBSOLETE, TaskFile, Width};

/// Sectors below this have a 28-bit address.
pub(crate) const SHORT_END: u64 = 1 << 28;

/// How long a drive may work on one block of data, or a DMA command: it may have to spin up first.
const DATA_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to write its cache.
const FLUSH_PATIENCE: Duration = Duration::from_secs(90);
/// How long it may think about itself.
const SETUP_PATIENCE: Duration = Duration::from_secs(2);

/// A command, ready for the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) code: u8,
    pub(crate) file: TaskFile,
    pub(crate) protocol: Protocol,
    pub(crate) patience: Duration,
}

/// How the data of a command moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// There is none.
    NonData,
    /// Through the data port.
    Pio {
        direction: Direction,
        /// All of it.
        bytes: usize,
        /// What moves at a time.
        block: usize,
    },
    /// The bus master moves it.
    Dma { direction: Direction, bytes: usize },
    /// Through the data port, after a packet that says what is wanted.
    Packet {
        packet: [u8; 12],
        /// What is expected.
        bytes: usize,
        length: PacketLength,
    },
}

/// Whether a packet command may give less than was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketLength {
    Exact,
    AtMost,
}

/// How a transfer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Block by block through the data port.
    Single,
    /// So many blocks at a time through the data port.
    Multiple(u8),
    /// By the bus master.
    Dma,
}

/// What a command without data does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// FLUSH CACHE.
    Flush,
    /// FLUSH CACHE EXT.
    FlushExt,
    /// SET FEATURES, disable the write cache.
    DisableCache,
    /// SET MULTIPLE MODE.
    SetMultiple(u8),
}

/// A piece of a disk, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) lba: u64,
    pub(crate) blocks: usize,
    pub(crate) block_size: usize,
}

impl Command {
    /// Reads or writes. Short registers wherever they suffice, since they are fewer; the extent is one that the drive's
    /// registers can hold.
    pub(crate) fn transfer(direction: Direction, method: Method, extent: Extent) -> Self {
        let Extent { lba, blocks, block_size } = extent;
        let is_short = lba + blocks as u64 <= SHORT_END && blocks <= 256;
        let width = if is_short { Width::Short } else { Width::Long };
        let code = match (direction, method, width) {
            (Direction::In, Method::Single, Width::Short) => 0x20,
            (Direction::In, Method::Single, Width::Long) => 0x24,
            (Direction::In, Method::Multiple(_), Width::Short) => 0xc4,
            (Direction::In, Method::Multiple(_), Width::Long) => 0x29,
            (Direction::In, Method::Dma, Width::Short) => 0xc8,
            (Direction::In, Method::Dma, Width::Long) => 0x25,
            (Direction::Out, Method::Single, Width::Short) => 0x30,
            (Direction::Out, Method::Single, Width::Long) => 0x34,
            (Direction::Out, Method::Multiple(_), Width::Short) => 0xc5,
            (Direction::Out, Method::Multiple(_), Width::Long) => 0x39,
            (Direction::Out, Method::Dma, Width::Short) => 0xca,
            (Direction::Out, Method::Dma, Width::Long) => 0x35,
        };
        // The most that a register can count, 256 or 65,536, is written as 0.
        let count = match width {
            Width::Short => u16::from(blocks as u8),
            Width::Long => blocks as u16,
        };
        let device = match width {
            Width::Short => OBSOLETE | LBA,
            Width::Long => LBA,
        };
        let bytes = blocks * block_size;
        let pio = |count: usize| Protocol::Pio { direction, bytes, block: count * block_size };
        let protocol = match method {
            Method::Single => pio(1),
            Method::Multiple(count) => pio(count.into()),
            Method::Dma => Protocol::Dma { direction, bytes },
        };
        Self { code, file: TaskFile { features: 0, count, lba, width, device }, protocol, patience: DATA_PATIENCE }
    }

    /// A command without data.
    pub(crate) fn action(action: Action) -> Self {
        let (code, features, count, patience) = match action {
            Action::Flush => (0xe7, 0, 0, FLUSH_PATIENCE),
            Action::FlushExt => (0xea, 0, 0, FLUSH_PATIENCE),
            Action::DisableCache => (0xef, 0x82, 0, SETUP_PATIENCE),
            Action::SetMultiple(blocks) => (0xc6, 0, blocks.into(), SETUP_PATIENCE),
        };
        Self { code, file: plain(features, count, 0), protocol: Protocol::NonData, patience }
    }

    /// Asks a disk, or a packet device, to describe itself.
    pub(crate) fn identify(kind: IdentifyKind) -> Self {
        let code = match kind {
            IdentifyKind::Disk => 0xec,
            IdentifyKind::Packet => 0xa1,
        };
        let protocol = Protocol::Pio { direction: Direction::In, bytes: 512, block: 512 };
        Self { code, file: plain(0, 0, 0), protocol, patience: SETUP_PATIENCE }
    }

    /// Sends a packet that asks for data, which comes in pieces of at most `piece` bytes.
    pub(crate) fn packet(packet: [u8; 12], bytes: usize, length: PacketLength, piece: u16) -> Self {
        // The byte count limit is in LBA mid and high.
        let file = plain(0, 0, u64::from(piece) << 8);
        Self { code: 0xa0, file, protocol: Protocol::Packet { packet, bytes, length }, patience: DATA_PATIENCE }
    }
}

/// Which of the two commands a drive describes itself by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentifyKind {
    Disk,
    Packet,
}

fn plain(features: u8, count: u16, lba: u64) -> TaskFile {
    TaskFile { features, count, lba, width: Width::Short, device: OBSOLETE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_10_at_11_the_most_that_a_register_counts_is_written_as_0() {
        let extent = |lba, blocks| Extent { lba, blocks, block_size: 512 };
        let count = |lba, blocks| Command::transfer(Direction::In, Method::Dma, extent(lba, blocks)).file.count;
        assert_eq!((count(0, 255), count(0, 256), count(0, 257)), (255, 0, 257));
        assert_eq!((count(0, 65_535), count(SHORT_END, 65_536), count(SHORT_END, 256)), (65_535, 0, 256));
    }
}
