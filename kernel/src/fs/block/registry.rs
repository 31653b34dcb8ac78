//! [`Registry`]: the disks of all cores, and who uses what of them.
//!
//! A part of a disk is mounted by one at most, and what is mounted nobody writes to behind the file system's back. Whoever
//! wants to mount or to write makes a claim first, which ends with the handle. Reading needs none.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use toro_core::driver::block::{BlockLimits, Disk};

use super::volume::Window;
use crate::io::{Error, ErrorKind, Result};

/// A disk or a partition.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiskInfo {
    /// `virtio-blk0`, `ata0u1`, or `virtio-blk0p2` for a partition.
    pub name: String,
    /// Capacity in sectors of 512 bytes, which may change.
    pub sectors: u64,
    /// Bytes in the smallest piece that can be read or written.
    pub block_size: u32,
    /// Bytes in the smallest piece that the disk writes without having to read first.
    pub physical_block_size: u32,
    /// Whether it refuses writes.
    pub is_read_only: bool,
    /// Whether completed writes may be lost with the power until a flush.
    pub has_cache: bool,
    /// Whether it is a part of another disk in the list.
    pub is_partition: bool,
    /// Whether it is a partition that machines boot from, such as an EFI system partition. Nothing is mounted from it, if the
    /// command line does not say so.
    pub is_for_booting: bool,
    /// The numbers of the cores that have a queue to it.
    pub owners: Vec<usize>,
}

impl DiskInfo {
    /// Describes a disk.
    pub fn of_disk(name: String, disk: &Disk, owners: Vec<usize>) -> Self {
        Self {
            name,
            sectors: disk.sectors,
            block_size: disk.block_size,
            physical_block_size: disk.physical_block_size,
            is_read_only: disk.is_read_only,
            has_cache: disk.has_cache,
            is_partition: false,
            is_for_booting: false,
            owners,
        }
    }
}

/// A queue of a core, by its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The core.
    pub core: usize,
    /// Which of its queues.
    pub queue: usize,
}

/// A disk or a partition, and the way to it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What anybody may know of it.
    pub info: DiskInfo,
    /// Which device it is on; all units of a device have the same number.
    pub device: usize,
    /// Which unit of the device.
    pub unit: u8,
    /// Which part of the unit.
    pub window: Window,
    /// How many sectors the unit has now; its queues keep this up to date.
    pub capacity: Arc<AtomicU64>,
    /// What the device can take.
    pub limits: BlockLimits,
    /// Its queues, at least one.
    pub homes: Vec<Home>,
}

impl Entry {
    /// How many sectors it has now.
    pub fn sectors(&self) -> u64 {
        self.window.sectors(self.capacity.load(Ordering::Relaxed))
    }

    /// What it is now.
    fn current(&self) -> DiskInfo {
        DiskInfo { sectors: self.sectors(), ..self.info.clone() }
    }
}

/// What somebody wants to do with a part of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Write to it, as others may at the same time.
    Write,
    /// Mount it: nobody else writes.
    Mount,
}

struct Held {
    number: u64,
    device: usize,
    unit: u8,
    window: Window,
    used_for: Use,
}

struct Inner {
    entries: Vec<Entry>,
    claims: Vec<Held>,
    next_claim: u64,
}

/// The disks of all cores.
pub struct Registry(spin::Mutex<Inner>);

impl Registry {
    /// No disks.
    pub const fn new() -> Self {
        Self(spin::Mutex::new(Inner { entries: Vec::new(), claims: Vec::new(), next_claim: 0 }))
    }

    /// Adds a disk or a partition.
    pub fn add(&self, entry: Entry) {
        self.0.lock().entries.push(entry);
    }

    /// What there is, in the order in which it was found.
    pub fn list(&self) -> Vec<DiskInfo> {
        self.0.lock().entries.iter().map(Entry::current).collect()
    }

    /// What may hold a file system: partitions, and disks without any.
    pub fn volumes(&self) -> Vec<DiskInfo> {
        let inner = self.0.lock();
        let place = |entry: &Entry| (entry.device, entry.unit);
        let is_divided =
            |entry: &Entry| inner.entries.iter().any(|other| other.info.is_partition && place(other) == place(entry));
        let may_hold = |entry: &&Entry| entry.info.is_partition || !is_divided(entry);
        inner.entries.iter().filter(may_hold).map(Entry::current).collect()
    }

    /// A queue of each device.
    pub fn homes(&self) -> Vec<Home> {
        let inner = self.0.lock();
        let mut homes: Vec<_> =
            inner.entries.iter().map(|entry| (entry.device, entry.homes.first().copied())).collect();
        homes.dedup_by_key(|(device, _)| *device);
        homes.into_iter().filter_map(|(_, home)| home).collect()
    }

    /// The disk or partition with this name.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub fn find(&self, name: &str) -> Result<Entry> {
        let inner = self.0.lock();
        let entry = inner.entries.iter().find(|entry| entry.info.name == name);
        entry.cloned().ok_or(Error::from(ErrorKind::NotFound))
    }

    /// Claims a part of a disk until the claim is dropped.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if a part of it is mounted, or, to mount it, written to; `ReadOnlyFilesystem` to write to what cannot
    /// be.
    pub fn claim(&'static self, entry: &Entry, used_for: Use) -> Result<Claim> {
        if entry.info.is_read_only && used_for == Use::Write {
            return Err(Error::from_raw_os_error(30));
        }
        let mut inner = self.0.lock();
        let is_in_the_way = |held: &&Held| {
            (held.device, held.unit) == (entry.device, entry.unit)
                && held.window.overlaps(entry.window)
                && (held.used_for, used_for) != (Use::Write, Use::Write)
        };
        if inner.claims.iter().find(is_in_the_way).is_some() {
            return Err(Error::from_raw_os_error(16));
        }
        let number = inner.next_claim;
        inner.next_claim += 1;
        inner.claims.push(Held { number, device: entry.device, unit: entry.unit, window: entry.window, used_for });
        Ok(Claim { registry: self, number })
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

/// The right to use a part of a disk.
pub struct Claim {
    registry: &'static Registry,
    number: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.registry.0.lock().claims.retain(|held| held.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, first: u64, sectors: u64, is_read_only: bool) -> Entry {
        let disk = Disk { sectors, block_size: 512, physical_block_size: 512, is_read_only, has_cache: false };
        let limits = BlockLimits {
            in_flight: 1,
            segments: 1,
            segment_bytes: 4096,
            sectors: 8,
            discard_sectors: 0,
            write_zeroes_sectors: 0,
            secure_erase_sectors: 0,
        };
        Entry {
            info: DiskInfo::of_disk(name.into(), &disk, vec![0]),
            device: 0,
            unit: 0,
            window: Window::new(first, sectors).expect("small"),
            capacity: Arc::default(),
            limits,
            homes: vec![Home { core: 0, queue: 0 }],
        }
    }

    fn registry() -> &'static Registry {
        Box::leak(Box::new(Registry::new()))
    }

    #[test]
    fn what_is_mounted_is_not_written_to() {
        let registry = registry();
        let (disk, first, second) = (entry("d", 0, 100, false), entry("d1", 10, 40, false), entry("d2", 50, 50, false));
        let kind = |result: Result<Claim>| result.err().map(|error| error.kind());
        let mount = registry.claim(&first, Use::Mount).expect("nobody has it");
        assert_eq!(kind(registry.claim(&disk, Use::Write)), Some(ErrorKind::ResourceBusy));
        assert_eq!(kind(registry.claim(&first, Use::Mount)), Some(ErrorKind::ResourceBusy));
        let (one, two) = (registry.claim(&second, Use::Write), registry.claim(&second, Use::Write));
        assert!(one.is_ok() && two.is_ok(), "writers share");
        assert_eq!(kind(registry.claim(&second, Use::Mount)), Some(ErrorKind::ResourceBusy));
        drop((one, two));
        assert!(registry.claim(&second, Use::Mount).is_ok());
        drop(mount);
        assert!(registry.claim(&disk, Use::Write).is_ok());
    }

    #[test]
    fn what_is_read_only_is_mounted_but_not_written_to() {
        let registry = registry();
        let disk = entry("d", 0, 100, true);
        let refusal = registry.claim(&disk, Use::Write).err();
        assert_eq!(refusal.map(|error| error.kind()), Some(ErrorKind::ReadOnlyFilesystem));
        assert!(registry.claim(&disk, Use::Mount).is_ok());
    }

    #[test]
    fn a_disk_with_partitions_is_no_volume_but_they_are() {
        let registry = registry();
        registry.add(entry("d0", 0, 100, false));
        let mut other = entry("d1", 0, 50, false);
        other.device = 1;
        registry.add(other);
        let mut part = entry("d0p1", 10, 40, false);
        part.info.is_partition = true;
        registry.add(part);
        let names: Vec<_> = registry.volumes().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["d1", "d0p1"]);
    }

    #[test]
    fn disks_are_found_by_name() {
        let registry = registry();
        registry.add(entry("ata0u1", 0, 7, false));
        assert_eq!(registry.find("ata0u1").map(|entry| entry.info.sectors), Ok(7));
        assert_eq!(registry.find("ata0").err().map(|error| error.kind()), Some(ErrorKind::NotFound));
    }
}
