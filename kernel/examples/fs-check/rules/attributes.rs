//! Permissions, times, owners and extended attributes.

use alloc::format;
use alloc::vec::Vec;

use toro::fs::{self, DirBuilder, File, FileTime, FileTimes, OpenOptions, Permissions, XattrMode};
use toro::io::ErrorKind::{AlreadyExists, NotFound};

use super::{Rule, long_name};
use crate::outcome::{Checked, failed, failed_with, same, same_bytes, worked};

/// "No data available": there is no extended attribute of this name.
const ENODATA: i32 = 61;
/// "Numerical result out of range": its name has no length that names have.
const ERANGE: i32 = 34;

pub(super) const RULES: &[Rule] = &[
    Rule::new("permissions are those that were asked for", modes).with(|features| features.modes),
    Rule::new("permissions are kept, all twelve bits", all_modes).with(|features| features.modes),
    Rule::new("permissions are those of all names", shared_modes).with(|features| features.modes && features.links),
    Rule::new("whether a file may be written is kept", readonly),
    Rule::new("times are kept to the nanosecond, before 1970 as well", times).with(|features| features.times),
    Rule::new("a write changes the time, a reading does not", changed).with(|features| features.times),
    Rule::new("a file made in a directory changes its time", parent_changed).with(|features| features.times),
    Rule::new("owners are kept", owners).with(|features| features.modes && features.links),
    Rule::new("extended attributes are kept, any bytes", xattrs).with(|features| features.xattrs),
    Rule::new("an extended attribute must be there or not, as is said", xattr_modes).with(|features| features.xattrs),
    Rule::new("an extended attribute has a name of 255 bytes at most", xattr_names).with(|features| features.xattrs),
    Rule::new("how full the file system is makes sense", stats),
];

fn mode_of(path: &str) -> Checked<u32> {
    Ok(worked("attributes", fs::metadata(path))?.mode() & 0o7777)
}

fn modes(place: &str) -> Checked {
    for mode in [0, 0o400, 0o644, 0o751, 0o777] {
        let (file, directory) = (format!("{place}/file{mode:o}"), format!("{place}/directory{mode:o}"));
        worked("create", OpenOptions::new().write(true).create_new(true).mode(mode).open(&file))?;
        worked("create", DirBuilder::new().mode(mode).create(&directory))?;
        same("permissions", (mode_of(&file)?, mode_of(&directory)?), (mode, mode))?;
    }
    Ok(())
}

fn all_modes(place: &str) -> Checked {
    let (file, directory) = (format!("{place}/file"), format!("{place}/directory"));
    worked("create", File::create(&file))?;
    worked("create", fs::create_dir(&directory))?;
    for mode in (0..12).map(|bit| 1 << bit).chain([0, 0o7777, 0o644]) {
        for path in [&file, &directory] {
            worked("set", fs::set_permissions(path, Permissions::from_mode(mode)))?;
            same("permissions", mode_of(path)?, mode)?;
        }
    }
    failed("what is not there", fs::set_permissions(format!("{place}/x"), Permissions::from_mode(0)), NotFound)
}

fn shared_modes(place: &str) -> Checked {
    let (one, other) = (format!("{place}/one"), format!("{place}/other"));
    worked("create", File::create(&one))?;
    worked("link", fs::hard_link(&one, &other))?;
    let file = worked("open", File::open(&one))?;
    worked("set", fs::set_permissions(&other, Permissions::from_mode(0o600)))?;
    same("permissions", mode_of(&one)?, 0o600)?;
    same("of the open file", worked("attributes", file.metadata())?.mode() & 0o7777, 0o600)?;
    worked("set", file.set_permissions(Permissions::from_mode(0o640)))?;
    same("permissions", mode_of(&other)?, 0o640)
}

fn readonly(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", File::create(&path))?;
    let mut permissions = worked("attributes", fs::metadata(&path))?.permissions();
    same("whether it is read-only", permissions.readonly(), false)?;
    permissions.set_readonly(true);
    worked("set", fs::set_permissions(&path, permissions.clone()))?;
    same("whether it is read-only", worked("attributes", fs::metadata(&path))?.permissions().readonly(), true)?;
    permissions.set_readonly(false);
    worked("set", fs::set_permissions(&path, permissions))?;
    same("whether it is read-only", worked("attributes", fs::metadata(&path))?.permissions().readonly(), false)
}

fn times(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", File::create(&path))?;
    for seconds in [0, 1, 1_700_000_000, 0x7fff_ffff, 0x1_0000_0000, -1] {
        let accessed = FileTime { seconds, nanoseconds: 1 };
        let modified = FileTime { seconds: seconds + 1, nanoseconds: 999_999_999 };
        worked("set", fs::set_times(&path, FileTimes::new().set_accessed(accessed).set_modified(modified)))?;
        let metadata = worked("attributes", fs::metadata(&path))?;
        same("times", (metadata.accessed_time(), metadata.modified_time()), (accessed, modified))?;
    }
    let file = worked("open", OpenOptions::new().write(true).open(&path))?;
    let modified = FileTime { seconds: 77, nanoseconds: 7 };
    worked("set", file.set_times(FileTimes::new().set_modified(modified)))?;
    same("the time", worked("attributes", fs::metadata(&path))?.modified_time(), modified)
}

fn changed(place: &str) -> Checked {
    let (path, past) = (format!("{place}/file"), FileTime { seconds: 1000, nanoseconds: 0 });
    worked("create", fs::write(&path, "contents"))?;
    let file = worked("open", OpenOptions::new().read(true).write(true).open(&path))?;
    let is_past = || -> Checked<bool> { Ok(worked("attributes", file.metadata())?.modified_time() == past) };
    let reset = || worked("set", file.set_times(FileTimes::new().set_modified(past)));
    reset()?;
    worked("read", file.read_at(&mut [0; 4], 0))?;
    same("whether the time is old after reading", is_past()?, true)?;
    worked("write", file.write_at(b"x", 0))?;
    same("whether the time is old after writing", is_past()?, false)?;
    reset()?;
    worked("cut off", file.set_len(2))?;
    same("whether the time is old after cutting off", is_past()?, false)
}

fn parent_changed(place: &str) -> Checked {
    let (directory, past) = (format!("{place}/directory"), FileTime { seconds: 1000, nanoseconds: 0 });
    worked("create", fs::create_dir(&directory))?;
    let is_past = || -> Checked<bool> { Ok(worked("attributes", fs::metadata(&directory))?.modified_time() == past) };
    let reset = || worked("set", fs::set_times(&directory, FileTimes::new().set_modified(past)));
    let (one, other) = (format!("{directory}/one"), format!("{directory}/other"));
    let steps: [(&str, &dyn Fn() -> toro::io::Result<()>); 3] = [
        ("creating", &|| File::create(&one).map(drop)),
        ("renaming", &|| fs::rename(&one, &other)),
        ("removing", &|| fs::remove_file(&other)),
    ];
    for (what, step) in steps {
        reset()?;
        same("whether the time is old", is_past()?, true)?;
        worked(what, step())?;
        same(what, is_past()?, false)?;
    }
    Ok(())
}

fn owners(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", File::create(&path))?;
    let owner = || worked("attributes", fs::metadata(&path)).map(|metadata| (metadata.uid(), metadata.gid()));
    worked("both", fs::chown(&path, Some(1234), Some(5678)))?;
    same("owners", owner()?, (1234, 5678))?;
    worked("one", fs::chown(&path, None, Some(99)))?;
    same("owners", owner()?, (1234, 99))?;
    worked("back", fs::chown(&path, Some(0), Some(0)))?;
    same("owners", owner()?, (0, 0))
}

fn xattrs(place: &str) -> Checked {
    let directory = format!("{place}/directory");
    worked("create", fs::create_dir(&directory))?;
    let file = format!("{place}/file");
    worked("create", File::create(&file))?;
    for path in [&file, &directory] {
        same("names", worked("names", fs::list_xattrs(path))?.len(), 0)?;
        same("no value", worked("value", fs::xattr(path, "user.none"))?, None)?;
        let values: [(&str, &[u8]); 3] = [("user.a", b"plain"), ("user.empty", b""), ("user.odd", &[0, 255, b'/', 0])];
        for (name, value) in values {
            worked("set", fs::set_xattr(path, name, value))?;
            same("value", worked("value", fs::xattr(path, name))?, Some(value.to_vec()))?;
        }
        worked("set again", fs::set_xattr(path, "user.a", "another"))?;
        same("value", worked("value", fs::xattr(path, "user.a"))?, Some(b"another".to_vec()))?;
        worked("remove", fs::remove_xattr(path, "user.empty"))?;
        failed_with("remove again", fs::remove_xattr(path, "user.empty"), ENODATA)?;
        let mut names: Vec<_> = worked("names", fs::list_xattrs(path))?.iter().map(|name| name.to_vec()).collect();
        names.sort();
        same("names", names, [b"user.a".to_vec(), b"user.odd".to_vec()].into())?;
    }
    // As much as most file systems take.
    let long: Vec<u8> = (0..3000).map(|number| number as u8).collect();
    worked("set", fs::set_xattr(&file, "user.long", &long))?;
    same_bytes("value", &worked("value", fs::xattr(&file, "user.long"))?.unwrap_or_default(), &long)
}

fn xattr_modes(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", File::create(&path))?;
    failed_with("replace", fs::set_xattr_with(&path, "user.x", "1", XattrMode::Replace), ENODATA)?;
    worked("create", fs::set_xattr_with(&path, "user.x", "1", XattrMode::Create))?;
    failed("create again", fs::set_xattr_with(&path, "user.x", "2", XattrMode::Create), AlreadyExists)?;
    worked("replace", fs::set_xattr_with(&path, "user.x", "3", XattrMode::Replace))?;
    same("value", worked("value", fs::xattr(&path, "user.x"))?, Some(b"3".to_vec()))
}

fn xattr_names(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", File::create(&path))?;
    let name = |length: usize| format!("user.{}", long_name(length - 5));
    worked("255 bytes", fs::set_xattr(&path, name(255), "x"))?;
    failed_with("256 bytes", fs::set_xattr(&path, name(256), "x"), ERANGE)?;
    failed_with("no bytes", fs::xattr(&path, ""), ERANGE)
}

fn stats(place: &str) -> Checked {
    let stats = worked("figures", fs::statfs(place))?;
    same("whether all is more than what is free", stats.blocks >= stats.blocks_free, true)?;
    same("whether there is room", stats.blocks_available > 0, true)?;
    same("whether names have room", stats.name_max >= 255, true)
}
