//! Which partitions a disk has: [`scan`].
//!
//! ```text
//!   sector 0: no signature -------------------------> GPT at the end?  -> Scheme::Gpt(Backup), else Scheme::None
//!             an entry of type 0xee ----------------> GPT: the primary one, else the backup, else nothing
//!             anything else ------------------------> MBR
//! ```
//!
//! An MBR that has an entry of type 0xee among others (a "hybrid" one) counts as a protective one: the GPT is the truth.
//!
//! # Lies
//!
//! A table is bytes that anybody may have written. Nothing is handed out that is not wholly on the disk, and nothing that
//! shares a sector with what was handed out before or with the table itself. What is refused is in the report. The work
//! is bounded: a table of at most 1 MiB, and [`MAX_PARTITIONS`] logical partitions.

use crate::gpt::{self, Header};
use crate::mbr::{self, BootRecord};
use crate::report::{Defect, GptCopy, MAX_PARTITIONS, Partition, Problem, Problems, Report, Scheme};

/// Bytes in a sector, the unit of all places here.
pub(crate) const SECTOR: usize = 512;

/// The unit in which a disk counts in its tables: its logical blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSize {
    /// 512 bytes.
    Bytes512,
    /// 4096 bytes.
    Bytes4096,
}

impl BlockSize {
    /// Sectors of 512 bytes in a block.
    pub const fn sectors(self) -> u64 {
        match self {
            Self::Bytes512 => 1,
            Self::Bytes4096 => 8,
        }
    }
}

/// What has to be known of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How many sectors of 512 bytes it has.
    pub sectors: u64,
    /// What its tables count in.
    pub block_size: BlockSize,
}

/// A partition may be taken for each record of a chain, and the first record is there, too.
const MOST_RANGES: usize = 2 * MAX_PARTITIONS + 1;

/// Ranges that are taken: partitions, and what of the table is among them.
pub(crate) struct Taken {
    ranges: [(u64, u64); MOST_RANGES],
    count: usize,
}

impl Taken {
    fn new() -> Self {
        Self { ranges: [(0, 0); MOST_RANGES], count: 0 }
    }

    /// Takes `sectors` from `first` on, unless one of them is taken.
    fn take(&mut self, first: u64, sectors: u64) -> Result<(), Defect> {
        let last = first + (sectors - 1);
        if self.ranges[..self.count].iter().any(|&(from, to)| first <= to && from <= last) {
            return Err(Defect::Overlap);
        }
        *self.ranges.get_mut(self.count).ok_or(Defect::TooMany)? = (first, last);
        self.count += 1;
        Ok(())
    }
}

/// Where partitions go that are found.
pub(crate) struct Findings<'a> {
    disk: Disk,
    taken: Taken,
    partitions: usize,
    problems: Problems,
    found: &'a mut dyn FnMut(&Partition),
}

impl Findings<'_> {
    pub fn problem(&mut self, problem: Problem) {
        self.problems.add(problem);
    }

    /// Hands out a partition, or says why not.
    pub fn partition(&mut self, partition: &Partition) {
        let Partition { number, first, sectors, .. } = *partition;
        let checked = match first.checked_add(sectors) {
            _ if sectors == 0 => Err(Defect::Empty),
            Some(end) if end <= self.disk.sectors && self.partitions < MAX_PARTITIONS => {
                self.taken.take(first, sectors)
            }
            Some(end) if end <= self.disk.sectors => Err(Defect::TooMany),
            _ => Err(Defect::OutOfRange),
        };
        match checked {
            Ok(()) => {
                self.partitions += 1;
                (self.found)(partition);
            }
            Err(defect) => self.problem(Problem::Partition { number, defect }),
        }
    }

    /// Keeps the block of the table that begins at sector `first` from being part of a partition.
    pub fn reserve(&mut self, first: u64) -> Result<(), Defect> {
        self.taken.take(first, self.disk.block_size.sectors())
    }

    pub fn disk(&self) -> Disk {
        self.disk
    }
}

/// Finds the partitions of `disk`. `read` fills its buffer, whose length is a multiple of 512, from a sector on; it is
/// asked for sectors of the disk only, a logical block at a time. `found` is called for each partition that can be used.
///
/// ```
/// use toro_partitions::{BlockSize, Disk, Scheme, scan};
///
/// // An MBR with one partition of 100 sectors.
/// let mut image = vec![0u8; 512 * 2148];
/// image[0x1be..0x1ce].copy_from_slice(&[0x80, 0, 0, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 100, 0, 0, 0]);
/// image[510..512].copy_from_slice(&[0x55, 0xaa]);
///
/// let disk = Disk { sectors: 2148, block_size: BlockSize::Bytes512 };
/// let read = |sector: u64, buffer: &mut [u8]| {
///     let start = sector as usize * 512;
///     buffer.copy_from_slice(&image[start..start + buffer.len()]);
///     Ok::<_, ()>(())
/// };
/// let mut partitions = Vec::new();
/// let report = scan(disk, read, |partition| partitions.push(*partition)).unwrap();
/// assert_eq!(report.scheme, Scheme::Mbr);
/// assert_eq!((partitions[0].number, partitions[0].first, partitions[0].sectors), (1, 2048, 100));
/// ```
///
/// # Errors
///
/// What `read` said, the first time that it failed; but a copy of a GPT that cannot be read is only a copy that cannot be
/// used, as long as the other one can.
pub fn scan<E>(
    disk: Disk,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    mut found: impl FnMut(&Partition),
) -> Result<Report, E> {
    let mut findings =
        Findings { disk, taken: Taken::new(), partitions: 0, problems: Problems::new(), found: &mut found };
    let scheme = find(&mut findings, &mut read)?;
    Ok(Report { scheme, partitions: findings.partitions, problems: findings.problems })
}

/// A way to read sectors.
pub(crate) type Read<'a, E> = dyn FnMut(u64, &mut [u8]) -> Result<(), E> + 'a;

fn find<E>(findings: &mut Findings<'_>, read: &mut Read<'_, E>) -> Result<Scheme, E> {
    let mut sector = [0; SECTOR];
    if findings.disk.sectors == 0 {
        return Ok(Scheme::None);
    }
    read_block(findings.disk, read, 0, &mut sector)?;
    let record = BootRecord::parse(&sector);
    if record.is_some_and(|record| !record.is_protective()) {
        mbr::scan(findings, read, &record.unwrap_or_default())?;
        return Ok(Scheme::Mbr);
    }
    let mut failure = None;
    for copy in [GptCopy::Primary, GptCopy::Backup] {
        match Header::read(findings.disk, read, copy) {
            Ok(Ok(header)) => {
                if record.is_none() {
                    findings.problem(Problem::NotProtected);
                }
                gpt::scan(findings, read, &header)?;
                return Ok(Scheme::Gpt(copy));
            }
            // Without an MBR that says so, nobody expects a table.
            Ok(Err(Defect::Signature)) if record.is_none() => {}
            Ok(Err(defect)) => findings.problem(Problem::Header(copy, defect)),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => return Err(error),
        None if record.is_some() => findings.problem(Problem::ProtectedWithoutTable),
        None => {}
    }
    Ok(Scheme::None)
}

/// Reads the sector at `sector` as part of its block, as disks with large blocks want it.
pub(crate) fn read_block<E>(
    disk: Disk,
    read: &mut Read<'_, E>,
    sector: u64,
    buffer: &mut [u8; SECTOR],
) -> Result<(), E> {
    match disk.block_size {
        BlockSize::Bytes512 => read(sector, buffer),
        BlockSize::Bytes4096 => {
            let mut block = [0; 8 * SECTOR];
            let start = sector & !7;
            // A disk whose size is no multiple of its blocks ends within one.
            let sectors = (disk.sectors - start).min(8) as usize;
            read(start, &mut block[..sectors * SECTOR])?;
            let offset = (sector - start) as usize * SECTOR;
            buffer.copy_from_slice(&block[offset..offset + SECTOR]);
            Ok(())
        }
    }
}
