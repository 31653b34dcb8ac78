//! Partitions, from end to end: made by the host's tools, mounted where the command line says, used by all cores of a guest,
//! and looked at by the host's tools again, each by itself. What is beside a partition stays as it was.
//!
//! ```text
//!   sfdisk, sgdisk --> image --> guest: fs-check in each file system, block-check on one without --> fsck.fat, mtools, stamps
//!      mkfs.fat --------^
//! ```
//!
//! The short cases go with all others; 2,000 changes in each file system, and every depth, are for
//! `cargo xtask test --long --filter partitions::`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::disks::{new_directory, new_image};
use super::fat;
use crate::case::Case;
use crate::image::stamps;
use crate::manifest;
use crate::tool::{Finished, Tool};

/// Bytes in a sector.
const SECTOR: u64 = 512;
/// Random changes that take no long time.
const SOME: u32 = 300;
/// Of all images.
const BYTES: u64 = 128 << 20;

/// A partition: its number, its sectors, and the words that `mkfs.fat` makes its file system with.
type Part = (u32, Range<u64>, &'static [&'static str]);

/// A divided disk.
#[derive(Clone, Copy, Debug)]
struct Layout {
    name: &'static str,
    make: fn(&Path) -> Result<(), String>,
    parts: fn() -> [Part; 3],
}

/// An MBR: a primary partition, and in an extended one two logical ones, none of which begins on a block of 4 KiB.
const LOGICAL: Layout = Layout { name: "logical_partitions", make: make_mbr, parts: parts_of_mbr };
/// A GPT with one free place in its table.
const GPT: Layout = Layout { name: "a_gpt", make: make_gpt, parts: parts_of_gpt };

fn parts_of_mbr() -> [Part; 3] {
    [
        (1, 63..20_063, &["-F", "12"]),
        (5, 20_481..45_001, &["-F", "16", "-s", "2"]),
        (6, 90_033..250_000, &["-F", "32", "-s", "1"]),
    ]
}

fn make_mbr(image: &Path) -> Result<(), String> {
    let parts = parts_of_mbr();
    let line = |(_, sectors, _): &Part, system: &str| {
        format!("start={},size={},type={system}\n", sectors.start, sectors.end - sectors.start)
    };
    let extended = "start=20480,size=240000,type=f\n";
    let script =
        ["label: dos\n", &line(&parts[0], "1"), extended, &line(&parts[1], "e"), &line(&parts[2], "c")].concat();
    let mut command = Command::new(fat::program("sfdisk"));
    command.args(["--quiet", "--no-reread", "--no-tell-kernel"]).arg(image);
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(|error| format!("sfdisk: {error}"))?;
    let written = child.stdin.take().ok_or("sfdisk reads nothing")?.write_all(script.as_bytes());
    let status = child.wait().map_err(|error| error.to_string())?;
    if written.is_ok() && status.success() { Ok(()) } else { Err(format!("sfdisk: {status}\n{script}")) }
}

fn parts_of_gpt() -> [Part; 3] {
    [
        (1, 2_048..22_048, &["-F", "12"]),
        (3, 24_576..45_000, &["-F", "16", "-s", "4"]),
        (4, 90_112..260_000, &["-F", "32", "-s", "2"]),
    ]
}

fn make_gpt(image: &Path) -> Result<(), String> {
    let of = |(number, sectors, _): &Part| format!("{number}:{}:{}", sectors.start, sectors.end - 1);
    let [first, second, third] = parts_of_gpt().map(|part| of(&part));
    let image = image.to_string_lossy();
    fat::run("sgdisk", &["-a", "1", "-n", &first, "-n", &second, "-n", &third, &image]).map(drop)
}

/// A disk with this layout, and file systems in all partitions but the one with the number `raw`.
fn new_disk(directory: &tempfile::TempDir, layout: Layout, raw: Option<u32>) -> Result<PathBuf, String> {
    let image = new_image(directory, BYTES)?;
    (layout.make)(&image)?;
    for (number, sectors, words) in (layout.parts)().into_iter().filter(|part| Some(part.0) != raw) {
        let part = directory.path().join(format!("made{number}"));
        let made = File::create(&part).and_then(|file| file.set_len((sectors.end - sectors.start) * SECTOR));
        made.map_err(|error| error.to_string())?;
        fat::run("mkfs.fat", &[words, &[part.to_string_lossy().as_ref()]].concat())?;
        let bytes = fs::read(&part).map_err(|error| error.to_string())?;
        let mut file = File::options().write(true).open(&image).map_err(|error| error.to_string())?;
        let put = file.seek(SeekFrom::Start(sectors.start * SECTOR)).and_then(|_| file.write_all(&bytes));
        put.map_err(|error| error.to_string())?;
    }
    Ok(image)
}

/// A partition's bytes.
fn bytes_of(image: &Path, sectors: &Range<u64>) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; ((sectors.end - sectors.start) * SECTOR) as usize];
    let mut file = File::open(image).map_err(|error| error.to_string())?;
    let read = file.seek(SeekFrom::Start(sectors.start * SECTOR)).and_then(|_| file.read_exact(&mut bytes));
    read.map(|()| bytes).map_err(|error| error.to_string())
}

/// A partition in a file of its own, as `fsck.fat` wants it, which has nothing to say of it.
fn judged(directory: &tempfile::TempDir, image: &Path, part: &Part) -> Result<PathBuf, String> {
    let copy = directory.path().join(format!("part{}", part.0));
    fs::write(&copy, bytes_of(image, &part.1)?).map_err(|error| error.to_string())?;
    fat::run("fsck.fat", &["-n", &copy.to_string_lossy()]).map_err(|wrong| format!("partition {}: {wrong}", part.0))?;
    Ok(copy)
}

/// What lies outside of a partition.
fn bytes_beside(image: &Path, part: &Part) -> Result<Vec<u8>, String> {
    let sectors = BYTES / SECTOR;
    Ok([bytes_of(image, &(0..part.1.start))?, bytes_of(image, &(part.1.end..sectors))?].concat())
}

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let case = "partitions::changes_in_logical_partitions_are_what_fsck_and_mtools_find";
    cases.push(Case::new(case, |tool| changes(tool, LOGICAL, SOME)));
    cases.push(Case::new("partitions::sectors_of_a_gpt_are_what_was_written", |tool| sectors(tool, GPT, &[32])));
    for layout in [LOGICAL, GPT] {
        let name = layout.name;
        let case = format!("partitions::two_thousand_changes_in_{name}_are_what_fsck_and_mtools_find");
        cases.push(Case::new(case, move |tool| changes(tool, layout, 2_000)).long());
        let case = format!("partitions::sectors_of_{name}_are_what_was_written_at_every_depth");
        cases.push(Case::new(case, move |tool| sectors(tool, layout, &[1, 32, 128])).long());
    }
    cases.push(Case::new("partitions::files_of_all_cores_are_there_after_another_boot", kept));
    cases
}

fn run(tool: &Tool, name: &str, disk: &str, words: &str, more: &[&str]) -> Result<Finished, String> {
    let options = ["run", name, "--nics", "0", "--timeout", "900", "--disk", disk, "--append", words];
    tool.run(options.iter().chain(more).copied())
}

fn expect_passed(finished: &Finished) -> Result<(), String> {
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed").map(drop)
}

/// The rules and random changes of `fs-check` on each file system of a disk, beside a model in the guest; then the host's
/// tools find the same names, lengths and bytes.
fn changes(tool: &Tool, layout: Layout, most: u32) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_disk(&directory, layout, None)?;
    let parts = (layout.parts)();
    let mounts: Vec<_> = parts.iter().map(|(number, ..)| format!("mount=virtio-blk0p{number}:/at{number}")).collect();
    for part in &parts {
        let beside = bytes_beside(&image, part)?;
        // The first one, of FAT12, is small.
        let operations = if part.0 == 1 { SOME } else { most };
        let words = format!("{} path=/at{} operations={operations} seed={}", mounts.join(" "), part.0, part.0);
        let machine = ["--machine", "q35", "--cpus", "2", "--memory", "256"];
        expect_passed(&run(tool, "fs-check", &image.to_string_lossy(), &words, &machine)?)?;
        if bytes_beside(&image, part)? != beside {
            return Err(format!("something beside partition {} has changed", part.0));
        }
        let copy = judged(&directory, &image, part)?;
        let (copy, found) = (copy.to_string_lossy(), directory.path().join(format!("found{}", part.0)));
        fs::create_dir(&found).map_err(|error| error.to_string())?;
        let manifest = fat::run("mtype", &["-i", &copy, "::/check.manifest"])?;
        fat::run("mcopy", &["-s", "-i", &copy, "::/check", &found.to_string_lossy()])?;
        let text = String::from_utf8(manifest).map_err(|error| error.to_string())?;
        let lines = manifest::compare_contents(&text, &found.join("check"))?;
        println!("partition {}: {lines} names are the same", part.0);
    }
    parts.iter().try_for_each(|part| judged(&directory, &image, part).map(drop))
}

/// A partition, raw, with so many requests in flight on each of four cores. Its neighbours are mounted, and refused.
fn sectors(tool: &Tool, layout: Layout, depths: &[u32]) -> Result<(), String> {
    let directory = new_directory()?;
    let parts = (layout.parts)();
    let part = &parts[1];
    let image = new_disk(&directory, layout, Some(part.0))?;
    let beside = bytes_beside(&image, part)?;
    for (generation, depth) in (1..).zip(depths) {
        let name = format!("virtio-blk0p{}", part.0);
        let words = format!("disk={name} order=random depth={depth} seed=5 generation={generation} flush=100");
        let machine = ["--machine", "q35", "--cpus", "4", "--memory", "256"];
        expect_passed(&run(tool, "block-check", &image.to_string_lossy(), &words, &machine)?)?;
        let bytes = bytes_of(&image, &part.1)?;
        stamps::check(&bytes[..], part.1.end - part.1.start, 5, |_| generation..=generation)?;
        if bytes_beside(&image, part)? != beside {
            return Err(format!("something beside {name} has changed, {depth} at a time"));
        }
    }
    for name in ["virtio-blk0".to_owned(), format!("virtio-blk0p{}", parts[2].0)] {
        let finished = run(tool, "block-check", &image.to_string_lossy(), &format!("disk={name}"), &[])?;
        finished.expect_status(1)?.expect_output(&format!("disk {name}: resource busy"))?;
        finished.expect_output("it, or a part of it, is mounted")?;
    }
    if bytes_beside(&image, part)? == beside { Ok(()) } else { Err("a file system was written to".to_owned()) }
}

/// Everything that changes files, by threads of four cores; then the same disk again, and again for reading only.
fn kept(tool: &Tool) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_disk(&directory, GPT, None)?;
    let part = &parts_of_gpt()[2];
    let disk = image.to_string_lossy();
    let machine = ["--machine", "q35", "--cpus", "4", "--memory", "256"];
    let words = |test: &str| format!("test={test} mount=virtio-blk0p4:/data path=/data cores=4 watchdog=off");
    expect_passed(&run(tool, "kernel-tests", &disk, &words("files-write"), &machine)?)?;
    judged(&directory, &image, part)?;
    expect_passed(&run(tool, "kernel-tests", &disk, &words("files-kept"), &machine)?)?;
    let copy = judged(&directory, &image, part)?;
    let copy = copy.to_string_lossy();
    let numbers: String = (0..30_000).map(|number| format!("{number}\n")).collect();
    if fat::run("mtype", &["-i", &copy, "::/kept/numbers"])? != numbers.as_bytes() {
        return Err("the host finds other numbers".to_owned());
    }
    if fat::run("mtype", &["-i", &copy, "::/kept/A Long Name, Größer.txt"])? != b"hello\n" {
        return Err("the host finds another greeting".to_owned());
    }
    let before = fs::read(&image).map_err(|error| error.to_string())?;
    let words = words("files-read-only").replace("path=/data", "path=/data/kept");
    let finished = run(tool, "kernel-tests", &format!("{disk},ro"), &words, &machine)?;
    expect_passed(&finished)?;
    finished.expect_output("\"virtio-blk0p4\" is mounted at /data, read-only")?;
    let after = fs::read(&image).map_err(|error| error.to_string())?;
    if after == before { Ok(()) } else { Err("a disk that is read-only has changed".to_owned()) }
}
