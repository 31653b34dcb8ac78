//! Reads a file in blocks, in order and in any order, and says how long that took.
//!
//! ```text
//!   cargo xtask run file-bench --share DIR --append "path=/some.file"
//!   cargo xtask run file-bench --disk fat.img --append "path=/bench.dat size=64M block=4K"
//! ```
//!
//! Where there is no such file and the file system can be written to, it is created first, so the file of another run
//! stays as it is.
//!
//! | word | meaning | default |
//! |---|---|---|
//! | `path=` | the file | `/bench.dat` |
//! | `size=` | how much of it, in bytes; `K`, `M` and `G` are understood | all; 16M if it is created |
//! | `block=` | bytes in each call, a multiple of 8 | 64K |
//!
//! For each pass there is a line for people and programs:
//!
//! ```text
//! file-bench: pass=read bytes=16777216 block=65536 ns=10411023 MB/s=1611 sum=0x9b1f3c8e0a7d5524
//! ```
//!
//! | pass | what |
//! |---|---|
//! | `write` | the file is created, block by block |
//! | `sync` | what was written is made stable |
//! | `read` | all blocks in order; of a file that was there before, for the first time since the start |
//! | `again` | the same once more |
//! | `random` | all blocks in any order |
//!
//! The time is that of the calls alone. `sum` is the sum, modulo 2^64, of every word of eight bytes times its odd number: 1 for
//! the first, 3 for the second, and so on. It is the same for all passes, and ought to be what a host finds in the file.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "block-check/words.rs"]
mod words;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use toro::fs::File;
use toro::io::{Error, ErrorKind, Result as IoResult};
use toro::time::Instant;
use words::bytes;

toro::entry!(main);

/// The size of a file that is created.
const USUAL_SIZE: u64 = 16 << 20;

fn main() -> Result<(), String> {
    let path = toro::env::option("path").unwrap_or("/bench.dat");
    let block = bytes("block")?.unwrap_or(64 << 10);
    if block == 0 || !block.is_multiple_of(8) || block > 64 << 20 {
        return Err(format!("block={block}: expected a multiple of 8, and 64M at most"));
    }
    let size = bytes("size")?;
    run(path, size, block).map_err(|error| format!("{path}: {error}"))
}

fn run(path: &str, size: Option<u64>, block: u64) -> IoResult<()> {
    let mut sums = Vec::new();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let file = File::create_new(path)?;
            sums.push(write(&file, size.unwrap_or(USUAL_SIZE), block)?);
            file
        }
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let size = size.unwrap_or(length).min(length);
    let blocks = size.div_ceil(block);
    sums.push(read(&file, "read", size, block, 0..blocks)?);
    sums.push(read(&file, "again", size, block, 0..blocks)?);
    sums.push(read(&file, "random", size, block, shuffled(blocks).into_iter())?);
    if sums.iter().all(|sum| Some(sum) == sums.first()) { Ok(()) } else { Err(Error::other("the sums differ")) }
}

/// Writes `size` bytes, and makes them stable; gives their sum.
fn write(file: &File, size: u64, block: u64) -> IoResult<u64> {
    let mut buffer = alloc::vec![0; block as usize];
    let (mut time, mut sum) = (Duration::ZERO, 0);
    for offset in (0..size).step_by(block as usize) {
        let length = block.min(size - offset) as usize;
        let piece = buffer.get_mut(..length).unwrap_or_default();
        for (number, word) in (offset / 8..).zip(piece.chunks_mut(8)) {
            let bytes = mix(number).to_le_bytes();
            word.copy_from_slice(bytes.get(..word.len()).unwrap_or_default());
        }
        let start = Instant::now();
        file.write_all_at(piece, offset)?;
        time += start.elapsed();
        sum = add(sum, offset, piece);
    }
    report("write", size, block, time, sum);
    let start = Instant::now();
    file.sync_all()?;
    report("sync", size, block, start.elapsed(), sum);
    Ok(sum)
}

/// Reads blocks; gives the sum of what is in them.
fn read(file: &File, pass: &str, size: u64, block: u64, blocks: impl Iterator<Item = u64>) -> IoResult<u64> {
    let mut buffer = alloc::vec![0; block as usize];
    let (mut time, mut sum) = (Duration::ZERO, 0);
    for number in blocks {
        let offset = number * block;
        let length = block.min(size - offset) as usize;
        let piece = buffer.get_mut(..length).unwrap_or_default();
        let start = Instant::now();
        let count = file.read_at(piece, offset)?;
        time += start.elapsed();
        if count != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        sum = add(sum, offset, piece);
    }
    report(pass, size, block, time, sum);
    Ok(sum)
}

/// Adds the bytes from `offset` on to a sum.
fn add(sum: u64, offset: u64, bytes: &[u8]) -> u64 {
    (offset / 8..).zip(bytes.chunks(8)).fold(sum, |sum, (number, bytes)| {
        let mut word = [0; 8];
        word.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        sum.wrapping_add(u64::from_le_bytes(word).wrapping_mul(2 * number + 1))
    })
}

fn report(pass: &str, bytes: u64, block: u64, time: Duration, sum: u64) {
    let (ns, rate) = (time.as_nanos(), u128::from(bytes) * 1000 / time.as_nanos().max(1));
    toro::println!("file-bench: pass={pass} bytes={bytes} block={block} ns={ns} MB/s={rate} sum={sum:#018x}");
}

/// The numbers below `count` in some order, always the same (Fisher and Yates).
fn shuffled(count: u64) -> Vec<u64> {
    let mut numbers: Vec<_> = (0..count).collect();
    for last in (1..numbers.len()).rev() {
        numbers.swap(last, (mix(last as u64) % (last as u64 + 1)) as usize);
    }
    numbers
}

/// Mixes the bits of a number (the last step of SplitMix64).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
