//! A disk that somebody outside grows, and then shrinks, while it is in use by a core that does not own it.
//!
//! Each time that it says `disk has N sectors`, the disk is expected to change. The word `notice=told` is for a device that
//! says so by interrupt: nobody asks it then. Otherwise the growth is noticed by reading what was not there.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use toro::core::{self as cores, CoreId};
use toro::fs::block::{Disk, disks};
use toro::io::ErrorKind;
use toro::thread;
use toro::time::{Duration, Instant};

/// How long the host may take.
const PATIENCE: Duration = Duration::from_secs(120);
const SECTOR: usize = 512;

type Result<T> = core::result::Result<T, String>;

pub fn run() -> Result<()> {
    let name = disks().first().map(|disk| disk.name.clone()).ok_or("no disk")?;
    let last = cores::all().next_back().unwrap_or(CoreId::BOOT);
    let Ok(result) = thread::spawn_on(last, move || follow(&name)).join();
    result
}

fn follow(name: &str) -> Result<()> {
    let disk = Disk::open(name).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; SECTOR];
    let first = disk.sectors();
    toro::println!("disk has {first} sectors");
    if toro::env::option("notice") == Some("told") {
        wait(|| disk.sectors() > first)?;
    } else {
        wait(|| disk.read_at(&mut bytes, first).is_ok())?;
    }
    let grown = disk.sectors();
    bytes.fill(7);
    disk.write_at(&bytes, grown - 1).map_err(|error| format!("the last of {grown} sectors: {error}"))?;
    toro::println!("disk has {grown} sectors");
    wait(|| disk.refresh() < grown)?;
    let shrunk = disk.sectors();
    disk.read_at(&mut bytes, shrunk - 1).map_err(|error| format!("the last of {shrunk} sectors: {error}"))?;
    let beyond = disk.read_at(&mut bytes, shrunk).err().map(|error| error.kind());
    if beyond != Some(ErrorKind::InvalidInput) {
        return Err(format!("sector {shrunk} of {shrunk}: {beyond:?}"));
    }
    let listed = disks().first().map(|disk| disk.sectors);
    if listed != Some(shrunk) {
        return Err(format!("the list says {listed:?} sectors, not {shrunk}"));
    }
    toro::println!("disk has {shrunk} sectors");
    Ok(())
}

fn wait(mut has_happened: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !has_happened() {
        if Instant::now() > deadline {
            return Err("the disk does not change".to_string());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
