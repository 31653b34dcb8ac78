//! What both contenders do: random reads, and how many.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

/// Bytes in a read.
pub const READ: usize = 4096;
/// Descriptors in a queue.
pub const DESCRIPTORS: u16 = 256;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// `virtio-blk` over `virtio-vhost-user`.
    Ours,
    /// The crate `blkio`.
    Libblkio,
}

impl Who {
    /// In the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Ours, Self::Libblkio];
}

/// How much to read.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// At least so many times.
    Requests(u64),
    /// For so long.
    For(Duration),
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How many reads were finished.
    pub requests: u64,
    /// From the first submission to the last completion.
    pub elapsed: Duration,
}

/// A driver with a disk.
pub trait Contender {
    /// Reads with as many requests in flight as it was made with.
    ///
    /// # Errors
    ///
    /// A read fails, or none finishes for long.
    fn read(&mut self, load: Load) -> Result<Run>;
}

/// Says when it is enough.
pub struct Meter {
    load: Load,
    start: Instant,
    requests: u64,
    is_enough: bool,
}

impl Meter {
    /// Begins now.
    pub fn start(load: Load) -> Self {
        Self { load, start: Instant::now(), requests: 0, is_enough: false }
    }

    /// Counts what was finished at once; says whether as much shall be begun.
    #[inline]
    pub fn goes_on(&mut self, finished: usize) -> bool {
        self.requests += finished as u64;
        self.is_enough = self.is_enough
            || match self.load {
                Load::Requests(most) => self.requests >= most,
                Load::For(length) => self.start.elapsed() >= length,
            };
        !self.is_enough
    }

    /// The result, everything being finished.
    pub fn finish(self) -> Run {
        Run { requests: self.requests, elapsed: self.start.elapsed() }
    }
}

/// Places to read from.
pub struct Places {
    state: u32,
    /// One less than how many there are.
    mask: u32,
}

impl Places {
    /// In a disk of so many bytes, of which there is a power of two.
    pub fn new(bytes: u64) -> Self {
        Self { state: 0x2545_f491, mask: (bytes / READ as u64) as u32 - 1 }
    }

    /// The number of the next one, counted in reads.
    #[inline]
    pub fn next(&mut self) -> u64 {
        // xorshift32
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state & self.mask).into()
    }
}
