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
//!
//! # Many entries at once
//!
//! What lies together on the disk does so in the table: to follow a chain, to look for free clusters, to count, to link and
//! to free them is to go through entries one after the other. So all of it does, a sector at a time ([`Table::pass`],
//! [`Table::fill`]), and asks for a sector once for all entries in it.

use crate::boot_sector::{FIRST_CLUSTER, FatKind, Layout};
use crate::disk::Disk;
use crate::error::{Corruption, Error};
use crate::storage::{SECTOR, Storage};

#[cfg(test)]
mod tests;

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
        Ok(self.link(value))
    }

    /// Follows `cluster` for at most `most` steps, as long as each leads to the neighbour: how many steps, and what comes after
    /// those, if it is not because of `most` that they end.
    pub fn follow<S: Storage>(
        &self,
        disk: &mut Disk<S>,
        cluster: u32,
        most: u32,
    ) -> Result<(u32, Option<Link>), Error> {
        if !self.layout.is_cluster(cluster) {
            return Err(Corruption::ClusterOutOfRange.into());
        }
        // The last cluster has no neighbour, whatever it says.
        let neighbours = self.layout.clusters - 1 - (cluster - FIRST_CLUSTER);
        let (steps, end) = self.pass(disk, cluster, most.min(neighbours), |number, value| value == number + 1)?;
        let end = match end {
            Some(value) => Some(self.link(value)),
            None if steps < most => Some(self.get(disk, cluster + steps)?),
            None => None,
        };
        Ok((steps, end))
    }

    /// What a value in the table means.
    fn link(&self, value: u32) -> Link {
        match value {
            0 => Link::Free,
            next if self.layout.is_cluster(next) => Link::Next(next),
            end if end >= self.end() & !7 => Link::End,
            _ => Link::Invalid,
        }
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
        let mut at = if self.layout.is_cluster(start) { start } else { FIRST_CLUSTER };
        let mut run: Option<Run> = None;
        let (mut last, mut left) = (0, clusters);
        while left > 0 && run.is_none_or(|run| run.count < count) {
            // Up to the last cluster, then from the first one on.
            let stretch = left.min(FIRST_CLUSTER + clusters - at);
            let (taken, end) = self.pass(disk, at, stretch, |_, value| value != 0)?;
            left -= taken;
            if end.is_none() {
                at = FIRST_CLUSTER;
                continue;
            }
            at += taken;
            let wanted = (count - run.map_or(0, |run| run.count)).min(stretch - taken);
            let (free, _) = self.pass(disk, at, wanted, |_, value| value == 0)?;
            match &mut run {
                None => run = Some(Run { head: at, count: free }),
                Some(run) => {
                    self.set(disk, last, Link::Next(at))?;
                    run.count += free;
                }
            }
            self.fill(disk, at, free - 1, |number| number + 1)?;
            last = at + free - 1;
            left -= free;
            at = if self.layout.is_cluster(last + 1) { last + 1 } else { FIRST_CLUSTER };
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

    /// Frees a chain, as far as it is one. `each` hears of all clusters, as many at once as lie together: the first, how many.
    pub fn free<S: Storage>(
        &mut self,
        disk: &mut Disk<S>,
        head: u32,
        mut each: impl FnMut(&mut Disk<S>, u32, u32),
    ) -> Result<(), Error> {
        let mut cluster = head;
        // A loop ends at a cluster that was just freed.
        while self.layout.is_cluster(cluster) {
            let (steps, end) = self.follow(disk, cluster, u32::MAX)?;
            let next = match end {
                Some(Link::Next(next)) => Some(next),
                Some(Link::Free | Link::Invalid) => None,
                Some(Link::End) | None => Some(0),
            };
            // What leads nowhere is not ours to free.
            let count = if next.is_some() { steps + 1 } else { steps };
            self.fill(disk, cluster, count, |_| 0)?;
            self.free = self.free.map(|free| (free + count).min(self.layout.clusters));
            each(disk, cluster, count);
            cluster = next.unwrap_or(0);
        }
        Ok(())
    }

    /// How many clusters are free. Counts them, the first time.
    pub fn count_free<S: Storage>(&mut self, disk: &mut Disk<S>) -> Result<u32, Error> {
        if let Some(free) = self.free {
            return Ok(free);
        }
        let mut free = 0;
        self.pass(disk, FIRST_CLUSTER, self.layout.clusters, |_, value| {
            free += u32::from(value == 0);
            true
        })?;
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

    /// Goes through entries from `first` on, `most` at most, while `goes_on` says so of their number and their value: how many it
    /// said so of, and the value of the one that it did not.
    fn pass<S: Storage>(
        &self,
        disk: &mut Disk<S>,
        first: u32,
        most: u32,
        mut goes_on: impl FnMut(u32, u32) -> bool,
    ) -> Result<(u32, Option<u32>), Error> {
        let mut passed = 0;
        while passed < most {
            let (number, left) = (first + passed, (most - passed) as usize);
            let (count, end) = match self.layout.kind {
                FatKind::Fat12 => {
                    let (sector, offset) = self.place(u64::from(number) * 3 / 2);
                    if offset == SECTOR - 1 {
                        // It lies in two sectors.
                        leading(core::iter::once(self.entry(disk, number)?), number, &mut goes_on)
                    } else {
                        let bytes = disk.sector(sector)?;
                        let parity = number as usize % 2;
                        let values = (0..left).map_while(|at| {
                            let at = offset + (at * 3 + parity) / 2;
                            let pair = bytes.get(at..at + 2)?;
                            Some(u16::from_le_bytes([pair[0], pair[1]]))
                        });
                        let values = values.zip(number..).map(|(pair, number)| half(pair, number));
                        leading(values, number, &mut goes_on)
                    }
                }
                FatKind::Fat16 => {
                    let (sector, offset) = self.place(u64::from(number) * 2);
                    let (values, _) = disk.sector(sector)?[offset..].as_chunks();
                    let values = values.iter().take(left).map(|&value| u32::from(u16::from_le_bytes(value)));
                    leading(values, number, &mut goes_on)
                }
                FatKind::Fat32 => {
                    let (sector, offset) = self.place(u64::from(number) * 4);
                    let (values, _) = disk.sector(sector)?[offset..].as_chunks();
                    let values = values.iter().take(left).map(|&value| u32::from_le_bytes(value) & 0x0fff_ffff);
                    leading(values, number, &mut goes_on)
                }
            };
            passed += count;
            if end.is_some() {
                return Ok((passed, end));
            }
        }
        Ok((passed, None))
    }

    /// Changes `count` entries from `first` on to what `value` says for their number.
    fn fill<S: Storage>(
        &self,
        disk: &mut Disk<S>,
        first: u32,
        count: u32,
        value: impl Fn(u32) -> u32,
    ) -> Result<(), Error> {
        let mut number = first;
        let end = first + count;
        while number < end {
            number += match self.layout.kind {
                FatKind::Fat12 => {
                    self.set_half(disk, number, value(number))?;
                    1
                }
                FatKind::Fat16 => {
                    let (sector, offset) = self.place(u64::from(number) * 2);
                    let (entries, _) = disk.edit(sector)?[offset..].as_chunks_mut();
                    let entries = entries.iter_mut().zip(number..end);
                    entries.map(|(entry, number)| *entry = (value(number) as u16).to_le_bytes()).count() as u32
                }
                FatKind::Fat32 => {
                    let (sector, offset) = self.place(u64::from(number) * 4);
                    let (entries, _) = disk.edit(sector)?[offset..].as_chunks_mut();
                    let entries = entries.iter_mut().zip(number..end);
                    entries
                        .map(|(entry, number)| {
                            let kept = u32::from_le_bytes(*entry) & 0xf000_0000;
                            *entry = (kept | value(number)).to_le_bytes();
                        })
                        .count() as u32
                }
            };
        }
        Ok(())
    }

    fn entry<S: Storage>(&self, disk: &mut Disk<S>, number: u32) -> Result<u32, Error> {
        let number = u64::from(number);
        match self.layout.kind {
            FatKind::Fat12 => {
                let (sector, offset) = self.place(number * 3 / 2);
                let low = disk.sector(sector)?[offset];
                let (sector, offset) = self.place(number * 3 / 2 + 1);
                let pair = u16::from_le_bytes([low, disk.sector(sector)?[offset]]);
                Ok(half(pair, number as u32))
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
        self.fill(disk, number, 1, |_| value)
    }

    /// Changes an entry of a FAT12, which may lie in two sectors.
    fn set_half<S: Storage>(&self, disk: &mut Disk<S>, number: u32, value: u32) -> Result<(), Error> {
        let at = u64::from(number);
        let [low, high] =
            if at % 2 == 0 { [(0x00, value), (0xf0, value >> 8)] } else { [(0x0f, value << 4), (0x00, value >> 4)] };
        for (index, (keep, bits)) in [low, high].into_iter().enumerate() {
            let (sector, offset) = self.place(at * 3 / 2 + index as u64);
            let byte = &mut disk.edit(sector)?[offset];
            *byte = *byte & keep | bits as u8 & !keep;
        }
        Ok(())
    }
}

/// The value of entry `number` of a FAT12, of which `pair` are the two bytes that it has a part of.
fn half(pair: u16, number: u32) -> u32 {
    u32::from(if number.is_multiple_of(2) { pair & 0xfff } else { pair >> 4 })
}

/// How many values, the first of which is that of entry `number`, `goes_on` is said of, and the one that it is not.
fn leading(
    values: impl Iterator<Item = u32>,
    mut number: u32,
    goes_on: &mut impl FnMut(u32, u32) -> bool,
) -> (u32, Option<u32>) {
    let first = number;
    for value in values {
        if !goes_on(number, value) {
            return (number - first, Some(value));
        }
        number += 1;
    }
    (number - first, None)
}

/// Four bytes of a sector.
pub(crate) fn word(bytes: &[u8; SECTOR], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
