//! How devices come into service: each queue becomes a core's, each disk and partition gets a name.
//!
//! ```text
//!   device --> queues, each adopted by its core --> disks: NAME, or NAMEuN where a device has several
//!                                                     |
//!                                                     +--> partitions: NAMEpN, from the table on the disk
//! ```
//!
//! A disk whose table is wrong, or cannot be read, is a disk all the same.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use toro_core::driver::block::{BlockDevice, BlockLimits, Disk as DiskState, SECTOR};
use toro_partitions::BlockSize;

use super::{OFFICE, REGISTRY, Reception, Requests, open};
use crate::core::{CoreId, run_on};
use crate::fs::block::disk::Disk;
use crate::fs::block::queue::{PATIENCE, Queue};
use crate::fs::block::registry::{DiskInfo, Entry, Home};
use crate::fs::block::volume::Window;
use crate::fs::kernel_scheduler::KernelScheduler;
use crate::io::{Error, ErrorKind, Result};
use crate::sched::register_poller;

/// Takes a device into service that belongs to the core `core`. Waits for that core.
///
/// # Errors
///
/// What is wrong with its disks.
pub(crate) fn attach(name: &str, device: Box<dyn BlockDevice>, core: CoreId) -> Result<()> {
    attach_queues(name, alloc::vec![device], &[core])
}

/// Takes a device into service of which each of `cores` gets a queue, the first the first.
///
/// # Errors
///
/// What is wrong with its disks.
pub(crate) fn attach_queues(name: &str, queues: Vec<Box<dyn BlockDevice>>, cores: &[CoreId]) -> Result<()> {
    let Some(first) = queues.first() else { return Err(Error::other("a device without queues")) };
    let (limits, units) = (first.limits(), first.units());
    let units: Vec<_> = (0..units).filter_map(|unit| Some((unit, first.disk(unit)?))).collect();
    let capacity = |&(unit, disk): &(u8, DiskState)| (unit, Arc::new(AtomicU64::new(disk.sectors)));
    let capacities: Vec<_> = units.iter().map(capacity).collect();
    let mut homes = Vec::new();
    for (queue, &core) in queues.into_iter().zip(cores) {
        let (name, capacities) = (String::from(name), capacities.clone());
        let queue = run_on(core, move || adopt(&name, queue, capacities));
        homes.push(Home { core: core.index(), queue });
    }
    let device = OFFICE.get().devices.replace(OFFICE.get().devices.get() + 1);
    for ((unit, disk), (_, capacity)) in units.iter().zip(capacities) {
        let name = if first_is_all(&units) { String::from(name) } else { format!("{name}u{unit}") };
        let entry = describe(name, disk, (device, *unit), capacity, limits, &homes)?;
        REGISTRY.add(entry.clone());
        if let Err(error) = find_partitions(&entry) {
            log::error!("block: {}: the partition table: {error}", entry.info.name);
        }
    }
    Ok(())
}

/// Makes the partitions of a disk known.
///
/// # Errors
///
/// A part of the table cannot be read.
fn find_partitions(entry: &Entry) -> Result<()> {
    let disk = open(entry.clone(), None)?;
    let block_size = if entry.info.block_size == 4096 { BlockSize::Bytes4096 } else { BlockSize::Bytes512 };
    let shape = toro_partitions::Disk { sectors: entry.info.sectors, block_size };
    let block = entry.info.block_size as usize;
    let mut found = Vec::new();
    let read = |sector: u64, bytes: &mut [u8]| read_blocks(&disk, block, sector, bytes);
    let report = toro_partitions::scan(shape, read, |partition| found.push(*partition));
    // Of a chain of which a part cannot be read, what comes before that is of use.
    for partition in found {
        // They are on the disk, says the parser.
        let Some(window) = Window::new(partition.first, partition.sectors) else { continue };
        let mut part = Entry { window, ..entry.clone() };
        part.info.name = format!("{}p{}", entry.info.name, partition.number);
        part.info.sectors = partition.sectors;
        part.info.is_partition = true;
        part.info.is_for_booting = partition.kind.is_for_booting();
        log::info!("block: {}: {} MiB", part.info.name, part.info.sectors >> 11);
        REGISTRY.add(part);
    }
    for problem in report?.problems.iter() {
        log::warn!("block: {}: {problem}", entry.info.name);
    }
    Ok(())
}

/// Reads sectors of a disk whose blocks may be larger.
fn read_blocks(disk: &Disk, block: usize, sector: u64, bytes: &mut [u8]) -> Result<()> {
    let stride = (block / SECTOR).max(1) as u64;
    let first = sector / stride * stride;
    let before = (sector - first) as usize * SECTOR;
    let mut blocks = alloc::vec![0; (before + bytes.len()).next_multiple_of(block.max(SECTOR))];
    disk.read_at(&mut blocks, first)?;
    bytes.copy_from_slice(blocks.get(before..before + bytes.len()).ok_or(Error::from(ErrorKind::UnexpectedEof))?);
    Ok(())
}

/// Whether a device has one disk only, which is then called as the device is.
fn first_is_all(units: &[(u8, DiskState)]) -> bool {
    matches!(units, [(0, _)])
}

/// All there is to know of a disk.
fn describe(
    name: String,
    disk: &DiskState,
    (device, unit): (usize, u8),
    capacity: Arc<AtomicU64>,
    limits: BlockLimits,
    homes: &[Home],
) -> Result<Entry> {
    Window::new(0, disk.sectors).ok_or(Error::other("a disk that is larger than any"))?;
    let info = DiskInfo::of_disk(name, disk, homes.iter().map(|home| home.core).collect());
    let kind = if info.is_read_only { ", read-only" } else { "" };
    log::info!("block: {}: {} MiB{kind}", info.name, info.sectors >> 11);
    Ok(Entry { info, device, unit, window: Window::WHOLE, capacity, limits, homes: homes.to_vec() })
}

/// Makes a queue the calling core's, which keeps the capacities of its units; its number.
fn adopt(name: &str, device: Box<dyn BlockDevice>, capacities: Vec<(u8, Arc<AtomicU64>)>) -> usize {
    let office = OFFICE.get();
    let queue = Queue::new(name, device, Box::new(KernelScheduler), PATIENCE);
    capacities.into_iter().for_each(|(unit, capacity)| queue.watch(unit, capacity));
    register_poller(Box::new(Requests(Rc::clone(&queue))));
    let mut queues = office.queues.borrow_mut();
    if queues.is_empty() {
        register_poller(Box::new(Reception));
    }
    queues.push(queue);
    queues.len() - 1
}
