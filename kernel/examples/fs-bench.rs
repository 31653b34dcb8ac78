//! What reading files costs: the guest's side of `cargo xtask bench fs`.
//!
//! The word `run=` of the command line says what to do, one after the other, each between markers; nothing is done to warm
//! up, as a file is read for the first time once only. The first two are words of `lbench`, the program for Linux:
//!
//! ```text
//!   fsseq:PATH:BYTES:TOTAL     a file is opened and read in blocks, into memory of ours
//!   fssmall:DIR:FILES          DIR/f00000 and so on: opened, 4 KiB read, closed
//!   fsbuf:PATH:BYTES:TOTAL     as fsseq, but the blocks are taken in the buffers in which they arrive
//!   copy:BYTES:TOTAL           from memory to memory, for comparison
//! ```
//!
//! Reports: `LB <operation> [bs=<bytes>] n=<operations> ns=<nanoseconds in all>`, `LB-END`; or `LB-ERR <why>`.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "sched-bench/markers.rs"]
mod markers;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use toro::fs::File;
use toro::println;

toro::entry!(main);

/// Bytes that are read of each small file.
const SMALL: usize = 4096;
/// By how much our memory is further off from a multiple of a block's size than the other side of a copy. An emulated
/// processor remembers one page of each number modulo a power of two; a copy between two that share one takes a hundred
/// times as long, and says nothing of either.
const APART: usize = 37 * 4096;

fn main() {
    println!("LB-UP");
    for operation in toro::env::option("run").unwrap_or_default().split(',') {
        if let Err(reason) = run(operation) {
            println!("LB-ERR {operation}: {reason}");
            break;
        }
    }
    println!("LB-END");
}

fn run(operation: &str) -> Result<(), String> {
    let words: Vec<_> = operation.split(':').collect();
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0).ok_or("not a number");
    match words[..] {
        ["fsseq", path, bytes, total] => in_order("fsseq", path, number(bytes)?, number(total)?, by_copy),
        ["fsbuf", path, bytes, total] => in_order("fsbuf", path, number(bytes)?, number(total)?, by_buffer),
        ["fssmall", directory, files] => small(directory, number(files)?),
        ["copy", bytes, total] => copy(number(bytes)?, number(total)?),
        _ => Err("no such operation".into()),
    }
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
    let mut memory = vec![1; APART + usize::try_from(bytes).map_err(|_| "too many bytes")?];
    let block = &mut memory[APART..];
    let mut result = Ok(0);
    let mut read_all = || {
        let file = File::open(path)?;
        let (mut offset, mut reads) = (0, 0);
        while offset < total {
            let count = read(&file, block, offset)?;
            if count == 0 {
                break;
            }
            offset += count as u64;
            reads += 1;
        }
        Ok::<_, toro::io::Error>(if offset < total { 0 } else { reads })
    };
    let time = markers::measured(|| result = read_all());
    match result {
        Ok(0) => Err("the file is shorter".into()),
        // Each read of a block may take several of the file system's; the block is what is counted.
        Ok(_) => {
            println!("LB {name} bs={bytes} n={} ns={}", total / bytes, time.as_nanos());
            Ok(())
        }
        Err(error) => Err(format!("{error}")),
    }
}

fn small(directory: &str, files: u64) -> Result<(), String> {
    let mut block = [0; SMALL];
    let mut result = Ok(());
    let mut read_all = || {
        for number in 0..files {
            let file = File::open(format!("{directory}/f{number:05}"))?;
            if file.read_at(&mut block, 0)? != SMALL {
                return Err(toro::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok::<_, toro::io::Error>(())
    };
    let time = markers::measured(|| result = read_all());
    result.map_err(|error| format!("{error}"))?;
    println!("LB fssmall n={files} ns={}", time.as_nanos());
    Ok(())
}

fn copy(bytes: u64, total: u64) -> Result<(), String> {
    let length = usize::try_from(bytes).map_err(|_| "too many bytes")?;
    let (from, mut memory) = (vec![1_u8; length], vec![0_u8; APART + length]);
    let to = &mut memory[APART..];
    let times = total / bytes;
    let time = markers::measured(|| {
        for _ in 0..times {
            // Otherwise the compiler sees that once is enough.
            core::hint::black_box(&mut *to).copy_from_slice(core::hint::black_box(&from));
        }
    });
    println!("LB copy bs={bytes} n={times} ns={}", time.as_nanos());
    Ok(())
}
