//! Power cuts: what a guest was told is stable, is.
//!
//! `block-check` with `mode=cut` writes one generation of stamps after the other, and after each flush says what must be
//! on the disk from then on. Three ways to lose the rest:
//!
//! | how | what it shows |
//! |---|---|
//! | QEMU is killed; the image is a raw file, and the host remembers what QEMU wrote | nothing completes before it is done |
//! | QEMU is killed; the image is qcow2, whose tables QEMU keeps to itself until a flush | the guest's flush is one |
//! | every write is logged; each flush in turn is taken for the moment of the cut, and all behind it is lost | every flush comes after the writes that it is for |
//!
//! QEMU is killed at a random moment, after a random number of flushes. Three cuts of each kind go with all other tests;
//! `cargo xtask test --long --filter cuts::` makes a hundred.

use std::cell::Cell;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::disks::{Way, new_directory, new_image};
use crate::case::Case;
use crate::image::qcow2;
use crate::image::stamps::{self, Content};
use crate::image::write_log::{self, Event};
use crate::tool::Tool;

/// The disk's size: some hundred requests, and some ten flushes of each generation.
const BYTES: u64 = 4 << 20;
const SECTORS: u64 = BYTES / stamps::SECTOR as u64;
const SEED: u64 = 31;
/// The least number of flushes before a cut, and the most.
const FLUSHES: RangeInclusive<u64> = 1..=60;

const VIRTIO: Way = Way { name: "virtio", options: &["--machine", "microvm"], disk: "", words: "" };
const ATA: Way = Way { name: "ata", options: &["--machine", "pc"], disk: ",if=ata", words: "" };

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for way in [VIRTIO, ATA] {
        let name = way.name;
        let raw = format!("cuts::nothing_flushed_is_lost_with_qemu_through_{name}");
        let cached = format!("cuts::nothing_flushed_is_lost_with_the_cache_of_qemu_through_{name}");
        let every = format!("cuts::every_flush_comes_after_its_writes_through_{name}");
        for (is_long, cuts) in [(false, 3), (true, 100)] {
            let of_kind = |case: Case| if is_long { case.long() } else { case };
            let suffix = if is_long { "_a_hundred_times" } else { "" };
            let is_short_enough = is_long || name == "virtio";
            if is_short_enough {
                cases.push(of_kind(Case::new(format!("{raw}{suffix}"), move |tool| cut(tool, way, Image::Raw, cuts))));
            }
            cases.push(of_kind(Case::new(format!("{cached}{suffix}"), move |tool| cut(tool, way, Image::Qcow2, cuts))));
            let generations = if is_long { 100 } else { 3 };
            cases.push(of_kind(Case::new(format!("{every}{suffix}"), move |tool| log_holds(tool, way, generations))));
        }
    }
    cases
}

/// Format of the image.
#[derive(Clone, Copy, Debug)]
enum Image {
    Raw,
    Qcow2,
}

/// What the guest says is stable: sectors before `end` have `generation` or a later one, all others the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    generation: u64,
    end: u64,
}

impl Claim {
    fn in_line(line: &str) -> Option<Self> {
        let (generation, end) = line.strip_prefix("flushed ")?.split_once(' ')?;
        Some(Self { generation: generation.parse().ok()?, end: end.parse().ok()? })
    }

    /// The oldest generation that a sector may have.
    fn oldest(self, sector: u64) -> u64 {
        if sector < self.end { self.generation } else { self.generation.saturating_sub(1) }
    }

    /// Checks the contents of a disk.
    fn check(self, contents: impl std::io::Read) -> Result<(), String> {
        stamps::check(contents, SECTORS, SEED, |sector| self.oldest(sector)..=u64::MAX)
            .map_err(|wrong| format!("after {self:?}: {wrong}"))
    }
}

/// A number of any size.
fn random(range: RangeInclusive<u64>) -> u64 {
    let number = RandomState::new().build_hasher().finish();
    range.start() + number % (range.end() - range.start() + 1)
}

fn cut(tool: &Tool, way: Way, format: Image, cuts: u32) -> Result<(), String> {
    (1..=cuts).try_for_each(|number| cut_once(tool, way, format).map_err(|wrong| format!("cut {number}: {wrong}")))
}

fn cut_once(tool: &Tool, way: Way, format: Image) -> Result<(), String> {
    let directory = new_directory()?;
    let image = match format {
        Image::Raw => new_image(&directory, BYTES)?,
        Image::Qcow2 => {
            let image = directory.path().join("disk.qcow2");
            fs::write(&image, qcow2::empty(BYTES)).map_err(|error| error.to_string())?;
            image
        }
    };
    let pid_file = directory.path().join("pid");
    let disk = format!("{}{}", image.display(), way.disk);
    // In qcow2 it is the first generation that can be lost: each write of it needs room in the tables.
    let words = format!("mode=cut flush=4 seed={SEED}");
    let options = ["run", "block-check", "--nics", "0", "--timeout", "600", "--disk", &disk, "--append", &words];
    let qemu = ["--", "-pidfile", &pid_file.to_string_lossy()];
    let mut running = tool.start(options.iter().chain(way.options).chain(&qemu).copied(), &[])?;
    let wanted = random(FLUSHES);
    let flushes = Cell::new(0);
    running.await_line(|line| {
        flushes.set(flushes.get() + u64::from(Claim::in_line(line).is_some()));
        (flushes.get() >= wanted).then_some(())
    })?;
    std::thread::sleep(Duration::from_micros(random(0..=20_000)));
    kill(&pid_file)?;
    let finished = running.finish()?;
    let claim = finished.stdout.lines().rev().find_map(Claim::in_line).ok_or("the guest has flushed nothing")?;
    match format {
        Image::Raw => claim.check(File::open(&image).map_err(|error| error.to_string())?),
        Image::Qcow2 => claim.check(&qcow2::read(&fs::read(&image).map_err(|error| error.to_string())?)?[..]),
    }
}

/// Kills the process whose number is in this file.
fn kill(pid_file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(pid_file).map_err(|error| format!("{}: {error}", pid_file.display()))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or("QEMU has written no process number")?;
    rustix::process::kill_process(pid, Signal::KILL).map_err(|error| format!("cannot kill QEMU: {error}"))
}

/// Logs all writes; for each flush, checks what the disk would have if the power went then.
fn log_holds(tool: &Tool, way: Way, generations: u64) -> Result<(), String> {
    let directory = new_directory()?;
    let image = new_image(&directory, BYTES)?;
    let log = directory.path().join("log");
    File::create(&log).map_err(|error| error.to_string())?;
    let node = format!(
        "driver=blklogwrites,node-name=disk,log-sector-size={},file.driver=file,file.filename={},log.driver=file,log.filename={}",
        stamps::SECTOR,
        image.display(),
        log.display()
    );
    let device = match way.name {
        "ata" => "ide-hd,drive=disk",
        _ => "virtio-blk-device,drive=disk",
    };
    let words = format!("mode=cut flush=4 seed={SEED} generations={generations}");
    let options = ["run", "block-check", "--nics", "0", "--timeout", "600", "--append", &words];
    let qemu = ["--", "-blockdev", &node, "-device", device];
    let finished = tool.run(options.iter().chain(way.options).chain(&qemu).copied())?;
    finished.expect_status(0)?;
    let claims: Vec<_> = finished.stdout.lines().filter_map(Claim::in_line).collect();
    let log = fs::read(&log).map_err(|error| error.to_string())?;
    flushes_keep(&claims, &write_log::events(&log)?)
}

/// Checks that the writes before the flush number *n* make the claim number *n* true.
fn flushes_keep(claims: &[Claim], events: &[Event<'_>]) -> Result<(), String> {
    let mut disk = [0; SECTORS as usize];
    let mut claims_left = claims.iter();
    for event in events {
        match event {
            Event::Write(first, data) => {
                for (sector, bytes) in (*first..).zip(data.as_chunks().0) {
                    let place = disk.get_mut(sector as usize).ok_or("a write behind the end of the disk")?;
                    *place = generation(sector, bytes)?;
                }
            }
            Event::Flush => {
                let Some(claim) = claims_left.next() else { continue };
                let is_lost = |(sector, generation): &(u64, &u64)| **generation < claim.oldest(*sector);
                if let Some((sector, generation)) = (0..).zip(&disk).find(is_lost) {
                    return Err(format!("sector {sector} has generation {generation} at the flush of {claim:?}"));
                }
            }
        }
    }
    match claims_left.len() {
        0 if !claims.is_empty() => Ok(()),
        left => Err(format!("{left} of {} flushes have not reached the disk", claims.len())),
    }
}

/// The generation of the stamp that was written to a sector.
fn generation(place: u64, bytes: &[u8; stamps::SECTOR]) -> Result<u64, String> {
    match Content::of(bytes) {
        Content::Stamp { sector, generation, seed } if (sector, seed) == (place, SEED) => Ok(generation),
        other => Err(format!("{other:?} was written to sector {place}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_short_claims_less_or_nothing() {
        assert_eq!(Claim::in_line("flushed 12 2048"), Some(Claim { generation: 12, end: 2048 }));
        assert_eq!(Claim::in_line("flushed 12 20"), Some(Claim { generation: 12, end: 20 }));
        for line in ["flushed 1", "flushed 12 ", "flushed ", "block-check: flushed 1 2"] {
            assert_eq!(Claim::in_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_flush_that_comes_too_early_or_not_at_all_is_seen() {
        // What `block-check` writes to sector 0.
        let mut stamp = [0; stamps::SECTOR];
        stamps::guest::Stamp { sector: 0, generation: 1, seed: SEED }.write(&mut stamp);
        let (write, claim) = (Event::Write(0, &stamp), Claim { generation: 1, end: 1 });
        assert_eq!(flushes_keep(&[claim], &[write, Event::Flush]), Ok(()));
        let wrong = flushes_keep(&[claim], &[Event::Flush, write]).unwrap_err();
        assert!(wrong.starts_with("sector 0 has generation 0 at the flush"), "{wrong}");
        assert!(flushes_keep(&[claim, claim], &[write, Event::Flush]).is_err());
        assert!(flushes_keep(&[claim], &[Event::Write(1, &stamp), Event::Flush]).is_err());
        assert!(flushes_keep(&[], &[]).is_err());
    }
}
