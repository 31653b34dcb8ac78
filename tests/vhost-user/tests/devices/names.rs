//! `toro::fs` against real servers: what it changes is changed, and nothing is left open.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use toro::fs::{Collision, Namespace, SpecialFile, XattrMode};
use toro::io::ErrorKind;
use vhost_user_tests::{Caching, Daemon, FileServer, FileServerKind, Serving, Share, Xattrs};

fn kind<T>(result: toro::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Makes, links, moves and removes one of everything.
fn change_names(files: &Namespace, host: &Path) {
    let at = |name: &str| host.join(name);
    files.create_dir_all(b"/a/b/c").expect("free");
    files.write(b"/a/file", b"contents").expect("free");
    assert_eq!(std::fs::read(at("a/file")).expect("it is there"), b"contents");
    files.hard_link(b"/a/file", b"/a/b/second").expect("free");
    assert_eq!(
        (
            at("a/file").metadata().expect("it is there").nlink(),
            files.metadata(b"/a/file").expect("it is there").links()
        ),
        (2, 2)
    );
    files.symlink(b"../file", b"/a/b/link").expect("free");
    assert_eq!(std::fs::read_link(at("a/b/link")).expect("it is a link"), Path::new("../file"));
    assert_eq!(files.read(b"/a/b/link").expect("it leads there"), b"contents");
    files.create_special(b"/a/pipe", 0o640, SpecialFile::Fifo).expect("free");
    assert!(at("a/pipe").metadata().is_ok_and(|pipe| pipe.file_type().is_fifo() && pipe.mode() & 0o777 == 0o640));
    assert_eq!(kind(files.create_dir(b"/a/file")), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(files.symlink(b"x", b"/a/file")), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(files.remove_dir(b"/a/b")), Some(ErrorKind::DirectoryNotEmpty));
    assert_eq!(kind(files.remove_dir(b"/a/file")), Some(ErrorKind::NotADirectory));
    assert_eq!(kind(files.remove_file(b"/a/b")), Some(ErrorKind::IsADirectory));

    files.write(b"/one", b"1").expect("free");
    files.write(b"/two", b"2").expect("free");
    assert_eq!(kind(files.rename_with(b"/one", b"/two", Collision::Refuse)), Some(ErrorKind::AlreadyExists));
    files.rename_with(b"/one", b"/two", Collision::Exchange).expect("both are there");
    assert_eq!((files.read(b"/one").expect("2"), files.read(b"/two").expect("1")), (b"2".to_vec(), b"1".to_vec()));
    files.rename(b"/one", b"/two").expect("it replaces");
    assert_eq!((files.exists(b"/one").expect("an answer"), at("one").exists()), (false, false));
    assert_eq!(files.read(b"/two").expect("2"), b"2");
    files.rename(b"/a", b"/moved").expect("free");
    assert_eq!(files.read(b"/moved/b/second").expect("it went along"), b"contents");
    assert!(at("moved/b/c").is_dir() && !at("a").exists());

    let open = files.open(b"/moved/file").expect("it is there");
    files.remove_file(b"/moved/file").expect("it is there");
    files.remove_file(b"/moved/b/second").expect("it is there");
    let mut bytes = [0; 8];
    assert_eq!((open.read_at(&mut bytes, 0).expect("it is open"), &bytes), (8, b"contents"));
    assert_eq!(open.metadata().expect("it is open").links(), 0);
    drop(open);
    for name in ["/moved/b/link", "/moved/pipe", "/two"] {
        files.remove_file(name.as_bytes()).expect("it is there");
    }
    for name in ["/moved/b/c", "/moved/b", "/moved"] {
        files.remove_dir(name.as_bytes()).expect("it is empty");
    }
    files.sync_dir(b"/").expect("it is a directory");
    files.sync().expect("the host's disk works");
    assert_eq!(std::fs::read_dir(host).expect("a directory").count(), 0);
}

fn change_xattrs(files: &Namespace, xattrs: Xattrs) {
    files.write(b"/f", b"x").expect("free");
    let set = files.set_xattr(b"/f", b"user.toro", b"a value", XattrMode::Create);
    if xattrs == Xattrs::No {
        assert_eq!(kind(set), Some(ErrorKind::Unsupported));
        assert_eq!(kind(files.list_xattrs(b"/f")), Some(ErrorKind::Unsupported));
    } else if kind(set) == Some(ErrorKind::Unsupported) {
        println!("the host's file system has no extended attributes here");
    } else {
        assert_eq!(files.xattr(b"/f", b"user.toro").expect("an answer").as_deref(), Some(&b"a value"[..]));
        assert_eq!(files.xattr(b"/f", b"user.other").expect("an answer"), None);
        assert!(files.list_xattrs(b"/f").is_ok_and(|names| names.iter().any(|name| **name == *b"user.toro")));
        assert_eq!(kind(files.set_xattr(b"/f", b"user.toro", b"x", XattrMode::Create)), Some(ErrorKind::AlreadyExists));
        files.remove_xattr(b"/f", b"user.toro").expect("it is there");
        assert_eq!(files.xattr(b"/f", b"user.toro").expect("an answer"), None);
    }
    files.remove_file(b"/f").expect("it is there");
}

/// FU-SEM-17: names that are long, and bytes that are no text.
fn use_odd_names(files: &Namespace, host: &Path) {
    let long = [b"/".as_slice(), &[b'n'; 255]].concat();
    for name in [&long[..], b"/caf\xe9", b"/new\nline", b"/ ", b"/..."] {
        files.write(name, name).expect("a name");
        assert_eq!(std::fs::read(host.join(OsStr::from_bytes(&name[1..]))).expect("it is there"), name);
        files.remove_file(name).expect("it is there");
    }
    assert_eq!(kind(files.write(&[&long[..], b"n"].concat(), b"")), Some(ErrorKind::InvalidFilename));
}

fn everything_changes(server: FileServerKind) {
    let Some(server) = FileServer::find(server) else { return };
    for (xattrs, caching) in [(Xattrs::No, Caching::Never), (Xattrs::Yes, Caching::Always)] {
        let served = TempDir::new().expect("a temporary directory");
        let daemon = Daemon::files_by(&server, served.path(), &Serving { xattrs, caching, ..Serving::default() });
        let share = Share::mount(&daemon);
        share.settle();
        let before = daemon.open_paths().len();
        change_names(share.namespace(), served.path());
        change_xattrs(share.namespace(), xattrs);
        use_odd_names(share.namespace(), served.path());
        // FU-SEM-1, FU-SEM-14: what has no name any more is open no more.
        let looks = std::iter::repeat_with(|| {
            share.settle();
            std::thread::sleep(Duration::from_millis(20));
            daemon.open_paths().len()
        });
        let after = looks.take(6000).find(|&open| open <= before).unwrap_or_else(|| daemon.open_paths().len());
        assert_eq!(after, before, "files that the server has open");
        share.unmount();
    }
}

#[test]
fn fu_sem_1_and_14_everything_changes_by_virtiofsd_in_c() {
    everything_changes(FileServerKind::C);
}

#[test]
fn fu_sem_1_and_14_everything_changes_by_virtiofsd_in_rust() {
    everything_changes(FileServerKind::Rust);
}
