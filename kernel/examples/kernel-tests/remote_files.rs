//! Files of a share that belongs to the boot core, from all cores at once.
//!
//! The boot core looks at everything in the share first: attributes, contents, listings, links. Then threads on every
//! core, more of them than the owner has workers, look at all of it again, each from another point on, and must find the
//! same. What was found is printed as numbers, so that the host can say whether it is what it shared.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

use toro::core::{self as cores, CoreId};
use toro::fs::{self, File, FileType, Metadata};
use toro::io::{self, ErrorKind, Read};
use toro::thread;
use toro::time::Duration;

/// Threads on each core.
const THREADS: usize = 8;

type Result<T> = core::result::Result<T, String>;

/// What the boot core has found.
struct Known {
    path: Vec<u8>,
    metadata: Metadata,
    contents: Contents,
}

#[derive(PartialEq)]
enum Contents {
    File(Vec<u8>),
    /// The names, and what they are.
    Directory(Vec<(Vec<u8>, FileType)>),
    Link(Vec<u8>),
    Other,
}

pub fn run() -> Result<()> {
    expect_cores()?;
    let known = Arc::new(explore()?);
    let (mut files, mut bytes, mut sum) = (0, 0, 0);
    for contents in
        known.iter().filter_map(|known| if let Contents::File(bytes) = &known.contents { Some(bytes) } else { None })
    {
        files += 1;
        bytes += contents.len();
        sum = contents.iter().fold(sum, |sum: u64, &byte| sum.wrapping_add(u64::from(byte)));
    }
    toro::println!("{files} files, {bytes} bytes with the sum {sum}, {} objects", known.len());
    for _ in 0..2 {
        let threads: Vec<_> = cores::all()
            .flat_map(|core| (0..THREADS).map(move |number| (core, number)))
            .map(|(core, number)| {
                let known = Arc::clone(&known);
                let start = (core.index() * THREADS + number) * known.len() / (THREADS * cores::count());
                thread::spawn_on(core, move || look(&known, start))
            })
            .collect();
        for thread in threads {
            let Ok(result) = thread.join();
            result?;
        }
    }
    call_sleeper()
}

/// Calls the owner when it sleeps, and nothing but the call can wake it: its workers have ended by then but for one.
fn call_sleeper() -> Result<()> {
    let last = cores::all().last().unwrap_or(CoreId::BOOT);
    let caller = thread::spawn_on(last, || {
        for pause in [2500, 5, 5, 5] {
            thread::sleep(Duration::from_millis(pause));
            fs::metadata("/").map_err(|error| explain(b"/", error))?;
        }
        Ok(())
    });
    let Ok(result) = caller.join();
    result
}

/// Ends the machine by the last core while threads of all cores read.
pub fn exit() -> Result<()> {
    expect_cores()?;
    let known = Arc::new(explore()?);
    for core in cores::all().cycle().take(THREADS * cores::count()) {
        let known = Arc::clone(&known);
        thread::spawn_on(core, move || {
            // What is under way when the end comes fails in one way or another.
            while look(&known, 0).is_ok() {}
        });
    }
    thread::sleep(Duration::from_millis(50));
    cores::run_on(cores::all().last().unwrap_or(CoreId::BOOT), || toro::process::exit(42))
}

fn expect_cores() -> Result<()> {
    let expected = toro::env::option("cores").and_then(|word| word.parse().ok()).unwrap_or(cores::count());
    if cores::count() == expected { Ok(()) } else { Err(format!("{} cores came, not {expected}", cores::count())) }
}

/// Everything in the share.
fn explore() -> Result<Vec<Known>> {
    let mut known = Vec::new();
    let mut pending = Vec::from([b"/".to_vec()]);
    while let Some(path) = pending.pop() {
        let metadata = fs::symlink_metadata(&path).map_err(|error| explain(&path, error))?;
        let contents = contents(&path, &metadata).map_err(|error| explain(&path, error))?;
        if let Contents::Directory(names) = &contents {
            pending.extend(names.iter().map(|(name, _)| join(&path, name)));
        }
        known.push(Known { path, metadata, contents });
    }
    Ok(known)
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
    [directory, slash, name].concat()
}

fn explain(path: &[u8], what: impl ToString) -> String {
    format!("core {}: {}: {}", cores::current(), path.escape_ascii(), what.to_string())
}

/// All attributes but the time of the last access, which changes as we look.
fn attributes(metadata: &Metadata) -> impl PartialEq {
    let times = (metadata.modified_time(), metadata.changed_time());
    let owner = (metadata.uid(), metadata.gid(), metadata.device());
    (metadata.mode(), metadata.len(), metadata.inode(), metadata.links(), metadata.blocks(), owner, times)
}

fn contents(path: &[u8], metadata: &Metadata) -> io::Result<Contents> {
    Ok(match metadata.file_type() {
        FileType::File => Contents::File(fs::read(path)?),
        FileType::Symlink => Contents::Link(fs::read_link(path)?),
        FileType::Directory => {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                names.push((entry.file_name().to_vec(), entry.file_type()?));
            }
            names.sort_by(|one, other| one.0.cmp(&other.0));
            Contents::Directory(names)
        }
        _ => Contents::Other,
    })
}

/// Looks at everything, beginning somewhere.
fn look(known: &[Known], start: usize) -> Result<()> {
    for known in known.iter().cycle().skip(start).take(known.len()) {
        let Known { path, metadata, contents: expected } = known;
        let same = |is_same: bool, what: &str| if is_same { Ok(()) } else { Err(explain(path, what)) };
        let found = fs::symlink_metadata(path).map_err(|error| explain(path, error))?;
        same(attributes(&found) == attributes(metadata), "other attributes")?;
        let found = contents(path, metadata).map_err(|error| explain(path, error))?;
        same(found == *expected, "other contents")?;
        if let Contents::File(bytes) = expected {
            same(parts(path, bytes).map_err(|error| explain(path, error))?, "other contents in parts")?;
            refused(path, fs::read_dir(path), ErrorKind::NotADirectory)?;
            refused(path, fs::metadata(join(path, b"x")), ErrorKind::NotADirectory)?;
            refused(path, fs::read_link(path), ErrorKind::InvalidInput)?;
        }
        if let Contents::Directory(_) = expected {
            refused(path, File::open(path), ErrorKind::IsADirectory)?;
            refused(path, File::open(join(path, b"no such file")), ErrorKind::NotFound)?;
            refused(path, fs::metadata(join(path, &[b'n'; 300])), ErrorKind::InvalidFilename)?;
            same(fs::statfs(path).is_ok_and(|stats| stats.block_size > 0), "no statistics")?;
        }
    }
    Ok(())
}

/// Reads a file in three ways, and says whether the bytes are these.
fn parts(path: &[u8], expected: &[u8]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut small = [0; 1000];
    let count = file.read(&mut small)?;
    let mut is_same = small.get(..count) == expected.get(..count) && count == expected.len().min(1000);
    let middle = expected.len() / 2;
    let count = file.read_at(&mut small, middle as u64)?;
    is_same &= expected[middle..].starts_with(&small[..count]) && count == (expected.len() - middle).min(1000);
    // Memory that the device wrote to, from the other core.
    let buffer = file.read_buffer(middle as u64, 100_000)?;
    is_same &= expected[middle..].starts_with(&buffer) && (buffer.is_empty() == expected.is_empty());
    is_same &= file.read_at(&mut small, expected.len() as u64)? == 0;
    Ok(is_same && file.metadata()?.len() == expected.len() as u64)
}

fn refused<T: Debug>(path: &[u8], result: io::Result<T>, expected: ErrorKind) -> Result<()> {
    match result {
        Err(error) if error.kind() == expected => Ok(()),
        other => Err(explain(path, format!("{other:?} instead of {expected:?}"))),
    }
}
