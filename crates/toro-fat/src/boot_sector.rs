//! The boot sector: where everything is.
//!
//! ```text
//!   | reserved: boot sector, FSInfo, copies | table | table copy | root (12, 16) | cluster 2 | cluster 3 | ...
//! ```
//!
//! Everything here is counted in sectors of 512 bytes, whatever the volume's own sectors are; [`Layout::parse`] converts.
//! What it accepts contradicts itself nowhere: all areas follow each other, lie on the storage, and the table has an entry
//! for each cluster. Everybody after it can calculate with these numbers without looking.

use crate::error::{Corruption, Error, Unsupported};
use crate::storage::SECTOR;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatKind {
    /// 12 bits per cluster.
    Fat12,
    /// 16 bits per cluster.
    Fat16,
    /// 28 bits per cluster.
    Fat32,
}

/// The first cluster that has data.
pub(crate) const FIRST_CLUSTER: u32 = 2;

/// Where the parts of a volume are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub kind: FatKind,
    /// A power of two.
    pub sectors_per_cluster: u32,
    /// How many clusters there are; the last one's number is one more.
    pub clusters: u32,
    /// The first sector of the copy of the table that counts.
    pub table: u64,
    /// Sectors of one copy.
    pub table_sectors: u64,
    /// The first sectors of all copies that are kept the same: the first of them and how many.
    pub copies: (u64, u64),
    /// The fixed root directory: first sector and number of slots. FAT32 has none.
    pub root: (u64, u32),
    /// The first cluster of FAT32's root directory, else 0.
    pub root_cluster: u32,
    /// The sector of cluster 2.
    pub data: u64,
    /// The sector with the free count, if there is one.
    pub fs_info: Option<u64>,
    /// Where in the boot sector the flags are of which one says that the volume is in use.
    pub state: usize,
}

impl Layout {
    /// Reads a boot sector. `sectors` is what the storage has.
    pub fn parse(boot: &[u8; SECTOR], sectors: u64) -> Result<Self, Error> {
        let byte = |at: usize| u32::from(boot[at]);
        let half = |at: usize| u32::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let word = |at: usize| half(at) | half(at + 2) << 16;
        let wrong = Err(Error::Corrupt(Corruption::BootSector));

        let jumps = matches!((boot[0], boot[2]), (0xeb, _) | (0xe9, _));
        if half(510) != 0xaa55 || !jumps || half(11) == 0 {
            return Err(Error::Unsupported(Unsupported::NotFat));
        }
        let unit = match half(11) {
            bytes @ (512 | 1024 | 2048 | 4096) => bytes / SECTOR as u32,
            _ => return Err(Error::Unsupported(Unsupported::SectorSize)),
        };
        let (per_cluster, reserved, copies, root_slots) = (byte(13), half(14), byte(16), half(17));
        if !per_cluster.is_power_of_two() || reserved == 0 || copies == 0 {
            return wrong;
        }
        let is_32 = half(22) == 0;
        let per_table = if is_32 { word(36) } else { half(22) };
        let total = if half(19) != 0 { half(19) } else { word(32) };
        let in_sectors = |count: u32| u64::from(count) * u64::from(unit);
        if in_sectors(total) > sectors {
            return Err(Error::Corrupt(Corruption::VolumeTooLarge));
        }
        if per_table == 0 || is_32 != (root_slots == 0) {
            return wrong;
        }

        let first_table = in_sectors(reserved);
        let table_sectors = in_sectors(per_table);
        let root = first_table + u64::from(copies) * table_sectors;
        let data = root + (u64::from(root_slots) * 32).div_ceil(u64::from(unit) * SECTOR as u64) * u64::from(unit);
        let sectors_per_cluster = per_cluster * unit;
        let Some(clusters) = in_sectors(total).checked_sub(data).map(|rest| rest / u64::from(sectors_per_cluster))
        else {
            return wrong;
        };
        let kind = match clusters {
            0 => return wrong,
            ..=0x0fff_fff4 if is_32 => FatKind::Fat32,
            ..=4084 if !is_32 => FatKind::Fat12,
            ..=65524 if !is_32 => FatKind::Fat16,
            _ => return wrong,
        };
        let bits = match kind {
            FatKind::Fat12 => 12,
            FatKind::Fat16 => 16,
            FatKind::Fat32 => 32,
        };
        if (clusters + 2) * bits > table_sectors * SECTOR as u64 * 8 {
            return Err(Error::Corrupt(Corruption::TableTooSmall));
        }
        let mut layout = Self {
            kind,
            sectors_per_cluster,
            clusters: clusters as u32,
            table: first_table,
            table_sectors,
            copies: (first_table, u64::from(copies)),
            root: (root, root_slots),
            root_cluster: 0,
            data,
            fs_info: None,
            state: 0x25,
        };
        if is_32 {
            layout.parse_32(boot, unit, reserved)?;
        }
        Ok(layout)
    }

    /// What only FAT32 has.
    fn parse_32(&mut self, boot: &[u8; SECTOR], unit: u32, reserved: u32) -> Result<(), Error> {
        let half = |at: usize| u32::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        if half(42) != 0 {
            return Err(Error::Unsupported(Unsupported::Version));
        }
        self.root_cluster = half(44) | half(46) << 16;
        let flags = half(40);
        if !self.is_cluster(self.root_cluster) {
            return Err(Error::Corrupt(Corruption::BootSector));
        }
        // One copy alone is used, and the others are old.
        if flags & 0x80 != 0 {
            let active = u64::from(flags & 15);
            if active >= self.copies.1 {
                return Err(Error::Corrupt(Corruption::BootSector));
            }
            self.table += active * self.table_sectors;
            self.copies = (self.table, 1);
        }
        let info = half(48);
        self.fs_info = (1..reserved).contains(&info).then(|| u64::from(info * unit));
        self.state = 0x41;
        Ok(())
    }

    /// Whether there is such a cluster.
    pub fn is_cluster(&self, cluster: u32) -> bool {
        cluster >= FIRST_CLUSTER && cluster - FIRST_CLUSTER < self.clusters
    }

    /// The first sector of a cluster that exists.
    pub fn sector_of(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster - FIRST_CLUSTER) * u64::from(self.sectors_per_cluster)
    }

    pub fn cluster_bytes(&self) -> u32 {
        self.sectors_per_cluster * SECTOR as u32
    }
}
