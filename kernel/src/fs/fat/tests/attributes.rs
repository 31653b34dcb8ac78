//! What FAT keeps of attributes.

use super::*;
use crate::fs::{FileTimes, Permissions};
use crate::time::UNIX_EPOCH;

#[test]
fn a_file_that_is_marked_read_only_is_not_opened_for_writing() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.write(b"MARKED", b"x").expect("there is room");
    namespace.unmount_all();
    {
        let mut bytes = disk.bytes.borrow_mut();
        let entry = bytes.windows(11).position(|name| name == b"MARKED     ").expect("a short name is stored as it is");
        bytes[entry + 11] |= 1;
    }
    let namespace = mounted(&disk);
    assert_eq!(kind(namespace.write(b"MARKED", b"y")), Some(ErrorKind::PermissionDenied));
    assert_eq!(namespace.metadata(b"MARKED").map(|metadata| metadata.mode()), Ok(0o100_444));
    assert_eq!(namespace.read(b"MARKED"), Ok(b"x".to_vec()));
    namespace.unmount_all();
}

#[test]
fn the_read_only_attribute_and_times_are_there_after_the_next_boot() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.create_dir(b"d").expect("there is room");
    namespace.write(b"d/f", b"x").expect("there is room");
    let set = |mode| namespace.set_permissions(b"d/f", &Permissions::from_mode(mode));
    let mode = |namespace: &Namespace| namespace.metadata(b"d/f").map(|metadata| metadata.mode());
    for (set_mode, shown) in [(0o755, 0o666), (0o400, 0o444), (0o424, 0o666), (0o200, 0o666), (0, 0o444)] {
        assert_eq!((set(set_mode), mode(&namespace)), (Ok(()), Ok(0o100_000 | shown)), "{set_mode:o}");
    }
    let file = namespace.open(b"d/f").expect("it can be read");
    let times = FileTimes::new().set_accessed(FileTime { seconds: 1_700_000_001, nanoseconds: 5 });
    assert_eq!(file.set_times(times.set_modified(FileTime { seconds: 1_700_000_001, nanoseconds: 5 })), Ok(()));
    assert_eq!(kind(file.set_modified(FileTime { seconds: -1, nanoseconds: 0 })), Some(ErrorKind::InvalidInput));
    // To two seconds, and to the day; a directory keeps neither bit.
    let all = |namespace: &Namespace| {
        let metadata = namespace.metadata(b"d/f").expect("it exists");
        (metadata.mode(), metadata.modified_time().seconds, metadata.accessed_time().seconds)
    };
    let expected = (0o100_444, 1_700_000_000, 1_699_920_000);
    assert_eq!(all(&namespace), expected);
    assert_eq!(
        kind(namespace.set_permissions(b"d", &Permissions::from_mode(0o555))),
        Some(ErrorKind::PermissionDenied)
    );
    assert_eq!(namespace.set_permissions(b"d", &Permissions::from_mode(0o700)), Ok(()));
    assert_eq!(file.set_times(FileTimes::now().set_accessed(UNIX_EPOCH)), Ok(()));
    assert_eq!(file.metadata().map(|metadata| metadata.modified_time().seconds), Ok(1_709_210_096), "the clock");
    assert_eq!(file.set_times(times.set_modified(FileTime { seconds: 1_700_000_001, nanoseconds: 5 })), Ok(()));
    drop(file);
    namespace.unmount_all();
    let namespace = mounted(&disk);
    assert_eq!(all(&namespace), expected);
    assert_eq!(kind(namespace.write(b"d/f", b"y")), Some(ErrorKind::PermissionDenied));
    namespace.unmount_all();
}

#[test]
fn the_attributes_that_there_is_no_word_for_stay() {
    const HIDDEN_SYSTEM_AND_ARCHIVE: u8 = 0x26;
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.write(b"MARKED", b"x").expect("there is room");
    namespace.unmount_all();
    let at = |disk: &Memory| {
        let bytes = disk.bytes.borrow();
        bytes.windows(11).position(|name| name == b"MARKED     ").expect("a short name is stored as it is") + 11
    };
    let place = at(&disk);
    disk.bytes.borrow_mut()[place] = HIDDEN_SYSTEM_AND_ARCHIVE;
    let namespace = mounted(&disk);
    assert_eq!(namespace.set_permissions(b"MARKED", &Permissions::from_mode(0o444)), Ok(()));
    namespace.sync().expect("nothing fails");
    assert_eq!(disk.bytes.borrow()[at(&disk)], HIDDEN_SYSTEM_AND_ARCHIVE | 1);
    assert_eq!(namespace.set_permissions(b"MARKED", &Permissions::from_mode(0o644)), Ok(()));
    namespace.unmount_all();
    assert_eq!(disk.bytes.borrow()[at(&disk)], HIDDEN_SYSTEM_AND_ARCHIVE);
}
