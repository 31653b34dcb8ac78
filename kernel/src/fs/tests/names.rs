//! Links, special files, renaming with conditions, and removing trees.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::kind;
use super::model::Model;
use super::writing::{everywhere, on_models, options};
use crate::fs::vfs::FileSystem;
use crate::fs::{Collision, FileType, Namespace, SpecialFile};
use crate::io::{ErrorKind, Write};

fn errno<T>(result: crate::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_file_has_as_many_names_as_it_was_given() {
    on_models(|namespace, model| {
        namespace.write(b"f", b"old").expect("there is room");
        namespace.create_dir(b"d").expect("it is new");
        assert_eq!(namespace.hard_link(b"f", b"d/g"), Ok(()));
        let mut file = namespace.open_with(b"d/g", &options(|options| options.append(true))).expect("it exists");
        file.write_all(b" and new").expect("there is room");
        assert_eq!(namespace.read(b"f"), Ok(b"old and new".to_vec()));
        let links = |path: &[u8]| namespace.symlink_metadata(path).map(|metadata| (metadata.links(), metadata.inode()));
        assert_eq!((links(b"f"), links(b"f").map(|(links, _)| links)), (links(b"d/g"), Ok(2)));
        assert_eq!(namespace.remove_file(b"f"), Ok(()));
        assert_eq!((links(b"d/g").map(|(links, _)| links), namespace.exists(b"f")), (Ok(1), Ok(false)));
        model.link(b"link", b"none");
        assert_eq!(namespace.hard_link(b"link", b"link too"), Ok(()), "the link itself");
        assert_eq!(namespace.read_link(b"link too"), Ok(b"none".to_vec()));
        assert_eq!(kind(namespace.hard_link(b"d", b"e")), Some(ErrorKind::PermissionDenied));
        assert_eq!(kind(namespace.hard_link(b"d/g", b"link")), Some(ErrorKind::AlreadyExists));
    });
}

#[test]
fn symbolic_links_are_made_and_followed_within_the_mount() {
    on_models(|namespace, _| {
        namespace.create_dir_all(b"a/b").expect("there is room");
        namespace.write(b"a/f", b"x").expect("there is room");
        assert_eq!(namespace.symlink(b"../f", b"a/b/up"), Ok(()));
        assert_eq!(namespace.symlink(b"/a/b", b"absolute"), Ok(()));
        assert_eq!(namespace.symlink(b"../../../../a", b"out"), Ok(()));
        assert_eq!(namespace.read(b"absolute/up"), Ok(b"x".to_vec()));
        assert_eq!(namespace.canonicalize(b"out/b/up"), Ok(b"/a/f".to_vec()));
        assert_eq!(namespace.read_link(b"absolute"), Ok(b"/a/b".to_vec()));
        let refused = |target: &[u8]| errno(namespace.symlink(target, b"new"));
        assert_eq!([refused(b""), refused(&[b'x'; 4096]), refused(b"a\0")], [Some(2), Some(36), Some(22)]);
        assert_eq!((namespace.symlink(&[b'x'; 4095], b"long"), namespace.exists(b"new")), (Ok(()), Ok(false)));
    });
}

#[test]
fn special_files_are_there_and_nobody_opens_them() {
    on_models(|namespace, _| {
        let all = [
            (&b"pipe"[..], SpecialFile::Fifo, FileType::Fifo, 0),
            (b"socket", SpecialFile::Socket, FileType::Socket, 0),
            (b"null", SpecialFile::CharacterDevice(0x103), FileType::CharacterDevice, 0x103),
            (b"disk", SpecialFile::BlockDevice(0x800), FileType::BlockDevice, 0x800),
        ];
        for (name, what, file_type, device) in all {
            assert_eq!(namespace.create_special(name, 0o100_620, what), Ok(()));
            let metadata = namespace.metadata(name).expect("it exists");
            assert_eq!((metadata.file_type(), metadata.device()), (file_type, device));
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o620);
            assert_eq!(errno(namespace.open(name)), Some(6));
            assert_eq!(kind(namespace.create_special(name, 0, what)), Some(ErrorKind::AlreadyExists));
            assert_eq!(kind(namespace.copy(name, b"copy")), Some(ErrorKind::InvalidInput));
        }
        assert_eq!(errno(namespace.create_special(b"new/", 0, SpecialFile::Fifo)), Some(2), "no directory");
    });
}

#[test]
fn what_a_file_system_cannot_have_is_not_permitted_there() {
    #[cfg(feature = "fat")]
    {
        let namespace = Namespace::new();
        let disk = crate::fs::fat::tests::Memory::formatted();
        let fat = crate::fs::fat::tests::mount(&disk).expect("it is in order");
        namespace.mount(b"/", fat).expect("nothing is there");
        namespace.write(b"f", b"").expect("there is room");
        namespace.write(b"g", b"").expect("there is room");
        let refused = [
            errno(namespace.symlink(b"f", b"link")),
            errno(namespace.hard_link(b"f", b"link")),
            errno(namespace.create_special(b"link", 0o600, SpecialFile::Fifo)),
            errno(namespace.chown(b"f", crate::fs::path::LastLink::Follow, Some(1), None)),
        ];
        assert_eq!(refused, [Some(1); 4]);
        assert_eq!(namespace.chown(b"f", crate::fs::path::LastLink::Follow, Some(0), Some(0)), Ok(()));
        assert_eq!(kind(namespace.xattr(b"f", b"user.a")), Some(ErrorKind::Unsupported));
        assert_eq!(kind(namespace.list_xattrs(b"f")), Some(ErrorKind::Unsupported));
        assert_eq!(kind(namespace.rename_with(b"f", b"g", Collision::Exchange)), Some(ErrorKind::InvalidInput));
        namespace.unmount_all();
    }
}

#[test]
fn a_new_name_can_be_refused_if_it_is_taken() {
    everywhere(|namespace| {
        namespace.write(b"f", b"f").expect("there is room");
        namespace.write(b"g", b"g").expect("there is room");
        assert_eq!(kind(namespace.rename_with(b"f", b"g", Collision::Refuse)), Some(ErrorKind::AlreadyExists));
        assert_eq!(kind(namespace.rename_with(b"f", b".", Collision::Refuse)), Some(ErrorKind::AlreadyExists));
        assert_eq!(namespace.rename_with(b"f", b"h", Collision::Refuse), Ok(()));
        assert_eq!((namespace.read(b"h"), namespace.read(b"g")), (Ok(b"f".to_vec()), Ok(b"g".to_vec())));
        assert_eq!(kind(namespace.rename_with(b"f", b"i", Collision::Refuse)), Some(ErrorKind::NotFound));
    });
}

#[test]
fn names_are_exchanged_in_one_step_whatever_has_them() {
    on_models(|namespace, _| {
        namespace.create_dir_all(b"a/b").expect("there is room");
        namespace.write(b"a/f", b"f").expect("there is room");
        namespace.create_dir(b"d").expect("there is room");
        let exchange = |one: &[u8], other: &[u8]| namespace.rename_with(one, other, Collision::Exchange);
        assert_eq!(exchange(b"a/f", b"d"), Ok(()));
        assert_eq!((namespace.read(b"d"), namespace.exists(b"a/f/.")), (Ok(b"f".to_vec()), Ok(true)));
        assert_eq!(kind(exchange(b"a", b"a/b")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(exchange(b"a/b", b"a")), Some(ErrorKind::InvalidInput));
        assert_eq!(kind(exchange(b"a", b"none")), Some(ErrorKind::NotFound));
        assert_eq!(kind(exchange(b"a", b"d/")), Some(ErrorKind::NotADirectory));
        assert_eq!(exchange(b"a/b", b"a/b"), Ok(()));
    });
}

#[test]
fn a_tree_is_removed_whole_however_deep_and_wide_it_is() {
    everywhere(|namespace| {
        for index in 0..700 {
            namespace.write(format!("f{index}").as_bytes(), b"").expect("there is room");
            namespace.remove_file(format!("f{index}").as_bytes()).expect("it exists");
        }
        namespace.create_dir(b"tree").expect("there is room");
        for index in 0..300 {
            namespace.write(format!("tree/file {index}").as_bytes(), b"x").expect("there is room");
        }
        let deep = (0..60).fold(String::from("tree/deep"), |path, _| path + "/d");
        namespace.create_dir_all(deep.as_bytes()).expect("there is room");
        namespace.write(format!("{deep}/f").as_bytes(), b"x").expect("there is room");
        namespace.write(b"kept", b"x").expect("there is room");
        let open = namespace.open(b"tree/file 7").expect("it exists");
        assert_eq!(namespace.remove_dir_all(b"tree"), Ok(()));
        assert_eq!(namespace.exists(b"tree"), Ok(false));
        let mut byte = [0];
        assert_eq!((open.read_at(&mut byte, 0), byte), (Ok(1), *b"x"), "whoever has it open has it");
        let names: Vec<_> = namespace.read_dir(b"/").and_then(Iterator::collect).expect("it is a directory");
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(kind(namespace.remove_dir_all(b"tree")), Some(ErrorKind::NotFound));
        assert_eq!(kind(namespace.remove_dir_all(b"kept")), Some(ErrorKind::NotADirectory));
        assert_eq!(kind(namespace.remove_dir_all(b"kept/x")), Some(ErrorKind::NotADirectory));
        assert_eq!(kind(namespace.remove_dir_all(b"/")), Some(ErrorKind::ResourceBusy));
        assert_eq!(namespace.read(b"kept"), Ok(b"x".to_vec()));
    });
}

#[test]
fn no_link_is_followed_when_a_tree_is_removed() {
    on_models(|namespace, _| {
        namespace.create_dir_all(b"kept/d").expect("there is room");
        namespace.write(b"kept/d/f", b"x").expect("there is room");
        namespace.create_dir(b"tree").expect("there is room");
        for (target, link) in [(&b"../kept"[..], &b"tree/to d"[..]), (b"..", b"tree/up"), (b"loop", b"tree/loop")] {
            namespace.symlink(target, link).expect("it is new");
        }
        namespace.create_special(b"tree/pipe", 0o600, SpecialFile::Fifo).expect("it is new");
        namespace.symlink(b"kept", b"link").expect("it is new");
        assert_eq!(kind(namespace.remove_dir_all(b"link/")), Some(ErrorKind::NotADirectory));
        assert_eq!(kind(namespace.remove_dir(b"link/")), Some(ErrorKind::NotADirectory));
        namespace.symlink(b"nowhere", b"dangling").expect("it is new");
        assert_eq!(kind(namespace.remove_dir_all(b"dangling/")), Some(ErrorKind::NotFound));
        assert_eq!(namespace.remove_dir_all(b"dangling"), Ok(()));
        assert_eq!(namespace.remove_dir_all(b"link"), Ok(()), "the link goes, not its target");
        assert_eq!(namespace.remove_dir_all(b"tree/"), Ok(()));
        assert_eq!(namespace.read(b"kept/d/f"), Ok(b"x".to_vec()));
        assert_eq!((namespace.exists(b"link"), namespace.exists(b"tree")), (Ok(false), Ok(false)));
    });
}

#[test]
fn a_directorys_names_are_made_stable() {
    on_models(|namespace, model| {
        namespace.create_dir(b"d").expect("there is room");
        namespace.write(b"f", b"").expect("there is room");
        assert_eq!((namespace.sync_dir(b"d"), namespace.sync_dir(b"/")), (Ok(()), Ok(())));
        assert_eq!(kind(namespace.sync_dir(b"f")), Some(ErrorKind::NotADirectory));
        assert_eq!(*model.synced.borrow(), ["directory", "directory"]);
    });
}

#[test]
fn nothing_is_linked_or_exchanged_from_mount_to_mount() {
    let namespace = Namespace::new();
    let mount = |path: &[u8]| namespace.mount(path, Model::new() as Rc<dyn FileSystem>).expect("nothing is there");
    [&b"/"[..], b"/data", b"/data/deep"].into_iter().for_each(mount);
    namespace.write(b"/f", b"x").expect("there is room");
    namespace.write(b"/data/g", b"x").expect("there is room");
    assert_eq!(kind(namespace.hard_link(b"/f", b"/data/f")), Some(ErrorKind::CrossesDevices));
    assert_eq!(kind(namespace.hard_link(b"/f", b"/data/g")), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind(namespace.hard_link(b"/data/g", b"/data/deep/g")), Some(ErrorKind::CrossesDevices));
    let exchanged = namespace.rename_with(b"/f", b"/data/g", Collision::Exchange);
    assert_eq!(kind(exchanged), Some(ErrorKind::CrossesDevices));
    // A place where something is mounted stays, and so does what it is in.
    assert_eq!(kind(namespace.rename(b"/f", b"/data")), Some(ErrorKind::ResourceBusy));
    assert_eq!(kind(namespace.rename(b"/data/deep", b"/data/d")), Some(ErrorKind::ResourceBusy));
    assert_eq!(kind(namespace.remove_dir_all(b"/data/deep")), Some(ErrorKind::ResourceBusy));
    assert_eq!(kind(namespace.symlink(b"x", b"/data")), Some(ErrorKind::AlreadyExists));
    // What `/data/deep` hides is not looked at; what it is in is not emptied.
    assert_eq!(kind(namespace.remove_dir_all(b"/data")), Some(ErrorKind::ResourceBusy));
    assert_eq!(namespace.exists(b"/data/g"), Ok(true));
    // The copy goes by way of here.
    assert_eq!((namespace.copy(b"/f", b"/data/deep/f"), namespace.read(b"/data/deep/f")), (Ok(1), Ok(b"x".to_vec())));
}
