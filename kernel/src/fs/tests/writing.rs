//! The functions that write, over file systems that can: of this core, and of another one.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::model::Model;
use super::{kind, mount, on_both_sides};
use crate::fs::remote::tests as remote;
use crate::fs::vfs::FileSystem;
use crate::fs::{File, Namespace, OpenOptions};
use crate::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use crate::time::UNIX_EPOCH;

/// Runs a test with a new file system of this core, and with one of another core.
pub fn everywhere(test: impl Fn(&Namespace)) {
    for file_system in file_systems() {
        let namespace = Namespace::new();
        namespace.mount(b"/", file_system).expect("nothing is there");
        test(&namespace);
        namespace.unmount_all();
    }
    for file_system in file_systems() {
        let (namespace, exports) = remote::seen_from_elsewhere(Rc::clone(&file_system), "/");
        test(&namespace);
        assert_eq!(exports.len(), 1, "every handle has been dropped");
        namespace.unmount_all();
        file_system.shutdown();
    }
}

/// Runs a test with a new model of this core, and with one of another core.
pub fn on_models(mut test: impl FnMut(&Namespace, &Model)) {
    let model = Model::new();
    let namespace = Namespace::new();
    namespace.mount(b"/", Rc::clone(&model) as Rc<dyn FileSystem>).expect("nothing is there");
    test(&namespace, &model);
    let model = Model::new();
    let (namespace, exports) = remote::seen_from_elsewhere(Rc::clone(&model) as Rc<dyn FileSystem>, "/");
    test(&namespace, &model);
    assert_eq!(exports.len(), 1, "every handle has been dropped");
}

/// One of each kind, empty.
fn file_systems() -> Vec<Rc<dyn FileSystem>> {
    let model: Rc<dyn FileSystem> = Model::new();
    vec![
        model,
        #[cfg(feature = "fat")]
        crate::fs::fat::tests::mount(&crate::fs::fat::tests::Memory::formatted()).expect("it is in order"),
    ]
}

pub fn options(set: impl FnOnce(&mut OpenOptions) -> &mut OpenOptions) -> OpenOptions {
    let mut options = File::options();
    set(&mut options).clone()
}

#[test]
fn a_file_is_written_read_sought_and_cut_as_in_std() {
    everywhere(|namespace| {
        let mut file = namespace
            .open_with(b"/f", &options(|options| options.read(true).write(true).create_new(true)))
            .expect("it is new");
        assert_eq!(file.write(b"hello, world"), Ok(12));
        assert_eq!(file.seek(SeekFrom::Start(7)), Ok(7));
        write!(file, "{}!", 42).expect("there is room");
        assert_eq!(file.stream_position(), Ok(10));
        let mut rest = String::new();
        assert_eq!(file.read_to_string(&mut rest).map(|_| &*rest), Ok("ld"));
        file.rewind().expect("the start is always there");
        rest.clear();
        assert_eq!((&file).read_to_string(&mut rest).map(|_| &*rest), Ok("hello, 42!ld"), "through a shared reference");
        assert_eq!(file.stream_position(), Ok(12));
        assert_eq!(file.write_at(b"J", 0), Ok(1));
        assert_eq!(file.stream_position(), Ok(12), "write_at leaves the position alone");
        assert_eq!(file.set_len(5), Ok(()));
        assert_eq!(file.set_len(8), Ok(()));
        assert_eq!(namespace.read(b"f"), Ok(b"Jello\0\0\0".to_vec()));
        assert_eq!(file.write(b"."), Ok(1), "behind the end");
        assert_eq!(namespace.read(b"f"), Ok(b"Jello\0\0\0\0\0\0\0.".to_vec()));
        assert_eq!(file.write(b""), Ok(0));
        assert_eq!(kind(file.set_len(u64::MAX)), Some(ErrorKind::InvalidInput));
        assert_eq!((file.sync_data(), file.sync_all(), namespace.sync()), (Ok(()), Ok(()), Ok(())));
        assert_eq!(file.metadata().map(|metadata| (metadata.is_file(), metadata.len())), Ok((true, 13)));
    });
}

#[test]
fn what_a_file_was_not_opened_for_is_refused() {
    everywhere(|namespace| {
        namespace.write(b"f", b"x").expect("there is room");
        let mut reader = namespace.open(b"f").expect("it exists");
        assert_eq!(reader.write(b"y").err().and_then(|error| error.raw_os_error()), Some(9));
        assert_eq!(reader.write_at(b"y", 0).err().and_then(|error| error.raw_os_error()), Some(9));
        assert_eq!(kind(reader.set_len(0)), Some(ErrorKind::InvalidInput));
        let mut writer = namespace.open_with(b"f", &options(|options| options.write(true))).expect("it exists");
        assert_eq!(writer.read(&mut [0]).err().and_then(|error| error.raw_os_error()), Some(9));
        assert_eq!(writer.read_at(&mut [0], 0).err().and_then(|error| error.raw_os_error()), Some(9));
        assert_eq!(writer.read_buffer(0, 1).err().and_then(|error| error.raw_os_error()), Some(9));
        assert_eq!(kind(namespace.open_with(b"f", &OpenOptions::new())), Some(ErrorKind::InvalidInput));
        assert_eq!(namespace.read(b"f"), Ok(b"x".to_vec()));
    });
}

#[test]
fn appending_goes_behind_the_end_whoever_moved_it() {
    everywhere(|namespace| {
        let append = options(|options| options.append(true).create(true));
        let mut first = namespace.open_with(b"log", &append).expect("it is created");
        let mut second = namespace.open_with(b"log", &append).expect("it exists");
        for round in 0..3 {
            writeln!(first, "first {round}").expect("there is room");
            second.rewind().expect("the start is always there");
            writeln!(second, "second {round}").expect("there is room");
        }
        assert_eq!(first.write_at(b"end\n", 0), Ok(4), "as on Linux");
        let text = namespace.read_to_string(b"log").expect("it is text");
        assert_eq!(text, "first 0\nsecond 0\nfirst 1\nsecond 1\nfirst 2\nsecond 2\nend\n");
        assert_eq!(second.stream_position(), Ok(text.len() as u64 - 4));
    });
}

#[test]
fn much_is_written_in_one_call() {
    everywhere(|namespace| {
        // More than what goes from core to core at once.
        let bytes: Vec<u8> = (0..600_000_u32).map(|index| (index / 3) as u8).collect();
        namespace.write(b"large", &bytes).expect("there is room");
        assert!(namespace.read(b"large") == Ok(bytes.clone()));
        assert_eq!(namespace.copy(b"large", b"copy"), Ok(600_000));
        assert!(namespace.read(b"copy") == Ok(bytes));
    });
}

#[test]
fn a_removed_file_is_there_for_those_who_have_it_open() {
    everywhere(|namespace| {
        let read_and_write = options(|options| options.read(true).write(true).create(true));
        let mut file = namespace.open_with(b"f", &read_and_write).expect("it is created");
        file.write_all(b"old").expect("there is room");
        assert_eq!(namespace.remove_file(b"f"), Ok(()));
        assert_eq!(kind(namespace.metadata(b"f")), Some(ErrorKind::NotFound));
        namespace.write(b"f", b"new").expect("the name is free");
        file.write_all(b" and more").expect("there is room");
        let mut bytes = [0; 20];
        assert_eq!(file.read_at(&mut bytes, 0).map(|count| &bytes[..count]), Ok(&b"old and more"[..]));
        assert_eq!(namespace.read(b"f"), Ok(b"new".to_vec()));
        // A file that another one replaces, too.
        let replaced = namespace.open(b"f").expect("it exists");
        namespace.write(b"g", b"newest").expect("there is room");
        assert_eq!(namespace.rename(b"g", b"f"), Ok(()));
        assert_eq!(replaced.read_at(&mut bytes, 0).map(|count| &bytes[..count]), Ok(&b"new"[..]));
        assert_eq!(namespace.read(b"f"), Ok(b"newest".to_vec()));
    });
}

#[test]
fn a_time_is_set_and_read() {
    everywhere(|namespace| {
        namespace.write(b"f", b"").expect("there is room");
        let file = namespace.open_with(b"f", &options(|options| options.write(true))).expect("it exists");
        let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(file.set_modified(time), Ok(()));
        assert_eq!(namespace.metadata(b"f").map(|metadata| metadata.modified()), Ok(time));
    });
}

#[test]
fn directories_are_made_with_all_that_they_are_in() {
    everywhere(|namespace| {
        assert_eq!(namespace.create_dir_all(b"a/b//c/./d/"), Ok(()));
        assert_eq!(namespace.create_dir_all(b"/a/b/c/d"), Ok(()), "it is there");
        assert_eq!((namespace.create_dir_all(b""), namespace.create_dir_all(b"/")), (Ok(()), Ok(())));
        namespace.write(b"a/f", b"").expect("there is room");
        assert_eq!(kind(namespace.create_dir_all(b"a/f")), Some(ErrorKind::AlreadyExists));
        assert_eq!(kind(namespace.create_dir_all(b"a/f/x/y")), Some(ErrorKind::NotADirectory));
        assert_eq!(namespace.exists(b"a/b/c/d"), Ok(true));
        assert_eq!(namespace.exists(b"a/b/c/e"), Ok(false));
        assert_eq!(kind(namespace.exists(b"a/f/x")), Some(ErrorKind::NotADirectory));
        let long = [b"x/".repeat(50), b"y".to_vec()].concat();
        assert_eq!(namespace.create_dir_all(&long), Ok(()));
        assert_eq!(namespace.exists(&long), Ok(true));
    });
}

#[test]
fn a_dangling_link_is_filled_and_new_files_are_not_made_through_links() {
    let model = Model::new();
    model.link(b"dangling", b"d/../target");
    model.link(b"outside", b"/none/x");
    let namespace = Namespace::new();
    namespace.mount(b"/", model).expect("nothing is there");
    namespace.create_dir(b"d").expect("it is new");
    let new = options(|options| options.write(true).create_new(true));
    assert_eq!(kind(namespace.open_with(b"dangling", &new)), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(namespace.create_dir(b"dangling")), Some(ErrorKind::AlreadyExists));
    namespace.write(b"dangling", b"x").expect("what it names is created");
    assert_eq!(namespace.read(b"target"), Ok(b"x".to_vec()));
    assert_eq!(kind(namespace.write(b"outside", b"x")), Some(ErrorKind::NotFound));
    assert_eq!(namespace.remove_file(b"dangling"), Ok(()), "the link goes, not its target");
    assert_eq!(namespace.read(b"target"), Ok(b"x".to_vec()));
}

#[test]
fn nothing_is_renamed_from_mount_to_mount_and_no_mount_is_removed() {
    let namespace = Namespace::new();
    namespace.mount(b"/", Model::new()).expect("nothing is there");
    namespace.mount(b"/data", Model::new()).expect("nothing is there");
    namespace.write(b"/f", b"x").expect("there is room");
    assert_eq!(kind(namespace.rename(b"/f", b"/data/f")), Some(ErrorKind::CrossesDevices));
    assert_eq!(namespace.copy(b"/f", b"/data/f"), Ok(1));
    assert_eq!(kind(namespace.remove_dir(b"/data")), Some(ErrorKind::ResourceBusy));
    assert_eq!(kind(namespace.rename(b"/data", b"/data/x")), Some(ErrorKind::ResourceBusy));
    assert_eq!(kind(namespace.create_dir(b"/data")), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(namespace.remove_file(b"/data/.")), Some(ErrorKind::IsADirectory));
}

#[test]
fn sync_goes_to_the_file_system() {
    for is_own in [true, false] {
        let model = Model::new();
        let namespace = match is_own {
            true => Namespace::new(),
            false => remote::seen_from_elsewhere(Rc::clone(&model) as Rc<dyn FileSystem>, "/").0,
        };
        if is_own {
            namespace.mount(b"/", Rc::clone(&model) as Rc<dyn FileSystem>).expect("nothing is there");
        }
        let file = namespace.open_with(b"f", &options(|options| options.append(true).create(true)));
        let file = file.expect("it is created");
        assert_eq!((file.sync_data(), file.sync_all(), namespace.sync()), (Ok(()), Ok(()), Ok(())));
        assert_eq!(*model.synced.borrow(), ["data", "file", "all"]);
    }
}

#[test]
fn what_cannot_be_written_says_so() {
    on_both_sides(|namespace| {
        let mount = mount(|server| {
            server.file("d/f", b"old");
            server.manners.refuse_changes = Some(fuse_proto::Errno::EROFS);
        });
        let namespace = namespace(&mount, "/");
        let new = options(|options| options.write(true).create_new(true));
        let refused = [
            kind(namespace.write(b"d/f", b"x")),
            kind(namespace.write(b"d/g", b"x")),
            kind(namespace.open_with(b"d/g", &new)),
            kind(namespace.create_dir(b"x")),
            kind(namespace.remove_file(b"d/f")),
            kind(namespace.remove_dir(b"d")),
            kind(namespace.rename(b"d/f", b"d/g")),
        ];
        assert_eq!(refused, [Some(ErrorKind::ReadOnlyFilesystem); 7]);
        assert_eq!(kind(namespace.write(b"d", b"x")), Some(ErrorKind::IsADirectory));
        assert_eq!(kind(namespace.open_with(b"d/f", &new)), Some(ErrorKind::AlreadyExists));
        assert_eq!((namespace.sync(), namespace.open(b"d/f").and_then(|file| file.sync_all())), (Ok(()), Ok(())));
        assert_eq!(namespace.read(b"d/f"), Ok(b"old".to_vec()));
        namespace.unmount_all();
        mount.finish();
    });
}
