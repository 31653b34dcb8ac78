//! Several mounts, faults, and the end of one of them.

use alloc::rc::Rc;
use alloc::vec::Vec;

use fuse_proto::Errno;

use super::kind;
use super::model::Model;
use crate::fs::remote::tests as remote;
use crate::fs::vfs::FileSystem;
use crate::fs::{MountStatus, Namespace};
use crate::io::{Error, ErrorKind};

fn paths(namespace: &Namespace) -> Vec<Vec<u8>> {
    namespace.mounts().into_iter().map(|mount| mount.path).collect()
}

fn mounted(paths: &[&[u8]]) -> Namespace {
    let namespace = Namespace::new();
    paths.iter().for_each(|path| namespace.mount(path, Model::new()).expect("nothing is there"));
    namespace
}

#[test]
fn mounts_are_listed_in_the_order_of_their_paths() {
    let namespace = mounted(&[b"/b//c/.", b"/", b"/a"]);
    assert_eq!(paths(&namespace), [&b"/"[..], b"/a", b"/b/c"]);
    assert!(namespace.mounts().iter().all(|mount| mount.failure.is_none() && !mount.is_remote));
    namespace.write(b"/b/f", b"outer").expect_err("there is no directory");
    namespace.create_dir(b"/b").expect("it is new");
    namespace.write(b"/b/f", b"outer").expect("there is room");
    namespace.write(b"/b/c/f", b"inner").expect("there is room");
    assert_eq!((namespace.read(b"/b/f"), namespace.read(b"/b/c/f")), (Ok(b"outer".to_vec()), Ok(b"inner".to_vec())));
}

#[test]
fn a_mount_is_left_when_nothing_is_mounted_below_it() {
    let namespace = mounted(&[b"/", b"/a", b"/a/b", b"/ab"]);
    assert_eq!(kind(namespace.unmount(b"/a")), Some(ErrorKind::ResourceBusy));
    assert_eq!(kind(namespace.unmount(b"/")), Some(ErrorKind::ResourceBusy));
    assert_eq!(kind(namespace.unmount(b"/c")), Some(ErrorKind::InvalidInput));
    assert_eq!(kind(namespace.unmount(b"a")), Some(ErrorKind::InvalidInput));
    namespace.write(b"/a/b/f", b"x").expect("there is room");
    let file = namespace.open(b"/a/b/f").expect("it exists");
    assert_eq!((namespace.unmount(b"//a/./b/"), namespace.unmount(b"/a")), (Ok(()), Ok(())));
    assert_eq!(paths(&namespace), [&b"/"[..], b"/ab"]);
    assert_eq!(kind(file.read_at(&mut [0], 0)), Some(ErrorKind::NotConnected));
    assert_eq!(kind(file.close()), Some(ErrorKind::NotConnected));
    // The place is free, and what was hidden is seen again.
    assert_eq!(kind(namespace.metadata(b"/a")), Some(ErrorKind::NotFound));
    namespace.mount(b"/a", Model::new()).expect("nothing is there");
    assert_eq!((namespace.exists(b"/a"), namespace.exists(b"/a/b")), (Ok(true), Ok(false)));
}

#[test]
fn after_a_fault_a_mount_is_begun_again() {
    let model = Model::new();
    let own = Namespace::new();
    own.mount(b"/data", Rc::clone(&model) as Rc<dyn FileSystem>).expect("nothing is there");
    let (elsewhere, _) = remote::seen_from_elsewhere(Rc::clone(&model) as Rc<dyn FileSystem>, "/data");
    for (namespace, is_remote) in [(&own, false), (&elsewhere, true)] {
        let status = |failure: Option<Errno>| {
            let failure = failure.map(Error::from);
            [MountStatus { path: b"/data".to_vec(), failure, is_remote }]
        };
        assert_eq!(namespace.mounts(), status(None));
        assert_eq!(kind(namespace.remount(b"/data")), Some(ErrorKind::ResourceBusy), "nothing is wrong");
        model.fault.set(Some(Errno::EIO));
        assert_eq!(namespace.mounts(), status(Some(Errno::EIO)));
        assert!(namespace.metadata(b"/data").is_err());
        assert_eq!(namespace.remount(b"/data/."), Ok(()));
        assert_eq!(namespace.mounts(), status(None));
        assert_eq!(namespace.exists(b"/data"), Ok(true));
        assert_eq!(kind(namespace.remount(b"/")), Some(ErrorKind::InvalidInput));
    }
    assert_eq!(kind(elsewhere.unmount(b"/data")), Some(ErrorKind::InvalidInput), "the owner does that");
    elsewhere.unmount_all();
    assert_eq!((elsewhere.mounts(), own.exists(b"/data")), (Vec::new(), Ok(true)));
    own.unmount_all();
}
