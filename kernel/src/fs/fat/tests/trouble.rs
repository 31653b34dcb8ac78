//! Disks that are full, read-only, broken or damaged.

use alloc::vec;
use alloc::vec::Vec;

use toro_fat::SECTOR;

use super::*;
use crate::fs::tests::writing::options;
use crate::fs::vfs::Allocation;
use crate::fs::{Permissions, SpecialFile};
use crate::io::Write;
use crate::time::UNIX_EPOCH;

#[test]
fn a_full_volume_says_so_and_keeps_what_fits() {
    let namespace = mounted(&Memory::formatted());
    let new = options(|options| options.read(true).write(true).create(true));
    let mut file = namespace.open_with(b"f", &new).expect("there is room");
    let piece = vec![9; 1 << 20];
    let error = (0..).find_map(|_| file.write_all(&piece).err()).expect("4 MiB are not endless");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(free(&namespace), 0);
    let length = file.metadata().expect("it is open").len();
    let mut last = [0; 1];
    assert_eq!((file.read_at(&mut last, length - 1), last[0]), (Ok(1), 9));
    assert_eq!(kind(namespace.create_dir(b"d")), Some(ErrorKind::StorageFull));
    assert_eq!(kind(file.write_at(b"x", u64::MAX - 5)), Some(ErrorKind::FileTooLarge));
    file.set_len(0).expect("it is open");
    assert_eq!(namespace.create_dir(b"d"), Ok(()));
}

#[test]
fn a_disk_that_is_read_only_is_read_and_nothing_else() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.write(b"d", b"x").expect("there is room");
    namespace.unmount_all();
    let namespace = mounted(&disk.read_only());
    let file = namespace.open(b"d").expect("it exists");
    assert_eq!(namespace.read(b"d"), Ok(b"x".to_vec()));
    let refused = [
        kind(namespace.write(b"d", b"")),
        kind(namespace.write(b"new", b"")),
        kind(namespace.create_dir(b"new")),
        kind(namespace.remove_file(b"d")),
        kind(namespace.rename(b"d", b"e")),
        kind(file.set_modified(UNIX_EPOCH)),
        kind(file.set_permissions(Permissions::from_mode(0o444))),
        kind(namespace.symlink(b"d", b"new")),
        kind(namespace.hard_link(b"d", b"new")),
        kind(namespace.create_special(b"new", 0o600, SpecialFile::Fifo)),
    ];
    assert_eq!(refused, [Some(ErrorKind::ReadOnlyFilesystem); 10]);
    assert_eq!((file.sync_all(), namespace.sync()), (Ok(()), Ok(())));
    namespace.unmount_all();
}

#[test]
fn a_disk_that_fails_is_an_error_and_damage_another() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.write(b"FILE", &[1; 3000]).expect("there is room");
    namespace.sync().expect("it is in order");
    disk.is_broken.set(true);
    let errno = |result: io::Result<Vec<u8>>| result.err().and_then(|error| error.raw_os_error());
    assert_eq!(errno(namespace.read(b"FILE")), Some(5));
    disk.is_broken.set(false);
    assert_eq!(namespace.read(b"FILE").map(|bytes| bytes.len()), Ok(3000));
    namespace.unmount_all();
    // The file's chain leads to a cluster that there is not.
    {
        let mut bytes = disk.bytes.borrow_mut();
        let entry = bytes.windows(11).position(|name| name == b"FILE       ").expect("a short name is stored as it is");
        let first = usize::from(u16::from_le_bytes([bytes[entry + 26], bytes[entry + 27]]));
        for table in [1, 33] {
            let at = table * SECTOR + first * 2;
            bytes[at..at + 2].copy_from_slice(&0xFF00_u16.to_le_bytes());
        }
    }
    let namespace = mounted(&disk);
    assert_eq!(errno(namespace.read(b"FILE")), Some(117));
    assert_eq!(namespace.write(b"other", b"x"), Ok(()), "the rest of the volume is of use");
    namespace.unmount_all();
    assert!(mount(&Memory::of(vec![0; 1 << 20])).is_err(), "no volume");
}

/// [`File`](crate::fs::File) asks for no such thing; other cores' messages might.
#[test]
fn a_file_that_was_opened_to_be_read_is_not_changed() {
    let file_system = mount(&Memory::formatted()).expect("it is in order");
    let root = file_system.root().expect("it is mounted");
    let file = root.create(b"f", 0o644).and_then(|node| node.open()).expect("there is room");
    assert_eq!(file.write_at(b"x", 0), Err(Errno::EBADF));
    assert_eq!(file.append(b"x").err(), Some(Errno::EBADF));
    assert_eq!(file.set_len(3), Err(Errno::EBADF));
    assert_eq!(file.allocate(0, 3, Allocation::Extend), Err(Errno::EBADF));
    assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(0));
}
