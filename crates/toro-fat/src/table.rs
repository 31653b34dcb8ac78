//! The file allocation table: for each cluster, what comes after it.
//!
//! ```text
//!   entry   0 free    2.. the next cluster    ..f7 bad    ..f8 to ..ff the last of its chain
//!   FAT12   entries of 12 bits, two in three bytes, which may lie in two sectors
//!   FAT32   the upper four bits of an entry are not ours and stay as they are
//! ```
//!
//! Entry 1 has no cluster; on FAT16 and FAT32, its upper bits say whether the volume was left in order.
//!
//! # Which cluster is free
//!
//! The table itself says so, and nothing else is believed. The search goes on where the last one ended, or behind the
//! cluster that the new one shall follow, so that a file that grows alone stays in one piece. The number of free clusters is
//! counted when somebody asks and then kept; FSInfo's is believed if the volume was left in order, as it does no harm.

use crate::boot_sector::{FIRST_CLUSTER, FatKind, Layout};
use crate::disk::Disk;
use crate::error::{Corruption, Error};
use crate::storage::{SECTOR, Storage};

/// What follows a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing: it belongs to nobody.
    Free,
    /// Another cluster, which exists.
    Next(u32),
    /// Nothing: it is the last one.
    End,
    /// No cluster, or one that shall not be used.
    Invalid,
}

/// Clusters that were allocated, each linked to the next, the last one marked as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub head: u32,
    pub count: u32,
}

/// The table, and what is known of it.
#[derive(Debug)]
pub(crate) struct Table {
    layout: Layout,
    /// How many clusters are free, if somebody counted.
    pub free: Option<u32>,
    /// Where to look for the next free one.
    pub hint: u32,
}

/// What the upper bits of entry 1 say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    Clean,
    Dirty,
}

impl Table {
    pub fn new(layout: &Layout) -> Self {
        Self { layout: *layout, free: None, hint: FIRST_CLUSTER }
    }

    /// What follows `cluster`.
    pub fn get<S: Storage>(&self, disk: &mut Disk<S>, cluster: u32) -> Result<Link, Error> {
        if !self.layout.is_cluster(cluster) {
            return Err(Corruption::ClusterOutOfRange.into());
        }
        let value = self.entry(disk, cluster)?;
        Ok(match value {
            0 => Link::Free,
            next if self.layout.is_cluster(next) => Link::Next(next),
            end if end >= self.end() & !7 => Link::End,
            _ => Link::Invalid,
        })
    }

    /// Says what follows `cluster`, which exists.
    pub fn set<S: Storage>(&self, disk: &mut Disk<S>, cluster: u32, link: Link) -> Result<(), Error> {
        let value = match link {
            Link::Free => 0,
            Link::Next(next) => next,
            Link::End | Link::Invalid => self.end(),
        };
        self.set_entry(disk, cluster, value)
    }

    /// Allocates up to `count` clusters, behind `after` if possible; at least one.
    pub fn allocate<S: Storage>(&mut self, disk: &mut Disk<S>, count: u32, after: Option<u32>) -> Result<Run, Error> {
        let clusters = self.layout.clusters;
        let start = after.map_or(self.hint, |after| after + 1);
        let start = if self.layout.is_cluster(start) { start - FIRST_CLUSTER } else { 0 };
        let mut run: Option<Run> = None;
        let mut last = 0;
        for step in 0..clusters {
            if run.is_some_and(|run| run.count == count) {
                break;
            }
            let cluster = (start + step) % clusters + FIRST_CLUSTER;
            if self.entry(disk, cluster)? != 0 {
                continue;
            }
            match &mut run {
                None => run = Some(Run { head: cluster, count: 1 }),
                Some(run) => {
                    self.set(disk, last, Link::Next(cluster))?;
                    run.count += 1;
                }
            }
            last = cluster;
        }
        let Some(run) = run else {
            self.free = Some(0);
            return Err(Error::NoSpace);
        };
        self.set(disk, last, Link::End)?;
        self.hint = last + 1;
        self.free = self.free.map(|free| free.saturating_sub(run.count));
        Ok(run)
    }

    /// Frees a chain, as far as it is one. `each` hears of every cluster.
    pub fn free<S: Storage>(
        &mut self,
        disk: &mut Disk<S>,
        head: u32,
        mut each: impl FnMut(&mut Disk<S>, u32),
    ) -> Result<(), Error> {
        let mut cluster = head;
        // A loop ends at a cluster that was just freed.
        while self.layout.is_cluster(cluster) {
            let link = self.get(disk, cluster)?;
            if matches!(link, Link::Free | Link::Invalid) {
                break;
            }
            self.set(disk, cluster, Link::Free)?;
            self.free = self.free.map(|free| (free + 1).min(self.layout.clusters));
            each(disk, cluster);
            match link {
                Link::Next(next) => cluster = next,
                _ => break,
            }
        }
        Ok(())
    }

    /// How many clusters are free. Counts them, the first time.
    pub fn count_free<S: Storage>(&mut self, disk: &mut Disk<S>) -> Result<u32, Error> {
        if let Some(free) = self.free {
            return Ok(free);
        }
        let mut free = 0;
        for cluster in FIRST_CLUSTER..FIRST_CLUSTER + self.layout.clusters {
            free += u32::from(self.entry(disk, cluster)? == 0);
        }
        self.free = Some(free);
        Ok(free)
    }

    /// Whether entry 1 says that the volume was left in order. FAT12 does not say.
    pub fn shutdown<S: Storage>(&self, disk: &mut Disk<S>) -> Result<Shutdown, Error> {
        let is_clean = self.clean_bit() == 0 || self.entry(disk, 1)? & self.clean_bit() != 0;
        Ok(if is_clean { Shutdown::Clean } else { Shutdown::Dirty })
    }

    /// Says it.
    pub fn set_shutdown<S: Storage>(&self, disk: &mut Disk<S>, shutdown: Shutdown) -> Result<(), Error> {
        if self.clean_bit() == 0 {
            return Ok(());
        }
        let entry = self.entry(disk, 1)?;
        let entry = match shutdown {
            Shutdown::Clean => entry | self.clean_bit(),
            Shutdown::Dirty => entry & !self.clean_bit(),
        };
        self.set_entry(disk, 1, entry)
    }

    fn clean_bit(&self) -> u32 {
        match self.layout.kind {
            FatKind::Fat12 => 0,
            FatKind::Fat16 => 1 << 15,
            FatKind::Fat32 => 1 << 27,
        }
    }

    /// The mark of a last cluster.
    fn end(&self) -> u32 {
        match self.layout.kind {
            FatKind::Fat12 => 0xfff,
            FatKind::Fat16 => 0xffff,
            FatKind::Fat32 => 0x0fff_ffff,
        }
    }

    /// The sector and the offset in it of byte `at` of the table.
    fn place(&self, at: u64) -> (u64, usize) {
        (self.layout.table + at / SECTOR as u64, (at % SECTOR as u64) as usize)
    }

    fn entry<S: Storage>(&self, disk: &mut Disk<S>, number: u32) -> Result<u32, Error> {
        let number = u64::from(number);
        match self.layout.kind {
            FatKind::Fat12 => {
                let (sector, offset) = self.place(number * 3 / 2);
                let low = disk.sector(sector)?[offset];
                let (sector, offset) = self.place(number * 3 / 2 + 1);
                let pair = u16::from_le_bytes([low, disk.sector(sector)?[offset]]);
                Ok(u32::from(if number % 2 == 0 { pair & 0xfff } else { pair >> 4 }))
            }
            FatKind::Fat16 => {
                let (sector, offset) = self.place(number * 2);
                let bytes = disk.sector(sector)?;
                Ok(u32::from(u16::from_le_bytes([bytes[offset], bytes[offset + 1]])))
            }
            FatKind::Fat32 => {
                let (sector, offset) = self.place(number * 4);
                Ok(word(disk.sector(sector)?, offset) & 0x0fff_ffff)
            }
        }
    }

    fn set_entry<S: Storage>(&self, disk: &mut Disk<S>, number: u32, value: u32) -> Result<(), Error> {
        let at = u64::from(number);
        match self.layout.kind {
            FatKind::Fat12 => {
                let [low, high] = if at % 2 == 0 {
                    [(0x00, value), (0xf0, value >> 8)]
                } else {
                    [(0x0f, value << 4), (0x00, value >> 4)]
                };
                for (index, (keep, bits)) in [low, high].into_iter().enumerate() {
                    let (sector, offset) = self.place(at * 3 / 2 + index as u64);
                    let byte = &mut disk.edit(sector)?[offset];
                    *byte = *byte & keep | bits as u8 & !keep;
                }
            }
            FatKind::Fat16 => {
                let (sector, offset) = self.place(at * 2);
                disk.edit(sector)?[offset..offset + 2].copy_from_slice(&(value as u16).to_le_bytes());
            }
            FatKind::Fat32 => {
                let (sector, offset) = self.place(at * 4);
                let bytes = disk.edit(sector)?;
                let value = word(bytes, offset) & 0xf000_0000 | value;
                bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(())
    }
}

/// Four bytes of a sector.
pub(crate) fn word(bytes: &[u8; SECTOR], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
