//! Target `fat`: a FAT volume with something in it, of which any bytes are changed, and then used.
//!
//! | input | meaning |
//! |---|---|
//! | byte 0 | FAT12, FAT16 or FAT32 |
//! | byte 1 | how many changes; that modulo 3 is how much may be known of where names are: nothing, little, everything |
//! | change | where, two bytes: an offset in the first 64 KiB, which are boot sector, tables, root and the first files; up to eight bytes, with their number before them |
//! | step | what is done, then which node, which name and how much, a byte each |
//!
//! Held: no panic; no more requests per step than the largest directory explains; names that are no paths; a read that
//! says how much there is; and a volume that can be mounted can be mounted again after everything.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::ControlFlow;

use fat_tests::memory::Memory;
use fat_tests::model::Tree;
use fat_tests::script::Script as Filler;
use fat_tests::{OPTIONS, skeleton};
use toro_fat::{Error, FatKind, NodeId, Options, SECTOR, Storage, StorageError, Timestamp, Volume};

use crate::script::Script;

/// The most requests of a step: to walk a directory of 65,536 slots takes some, and an operation does so a few times.
const MOST_REQUESTS: u64 = 2_000_000;
/// The most nodes that are held.
const MOST_NODES: usize = 8;
/// How much memory may be used to know where names are.
const INDEX_BYTES: [usize; 3] = [0, 1_000, 1 << 20];
/// Names that there are and that there are not.
const NAMES: [&str; 10] = [
    "A",
    "readme.md",
    "Makefile",
    "long name one.txt",
    "1long name one.txt",
    "2A",
    "Übergröße.dat",
    "LONGNA~1.TXT",
    "a-name-that-takes-more-than-two-of-the-slots-of-a-directory-as-it-has-quite-a-few-characters.text",
    "..",
];

/// A disk whose contents are shared but for what was written.
struct Overlay {
    base: &'static [u8],
    written: RefCell<HashMap<u64, [u8; SECTOR]>>,
    requests: Cell<u64>,
}

impl Overlay {
    fn count(&self) {
        self.requests.set(self.requests.get() + 1);
        assert!(self.requests.get() < MOST_REQUESTS, "a step that does not end");
    }

    fn check(&self, sector: u64, len: usize) -> Result<(), StorageError> {
        let end = sector.checked_add((len / SECTOR) as u64);
        let fits = len.is_multiple_of(SECTOR) && end.is_some_and(|end| end <= self.sectors());
        if fits { Ok(()) } else { Err(StorageError::OutOfRange) }
    }
}

impl Storage for Overlay {
    fn sectors(&self) -> u64 {
        (self.base.len() / SECTOR) as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.count();
        self.check(sector, buffer.len())?;
        for (sector, part) in (sector..).zip(buffer.chunks_mut(SECTOR)) {
            let start = sector as usize * SECTOR;
            match self.written.borrow().get(&sector) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.copy_from_slice(&self.base[start..start + SECTOR]),
            }
        }
        Ok(())
    }

    fn write(&self, sector: u64, data: &[u8]) -> Result<(), StorageError> {
        self.count();
        self.check(sector, data.len())?;
        for (sector, part) in (sector..).zip(data.chunks(SECTOR)) {
            let mut bytes = [0; SECTOR];
            bytes.copy_from_slice(part);
            self.written.borrow_mut().insert(sector, bytes);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// A volume with files and directories in it.
fn base(kind: FatKind) -> &'static [u8] {
    thread_local! {
        /// One of each kind for all inputs.
        static IMAGES: [&'static [u8]; 3] = [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32].map(|kind| {
            let mut volume = Volume::mount(Memory::new(skeleton::volume(kind)), OPTIONS).expect("it is a volume");
            let mut filler = Filler::new(3, Tree::new(), 2_000);
            for _ in 0..60 {
                filler.step(&mut volume).expect("nothing fails");
            }
            volume.unmount().expect("nothing fails");
            &*volume.into_storage().image().leak()
        });
    }
    IMAGES.with(|images| images[kind as usize])
}

/// Runs an input; whether the volume could be mounted.
pub fn body(input: &[u8]) -> bool {
    let script = Script::new(input);
    let kind = [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32][usize::from(script.below(3))];
    let base = base(kind);
    let mut disk = Overlay { base, written: RefCell::default(), requests: Cell::new(0) };
    let changes = script.below(65);
    let options = Options { index_bytes: INDEX_BYTES[usize::from(changes) % INDEX_BYTES.len()], ..OPTIONS };
    for _ in 0..changes {
        let (at, len) = (usize::from(script.word()), usize::from(script.below(9)));
        for (at, &byte) in (at..).zip(script.take(len)) {
            let sector = at / SECTOR;
            let fresh = || base[sector * SECTOR..(sector + 1) * SECTOR].try_into().expect("a sector's length");
            disk.written.get_mut().entry(sector as u64).or_insert_with(fresh)[at % SECTOR] = byte;
        }
    }
    let Ok(mut volume) = Volume::mount(disk, options) else { return false };
    let mut nodes = vec![volume.root()];
    while !script.is_over() {
        volume.storage().requests.set(0);
        step(&script, &mut volume, &mut nodes);
    }
    volume.storage().requests.set(0);
    let _ = volume.unmount();
    let disk = volume.into_storage();
    disk.requests.set(0);
    assert!(Volume::mount(disk, options).is_ok(), "it could be mounted before");
    true
}

/// Does one thing.
fn step(script: &Script<'_>, volume: &mut Volume<Overlay>, nodes: &mut Vec<NodeId>) {
    let [action, first, second, name] = script.bytes();
    let node = nodes[usize::from(first) % nodes.len()];
    let other = nodes[usize::from(second) % nodes.len()];
    let new = NAMES[usize::from(name >> 4) % NAMES.len()].as_bytes();
    let name = NAMES[usize::from(name & 15) % NAMES.len()].as_bytes();
    let amount = u64::from(second) * 97;
    match action % 16 {
        0 => keep(nodes, volume.lookup(node, name)),
        1 => {
            // Whatever is there, by its own name.
            let mut cursor = 0;
            for _ in 0..second % 16 {
                let Ok(Some((entry, next))) = volume.list(node, cursor) else { break };
                assert!(next > cursor, "a list that goes backwards");
                let mut same = false;
                let shown = volume.list_names(node, cursor, |name, kind, at| {
                    same = (name, kind, at) == (entry.name.as_bytes(), entry.metadata.kind, next);
                    ControlFlow::Break(())
                });
                assert!(shown == Ok(()) && same, "two ways to list, and two answers");
                assert!(!entry.name.contains(['/', '\0']) && ![".", ".."].contains(&entry.name.as_str()));
                cursor = next;
                if nodes.len() < MOST_NODES {
                    keep(nodes, volume.lookup(node, entry.name.as_bytes()));
                }
            }
        }
        2 => keep(nodes, volume.create(node, name)),
        3 => keep(nodes, volume.create_directory(node, name)),
        4 => drop(volume.remove_file(node, name)),
        5 => drop(volume.remove_directory(node, name)),
        6 => drop(volume.rename(node, name, other, new)),
        7 | 8 => {
            let mut buffer = [0; 3_000];
            if let (Ok(count), Ok(metadata)) = (volume.read(node, amount, &mut buffer), volume.metadata(node)) {
                let expected = u64::from(metadata.size).saturating_sub(amount).min(3_000);
                assert_eq!(count as u64, expected, "a read that says something else than the size");
            }
        }
        9 | 10 => {
            if let Ok(count) = volume.write(node, amount, &[second; 1_500]) {
                assert!((1..=1_500).contains(&count));
                assert!(volume.metadata(node).is_ok_and(|metadata| u64::from(metadata.size) >= amount + count as u64));
            }
        }
        11 => drop(volume.set_len(node, amount)),
        12 => drop(volume.sync(node)),
        13 => {
            if let Ok(Some((sector, sectors))) = volume.extent(node, amount) {
                assert!(sectors > 0 && sector + sectors <= volume.storage().sectors(), "an extent beyond the disk");
            }
        }
        14 => {
            if node != volume.root() {
                nodes.retain(|&held| held != node);
                while volume.forget(node) != Err(Error::Stale) {}
            }
        }
        _ => {
            let time = Timestamp { seconds: amount << 20, nanoseconds: 0 };
            let _ = volume.set_times(node, Some(time), None);
            let _ = volume.stats();
            let _ = volume.sync_all();
        }
    }
}

fn keep(nodes: &mut Vec<NodeId>, node: Result<NodeId, Error>) {
    if let Ok(node) = node {
        nodes.push(node);
        // The oldest but the root makes room; it stays held, as by somebody who forgot to forget it.
        if nodes.len() > MOST_NODES {
            nodes.remove(1);
        }
    }
}

/// Inputs that use a volume as it is, and one each with a lie.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let list = [1, 0, 15, 0];
    let steps = |kind: u8, changes: &[&[u8]], steps: &[[u8; 4]]| {
        let mut input = vec![kind, changes.len() as u8];
        input.extend(changes.concat());
        input.extend(steps.concat());
        input
    };
    let all: Vec<[u8; 4]> = [list]
        .into_iter()
        .chain((2..16).flat_map(|action| (0..4).map(move |at| [action, at, at * 60, 0x13])))
        .collect();
    vec![
        ("honest_12", steps(0, &[], &all)),
        ("honest_16", steps(1, &[], &all)),
        ("honest_32", steps(2, &[], &all)),
        // The first clusters of the table are each other's next ones.
        ("loop_16", steps(1, &[&[4, 2, 4, 3, 0, 2, 0]], &all)),
        ("loop_32", steps(2, &[&[8, 16, 8, 2, 0, 0, 0, 3, 0, 0, 0]], &all)),
        ("no_volume", steps(0, &[&[0, 0, 1, 0]], &all)),
    ]
}
