//! Names that are found by an index, beside a volume that has none: both have to say the same, and to write the same.
//!
//! ```text
//!   random operations --+--> Volume, no index            results, listings and images
//!                       +--> Volume, a tiny index        have to be equal
//!                       +--> Volume, an index
//! ```

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use fat_tests::memory::Memory;
use fat_tests::random::Random;
use fat_tests::tools::{fsck, mkfs};
use fat_tests::{OPTIONS, effort, skeleton};
use toro_fat::{Error, FatKind, Metadata, NodeId, Options, SECTOR, Storage, Timestamp, Volume};

/// How much memory the indexes may take: nothing; less than a directory needs, or two; and enough.
const SIZES: [usize; 4] = [0, 900, 6_000, 1 << 20];
/// The directories that are used.
const DIRECTORIES: [&str; 4] = ["", "one", "a directory with a long name", "Übung"];

fn mount(image: Vec<u8>, index_bytes: usize) -> Volume<Memory> {
    let options = Options { index_bytes, cached_sectors: 8, ..OPTIONS };
    Volume::mount(Memory::new(image), options).expect("it is a volume")
}

/// The same volume, once for each size of an index.
struct Twins {
    volumes: Vec<Volume<Memory>>,
    what: String,
}

impl Twins {
    fn new(image: &[u8], what: String) -> Self {
        Self { volumes: SIZES.map(|size| mount(image.to_vec(), size)).into(), what }
    }

    /// Does the same with all: what all of them say.
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, mut work: impl FnMut(&mut Volume<Memory>) -> T) -> T {
        let mut results = self.volumes.iter_mut().map(&mut work).collect::<Vec<_>>().into_iter();
        let first = results.next().expect("there are volumes");
        for (result, size) in results.zip(&SIZES[1..]) {
            assert_eq!(result, first, "{}, with an index of {size} bytes", self.what);
        }
        first
    }

    /// Makes sure that all have written the same.
    fn compare_images(&mut self) {
        self.same(Volume::sync_all).expect("nothing fails");
        let images: Vec<_> = self.volumes.iter().map(|volume| volume.storage().image()).collect();
        for (image, size) in images.iter().zip(SIZES).skip(1) {
            assert!(*image == images[0], "{}: the images differ, with an index of {size} bytes", self.what);
        }
    }

    fn remount(&mut self) {
        let volumes = self.volumes.drain(..).zip(SIZES).map(|(mut volume, size)| {
            volume.unmount().expect("nothing fails");
            mount(volume.into_storage().image(), size)
        });
        self.volumes = volumes.collect();
    }
}

/// The directory of this number, held once.
fn directory(volume: &mut Volume<Memory>, number: usize) -> Result<NodeId, Error> {
    match DIRECTORIES[number] {
        "" => Ok(volume.root()),
        name => volume.lookup(volume.root(), name.as_bytes()),
    }
}

/// Does something in directories, and forgets them.
fn within<T>(
    volume: &mut Volume<Memory>,
    numbers: [usize; 2],
    work: impl FnOnce(&mut Volume<Memory>, [NodeId; 2]) -> Result<T, Error>,
) -> Result<T, Error> {
    let nodes = [directory(volume, numbers[0])?, directory(volume, numbers[1])?];
    let result = work(volume, nodes);
    let root = volume.root();
    for node in nodes.into_iter().filter(|&node| node != root) {
        volume.forget(node)?;
    }
    result
}

/// What there is under a name: its times are its identity.
fn look_up(volume: &mut Volume<Memory>, directory: NodeId, name: &str) -> Result<Metadata, Error> {
    let node = volume.lookup(directory, name.as_bytes())?;
    let metadata = volume.metadata(node);
    volume.forget(node)?;
    metadata
}

/// All entries of a directory.
fn list(volume: &mut Volume<Memory>, directory: NodeId) -> Result<Vec<(String, Metadata)>, Error> {
    let (mut all, mut cursor) = (Vec::new(), 0);
    while let Some((entry, next)) = volume.list(directory, cursor)? {
        all.push((entry.name, entry.metadata));
        cursor = next;
    }
    // In one way through the directory, and in two.
    let mut names = Vec::new();
    cursor = 0;
    for most in [all.len() / 2, usize::MAX] {
        volume.list_names(directory, cursor, |name, kind, next| {
            names.push((String::from_utf8_lossy(name).into_owned(), kind));
            cursor = next;
            if names.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    assert!(names.iter().map(|(name, kind)| (name, *kind)).eq(all.iter().map(|(name, of)| (name, of.kind))));
    Ok(all)
}

/// A name: few enough that there are collisions of every kind, in any case.
fn some_name(random: &mut Random) -> String {
    let number = random.below(40);
    let name = match random.below(12) {
        0 => format!("FILE{number}"),
        1 => format!("file{number}.txt"),
        2 => format!("longer name {number}.txt"),
        3 => format!("longer name {number}.text"),
        // What may be somebody's alias, of the numbered and of the hashed kind.
        4 => format!("LONGER~{}.TXT", random.below(10)),
        5 => format!("LO{:04X}~1.TXT", random.below(1 << 16)),
        6 => format!("Mixed{}.tXt", number % 10),
        7 => format!("größer {number}"),
        8 => format!("é{number}.😀"),
        9 => format!("{number}{}", "x".repeat(random.below(250) as usize)),
        10 => format!("bad*{number}"),
        _ => format!(".{number}"),
    };
    match random.below(4) {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        _ => name,
    }
}

/// A random operation; what came of it.
fn step(random: &Random, clock: u64, volume: &mut Volume<Memory>) -> Result<Option<Metadata>, Error> {
    let random = &mut random.clone();
    let numbers = [random.below(4) as usize, random.below(4) as usize];
    let (name, other) = (some_name(random), some_name(random));
    let action = random.below(12);
    within(volume, numbers, |volume, [first, second]| {
        // Something that there is, under any case and sometimes by its alias.
        let mut some_existing = || -> Result<String, Error> {
            let all = list(volume, first)?;
            Ok(if all.is_empty() { name.clone() } else { random.pick(&all).0.to_uppercase() })
        };
        match action {
            0..=4 => {
                let node = volume.create(first, name.as_bytes())?;
                let time = Timestamp { seconds: 1_000_000_000 + 2 * clock, nanoseconds: 0 };
                volume.set_times(node, Some(time), None)?;
                volume.forget(node)?;
                Ok(None)
            }
            5 => {
                let node = volume.create_directory(first, name.as_bytes())?;
                volume.forget(node)?;
                Ok(None)
            }
            6 => {
                let name = some_existing()?;
                volume.remove_file(first, name.as_bytes()).map(|()| None)
            }
            7 => {
                let name = some_existing()?;
                if DIRECTORIES.iter().any(|kept| kept.to_uppercase() == name) {
                    return Ok(None);
                }
                volume.remove_directory(first, name.as_bytes()).map(|()| None)
            }
            8 | 9 => {
                let old = some_existing()?;
                if DIRECTORIES.iter().any(|kept| kept.to_uppercase() == old) {
                    return Ok(None);
                }
                // To another name, or to another case of its own.
                let new = if clock.is_multiple_of(5) { old.to_lowercase() } else { other };
                volume.rename(first, old.as_bytes(), second, new.as_bytes()).map(|()| None)
            }
            10 => {
                let name = some_existing()?;
                look_up(volume, first, &name).map(Some)
            }
            _ => look_up(volume, first, &name).map(Some),
        }
    })
}

fn soak(image: &[u8], seed: u64, steps: u64, what: &str) {
    let mut twins = Twins::new(image, String::new());
    for name in &DIRECTORIES[1..] {
        twins.same(|volume| {
            let node = volume.create_directory(volume.root(), name.as_bytes()).expect("there is room");
            volume.forget(node).expect("it is held");
        });
    }
    let mut random = Random::new(seed);
    let mut done = BTreeSet::new();
    for at in 0..steps {
        twins.what = format!("{what}, seed {seed}, step {at}");
        random.number();
        let result = twins.same(|volume| step(&random, at, volume));
        done.insert(format!("{:?}", result.map(|found| found.is_some())));
        if at % 100 == 99 {
            for number in 0..DIRECTORIES.len() {
                twins
                    .same(|volume| within(volume, [number, 0], |volume, [node, _]| list(volume, node)))
                    .expect("nothing fails");
            }
            twins.compare_images();
        }
        if at % 250 == 249 {
            twins.remount();
        }
    }
    twins.compare_images();
    // Everything that can be said was.
    for result in ["Ok(true)", "Ok(false)", "Err(Exists)", "Err(NotFound)", "Err(InvalidName)"] {
        assert!(done.contains(result), "{what}: never {result}: {done:?}");
    }
    // No more requests than without an index.
    let [reads, writes, flushes] = twins.volumes[0].storage().requests();
    for (volume, size) in twins.volumes.iter().zip(SIZES).skip(1) {
        let [more_reads, more_writes, more_flushes] = volume.storage().requests();
        assert!(more_reads <= reads && more_writes <= writes, "{what}, {size}: {more_reads}, {more_writes}");
        assert_eq!(more_flushes, flushes, "{what}, {size}");
    }
    twins.same(Volume::unmount).expect("nothing fails");
    assert_eq!(fsck(&twins.volumes.remove(3).into_storage().image()), [""; 0], "{what}");
}

#[test]
fn index_and_search_agree_on_every_operation_and_on_every_byte() {
    for round in 0..effort() {
        soak(&mkfs(1_440, &["-F", "12", "-s", "1"]), round, 500, "FAT12");
        soak(&mkfs(8_000, &["-F", "16", "-s", "1"]), round, 500, "FAT16");
        soak(&mkfs(36_000, &["-F", "32", "-s", "1"]), round, 500, "FAT32");
    }
}

/// Where the root of a small FAT16 is.
const ROOT_16: usize = SECTOR * (1 + 2 * 17);

#[test]
fn index_and_search_agree_on_directories_that_lie() {
    let mut filled = mount(skeleton::volume(FatKind::Fat16), 0);
    let root = filled.root();
    for number in 0..20 {
        let name = if number % 2 == 0 { format!("FILE{number}") } else { format!("a long name {number}") };
        let node = filled.create(root, name.as_bytes()).expect("there is room");
        let time = Timestamp { seconds: 1_000_000_000 + 2 * number, nanoseconds: 0 };
        filled.set_times(node, Some(time), None).expect("nothing fails");
        filled.forget(node).expect("it is held");
    }
    filled.unmount().expect("nothing fails");
    let image = filled.into_storage().image();
    let mut random = Random::new(3);
    let mut found = 0;
    for round in 0..150 * effort() {
        let mut image = image.clone();
        for _ in 0..random.below(12) {
            // Any byte but those of the first cluster: what two files share, nobody can keep apart.
            let slot = ROOT_16 + random.below(64) as usize * 32;
            let byte = [0, 0, 0, 1, 8, 11, 11, 11, 12, 13, 15][random.below(11) as usize];
            match random.below(4) {
                0 => image[slot + byte] = random.number() as u8,
                1 => image[slot + byte] = *random.pick(&[0, 0xe5, 0x05, 0x08, 0x0f, 0x41, 0x42, 0x20]),
                _ => {
                    // The same name again, or a part of one where it does not belong.
                    let from = ROOT_16 + random.below(64) as usize * 32;
                    image.copy_within(from..from + 32, slot);
                }
            }
        }
        let mut twins = Twins::new(&image, format!("round {round}"));
        let names: Vec<_> = (0..20)
            .map(|number| if number % 2 == 0 { format!("file{number}") } else { format!("A LONG name {number}") })
            .chain((0..9).map(|number| format!("ALONGN~{number}")))
            .collect();
        for _ in 0..40 {
            let name = random.pick(&names).clone();
            let other = random.pick(&names).clone();
            let action = random.below(6);
            let result = twins.same(|volume| match action {
                0 => volume.create(root, name.as_bytes()).and_then(|node| volume.forget(node)).map(|()| None),
                1 => volume.remove_file(root, name.as_bytes()).map(|()| None),
                2 => volume.rename(root, name.as_bytes(), root, other.as_bytes()).map(|()| None),
                _ => look_up(volume, root, &name).map(Some),
            });
            found += u64::from(matches!(result, Ok(Some(_))));
        }
        twins.same(|volume| list(volume, root)).expect("nothing fails");
        twins.compare_images();
    }
    assert!(found > 500, "too little was found for this to say anything: {found}");
}

#[test]
fn of_several_entries_with_one_name_the_first_is_found() {
    for size in SIZES {
        let mut volume = mount(skeleton::volume(FatKind::Fat16), size);
        let root = volume.root();
        for name in ["A1", "A2", "A3"] {
            let node = volume.create(root, name.as_bytes()).expect("there is room");
            volume.write(node, 0, name.as_bytes()).expect("there is room");
            volume.forget(node).expect("it is held");
        }
        volume.unmount().expect("nothing fails");
        let mut image = volume.into_storage().image();
        for slot in 0..3 {
            image[ROOT_16 + slot * 32 + 1] = b'X';
        }
        let mut volume = mount(image, size);
        // Also once the directory is known to the end.
        assert_eq!(look_up(&mut volume, root, "missing").err(), Some(Error::NotFound));
        for expected in ["A1", "A2", "A3"] {
            let node = volume.lookup(root, b"ax").expect("it is there");
            let mut contents = [0; 2];
            volume.read(node, 0, &mut contents).expect("nothing fails");
            assert_eq!(contents, expected.as_bytes());
            volume.forget(node).expect("it is held");
            volume.remove_file(root, b"AX").expect("it is there");
        }
        assert_eq!(look_up(&mut volume, root, "AX").err(), Some(Error::NotFound));
    }
}

/// A volume with files `F0` to `F7` in the root, each with its name in it, the directory known to the end, and no sector of it
/// in memory.
fn known() -> Volume<Memory> {
    let mut volume = mount(skeleton::volume(FatKind::Fat16), 1 << 20);
    let root = volume.root();
    let other = volume.create_directory(root, b"OTHER").expect("there is room");
    for number in 0..200 {
        let node = volume.create(other, format!("F{number}").as_bytes()).expect("there is room");
        volume.forget(node).expect("it is held");
    }
    for number in 0..8 {
        let name = format!("F{number}");
        let node = volume.create(root, name.as_bytes()).expect("there is room");
        volume.write(node, 0, name.as_bytes()).expect("there is room");
        volume.forget(node).expect("it is held");
    }
    volume.sync_all().expect("nothing fails");
    assert_eq!(look_up(&mut volume, root, "missing").err(), Some(Error::NotFound));
    evict(&mut volume);
    volume
}

/// Has other sectors read, so that none of the root stays in memory.
fn evict(volume: &mut Volume<Memory>) {
    let other = volume.lookup(volume.root(), b"OTHER").expect("it is there");
    assert_eq!(list(volume, other).expect("nothing fails").len(), 200);
    volume.forget(other).expect("it is held");
}

/// Changes a slot of the root behind the back of the volume.
fn change_slot(volume: &Volume<Memory>, slot: usize, change: impl FnOnce(&mut [u8])) {
    let (sector, offset) = (ROOT_16 / SECTOR + slot / 16, slot % 16 * 32);
    let mut bytes = [0; SECTOR];
    volume.storage().read(sector as u64, &mut bytes).expect("it is on the disk");
    change(&mut bytes[offset..offset + 32]);
    volume.storage().write(sector as u64, &bytes).expect("it is on the disk");
}

#[test]
fn what_an_index_says_is_believed_only_if_the_disk_says_so_too() {
    // The slot of F3 is the fifth: OTHER is before all of them.
    let mut volume = known();
    let root = volume.root();
    change_slot(&volume, 4, |slot| slot[1] = b'X');
    assert_eq!(look_up(&mut volume, root, "F3").err(), Some(Error::NotFound), "its name is another one now");
    let node = volume.lookup(root, b"FX").expect("that is found, as nothing else is believed");
    let mut contents = [0; 2];
    volume.read(node, 0, &mut contents).expect("nothing fails");
    assert_eq!(&contents, b"F3");

    // Removed, and its place taken by a name of the volume.
    for change in [|slot: &mut [u8]| slot[0] = 0xe5, |slot: &mut [u8]| slot[11] = 0x08] {
        let mut volume = known();
        change_slot(&volume, 4, change);
        assert_eq!(look_up(&mut volume, root, "F3").err(), Some(Error::NotFound));
        assert!(look_up(&mut volume, root, "F4").is_ok());
    }

    // Moved to a free slot: what was there before is not written over by a new file.
    let mut volume = known();
    let mut moved = [0; 32];
    change_slot(&volume, 4, |slot| {
        moved.copy_from_slice(slot);
        slot[0] = 0xe5;
    });
    change_slot(&volume, 9, |slot| slot.copy_from_slice(&moved));
    let node = volume.create(root, b"NEW").expect("there is room");
    volume.sync(node).expect("nothing fails");
    let names: Vec<_> = list(&mut volume, root).expect("nothing fails").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["OTHER", "F0", "F1", "F2", "NEW", "F4", "F5", "F6", "F7", "F3"]);
}

#[test]
fn many_files_are_found_by_few_requests() {
    let mut volume = mount(mkfs(40_000, &["-F", "32", "-s", "1"]), 1 << 20);
    let root = volume.root();
    for number in 0..2_000 {
        let node = volume.create(root, format!("a file with the number {number}").as_bytes()).expect("there is room");
        volume.forget(node).expect("it is held");
    }
    volume.sync_all().expect("nothing fails");
    let [before, ..] = volume.storage().requests();
    for number in 0..2_000 {
        assert_eq!(
            look_up(&mut volume, root, &format!("no file with the number {number}")).err(),
            Some(Error::NotFound)
        );
    }
    assert_eq!(volume.storage().requests()[0], before, "what is not there is not looked for");
    for number in (0..2_000).rev() {
        look_up(&mut volume, root, &format!("A FILE with the number {number}")).expect("it is there");
    }
    // Of the directory and of the table, each sector about once: in eight sectors, the one before is still there.
    let [reads, ..] = volume.storage().requests();
    assert!(reads - before < 1_000, "{}", reads - before);
    assert_eq!(list(&mut volume, root).expect("nothing fails").len(), 2_000);
}
