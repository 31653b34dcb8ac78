//! What the command line asks for.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::{Range, RangeInclusive};

use toro::core as cores;
use toro::fs::block::{self, Disk};

use super::plan::Order;
use super::stamp::SECTOR;
use super::words::bytes;

/// What is done with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write stamps.
    Write,
    /// Check them.
    Verify,
    /// Write, then check.
    Both,
    /// Write for ever, and say what is stable.
    Cut,
}

/// A job. All places are in sectors.
#[derive(Clone, Debug)]
pub struct Job {
    /// The disk's name.
    pub disk: String,
    /// What is done.
    pub mode: Mode,
    /// The part of the disk.
    pub area: Range<u64>,
    /// The disk's block.
    pub block: u64,
    /// The longest request.
    pub longest: u64,
    /// Requests in flight on each core.
    pub depth: usize,
    /// In what order.
    pub order: Order,
    /// How many cores.
    pub cores: usize,
    /// Part of each stamp.
    pub seed: u64,
    /// Part of each stamp: the first.
    pub generation: u64,
    /// How many generations, if the disk is written for ever.
    pub generations: usize,
    /// Writes between two flushes; 0 for one at the end.
    pub flush: u64,
    /// Where requests have to fail.
    pub expect_errors: Option<Range<u64>>,
}

impl Job {
    /// Reads the words, and looks at the disk.
    pub fn from_command_line() -> Result<Self, String> {
        let disk: String = match toro::env::option("disk") {
            Some(name) => name.into(),
            None => block::disks().into_iter().next().ok_or("there is no disk")?.name,
        };
        let handle = Disk::open_read_only(&disk).map_err(|error| format!("disk {disk}: {error}"))?;
        let info = handle.info();
        let block = u64::from(info.block_size) / SECTOR as u64;
        let in_blocks = |name: &str, usual: u64, most: u64| {
            let sectors = bytes(name)?.map_or(Ok(usual), |bytes| {
                let sectors = bytes / SECTOR as u64;
                let fits = bytes.is_multiple_of(block * SECTOR as u64) && sectors <= most;
                let limits =
                    || format!("{name}={bytes}: expected whole blocks, and {} bytes at most", most * SECTOR as u64);
                if fits { Ok(sectors) } else { Err(limits()) }
            })?;
            Ok::<_, String>(sectors)
        };
        let start = in_blocks("start", 0, info.sectors)?;
        let room = (info.sectors - start) / block * block;
        let length = in_blocks("size", room, room)?;
        let longest = in_blocks("longest", 128_u64.next_multiple_of(block), 1 << 20)?;
        if length == 0 || longest == 0 {
            return Err("there is nothing to do".into());
        }
        let mode = choice(
            "mode",
            &[("both", Mode::Both), ("write", Mode::Write), ("verify", Mode::Verify), ("cut", Mode::Cut)],
        )?;
        let all = cores::count() as u64;
        Ok(Self {
            disk,
            mode,
            area: start..start + length,
            block,
            longest,
            depth: number("depth", 32, 1..=128)? as usize,
            order: choice("order", &[("sequential", Order::Sequential), ("random", Order::Random)])?,
            cores: number("cores", all, 1..=all)? as usize,
            seed: number("seed", 1, 0..=u64::MAX)?,
            generation: number("generation", 1, 0..=u64::MAX)?,
            generations: number("generations", u64::MAX, 1..=u64::MAX)? as usize,
            flush: number("flush", 0, 0..=u64::MAX)?,
            expect_errors: toro::env::option("expect_errors").map(sectors).transpose()?,
        })
    }

    /// The part of the area that the core `number` works on.
    pub fn part(&self, number: usize) -> Range<u64> {
        let blocks = (self.area.end - self.area.start) / self.block;
        let border = |number: usize| self.area.start + blocks * number as u64 / self.cores as u64 * self.block;
        border(number)..border(number + 1)
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { disk, mode, area, depth, cores, seed, generation, .. } = self;
        write!(f, "disk={disk} mode={mode:?} sectors={}..{} depth={depth}", area.start, area.end)?;
        write!(f, " cores={cores} seed={seed} generation={generation}")
    }
}

/// A number on the command line.
fn number(name: &str, usual: u64, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    let Some(text) = toro::env::option(name) else { return Ok(usual) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| format!("{name}={text}: expected a number from {} to {}", allowed.start(), allowed.end()))
}

/// One of several words on the command line; the first is the usual one.
fn choice<T: Copy, const N: usize>(name: &str, words: &[(&str, T); N]) -> Result<T, String> {
    let text = toro::env::option(name).unwrap_or(words[0].0);
    let found = words.iter().find(|(word, _)| *word == text);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("{name}={text}: expected one of {}", words.map(|(word, _)| word).join(", ")))
}

/// A range of sectors, `A-B`, with both ends in it.
fn sectors(text: &str) -> Result<Range<u64>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last && last < u64::MAX => Ok(first..last + 1),
        _ => Err(format!("expect_errors={text}: expected a range of sectors, such as 100-107")),
    }
}
