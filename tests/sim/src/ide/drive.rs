//! A drive: its contents, its description, and which of its sectors are bad.

use super::identify::{self, Words};

/// What kind of drive it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A disk.
    Disk,
    /// A CD-ROM drive.
    Cdrom,
}

/// Blocks that cannot be read or written.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// The block.
    pub lba: u64,
    /// What the error register then says; of a CD-ROM drive, the sense key.
    pub error: u8,
    /// How often it still fails; `u32::MAX` for ever.
    pub times: u32,
    /// Which commands it concerns.
    pub concerns: fn(u8) -> bool,
}

/// A drive.
#[derive(Clone, Debug)]
pub struct Drive {
    /// What it is.
    pub kind: Kind,
    /// How it describes itself.
    pub words: Words,
    /// Its blocks, one after the other. Where `start` is not 0, the rest before it is not modelled.
    pub contents: Vec<u8>,
    /// The block with which `contents` begins.
    pub start: u64,
    /// Bytes in a block.
    pub block_size: usize,
    /// Blocks that fail.
    pub failures: Vec<Failure>,
    /// What SET MULTIPLE has agreed on.
    pub multiple: u8,
    /// Whether SET MULTIPLE is refused.
    pub refuses_multiple: bool,
    /// Whether SET FEATURES is refused.
    pub refuses_features: bool,
    /// Sense key and code that wait for REQUEST SENSE.
    pub sense: (u8, u8),
    /// How often it reports a change before it does anything.
    pub attentions: u32,
    /// Whether failures are its own fault (DF) and not the command's (ERR).
    pub is_faulty: bool,
    /// Whether there is a medium in it.
    pub has_medium: bool,
    /// Whether its cache has been switched off.
    pub is_cache_off: bool,
}

impl Drive {
    /// A disk of so many sectors, filled with zeros.
    pub fn disk(sectors: u64) -> Self {
        Self::new(Kind::Disk, identify::disk(sectors), sectors as usize * 512, 512)
    }

    /// A disk of so many blocks of 4096 bytes.
    pub fn with_blocks_of_4096(blocks: u16) -> Self {
        let mut words = identify::disk(blocks.into());
        (words[106], words[117]) = (1 << 14 | 1 << 12, 2048);
        Self::new(Kind::Disk, words, usize::from(blocks) * 4096, 4096)
    }

    /// A disk of which only the `sectors` from `start` on are modelled, its last ones.
    pub fn far(start: u64, sectors: u64) -> Self {
        let drive = Self::new(Kind::Disk, identify::disk(start + sectors), sectors as usize * 512, 512);
        Self { start, ..drive }
    }

    /// A CD-ROM drive with a medium of so many blocks, that reports its arrival.
    pub fn cdrom(blocks: usize) -> Self {
        Self { attentions: 1, ..Self::new(Kind::Cdrom, identify::packet_device(), blocks * 2048, 2048) }
    }

    fn new(kind: Kind, words: Words, bytes: usize, block_size: usize) -> Self {
        Self {
            kind,
            words,
            contents: vec![0; bytes],
            start: 0,
            block_size,
            failures: Vec::new(),
            multiple: 0,
            refuses_multiple: false,
            refuses_features: false,
            sense: (0, 0),
            attentions: 0,
            is_faulty: false,
            has_medium: true,
            is_cache_off: false,
        }
    }

    /// How many blocks it has.
    pub fn blocks(&self) -> u64 {
        self.start + (self.contents.len() / self.block_size) as u64
    }

    /// Where the blocks from `lba` on are, if it has them.
    pub(super) fn range(&self, lba: u64, blocks: usize) -> Option<std::ops::Range<usize>> {
        let first = usize::try_from(lba.checked_sub(self.start)?).ok()?.checked_mul(self.block_size)?;
        let range = first..first.checked_add(blocks * self.block_size)?;
        (range.end <= self.contents.len()).then_some(range)
    }

    /// The first block of these that fails now under `command`, and how.
    pub(super) fn failing(&mut self, command: u8, lba: u64, blocks: usize) -> Option<(u64, u8)> {
        let range = lba..lba + blocks as u64;
        let concerned =
            |failure: &&mut Failure| range.contains(&failure.lba) && failure.times > 0 && (failure.concerns)(command);
        let failure = self.failures.iter_mut().filter(concerned).min_by_key(|failure| failure.lba)?;
        if failure.times != u32::MAX {
            failure.times -= 1;
        }
        Some((failure.lba, failure.error))
    }
}
