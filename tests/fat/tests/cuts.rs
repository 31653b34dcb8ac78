//! Power that fails, at any request: what was synced is whole, and nothing is wrong that a crash may not do.
//!
//! The disk keeps what was flushed apart from what was not. After the cut, each sector holds what it held at some moment
//! since the last flush, chosen at random.

use std::collections::HashMap;

use fat_tests::memory::Memory;
use fat_tests::model::{Tree, read_all, tree_of, walk};
use fat_tests::random::Random;
use fat_tests::script::Script;
use fat_tests::tools::{fsck, mkfs};
use fat_tests::{OPTIONS, effort, skeleton};
use toro_fat::{Error, FatKind, SECTOR, StorageError, Volume};

/// What fsck.fat may say after a cut: on the left what it says, on the right why.
const ALLOWED: [(&str, &str); 19] = [
    ("Warning: Filesystem is FAT32 according to", "it is a small one"),
    ("This may lead to problems", "as before"),
    ("This is mostly harmless", "as below"),
    ("Dirty bit", "the volume was in use"),
    ("Automatically removing dirty bit", "the volume was in use"),
    ("There are differences between boot sector and its backup", "the mark of a volume in use is in one only"),
    ("Differences: (offset:original/backup)", "as before"),
    ("65:01/00", "as before"),
    ("Not automatically fixing this", "as before"),
    ("FATs differ", "one copy is newer"),
    ("Using first FAT", "as before"),
    ("Reclaimed", "clusters that belong to nobody"),
    ("Auto-correcting", "of the free count"),
    ("Orphaned long file name part", "a name of more than 195 characters, which has more than one sector"),
    ("Auto-deleting", "as before"),
    ("Long filename fragment", "as before"),
    ("(Maybe the start bit is missing", "as before"),
    ("Not auto-correcting this", "as before"),
    ("Free cluster summary", "it is written when the volume is left in order"),
];

/// Checks that no two files have a sector in common, unless they begin with the same one: both names in the middle of a
/// renaming. Whether there are such pairs.
fn has_renamed_files(volume: &mut Volume<Memory>, tree: &Tree) -> Result<bool, Error> {
    let mut owners: HashMap<u64, (u64, &str)> = HashMap::new();
    let mut is_pair = false;
    for path in tree.iter().filter(|(_, contents)| contents.is_some()).map(|(path, _)| path) {
        let node = walk(volume, path)?;
        let mut offset = 0;
        let mut first = None;
        while let Some((sector, sectors)) = volume.extent(node, offset)? {
            let first = *first.get_or_insert(sector);
            for sector in sector..sector + sectors {
                if let Some((other, name)) = owners.insert(sector, (first, path)) {
                    assert_eq!(other, first, "{path:?} and {name:?} have sector {sector} in common");
                    is_pair = true;
                }
            }
            offset += sectors * SECTOR as u64;
        }
        volume.forget(node)?;
    }
    Ok(is_pair)
}

/// Complaints about an image after a cut that a crash does not excuse. Two names for the same clusters are what
/// `has_renamed` says.
fn complaints(image: &[u8], has_renamed: bool) -> Vec<String> {
    let mut bad = Vec::new();
    let mut excess = false;
    for line in fsck(image) {
        // Four lines: one name, the other one, that they share clusters, and what is done about it. The tool cuts the second
        // one off; if it is a directory, what it says afterwards follows from that.
        if line.contains("share clusters") && has_renamed {
            bad.truncate(bad.len().saturating_sub(2));
            continue;
        }
        if line.contains("Truncating second to 0 bytes") && has_renamed {
            continue;
        }
        // Both names of a directory, but it has one parent.
        if line.contains("Invalid '..' entry") && has_renamed {
            bad.pop();
            continue;
        }
        // What is left of that second one; that no chain is too short has been seen by reading all files.
        if line.contains("cluster chain length is 0 bytes") && has_renamed {
            excess = true;
            bad.pop();
            continue;
        }
        // A chain longer than its file: the clusters were there, the size was not. The line before names the file.
        if line.contains("cluster chain length is >") {
            excess = true;
            bad.pop();
            continue;
        }
        if excess && line.contains("Truncating file to") {
            excess = false;
            continue;
        }
        excess = false;
        let is_allowed =
            ALLOWED.iter().any(|(allowed, _)| line.trim_start().starts_with(allowed)) || line.trim().is_empty();
        if !is_allowed {
            bad.push(line);
        }
    }
    // The last two lines are the verdict and the summary.
    bad.retain(|line| !line.contains("Leaving filesystem unchanged") && !line.contains(" clusters"));
    bad
}

/// Runs random operations until the power fails after `requests`, and returns what was synced then.
fn run_until_cut(volume: &mut Volume<Memory>, script: &mut Script, steps: u64) -> Result<(), Error> {
    for _ in 0..steps {
        script.step(volume)?;
    }
    volume.sync_all()?;
    volume.unmount()
}

fn cut(image: &[u8], seed: u64, steps: u64, requests: u64, what: &str) -> u64 {
    let mut volume = Volume::mount(Memory::with_cut(image.to_vec(), requests), OPTIONS).expect("nothing is cut yet");
    let mut script = Script::new(seed, Tree::new(), 6_000);
    match run_until_cut(&mut volume, &mut script, steps) {
        Ok(()) => {}
        Err(Error::Storage(StorageError::Failed)) => assert!(volume.storage().is_cut()),
        Err(error) => panic!("{what}: {error}"),
    }
    let kind = volume.stats().map_or(FatKind::Fat12, |stats| stats.kind);
    let disk = volume.into_storage();
    let mut random = Random::new(seed ^ requests);
    for draw in 0..3 {
        let after = disk.image_after_cut(&mut random);
        let mut volume = Volume::mount(Memory::new(after.clone()), OPTIONS).expect("it mounts after a cut");
        for path in &script.synced {
            let node = walk(&mut volume, path).unwrap_or_else(|error| panic!("{what}: {path} is lost: {error}"));
            let contents = read_all(&mut volume, node).unwrap_or_else(|error| panic!("{what}: {path}: {error}"));
            assert!(Some(&contents) == script.tree[path].as_ref(), "{what}: {path} is not what was synced");
            volume.forget(node).expect("it is held");
        }
        let tree = tree_of(&mut volume, 16).unwrap_or_else(|error| panic!("{what}: {error}"));
        if kind != FatKind::Fat12 {
            let renamed = has_renamed_files(&mut volume, &tree).unwrap_or_else(|error| panic!("{what}: {error}"));
            if draw > 0 && effort() == 1 {
                // A process each takes longer than everything else.
                continue;
            }
            let complaints = complaints(&after, renamed || script.has_moved_directories);
            assert!(complaints.is_empty(), "{what}: {}", complaints.join("\n"));
        }
    }
    script.synced.len() as u64
}

/// Cuts runs on this volume at many places.
fn cuts(image: &[u8], steps: u64, runs: u64, what: &str) {
    let mut synced = 0;
    for seed in 0..runs * effort() {
        // How many requests the run has if nobody cuts it.
        let mut volume = Volume::mount(Memory::new(image.to_vec()), OPTIONS).expect("it is a volume");
        run_until_cut(&mut volume, &mut Script::new(seed, Tree::new(), 6_000), steps).expect("nothing fails");
        let [_, writes, flushes] = volume.into_storage().requests();
        let mut random = Random::new(seed);
        for _ in 0..8 {
            let at = random.below(writes + flushes);
            synced += cut(image, seed, steps, at, &format!("{what}, seed {seed}, cut after {at}"));
        }
    }
    assert!(synced > runs, "too little was synced for this to say anything: {synced}");
}

#[test]
fn what_was_synced_survives_on_fat12() {
    cuts(&skeleton::volume(FatKind::Fat12), 80, 12, "FAT12");
}

#[test]
fn what_was_synced_survives_on_fat16() {
    cuts(&mkfs(4_400, &["-F", "16", "-s", "1"]), 80, 12, "FAT16");
}

#[test]
fn what_was_synced_survives_on_fat32() {
    cuts(&mkfs(3_000, &["-F", "32", "-s", "1"]), 80, 12, "FAT32");
}

/// Names, and what each file contains.
const OLD: &[u8] = &[1; 3_000];
const NEW: &[u8] = &[2; 2_000];

/// Cuts `operation` at every request. Before it, `from/draft` has the new contents and `to/file` the old ones, all synced.
fn cut_everywhere(
    kind: FatKind,
    operation: fn(&mut Volume<Memory>) -> Result<(), Error>,
    check: fn(&[Option<Vec<u8>>; 3]),
) {
    let mut volume = Volume::mount(Memory::new(skeleton::volume(kind)), OPTIONS).expect("it is a volume");
    let root = volume.root();
    for (directory, name, contents) in [("from", "draft", NEW), ("to", "file", OLD)] {
        let directory = volume.create_directory(root, directory.as_bytes()).expect("there is room");
        let file = volume.create(directory, name.as_bytes()).expect("there is room");
        volume.write(file, 0, contents).expect("there is room");
        volume.sync(file).expect("nothing fails");
    }
    volume.sync_all().expect("nothing fails");
    let image = volume.into_storage().image();
    let mut random = Random::new(5);
    for requests in 0.. {
        let mut volume = Volume::mount(Memory::with_cut(image.clone(), requests), OPTIONS).expect("nothing is cut yet");
        let done = operation(&mut volume).and_then(|()| volume.sync_all());
        let disk = volume.into_storage();
        for _ in 0..12 {
            let after = Memory::new(disk.image_after_cut(&mut random));
            let mut volume = Volume::mount(after, OPTIONS).expect("it mounts after a cut");
            let found = ["from/draft", "to/file", "to/another name"].map(|path| {
                let node = walk(&mut volume, path).ok()?;
                Some(read_all(&mut volume, node).unwrap_or_else(|error| panic!("{path} after {requests}: {error}")))
            });
            check(&found);
        }
        if done.is_ok() {
            break;
        }
    }
}

#[test]
fn renamed_file_has_one_of_its_names_at_any_moment() {
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let rename = |volume: &mut Volume<Memory>| {
            let (from, to) = (walk(volume, "from")?, walk(volume, "to")?);
            volume.rename(from, b"draft", to, b"another name")
        };
        cut_everywhere(kind, rename, |[draft, file, another]| {
            assert_eq!(file.as_deref(), Some(OLD));
            let names = [draft, another].map(|contents| contents.as_deref());
            assert!(names.contains(&Some(NEW)), "the file is lost");
            assert!(names.iter().all(|contents| contents.is_none_or(|contents| contents == NEW)));
        });
    }
}

#[test]
fn file_that_is_replaced_is_the_old_or_the_new_one_at_any_moment() {
    for kind in [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32] {
        let replace = |volume: &mut Volume<Memory>| {
            let (from, to) = (walk(volume, "from")?, walk(volume, "to")?);
            volume.rename(from, b"draft", to, b"file")
        };
        cut_everywhere(kind, replace, |[draft, file, _]| {
            let contents = file.as_deref();
            assert!(contents == Some(OLD) || contents == Some(NEW), "the file is lost");
            assert!(contents == Some(NEW) || draft.as_deref() == Some(NEW), "the draft is lost");
        });
    }
}
