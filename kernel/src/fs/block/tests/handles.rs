//! [`Disk`]: what an application may do with a disk, a partition, and one that it only reads.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::fs::block::disk::{Disk, Way};
use crate::fs::block::registry::{Claim, DiskInfo, Entry, Home, Registry, Use};
use crate::io::{ErrorKind, Result};

/// A handle to the sectors from 50 to 149 of a disk.
fn handle(machine: &Machine, rights: Option<Use>) -> Result<Disk> {
    let disk = machine.model.lock().disk;
    let limits = machine.model.lock().limits;
    let entry = Entry {
        info: DiskInfo::of_disk("model".into(), &disk, vec![0]),
        device: 0,
        unit: 0,
        window: Window::new(50, 100).expect("small"),
        capacity: Arc::new(AtomicU64::new(disk.sectors)),
        limits,
        homes: vec![Home { core: 0, queue: 0 }],
    };
    let registry: &'static Registry = Box::leak(Box::default());
    let claim: Option<Claim> = rights.map(|rights| registry.claim(&entry, rights)).transpose()?;
    let way = Way::Home(Rc::clone(&machine.queue));
    Ok(Disk::new(way, entry, Rc::clone(&machine.buffers), Rc::new(machine.pump.clone()), claim))
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A machine whose disk also forgets and zeroes, at most seven sectors at a time.
fn machine() -> Machine {
    let machine = Machine::with_sectors(200);
    machine.model.lock().limits.discard_sectors = 7;
    machine.model.lock().limits.write_zeroes_sectors = 7;
    Machine::new(machine.model)
}

#[test]
fn sectors_of_a_partition_are_those_of_the_disk_behind_its_beginning() {
    let machine = machine();
    let disk = handle(&machine, Some(Use::Write)).expect("nobody has it");
    let mut bytes = [0; 1024];
    assert_eq!(disk.read_at(&mut bytes, 98), Ok(()));
    assert_eq!((bytes[0], bytes[512]), (148, 149));
    assert_eq!(kind(disk.read_at(&mut bytes, 99)), Some(ErrorKind::InvalidInput));
    assert_eq!(disk.write_at(&[7; 512], 99), Ok(()));
    assert_eq!(disk.write_zeroes(10, 20), Ok(()));
    assert_eq!(disk.discard(30, 15), Ok(()));
    let commands: Vec<_> = {
        let inner = machine.model.lock();
        inner.asked.iter().map(|asked| asked.operation).skip(2).collect()
    };
    let may_discard = false;
    let zeroes = |sector, sectors| BlockOperation::WriteZeroes { sector, sectors, may_discard };
    let discard = |sector, sectors| BlockOperation::Discard { sector, sectors };
    let expected = [zeroes(60, 7), zeroes(67, 7), zeroes(74, 6), discard(80, 7), discard(87, 7), discard(94, 1)];
    assert_eq!(commands, expected);
    for (sector, sectors) in [(99, 2), (100, 1), (u64::MAX, 1), (0, u64::MAX)] {
        assert_eq!(kind(disk.write_zeroes(sector, sectors)), Some(ErrorKind::InvalidInput), "{sector} {sectors}");
        assert_eq!(kind(disk.discard(sector, sectors)), Some(ErrorKind::InvalidInput), "{sector} {sectors}");
    }
    let contents = machine.model.lock().contents();
    for (sector, row) in contents.iter().enumerate() {
        let byte = match sector {
            149 => 7,
            60..80 => 0,
            _ => sector as u8,
        };
        assert_eq!(*row, [byte; 512], "sector {sector}");
    }
}

#[test]
fn a_handle_for_reading_changes_nothing() {
    let machine = machine();
    let disk = handle(&machine, None).expect("reading needs no claim");
    assert!(disk.is_read_only());
    let (buffer, result) = disk.write(0, disk.buffer(512).expect("there is memory")).wait();
    assert_eq!((buffer.map(|buffer| buffer.len()), kind(result)), (Some(512), Some(ErrorKind::ReadOnlyFilesystem)));
    let refused = [kind(disk.write_at(&[7; 512], 0)), kind(disk.discard(0, 1)), kind(disk.write_zeroes(0, 1))];
    assert_eq!(refused, [Some(ErrorKind::ReadOnlyFilesystem); 3]);
    assert_eq!((disk.read_at(&mut [0; 512], 0), disk.flush()), (Ok(()), Ok(())));
    assert_eq!(machine.model.lock().changes, 1, "the flush");
}

#[test]
fn a_disk_that_is_read_only_gets_no_request_that_would_change_it() {
    let machine = machine();
    machine.model.lock().disk.is_read_only = true;
    assert_eq!(kind(handle(&machine, Some(Use::Write))), Some(ErrorKind::ReadOnlyFilesystem));
    // Not even from somebody who has got past that.
    let disk = handle(&machine, Some(Use::Mount)).expect("it is mounted to be read");
    let refused = [kind(disk.write_at(&[7; 512], 0)), kind(disk.discard(0, 1)), kind(disk.write_zeroes(0, 1))];
    assert_eq!(refused, [Some(ErrorKind::ReadOnlyFilesystem); 3]);
    assert_eq!(disk.read_at(&mut [0; 512], 0), Ok(()));
    assert_eq!(machine.model.lock().changes, 0);
}

#[test]
fn a_disk_without_a_cache_has_nothing_to_flush() {
    let machine = machine();
    machine.model.lock().disk.has_cache = false;
    let disk = handle(&machine, Some(Use::Write)).expect("nobody has it");
    assert_eq!(disk.write_at(&[7; 512], 0), Ok(()));
    assert_eq!((disk.flush(), disk.start_flush().wait().1), (Ok(()), Ok(())));
    assert_eq!(machine.model.lock().changes, 1, "the write");
}

#[test]
fn a_device_that_cannot_forget_or_zero_says_so() {
    let machine = Machine::with_sectors(200);
    let disk = handle(&machine, Some(Use::Write)).expect("nobody has it");
    let refused = [kind(disk.discard(0, 1)), kind(disk.write_zeroes(0, 1))];
    assert_eq!(refused, [Some(ErrorKind::Unsupported); 2]);
}
