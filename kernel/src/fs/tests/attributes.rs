//! Attributes: permissions, times, owners, and those with names.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::kind;
use super::model::NOW;
use super::writing::{everywhere, on_models, options};
use crate::fs::metadata::FileTime;
use crate::fs::path::LastLink;
use crate::fs::{DirBuilder, File, FileTimes, Permissions, XattrMode};
use crate::io::ErrorKind;
use crate::time::UNIX_EPOCH;

fn errno<T>(result: crate::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn permissions_are_set_by_path_and_by_handle_and_read_only_is_kept_everywhere() {
    everywhere(|namespace| {
        namespace.write(b"f", b"x").expect("there is room");
        let mut permissions = namespace.metadata(b"f").expect("it exists").permissions();
        assert!(!permissions.readonly());
        permissions.set_readonly(true);
        assert_eq!(namespace.set_permissions(b"f", &permissions), Ok(()));
        assert!(namespace.metadata(b"f").expect("it exists").permissions().readonly());
        permissions.set_readonly(false);
        let file = namespace.open(b"f").expect("it exists");
        assert_eq!(file.set_permissions(permissions), Ok(()), "a handle for reading is enough");
        assert!(!file.metadata().expect("it is open").permissions().readonly());
        assert_eq!(kind(namespace.set_permissions(b"g", &Permissions::from_mode(0o600))), Some(ErrorKind::NotFound));
    });
}

#[test]
fn a_handle_may_do_what_it_was_opened_for_whatever_the_permissions_become() {
    everywhere(|namespace| {
        let new = options(|options| options.write(true).create_new(true).mode(0o444));
        let file = namespace.open_with(b"f", &new).expect("it is new");
        assert!(file.metadata().expect("it is open").permissions().readonly());
        assert_eq!((file.write_at(b"abc", 0), file.set_len(2)), (Ok(3), Ok(())));
        assert_eq!(namespace.read(b"f"), Ok(b"ab".to_vec()));
    });
}

#[test]
fn all_twelve_bits_are_set_and_no_others() {
    on_models(|namespace, _| {
        namespace.write(b"f", b"").expect("there is room");
        for mode in [0o7777, 0, 0o4750, 0o100_640] {
            assert_eq!(namespace.set_permissions(b"f", &Permissions::from_mode(mode)), Ok(()));
            assert_eq!(namespace.metadata(b"f").map(|metadata| metadata.mode()), Ok(0o100_000 | mode & 0o7777));
        }
        let file = namespace.open_with(b"g", &options(|options| options.append(true).create(true).mode(0o171_717)));
        assert_eq!(file.and_then(|file| file.metadata()).map(|metadata| metadata.mode()), Ok(0o101_717));
        let mode = |path: &[u8]| namespace.metadata(path).map(|metadata| metadata.mode());
        assert_eq!(namespace.create_dir_with(b"d", DirBuilder::new().mode(0o1700)), Ok(()));
        assert_eq!(namespace.create_dir_with(b"e/f", DirBuilder::new().mode(0o750).recursive(true)), Ok(()));
        assert_eq!(namespace.create_dir(b"h"), Ok(()));
        assert_eq!([b"d", &b"e"[..], b"e/f", b"h"].map(mode), [0o41_700, 0o40_750, 0o40_750, 0o40_755].map(Ok));
        assert_eq!(kind(namespace.create_dir_with(b"d", &DirBuilder::new())), Some(ErrorKind::AlreadyExists));
        assert_eq!(namespace.create_dir_with(b"d", DirBuilder::new().recursive(true)), Ok(()));
    });
}

#[test]
fn times_are_set_one_by_one_by_path_by_handle_and_of_links() {
    on_models(|namespace, model| {
        namespace.write(b"f", b"").expect("there is room");
        model.link(b"link", b"f");
        let times = |path: &[u8]| {
            let metadata = namespace.symlink_metadata(path).expect("it exists");
            [metadata.accessed_time(), metadata.modified_time()]
        };
        let at = |seconds| FileTime { seconds, nanoseconds: 7 };
        let set = FileTimes::new().set_modified(UNIX_EPOCH + Duration::new(5, 7));
        assert_eq!(namespace.set_times(b"link", LastLink::Follow, set), Ok(()));
        assert_eq!(times(b"f"), [NOW, at(5)]);
        assert_eq!(namespace.set_times(b"link", LastLink::Keep, FileTimes::new().set_accessed(at(-3))), Ok(()));
        assert_eq!((times(b"link"), times(b"f")), ([at(-3), NOW], [NOW, at(5)]));
        let file = namespace.open(b"f").expect("it exists");
        assert_eq!(file.set_times(FileTimes::new().set_accessed(at(8)).set_modified(at(9))), Ok(()));
        assert_eq!(times(b"f"), [at(8), at(9)]);
        assert_eq!(file.set_times(FileTimes::new()), Ok(()));
        assert_eq!(times(b"f"), [at(8), at(9)]);
        assert_eq!(file.set_times(FileTimes::now()), Ok(()));
        assert_eq!(times(b"f"), [NOW, NOW]);
        let wrong = FileTimes::new().set_modified(FileTime { seconds: 1, nanoseconds: 1_000_000_000 });
        assert_eq!(kind(file.set_times(wrong)), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(namespace.set_times(b"f", LastLink::Follow, wrong)), Some(ErrorKind::InvalidInput));
        assert_eq!(times(b"f"), [NOW, NOW]);
        let missing = namespace.set_times(b"none", LastLink::Follow, FileTimes::new());
        assert_eq!(kind(missing), Some(ErrorKind::NotFound));
    });
}

#[test]
fn owners_are_changed_together_and_apart() {
    on_models(|namespace, model| {
        namespace.write(b"f", b"").expect("there is room");
        model.link(b"link", b"f");
        let owners = |path: &[u8]| namespace.symlink_metadata(path).map(|metadata| (metadata.uid(), metadata.gid()));
        assert_eq!(namespace.chown(b"link", LastLink::Follow, Some(1000), None), Ok(()));
        assert_eq!(namespace.chown(b"link", LastLink::Keep, None, Some(5)), Ok(()));
        assert_eq!((owners(b"f"), owners(b"link")), (Ok((1000, 0)), Ok((0, 5))));
        let file = namespace.open(b"f").expect("it exists");
        assert_eq!((file.chown(Some(1), Some(2)), owners(b"f")), (Ok(()), Ok((1, 2))));
        assert_eq!((file.chown(None, None), owners(b"f")), (Ok(()), Ok((1, 2))));
    });
}

#[test]
fn a_file_that_is_given_to_nobody_loses_its_set_ids_as_on_linux() {
    on_models(|namespace, model| {
        namespace.write(b"f", b"").expect("there is room");
        namespace.create_dir(b"d").expect("there is room");
        model.link(b"link", b"f");
        let mode = |path: &[u8]| namespace.metadata(path).map(|metadata| metadata.mode() & 0o7777);
        let set = |path: &[u8], mode| namespace.set_permissions(path, &Permissions::from_mode(mode));
        let file = namespace.open(b"f").expect("it exists");
        // What a set-group-ID bit means that is not for those who may run it is another thing: mandatory locks.
        for (before, after) in [(0o6755, 0o755), (0o6744, 0o2744), (0o7777, 0o1777), (0o2644, 0o2644), (0o644, 0o644)] {
            assert_eq!(set(b"f", before), Ok(()));
            assert_eq!((namespace.chown(b"link", LastLink::Follow, None, None), mode(b"f")), (Ok(()), Ok(after)));
            assert_eq!(set(b"f", before), Ok(()));
            assert_eq!((file.chown(None, None), mode(b"f")), (Ok(()), Ok(after)));
        }
        assert_eq!(set(b"d", 0o6755), Ok(()));
        assert_eq!((namespace.chown(b"d", LastLink::Follow, None, None), mode(b"d")), (Ok(()), Ok(0o6755)));
        assert_eq!(namespace.chown(b"link", LastLink::Keep, None, None), Ok(()));
    });
}

#[test]
fn extended_attributes_are_set_listed_replaced_and_removed() {
    on_models(|namespace, model| {
        namespace.write(b"f", b"").expect("there is room");
        model.link(b"link", b"f");
        let set = |name: &[u8], value: &[u8], mode| namespace.set_xattr(b"link", name, value, mode);
        assert_eq!(namespace.xattr(b"f", b"user.a"), Ok(None));
        assert_eq!(errno(set(b"user.a", b"x", XattrMode::Replace)), Some(61));
        assert_eq!(set(b"user.a", b"one", XattrMode::Create), Ok(()));
        assert_eq!(kind(set(b"user.a", b"x", XattrMode::Create)), Some(ErrorKind::AlreadyExists));
        assert_eq!(set(b"user.a", &[7; 65_536], XattrMode::Replace), Ok(()));
        assert_eq!(set(b"user.b", b"", XattrMode::Any), Ok(()));
        assert_eq!(namespace.xattr(b"f", b"user.a"), Ok(Some(vec![7; 65_536])));
        assert_eq!(namespace.xattr(b"link", b"user.b"), Ok(Some(Vec::new())));
        let names = || namespace.list_xattrs(b"f").map(|names| names.concat());
        assert_eq!(names(), Ok(b"user.auser.b".to_vec()));
        assert_eq!(namespace.remove_xattr(b"link", b"user.a"), Ok(()));
        assert_eq!(errno(namespace.remove_xattr(b"link", b"user.a")), Some(61));
        assert_eq!(names(), Ok(b"user.b".to_vec()));
        assert_eq!(kind(set(b"user.c", &[0; 65_537], XattrMode::Any)), Some(ErrorKind::ArgumentListTooLong));
        for (name, expected) in [(&b""[..], 34), (&[b'n'; 256], 34), (b"user.\0", 22)] {
            assert_eq!(errno(set(name, b"", XattrMode::Any)), Some(expected));
            assert_eq!(errno(namespace.xattr(b"f", name)), Some(expected));
            assert_eq!(errno(namespace.remove_xattr(b"f", name)), Some(expected));
        }
        assert_eq!(kind(namespace.list_xattrs(b"none")), Some(ErrorKind::NotFound));
    });
}

#[test]
fn flags_of_open_are_those_of_linux() {
    on_models(|namespace, model| {
        namespace.write(b"f", b"x").expect("there is room");
        model.link(b"link", b"f");
        model.link(b"to new", b"new");
        let with = |flags| options(|options| options.write(true).custom_flags(flags));
        assert_eq!(kind(namespace.open_with(b"link", &with(libc::O_NOFOLLOW))), Some(ErrorKind::FilesystemLoop));
        assert!(namespace.open_with(b"f", &with(libc::O_NOFOLLOW | libc::O_CLOEXEC)).is_ok());
        let new = options(|options| options.write(true).create(true).custom_flags(libc::O_NOFOLLOW));
        assert_eq!(kind(namespace.open_with(b"to new", &new)), Some(ErrorKind::FilesystemLoop));
        assert_eq!(namespace.exists(b"new"), Ok(false));
        assert_eq!(kind(namespace.open_with(b"f", &with(libc::O_TMPFILE))), Some(ErrorKind::InvalidInput));
        let ignored = options(|options| options.read(true).custom_flags(libc::O_WRONLY | libc::O_NONBLOCK));
        let reader = namespace.open_with(b"f", &ignored).expect("it exists");
        assert_eq!(errno(reader.write_at(b"y", 0)), Some(9), "the access mode is none of the flags");
        let write = |file: &File| assert_eq!(file.write_at(b"y", 0), Ok(1));
        namespace.open_with(b"f", &with(libc::O_DSYNC)).iter().for_each(write);
        namespace.open_with(b"f", &with(0)).iter().for_each(write);
        let append = options(|options| options.append(true).custom_flags(libc::O_SYNC));
        namespace.open_with(b"f", &append).iter().for_each(write);
        assert_eq!(*model.synced.borrow(), ["data", "file"]);
        assert_eq!(namespace.read(b"f"), Ok(b"yy".to_vec()));
    });
}
