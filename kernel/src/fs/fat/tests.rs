//! Volumes in memory, on a disk that makes threads wait.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use toro_core::DmaPool;
use toro_fat::{SECTOR, StorageError};

use super::*;
use crate::fs::fuse::tests::memory::Heap;
use crate::fs::scheduler::Event;
use crate::fs::tests::threads::{Crew, run};
use crate::fs::tests::writing::options;
use crate::fs::{FileTimes, Namespace, Permissions, SpecialFile};
use crate::io::{self, ErrorKind, Read, Seek, Write};
use crate::time::UNIX_EPOCH;

/// Sectors in a test's disk: 4 MiB, and a FAT16 volume with as many clusters.
const SECTORS: u64 = 8192;

/// A disk in memory. Another one over the same bytes is the disk after the next boot.
#[derive(Clone)]
pub struct Memory {
    bytes: Rc<RefCell<Vec<u8>>>,
    /// Announced by nobody: what a thread waits with for the disk.
    wait: Option<Rc<Wait>>,
    is_read_only: bool,
    is_broken: Rc<Cell<bool>>,
    flushes: Rc<Cell<usize>>,
}

struct Wait(Box<dyn Scheduler>, Rc<dyn Event>);

impl Memory {
    /// With an empty volume.
    pub fn formatted() -> Self {
        Self::of(format_volume())
    }

    fn of(bytes: Vec<u8>) -> Self {
        let bytes = Rc::new(RefCell::new(bytes));
        Self { bytes, wait: None, is_read_only: false, is_broken: Rc::default(), flushes: Rc::default() }
    }

    /// The same disk, on which each request takes a millisecond, in which others run.
    fn slow(&self, crew: &Crew) -> Self {
        let wait = Some(Rc::new(Wait(crew.scheduler(), crew.scheduler().event())));
        Self { wait, ..self.clone() }
    }

    fn read_only(&self) -> Self {
        Self { is_read_only: true, ..self.clone() }
    }

    fn access(&self, sector: u64, length: usize) -> Result<core::ops::Range<usize>, StorageError> {
        if let Some(wait) = &self.wait {
            wait.1.wait_until(wait.0.now().saturating_add(Duration::from_millis(1)));
        }
        let start = usize::try_from(sector).map_err(|_| StorageError::OutOfRange)? * SECTOR;
        let end = start + length;
        if self.is_broken.get() {
            return Err(StorageError::Failed);
        }
        if end > self.bytes.borrow().len() || !length.is_multiple_of(SECTOR) {
            return Err(StorageError::OutOfRange);
        }
        Ok(start..end)
    }
}

impl Storage for Memory {
    fn sectors(&self) -> u64 {
        (self.bytes.borrow().len() / SECTOR) as u64
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let range = self.access(sector, buffer.len())?;
        buffer.copy_from_slice(&self.bytes.borrow()[range]);
        Ok(())
    }

    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        assert!(!self.is_read_only, "nobody writes to a disk that is read-only");
        let range = self.access(sector, data.len())?;
        self.bytes.borrow_mut()[range].copy_from_slice(data);
        Ok(())
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.access(0, 0)?;
        self.flushes.set(self.flushes.get() + 1);
        Ok(())
    }
}

/// An empty FAT16 volume with clusters of a sector.
fn format_volume() -> Vec<u8> {
    const TABLE: u16 = 32;
    let mut bytes = vec![0; SECTORS as usize * SECTOR];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, &[0xEB, 0x3C, 0x90]);
    put(3, b"TORO    ");
    put(11, &512_u16.to_le_bytes());
    put(13, &[1]); // sectors in a cluster
    put(14, &1_u16.to_le_bytes()); // reserved
    put(16, &[2]); // tables
    put(17, &512_u16.to_le_bytes()); // entries of the root directory
    put(19, &(SECTORS as u16).to_le_bytes());
    put(21, &[0xF8]);
    put(22, &TABLE.to_le_bytes());
    put(38, &[0x29, 1, 2, 3, 4]);
    put(43, b"NO NAME    FAT16   ");
    put(510, &[0x55, 0xAA]);
    for table in 0..2 {
        put((1 + table * usize::from(TABLE)) * SECTOR, &[0xF8, 0xFF, 0xFF, 0xFF]);
    }
    bytes
}

/// A platform without waiting, for tests with one thread.
fn platform(scheduler: Box<dyn Scheduler>) -> Platform {
    let pool = RefCell::new(DmaPool::new(&Heap, 8, 256 * 1024).expect("a host has memory"));
    let buffer = move |bytes| {
        let mut buffer = pool.borrow_mut().take().ok_or(Errno::ENOMEM)?;
        buffer.set_len(bytes).map_err(|_| Errno::EINVAL)?;
        Ok(buffer)
    };
    // 2024-02-29 12:34:56
    let now = || Timestamp { seconds: 1_709_210_096, nanoseconds: 0 };
    Platform { scheduler, buffer: Box::new(buffer), now }
}

/// Mounts a disk in a test with one thread.
pub fn mount(disk: &Memory) -> Result<Rc<Fat>, toro_fat::Error> {
    let scheduler = run(|crew: &Crew| {
        let scheduler = crew.scheduler();
        move || scheduler
    });
    Fat::mount(Box::new(disk.clone()), 64, platform(scheduler))
}

fn mounted(disk: &Memory) -> Namespace {
    let namespace = Namespace::new();
    let file_system = mount(disk).expect("it is in order");
    namespace.mount(b"/", file_system).expect("nothing is there");
    namespace
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn free(namespace: &Namespace) -> u64 {
    namespace.stats(b"/").expect("it is mounted").blocks_free
}

#[test]
fn what_was_written_is_there_after_the_next_boot() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.create_dir_all(b"a/directory with a long name").expect("there is room");
    namespace.write(b"a/directory with a long name/f", &[7; 5000]).expect("there is room");
    namespace.unmount_all();
    assert!(disk.flushes.get() > 0, "an end that makes nothing stable");
    let namespace = mounted(&disk);
    let path = b"A/Directory With A LONG Name/F";
    assert_eq!(namespace.read(path), Ok(vec![7; 5000]), "whatever the case");
    let metadata = namespace.metadata(path).expect("it exists");
    assert_eq!((metadata.len(), metadata.mode(), metadata.modified_time().seconds), (5000, 0o100_666, 1_709_210_096));
    namespace.unmount_all();
}

#[test]
fn names_keep_their_case_and_are_found_in_any() {
    let namespace = mounted(&Memory::formatted());
    namespace.write(b"Read Me.txt", b"x").expect("there is room");
    let list = || -> Vec<_> {
        let listing = namespace.read_dir(b"/").expect("it is a directory");
        listing.map(|entry| String::from_utf8_lossy(entry.expect("it is in order").file_name()).into_owned()).collect()
    };
    assert_eq!(list(), ["Read Me.txt"]);
    assert_eq!(namespace.read(b"READ ME.TXT"), Ok(b"x".to_vec()));
    let new = options(|options| options.write(true).create_new(true));
    assert_eq!(kind(namespace.open_with(b"read me.txt", &new)), Some(ErrorKind::AlreadyExists));
    namespace.write(b"read me.TXT", b"y").expect("it is written over");
    assert_eq!((list(), namespace.read(b"Read Me.txt")), (vec![String::from("Read Me.txt")], Ok(b"y".to_vec())));
    namespace.rename(b"read me.txt", b"README.txt").expect("there is room");
    namespace.rename(b"README.txt", b"readme.txt").expect("another case is another name");
    assert_eq!(list(), ["readme.txt"]);
}

#[test]
fn inode_numbers_are_those_of_the_listing_and_of_the_next_boot() {
    let disk = Memory::formatted();
    let numbers = || {
        let namespace = mounted(&disk);
        namespace.create_dir_all(b"d").expect("there is room");
        for name in ["d/one", "d/two", "d/three"] {
            namespace.write(name.as_bytes(), b"").expect("there is room");
        }
        let listing = namespace.read_dir(b"d").expect("it is a directory");
        let mut numbers: Vec<_> = listing
            .map(|entry| {
                let entry = entry.expect("it is in order");
                let metadata = entry.metadata().expect("it exists");
                assert_eq!(entry.inode(), metadata.inode());
                assert_eq!(entry.file_type(), Ok(metadata.file_type()));
                metadata.inode()
            })
            .collect();
        assert_eq!(namespace.metadata(b"D/ONE").map(|metadata| metadata.inode()), Ok(numbers[0]));
        namespace.unmount_all();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let first = numbers();
    assert_eq!((first.len(), numbers()), (3, first));
}

#[test]
fn a_file_that_is_renamed_while_it_is_open_is_the_same() {
    let namespace = mounted(&Memory::formatted());
    namespace.create_dir(b"d").expect("there is room");
    namespace.write(b"old", b"x").expect("there is room");
    let mut file = namespace.open_with(b"old", &options(|options| options.append(true))).expect("it exists");
    namespace.rename(b"old", b"d/new").expect("there is room");
    file.write_all(b"y").expect("there is room");
    assert_eq!(namespace.read(b"d/new"), Ok(b"xy".to_vec()));
    let inode = |path: &[u8]| namespace.metadata(path).map(|metadata| metadata.inode());
    assert_eq!(file.metadata().map(|metadata| metadata.inode()), inode(b"d/new"));
    let during = inode(b"d/new");
    drop(file);
    assert_eq!(inode(b"D/NEW"), during, "as if it had been looked up there first");
}

#[test]
fn names_that_fat_cannot_store_are_not_there_and_cannot_be_made() {
    let namespace = mounted(&Memory::formatted());
    for name in ["a:b", "what?", "*", "a\"b", "\u{7}"] {
        assert_eq!(namespace.exists(name.as_bytes()), Ok(false), "{name}");
        assert_eq!(kind(namespace.write(name.as_bytes(), b"")), Some(ErrorKind::InvalidInput), "{name}");
        assert_eq!(kind(namespace.create_dir(name.as_bytes())), Some(ErrorKind::InvalidInput), "{name}");
    }
    assert_eq!(kind(namespace.write(b"\xFF", b"")), Some(ErrorKind::InvalidInput), "no text");
}

#[test]
fn the_room_of_a_removed_file_comes_back_when_nobody_has_it_open() {
    let namespace = mounted(&Memory::formatted());
    namespace.write(b"f", b"").expect("there is room");
    namespace.remove_file(b"f").expect("it exists");
    let before = free(&namespace);
    namespace.write(b"f", &[1; 100_000]).expect("there is room");
    let file = namespace.open(b"f").expect("it exists");
    namespace.remove_file(b"f").expect("it exists");
    assert_eq!(free(&namespace), before - 196);
    let mut bytes = [0; 10];
    assert_eq!((file.read_at(&mut bytes, 99_995), bytes[4]), (Ok(5), 1));
    drop(file);
    assert_eq!(free(&namespace), before);
}

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
fn at_the_end_open_files_fail_and_their_volume_is_in_order() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.write(b"kept", b"kept").expect("there is room");
    let before = free(&namespace);
    let new = options(|options| options.append(true).create(true));
    let mut removed = namespace.open_with(b"removed", &new).expect("there is room");
    removed.write_all(&[1; 10_000]).expect("there is room");
    namespace.remove_file(b"removed").expect("it exists");
    let mut kept = namespace.open_with(b"kept", &new).expect("it exists");
    kept.write_all(b" on").expect("there is room");
    let mut listing = namespace.read_dir(b"/").expect("it is a directory");
    namespace.unmount_all();
    assert_eq!(kind(kept.write(b"x")), Some(ErrorKind::NotConnected));
    assert_eq!(kind(kept.metadata()), Some(ErrorKind::NotConnected));
    assert_eq!(kind(kept.sync_all()), Some(ErrorKind::NotConnected));
    assert!(listing.next().is_some_and(|entry| entry.is_err()) && listing.next().is_none());
    drop((kept, removed, listing));
    let namespace = mounted(&disk);
    assert_eq!(namespace.read(b"kept"), Ok(b"kept on".to_vec()));
    assert_eq!(namespace.exists(b"removed"), Ok(false));
    assert_eq!(free(&namespace), before, "the removed file's room");
    namespace.unmount_all();
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
fn names_that_were_made_are_stable_when_their_directory_is() {
    let disk = Memory::formatted();
    let namespace = mounted(&disk);
    namespace.create_dir(b"d").expect("there is room");
    namespace.write(b"d/f", b"x").expect("there is room");
    assert_eq!(namespace.sync_dir(b"d"), Ok(()));
    // The power fails: another one mounts what the disk holds.
    let other = mounted(&Memory::of(disk.bytes.borrow().clone()));
    assert_eq!(other.exists(b"d/f"), Ok(true));
    assert!(disk.flushes.get() > 0, "a disk has a cache");
    other.unmount_all();
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

#[test]
#[cfg_attr(miri, ignore = "there is no fsck.fat under Miri")]
fn threads_that_wait_for_the_disk_leave_each_others_files_alone() {
    let disk = Memory::formatted();
    run(|crew: &Crew| {
        let file_system =
            Fat::mount(Box::new(disk.slow(crew)), 16, platform(crew.scheduler())).expect("it is in order");
        let namespace = Rc::new(Namespace::new());
        namespace.mount(b"/", file_system).expect("nothing is there");
        for number in 0..4_u8 {
            let namespace = Rc::clone(&namespace);
            crew.spawn(move || work(&namespace, number).expect("there is room"));
        }
        move || namespace.unmount_all()
    });
    let namespace = mounted(&disk);
    let log = namespace.read_to_string(b"log").expect("it is text");
    assert_eq!(log.lines().count(), 12);
    for number in 0..4_u8 {
        let lines: Vec<_> = log.lines().filter(|line| line.starts_with(&format!("{number} "))).collect();
        assert_eq!(lines, [0, 1, 2].map(|line| format!("{number} {line} {}", "x".repeat(600))));
        let path = format!("directory {number}/large");
        let bytes: Vec<u8> = (0..9000_u32).map(|index| (index / 5) as u8 ^ number).collect();
        assert!(namespace.read(path.as_bytes()) == Ok(bytes), "{path}");
    }
    namespace.unmount_all();
    assert_eq!(judge(&disk), "", "what fsck.fat complains about");
}

/// What fsck.fat says of a disk, where it is installed, if it says that something is wrong.
fn judge(disk: &Memory) -> String {
    let path = std::env::temp_dir().join(format!("toro-fat-{}", std::process::id()));
    std::fs::write(&path, &*disk.bytes.borrow()).expect("the host has a directory for temporary files");
    let output = std::process::Command::new("fsck.fat").arg("-n").arg(&path).output();
    let _ = std::fs::remove_file(&path);
    match output {
        Ok(output) if !output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

/// What one of several threads does at a time.
fn work(namespace: &Namespace, number: u8) -> io::Result<()> {
    let directory = format!("directory {number}");
    namespace.create_dir(directory.as_bytes())?;
    let path = format!("{directory}/large");
    let bytes: Vec<u8> = (0..9000_u32).map(|index| (index / 5) as u8 ^ number).collect();
    let new = options(|options| options.read(true).write(true).create_new(true));
    let mut file = namespace.open_with(format!("{directory}/while").as_bytes(), &new)?;
    for piece in bytes.chunks(1999) {
        file.write_all(piece)?;
    }
    for line in 0..3 {
        let mut log = namespace.open_with(b"log", &options(|options| options.append(true).create(true)))?;
        // In one write: `write!` makes several.
        log.write_all(format!("{number} {line} {}\n", "x".repeat(600)).as_bytes())?;
    }
    namespace.rename(format!("{directory}/while").as_bytes(), path.as_bytes())?;
    let mut found = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut found)?;
    assert!(found == bytes);
    // Removed while it is open, and dropped while others have the volume.
    let mut gone = namespace.open_with(format!("{directory}/gone").as_bytes(), &new)?;
    gone.write_all(&[number; 3000])?;
    namespace.remove_file(format!("{directory}/gone").as_bytes())?;
    drop(gone);
    namespace.sync()
}
