//! What a read of a disk costs: the Toro side of `cargo xtask bench block`.
//!
//! The word `run=` of the command line says what to do with the first disk, one after the other; each is done for a while
//! to warm up, and then between markers. The words are those of `lbench`, which does the same on Linux:
//!
//! ```text
//!   blkrand:BYTES:DEPTH:READS    at random places, DEPTH reads in flight
//!   blkseq:BYTES:TOTAL           one after another, in order, TOTAL bytes in all
//! ```
//!
//! Reports: `LB <operation> <its parameters> n=<reads> ns=<nanoseconds in all>`, `LB-END`; or `LB-ERR <why>`.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "sched-bench/markers.rs"]
mod markers;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toro::fs::block::{Disk, Pending, disks};
use toro::println;
use toro_core::DmaBuf;

toro::entry!(main);

/// Bytes in a sector.
const SECTOR: u64 = 512;

fn main() {
    println!("LB-UP");
    if let Err(reason) = run(toro::env::option("run").unwrap_or_default()) {
        println!("LB-ERR {reason}");
    }
    println!("LB-END");
}

fn run(operations: &str) -> Result<(), String> {
    let info = disks().into_iter().next().ok_or("no disk")?;
    let disk = Disk::open_read_only(&info.name).map_err(|error| format!("{}: {error}", info.name))?;
    for operation in operations.split(',') {
        let words: Vec<_> = operation.split(':').collect();
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
        let numbers: Option<Vec<_>> = words[1..].iter().map(|text| number(text)).collect();
        match (words[0], numbers.as_deref()) {
            ("blkrand", Some(&[bytes, depth, reads])) => random(&disk, bytes, depth, reads)?,
            ("blkseq", Some(&[bytes, total])) => in_order(&disk, bytes, total / bytes)?,
            _ => return Err(format!("{operation}: no such operation")),
        }
    }
    Ok(())
}

fn random(disk: &Disk, bytes: u64, depth: u64, reads: u64) -> Result<(), String> {
    let mut reader = Reader::new(disk, bytes, depth)?;
    reader.read(8 * depth)?;
    let mut result = Ok(());
    let time = markers::measured(|| result = reader.read(reads));
    result?;
    println!("LB blkrand bs={bytes} qd={depth} n={reads} ns={}", time.as_nanos());
    Ok(())
}

/// Reads at random places, a number of them at a time.
struct Reader<'a> {
    disk: &'a Disk,
    bytes: u64,
    idle: Vec<DmaBuf>,
    flying: VecDeque<Pending>,
    random: u64,
}

impl<'a> Reader<'a> {
    fn new(disk: &'a Disk, bytes: u64, depth: u64) -> Result<Self, String> {
        let idle: Result<Vec<_>, _> = (0..depth).map(|_| buffer(disk, bytes)).collect();
        Ok(Self { disk, bytes, idle: idle?, flying: VecDeque::new(), random: 0x9e37_79b9_7f4a_7c15 })
    }

    /// A sector where a read can begin.
    fn place(&mut self) -> u64 {
        // Marsaglia's xorshift64.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let sectors = self.bytes / SECTOR;
        self.random % (self.disk.sectors() / sectors) * sectors
    }

    fn read(&mut self, reads: u64) -> Result<(), String> {
        let (mut begun, mut done) = (0, 0);
        while done < reads {
            while begun < reads
                && let Some(buffer) = self.idle.pop()
            {
                let place = self.place();
                self.flying.push_back(self.disk.read(place, buffer));
                begun += 1;
            }
            // The oldest, and those behind it that have come as well.
            while let Some(pending) = self.flying.pop_front() {
                self.idle.push(finish(pending)?);
                done += 1;
                if !self.flying.front().is_some_and(Pending::is_finished) {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn in_order(disk: &Disk, bytes: u64, reads: u64) -> Result<(), String> {
    let buffer = finish(disk.read(0, buffer(disk, bytes)?))?;
    let mut result = Ok(());
    let time = markers::measured(|| result = read_in_order(disk, buffer, reads));
    result?;
    println!("LB blkseq bs={bytes} n={reads} ns={}", time.as_nanos());
    Ok(())
}

fn read_in_order(disk: &Disk, mut buffer: DmaBuf, reads: u64) -> Result<(), String> {
    let sectors = buffer.len() as u64 / SECTOR;
    let mut sector = 0;
    for _ in 0..reads {
        if sector + sectors > disk.sectors() {
            sector = 0;
        }
        buffer = finish(disk.read(sector, buffer))?;
        sector += sectors;
    }
    Ok(())
}

fn buffer(disk: &Disk, bytes: u64) -> Result<DmaBuf, String> {
    let bytes = usize::try_from(bytes).map_err(|_| "too many bytes")?;
    disk.buffer(bytes).map_err(|error| format!("a buffer of {bytes} bytes: {error}"))
}

fn finish(pending: Pending) -> Result<DmaBuf, String> {
    let (buffer, result) = pending.wait();
    result.map_err(|error| format!("a read failed: {error}"))?;
    buffer.ok_or_else(|| "a buffer is lost".into())
}
