//! Power that fails below everything: files, FAT, the cache, the queue, and a disk that serves requests in any order.
//!
//! ```text
//!   Namespace --> Fat --> CachedDisk --> Queue --> Model, which loses power after so many writes and flushes
//!                                                    |
//!                  another mount  <--- medium: what was flushed, and any part of what was not
//! ```
//!
//! `tests/fat` shows that FAT asks for the right barriers, and the block layer's tests that the cache keeps them. Here both
//! are together: what an application was told is stable, is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use toro_fat::SECTOR;

use super::memory::{SECTORS, format_volume};
use super::*;
use crate::fs::block::CachedDisk;
use crate::fs::block::cache::Policy;
use crate::fs::block::tests::Machine;
use crate::fs::block::tests::device::Model;
use crate::fs::tests::writing::options;
use crate::io::Write;

/// Where the volume begins: not on a block of the cache, nor of anything else.
const FIRST: u64 = 63;
/// How many scripts there are, how long each is, and at how many places each is cut.
const SEEDS: u64 = 12;
const STEPS: usize = 60;
const CUTS: u64 = 6;
/// How often what is left is drawn.
const DRAWS: u64 = 3;

const DIRECTORIES: [&str; 3] = ["", "d/", "d/a directory with a long name/"];
const NAMES: [&str; 5] = ["A", "readme.md", "a file with a long name.text", "Übergröße", "b"];

/// Numbers as random as a test needs them.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A disk with an empty volume in its partition, and a cache.
struct Site {
    machine: Machine,
    disk: CachedDisk,
    namespace: Namespace,
}

impl Site {
    fn new(policy: Policy, seed: u64) -> Self {
        let model = Model::new(FIRST + SECTORS + 10);
        {
            let mut inner = model.lock();
            for (row, bytes) in inner.medium[FIRST as usize..].iter_mut().zip(format_volume().chunks(SECTOR)) {
                row.copy_from_slice(bytes);
            }
            inner.behaviour.order = seed;
            inner.behaviour.delay = (seed % 4) as usize;
        }
        let machine = Machine::new(model);
        let disk = CachedDisk::new(machine.volume(FIRST, SECTORS), policy, None);
        let platform = platform(Box::new(machine.pump.clone()));
        let file_system = Fat::mount(Box::new(disk.clone()), 16, platform).expect("it is in order");
        let namespace = Namespace::new();
        namespace.mount(b"/", file_system).expect("nothing is there");
        Self { machine, disk, namespace }
    }
}

/// What is done, and what has to be there.
struct Script {
    dice: Dice,
    files: BTreeMap<String, Vec<u8>>,
    /// Those that were synced and not touched since.
    synced: BTreeSet<String>,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self { dice: Dice(seed), files: BTreeMap::new(), synced: BTreeSet::new() }
    }

    fn path(&mut self) -> String {
        let (directory, name) = (self.dice.roll(3) as usize, self.dice.roll(5) as usize);
        format!("{}{}", DIRECTORIES[directory], NAMES[name])
    }

    fn contents(&mut self) -> Vec<u8> {
        // Past the cache, too.
        let length = if self.dice.roll(8) == 0 { 60_000 + self.dice.roll(90_000) } else { self.dice.roll(7_000) };
        let byte = self.dice.roll(256) as u8;
        (0..length).map(|at| (at / 7) as u8 ^ byte).collect()
    }

    fn run(&mut self, site: &Site) -> io::Result<()> {
        let namespace = &site.namespace;
        namespace.create_dir_all(DIRECTORIES[2].as_bytes())?;
        for _ in 0..STEPS {
            let path = self.path();
            match self.dice.roll(10) {
                0..3 => {
                    let contents = self.contents();
                    self.synced.remove(&path);
                    namespace.write(path.as_bytes(), &contents)?;
                    self.files.insert(path, contents);
                }
                3 if self.files.contains_key(&path) => {
                    let more = self.contents();
                    self.synced.remove(&path);
                    let append = options(|options| options.append(true));
                    namespace.open_with(path.as_bytes(), &append)?.write_all(&more)?;
                    self.files.get_mut(&path).expect("it is there").extend(more);
                }
                4 if self.files.contains_key(&path) => {
                    let new = self.path();
                    self.synced.remove(&path);
                    self.synced.remove(&new);
                    namespace.rename(path.as_bytes(), new.as_bytes())?;
                    let contents = self.files.remove(&path).expect("it is there");
                    self.files.insert(new, contents);
                }
                5 if self.files.contains_key(&path) => {
                    self.synced.remove(&path);
                    namespace.remove_file(path.as_bytes())?;
                    self.files.remove(&path);
                }
                6 => {
                    site.machine.pump.advance(Duration::from_secs(3));
                    if !site.disk.is_clean() {
                        site.disk.tend();
                    }
                }
                7 => {
                    namespace.sync()?;
                    self.synced.extend(self.files.keys().cloned());
                }
                _ if self.files.contains_key(&path) => {
                    namespace.open(path.as_bytes())?.sync_all()?;
                    self.synced.insert(path);
                }
                _ => {}
            }
        }
        namespace.sync()
    }
}

/// Cuts a run after `requests`; how many files were synced then.
fn cut(policy: Policy, seed: u64, requests: usize) -> usize {
    let what = || format!("seed {seed}, cut after {requests}");
    let site = Site::new(policy, seed);
    site.machine.model.lock().behaviour.until_cut = Some(requests);
    let mut script = Script::new(seed);
    let outcome = script.run(&site);
    assert!(outcome.is_err(), "{}: the end of the run needs the disk", what());
    let mut dice = Dice(seed << 16 | requests as u64);
    for draw in 0..DRAWS {
        let medium = site.machine.model.lock().after_cut(|_| match draw {
            0 => false,
            1 => dice.roll(8) > 0,
            _ => dice.roll(2) > 0,
        });
        let (before, rest) = medium.split_at(FIRST as usize);
        let (volume, behind) = rest.split_at(SECTORS as usize);
        let is_untouched = |row: &[u8; SECTOR], sector: u64| *row == [sector as u8; SECTOR];
        assert!(before.iter().zip(0..).all(|(row, sector)| is_untouched(row, sector)), "before the partition");
        assert!(behind.iter().zip(FIRST + SECTORS..).all(|(row, sector)| is_untouched(row, sector)), "behind it");

        let namespace = mounted(&Memory::of(volume.as_flattened().to_vec()));
        for path in &script.synced {
            let found = namespace.read(path.as_bytes());
            assert!(found.as_ref() == Ok(&script.files[path]), "{}: {path} is not what was synced", what());
        }
        read_all(&namespace, "/").unwrap_or_else(|error| panic!("{}: {error}", what()));
        namespace.write(b"after the cut", b"x").expect("the volume is of use");
        namespace.unmount_all();
    }
    script.synced.len()
}

/// Reads everything below a directory.
fn read_all(namespace: &Namespace, directory: &str) -> io::Result<()> {
    for entry in namespace.read_dir(directory.as_bytes())? {
        let entry = entry?;
        let path = format!("{directory}/{}", String::from_utf8_lossy(entry.file_name()));
        if entry.file_type()?.is_dir() {
            read_all(namespace, &path)?;
        } else {
            namespace.read(path.as_bytes())?;
        }
    }
    Ok(())
}

#[test]
#[cfg_attr(miri, ignore = "many runs")]
fn what_an_application_has_synced_survives_a_cut_at_any_request() {
    for policy in [Policy::WriteBack { bytes: 0 }, Policy::WriteThrough] {
        let mut synced = 0;
        for seed in 1..=SEEDS {
            let site = Site::new(policy, seed);
            Script::new(seed).run(&site).expect("nothing fails");
            let requests = site.machine.model.lock().changes as u64;
            let mut dice = Dice(seed);
            for _ in 0..CUTS {
                synced += cut(policy, seed, dice.roll(requests) as usize);
            }
        }
        assert!(synced as u64 > SEEDS * CUTS, "too little was synced for this to say anything: {synced}");
    }
}

/// The first mistake of an order of writes is often in the first few requests, so these are cut one by one.
#[test]
#[cfg_attr(miri, ignore = "many runs")]
fn a_file_that_replaces_another_is_the_old_or_the_new_one_after_a_cut_at_every_request() {
    let (old, new) = (vec![1; 3_000], vec![2; 70_000]);
    for requests in 0.. {
        let site = Site::new(Policy::WriteBack { bytes: 0 }, 1);
        let namespace = &site.namespace;
        let write = |path: &[u8], contents: &[u8]| {
            namespace.write(path, contents)?;
            namespace.open(path)?.sync_all()
        };
        write(b"file", &old).expect("nothing fails");
        site.machine.model.lock().behaviour.until_cut = Some(requests);
        let replace = || {
            write(b"draft", &new)?;
            namespace.rename(b"draft", b"file")?;
            namespace.sync()
        };
        let outcome = replace();
        let mut dice = Dice(requests as u64);
        for _ in 0..8 {
            let medium = site.machine.model.lock().after_cut(|_| dice.roll(2) > 0);
            let volume = &medium[FIRST as usize..(FIRST + SECTORS) as usize];
            let namespace = mounted(&Memory::of(volume.as_flattened().to_vec()));
            let found = namespace.read(b"file").unwrap_or_else(|error| panic!("after {requests}: {error}"));
            assert!(found == old || found == new, "after {requests}: neither the old one nor the new one");
            assert!(outcome.is_err() || found == new, "after {requests}: not what was synced");
            namespace.unmount_all();
        }
        if outcome.is_ok() {
            return;
        }
    }
}
