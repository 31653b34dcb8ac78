//! Names, whatever their case, and the numbers that are made of them.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::fs::tests::writing::options;
use crate::fs::vfs::{Collision, Freshness};
use crate::io::Write;

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
        assert_eq!(kind(namespace.read(name.as_bytes())), Some(ErrorKind::NotFound), "{name}");
        assert_eq!(kind(namespace.remove_file(name.as_bytes())), Some(ErrorKind::NotFound), "{name}");
        assert_eq!(kind(namespace.write(name.as_bytes(), b"")), Some(ErrorKind::InvalidInput), "{name}");
        assert_eq!(kind(namespace.create_dir(name.as_bytes())), Some(ErrorKind::InvalidInput), "{name}");
    }
    assert_eq!(kind(namespace.write(b"\xFF", b"")), Some(ErrorKind::InvalidInput), "no text");
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

/// Whoever asks looks first whether the name is taken, and somebody may make it then.
#[test]
fn a_name_that_is_taken_is_not_taken_again_by_who_does_not_want_to_replace_it() {
    let file_system = mount(&Memory::formatted()).expect("it is in order");
    let root = file_system.root().expect("it is mounted");
    for name in ["one.txt", "Two.txt"] {
        drop(root.create(name.as_bytes(), 0o644).expect("there is room"));
    }
    let rename = |from: &[u8], to: &[u8], collision| root.rename(from, root.id(), to, collision);
    assert_eq!(rename(b"one.txt", b"TWO.TXT", Collision::Refuse), Err(Errno::EEXIST));
    assert_eq!(rename(b"one.txt", b"three", Collision::Refuse), Ok(()));
    assert_eq!(rename(b"three", b"Two.txt", Collision::Exchange), Err(Errno::EINVAL));
    assert_eq!(rename(b"three", b"Two.txt", Collision::Replace), Ok(()));
    assert_eq!(root.lookup(b"three", Freshness::Server).err(), Some(Errno::ENOENT));
}
