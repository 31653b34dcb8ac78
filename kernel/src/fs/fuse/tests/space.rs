//! Lengths, holes, copies and stability; and servers that have nothing of the kind.

use std::vec::Vec;

use fuse_proto::Opcode;

use super::*;
use crate::fs::options::WritePosition;
use crate::fs::vfs::{Allocation, SeekTarget, Sync, Upkeep};

const BOTH: Rights = Rights::ReadAndWrite(WritePosition::Anywhere);

fn length(file: &dyn OpenFile) -> u64 {
    file.metadata().expect("it exists").len()
}

fn without(mount: &Mount, opcode: Opcode) {
    mount.server(|server| {
        server.manners.unsupported.insert(opcode.raw());
    });
}

#[test]
fn fu_sem_13_only_fsync_makes_a_file_stable() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.open_to_write("f", BOTH).expect("it exists");
    assert_eq!((file.write_at(b"y", 0), file.flush()), (Ok(1), Ok(())));
    assert_eq!(mount.model.lock().server.synced, [], "neither a write nor FLUSH does");
    assert_eq!((file.sync(Sync::Data), file.sync(Sync::All)), (Ok(()), Ok(())));
    let number = mount.model.lock().server.number("f").expect("it exists");
    assert_eq!(mount.model.lock().server.synced, [(number, "data"), (number, "all")]);
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_8_a_server_without_fsync_is_asked_once() {
    let mount = mount(|server| server.file("f", b"x"));
    without(&mount, Opcode::FSync);
    let file = mount.open("f").expect("it exists");
    assert_eq!((file.sync(Sync::Data), file.sync(Sync::All)), (Ok(()), Ok(())));
    assert_eq!(mount.count("FSYNC"), 1);
    drop(file);
    mount.finish();
}

#[test]
fn a_length_is_set_and_known_at_once() {
    let mount = mount(|server| server.file("f", b"hello"));
    let (file, other) = (mount.open_to_write("f", BOTH).expect("it exists"), mount.open("f").expect("it exists"));
    let before = mount.count("GETATTR");
    assert_eq!(file.set_len(3), Ok(()));
    assert_eq!((length(&*file), length(&*other), mount.bytes("f")), (3, 3, b"hel".to_vec()));
    assert_eq!(file.set_len(6), Ok(()));
    assert_eq!((length(&*file), length(&*other), mount.bytes("f")), (6, 6, b"hel\0\0\0".to_vec()));
    assert_eq!(mount.count("GETATTR"), before, "the answers said so");
    mount.server(|server| server.manners.refuse_changes = Some(Errno::ENOSPC));
    assert_eq!((file.set_len(100), length(&*file)), (Err(Errno::ENOSPC), 6));
    drop((file, other));
    mount.finish();
}

#[test]
fn space_is_reserved_and_given_back() {
    let mount = mount(|server| server.file("f", &[1; 10_000]));
    let file = mount.open_to_write("f", BOTH).expect("it exists");
    assert_eq!((file.allocate(9000, 3000, Allocation::KeepSize), length(&*file)), (Ok(()), 10_000));
    assert_eq!((file.allocate(9000, 3000, Allocation::Extend), length(&*file)), (Ok(()), 12_000));
    assert_eq!((file.allocate(100, 4900, Allocation::PunchHole), length(&*file)), (Ok(()), 12_000));
    assert_eq!((file.allocate(9500, 5500, Allocation::Zero), length(&*file)), (Ok(()), 15_000));
    let expected = [&[1; 100][..], &[0; 4900], &[1; 4500], &[0; 5500]].concat();
    let mut bytes = [9; 16_000];
    assert_eq!(file.read_at(&mut bytes, 0), Ok(15_000));
    assert!(bytes[..15_000] == expected && mount.bytes("f") == expected);
    assert_eq!(file.allocate(0, 0, Allocation::Extend), Err(Errno::EINVAL));
    assert_eq!(file.allocate(u64::MAX, 2, Allocation::Extend), Err(Errno::EFBIG));
    assert_eq!(mount.open("f").expect("it exists").allocate(0, 1, Allocation::Extend), Err(Errno::EBADF));
    without(&mount, Opcode::FAllocate);
    let before = mount.count("FALLOCATE");
    for _ in 0..2 {
        assert_eq!(file.allocate(0, 1, Allocation::Extend), Err(Errno::EOPNOTSUPP), "FU-SEM-8");
    }
    assert_eq!(mount.count("FALLOCATE"), before + 1);
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_8_holes_are_found_by_the_server_or_there_are_none() {
    let mount = mount(|server| server.file("f", &[[1; 4096], [0; 4096], [2; 4096]].concat()));
    let file = mount.open("f").expect("it exists");
    let find = |offset| (file.seek(offset, SeekTarget::Data), file.seek(offset, SeekTarget::Hole));
    assert_eq!(find(0), (Ok(0), Ok(4096)));
    assert_eq!(find(5000), (Ok(8192), Ok(5000)));
    assert_eq!(find(9000), (Ok(9000), Ok(12_288)));
    assert_eq!(find(12_288), (Err(Errno::ENXIO), Err(Errno::ENXIO)));
    assert_eq!(find(u64::MAX), (Err(Errno::ENXIO), Err(Errno::ENXIO)));
    without(&mount, Opcode::LSeek);
    let before = mount.count("LSEEK");
    assert_eq!(find(5000), (Ok(5000), Ok(12_288)));
    assert_eq!(find(12_288), (Err(Errno::ENXIO), Err(Errno::ENXIO)));
    assert_eq!(mount.count("LSEEK"), before + 1);
    drop(file);
    mount.finish();
}

#[test]
fn a_copy_stays_on_the_server() {
    for missing in [None, Some(Opcode::CopyFileRange64)] {
        let mount = mount(|server| {
            server.file("from", &[3; 10_000]);
            server.file("to", b"old");
            server.manners.minor = 45;
            server.manners.longest_copy = 6000;
        });
        missing.into_iter().for_each(|opcode| without(&mount, opcode));
        let (from, to) = (mount.open("from").expect("it exists"), mount.open_to_write("to", BOTH).expect("it exists"));
        let target = to.identity().expect("it has a number");
        assert_eq!(to.identity(), Some(target));
        assert_eq!(from.copy_to(1000, target, 2, u64::MAX), Ok(6000));
        assert_eq!(length(&*to), 6002);
        assert_eq!(from.copy_to(7000, target, 6002, u64::MAX), Ok(3000));
        assert_eq!(from.copy_to(10_000, target, 0, 5), Ok(0), "the end");
        assert_eq!(mount.bytes("to"), [&b"ol"[..], &[3; 9000]].concat());
        assert_eq!((mount.count("READ"), mount.count("WRITE")), (0, 0));
        let wide = mount.count("COPY_FILE_RANGE_64");
        assert_eq!(wide, if missing.is_some() { 1 } else { 3 });
        assert_eq!(to.copy_to(0, u64::MAX, 0, 5), Err(Errno::EBADF), "no file that is open");
        drop(to);
        mount.pump.settle();
        assert_eq!(from.copy_to(0, target, 0, 5), Err(Errno::EBADF), "it is closed");
        drop(from);
        mount.finish();
    }
}

#[test]
fn fu_sem_8_a_server_that_cannot_copy_is_asked_once_of_each_kind() {
    let mount = mount(|server| {
        server.file("from", b"x");
        server.file("to", b"");
        server.manners.minor = 45;
    });
    [Opcode::CopyFileRange, Opcode::CopyFileRange64].into_iter().for_each(|opcode| without(&mount, opcode));
    let (from, to) = (mount.open("from").expect("it exists"), mount.open_to_write("to", BOTH).expect("it exists"));
    let target = to.identity().expect("it has a number");
    let errors: Vec<_> = (0..3).map(|_| from.copy_to(0, target, 0, 1)).collect();
    assert_eq!(errors, [Err(Errno::EOPNOTSUPP); 3]);
    assert_eq!((mount.count("COPY_FILE_RANGE_64"), mount.count("COPY_FILE_RANGE")), (1, 1));
    drop((from, to));
    mount.finish();
}

#[test]
fn fu_sem_5_space_that_was_changed_late_counts() {
    let mount = mount(|server| server.file("f", b"x"));
    let (file, node) = (mount.open_to_write("f", BOTH).expect("it exists"), mount.find("f").expect("it exists"));
    mount.model.lock().behaviour.swallow.insert(Opcode::FAllocate.raw());
    assert_eq!(file.allocate(0, 100, Allocation::Extend), Err(Errno::ETIMEDOUT));
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(1), "not yet");
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(100));
    drop((file, node));
    mount.finish();
}

#[test]
fn fu_sem_5_a_copy_that_was_made_late_counts_and_its_files_stay_open_until_then() {
    let mount = mount(|server| {
        server.file("from", b"all of this");
        server.file("to", b"");
    });
    let (from, to) = (mount.open("from").expect("it exists"), mount.open_to_write("to", BOTH).expect("it exists"));
    let node = mount.find("to").expect("it exists");
    let target = to.identity().expect("it has a number");
    let copies = [Opcode::CopyFileRange, Opcode::CopyFileRange64].map(Opcode::raw);
    mount.model.lock().behaviour.swallow.extend(copies);
    assert_eq!(from.copy_to(0, target, 0, 11), Err(Errno::ETIMEDOUT));
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(0), "not yet");
    drop((from, to));
    // Time enough to close them.
    (0..3).for_each(|_| assert!(mount.client.stats().is_ok()));
    assert_eq!(mount.count("RELEASE"), 0, "FU-FR-10");
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(11));
    assert_eq!((mount.bytes("to"), mount.count("RELEASE")), (b"all of this".to_vec(), 2));
    drop(node);
    mount.finish();
}
