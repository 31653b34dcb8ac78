//! What is read, how, and what came of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// Bytes of the large file: more than the caches of a processor, and a power of two.
pub const LARGE: u64 = 128 << 20;
/// Bytes of a small file.
pub const SMALL: usize = 4096;

/// Which place comes after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one behind it.
    Sequential,
    /// Any.
    Random,
}

/// A way of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Bytes in a read.
    pub bytes: usize,
    /// Where it reads next.
    pub order: Order,
    /// Reads in flight; zero for what `toro::fs` makes of a reader who wants one after the other.
    pub depth: usize,
}

const fn case(bytes: usize, order: Order, depth: usize) -> Case {
    Case { bytes, order, depth }
}

/// All of them.
pub const CASES: [Case; 8] = [
    case(1 << 20, Order::Sequential, 1),
    case(1 << 20, Order::Sequential, 4),
    case(1 << 20, Order::Sequential, 0),
    case(128 << 10, Order::Sequential, 1),
    case(128 << 10, Order::Sequential, 4),
    case(128 << 10, Order::Sequential, 0),
    case(4096, Order::Random, 1),
    case(4096, Order::Random, 16),
];

impl Case {
    /// Buffers that a reader uses in turn.
    pub fn buffers(self) -> usize {
        if self.depth == 0 { 4 } else { self.depth }
    }

    /// The number of reads in flight, as a table shows it.
    pub fn in_flight(self) -> String {
        if self.depth == 0 { "toro::fs".to_owned() } else { self.depth.to_string() }
    }

    /// Reads per second, as a table shows them.
    pub fn rate(self, reads: f64) -> String {
        match self.order {
            Order::Sequential => format!("{:.2} GiB/s", reads * self.bytes as f64 / f64::from(1 << 30)),
            Order::Random => format!("{:.0} k/s", reads / 1e3),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::Sequential => "in order",
            Order::Random => "at random places",
        };
        match self.bytes {
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB {order}", bytes >> 20),
            bytes => write!(f, "{} KiB {order}", bytes >> 10),
        }
    }
}

/// Offsets to read at.
pub struct Places {
    case: Case,
    state: u64,
}

impl Places {
    /// The places of a case, always the same ones.
    pub fn new(case: Case) -> Self {
        Self { case, state: 0 }
    }

    /// The next one.
    #[inline]
    pub fn next(&mut self) -> u64 {
        let count = LARGE / self.case.bytes as u64;
        let number = match self.case.order {
            Order::Sequential => self.state,
            // splitmix64: every place as often as any other.
            Order::Random => {
                let mut mixed = self.state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed ^ mixed >> 27
            }
        };
        self.state = self.state.wrapping_add(1);
        number % count * self.case.bytes as u64
    }
}

/// What was done in a turn.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Reads that were finished.
    pub reads: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// How long whoever copied the data ran on a processor.
    pub processor: Duration,
}

impl Run {
    /// Reads per second.
    pub fn speed(self) -> f64 {
        self.reads as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds on a processor for each read.
    pub fn processor_micros(self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / self.reads as f64
    }

    /// The part of the time for which whoever copied the data was on a processor.
    pub fn busy(self) -> f64 {
        self.processor.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// The directory that is read.
pub struct Tree {
    root: PathBuf,
    files: u32,
}

impl Tree {
    /// Makes it: a large file, and so many small ones.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn create(directory: &Path, files: u32) -> Result<Self> {
        let tree = Self { root: directory.join("served"), files };
        std::fs::create_dir_all(tree.root.join("small"))?;
        std::fs::write(tree.large(), contents()).context("cannot write the large file")?;
        let noise = crate::block::noise(SMALL);
        for name in tree.small() {
            std::fs::write(tree.root.join(&name[1..]), &noise).context("cannot write a small file")?;
        }
        Ok(tree)
    }

    /// What is served.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The large file.
    pub fn large(&self) -> PathBuf {
        self.root.join("large")
    }

    /// The paths of the small ones, as the server's client sees them.
    pub fn small(&self) -> Vec<String> {
        (0..self.files).map(|number| format!("/small/{number:06}")).collect()
    }
}

/// What the large file holds: at each multiple of 512 its own number, for whoever reads to check where that is from.
fn contents() -> Vec<u8> {
    let mut bytes = vec![0; LARGE as usize];
    for (number, sector) in bytes.chunks_exact_mut(512).enumerate() {
        sector[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    bytes
}

/// Whether this is what the large file holds there, by its first number and its last.
#[inline]
pub fn is_right(data: &[u8], offset: u64) -> bool {
    let number = |at: usize| data.get(at..at + 8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight")));
    let last = data.len().saturating_sub(512);
    number(0) == Some(offset / 512) && number(last) == Some((offset + last as u64) / 512)
}
