//! Disks that grow and shrink while they are in use.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use std::vec::Vec;

use toro_core::driver::Armed;
use toro_core::driver::block::BlockError;

use super::*;
use crate::fs::block::cache::{CachedDisk, Policy};
use crate::fs::block::volume::Transfer;

/// The whole of a disk, and where its capacity is said.
fn whole(machine: &Machine) -> (Volume, Arc<AtomicU64>) {
    let capacity = Arc::new(AtomicU64::new(machine.model.lock().capacity));
    machine.queue.watch(0, Arc::clone(&capacity));
    (Volume::new(Rc::clone(&machine.queue), 0, Window::WHOLE, Rc::clone(&machine.buffers)), capacity)
}

fn read(machine: &Machine, volume: &Volume, sector: u64, sectors: usize) -> Result<Vec<u8>, DiskError> {
    let finished = match volume.start(Transfer::Read, sector, machine.buffer(sectors)) {
        Ok(ticket) => ticket.wait(),
        Err(refused) => refused,
    };
    finished.result.map(|()| finished.buffer.expect("a read has a buffer").to_vec())
}

#[test]
fn what_a_disk_has_got_is_read_without_asking_and_what_it_has_lost_is_refused() {
    let machine = Machine::with_sectors(100);
    let (volume, capacity) = whole(&machine);
    assert_eq!(read(&machine, &volume, 100, 1), Err(DiskError::Misplaced));
    machine.model.lock().resize(200);
    assert_eq!((volume.sectors(), capacity.load(Ordering::Relaxed)), (100, 100), "nobody has looked");
    assert_eq!(read(&machine, &volume, 199, 1), Ok(vec![199; 512]));
    assert_eq!((volume.sectors(), capacity.load(Ordering::Relaxed)), (200, 200));
    assert_eq!(read(&machine, &volume, 199, 2), Err(DiskError::Misplaced));
    machine.model.lock().resize(50);
    assert_eq!(read(&machine, &volume, 60, 1), Err(BlockError::Failed.into()), "as the device says");
    assert_eq!(read(&machine, &volume, 60, 1), Err(DiskError::Misplaced), "it has been looked");
    assert_eq!((volume.sectors(), capacity.load(Ordering::Relaxed)), (50, 50));
    assert_eq!(read(&machine, &volume, 49, 1), Ok(vec![49; 512]));
}

#[test]
fn a_change_is_noticed_when_the_device_tells_and_on_demand() {
    let machine = Machine::with_sectors(100);
    let (volume, capacity) = whole(&machine);
    machine.model.lock().resize(150);
    volume.refresh();
    assert_eq!((volume.sectors(), capacity.load(Ordering::Relaxed)), (150, 150));
    machine.model.lock().resize(120);
    machine.model.lock().behaviour.tells = true;
    assert_eq!(machine.queue.arm(), Armed::Idle);
    assert_eq!((volume.sectors(), capacity.load(Ordering::Relaxed)), (120, 120));
}

#[test]
fn a_partition_keeps_its_bounds_and_its_end_is_an_error_when_it_is_not_there() {
    let machine = Machine::with_sectors(100);
    let part = machine.volume(50, 50);
    machine.model.lock().resize(200);
    part.refresh();
    assert_eq!((part.sectors(), read(&machine, &part, 50, 1)), (50, Err(DiskError::Misplaced)));
    machine.model.lock().resize(80);
    part.refresh();
    assert_eq!((part.sectors(), read(&machine, &part, 29, 1)), (50, Ok(vec![79; 512])));
    assert_eq!(read(&machine, &part, 30, 1), Err(DiskError::Misplaced));
}

#[test]
fn a_request_of_several_pieces_is_not_begun_if_it_leads_beyond_the_end() {
    let model = Model::new(1000);
    model.lock().limits.sectors = 100;
    let machine = Machine::new(model);
    assert_eq!(machine.write(800, 300, 7).wait().result, Err(DiskError::Misplaced));
    assert_eq!(machine.model.lock().asked, []);
    machine.model.lock().resize(1100);
    assert_eq!(machine.write(800, 300, 7).wait().result, Ok(()));
    assert_eq!(machine.model.lock().asked.len(), 3);
}

#[test]
fn neighbours_of_a_request_beyond_the_end_are_served() {
    let machine = Machine::with_sectors(100);
    machine.model.lock().resize(102);
    let tickets: Vec<_> = (98..104).map(|sector| machine.read(sector, 1)).collect();
    let results: Vec<_> = tickets.into_iter().map(|ticket| ticket.wait().result.is_ok()).collect();
    assert_eq!(results, [true, true, true, true, false, false]);
}

#[test]
fn a_cache_grows_with_its_disk_whose_last_block_was_a_short_one() {
    let machine = Machine::with_sectors(101);
    let disk = CachedDisk::new(whole(&machine).0, Policy::WriteBack { bytes: 0 }, None);
    assert_eq!(disk.write(98, &[7; 3 * 512]), Ok(()));
    assert_eq!(disk.write(101, &[7; 512]), Err(DiskError::Misplaced));
    machine.model.lock().resize(300);
    let mut bytes = [0; 16 * 512];
    assert_eq!(disk.read(96, &mut bytes), Ok(()));
    let found: Vec<_> = bytes.chunks(512).map(|row| row[0]).collect();
    assert_eq!(found, [96, 97, 7, 7, 7, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111]);
    assert_eq!(disk.sectors(), 300);
    assert_eq!(disk.write(299, &[9; 512]), Ok(()));
    assert_eq!(disk.flush(), Ok(()));
    let stable = machine.model.lock().after_cut(|_| false);
    assert_eq!((stable[98][0], stable[101][0], stable[298][0], stable[299][0]), (7, 101, 42, 9));
}

#[test]
fn what_a_cache_cannot_write_any_more_is_an_error_of_each_flush() {
    let machine = Machine::with_sectors(200);
    let disk = CachedDisk::new(whole(&machine).0, Policy::WriteBack { bytes: 0 }, None);
    assert_eq!((disk.write(0, &[7; 4096]), disk.write(160, &[7; 4096])), (Ok(()), Ok(())));
    machine.model.lock().resize(104);
    assert!(disk.flush().is_err() && disk.flush().is_err());
    assert_eq!(disk.sectors(), 104);
    assert_eq!(machine.model.lock().after_cut(|_| false)[0][0], 7, "the rest is stable");
    assert_eq!(disk.read(160, &mut [0; 512]), Err(DiskError::Misplaced));
    machine.model.lock().resize(200);
    assert_eq!(disk.flush(), Ok(()));
}
