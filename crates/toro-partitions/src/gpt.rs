//! The GUID partition table (UEFI §5.3).
//!
//! ```text
//!   block  0 protective MBR   1 header   2.. entries | first usable ...... last usable | entries   last: header
//! ```
//!
//! A copy is used if its header's checksum and that of its entries are right, it says of itself where it is, and header,
//! entries and the usable range are on the disk and do not share a block. The checksum is no protection against
//! somebody who wants to lie, so nothing rests on it.

use crate::checksum::Crc32;
use crate::report::{Defect, GptCopy, Guid, Kind, Partition, Problem};
use crate::scan::{Disk, Findings, Read, SECTOR, read_block};

/// The most bytes of entries that are read.
pub(crate) const MAX_ENTRY_BYTES: u64 = 1 << 20;
/// Bytes of a header that have a meaning, and bytes of an entry.
const HEADER_BYTES: usize = 92;
const ENTRY_BYTES: usize = 128;

/// A header that was checked. All numbers are blocks of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    first_usable: u64,
    last_usable: u64,
    entries: u64,
    count: u32,
    entry_size: u32,
}

impl Header {
    /// Reads one of the two copies; the inner result says whether it can be used.
    pub fn read<E>(disk: Disk, read: &mut Read<'_, E>, copy: GptCopy) -> Result<Result<Self, Defect>, E> {
        let blocks = disk.sectors / disk.block_size.sectors();
        let here = match copy {
            GptCopy::Primary => 1,
            GptCopy::Backup => blocks.saturating_sub(1),
        };
        if here == 0 || here >= blocks {
            return Ok(Err(Defect::Signature));
        }
        let mut sector = [0; SECTOR];
        read_block(disk, read, here * disk.block_size.sectors(), &mut sector)?;
        let (header, checksum) = match Self::parse(&sector, here, blocks, disk.block_size.sectors()) {
            Ok(parsed) => parsed,
            Err(defect) => return Ok(Err(defect)),
        };
        let mut actual = Crc32::new();
        header.for_each_sector(disk, read, |_, bytes| actual.update(bytes))?;
        Ok(if actual.value() == checksum { Ok(header) } else { Err(Defect::EntriesChecksum) })
    }

    /// Checks a header at block `here` of `blocks`; the number that comes with it is the checksum of its entries.
    fn parse(sector: &[u8; SECTOR], here: u64, blocks: u64, block: u64) -> Result<(Self, u32), Defect> {
        let word = |at: usize| u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if !sector.starts_with(b"EFI PART") {
            return Err(Defect::Signature);
        }
        if word(8) >> 16 != 1 {
            return Err(Defect::Revision);
        }
        // The standard allows a header of a whole block; nobody has anything behind the first 92 bytes.
        let size = word(12) as usize;
        if !(HEADER_BYTES..=SECTOR).contains(&size) {
            return Err(Defect::Size);
        }
        let mut checksum = Crc32::new();
        checksum.update(&sector[..16]);
        checksum.update(&[0; 4]);
        checksum.update(&sector[20..size]);
        if checksum.value() != word(16) {
            return Err(Defect::HeaderChecksum);
        }
        if long(24) != here {
            return Err(Defect::Place);
        }
        let header = Self {
            first_usable: long(40),
            last_usable: long(48),
            entries: long(72),
            count: word(80),
            entry_size: word(84),
        };
        header.check(here, blocks, block)?;
        Ok((header, word(88)))
    }

    /// Sizes and places.
    fn check(&self, here: u64, blocks: u64, block: u64) -> Result<(), Defect> {
        let size = self.entry_size as usize;
        if !(ENTRY_BYTES..=8 * SECTOR).contains(&size) || !size.is_power_of_two() {
            return Err(Defect::Size);
        }
        let bytes = u64::from(self.count) * u64::from(self.entry_size);
        if bytes > MAX_ENTRY_BYTES {
            return Err(Defect::TooMany);
        }
        let end = self.entries.checked_add(bytes.div_ceil(block * SECTOR as u64)).ok_or(Defect::OutOfRange)?;
        if self.entries < 1 || end > blocks {
            return Err(Defect::OutOfRange);
        }
        if self.first_usable > self.last_usable {
            return Err(Defect::Empty);
        }
        if self.first_usable < 1 || self.last_usable >= blocks {
            return Err(Defect::OutOfRange);
        }
        let usable = self.first_usable..=self.last_usable;
        let is_usable = |first: u64, end: u64| first <= self.last_usable && self.first_usable < end;
        if usable.contains(&here) || is_usable(self.entries, end) || (self.entries..end).contains(&here) {
            return Err(Defect::Overlap);
        }
        Ok(())
    }

    /// Calls `each` with the entries, a sector at a time and the last one cut off, and how many bytes were before.
    fn for_each_sector<E>(
        &self,
        disk: Disk,
        read: &mut Read<'_, E>,
        mut each: impl FnMut(u64, &[u8]),
    ) -> Result<(), E> {
        let bytes = u64::from(self.count) * u64::from(self.entry_size);
        let start = self.entries * disk.block_size.sectors();
        let mut sector = [0; SECTOR];
        let mut done = 0;
        while done < bytes {
            read_block(disk, read, start + done / SECTOR as u64, &mut sector)?;
            let part = (bytes - done).min(SECTOR as u64);
            each(done, &sector[..part as usize]);
            done += part;
        }
        Ok(())
    }
}

/// Hands out the partitions of a table.
pub(crate) fn scan<E>(findings: &mut Findings<'_>, read: &mut Read<'_, E>, header: &Header) -> Result<(), E> {
    let disk = findings.disk();
    let size = u64::from(header.entry_size);
    header.for_each_sector(disk, read, |offset, bytes| {
        for (at, entry) in (offset..).step_by(ENTRY_BYTES).zip(bytes.chunks_exact(ENTRY_BYTES)) {
            // Larger entries have nothing behind their first 128 bytes.
            if at % size == 0 {
                hand_out(findings, header, (at / size) as u32 + 1, entry);
            }
        }
    })
}

/// Hands one entry out, if it is used.
fn hand_out(findings: &mut Findings<'_>, header: &Header, number: u32, entry: &[u8]) {
    let array = |at: usize| <[u8; 16]>::try_from(&entry[at..at + 16]).unwrap_or_default();
    let long = |at: usize| u64::from_le_bytes(<[u8; 8]>::try_from(&entry[at..at + 8]).unwrap_or_default());
    let type_guid = Guid(array(0));
    if type_guid == Guid::default() {
        return;
    }
    let (first, last) = (long(32), long(40));
    let defect = if first > last {
        Some(Defect::Empty)
    } else if first < header.first_usable || last > header.last_usable {
        Some(Defect::OutOfRange)
    } else {
        None
    };
    if let Some(defect) = defect {
        return findings.problem(Problem::Partition { number, defect });
    }
    let mut name = [0; 36];
    for (unit, bytes) in name.iter_mut().zip(entry[56..].chunks_exact(2)) {
        *unit = u16::from_le_bytes([bytes[0], bytes[1]]);
    }
    // Within the disk, so the products are no larger than its size.
    let block = findings.disk().block_size.sectors();
    findings.partition(&Partition {
        number,
        first: first * block,
        sectors: (last - first + 1) * block,
        kind: Kind::Gpt { type_guid, unique_guid: Guid(array(16)), attributes: long(48) },
        name,
    });
}
