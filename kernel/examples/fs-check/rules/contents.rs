//! What is in files: positions, ends, holes.

use alloc::format;
use alloc::vec;

use toro::fs::{self, Allocation, File, OpenOptions};
use toro::io::ErrorKind::{self, InvalidInput, IsADirectory, NotFound, PermissionDenied};
use toro::io::{Read, Seek, SeekFrom, Write};

use super::Rule;
use crate::outcome::{Checked, failed, failed_with, same, same_bytes, worked};

/// "Bad file descriptor": it was not opened for that.
const EBADF: i32 = 9;

pub(super) const RULES: &[Rule] = &[
    Rule::new("a file may be done with what it was opened for", rights),
    Rule::new("options that contradict each other open nothing", contradictions),
    Rule::new("an empty file is made or emptied as is asked", creation),
    Rule::new("what is written is read, through every handle at once", written),
    Rule::new("there are zeros between the end and what is written behind it", hole),
    Rule::new("a file is cut off and lengthened with zeros", lengths),
    Rule::new("what is appended goes behind the end, wherever that is", appended),
    Rule::new("a position moves with what is read and written", positions),
    Rule::new("a read behind the end reads nothing", behind_the_end),
    Rule::new("a file that nobody may read is read all the same", unreadable).with(|features| features.modes),
    Rule::new("a copy has contents and permissions of its own", copied),
    Rule::new("space is reserved, and holes are made", allocated).with(|features| features.links),
    Rule::new("data and holes are found", sought),
    Rule::new("large writes and reads are whole", large),
    Rule::new("what was made stable can be read", stable),
];

fn rights(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", fs::write(&path, "contents"))?;
    let reader = worked("open", File::open(&path))?;
    failed_with("write", reader.write_at(b"x", 0), EBADF)?;
    failed("cut off", reader.set_len(1), InvalidInput)?;
    let writer = worked("open", OpenOptions::new().write(true).open(&path))?;
    failed_with("read", writer.read_at(&mut [0; 1], 0), EBADF)?;
    worked("write", writer.write_at(b"C", 0))?;
    same_bytes("contents", &worked("read", fs::read(&path))?, b"Contents")
}

fn contradictions(place: &str) -> Checked {
    let path = format!("{place}/file");
    failed("nothing", OpenOptions::new().open(&path), InvalidInput)?;
    failed("create for reading", OpenOptions::new().read(true).create(true).open(&path), InvalidInput)?;
    failed("empty for reading", OpenOptions::new().read(true).truncate(true).open(&path), InvalidInput)?;
    failed("empty for appending", OpenOptions::new().append(true).truncate(true).open(&path), InvalidInput)?;
    failed("whether it is there", fs::metadata(&path), NotFound)
}

fn creation(place: &str) -> Checked {
    let path = format!("{place}/file");
    failed("write", OpenOptions::new().write(true).open(&path), NotFound)?;
    worked("create", OpenOptions::new().write(true).create(true).open(&path))?;
    worked("write", fs::write(&path, "contents"))?;
    worked("keep", OpenOptions::new().write(true).create(true).open(&path))?;
    same_bytes("contents", &worked("read", fs::read(&path))?, b"contents")?;
    worked("empty", OpenOptions::new().write(true).truncate(true).open(&path))?;
    same("length", worked("attributes", fs::metadata(&path))?.len(), 0)?;
    failed("a directory", OpenOptions::new().write(true).truncate(true).open(place), IsADirectory)
}

fn written(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", fs::write(&path, "0123456789"))?;
    let (one, other) = (worked("open", File::open(&path))?, worked("open", File::open(&path))?);
    let mut bytes = [0; 16];
    worked("read", other.read_at(&mut bytes, 0))?;
    let writer = worked("open", OpenOptions::new().read(true).write(true).open(&path))?;
    for (number, offset) in [(1_u8, 0_u64), (2, 5), (3, 9), (4, 12)] {
        worked("write", writer.write_at(&[number], offset))?;
        for file in [&one, &other, &writer] {
            let mut byte = [0];
            worked("read", file.read_exact_at(&mut byte, offset))?;
            same("a byte", byte, [number])?;
            let length = worked("attributes", file.metadata())?.len();
            same("length", length, offset.max(9) + 1)?;
        }
        same("length", worked("attributes", fs::metadata(&path))?.len(), offset.max(9) + 1)?;
    }
    same_bytes("contents", &worked("read", fs::read(&path))?, b"\x011234\x02678\x03\0\0\x04")
}

fn hole(place: &str) -> Checked {
    let path = format!("{place}/file");
    let file = worked("create", File::create_new(&path))?;
    worked("write", file.write_all_at(b"end", 100_000))?;
    let contents = worked("read", fs::read(&path))?;
    let mut wanted = vec![0; 100_000];
    wanted.extend(b"end");
    same_bytes("contents", &contents, &wanted)
}

fn lengths(place: &str) -> Checked {
    let path = format!("{place}/file");
    let file = worked("create", File::create_new(&path))?;
    worked("write", file.write_all_at(&[7; 10_000], 0))?;
    let mut wanted = vec![7; 10_000];
    for length in [9999, 4097, 4096, 4095, 1, 0, 1, 5000, 70_000, 3] {
        worked("set the length", file.set_len(length as u64))?;
        wanted.resize(length, 0);
        same("length", worked("attributes", file.metadata())?.len(), length as u64)?;
        same_bytes("contents", &worked("read", fs::read(&path))?, &wanted)?;
    }
    failed("a length that is none", file.set_len(u64::MAX), InvalidInput)
}

fn appended(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", fs::write(&path, "start"))?;
    let mut log = worked("open", OpenOptions::new().read(true).append(true).open(&path))?;
    let other = worked("open", OpenOptions::new().write(true).open(&path))?;
    worked("append", log.write_all(b"+one"))?;
    worked("write", other.write_all_at(b"X", 20))?;
    worked("append, wherever", log.write_at(b"+two", 0))?;
    worked("cut off", other.set_len(3))?;
    worked("append", log.write_all(b"+three"))?;
    same("position", worked("position", log.stream_position())?, 9)?;
    same_bytes("contents", &worked("read", fs::read(&path))?, b"sta+three")
}

fn positions(place: &str) -> Checked {
    let path = format!("{place}/file");
    let mut file = worked("create", File::create_new(&path))?;
    worked("write", file.write_all(b"0123456789"))?;
    same("position", worked("seek", file.seek(SeekFrom::Start(2)))?, 2)?;
    let mut bytes = [0; 3];
    worked("read", file.read_exact(&mut bytes))?;
    same_bytes("contents", &bytes, b"234")?;
    same("position", worked("seek", file.seek(SeekFrom::Current(-1)))?, 4)?;
    same("position", worked("seek", file.seek(SeekFrom::End(-2)))?, 8)?;
    worked("write", file.write_all(b"abcd"))?;
    failed("before the start", file.seek(SeekFrom::Current(-100)), InvalidInput)?;
    same_bytes("contents", &worked("read", fs::read(&path))?, b"01234567abcd")
}

fn behind_the_end(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", fs::write(&path, "contents"))?;
    let file = worked("open", File::open(&path))?;
    for offset in [8, 9, 100_000, 1 << 40] {
        same("bytes", worked("read", file.read_at(&mut [0; 10], offset))?, 0)?;
    }
    failed("all of it", file.read_exact_at(&mut [0; 10], 0), ErrorKind::UnexpectedEof)
}

fn unreadable(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", fs::write(&path, "contents"))?;
    worked("set", fs::set_permissions(&path, fs::Permissions::from_mode(0)))?;
    // The application is the superuser.
    same_bytes("contents", &worked("read", fs::read(&path))?, b"contents")?;
    match fs::write(&path, "changed") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == PermissionDenied => Err("the server does not take us for the superuser".into()),
        Err(error) => worked("write", Err(error)),
    }
}

fn copied(place: &str) -> Checked {
    let (from, to) = (format!("{place}/from"), format!("{place}/to"));
    let contents = vec![9; 300_000];
    worked("create", fs::write(&from, &contents))?;
    same("bytes", worked("copy", fs::copy(&from, &to))?, 300_000)?;
    worked("write", fs::write(&from, "x"))?;
    same_bytes("contents", &worked("read", fs::read(&to))?, &contents)?;
    same("bytes", worked("copy over it", fs::copy(&from, &to))?, 1)?;
    same_bytes("contents", &worked("read", fs::read(&to))?, b"x")?;
    failed("from nothing", fs::copy(format!("{place}/x"), &to), NotFound)
}

fn allocated(place: &str) -> Checked {
    let path = format!("{place}/file");
    let file = worked("create", File::create_new(&path))?;
    let allocate = |offset, length, how| match file.allocate(offset, length, how) {
        // Not all file systems of the host can do all of it.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        result => worked("reserve", result).map(|()| true),
    };
    let mut wanted = vec![5; 20_000];
    worked("write", file.write_all_at(&wanted, 0))?;
    if allocate(10_000, 20_000, Allocation::Extend)? {
        wanted.resize(30_000, 0);
    }
    same_bytes("longer", &worked("read", fs::read(&path))?, &wanted)?;
    allocate(0, 100_000, Allocation::KeepSize)?;
    same_bytes("as long", &worked("read", fs::read(&path))?, &wanted)?;
    if allocate(4096, 8192, Allocation::PunchHole)? {
        wanted.iter_mut().skip(4096).take(8192).for_each(|byte| *byte = 0);
    }
    same_bytes("with a hole", &worked("read", fs::read(&path))?, &wanted)?;
    failed("nothing", file.allocate(0, 0, Allocation::Extend), InvalidInput)
}

fn sought(place: &str) -> Checked {
    let path = format!("{place}/file");
    let file = worked("create", File::create_new(&path))?;
    worked("write", file.write_all_at(b"data", 1 << 20))?;
    let end = (1 << 20) + 4;
    // Holes need not be kept: then all is data.
    let data = worked("data", file.seek_data(0))?.unwrap_or(u64::MAX);
    same("whether data is before the end", data <= 1 << 20, true)?;
    same("a hole", worked("hole", file.seek_hole(1 << 20))?, Some(end))?;
    same("data behind the end", worked("data", file.seek_data(end))?, None)
}

fn large(place: &str) -> Checked {
    let path = format!("{place}/file");
    let wanted: vec::Vec<u8> = (0..(3_u32 << 20) + 12_345).map(|number| (number % 251) as u8).collect();
    let mut file = worked("create", File::create_new(&path))?;
    same("bytes", worked("write", file.write_at(&wanted, 0))?, wanted.len())?;
    same_bytes("contents", &worked("read", fs::read(&path))?, &wanted)?;
    let mut bytes = vec![0; wanted.len() + 1];
    same("bytes", worked("read", file.read_at(&mut bytes, 0))?, wanted.len())?;
    bytes.truncate(wanted.len());
    same_bytes("contents", &bytes, &wanted)?;
    let buffer = worked("a buffer", file.read_buffer(4096, 64 << 10))?;
    let part = wanted.get(4096..4096 + buffer.len()).unwrap_or_default();
    same_bytes("contents", &buffer, part)?;
    worked("seek", file.seek(SeekFrom::Start(1_000_001)))?;
    let mut rest = vec::Vec::new();
    worked("read to the end", file.read_to_end(&mut rest))?;
    same_bytes("contents", &rest, wanted.get(1_000_001..).unwrap_or_default())
}

fn stable(place: &str) -> Checked {
    let path = format!("{place}/file");
    let file = worked("create", File::create_new(&path))?;
    worked("write", file.write_all_at(b"contents", 0))?;
    worked("make data stable", file.sync_data())?;
    worked("make all stable", file.sync_all())?;
    worked("make names stable", fs::sync_dir(place))?;
    same_bytes("contents", &worked("read", fs::read(&path))?, b"contents")?;
    worked("close", file.close())
}
