//! Names: what may be created and removed, and under which.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toro::fs::{self, DirBuilder, File, OpenOptions};
use toro::io::ErrorKind::{
    AlreadyExists, DirectoryNotEmpty, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound,
};

use super::{Rule, long_name};
use crate::outcome::{Checked, failed, failed_as, same, worked};

pub(super) const RULES: &[Rule] = &[
    Rule::new("a name that is taken is not created again", taken),
    Rule::new("a file needs a directory that is there", parents),
    Rule::new("a name has 255 bytes at most", too_long),
    Rule::new("a path has 4,095 bytes at most", too_long_a_path),
    Rule::new("a name has no NUL in it", nul),
    Rule::new("a directory that is not empty is not removed", not_empty),
    Rule::new("files and directories are removed by different calls", kinds),
    Rule::new("what is not there is not removed", missing),
    Rule::new("a slash behind a name makes it a directory's", slashes),
    Rule::new("a directory is not opened as a file", directories),
    Rule::new("names of all bytes but two are kept", odd_names).with(|features| features.links),
    Rule::new("a listing has every name once", listing),
    Rule::new("a directory whose names change while it is listed keeps those that stay", changing),
    Rule::new("directories are created all the way, and removed with all that is in them", trees),
];

fn taken(place: &str) -> Checked {
    let (file, directory) = (format!("{place}/file"), format!("{place}/directory"));
    worked("create", File::create_new(&file))?;
    worked("create", fs::create_dir(&directory))?;
    for path in [&file, &directory] {
        failed("a new file", File::create_new(path), AlreadyExists)?;
        failed("a new directory", fs::create_dir(path), AlreadyExists)?;
    }
    worked("create over a file", File::create(&file)).map(drop)
}

fn parents(place: &str) -> Checked {
    let file = format!("{place}/file");
    worked("create", File::create(&file))?;
    for (parent, wanted) in [("missing", NotFound), ("missing/deeper", NotFound), ("file", NotADirectory)] {
        let path = format!("{place}/{parent}/name");
        failed(&path, File::create(&path), wanted)?;
        failed(&path, fs::create_dir(&path), wanted)?;
        failed(&path, fs::metadata(&path), wanted)?;
        failed(&path, fs::remove_file(&path), wanted)?;
        failed(&path, fs::remove_dir(&path), wanted)?;
        failed(&path, fs::rename(&file, &path), wanted)?;
    }
    Ok(())
}

fn too_long(place: &str) -> Checked {
    let (fits, too_long) = (format!("{place}/{}", long_name(255)), format!("{place}/{}", long_name(256)));
    worked("255 bytes", File::create_new(&fits))?;
    worked("255 bytes", fs::remove_file(&fits))?;
    worked("255 bytes", fs::create_dir(&fits))?;
    worked("255 bytes", fs::metadata(&fits))?;
    failed("256 bytes", File::create_new(&too_long), InvalidFilename)?;
    failed("256 bytes", fs::create_dir(&too_long), InvalidFilename)?;
    failed("256 bytes", fs::metadata(&too_long), InvalidFilename)?;
    failed("256 bytes", fs::remove_file(&too_long), InvalidFilename)?;
    failed("256 bytes", fs::rename(&fits, &too_long), InvalidFilename)
}

fn too_long_a_path(place: &str) -> Checked {
    let deep: String = core::iter::repeat_n("/.", 2048).collect();
    failed("a long path", fs::metadata(format!("{place}{deep}")), InvalidFilename)
}

fn nul(place: &str) -> Checked {
    failed("a NUL", File::create(format!("{place}/a\0b")), InvalidInput)?;
    failed("a NUL", fs::create_dir(format!("{place}/\0")), InvalidInput)
}

fn not_empty(place: &str) -> Checked {
    let (directory, file) = (format!("{place}/directory"), format!("{place}/directory/file"));
    worked("create", fs::create_dir(&directory))?;
    worked("create", File::create(&file))?;
    failed("removing it full", fs::remove_dir(&directory), DirectoryNotEmpty)?;
    worked("removing the file", fs::remove_file(&file))?;
    worked("removing it empty", fs::remove_dir(&directory))?;
    failed("looking for it", fs::metadata(&directory), NotFound)
}

fn kinds(place: &str) -> Checked {
    let (file, directory) = (format!("{place}/file"), format!("{place}/directory"));
    worked("create", File::create(&file))?;
    worked("create", fs::create_dir(&directory))?;
    failed("a directory removed as a file", fs::remove_file(&directory), IsADirectory)?;
    failed("a file removed as a directory", fs::remove_dir(&file), NotADirectory)?;
    failed("a file listed", fs::read_dir(&file).map(drop), NotADirectory)
}

fn missing(place: &str) -> Checked {
    let path = format!("{place}/missing");
    failed("attributes", fs::metadata(&path), NotFound)?;
    failed("a file removed", fs::remove_file(&path), NotFound)?;
    failed("a directory removed", fs::remove_dir(&path), NotFound)?;
    failed("a file opened", File::open(&path), NotFound)?;
    failed("a file opened for writing", OpenOptions::new().write(true).open(&path), NotFound)?;
    failed("a link read", fs::read_link(&path), NotFound)?;
    // It was looked for and not found; it is found once it is there.
    worked("create", File::create(&path))?;
    worked("attributes", fs::metadata(&path)).map(drop)
}

fn slashes(place: &str) -> Checked {
    let (file, directory) = (format!("{place}/file"), format!("{place}/directory/"));
    worked("create", fs::create_dir(&directory))?;
    worked("create", File::create(&file))?;
    failed_as("a file", File::create(format!("{place}/new/")), &[IsADirectory])?;
    failed("a file", fs::metadata(format!("{file}/")), NotADirectory)?;
    failed("a file", File::open(format!("{file}/")), NotADirectory)?;
    same("a directory", worked("attributes", fs::metadata(format!("{directory}/")))?.is_dir(), true)?;
    worked("removing a directory", fs::remove_dir(&directory))
}

fn directories(place: &str) -> Checked {
    failed("opened for writing", OpenOptions::new().write(true).open(place), IsADirectory)?;
    failed("created", File::create(place), IsADirectory)
}

fn odd_names(place: &str) -> Checked {
    for byte in (1..=255_u8).filter(|&byte| byte != b'/') {
        // By itself a dot is another name.
        let name = [byte, b'x', byte];
        let path = [place.as_bytes(), b"/", &name].concat();
        worked("create", fs::write(&path, name))?;
    }
    let listed = worked("a listing", fs::read_dir(place))?;
    let mut names = Vec::new();
    for entry in listed {
        names.push(worked("a listing", entry)?.file_name().to_vec());
    }
    names.sort();
    let wanted: Vec<_> = (1..=255_u8).filter(|&byte| byte != b'/').map(|byte| [byte, b'x', byte].to_vec()).collect();
    same("names", names, wanted)
}

fn listing(place: &str) -> Checked {
    const NAMES: usize = 300;
    let name = |number: usize| format!("a name that is not short, number {number}").into_bytes();
    for number in 0..NAMES {
        worked("create", File::create([place.as_bytes(), b"/", &name(number)].concat()))?;
    }
    let mut found: Vec<_> = Vec::new();
    for entry in worked("a listing", fs::read_dir(place))? {
        let entry = worked("a listing", entry)?;
        same("its kind", worked("its kind", entry.file_type())?.is_file(), true)?;
        found.push(entry.file_name().to_vec());
    }
    found.sort();
    let mut wanted: Vec<_> = (0..NAMES).map(name).collect();
    wanted.sort();
    same("names", found, wanted)
}

fn changing(place: &str) -> Checked {
    for number in 0..200 {
        worked("create", File::create(format!("{place}/stays{number:03}")))?;
        worked("create", File::create(format!("{place}/goes{number:03}")))?;
    }
    let mut stayed = Vec::new();
    for (count, entry) in worked("a listing", fs::read_dir(place))?.enumerate() {
        let entry = worked("a listing", entry)?;
        if entry.file_name().starts_with(b"stays") {
            stayed.push(entry.file_name().to_vec());
        }
        if count < 200 {
            worked("remove", fs::remove_file(format!("{place}/goes{count:03}")))?;
            worked("create", File::create(format!("{place}/comes{count:03}")))?;
        }
    }
    stayed.sort();
    same("names that stayed", stayed, (0..200).map(|number| format!("stays{number:03}").into_bytes()).collect())
}

fn trees(place: &str) -> Checked {
    let deep = format!("{place}/a/b/c/d");
    worked("create", fs::create_dir_all(&deep))?;
    worked("create it again", DirBuilder::new().recursive(true).create(&deep))?;
    for directory in ["a", "a/b", "a/b/c/d"] {
        worked("create", fs::write(format!("{place}/{directory}/file"), directory))?;
    }
    failed("through a file", fs::create_dir_all(format!("{place}/a/file/x")), NotADirectory)?;
    worked("remove", fs::remove_dir_all(format!("{place}/a")))?;
    failed("attributes", fs::metadata(format!("{place}/a")), NotFound)?;
    failed("remove again", fs::remove_dir_all(format!("{place}/a")), NotFound)
}
