//! Going over a part of the disk once, with many requests in flight.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use toro::fs::block::{Disk, Pending};
use toro::io::ErrorKind;
use toro::time::Instant;
use toro_core::DmaBuf;

use super::job::Job;
use super::plan::{Order, Piece, plan};
use super::stamp::{SECTOR, Stamp};

/// How many problems are printed; the others are counted.
const PRINTED: u64 = 20;

/// What is done with each piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Stamps are written.
    Write,
    /// Stamps are written, and what is stable is said.
    Cut,
    /// Stamps are read and checked.
    Verify,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write | Self::Cut => "write",
            Self::Verify => "verify",
        })
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    requests: u64,
    sectors: u64,
    flushes: u64,
    /// Requests that failed and had to.
    errors: u64,
    /// Everything that should not be.
    pub problems: u64,
}

impl Count {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            sectors: self.sectors + other.sectors,
            flushes: self.flushes + other.flushes,
            errors: self.errors + other.errors,
            problems: self.problems + other.problems,
        }
    }

    /// Prints the figures.
    pub fn report(self, direction: Direction, time: Duration) {
        let Self { requests, sectors, flushes, errors, problems } = self;
        let (bytes, microseconds) = (u128::from(sectors) * SECTOR as u128, time.as_micros().max(1));
        toro::println!(
            "block-check: {direction} requests={requests} sectors={sectors} flushes={flushes} errors={errors} \
             problems={problems} ns={} MB/s={} requests/s={}",
            time.as_nanos(),
            bytes / microseconds,
            u128::from(requests) * 1_000_000 / microseconds
        );
    }

    fn problem(&mut self, what: fmt::Arguments<'_>) {
        self.problems += 1;
        if self.problems <= PRINTED {
            toro::println!("block-check: {what}");
        }
    }
}

/// One core's way over its part of the disk.
pub struct Pass<'a> {
    job: &'a Job,
    direction: Direction,
    generation: u64,
    disk: Disk,
    free: Vec<DmaBuf>,
    in_flight: VecDeque<(Piece, Pending)>,
    count: Count,
}

impl<'a> Pass<'a> {
    /// Opens the disk on this core, and gets buffers for the job's depth.
    pub fn new(job: &'a Job, direction: Direction, generation: u64) -> Result<Self, String> {
        let open = if direction == Direction::Verify { Disk::open_read_only } else { Disk::open };
        let disk = open(&job.disk).map_err(|error| {
            let is_busy = error.kind() == ErrorKind::ResourceBusy;
            let hint = if is_busy { ": it, or a part of it, is mounted" } else { "" };
            format!("disk {}: {error}{hint}", job.disk)
        })?;
        let buffer = |_| disk.buffer(job.longest as usize * SECTOR).map_err(|error| format!("no buffer: {error}"));
        let free = (0..job.depth).map(buffer).collect::<Result<_, _>>()?;
        let in_flight = VecDeque::with_capacity(job.depth);
        Ok(Self { job, direction, generation, disk, free, in_flight, count: Count::default() })
    }

    /// Goes over `area`.
    pub fn run(mut self, area: Range<u64>) -> Result<Count, String> {
        let Job { block, longest, seed, flush, .. } = *self.job;
        let order = if self.direction == Direction::Cut { Order::Sequential } else { self.job.order };
        let is_write = self.direction != Direction::Verify;
        let pieces = plan(area.clone(), block, longest, order, seed ^ self.generation);
        let mut printed = Instant::now();
        for (number, piece) in pieces.iter().enumerate() {
            self.submit(*piece)?;
            let number = number as u64 + 1;
            if is_write && flush != 0 && number.is_multiple_of(flush) && number != pieces.len() as u64 {
                self.flush(piece.end())?;
            }
            if area.start == self.job.area.start && printed.elapsed() >= Duration::from_secs(1) {
                printed = Instant::now();
                toro::println!("block-check: {} {} %", self.direction, number * 100 / pieces.len() as u64);
            }
        }
        while self.settle().is_some() {}
        if is_write {
            self.flush(area.end)?;
        }
        Ok(self.count)
    }

    /// Starts the request for `piece`, after the oldest has ended if too many are in flight.
    fn submit(&mut self, piece: Piece) -> Result<(), String> {
        if self.free.is_empty() {
            self.settle();
        }
        let mut buffer = self.free.pop().ok_or("a buffer has not come back")?;
        buffer.set_len(piece.sectors * SECTOR).map_err(|_| "a buffer is too short")?;
        let pending = match self.direction {
            Direction::Verify => self.disk.read(piece.sector, buffer),
            Direction::Write | Direction::Cut => {
                for (bytes, stamp) in buffer.chunks_exact_mut(SECTOR).zip(self.stamps(piece)) {
                    stamp.write(bytes);
                }
                self.disk.write(piece.sector, buffer)
            }
        };
        self.in_flight.push_back((piece, pending));
        self.count.requests += 1;
        self.count.sectors += piece.sectors as u64;
        Ok(())
    }

    /// Waits for the oldest request, and judges it.
    fn settle(&mut self) -> Option<()> {
        let (piece, pending) = self.in_flight.pop_front()?;
        let (buffer, result) = pending.wait();
        let bytes = buffer.as_deref().unwrap_or_default();
        let Piece { sector, sectors } = piece;
        let has_to_fail = self.job.expect_errors.as_ref().is_some_and(|range| piece.touches(range));
        match result {
            Err(error) => {
                let direction = self.direction;
                let what = format_args!("error at sector {sector}, {direction} of {sectors} sectors: {error}");
                if has_to_fail {
                    self.count.errors += 1;
                    if self.count.errors <= PRINTED {
                        toro::println!("block-check: {what}, as expected");
                    }
                } else {
                    self.count.problem(what);
                }
            }
            Ok(()) if has_to_fail => {
                self.count.problem(format_args!("no error at sector {sector}, {sectors} sectors"));
            }
            Ok(()) if self.direction == Direction::Verify => {
                for (bytes, stamp) in bytes.chunks_exact(SECTOR).zip(self.stamps(piece)) {
                    if let Err(flaw) = stamp.check(bytes) {
                        self.count.problem(format_args!("sector {}: {flaw}", stamp.sector));
                    }
                }
            }
            Ok(()) => {}
        }
        self.free.extend(buffer);
        Some(())
    }

    /// The stamps of `piece`.
    fn stamps(&self, piece: Piece) -> impl Iterator<Item = Stamp> + use<> {
        let (generation, seed) = (self.generation, self.job.seed);
        (piece.sector..piece.end()).map(move |sector| Stamp { sector, generation, seed })
    }

    /// Flushes; `end` is where the sectors end that have been submitted, if they were in order.
    fn flush(&mut self, end: u64) -> Result<(), String> {
        if self.direction == Direction::Cut {
            while self.settle().is_some() {}
        }
        self.disk.flush().map_err(|error| format!("flush: {error}"))?;
        self.count.flushes += 1;
        if self.direction == Direction::Cut {
            toro::println!("flushed {} {end}", self.generation);
        }
        Ok(())
    }
}
