//! Disks on every interface: what the guest's `block-check` writes, reads and reports, and what is in the image afterwards.
//!
//! ```text
//!   image --> cargo xtask run block-check --disk IMAGE --> guest: stamps on every sector, read and compared
//!     ^                                                        |
//!     +------------- the host compares, too -------------------+
//! ```
//!
//! The short form of each case goes with all others and takes seconds. The long form, of a gibibyte with 1, 32 and 128
//! requests in flight, is for `cargo xtask test --long --filter disks::`.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::image::stamps;
use crate::tool::{Finished, Tool};

/// Stamps of these cases have this seed.
const SEED: u64 = 29;

/// A way to a disk.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// For the names of cases.
    pub name: &'static str,
    /// Options of `run`.
    pub options: &'static [&'static str],
    /// What follows the image in `--disk`.
    pub disk: &'static str,
    /// More words for the guest.
    pub words: &'static str,
}

impl Way {
    const fn new(name: &'static str, options: &'static [&'static str], disk: &'static str) -> Self {
        Self { name, options, disk, words: "" }
    }
}

/// All of them.
pub const WAYS: [Way; 10] = [
    Way::new("virtio_on_microvm", &["--machine", "microvm"], ""),
    Way::new("legacy_virtio_on_microvm", &["--machine", "microvm", "--virtio", "legacy"], ""),
    Way::new("virtio_with_one_queue_on_4_cores_of_microvm", &["--machine", "microvm", "--cpus", "4"], ""),
    Way::new("virtio_with_one_queue_on_4_cores_of_q35", &["--machine", "q35", "--cpus", "4"], ",queues=1"),
    Way::new("virtio_with_4_queues_on_4_cores_of_q35", &["--machine", "q35", "--cpus", "4"], ",queues=4"),
    Way::new("virtio_on_pc", &["--machine", "pc"], ""),
    Way::new("legacy_virtio_on_pc", &["--machine", "pc"], ",if=virtio-legacy"),
    Way::new("legacy_virtio_with_4_queues_on_4_cores_of_pc", &["--machine", "pc", "--cpus", "4"], ",if=virtio-legacy"),
    Way::new("ata_on_pc", &["--machine", "pc"], ",if=ata"),
    Way { words: "ata=pio", ..Way::new("ata_without_dma_on_pc", &["--machine", "pc"], ",if=ata") },
];

/// Words of `--disk` for one disk of each kind that a machine has, and for all four drives of an IDE controller.
const EVERY_INTERFACE: [(&str, &[&str]); 3] = [
    ("microvm", &["", ",ro"]),
    ("q35", &["", ",if=virtio-legacy,queues=1"]),
    ("pc", &["", ",if=virtio-legacy", ",if=ata", ",if=ata", ",if=ata", ",if=ata", ",ro"]),
];

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in WAYS {
        let name = format!("disks::sectors_are_what_was_written_through_{}", way.name);
        cases.push(Case::new(name, move |tool| write_and_verify(tool, way, 16 << 20, 32)));
    }
    for depth in [1, 32, 128] {
        for way in WAYS {
            let name = format!("disks::gibibyte_is_what_was_written_through_{}_{depth}_at_a_time", way.name);
            cases.push(Case::new(name, move |tool| write_and_verify(tool, way, 1 << 30, depth)).long());
        }
    }
    cases.push(Case::new("disks::wrong_sectors_are_seen", wrong_sectors_are_seen));
    for kind in FAILING_KINDS {
        let name = format!("disks::failed_sectors_are_reported_and_no_others_by_{}", kind.name);
        cases.push(Case::new(name, move |tool| failures_are_reported(tool, kind)));
        let name = format!("disks::failed_flush_is_reported_by_{}", kind.name);
        cases.push(Case::new(name, move |tool| failed_flush_is_reported(tool, kind)));
    }
    for (machine, interfaces) in EVERY_INTERFACE {
        let name = format!("disks::kernel_tests_pass_on_all_cores_of_{machine}");
        cases.push(Case::new(name, move |tool| kernel_tests_pass(tool, machine, interfaces)));
    }
    cases.push(Case::new("disks::read_only_disk_is_read_and_not_written", read_only));
    cases
}

/// An empty image of so many bytes, in `directory`.
pub fn new_image(directory: &tempfile::TempDir, bytes: u64) -> Result<PathBuf, String> {
    let image = directory.path().join("disk.img");
    let made = File::create(&image).and_then(|file| file.set_len(bytes));
    made.map_err(|error| format!("{}: {error}", image.display()))?;
    Ok(image)
}

/// A directory for an image.
pub fn new_directory() -> Result<tempfile::TempDir, String> {
    tempfile::tempdir().map_err(|error| error.to_string())
}

/// Checks the sectors of an image against stamps of this seed and generation.
fn check_image(image: &Path, seed: u64, generation: u64) -> Result<(), String> {
    let file = File::open(image).map_err(|error| error.to_string())?;
    let sectors = file.metadata().map_err(|error| error.to_string())?.len() / stamps::SECTOR as u64;
    stamps::check(BufReader::with_capacity(1 << 20, file), sectors, seed, |_| generation..=generation)
        .map_err(|wrong| format!("{}: {wrong}", image.display()))
}

/// Runs `block-check` with `words` and the disk `image`.
fn block_check(tool: &Tool, way: Way, image: &Path, words: &str) -> Result<Finished, String> {
    let disk = format!("{}{}", image.display(), way.disk);
    let words = format!("{words} {}", way.words);
    let options = ["run", "block-check", "--nics", "0", "--timeout", "3000", "--disk", &disk, "--append", &words];
    tool.run(options.iter().chain(way.options).copied())
}

fn expect_passed(finished: &Finished) -> Result<(), String> {
    finished.expect_status(0)?.expect_line("the verdict", |line| line == "passed").map(drop)
}

fn write_and_verify(tool: &Tool, way: Way, bytes: u64, depth: u32) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_image(&directory, bytes)?;
    let words = format!("mode=both order=random depth={depth} flush=1000 seed={SEED} generation=3");
    let finished = block_check(tool, way, &image, &words)?;
    expect_passed(&finished)?;
    // For whoever looks at the figures.
    finished.stdout.lines().filter(|line| line.contains(" ns=")).for_each(|line| println!("{}: {line}", way.name));
    check_image(&image, SEED, 3)
}

/// Sectors that are not what they should be are named by the guest, each with what it is.
fn wrong_sectors_are_seen(tool: &Tool) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_image(&directory, 1 << 20)?;
    let words = |mode: &str| format!("mode={mode} seed={SEED}");
    expect_passed(&block_check(tool, WAYS[0], &image, &words("write"))?)?;
    check_image(&image, SEED, 1)?;

    let mut bytes = fs::read(&image).map_err(|error| error.to_string())?;
    let sector = |number: usize| number * stamps::SECTOR..(number + 1) * stamps::SECTOR;
    bytes.copy_within(sector(100), sector(200).start);
    bytes[sector(300)].fill(0);
    bytes[sector(400).start + 256] ^= 1;
    fs::write(&image, &bytes).map_err(|error| error.to_string())?;
    let finished = block_check(tool, WAYS[0], &image, &words("verify"))?;
    finished.expect_status(1)?.expect_output("3 problems")?;
    finished.expect_output("sector 200: it has sector 100, generation 1, seed 29")?;
    finished.expect_output("sector 300: it is all zeros")?.expect_output("sector 400: word 32 is wrong")?;
    let seen = check_image(&image, SEED, 1).err().unwrap_or_default();
    if seen.contains("3 sectors are wrong") { Ok(()) } else { Err(format!("the host has seen: {seen}")) }
}

/// Sectors that QEMU lets fail, and the disk's size.
const FAILING: std::ops::RangeInclusive<u64> = 5000..=5003;
const FAILING_BYTES: u64 = 8 << 20;
/// The longest request of `block-check`.
const LONGEST: u64 = 128;

/// A disk that QEMU lets fail.
#[derive(Clone, Copy)]
struct FailingKind {
    name: &'static str,
    machine: &'static str,
    device: &'static str,
    words: &'static str,
}

/// One of each driver, and of each way in which ATA moves data.
const FAILING_KINDS: [FailingKind; 3] = [
    FailingKind {
        name: "virtio",
        machine: "q35",
        device: "virtio-blk-pci,disable-legacy=on,request-merging=off,drive=disk",
        words: "",
    },
    FailingKind { name: "ata", machine: "pc", device: "ide-hd,bus=ide.0,drive=disk", words: "" },
    FailingKind { name: "ata_without_dma", machine: "pc", device: "ide-hd,bus=ide.0,drive=disk", words: "ata=pio" },
];

/// Runs `block-check` with `words` and an image of which QEMU lets fail what `rules` say, in the words of its `blkdebug`.
fn block_check_failing(
    tool: &Tool,
    FailingKind { machine, device, words: more, .. }: FailingKind,
    image: &Path,
    rules: &str,
    words: &str,
) -> Result<Finished, String> {
    let node = format!(
        "driver=raw,node-name=disk,file.driver=blkdebug,file.image.driver=file,file.image.filename={}{}",
        image.display(),
        rules.replace(",inject", ",file.inject")
    );
    let device = format!("{device},rerror=report,werror=report");
    let words = format!("{words} {more}");
    let options = ["run", "block-check", "--nics", "0", "--timeout", "300", "--machine", machine, "--append", &words];
    let qemu = ["--", "-blockdev", &node, "-device", &device];
    tool.run(options.iter().chain(&qemu).copied())
}

/// No flush is done, and the guest is told.
fn failed_flush_is_reported(tool: &Tool, kind: FailingKind) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_image(&directory, FAILING_BYTES)?;
    let rules = ",inject-error.0.event=none,inject-error.0.iotype=flush,inject-error.0.once=off";
    let finished = block_check_failing(tool, kind, &image, rules, &format!("mode=write seed={SEED}"))?;
    finished.expect_status(1)?.expect_output("flush: ")?;
    // The sectors themselves are written.
    check_image(&image, SEED, 1)
}

/// Requests to some sectors fail. Each of them is reported, and all others are done.
fn failures_are_reported(tool: &Tool, kind: FailingKind) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_image(&directory, FAILING_BYTES)?;
    let rule = |(number, sector)| {
        let rule = format!("inject-error.{number}");
        format!(",{rule}.event=none,{rule}.sector={sector},{rule}.once=off,{rule}.immediately=off")
    };
    let rules: String = (0..).zip(FAILING).map(rule).collect();
    let words = format!("order=random seed={SEED} expect_errors={}-{}", FAILING.start(), FAILING.end());
    let finished = block_check_failing(tool, kind, &image, &rules, &words)?;
    expect_passed(&finished)?;
    for what in ["write", "verify"] {
        let reported =
            |line: &str| line.contains("error at sector ") && line.contains(what) && line.ends_with(", as expected");
        finished.expect_line(&format!("an error of a {what}"), reported)?;
    }
    // A request that failed has taken its other sectors with it.
    let around = FAILING.start() - LONGEST..=FAILING.end() + LONGEST;
    let file = File::open(&image).map_err(|error| error.to_string())?;
    let generations = |sector: u64| if around.contains(&sector) { 0..=1 } else { 1..=1 };
    stamps::check(BufReader::new(file), FAILING_BYTES / stamps::SECTOR as u64, SEED, generations)
}

/// The kernel's own tests, with all disks at once, on 1, 2 and 4 cores.
fn kernel_tests_pass(tool: &Tool, machine: &'static str, interfaces: &[&str]) -> Result<(), String> {
    for cpus in ["1", "2", "4"] {
        let directories = interfaces.iter().map(|_| new_directory()).collect::<Result<Vec<_>, _>>()?;
        let mut disks = Vec::new();
        for (directory, words) in directories.iter().zip(interfaces) {
            disks.extend(["--disk".to_owned(), format!("{}{words}", new_image(directory, 32 << 20)?.display())]);
        }
        let words = format!("test=block disks={} watchdog=off", interfaces.len());
        let options = ["run", "kernel-tests", "--nics", "0", "--timeout", "300", "--machine", machine, "--cpus", cpus];
        let options = options.iter().copied().chain(["--append", &words]).chain(disks.iter().map(String::as_str));
        expect_passed(&tool.run(options)?)?;
    }
    Ok(())
}

/// A disk that is said to be read-only is: for QEMU, and for the guest, which is told.
fn read_only(tool: &Tool) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_image(&directory, 1 << 20)?;
    expect_passed(&block_check(tool, WAYS[0], &image, &format!("mode=write seed={SEED}"))?)?;
    let way = Way { disk: ",ro", ..WAYS[0] };
    expect_passed(&block_check(tool, way, &image, &format!("mode=verify seed={SEED}"))?)?;
    let finished = block_check(tool, way, &image, "mode=write generation=2 seed=30")?;
    finished.expect_status(1)?.expect_output("read-only")?;
    check_image(&image, SEED, 1)
}
