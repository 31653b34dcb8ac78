//! Images that lie: errors, after bounded work, and no panic.

use std::cell::Cell;

use fat_tests::memory::Memory;
use fat_tests::model::{Tree, walk};
use fat_tests::random::Random;
use fat_tests::script::Script;
use fat_tests::{OPTIONS, effort, skeleton};
use toro_fat::{Corruption, Error, FatKind, NodeId, SECTOR, Storage, StorageError, Unsupported, Volume};

/// A disk that fails after so many requests: what takes longer has no end.
struct Bounded {
    memory: Memory,
    left: Cell<u64>,
}

impl Bounded {
    fn count(&self) -> Result<(), StorageError> {
        assert!(self.left.get() > 0, "too many requests for one image");
        self.left.set(self.left.get() - 1);
        Ok(())
    }
}

impl Storage for Bounded {
    fn sectors(&self) -> u64 {
        self.memory.sectors()
    }
    fn is_read_only(&self) -> bool {
        false
    }
    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.count()?;
        self.memory.read(sector, buffer)
    }
    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        self.count()?;
        self.memory.write(sector, data)
    }
    fn flush(&self) -> Result<(), StorageError> {
        self.memory.flush()
    }
}

/// A volume with something in it, left in order.
fn filled(kind: FatKind) -> Vec<u8> {
    let mut volume = Volume::mount(Memory::new(skeleton::volume(kind)), OPTIONS).expect("it is a volume");
    let mut script = Script::new(7, Tree::new(), 4_000);
    for _ in 0..150 {
        script.step(&mut volume).expect("nothing fails");
    }
    volume.unmount().expect("nothing fails");
    volume.into_storage().image()
}

/// Every operation on whatever can be found.
fn use_everything<S: Storage>(volume: &mut Volume<S>, directory: NodeId, depth: u32, budget: &mut u32) {
    let mut cursor = 0;
    while let Ok(Some((entry, next))) = volume.list(directory, cursor) {
        assert!(next > cursor && !entry.name.contains('/') && entry.name != "." && entry.name != "..");
        cursor = next;
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        let Ok(node) = volume.lookup(directory, entry.name.as_bytes()) else { continue };
        let mut piece = [0; 700];
        let _ = volume.read(node, 0, &mut piece);
        let _ = volume.read(node, u64::from(entry.metadata.size / 2), &mut piece);
        let _ = volume.extent(node, u64::from(entry.metadata.size.saturating_sub(1)));
        let _ = volume.write(node, u64::from(entry.metadata.size.min(20_000)), b"more");
        let _ = volume.set_len(node, u64::from(entry.metadata.size / 3));
        let _ = volume.sync(node);
        if depth > 0 {
            use_everything(volume, node, depth - 1, budget);
            let _ = volume.create(node, b"a new file with a long name");
            let _ = volume.create_directory(node, b"NEW");
            let _ = volume.rename(directory, entry.name.as_bytes(), node, b"in itself");
        }
        let _ = volume.rename(directory, entry.name.as_bytes(), volume.root(), b"somewhere else");
        let _ = volume.remove_file(directory, entry.name.as_bytes());
        let _ = volume.remove_directory(directory, entry.name.as_bytes());
        volume.forget(node).ok();
    }
}

fn try_image(image: Vec<u8>) -> bool {
    let storage = Bounded { memory: Memory::new(image), left: Cell::new(400_000) };
    let Ok(mut volume) = Volume::mount(storage, OPTIONS) else { return false };
    let root = volume.root();
    use_everything(&mut volume, root, 4, &mut 300);
    let _ = volume.stats();
    let _ = volume.unmount();
    true
}

#[test]
fn a_thousand_images_with_mutations_give_errors_only() {
    let mut random = Random::new(1);
    let mut mounted = 0;
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let image = filled(kind);
        // Boot sector, FSInfo, tables, the root and what follows it: where the numbers are.
        let metadata = image.len().min(120 * SECTOR) as u64;
        for _ in 0..350 * effort() {
            let mut image = image.clone();
            for _ in 0..=random.below(12) {
                let at = match random.below(8) {
                    0 => random.below(SECTOR as u64),
                    1 => random.below(image.len() as u64),
                    _ => SECTOR as u64 + random.below(metadata - SECTOR as u64),
                } as usize;
                match random.below(4) {
                    0 => image[at] = random.number() as u8,
                    1 => image[at] ^= 1 << random.below(8),
                    2 => {
                        let from = random.below(metadata) as usize & !31;
                        let to = at & !31;
                        image.copy_within(from..from + 32, to);
                    }
                    _ => image[at] = *random.pick(&[0, 1, 2, 0xff, 0xf8, 0xe5, 0x0f, 0x10]),
                }
            }
            mounted += u64::from(try_image(image));
        }
    }
    assert!(mounted > 500 * effort(), "most were not even mounted: {mounted}");
}

/// A volume with one file of 4,000 bytes, or one directory, whose entry is the first of the root.
fn with_one(kind: FatKind, name: &[u8]) -> Vec<u8> {
    let mut volume = Volume::mount(Memory::new(skeleton::volume(kind)), OPTIONS).expect("it is a volume");
    let root = volume.root();
    if name == b"DIR" {
        volume.create_directory(root, name).expect("there is room");
    } else {
        let file = volume.create(root, name).expect("there is room");
        volume.write(file, 0, &[7; 4_000]).expect("there is room");
    }
    volume.unmount().expect("nothing fails");
    volume.into_storage().image()
}

/// FAT16: where entry `cluster` of the first table is, and where the first slot of the root.
fn table_16(cluster: usize) -> usize {
    SECTOR + cluster * 2
}
const ROOT_16: usize = SECTOR * (1 + 2 * 17);

fn read_after(change: impl FnOnce(&mut Vec<u8>)) -> Result<usize, Error> {
    let mut image = with_one(FatKind::Fat16, b"FILE");
    change(&mut image);
    let mut volume = Volume::mount(Memory::new(image), OPTIONS)?;
    let node = walk(&mut volume, "FILE")?;
    volume.read(node, 0, &mut [0; 5_000])
}

#[test]
fn chains_that_lie_are_errors() {
    let put =
        |at: usize, value: u16| move |image: &mut Vec<u8>| image[at..at + 2].copy_from_slice(&value.to_le_bytes());
    assert_eq!(read_after(|_| {}), Ok(4_000));
    assert_eq!(read_after(put(table_16(4), 0)), Err(Error::Corrupt(Corruption::BrokenChain)));
    assert_eq!(read_after(put(table_16(4), 1)), Err(Error::Corrupt(Corruption::BrokenChain)));
    assert_eq!(read_after(put(table_16(4), 0xfff7)), Err(Error::Corrupt(Corruption::BrokenChain)));
    assert_eq!(read_after(put(table_16(4), 60_000)), Err(Error::Corrupt(Corruption::BrokenChain)));
    assert_eq!(read_after(put(table_16(4), 0xffff)), Err(Error::Corrupt(Corruption::ChainTooShort)));
    assert_eq!(read_after(put(ROOT_16 + 26, 60_000)), Err(Error::Corrupt(Corruption::ClusterOutOfRange)));
    assert_eq!(read_after(put(ROOT_16 + 26, 0)), Err(Error::Corrupt(Corruption::ChainTooShort)));
    // A loop is harmless as long as the file is short; one that is longer than the volume is found out.
    assert_eq!(read_after(put(table_16(4), 2)), Ok(4_000));
    let mut image = with_one(FatKind::Fat16, b"FILE");
    put(table_16(4), 2)(&mut image);
    image[ROOT_16 + 28..ROOT_16 + 32].fill(0xff);
    let mut volume = Volume::mount(Memory::new(image), OPTIONS).expect("it mounts");
    let node = walk(&mut volume, "FILE").expect("it is there");
    let beyond = volume.read(node, 3 << 20, &mut [0; 512]);
    assert_eq!(beyond, Err(Error::Corrupt(Corruption::ChainLoop)));
}

#[test]
fn directories_that_lie_are_errors() {
    let mut image = with_one(FatKind::Fat16, b"DIR");
    let entry = image[ROOT_16 + 26];
    image[ROOT_16 + 26] = 0;
    let mut volume = Volume::mount(Memory::new(image.clone()), OPTIONS).expect("it mounts");
    assert_eq!(walk(&mut volume, "DIR"), Err(Error::Corrupt(Corruption::DirectoryEntry)));
    // One that is its own continuation, full of files.
    image[ROOT_16 + 26] = entry;
    let cluster = usize::from(entry);
    image[table_16(cluster)..][..2].copy_from_slice(&(cluster as u16).to_le_bytes());
    let sector = ROOT_16 + 64 * 32 + (cluster - 2) * SECTOR;
    for slot in 2..16 {
        image[sector + slot * 32..][..11].copy_from_slice(b"FILE       ");
        image[sector + slot * 32 + 8] = b'A' + slot as u8;
    }
    let storage = Bounded { memory: Memory::new(image), left: Cell::new(400_000) };
    let mut volume = Volume::mount(storage, OPTIONS).expect("it mounts");
    let node = walk(&mut volume, "DIR").expect("it is there");
    assert_eq!(volume.lookup(node, b"missing"), Err(Error::Corrupt(Corruption::ChainLoop)));
    assert!(volume.create(node, b"new").is_err());
}

#[test]
fn boot_sectors_that_lie_are_refused() {
    let mount = |kind, at: usize, bytes: &[u8]| {
        let mut image = skeleton::volume(kind);
        image[at..at + bytes.len()].copy_from_slice(bytes);
        Volume::mount(Memory::new(image), OPTIONS).err()
    };
    let wrong = Some(Error::Corrupt(Corruption::BootSector));
    let unsupported = |what| Some(Error::Unsupported(what));
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        assert_eq!(mount(kind, 0, &[0xeb]), None);
        assert_eq!(mount(kind, 510, &[0]), unsupported(Unsupported::NotFat));
        assert_eq!(mount(kind, 0, &[0]), unsupported(Unsupported::NotFat));
        assert_eq!(mount(kind, 11, &[0, 3]), unsupported(Unsupported::SectorSize));
        assert_eq!(mount(kind, 13, &[3]), wrong);
        assert_eq!(mount(kind, 13, &[0]), wrong);
        assert_eq!(mount(kind, 14, &[0, 0]), wrong);
        assert_eq!(mount(kind, 16, &[0]), wrong);
        assert_eq!(mount(kind, 19, &[0xff, 0xff]), Some(Error::Corrupt(Corruption::VolumeTooLarge)));
        assert_eq!(mount(kind, 19, &[3, 0]), wrong);
        assert_eq!(mount(kind, 14, &[0xff, 0xff]), wrong);
    }
    assert_eq!(mount(FatKind::Fat16, 22, &[1, 0]), Some(Error::Corrupt(Corruption::TableTooSmall)));
    assert_eq!(mount(FatKind::Fat32, 36, &[1]), Some(Error::Corrupt(Corruption::TableTooSmall)));
    assert_eq!(mount(FatKind::Fat32, 42, &[1]), unsupported(Unsupported::Version));
    assert_eq!(mount(FatKind::Fat32, 44, &[0, 0, 1]), wrong);
    assert_eq!(mount(FatKind::Fat32, 40, &[0x8f]), wrong);
    // Where no FSInfo is, nothing is believed.
    assert_eq!(mount(FatKind::Fat32, 48, &[0xff, 0xff]), None);
}
