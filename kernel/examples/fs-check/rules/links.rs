//! Links of both kinds, and files without a name.

use alloc::format;

use toro::fs::{self, File, SpecialFile};
use toro::io::ErrorKind::{AlreadyExists, FilesystemLoop, InvalidInput, NotFound, PermissionDenied};

use super::Rule;
use crate::outcome::{Checked, failed, failed_as, failed_with, same, same_bytes, worked};

/// "No such device or address": what opening a pipe or socket is.
const ENXIO: i32 = 6;

pub(super) const RULES: &[Rule] = &[
    Rule::new("two names are one file", two_names).with(|features| features.links),
    Rule::new("a directory has one name", directory).with(|features| features.links),
    Rule::new("a link is to what is there, under a name that is not", link_errors).with(|features| features.links),
    Rule::new("a symbolic link keeps its target, and is followed", symlink).with(|features| features.symlinks),
    Rule::new("links in a circle lead nowhere", circle).with(|features| features.symlinks),
    Rule::new("a dangling link is there and its target is not", dangling).with(|features| features.symlinks),
    Rule::new("removing a link leaves what it is to", removed_link).with(|features| features.symlinks),
    Rule::new("a tree is removed without what links in it are to", tree_with_links).with(|features| features.symlinks),
    Rule::new("a file without a name is used on while it is open", unlinked),
    Rule::new("a name that is used again is another file", used_again),
    Rule::new("pipes and sockets have names and cannot be opened", special).with(|features| features.special),
];

fn two_names(place: &str) -> Checked {
    let (one, other) = (format!("{place}/one"), format!("{place}/other"));
    worked("create", fs::write(&one, "contents"))?;
    same("names", worked("attributes", fs::metadata(&one))?.links(), 1)?;
    worked("link", fs::hard_link(&one, &other))?;
    let (first, second) = (worked("attributes", fs::metadata(&one))?, worked("attributes", fs::metadata(&other))?);
    same("names", (first.links(), second.links()), (2, 2))?;
    same("inodes", first.inode(), second.inode())?;
    worked("write", fs::write(&other, "others"))?;
    same_bytes("contents", &worked("read", fs::read(&one))?, b"others")?;
    worked("remove", fs::remove_file(&one))?;
    same("names", worked("attributes", fs::metadata(&other))?.links(), 1)?;
    same_bytes("contents", &worked("read", fs::read(&other))?, b"others")
}

fn directory(place: &str) -> Checked {
    let path = format!("{place}/directory");
    worked("create", fs::create_dir(&path))?;
    failed("link", fs::hard_link(&path, format!("{place}/other")), PermissionDenied)
}

fn link_errors(place: &str) -> Checked {
    let (one, other) = (format!("{place}/one"), format!("{place}/other"));
    failed("a link to nothing", fs::hard_link(&one, &other), NotFound)?;
    worked("create", File::create(&one))?;
    worked("create", File::create(&other))?;
    failed("a link over a file", fs::hard_link(&one, &other), AlreadyExists)?;
    failed("a link over itself", fs::hard_link(&one, &one), AlreadyExists)
}

fn symlink(place: &str) -> Checked {
    let (file, link) = (format!("{place}/file"), format!("{place}/link"));
    worked("create", fs::write(&file, "contents"))?;
    worked("link", fs::symlink("file", &link))?;
    same("target", worked("read the link", fs::read_link(&link))?, b"file".to_vec())?;
    let itself = worked("attributes", fs::symlink_metadata(&link))?;
    same("kind and length", (itself.is_symlink(), itself.len()), (true, 4))?;
    same("kind", worked("attributes", fs::metadata(&link))?.is_file(), true)?;
    worked("write through it", fs::write(&link, "changed"))?;
    same_bytes("contents", &worked("read", fs::read(&file))?, b"changed")?;
    failed("a link over it", fs::symlink("x", &link), AlreadyExists)?;
    failed("a file read as a link", fs::read_link(&file), InvalidInput)
}

fn circle(place: &str) -> Checked {
    let (one, other) = (format!("{place}/one"), format!("{place}/other"));
    worked("link", fs::symlink("other", &one))?;
    worked("link", fs::symlink("one", &other))?;
    failed("attributes", fs::metadata(&one), FilesystemLoop)?;
    failed("open", File::open(&one), FilesystemLoop)?;
    failed("create", File::create(&one), FilesystemLoop)?;
    worked("its own attributes", fs::symlink_metadata(&one)).map(drop)
}

fn dangling(place: &str) -> Checked {
    let (link, target) = (format!("{place}/link"), format!("{place}/target"));
    worked("link", fs::symlink("target", &link))?;
    failed("attributes", fs::metadata(&link), NotFound)?;
    failed("a new file", File::create_new(&link), AlreadyExists)?;
    failed("a new directory", fs::create_dir(&link), AlreadyExists)?;
    failed("the target", fs::metadata(&target), NotFound)?;
    worked("create through it", fs::write(&link, "x"))?;
    same("length", worked("attributes", fs::metadata(&target))?.len(), 1)
}

fn removed_link(place: &str) -> Checked {
    let (file, link) = (format!("{place}/file"), format!("{place}/link"));
    worked("create", File::create(&file))?;
    worked("link", fs::symlink("file", &link))?;
    worked("remove", fs::remove_file(&link))?;
    worked("attributes", fs::metadata(&file))?;
    failed("its own attributes", fs::symlink_metadata(&link), NotFound)
}

fn tree_with_links(place: &str) -> Checked {
    let (kept, tree) = (format!("{place}/kept"), format!("{place}/tree"));
    worked("create", fs::create_dir(&kept))?;
    worked("create", fs::create_dir(&tree))?;
    worked("create", File::create(format!("{kept}/file")))?;
    worked("link", fs::symlink("../kept", format!("{tree}/link")))?;
    worked("remove", fs::remove_dir_all(&tree))?;
    worked("attributes", fs::metadata(format!("{kept}/file")))?;
    worked("link", fs::symlink("kept", &tree))?;
    // As in std, a link is not followed, and it is no directory.
    failed_as("a link", fs::remove_dir(&tree), &[toro::io::ErrorKind::NotADirectory])?;
    worked("attributes", fs::metadata(format!("{kept}/file"))).map(drop)
}

fn unlinked(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", fs::write(&path, "contents"))?;
    let file = worked("open", File::options().read(true).write(true).open(&path))?;
    worked("remove", fs::remove_file(&path))?;
    failed("attributes", fs::metadata(&path), NotFound)?;
    worked("write", file.write_all_at(b"more", 8))?;
    let mut bytes = [0; 12];
    worked("read", file.read_exact_at(&mut bytes, 0))?;
    same_bytes("contents", &bytes, b"contentsmore")?;
    same("length", worked("attributes", file.metadata())?.len(), 12)?;
    worked("cut off", file.set_len(3))?;
    same("length", worked("attributes", file.metadata())?.len(), 3)?;
    worked("make stable", file.sync_all())
}

fn used_again(place: &str) -> Checked {
    let path = format!("{place}/file");
    worked("create", fs::write(&path, "old"))?;
    let old = worked("open", File::open(&path))?;
    worked("remove", fs::remove_file(&path))?;
    worked("create", fs::write(&path, "newer"))?;
    let mut bytes = [0; 8];
    let count = worked("read", old.read_at(&mut bytes, 0))?;
    same_bytes("the old contents", bytes.get(..count).unwrap_or_default(), b"old")?;
    same_bytes("the new contents", &worked("read", fs::read(&path))?, b"newer")
}

fn special(place: &str) -> Checked {
    for (name, what) in [("pipe", SpecialFile::Fifo), ("socket", SpecialFile::Socket)] {
        let path = format!("{place}/{name}");
        worked("create", fs::create_special(&path, 0o640, what))?;
        let metadata = worked("attributes", fs::metadata(&path))?;
        same("permissions", metadata.mode() & 0o7777, 0o640)?;
        same("whether it is a file", metadata.is_file(), false)?;
        failed_with("open", File::open(&path), ENXIO)?;
        failed("create again", fs::create_special(&path, 0o640, what), AlreadyExists)?;
    }
    Ok(())
}
