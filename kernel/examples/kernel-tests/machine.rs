//! What machine this is, and whether all of its memory is memory, for programs as for devices.
//!
//! It prints how much memory and how many cores there are: somebody else knows how many there should be. Then it takes all memory
//! in large pieces and writes each one's address into its first page: an address that reaches the memory with 32 of its bits
//! only would find another one's there. Where there is memory above 4 GiB, it keeps what is below, and every disk that can be
//! written is written and read with buffers above: by a device that can reach them itself, or by a driver that knows that its
//! device cannot.
//!
//! `disks=N` says how many disks there are, and `high=N` that memory reaches N MiB at least. Blocks of a disk have the numbers of
//! their words in them, so that the host can see what arrived.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use toro::fs::block::{Disk, disks};

/// What a piece of memory that is looked at has.
const PIECE: usize = 16 << 20;
/// What is taken of the rest: sizes of which each piece is a run of frames.
const SMALLER: [usize; 2] = [1 << 20, 128 << 10];
/// A buffer for a disk: longer than the longest run of frames that is left below.
const BUFFER: usize = 256 << 10;
/// The first address that does not fit into 32 bits.
const BORDER: usize = 1 << 32;

/// Memory of which only the first words are ever used.
struct Piece(Vec<u64>);

impl Piece {
    fn take(size: usize) -> Option<Self> {
        let mut words: Vec<u64> = Vec::new();
        words.try_reserve_exact(size / size_of::<u64>()).ok()?;
        words.push(words.as_ptr().addr() as u64);
        Some(Self(words))
    }

    fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    fn end(&self) -> usize {
        self.address() + self.0.capacity() * size_of::<u64>()
    }
}

pub fn run() -> Result<(), String> {
    let mut pieces: Vec<Piece> = core::iter::from_fn(|| Piece::take(PIECE)).collect();
    if let Some(piece) = pieces.iter().find(|piece| piece.0.first() != Some(&(piece.address() as u64))) {
        return Err(format!("what was written at {:#x} is not there any more", piece.address()));
    }
    let highest = pieces.iter().map(Piece::end).max().unwrap_or(0);
    let cores = toro::core::count();
    toro::println!("machine: {} MiB, up to {} MiB, {cores} cores", toro::mm::memory() >> 20, highest >> 20);
    if let Some(high) = number("high")
        && highest >> 20 < high
    {
        return Err(format!("memory should reach {high} MiB"));
    }

    if highest > BORDER {
        pieces.retain(|piece| piece.address() < BORDER);
        for size in SMALLER {
            pieces.extend(core::iter::from_fn(|| Piece::take(size)).take_while(|piece| piece.address() < BORDER));
        }
    }
    let found: Vec<_> = disks().into_iter().filter(|disk| !disk.is_partition && !disk.is_read_only).collect();
    if number("disks").is_some_and(|count| count != found.len()) {
        return Err(format!("there are {} disks", found.len()));
    }
    found.iter().try_for_each(|info| {
        let disk = Disk::open(&info.name).map_err(|error| format!("{}: {error}", info.name))?;
        copies(&disk, highest > BORDER).map_err(|error| format!("{}: {error}", info.name))
    })
}

fn number(key: &str) -> Option<usize> {
    toro::env::option(key)?.parse().ok()
}

/// Writes the first blocks of a disk and reads them into another buffer.
fn copies(disk: &Disk, is_high: bool) -> Result<(), String> {
    let text = |error: toro::io::Error| error.to_string();
    let mut buffer = disk.buffer(BUFFER).map_err(text)?;
    let mut other = disk.buffer(BUFFER).map_err(text)?;
    let places = [buffer.bus_addr().get(), other.bus_addr().get()];
    if is_high && places.iter().any(|&place| place < BORDER as u64) {
        return Err(format!("buffers at {places:#x?}"));
    }
    for (number, word) in (0_u64..).zip(buffer.as_chunks_mut::<8>().0) {
        *word = number.to_le_bytes();
    }
    other.fill(0xff);
    let (written, result) = disk.write(0, buffer).wait();
    result.map_err(text)?;
    disk.flush().map_err(text)?;
    let (read, result) = disk.read(0, other).wait();
    result.map_err(text)?;
    if written.zip(read).is_none_or(|(written, read)| written[..] != read[..]) {
        return Err("what is read is not what was written".to_string());
    }
    toro::println!("machine: {}: {BUFFER} bytes by way of {:#x}", disk.name(), places[0]);
    Ok(())
}
