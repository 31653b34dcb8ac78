//! The functions for applications, over a mount of a model server.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Namespace;
use super::fuse::tests::{Mount, mount};
use super::mounts::MountTable;
use super::remote::tests as remote;
use crate::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use crate::time::UNIX_EPOCH;

mod attributes;
mod files;
mod like_linux;
mod locking;
mod model;
mod mounting;
mod names;
pub mod threads;
pub mod writing;

/// Runs a test with a mount of this core, and with one of another core.
fn on_both_sides(test: impl Fn(fn(&Mount, &str) -> Namespace)) {
    test(|mount, path| {
        let namespace = Namespace::new();
        namespace.mount(path.as_bytes(), mount.file_system()).expect("the place is free");
        namespace
    });
    test(remote::namespace);
}

fn site() -> Mount {
    mount(|server| {
        server.file("index.html", b"<h1>hello</h1>");
        server.file("d/text", "grüße\n".as_bytes());
        server.file("d/bytes", &[0xFF; 3000]);
        server.link("link", "d/text");
        server.link("d/loop", "loop");
    })
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn files_are_opened_read_and_sought_as_in_std() {
    on_both_sides(|namespace| {
        let mount = site();
        let namespace = namespace(&mount, "/");
        let mut file = namespace.open(b"/link").expect("it exists");
        let mut text = String::new();
        assert_eq!(file.read_to_string(&mut text).map_err(|error| error.kind()), Ok(8));
        assert_eq!(text, "grüße\n");
        assert_eq!(file.seek(SeekFrom::End(-2)), Ok(6));
        assert_eq!(file.seek(SeekFrom::Current(1)), Ok(7));
        let mut byte = [0; 4];
        assert_eq!((file.read(&mut byte), byte[0]), (Ok(1), b'\n'));
        assert_eq!(file.read(&mut byte), Ok(0));
        assert_eq!(kind(file.seek(SeekFrom::Current(-9))), Some(ErrorKind::InvalidInput));
        assert_eq!(file.stream_position(), Ok(8), "a refused seek changes nothing");
        assert_eq!(file.read_buffer(0, 3).map(|buffer| buffer.to_vec()), Ok(b"gr\xC3".to_vec()));
        drop(file);
        assert_eq!(namespace.read(b"d/bytes").map(|bytes| bytes.len()), Ok(3000));
        assert_eq!(kind(namespace.read_to_string(b"d/bytes")), Some(ErrorKind::InvalidData));
        namespace.unmount_all();
        mount.finish();
    });
}

#[test]
fn metadata_follows_links_and_symlink_metadata_does_not() {
    on_both_sides(|namespace| {
        let mount = site();
        let namespace = namespace(&mount, "/");
        let followed = namespace.metadata(b"link").expect("it exists");
        assert!(followed.is_file() && !followed.is_dir() && !followed.is_symlink());
        assert_eq!((followed.len(), followed.mode()), (8, 0o100_644));
        assert_eq!(followed.modified(), UNIX_EPOCH + Duration::new(1_700_000_000, 5));
        assert!(namespace.symlink_metadata(b"link").is_ok_and(|metadata| metadata.is_symlink()));
        assert_eq!(namespace.read_link(b"link"), Ok(b"d/text".to_vec()));
        assert_eq!(namespace.canonicalize(b"//./d/../link"), Ok(b"/d/text".to_vec()));
        assert_eq!(namespace.canonicalize(b"d/.."), Ok(b"/".to_vec()));
        assert_eq!(namespace.stats(b"/").map(|stats| stats.blocks), Ok(1000));
        namespace.unmount_all();
        mount.finish();
    });
}

#[test]
fn errors_have_the_kinds_and_numbers_of_std() {
    on_both_sides(|namespace| {
        let mount = site();
        let namespace = namespace(&mount, "/");
        let errors = [
            (kind(namespace.open(b"none")), ErrorKind::NotFound),
            (kind(namespace.open(b"")), ErrorKind::NotFound),
            (kind(namespace.open(b"d")), ErrorKind::IsADirectory),
            (kind(namespace.open(b"link/x")), ErrorKind::NotADirectory),
            (kind(namespace.metadata(b"d/loop")), ErrorKind::FilesystemLoop),
            (kind(namespace.read_link(b"d/text")), ErrorKind::InvalidInput),
            (kind(namespace.read_dir(b"link")), ErrorKind::NotADirectory),
            (kind(namespace.metadata(&[b'n'; 300])), ErrorKind::InvalidFilename),
        ];
        for (found, expected) in errors {
            assert_eq!(found, Some(expected));
        }
        assert_eq!(namespace.open(b"none").err().and_then(|error| error.raw_os_error()), Some(2));
        namespace.unmount_all();
        mount.finish();
    });
}

#[test]
fn a_listing_names_everything_and_knows_paths() {
    on_both_sides(|namespace| {
        let mount = site();
        let namespace = namespace(&mount, "/");
        let entries: Vec<_> = namespace.read_dir(b"/d").and_then(Iterator::collect).expect("it is a directory");
        let mut paths: Vec<_> = entries.iter().map(|entry| entry.path()).collect();
        paths.sort();
        assert_eq!(paths, [&b"/d/bytes"[..], b"/d/loop", b"/d/text"]);
        for entry in &entries {
            let metadata = entry.metadata().expect("it exists");
            assert_eq!(entry.file_type(), Ok(metadata.file_type()));
            assert_eq!(entry.inode(), metadata.inode());
            assert_eq!(metadata.is_symlink(), entry.file_name() == b"loop");
        }
        drop(entries);
        namespace.unmount_all();
        mount.finish();
    });
}

#[test]
fn fu_sem_12_a_node_that_went_stale_is_looked_up_once_more() {
    on_both_sides(|namespace| {
        let mount = mount(|server| server.file("d/f", b"old"));
        let namespace = namespace(&mount, "/");
        assert_eq!(namespace.read(b"d/f"), Ok(b"old".to_vec()));
        mount.server(|server| {
            server.gone.extend(2..=3);
            server.remove("d");
            server.file("d/f", b"new");
        });
        assert_eq!(namespace.read(b"d/f"), Ok(b"new".to_vec()));
        mount.server(|server| server.gone.insert(4));
        assert_eq!(kind(namespace.read_dir(b"d")), Some(ErrorKind::StaleNetworkFileHandle), "once is enough");
        namespace.unmount_all();
        mount.finish();
    });
}

#[test]
fn mounts_are_chosen_by_whole_names_and_left_by_no_path() {
    on_both_sides(|namespace| {
        let (outer, inner) = (site(), mount(|server| server.file("f", b"inner")));
        let namespace = namespace(&outer, "/");
        namespace.mount(b"/d/share/", inner.file_system()).expect("the place is free");
        assert_eq!(namespace.read(b"d/share/f"), Ok(b"inner".to_vec()));
        assert_eq!(namespace.read(b"/./d//share/../f"), Ok(b"inner".to_vec()), "`..` stays in the mount");
        assert_eq!(kind(namespace.read(b"d/share")), Some(ErrorKind::IsADirectory));
        assert_eq!(kind(namespace.read(b"d/shared/f")), Some(ErrorKind::NotFound));
        assert_eq!(namespace.read(b"d/text").map(|bytes| bytes.len()), Ok(8));
        assert_eq!(namespace.canonicalize(b"d/share/./f"), Ok(b"/d/share/f".to_vec()));
        let refused = |path: &[u8]| kind(namespace.mount(path, inner.file_system()));
        assert_eq!(refused(b"/d/share"), Some(ErrorKind::ResourceBusy));
        assert_eq!(refused(b"relative"), Some(ErrorKind::InvalidInput));
        assert_eq!(refused(b"/d/../x"), Some(ErrorKind::InvalidInput));
        namespace.unmount_all();
        assert!(namespace.is_empty());
        assert_eq!(kind(namespace.read(b"d/text")), Some(ErrorKind::NotFound));
        outer.finish();
        inner.finish();
    });
}

#[test]
fn after_the_end_files_fail_and_nothing_else() {
    on_both_sides(|namespace| {
        let mount = site();
        let namespace = namespace(&mount, "/");
        let file = namespace.open(b"index.html").expect("it exists");
        let mut listing = namespace.read_dir(b"/").expect("it is a directory");
        namespace.unmount_all();
        assert!(file.read_at(&mut [0; 4], 0).is_err());
        assert!(file.metadata().is_err());
        assert!(listing.next().is_some_and(|entry| entry.is_err()));
        assert!(MountTable::new().is_empty());
        assert_eq!(Error::from(fuse_proto::Errno::ENOTCONN).kind(), ErrorKind::NotConnected);
        let file_system = mount.file_system();
        // If it is another core's, that has not taken leave yet.
        file_system.shutdown();
        assert!(file_system.root().is_err());
    });
}
