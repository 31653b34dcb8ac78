//! As much as there may be: files in a directory, characters in names, bytes in a file; and what fsck.fat says of it.

use std::cell::RefCell;
use std::collections::HashMap;

use fat_tests::memory::Memory;
use fat_tests::model::walk;
use fat_tests::tools::{fsck, mkfs};
use fat_tests::{OPTIONS, effort};
use toro_fat::{Error, SECTOR, Storage, StorageError, Volume};

/// Names of all that is in a directory, as it is listed.
fn names<S: Storage>(volume: &mut Volume<S>, path: &str) -> Vec<String> {
    let directory = walk(volume, path).expect("it is there");
    let (mut names, mut cursor) = (Vec::new(), 0);
    while let Some((entry, next)) = volume.list(directory, cursor).expect("it is in order") {
        names.push(entry.name);
        cursor = next;
    }
    names
}

/// Unmounts, lets fsck.fat look at it, and mounts again.
fn over(mut volume: Volume<Memory>) -> Volume<Memory> {
    volume.unmount().expect("nothing fails");
    let image = volume.into_storage().image();
    assert_eq!(fsck(&image), [""; 0]);
    Volume::mount(Memory::new(image), OPTIONS).expect("it was one before")
}

#[test]
fn names_of_all_planes_are_kept_and_found() {
    let mut volume = Volume::mount(Memory::new(mkfs(8_000, &["-F", "32", "-s", "1"])), OPTIONS).expect("it is new");
    let root = volume.root();
    // The ends of each plane but what is no character, of the surrogates' neighbours, and of the two halves of UTF-16.
    let planes = (0..17_u32).flat_map(|plane| [plane << 16 | 0x100, plane << 16 | 0xfffd, plane << 16 | 0x8000]);
    let others = [0x21, 0x7f, 0x80, 0xff, 0xd7ff, 0xe000, 0xfffe, 0xffff, 0x1_0000, 0x10_ffff, 0x1_0400, 0x1f600];
    let characters: Vec<char> = planes.chain(others).filter_map(char::from_u32).collect();
    let mut wanted = Vec::new();
    for &character in &characters {
        // Alone, in the middle, and as often as there is room for.
        let most = 255 / character.len_utf16();
        for name in [character.to_string(), format!("a{character}b"), String::from(character).repeat(most)] {
            match volume.create(root, name.as_bytes()) {
                Ok(node) => {
                    volume.write(node, 0, name.as_bytes()).expect("there is room");
                    volume.forget(node).expect("it is held");
                    wanted.push(name);
                }
                Err(error) => assert_eq!((character, error), ('\u{7f}', Error::InvalidName), "{name:?}"),
            }
        }
        let too_long = String::from(character).repeat(most + 1);
        assert!(volume.create(root, too_long.as_bytes()).is_err(), "{character:?} too often");
    }
    assert!(wanted.len() > 170);
    let mut volume = over(volume);
    let mut found = names(&mut volume, "");
    found.sort();
    wanted.sort();
    assert!(found == wanted, "other names than were made");
    for name in &wanted {
        let node = walk(&mut volume, name).expect("it is there");
        let mut contents = vec![0; name.len() + 1];
        assert_eq!(volume.read(node, 0, &mut contents), Ok(name.len()), "{name:?}");
        assert_eq!(contents[..name.len()], *name.as_bytes());
        volume.forget(node).expect("it is held");
        volume.remove_file(volume.root(), name.as_bytes()).expect("it is there");
    }
    assert_eq!(names(&mut over(volume), ""), [""; 0]);
}

#[test]
fn names_that_differ_by_case_are_one_in_every_script_that_has_case() {
    let mut volume = Volume::mount(Memory::new(mkfs(8_000, &["-F", "32", "-s", "1"])), OPTIONS).expect("it is new");
    let root = volume.root();
    for (name, same, other) in [
        ("read me", "READ ME", "read_me"),
        ("größer", "GRÖßER", "GRÖSSER"),
        ("данные", "ДАННЫЕ", "данныё"),
        ("σίσυφος", "ΣΊΣΥΦΟς", "σίσυφο"),
        ("ÿ", "Ÿ", "y"),
        ("ǆ", "Ǆ", "dž"),
    ] {
        volume.create(root, name.as_bytes()).and_then(|node| volume.forget(node)).expect("there is room");
        assert_eq!(volume.create(root, same.as_bytes()).err(), Some(Error::Exists), "{same}");
        let node = volume.create(root, other.as_bytes()).unwrap_or_else(|error| panic!("{other}: {error}"));
        volume.forget(node).expect("it is held");
        // Another case is another name for the same file.
        volume.rename(root, name.as_bytes(), root, same.as_bytes()).expect("it is there");
        assert!(names(&mut volume, "").contains(&same.to_owned()), "{same}");
    }
    over(volume);
}

#[test]
fn a_directory_of_many_files_is_listed_and_emptied() {
    let count = 700 * effort() as u32;
    let mut volume = Volume::mount(Memory::new(mkfs(20_000, &["-F", "32", "-s", "1"])), OPTIONS).expect("it is new");
    let root = volume.root();
    let directory = volume.create_directory(root, b"many").expect("there is room");
    let name = |number: u32| format!("file number {number}.data");
    for number in 0..count {
        let node = volume.create(directory, name(number).as_bytes()).expect("there is room");
        volume.write(node, 0, &number.to_le_bytes()).expect("there is room");
        volume.forget(node).expect("it is held");
    }
    volume.forget(directory).expect("it is held");
    let mut volume = over(volume);
    assert_eq!(names(&mut volume, "many"), (0..count).map(name).collect::<Vec<_>>());
    let directory = walk(&mut volume, "many").expect("it is there");
    for number in (0..count).step_by(97) {
        let node = volume.lookup(directory, name(number).to_uppercase().as_bytes()).expect("it is there");
        let mut found = [0; 8];
        assert_eq!((volume.read(node, 0, &mut found), &found[..4]), (Ok(4), &number.to_le_bytes()[..]));
        volume.forget(node).expect("it is held");
    }
    assert_eq!(volume.remove_directory(volume.root(), b"many"), Err(Error::NotEmpty));
    (0..count).rev().for_each(|number| volume.remove_file(directory, name(number).as_bytes()).expect("it is there"));
    volume.forget(directory).expect("it is held");
    volume.remove_directory(volume.root(), b"many").expect("it is empty");
    over(volume);
}

#[test]
fn a_directory_has_65536_slots_and_not_one_more() {
    if effort() == 1 {
        // A minute or two.
        return;
    }
    let mut volume = Volume::mount(Memory::new(mkfs(20_000, &["-F", "32", "-s", "1"])), OPTIONS).expect("it is new");
    let root = volume.root();
    let directory = volume.create_directory(root, b"full").expect("there is room");
    // "." and ".." and 3,120 times 20 slots for a long name and one for its alias; then one for each name.
    let make = |volume: &mut Volume<Memory>, name: &str| {
        volume.create(directory, name.as_bytes()).and_then(|node| volume.forget(node))
    };
    let long = (0..3_120).map(|number| format!("{number:0255}"));
    let short = (0..14).map(|number| format!("F{number}"));
    for name in long.chain(short) {
        make(&mut volume, &name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(make(&mut volume, "F"), Err(Error::NoSpace));
    volume.remove_file(directory, b"F1").expect("it is there");
    assert_eq!(make(&mut volume, "two slots"), Err(Error::NoSpace));
    assert_eq!(make(&mut volume, "F"), Ok(()));
    volume.forget(directory).expect("it is held");
    over(volume);
}

/// A disk of which only the sectors are kept that are not zeros.
struct Sparse {
    sectors: u64,
    written: RefCell<HashMap<u64, [u8; SECTOR]>>,
}

impl Storage for Sparse {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let written = self.written.borrow();
        for (sector, part) in (sector..).zip(buffer.chunks_mut(SECTOR)) {
            part.copy_from_slice(written.get(&sector).unwrap_or(&[0; SECTOR]));
        }
        Ok(())
    }

    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        let mut written = self.written.borrow_mut();
        for (sector, part) in (sector..).zip(data.as_chunks().0) {
            if *part == [0; SECTOR] {
                written.remove(&sector);
            } else {
                written.insert(sector, *part);
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

#[test]
fn a_file_has_4294967295_bytes_and_not_one_more() {
    // A volume of 5 GiB with clusters of 32 KiB, of which mkfs.fat writes the beginning only.
    let sectors = 5 << 21;
    let image = fat_tests::tools::mkfs_beginning(sectors / 2, &["-F", "32", "-s", "64"], 4 << 20);
    let disk = Sparse { sectors, written: RefCell::default() };
    disk.write(0, &image).expect("it is in memory");
    let mut volume = Volume::mount(disk, OPTIONS).expect("mkfs.fat made it");
    let file = volume.create(volume.root(), b"largest").expect("there is room");
    let last = u64::from(u32::MAX) - 1;
    assert_eq!(volume.write(file, last, b"xy"), Ok(1), "the last byte, and all before it are zeros");
    assert_eq!(volume.write(file, last + 1, b"y"), Err(Error::TooLarge));
    assert_eq!(volume.set_len(file, last + 2), Err(Error::TooLarge));
    let mut end = [9; 4];
    assert_eq!((volume.read(file, last - 2, &mut end), end), (Ok(3), [0, 0, b'x', 9]));
    assert_eq!(volume.metadata(file).expect("it is held").size, u32::MAX);
    let free = volume.stats().expect("nothing fails").free_clusters;
    volume.unmount().expect("nothing fails");
    let mut volume = Volume::mount(volume.into_storage(), OPTIONS).expect("it was one before");
    assert_eq!(volume.stats().expect("nothing fails").free_clusters, free);
    let file = walk(&mut volume, "LARGEST").expect("it is there");
    assert_eq!(volume.metadata(file).expect("it is held").size, u32::MAX);
    assert_eq!((volume.read(file, last, &mut end), end[0]), (Ok(1), b'x'));
    volume.set_len(file, 10).expect("nothing fails");
    assert_eq!(volume.stats().expect("nothing fails").free_clusters, free + (1 << 17) - 1);
}
