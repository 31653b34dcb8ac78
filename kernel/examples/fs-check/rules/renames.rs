//! Renaming: what may take whose place.

use alloc::format;

use toro::fs::{self, Collision, File};
use toro::io::ErrorKind::{
    self, AlreadyExists, DirectoryNotEmpty, InvalidInput, IsADirectory, NotADirectory, NotFound,
};

use super::Rule;
use crate::outcome::{Checked, failed, failed_as, same, same_bytes, worked};

pub(super) const RULES: &[Rule] = &[
    Rule::new("what is renamed has the new name only", moved),
    Rule::new("a file takes the place of a file, an empty directory that of an empty one", matrix),
    Rule::new("what is open is renamed as well", open),
    Rule::new("a name renamed to itself stays", itself),
    Rule::new("two names of one file are left as they are", same_file).with(|features| features.links),
    Rule::new("a directory does not go below itself", below_itself),
    Rule::new("a directory takes with it what is in it", with_contents),
    Rule::new("a link is renamed, not what it is to", link).with(|features| features.symlinks),
    Rule::new("a name that is taken can be refused", refused).with(|features| features.exchange),
    Rule::new("two names change places", exchanged).with(|features| features.exchange),
];

fn moved(place: &str) -> Checked {
    let (from, to) = (format!("{place}/from"), format!("{place}/to"));
    failed("what is not there", fs::rename(&from, &to), NotFound)?;
    worked("create", fs::write(&from, "contents"))?;
    worked("rename", fs::rename(&from, &to))?;
    failed("the old name", fs::metadata(&from), NotFound)?;
    same_bytes("contents", &worked("read", fs::read(&to))?, b"contents")?;
    worked("create", fs::create_dir(format!("{place}/directory")))?;
    worked("rename", fs::rename(&to, format!("{place}/directory/from")))?;
    failed("the old name", fs::metadata(&to), NotFound)?;
    worked("the new name", fs::metadata(format!("{place}/directory/from"))).map(drop)
}

/// Makes something at a path.
type Make = fn(&str) -> toro::io::Result<()>;

/// What each kind of thing is made by.
const KINDS: [(&str, Make); 3] = [
    ("file", |path| fs::write(path, "file")),
    ("empty directory", |path| fs::create_dir(path)),
    ("full directory", |path| fs::create_dir(path).and_then(|()| fs::write(format!("{path}/file"), "x"))),
];

fn matrix(place: &str) -> Checked {
    let results: [[Option<ErrorKind>; 3]; 3] = [
        [None, Some(IsADirectory), Some(IsADirectory)],
        [Some(NotADirectory), None, Some(DirectoryNotEmpty)],
        [Some(NotADirectory), None, Some(DirectoryNotEmpty)],
    ];
    for ((from_kind, make_from), row) in KINDS.into_iter().zip(results) {
        for ((to_kind, make_to), wanted) in KINDS.into_iter().zip(row) {
            let what = format!("{from_kind} to {to_kind}");
            let (from, to) = (format!("{place}/from"), format!("{place}/to"));
            worked(&what, make_from(&from))?;
            worked(&what, make_to(&to))?;
            match wanted {
                None => {
                    worked(&what, fs::rename(&from, &to))?;
                    failed(&what, fs::metadata(&from), NotFound)?;
                }
                Some(wanted) => failed(&what, fs::rename(&from, &to), wanted)?,
            }
            for path in [&from, &to] {
                // Whatever is there now.
                let _ = fs::remove_dir_all(path);
                let _ = fs::remove_file(path);
            }
        }
    }
    Ok(())
}

fn open(place: &str) -> Checked {
    let (from, to) = (format!("{place}/from"), format!("{place}/to"));
    worked("create", fs::write(&from, "from"))?;
    worked("create", fs::write(&to, "to"))?;
    let (source, target) = (worked("open", File::open(&from))?, worked("open", File::open(&to))?);
    worked("rename", fs::rename(&from, &to))?;
    let mut bytes = [0; 8];
    let count = worked("read", source.read_at(&mut bytes, 0))?;
    same_bytes("what was renamed", bytes.get(..count).unwrap_or_default(), b"from")?;
    let count = worked("read", target.read_at(&mut bytes, 0))?;
    same_bytes("what was replaced", bytes.get(..count).unwrap_or_default(), b"to")
}

fn itself(place: &str) -> Checked {
    let (file, directory) = (format!("{place}/file"), format!("{place}/directory"));
    worked("create", fs::write(&file, "contents"))?;
    worked("create", fs::create_dir(&directory))?;
    worked("rename", fs::rename(&file, &file))?;
    worked("rename", fs::rename(&directory, &directory))?;
    same_bytes("contents", &worked("read", fs::read(&file))?, b"contents")?;
    worked("attributes", fs::metadata(&directory)).map(drop)
}

fn same_file(place: &str) -> Checked {
    let (one, other) = (format!("{place}/one"), format!("{place}/other"));
    worked("create", fs::write(&one, "contents"))?;
    worked("link", fs::hard_link(&one, &other))?;
    worked("rename", fs::rename(&one, &other))?;
    same("names", worked("attributes", fs::metadata(&one))?.links(), 2)?;
    worked("attributes", fs::metadata(&other)).map(drop)
}

fn below_itself(place: &str) -> Checked {
    let directory = format!("{place}/directory");
    worked("create", fs::create_dir_all(format!("{directory}/deeper")))?;
    failed("below itself", fs::rename(&directory, format!("{directory}/x")), InvalidInput)?;
    failed("far below itself", fs::rename(&directory, format!("{directory}/deeper/x")), InvalidInput)?;
    failed_as(
        "over what it is in",
        fs::rename(format!("{directory}/deeper"), &directory),
        &[DirectoryNotEmpty, InvalidInput],
    )
}

fn with_contents(place: &str) -> Checked {
    let (from, to) = (format!("{place}/from"), format!("{place}/to"));
    worked("create", fs::create_dir_all(format!("{from}/deeper")))?;
    worked("create", fs::write(format!("{from}/deeper/file"), "contents"))?;
    // It is known by its old path by now.
    worked("attributes", fs::metadata(format!("{from}/deeper/file")))?;
    worked("rename", fs::rename(&from, &to))?;
    failed("the old path", fs::metadata(format!("{from}/deeper/file")), NotFound)?;
    same_bytes("contents", &worked("read", fs::read(format!("{to}/deeper/file")))?, b"contents")
}

fn link(place: &str) -> Checked {
    let (file, from, to) = (format!("{place}/file"), format!("{place}/from"), format!("{place}/to"));
    worked("create", fs::write(&file, "contents"))?;
    worked("link", fs::symlink("file", &from))?;
    worked("rename", fs::rename(&from, &to))?;
    same("target", worked("read the link", fs::read_link(&to))?, b"file".to_vec())?;
    // A file takes the place of the link, not of what it is to.
    worked("create", fs::write(&from, "other"))?;
    worked("rename", fs::rename(&from, &to))?;
    same_bytes("contents", &worked("read", fs::read(&file))?, b"contents")
}

fn refused(place: &str) -> Checked {
    let (from, to) = (format!("{place}/from"), format!("{place}/to"));
    worked("create", fs::write(&from, "from"))?;
    worked("create", fs::write(&to, "to"))?;
    failed("a name that is taken", fs::rename_with(&from, &to, Collision::Refuse), AlreadyExists)?;
    same_bytes("contents", &worked("read", fs::read(&to))?, b"to")?;
    worked("remove", fs::remove_file(&to))?;
    worked("a name that is free", fs::rename_with(&from, &to, Collision::Refuse))?;
    same_bytes("contents", &worked("read", fs::read(&to))?, b"from")
}

fn exchanged(place: &str) -> Checked {
    let (file, directory) = (format!("{place}/file"), format!("{place}/directory"));
    worked("create", fs::write(&file, "contents"))?;
    failed("with nothing", fs::exchange(&file, &directory), NotFound)?;
    worked("create", fs::create_dir(&directory))?;
    worked("exchange", fs::exchange(&file, &directory))?;
    same("kind", worked("attributes", fs::metadata(&file))?.is_dir(), true)?;
    same_bytes("contents", &worked("read", fs::read(&directory))?, b"contents")
}
