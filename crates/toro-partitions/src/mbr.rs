//! The master boot record, and the chain of logical partitions that one of its entries may begin.
//!
//! ```text
//!   0x1be  four entries: status u8, CHS 3, type u8, CHS 3, first block u32, blocks u32        0x1fe  55 aa
//!
//!   extended partition   [EBR | logical 5 ....] [EBR | logical 6 ....]
//!                          |  entry 0: relative to this EBR
//!                          +- entry 1: the next EBR, relative to the extended partition
//! ```
//!
//! Every EBR of a chain has to lie behind the one before it, which is how everybody writes them; a chain that goes
//! backwards would be a loop sooner or later, and ends there. It also ends at an EBR that lies within a partition: whoever
//! writes to that would rewrite the chain.

use crate::report::{Defect, Kind, MAX_PARTITIONS, Partition, Problem};
use crate::scan::{Disk, Findings, Read, SECTOR, read_block};

/// The type of the entry that stands for a GPT.
const PROTECTIVE: u8 = 0xee;

/// An entry of an MBR or EBR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    status: u8,
    system: u8,
    first: u32,
    blocks: u32,
}

impl Entry {
    fn is_used(self) -> bool {
        self.system != 0
    }

    /// Whether it holds logical partitions.
    fn is_extended(self) -> bool {
        matches!(self.system, 0x05 | 0x0f | 0x85)
    }
}

/// The four entries of an MBR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BootRecord {
    entries: [Entry; 4],
}

impl BootRecord {
    /// The record in a sector, if there is one: signature there, and each entry's status 0 or 0x80. Boot sectors of file
    /// systems have the signature and, where the entries would be, mostly code or text.
    pub fn parse(sector: &[u8; SECTOR]) -> Option<Self> {
        let (entries, signature) = sector[0x1be..].split_at(64);
        if signature != [0x55, 0xaa] {
            return None;
        }
        let mut record = Self::default();
        for (entry, bytes) in record.entries.iter_mut().zip(entries.chunks_exact(16)) {
            let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            *entry = Entry { status: bytes[0], system: bytes[4], first: number(8), blocks: number(12) };
        }
        record.entries.iter().all(|entry| entry.status & 0x7f == 0).then_some(record)
    }

    /// Whether it says that there is a GPT.
    pub fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.system == PROTECTIVE)
    }
}

/// Hands out the partitions of an MBR.
pub(crate) fn scan<E>(findings: &mut Findings<'_>, read: &mut Read<'_, E>, record: &BootRecord) -> Result<(), E> {
    let block = findings.disk().block_size.sectors();
    // The first that is extended has the logical partitions; more than one is not allowed.
    let mut extended = None;
    // Nothing is taken yet, so this cannot fail.
    let _ = findings.reserve(0);
    for (number, entry) in (1..).zip(record.entries).filter(|(_, entry)| entry.is_used()) {
        if entry.is_extended() {
            if extended.replace((number, entry)).is_some() {
                findings.problem(Problem::Partition { number, defect: Defect::TooMany });
            }
        } else {
            findings.partition(&partition(number, u64::from(entry.first), entry, block));
        }
    }
    match extended {
        Some((number, entry)) => logical(findings, read, number, entry),
        None => Ok(()),
    }
}

fn partition(number: u32, first_block: u64, entry: Entry, sectors_per_block: u64) -> Partition {
    Partition {
        number,
        first: first_block * sectors_per_block,
        sectors: u64::from(entry.blocks) * sectors_per_block,
        kind: Kind::Mbr { system: entry.system, active: entry.status & 0x80 != 0 },
        name: [0; 36],
    }
}

/// Follows the chain of logical partitions in `extended`.
fn logical<E>(findings: &mut Findings<'_>, read: &mut Read<'_, E>, number: u32, extended: Entry) -> Result<(), E> {
    let Disk { sectors, block_size } = findings.disk();
    let base = u64::from(extended.first);
    let end = base + u64::from(extended.blocks);
    if extended.first == 0 || end * block_size.sectors() > sectors {
        findings.problem(Problem::Partition { number, defect: Defect::OutOfRange });
        return Ok(());
    }
    let mut here = base;
    let mut number = 5;
    for _ in 0..MAX_PARTITIONS {
        let place = here * block_size.sectors();
        let kept = if here < end { findings.reserve(place) } else { Err(Defect::OutOfRange) };
        if let Err(defect) = kept {
            findings.problem(Problem::Chain { sector: place, defect });
            return Ok(());
        }
        let mut sector = [0; SECTOR];
        read_block(Disk { sectors, block_size }, read, place, &mut sector)?;
        let Some(BootRecord { entries: [entry, next, ..] }) = BootRecord::parse(&sector) else {
            findings.problem(Problem::Chain { sector: place, defect: Defect::Signature });
            return Ok(());
        };
        if entry.is_used() {
            let first = here + u64::from(entry.first);
            if first + u64::from(entry.blocks) > end {
                findings.problem(Problem::Partition { number, defect: Defect::OutOfRange });
            } else {
                findings.partition(&partition(number, first, entry, block_size.sectors()));
            }
            number += 1;
        }
        if !next.is_extended() {
            return Ok(());
        }
        let following = base + u64::from(next.first);
        if following <= here {
            findings.problem(Problem::Chain { sector: following * block_size.sectors(), defect: Defect::Loop });
            return Ok(());
        }
        here = following;
    }
    findings.problem(Problem::Chain { sector: here * block_size.sectors(), defect: Defect::TooMany });
    Ok(())
}
