//! Volumes of mkfs.fat, used by us, judged by fsck.fat and mtools; and the other way around.

use fat_tests::memory::Memory;
use fat_tests::model::{Tree, difference, tree_of};
use fat_tests::script::Script;
use fat_tests::tools::{fsck, mkfs, mtools_tree, mtools_write};
use fat_tests::{OPTIONS, effort};
use toro_fat::{FatKind, Volume};

/// Volumes: KiB, words for mkfs.fat, what they are.
const VOLUMES: [(u64, &[&str], FatKind); 9] = [
    (720, &["-F", "12", "-s", "2"], FatKind::Fat12),
    (1440, &["-F", "12", "-s", "1", "-f", "1"], FatKind::Fat12),
    (20_000, &["-F", "12", "-s", "32"], FatKind::Fat12),
    (4_400, &["-F", "16", "-s", "1"], FatKind::Fat16),
    (40_000, &["-F", "16", "-s", "4"], FatKind::Fat16),
    (150_000, &["-F", "16", "-s", "64"], FatKind::Fat16),
    (36_000, &["-F", "32", "-s", "1"], FatKind::Fat32),
    (8_000, &["-F", "32", "-s", "8"], FatKind::Fat32),
    (40_000, &["-F", "32", "-s", "64"], FatKind::Fat32),
];

/// A path with the characters that mtools has: its names are UCS-2.
fn as_mtools_says(path: &str) -> String {
    path.chars().map(|character| if character > '\u{ffff}' { "__".to_owned() } else { character.to_string() }).collect()
}

/// Runs `steps` random operations and has the result judged.
fn soak((kib, words, kind): (u64, &[&str], FatKind), seed: u64, steps: u64) {
    let what = format!("{kib} KiB, {words:?}, seed {seed}");
    let mut volume = Volume::mount(Memory::new(mkfs(kib, words)), OPTIONS).expect("mkfs.fat made it");
    let stats = volume.stats().expect("it can be counted");
    assert_eq!(stats.kind, kind, "{what}");
    let largest = u64::from(stats.cluster_size) * 4 + 3000;
    let mut script = Script::new(seed, Tree::new(), largest.min(40_000));
    for step in 0..steps {
        script.step(&mut volume).unwrap_or_else(|error| panic!("{what}, step {step}: {error}"));
        if step == steps / 2 {
            // Over to a new mount, in the middle of everything.
            volume.unmount().expect("nothing fails");
            volume = Volume::mount(volume.into_storage(), OPTIONS).expect("it was one before");
        }
    }
    let tree = tree_of(&mut volume, 16).expect("nothing fails");
    assert_eq!(difference(&tree, &script.tree), None, "{what}: ours");
    volume.unmount().expect("nothing fails");
    let image = volume.into_storage().image();
    assert_eq!(fsck(&image), [""; 0], "{what}");
    // mtools goes by the number of clusters, and takes a FAT32 with few of them for something else.
    if kind != FatKind::Fat32 || stats.clusters > 65_524 {
        let tree: Tree = script.tree.into_iter().map(|(path, contents)| (as_mtools_says(&path), contents)).collect();
        assert_eq!(difference(&mtools_tree(&image), &tree), None, "{what}: mtools'");
    }
}

#[test]
fn two_thousand_operations_leave_what_fsck_and_mtools_agree_with() {
    for round in 0..effort() {
        for (number, volume) in VOLUMES.into_iter().enumerate() {
            // 2,000 in all by default.
            let steps = if effort() > 1 { 2_000 } else { 240 };
            soak(volume, round * 100 + number as u64, steps);
        }
    }
}

#[test]
fn files_of_mtools_are_read() {
    for (kib, words, _) in [VOLUMES[0], VOLUMES[4], VOLUMES[6]] {
        let mut files = Tree::new();
        for (path, len) in [
            ("SHORT.TXT", 10),
            ("lower.txt", 600),
            ("Mixed Case and spaces.text", 5_000),
            ("Übergröße.dat", 70_000),
            ("empty", 0),
        ] {
            files.insert(path.to_owned(), Some((0..len).map(|at| (at % 251) as u8).collect()));
        }
        files.insert("A directory".to_owned(), None);
        files.insert("A directory/deeper".to_owned(), None);
        for number in 0..60 {
            files.insert(format!("A directory/file number {number}"), Some(vec![number; usize::from(number) * 30]));
        }
        let image = mtools_write(&mkfs(kib, words), &files);
        let mut volume = Volume::mount(Memory::new(image.clone()), OPTIONS).expect("mkfs.fat made it");
        let tree = tree_of(&mut volume, 16).expect("nothing fails");
        assert_eq!(difference(&tree, &files), None, "{words:?}");
        volume.unmount().expect("nothing fails");
        assert!(volume.into_storage().image() == image, "reading changes nothing");
    }
}
