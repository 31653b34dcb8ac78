//! Disks, raw, from every core. Everything on them is overwritten.
//!
//! Each core has a part of each disk. It writes a stamp into every block of it, 32 requests at a time, reads all of it back
//! with requests of several sizes and in several ways, and then looks at what a neighbour has written. Nothing outside of the
//! disk can be reached. The word `disk=NAME` says which disk; without it, all that are not read-only. `disks=N` says how many
//! there are. A disk that is read-only is read, and refuses writes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use toro::core::{self as cores, CoreId, run_on};
use toro::fs::block::{CachedDisk, Disk, DiskError, DiskInfo, Pending, disks};
use toro::io::{self, ErrorKind};
use toro::thread;
use toro::time::Duration;

/// Requests under way at a time.
const DEPTH: usize = 32;
/// Bytes in a block that is stamped.
const BLOCK: usize = 4096;
/// Blocks on each core.
const MOST_BLOCKS: u64 = 512;
/// Sectors in a block.
const STRIDE: u64 = (BLOCK / 512) as u64;

type Result<T> = core::result::Result<T, String>;

pub fn run() -> Result<()> {
    let wanted = toro::env::option("disk");
    let found: Vec<_> = disks().into_iter().filter(|disk| wanted.is_none_or(|name| name == disk.name)).collect();
    if let Some(count) = toro::env::option("disks") {
        ensure(count.parse() == Ok(found.len()), || format!("{} disks, not {count}", found.len()))?;
    }
    ensure(!found.is_empty(), || "no disk".to_string())?;
    for info in found.iter().filter(|disk| !disk.is_partition) {
        toro::println!("{}: {} sectors, owners {:?}", info.name, info.sectors, info.owners);
        if info.is_read_only { refuses_writes(info)? } else { try_disk(info)? }
    }
    ensure(Disk::open("no-such-disk").is_err_and(|error| error.kind() == ErrorKind::NotFound), || {
        "a disk that is not there".to_string()
    })
}

fn try_disk(info: &DiskInfo) -> Result<()> {
    let count = cores::count() as u64;
    let blocks = (info.sectors / STRIDE / count).min(MOST_BLOCKS);
    ensure(blocks >= 64, || format!("{} is too small", info.name))?;
    on_all_cores(info, write_all)?;
    on_all_cores(info, read_all)?;
    on_all_cores(info, |disk, core, name| read_all(disk, (core + 1) % cores::count(), name))?;
    on_all_cores(info, |disk, core, _| threads(disk, core))?;
    let (name, owner) = (info.name.clone(), info.owners.first().copied().and_then(CoreId::new).unwrap_or(CoreId::BOOT));
    run_on(owner, move || cached(&name))?;
    limits(&explain(Disk::open(&info.name), "opening")?)
}

/// Calls `work` on all cores at once, each with its own handle.
fn on_all_cores(info: &DiskInfo, work: fn(&Disk, usize, &str) -> Result<()>) -> Result<()> {
    let start = |core: CoreId| {
        let name = info.name.clone();
        thread::spawn_on(core, move || {
            let disk = explain(Disk::open(&name), "opening")?;
            work(&disk, core.index(), &name).map_err(|error| format!("core {core}: {name}: {error}"))
        })
    };
    let threads: Vec<_> = cores::all().map(start).collect();
    threads.into_iter().try_for_each(|thread| {
        let Ok(result) = thread.join();
        result
    })
}

/// The blocks of a core: the first sector, and how many.
fn part(disk: &Disk, core: usize) -> (u64, u64) {
    let blocks = (disk.sectors() / STRIDE / cores::count() as u64).min(MOST_BLOCKS);
    (core as u64 * blocks * STRIDE, blocks)
}

/// What a sector holds.
fn stamp(bytes: &mut [u8], name: &str, sector: u64) {
    for (row, sector) in bytes.chunks_mut(512).zip(sector..) {
        row.fill(sector as u8);
        row[..8].copy_from_slice(&sector.to_le_bytes());
        let length = name.len().min(32);
        row[8..8 + length].copy_from_slice(&name.as_bytes()[..length]);
    }
}

fn check(bytes: &[u8], name: &str, sector: u64) -> Result<()> {
    let mut expected = vec![0; bytes.len()];
    stamp(&mut expected, name, sector);
    ensure(bytes == expected, || format!("sector {sector} and those behind it hold something else"))
}

fn write_all(disk: &Disk, core: usize, name: &str) -> Result<()> {
    let (first, blocks) = part(disk, core);
    let mut pending = Vec::new();
    for block in 0..blocks {
        if pending.len() == DEPTH {
            let (_, result) = Pending::wait(pending.remove(0));
            explain(result, "writing")?;
        }
        // Not in order, and some neighbours next to each other.
        let sector = first + (block * 3 % blocks_without_threes(blocks)) * STRIDE;
        let mut buffer = explain(disk.buffer(BLOCK), "a buffer")?;
        stamp(&mut buffer, name, sector);
        pending.push(disk.write(sector, buffer));
    }
    for pending in pending {
        explain(pending.wait().1, "writing")?;
    }
    // What the order above has left out.
    let mut rest = vec![0; (blocks - blocks_without_threes(blocks)) as usize * BLOCK];
    let sector = first + blocks_without_threes(blocks) * STRIDE;
    stamp(&mut rest, name, sector);
    explain(disk.write_at(&rest, sector), "writing the rest")?;
    explain(disk.flush(), "flushing")
}

/// The greatest number up to `blocks` that is not divisible by three.
fn blocks_without_threes(blocks: u64) -> u64 {
    if blocks.is_multiple_of(3) { blocks - 1 } else { blocks }
}

fn read_all(disk: &Disk, core: usize, name: &str) -> Result<()> {
    let (first, blocks) = part(disk, core);
    let pending: Vec<_> = (0..blocks.min(DEPTH as u64))
        .map(|block| {
            let sector = first + block * STRIDE;
            Ok((sector, disk.read(sector, explain(disk.buffer(BLOCK), "a buffer")?)))
        })
        .collect::<Result<_>>()?;
    for (sector, pending) in pending {
        let (buffer, result) = pending.wait();
        explain(result, "reading")?;
        check(&buffer.ok_or("no buffer came back")?, name, sector)?;
    }
    let mut whole = vec![0; blocks as usize * BLOCK];
    explain(disk.read_at(&mut whole, first), "reading all")?;
    check(&whole, name, first)?;
    // Given up, and still no harm.
    for block in 0..8 {
        drop(disk.read(first + block * STRIDE, explain(disk.buffer(BLOCK), "a buffer")?));
    }
    Ok(())
}

/// Several threads of a core read and write a block each, over and over.
fn threads(disk: &Disk, core: usize) -> Result<()> {
    let (first, _) = part(disk, core);
    let name = disk.name();
    let work = |number: u64| {
        let sector = first + number * STRIDE;
        for round in 0..20 {
            let mut bytes = vec![round; BLOCK];
            explain(disk.write_at(&bytes, sector), "writing")?;
            bytes.fill(0xFF);
            explain(disk.read_at(&mut bytes, sector), "reading")?;
            ensure(bytes.iter().all(|&byte| byte == round), || format!("block {number} in round {round}"))?;
        }
        let mut bytes = vec![0; BLOCK];
        stamp(&mut bytes, name, sector);
        explain(disk.write_at(&bytes, sector), "writing")
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..DEPTH as u64).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().try_for_each(|thread| {
            let Ok(result) = thread.join();
            result
        })
    })
}

/// Threads write to a volume with a cache, flush it and read from it, all at once; then the disk has what they wrote.
fn cached(name: &str) -> Result<()> {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 40;
    let disk = explain(CachedDisk::open(name), "opening with a cache")?;
    let outcome = Disk::open(name).err().map(|error| error.kind());
    ensure(outcome == Some(ErrorKind::ResourceBusy), || format!("raw beside a cache: {outcome:?}"))?;
    let work = |number: u64| -> Result<()> {
        let step = |round: u64| -> core::result::Result<(), DiskError> {
            // Small ones that share blocks, and large ones.
            let sectors = if round % 8 == 7 { 256 } else { 3 };
            let sector = 4096 + number * 1024 + round * 19;
            let mut bytes = vec![0; sectors * 512];
            stamp(&mut bytes, name, sector);
            disk.write(sector, &bytes)?;
            if round % 5 == number % 5 {
                disk.flush()?;
            }
            Ok(())
        };
        for round in 0..ROUNDS {
            step(round).map_err(|error| format!("thread {number}, round {round}: {error}"))?;
            let sector = 4096 + number * 1024 + round * 19;
            let mut bytes = [0; 3 * 512];
            disk.read(sector, &mut bytes).map_err(|error| error.to_string())?;
            check(&bytes, name, sector)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().try_for_each(|thread| {
            let Ok(result) = thread.join();
            result
        })
    })?;
    disk.flush().map_err(|error| error.to_string())?;
    let raw = explain(Disk::open_read_only(name), "opening")?;
    for number in 0..THREADS {
        for round in 0..ROUNDS {
            let sector = 4096 + number * 1024 + round * 19;
            let mut bytes = [0; 3 * 512];
            explain(raw.read_at(&mut bytes, sector), "reading")?;
            check(&bytes, name, sector)?;
        }
    }
    drop(disk);
    // Its thread takes leave when it has its turn.
    for _ in 0..1000 {
        if Disk::open(name).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(format!("{name} is still busy"))
}

/// What cannot be done, on the first and the last core.
fn limits(disk: &Disk) -> Result<()> {
    let end = disk.sectors();
    let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
    let mut bytes = [0; 1024];
    for (sector, length) in [(end, 512), (end - 1, 1024), (u64::MAX, 512), (0, 0x1FF), (u64::MAX / 512, 512)] {
        let outcome = kind(disk.read_at(&mut bytes[..length], sector));
        ensure(outcome == Some(ErrorKind::InvalidInput), || format!("{length} bytes at {sector}: {outcome:?}"))?;
        let outcome = kind(disk.write_at(&bytes[..length], sector));
        ensure(outcome == Some(ErrorKind::InvalidInput), || format!("{length} bytes to {sector}: {outcome:?}"))?;
    }
    let name = disk.name().to_string();
    let last = cores::all().next_back().unwrap_or(CoreId::BOOT);
    let outcome = run_on(last, move || {
        let disk = Disk::open_read_only(&name)?;
        disk.write_at(&[0; 512], 0)
    });
    ensure(kind(outcome) == Some(ErrorKind::ReadOnlyFilesystem), || "a write to what was opened to read".to_string())
}

fn refuses_writes(info: &DiskInfo) -> Result<()> {
    let disk = explain(Disk::open(&info.name), "opening")?;
    let mut bytes = vec![0; info.block_size as usize];
    explain(disk.read_at(&mut bytes, 0), "reading")?;
    let outcome = disk.write_at(&bytes, 0).err().map(|error| error.kind());
    ensure(outcome == Some(ErrorKind::ReadOnlyFilesystem), || format!("{}: writing: {outcome:?}", info.name))
}

fn explain<T>(result: io::Result<T>, what: &str) -> Result<T> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
