//! What a drive says about itself (IDENTIFY DEVICE, ATA/ATAPI-7 volume 1 §6.17), and what of it is believed.
//!
//! 256 words, all of them the drive's: [`Words`] is total over every bit pattern. An [`Identity`] is what was accepted, once.
//! A value that a driver can do without is corrected; a drive that is too strange is none.
//!
//! | words | what |
//! |---|---|
//! | 0 | bit 15: a packet device |
//! | 10-19, 27-46 | serial number, model: text, two characters a word, the first in the upper half |
//! | 47, 59 | most blocks at a time in READ MULTIPLE; blocks at a time now |
//! | 49 | bit 8: DMA, bit 9: LBA |
//! | 60-61, 100-103 | capacity in 28 and in 48 bits |
//! | 82, 83, 85 | commands that it knows: write cache, LBA48, FLUSH CACHE (EXT); the cache is on |
//! | 106, 117-118 | sizes of its blocks |
//! | 255 | checksum |

use core::fmt;

use toro_core::driver::block::{SECTOR, SERIAL_BYTES};

use crate::command::SHORT_END;

/// Bytes of a description.
pub(crate) const DESCRIPTION_BYTES: usize = 512;
/// The most blocks at a time that are asked for.
const MOST_MULTIPLE: u8 = 128;
/// The longest DRQ block, so that moving one takes no long time.
const LONGEST_BLOCK: usize = 16 * 1024;
/// The largest block of a disk.
const LARGEST_BLOCK_SIZE: u32 = 4096;
/// Addresses are 48 bits.
const LONG_END: u64 = 1 << 48;
/// Bytes in a model's name.
const MODEL_BYTES: usize = 40;

/// The words of a description.
pub(crate) struct Words<'a>(pub(crate) &'a [u8; DESCRIPTION_BYTES]);

impl Words<'_> {
    fn word(&self, index: usize) -> u16 {
        let [low, high] = [0, 1].map(|half| self.0.get(2 * index + half).copied().unwrap_or(0));
        u16::from_le_bytes([low, high])
    }

    fn has(&self, index: usize, bit: u16) -> bool {
        self.word(index) & 1 << bit != 0
    }

    /// Whether a word's bits 15 and 14 say that the others mean something.
    fn is_valid(&self, index: usize) -> bool {
        self.word(index) >> 14 == 0b01
    }

    fn number(&self, index: usize, words: usize) -> u64 {
        (0..words).rev().fold(0, |number, word| number << 16 | u64::from(self.word(index + word)))
    }

    /// Text with its bytes in order, without what cannot be printed, without blanks around it, zeros behind it.
    fn text<const N: usize>(&self, index: usize) -> [u8; N] {
        let raw: [u8; N] = core::array::from_fn(|at| {
            let [high, low] = self.word(index + at / 2).to_be_bytes();
            if at % 2 == 0 { high } else { low }
        });
        let mut text = [0; N];
        for (place, byte) in text.iter_mut().zip(raw.trim_ascii_start()) {
            *place = if matches!(byte, b' '..=b'~') {
                *byte
            } else if *byte == 0 {
                0
            } else {
                b'?'
            };
        }
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(N);
        let length = text[..end].trim_ascii_end().len();
        text[length..].fill(0);
        text
    }

    /// Whether the checksum, if there is one, is right.
    fn is_whole(&self) -> bool {
        const SIGNATURE: u16 = 0xa5;
        self.word(255) & 0xff != SIGNATURE || self.0.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
    }
}

/// Why a description is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityError {
    /// The checksum is wrong.
    Checksum,
    /// It is of another kind of device than the one that was asked.
    Kind,
    /// Sectors have no numbers of their own, only cylinders, heads and sectors.
    NoLba,
    /// There are none, or more than can be.
    Capacity,
    /// Blocks of no sensible size.
    BlockSize,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "the description is spoilt",
            Self::Kind => "the description is not that of such a device",
            Self::NoLba => "the disk is too old to number its sectors",
            Self::Capacity => "the capacity makes no sense",
            Self::BlockSize => "the size of blocks makes no sense",
        })
    }
}

/// How a drive makes its cache stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    Short,
    Long,
}

/// How wide the addresses are that a disk takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressing {
    Lba28,
    Lba48,
}

/// What a drive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) serial: [u8; SERIAL_BYTES],
    pub(crate) model: [u8; MODEL_BYTES],
    pub(crate) kind: Kind,
}

/// Of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A disk.
    Disk(Geometry),
    /// A packet device, such as a CD-ROM drive.
    Packet,
}

/// A disk's properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) blocks: u64,
    /// Bytes: a power of two.
    pub(crate) block_size: u32,
    pub(crate) physical_block_size: u32,
    pub(crate) addressing: Addressing,
    /// The most blocks at a time, a power of two; 0 if it is always one.
    pub(crate) multiple: u8,
    pub(crate) has_dma: bool,
    pub(crate) has_cache: bool,
    pub(crate) flush: Option<Flush>,
}

impl Geometry {
    /// The most blocks in a command.
    pub(crate) fn most_blocks(&self) -> usize {
        match self.addressing {
            Addressing::Lba28 => 256,
            Addressing::Lba48 => 65_536,
        }
    }
}

impl Identity {
    /// What a disk says.
    pub(crate) fn of_disk(words: &Words<'_>) -> Result<Self, IdentityError> {
        if words.has(0, 15) {
            return Err(IdentityError::Kind);
        }
        Ok(Self { kind: Kind::Disk(geometry(words)?), ..Self::named(words)? })
    }

    /// What a packet device says.
    pub(crate) fn of_packet_device(words: &Words<'_>) -> Result<Self, IdentityError> {
        // Commands of 16 bytes are for others.
        if words.word(0) >> 14 != 0b10 || words.word(0) & 3 != 0 {
            return Err(IdentityError::Kind);
        }
        Self::named(words)
    }

    fn named(words: &Words<'_>) -> Result<Self, IdentityError> {
        if !words.is_whole() {
            return Err(IdentityError::Checksum);
        }
        Ok(Self { serial: words.text(10), model: words.text(27), kind: Kind::Packet })
    }

    /// The model, for people.
    pub(crate) fn model(&self) -> &str {
        let end = self.model.iter().position(|byte| *byte == 0).unwrap_or(MODEL_BYTES);
        str::from_utf8(&self.model[..end]).unwrap_or_default()
    }
}

fn geometry(words: &Words<'_>) -> Result<Geometry, IdentityError> {
    // All zeros, or all ones: nobody said anything.
    if [0, u16::MAX].contains(&words.word(49)) || !words.has(49, 9) {
        return Err(IdentityError::NoLba);
    }
    let knows = |bit| words.is_valid(83) && words.has(83, bit);
    let (addressing, blocks) = match (knows(10), words.number(100, 4)) {
        (true, blocks @ 1..) => (Addressing::Lba48, blocks),
        (true, 0) => (Addressing::Lba48, words.number(60, 2)),
        // Some write the lower half of a larger size there; the rest is out of reach.
        (false, _) => (Addressing::Lba28, words.number(60, 2).min(SHORT_END)),
    };
    if blocks == 0 || blocks > LONG_END {
        return Err(IdentityError::Capacity);
    }
    let block_size = block_size(words)?;
    let exponent = words.word(106) & 0x0f;
    let has_larger = words.is_valid(106) && words.has(106, 13) && exponent <= 7;
    let physical_block_size = if has_larger { block_size << exponent } else { block_size };
    let flush = match (knows(13), knows(12)) {
        (true, _) if addressing == Addressing::Lba48 => Some(Flush::Long),
        (_, true) => Some(Flush::Short),
        _ => None,
    };
    Ok(Geometry {
        blocks,
        block_size,
        physical_block_size,
        addressing,
        multiple: multiple(words.word(47) as u8, block_size),
        has_dma: words.has(49, 8),
        has_cache: words.has(82, 5) && words.has(85, 5),
        flush,
    })
}

fn block_size(words: &Words<'_>) -> Result<u32, IdentityError> {
    if !words.is_valid(106) || !words.has(106, 12) {
        return Ok(SECTOR as u32);
    }
    let size = words.number(117, 2).saturating_mul(2);
    let size = u32::try_from(size).ok().filter(|size| size.is_power_of_two() && *size <= LARGEST_BLOCK_SIZE);
    size.filter(|size| *size >= SECTOR as u32).ok_or(IdentityError::BlockSize)
}

/// How many blocks at a time shall be asked for, of a drive that says it can do `most`.
fn multiple(most: u8, block_size: u32) -> u8 {
    if !most.is_power_of_two() || most > MOST_MULTIPLE {
        return 0;
    }
    let longest = (LONGEST_BLOCK / block_size as usize) as u8;
    let blocks = most.min(longest);
    if blocks > 1 { blocks } else { 0 }
}

#[cfg(test)]
mod tests;
