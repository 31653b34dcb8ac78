//! What reading files costs: the guest's side of `cargo xtask bench fs`.
//!
//! The word `run=` of the command line says what to do, one after the other, each between markers; nothing is done to warm
//! up, as a file is read for the first time once only. But for the copy, `guest/files.c` of the bench does the same on Linux:
//!
//! ```text
//!   fsseq:PATH:BYTES:TOTAL     a file is opened and read in blocks, into memory of ours
//!   fsdirect:PATH:BYTES:TOTAL  the same, but the blocks are taken in the buffers in which they arrive
//!   fsrand:PATH:BYTES:TIMES    blocks at random places
//!   fssmall:DIR:FILES          DIR/f00000 and so on: opened, 4 KiB read, closed
//!   fsagain:PATH:TIMES         one file of 4 KiB, again and again: opened, read, closed
//!   fsstat:DIR:FILES           attributes of DIR/f00000 and so on
//!   fslist:DIR:TIMES           names of a directory
//!   fscreate:DIR:TIMES         a file created and closed, then removed
//!   fswrite:PATH:BYTES:TOTAL   a file created and written in blocks
//!   copy:BYTES:TOTAL           from memory to memory, for comparison
//! ```
//!
//! For the file system at `/` it also says how many of the bytes that were read were copied by the processor on the way.
//!
//! Reports: `LB <operation> [bs=<bytes>] n=<operations> ns=<nanoseconds in all> p50=<of one, in the median part>`, `LB-END`;
//! or `LB-ERR <why>`. For a share there is a line with the bytes that were read and those that the processor copied for it:
//! `fsseq bs=1048576: 67108864 bytes read, 0 bytes copied`.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "sched-bench/markers.rs"]
mod markers;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use toro::fs::{self, File, Statistics};
use toro::io::ErrorKind;
use toro::println;
use toro::time::Instant;

toro::entry!(main);

/// Bytes that are read of each small file.
const SMALL: u64 = 4096;
/// Into how many parts a measurement is divided, whose median is reported.
///
/// In each part our memory begins a page further on. An emulated processor remembers one page of each number modulo a power
/// of two, so a copy between two that share one takes a hundred times as long, and says nothing about either side: few parts
/// suffer from that, and the median does not see them.
const PARTS: u64 = 16;
const PAGE: usize = 4096;

fn main() {
    println!("LB-UP");
    let copied = || fs::statistics("/").ok().flatten().unwrap_or_default();
    for operation in toro::env::option("run").unwrap_or_default().split(',') {
        let before = copied();
        if let Err(reason) = run(operation) {
            println!("LB-ERR {operation}: {reason}");
            break;
        }
        let after = copied();
        println!(
            "fs: {operation}: {} bytes read, {} copied, {} READs, {} reads from memory",
            after.bytes_read - before.bytes_read,
            after.bytes_copied - before.bytes_copied,
            after.reads - before.reads,
            after.cache_hits - before.cache_hits,
        );
    }
    println!("LB-END");
}

fn run(operation: &str) -> Result<(), String> {
    let words: Vec<_> = operation.split(':').collect();
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0).ok_or("not a number");
    match words[..] {
        ["fsseq", path, bytes, total] => in_order("fsseq", path, number(bytes)?, number(total)?, by_copy),
        ["fsdirect", path, bytes, total] => in_order("fsdirect", path, number(bytes)?, number(total)?, by_buffer),
        ["fsrand", path, bytes, times] => at_random(path, number(bytes)?, number(times)?),
        ["fssmall", directory, files] => small(directory, number(files)?),
        ["fsagain", path, times] => measure("fsagain", number(times)?, SMALL, |_, block| read_small(path, block)),
        ["fsstat", directory, files] => measure("fsstat", number(files)?, 0, |number, _| {
            fs::metadata(format!("{directory}/f{number:05}")).map(drop)
        }),
        ["fslist", directory, times] => list(directory, number(times)?),
        ["fscreate", directory, times] => measure("fscreate", number(times)?, 0, |number, _| {
            let path = format!("{directory}/new{number:05}");
            drop(File::create(&path)?);
            fs::remove_file(&path)
        }),
        ["fswrite", path, bytes, total] => write(path, number(bytes)?, number(total)?),
        ["copy", bytes, total] => copy(number(bytes)?, number(total)?),
        _ => Err("no such operation".into()),
    }
}

/// Does something `times` times between markers, each time with a block of so many bytes, and reports it under `name`.
fn measure(
    name: &str,
    times: u64,
    bytes: u64,
    mut work: impl FnMut(u64, &mut [u8]) -> toro::io::Result<()>,
) -> Result<(), String> {
    let bytes = usize::try_from(bytes).map_err(|_| "too many bytes")?;
    let mut memory = vec![1_u8; PARTS as usize * PAGE + bytes];
    let in_part = (times / PARTS).max(1);
    let mut parts = Vec::with_capacity(PARTS as usize + 1);
    let mut result = Ok(());
    let before = statistics();
    let whole = markers::measured(|| {
        for first in (0..times).step_by(in_part as usize) {
            let place = (first / in_part % PARTS) as usize * PAGE;
            let block = core::hint::black_box(&mut memory[place..place + bytes]);
            let start = Instant::now();
            result = (first..times.min(first + in_part)).try_for_each(|number| work(number, block));
            if result.is_err() {
                return;
            }
            parts.push(start.elapsed());
        }
    });
    result.map_err(|error| format!("{error}"))?;
    parts.truncate((times / in_part) as usize);
    parts.sort_unstable();
    let median = parts.get(parts.len() / 2).map_or(0, |part| part.as_nanos() as u64 / in_part);
    println!("LB {name} n={times} ns={} p50={median}", whole.as_nanos());
    if let (Some(before), Some(after)) = (before, statistics()) {
        let [read, copied] = [after.bytes_read - before.bytes_read, after.bytes_copied - before.bytes_copied];
        println!("{name}: {read} bytes read, {copied} bytes copied");
    }
    Ok(())
}

/// What has been done with the file system at the root, if it counts.
fn statistics() -> Option<Statistics> {
    fs::statistics("/").ok().flatten()
}

/// Reads a block of a file; how many bytes came.
type ReadBlock = fn(&File, &mut [u8], u64) -> toro::io::Result<usize>;

fn by_copy(file: &File, block: &mut [u8], offset: u64) -> toro::io::Result<usize> {
    file.read_at(block, offset)
}

fn by_buffer(file: &File, block: &mut [u8], offset: u64) -> toro::io::Result<usize> {
    file.read_buffer(offset, block.len()).map(|buffer| buffer.len())
}

fn in_order(name: &str, path: &str, bytes: u64, total: u64, read: ReadBlock) -> Result<(), String> {
    let mut opened = None;
    measure(&format!("{name} bs={bytes}"), total / bytes, bytes, |number, block| {
        // Opening it counts as well.
        let file = match &opened {
            Some(file) => file,
            None => opened.insert(File::open(path)?),
        };
        let mut done = 0;
        while done < block.len() {
            // A read gives what the file system has at hand.
            match read(file, &mut block[done..], number * bytes + done as u64)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    })
}

fn small(directory: &str, files: u64) -> Result<(), String> {
    measure("fssmall", files, SMALL, |number, block| read_small(&format!("{directory}/f{number:05}"), block))
}

fn read_small(path: &str, block: &mut [u8]) -> toro::io::Result<()> {
    if File::open(path)?.read_at(block, 0)? == block.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn at_random(path: &str, bytes: u64, times: u64) -> Result<(), String> {
    let length = fs::metadata(path).map_err(|error| format!("{error}"))?.len();
    let blocks = length.checked_div(bytes).filter(|blocks| *blocks > 0).ok_or("the file is too short")?;
    let (mut state, mut opened) = (0x9e37_79b9_7f4a_7c15_u64, None);
    measure(&format!("fsrand bs={bytes}"), times, bytes, |_, block| {
        let file = match &opened {
            Some(file) => file,
            None => opened.insert(File::open(path)?),
        };
        // Marsaglia's xorshift64; Linux goes to the same places.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let count = file.read_at(block, state % blocks * bytes)?;
        if count == block.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    })
}

fn list(directory: &str, times: u64) -> Result<(), String> {
    let mut names = 0;
    measure("fslist", times, 0, |_, _| {
        for entry in fs::read_dir(directory)? {
            names += usize::from(!core::hint::black_box(entry?).file_name().is_empty());
        }
        Ok(())
    })?;
    if names > 0 { Ok(()) } else { Err("no names".into()) }
}

fn write(path: &str, bytes: u64, total: u64) -> Result<(), String> {
    let mut created = None;
    measure(&format!("fswrite bs={bytes}"), total / bytes, bytes, |number, block| {
        let file = match &created {
            Some(file) => file,
            None => created.insert(File::create(path)?),
        };
        let count = file.write_at(block, number * bytes)?;
        if count == block.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
    })
}

fn copy(bytes: u64, total: u64) -> Result<(), String> {
    let from = vec![1_u8; usize::try_from(bytes).map_err(|_| "too many bytes")?];
    measure(&format!("copy bs={bytes}"), total / bytes, bytes, |_, block| {
        // Or the compiler sees that once is enough.
        core::hint::black_box(block).copy_from_slice(core::hint::black_box(&from));
        Ok(())
    })
}
