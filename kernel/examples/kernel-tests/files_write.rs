//! Files on a disk, written by all cores.
//!
//! Words: `path=/PATH` is the directory that is used, `/` without it; `cores=N` is how many cores there must be.
//!
//! | test | what it does |
//! |---|---|
//! | `files-write` | everything that changes files, in a directory of each thread's own and in one for all; leaves `kept` |
//! | `files-kept` | finds what `files-write` left before the machine ended, and leaves the mount |
//! | `files-read-only` | all that would change something is refused, and reading works |
//!
//! What `files-write` leaves in `PATH` for whoever looks at the disk: `kept/numbers`, the numbers below 30,000 each on a
//! line; `kept/A Long Name, Größer.txt` with the one line `hello`; and `kept/log`, to which all threads appended.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::fmt::Write as _;

use toro::core as cores;
use toro::fs::{self, Allocation, Collision, File, FileTimes, OpenOptions};
use toro::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use toro::thread;
use toro::time::{Duration, Instant, UNIX_EPOCH};

use crate::crew::{crew, last_core};

type Result<T> = core::result::Result<T, String>;

/// Threads on each core.
const THREADS: usize = 3;
/// Lines that each thread appends to the file of all.
const LINES: usize = 20;
/// How often each thread counts.
const COUNTS: usize = 10;

pub fn run() -> Result<()> {
    expect_cores()?;
    let root = root();
    let kept = join(&root, "kept");
    let own = |number| join(&root, &format!("thread {number}"));
    // From an earlier boot, perhaps one that was interrupted.
    for path in (0..THREADS * cores::count()).map(own).chain([kept.clone()]) {
        remove_all(&path).map_err(|error| explain(&path, error))?;
    }
    let free = free(&root)?;

    fs::create_dir(&kept).map_err(|error| explain(&kept, error))?;
    let counter = join(&root, "counter");
    for result in crew(THREADS * 2, |_| count(&counter).map_err(|error| explain(&counter, error))) {
        result?;
    }
    let counted = fs::read_to_string(&counter).map_err(|error| explain(&counter, error))?;
    if counted != (THREADS * 2 * cores::count() * COUNTS).to_string() {
        return Err(explain(&counter, format!("{counted} is what was counted")));
    }
    fs::remove_file(&counter).map_err(|error| explain(&counter, error))?;
    for result in crew(THREADS, |number| exercise(&own(number), &join(&kept, "log"), number)) {
        result?;
    }
    let log = join(&kept, "log");
    check_log(&log)?;
    expect_free(&root, free - used(&kept)?)?;

    let numbers = join(&kept, "numbers");
    let named = join(&kept, "A Long Name, Größer.txt");
    let write = |path: &str, text: &str| fs::write(path, text).map_err(|error| explain(path, error));
    write(&numbers, &self::numbers())?;
    write(&named, "hello\n")?;
    // And nothing is made stable here: an orderly end does that.
    Ok(())
}

/// After `files-write` and another boot.
pub fn kept() -> Result<()> {
    expect_cores()?;
    let kept = join(&root(), "kept");
    for result in crew(1, |_| {
        let is_well = |mount: &fs::MountStatus| mount.failure.is_none();
        if !fs::mount_status().iter().all(is_well) {
            return Err(explain(&kept, format!("{:?}", fs::mount_status())));
        }
        let text = |name: &str| {
            let path = join(&kept, name);
            fs::read_to_string(&path).map_err(|error| explain(&path, error))
        };
        let is_kept = text("numbers")? == numbers() && text("A LONG name, grÖßer.TXT")? == "hello\n";
        if !is_kept {
            return Err(explain(&kept, "something else is in the files"));
        }
        check_log(&join(&kept, "log"))
    }) {
        result?;
    }
    leave(&join(&kept, "numbers"))
}

/// Leaves the mount, by a thread of a core that it does not belong to, if there are several.
fn leave(file: &str) -> Result<()> {
    let (root, file) = (root(), String::from(file));
    cores::run_on(last_core(), move || {
        let open = File::open(&file).map_err(|error| explain(&file, error))?;
        fs::unmount(&root).map_err(|error| explain(&root, error))?;
        refused(&file, open.read_at(&mut [0], 0), ErrorKind::NotConnected)?;
        if fs::mount_status().iter().any(|mount| mount.path == root.as_bytes()) {
            return Err(explain(&root, "it is mounted still"));
        }
        refused(&root, fs::unmount(&root), ErrorKind::InvalidInput)
    })
}

/// On a disk that cannot be written, with at least one file in `PATH`.
pub fn read_only() -> Result<()> {
    let root = root();
    let entry = fs::read_dir(&root).map_err(|error| explain(&root, error))?.find_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_file().then(|| String::from_utf8_lossy(&entry.path()).into_owned())
    });
    let file = entry.ok_or_else(|| explain(&root, "no file is in there"))?;
    for result in crew(1, |_| {
        let length = fs::read(&file).map_err(|error| explain(&file, error))?.len();
        let new = join(&root, "new");
        refused(&file, File::create(&file), ErrorKind::ReadOnlyFilesystem)?;
        refused(&file, OpenOptions::new().append(true).open(&file), ErrorKind::ReadOnlyFilesystem)?;
        refused(&new, fs::write(&new, "x"), ErrorKind::ReadOnlyFilesystem)?;
        refused(&new, fs::create_dir(&new), ErrorKind::ReadOnlyFilesystem)?;
        refused(&file, fs::remove_file(&file), ErrorKind::ReadOnlyFilesystem)?;
        refused(&file, fs::rename(&file, &new), ErrorKind::ReadOnlyFilesystem)?;
        let is_same = fs::metadata(&file).is_ok_and(|metadata| metadata.len() == length as u64);
        if is_same { Ok(()) } else { Err(explain(&file, "it has changed")) }
    }) {
        result?;
    }
    Ok(())
}

/// Everything that changes files, in `directory`, which is this thread's alone and gone afterwards.
fn exercise(directory: &str, log: &str, number: usize) -> Result<()> {
    let name = |name: &str| join(directory, name);
    let steps: [(&str, io::Result<bool>); 6] = [
        ("directories", directories(&name)),
        ("contents", contents(&name("large"), number)),
        ("names", names(&name)),
        ("attributes", attributes(&name("attributes"))),
        ("a removed file", removed(&name("removed"))),
        ("many files", many(&name("many"))),
    ];
    for (what, outcome) in steps {
        match outcome {
            Ok(true) => {}
            Ok(false) => return Err(explain(directory, format!("{what}: not as they should be"))),
            Err(error) => return Err(explain(directory, format!("{what}: {error}"))),
        }
    }
    append(log, number).map_err(|error| explain(log, error))?;

    refused(directory, fs::remove_dir(directory), ErrorKind::DirectoryNotEmpty)?;
    refused(directory, fs::remove_file(directory), ErrorKind::IsADirectory)?;
    refused(directory, fs::create_dir(directory), ErrorKind::AlreadyExists)?;
    refused(directory, File::create(directory), ErrorKind::IsADirectory)?;
    refused(directory, File::create_new(name("large")), ErrorKind::AlreadyExists)?;
    refused(directory, fs::remove_file(name("none")), ErrorKind::NotFound)?;
    refused(directory, fs::create_dir(name("none/x")), ErrorKind::NotFound)?;
    refused(directory, fs::create_dir(name("large/x")), ErrorKind::NotADirectory)?;
    refused(directory, fs::rename(name("a"), name("a/x")), ErrorKind::InvalidInput)?;
    remove_all(directory).map_err(|error| explain(directory, error))
}

fn directories(name: &dyn Fn(&str) -> String) -> io::Result<bool> {
    fs::create_dir_all(name("a/b/c"))?;
    fs::create_dir_all(name("a/b/c/"))?;
    Ok(fs::metadata(name("a/b/c"))?.is_dir())
}

/// Bytes that say where they belong, in pieces that fit nothing.
fn contents(path: &str, number: usize) -> io::Result<bool> {
    let bytes: Vec<u8> = (0..150_000_usize).map(|index| (index / 7 + index + number) as u8).collect();
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    for piece in bytes.chunks(7777) {
        file.write_all(piece)?;
    }
    let mut found = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut found)?;
    let mut is_right = found == bytes;

    file.seek(SeekFrom::End(-5))?;
    file.write_all(b"0123456789")?;
    is_right &= file.write_at(b"start", 0)? == 5;
    let mut end = [0; 20];
    let expected = [&bytes[149_990..149_995], b"0123456789"].concat();
    is_right &= file.read_at(&mut end, 149_990)? == 15 && end[..15] == expected;
    file.set_len(70_000)?;
    file.set_len(70_010)?;
    let expected = [&bytes[69_995..70_000], &[0; 10]].concat();
    is_right &= file.read_at(&mut end, 69_995)? == 15 && end[..15] == expected;

    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    file.set_modified(time)?;
    file.sync_all()?;
    let metadata = fs::metadata(path)?;
    is_right &= metadata.len() == 70_010 && metadata.modified() == time;
    Ok(is_right && file.read_buffer(1000, 5000)?[..] == bytes[1000..6000])
}

fn names(name: &dyn Fn(&str) -> String) -> io::Result<bool> {
    let (copy, moved) = (name("a/copy"), name("a/b/c/moved, with a long name"));
    let mut is_right = fs::copy(name("large"), &copy)? == 70_010;
    fs::rename(&copy, &moved)?;
    is_right &= !fs::exists(&copy)? && fs::read(&moved)? == fs::read(name("large"))?;
    fs::write(&copy, "short")?;
    fs::rename(&copy, &moved)?;
    is_right &= fs::read_to_string(&moved)? == "short";
    fs::rename(name("a/b"), name("elsewhere"))?;
    is_right &= fs::read_to_string(name("elsewhere/c/moved, with a long name"))? == "short";
    Ok(is_right && !fs::exists(name("a/b"))?)
}

/// What is removed while it is open.
fn removed(path: &str) -> io::Result<bool> {
    fs::write(path, "short")?;
    let mut file = File::options().read(true).write(true).open(path)?;
    fs::remove_file(path)?;
    fs::write(path, "another")?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(b" but long enough")?;
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text == "short but long enough" && fs::read_to_string(path)? == "another")
}

/// Many files in one directory, each of which holds its number.
fn many(path: &str) -> io::Result<bool> {
    fs::create_dir(path)?;
    for index in 0..100 {
        fs::write(join(path, &format!("file number {index}")), index.to_string())?;
    }
    let mut count = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let number = entry.file_name().rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        if fs::read(entry.path())? != number || entry.metadata()?.len() != number.len() as u64 {
            return Ok(false);
        }
        count += 1;
    }
    Ok(count == 100)
}

/// Lines for the file of all.
fn append(log: &str, number: usize) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(log)?;
    for line in 0..LINES {
        let text = format!("thread {number} line {line} {}\n", "x".repeat(number * 50));
        file.write_all(text.as_bytes())?;
        if line % 5 == 0 {
            file.sync_data()?;
            thread::yield_now();
        }
    }
    Ok(())
}

/// Whether each thread's lines are in the file, whole and in order.
fn check_log(log: &str) -> Result<()> {
    let text = fs::read_to_string(log).map_err(|error| explain(log, error))?;
    let mut next = vec![0; THREADS * cores::count()];
    for line in text.lines() {
        let mut words = line.split(' ');
        let mut number = || words.nth(1).and_then(|word| word.parse::<usize>().ok());
        let (thread, index) = (number(), number());
        let expected = thread.and_then(|thread| next.get_mut(thread)).ok_or_else(|| explain(log, line))?;
        let is_whole =
            line.len() == format!("thread {} line {expected} ", thread.unwrap_or(0)).len() + thread.unwrap_or(0) * 50;
        if index != Some(*expected) || !is_whole {
            return Err(explain(log, line));
        }
        *expected += 1;
    }
    if next.iter().all(|&count| count == LINES) { Ok(()) } else { Err(explain(log, "lines are missing")) }
}

/// A directory and all that is in it, if it is there.
fn remove_all(path: &str) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Counts in a file, of which one thread at a time has the lock: by a call it is given up, or by the end of the handle.
fn count(path: &str) -> io::Result<()> {
    for round in 0..COUNTS {
        let file = File::options().read(true).write(true).create(true).open(path)?;
        file.lock()?;
        let mut text = String::new();
        (&file).read_to_string(&mut text)?;
        let number: usize = text.parse().unwrap_or(0);
        thread::yield_now();
        file.write_all_at((number + 1).to_string().as_bytes(), 0)?;
        if round % 2 == 0 {
            file.unlock()?;
        }
    }
    Ok(())
}

/// What a disk keeps of permissions and times, and that it has no links.
fn attributes(path: &str) -> io::Result<bool> {
    let file = File::create_new(path)?;
    file.write_all_at(b"old", 0)?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(path, permissions.clone())?;
    file.write_all_at(b"new", 0)?;
    let is_refused = File::create(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    let time = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    fs::set_times(path, FileTimes::new().set_modified(time).set_accessed(time))?;
    let metadata = fs::metadata(path)?;
    let is_kept = metadata.permissions().readonly() && metadata.modified() == time;
    permissions.set_readonly(false);
    file.set_permissions(permissions)?;
    let link = format!("{path} too");
    let no_links = [fs::symlink(path, &link), fs::hard_link(path, &link)]
        .into_iter()
        .all(|result| result.is_err_and(|error| error.raw_os_error() == Some(1)));
    file.allocate(0, 5, Allocation::Extend)?;
    let is_long = fs::read(path)? == b"new\0\0";
    fs::sync_dir(path.rsplit_once('/').map_or("/", |(directory, _)| directory))?;
    Ok(is_refused && is_kept && no_links && is_long && fs::rename_with(path, path, Collision::Refuse).is_err())
}

/// Free room in the file system that `path` is in, in bytes.
fn free(path: &str) -> Result<u64> {
    fs::statfs(path).map(|stats| stats.blocks_free * u64::from(stats.block_size)).map_err(|error| explain(path, error))
}

/// Waits until so much room is free. The room of what other cores have removed comes back when they have let go of it, of
/// which they tell the owner without waiting.
fn expect_free(path: &str, expected: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while free(path)? != expected {
        if Instant::now() > deadline {
            return Err(explain(path, format!("{} bytes are free instead of {expected}", free(path)?)));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The room that a directory with files takes, in bytes.
fn used(path: &str) -> Result<u64> {
    let block = u64::from(fs::statfs(path).map_err(|error| explain(path, error))?.block_size);
    let mut used = block;
    for entry in fs::read_dir(path).map_err(|error| explain(path, error))? {
        let metadata = entry.and_then(|entry| entry.metadata()).map_err(|error| explain(path, error))?;
        used += metadata.len().next_multiple_of(block);
    }
    Ok(used)
}

fn numbers() -> String {
    let mut text = String::new();
    for number in 0..30_000 {
        let _ = writeln!(text, "{number}");
    }
    text
}

fn root() -> String {
    toro::env::option("path").unwrap_or("/").to_string()
}

fn expect_cores() -> Result<()> {
    let expected = toro::env::option("cores").and_then(|word| word.parse().ok()).unwrap_or(cores::count());
    if cores::count() == expected { Ok(()) } else { Err(format!("{} cores came, not {expected}", cores::count())) }
}

fn join(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

fn explain(path: &str, what: impl ToString) -> String {
    format!("core {}: {path}: {}", cores::current(), what.to_string())
}

fn refused<T: Debug>(path: &str, result: io::Result<T>, expected: ErrorKind) -> Result<()> {
    match result {
        Err(error) if error.kind() == expected => Ok(()),
        other => Err(explain(path, format!("{other:?} instead of {expected:?}"))),
    }
}
