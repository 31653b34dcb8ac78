//! What the random operations do not ask: how many requests there are, marks of a volume in use, sector sizes, limits.

use fat_tests::memory::Memory;
use fat_tests::model::{read_all, walk};
use fat_tests::tools::{fsck, mkfs};
use fat_tests::{OPTIONS, skeleton};
use toro_fat::{Attributes, Error, FatKind, SECTOR, Timestamp, Volume};

fn mount(image: Vec<u8>) -> Volume<Memory> {
    Volume::mount(Memory::new(image), OPTIONS).expect("it is a volume")
}

#[test]
fn what_lies_together_is_one_request() {
    let mut volume = mount(mkfs(40_000, &["-F", "16", "-s", "8"]));
    let root = volume.root();
    let file = volume.create(root, b"BIG").expect("there is room");
    let [reads, writes, _] = volume.storage().requests();
    let data: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 253) as u8).collect();
    assert_eq!(volume.write(file, 0, &data), Ok(data.len()));
    volume.sync(file).expect("nothing fails");
    let [more_reads, more_writes, _] = volume.storage().requests();
    // The contents are one; table, its copy, and the entry are the others.
    assert!(more_reads - reads <= 4 && more_writes - writes <= 10, "{} {}", more_reads - reads, more_writes - writes);
    assert!(read_all(&mut volume, file).expect("nothing fails") == data);
    assert_eq!(volume.storage().requests()[0] - more_reads, 1);
    let (sector, sectors) = volume.extent(file, 1000).expect("nothing fails").expect("it is within the file");
    assert_eq!(sectors, (1 << 20) / SECTOR as u64 - 1);
    assert_eq!(volume.storage().image()[sector as usize * SECTOR], data[SECTOR]);
    assert_eq!(volume.extent(file, 1 << 20), Ok(None));
}

#[test]
fn volume_is_marked_as_in_use_from_the_first_change_until_it_is_left() {
    for (kind, state) in [(FatKind::Fat12, 0x25), (FatKind::Fat16, 0x25), (FatKind::Fat32, 0x41)] {
        let mut volume = mount(skeleton::volume(kind));
        let root = volume.root();
        assert_eq!(volume.storage().image()[state], 0);
        let file = volume.create(root, b"FILE").expect("there is room");
        assert_eq!(volume.storage().image()[state], 1, "{kind:?}");
        // The power fails: whoever comes next sees it, and leaves the mark for a tool that checks.
        let mut volume = mount(volume.storage().image());
        assert!(!volume.stats().expect("nothing fails").was_clean);
        volume.unmount().expect("nothing fails");
        assert_eq!(volume.storage().image()[state], 1);
        let _ = file;
        let mut volume = mount(skeleton::volume(kind));
        volume.create(root, b"FILE").expect("there is room");
        volume.unmount().expect("nothing fails");
        assert_eq!(volume.storage().image()[state], 0);
        assert!(mount(volume.into_storage().image()).stats().expect("nothing fails").was_clean);
    }
}

#[test]
fn attributes_and_times_are_on_the_disk_what_they_are_in_memory() {
    let mut volume = mount(mkfs(20_000, &["-F", "16"]));
    let root = volume.root();
    let file = volume.create(root, b"FILE").expect("there is room");
    volume.write(file, 0, b"x").expect("there is room");
    let all = Attributes::READ_ONLY.0 | Attributes::HIDDEN.0 | Attributes::SYSTEM.0 | Attributes::ARCHIVE.0;
    // The kind of an entry is none of the things that are set.
    volume.set_attributes(file, Attributes(0xFF)).expect("nothing fails");
    assert_eq!(volume.metadata(file).map(|metadata| metadata.attributes), Ok(Attributes(all)));
    volume.set_attributes(file, Attributes::READ_ONLY).expect("nothing fails");
    assert_eq!(volume.write(file, 1, b"y"), Ok(1), "whoever opens it looks at that");
    // 2024-02-29 12:34:57.5, and the day of it
    let time = Timestamp { seconds: 1_709_210_097, nanoseconds: 500_000_000 };
    volume.set_times(file, Some(time), Some(time)).expect("nothing fails");
    let of = |volume: &mut Volume<Memory>| {
        let node = volume.lookup(volume.root(), b"FILE").expect("it exists");
        let metadata = volume.metadata(node).expect("it is held");
        (metadata.attributes, metadata.modified.seconds, metadata.modified.nanoseconds, metadata.accessed.seconds)
    };
    let expected = (Attributes(Attributes::READ_ONLY.0 | Attributes::ARCHIVE.0), 1_709_210_096, 0, 1_709_164_800);
    assert_eq!(of(&mut volume), expected);
    volume.unmount().expect("nothing fails");
    assert_eq!(of(&mut mount(volume.into_storage().image())), expected);
    // The root has none.
    let mut volume = mount(mkfs(20_000, &["-F", "16"]));
    let root = volume.root();
    volume.set_attributes(root, Attributes::READ_ONLY).expect("nothing fails");
    assert_eq!(volume.metadata(root).map(|metadata| metadata.attributes), Ok(Attributes::DIRECTORY));
}

#[test]
fn larger_sectors_than_the_storage_has_are_converted() {
    for words in [["-F", "16", "-S", "4096", "-s", "1"], ["-F", "12", "-S", "2048", "-s", "4"]] {
        let mut volume = mount(mkfs(20_000, &words));
        let root = volume.root();
        let file = volume.create(root, b"A long name").expect("there is room");
        volume.write(file, 5_000, &[7; 30_000]).expect("there is room");
        volume.unmount().expect("nothing fails");
        let image = volume.into_storage().image();
        assert_eq!(fsck(&image), [""; 0], "{words:?}");
        let mut volume = mount(image);
        let file = walk(&mut volume, "a LONG name").expect("it is there");
        let contents = read_all(&mut volume, file).expect("nothing fails");
        assert!(contents.len() == 35_000 && contents[4_999] == 0 && contents[5_000] == 7);
    }
}

#[test]
fn full_volume_refuses_and_gives_back_what_is_removed() {
    let mut volume = mount(skeleton::volume(FatKind::Fat12));
    let root = volume.root();
    let free = volume.stats().expect("nothing fails").free_clusters;
    let file = volume.create(root, b"FULL").expect("there is room");
    let room = free as usize * SECTOR;
    assert_eq!(volume.write(file, 0, &vec![1; room + 1]), Ok(room));
    assert_eq!(volume.write(file, room as u64, b"x"), Err(Error::NoSpace));
    assert_eq!(volume.set_len(file, room as u64 + 1), Err(Error::NoSpace));
    assert_eq!(volume.metadata(file).expect("it is held").size as usize, room);
    volume.remove_file(root, b"FULL").expect("it is there");
    let other = volume.create(root, b"OTHER").expect("there is room");
    assert_eq!(volume.write(other, 0, b"x"), Err(Error::NoSpace), "it is still held");
    volume.forget(file).expect("it is held");
    assert_eq!(volume.write(other, 0, b"x"), Ok(1));
    assert_eq!(volume.stats().expect("nothing fails").free_clusters, free - 1);
    assert_eq!(volume.forget(file), Err(Error::Stale));
}

#[test]
fn limits_are_errors() {
    let mut volume = mount(skeleton::volume(FatKind::Fat16));
    let root = volume.root();
    let file = volume.create(root, b"FILE").expect("there is room");
    assert_eq!(volume.write(file, u64::from(u32::MAX), b"x"), Err(Error::TooLarge));
    assert_eq!(volume.write(file, u64::MAX, b"x"), Err(Error::TooLarge));
    assert_eq!(volume.set_len(file, 1 << 32), Err(Error::TooLarge));
    assert_eq!(volume.set_len(file, (1 << 32) - 1), Err(Error::NoSpace));
    assert_eq!(volume.metadata(file).expect("it is held").size, 0);
    // The root of a FAT16 has the slots that it has; each of these takes four.
    let many = (0..100).map(|number| volume.create(root, format!("a name that takes {number:9} slots").as_bytes()));
    let refused: Vec<_> = many.filter_map(Result::err).collect();
    assert!(refused.len() > 80 && refused.iter().all(|&error| error == Error::NoSpace));
    let directory = volume.create_directory(root, b"D").expect("there is room");
    assert_eq!(volume.rename(root, b"D", directory, b"in itself"), Err(Error::InvalidMove));
    assert_eq!(volume.read(directory, 0, &mut [0]), Err(Error::IsDirectory));
    assert_eq!(volume.lookup(file, b"x"), Err(Error::NotDirectory));
    assert_eq!(volume.rename(root, b"FILE", root, b"D"), Err(Error::IsDirectory));
    assert_eq!(volume.rename(root, b"D", root, b"FILE"), Err(Error::NotDirectory));
    assert_eq!(volume.remove_directory(root, b"FILE"), Err(Error::NotDirectory));
    assert_eq!(volume.remove_file(root, b"D"), Err(Error::IsDirectory));
    volume.remove_directory(root, b"D").expect("it is empty");
    assert_eq!(volume.create(directory, b"x"), Err(Error::Stale));
}
