//! What changes names, attributes and contents.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use fuse_proto::ops::{
    AllocateMode, AttributeChanges, Create, FAllocate, FSync, FSyncDir, Flush, Link, MkDir, MkNod, OpenDir, OpenFlags,
    Release, RemoveXattr, Rename, Rename2, RenameFlags, RmDir, SetAttr, SetIds, SetXattr, SetXattrForm, SymLink,
    SyncWhat, TimeChange, Unlink, XattrMode,
};
use fuse_proto::ops::{Write, WriteFlags};
use fuse_proto::{Errno, FileType, LockOwner, NodeId, ReplyError, Timestamp, XattrName};

use super::{lookup, name, open, served, session};

const ROOT: NodeId = NodeId::ROOT;

#[test]
fn fu_rv_names_are_made_moved_and_removed() {
    let served = served();
    let at = |name: &str| served.path().join(name);
    let (mut asker, _) = session(served.path());
    let make = MkDir { parent: ROOT, name: name(b"directory"), mode: 0o750, umask: 0 };
    let directory = asker.ask(&make, |entry| entry).expect("a directory");
    assert_eq!(directory.attributes.file_type, FileType::Directory);
    assert_eq!(at("directory").metadata().expect("it is there").mode(), 0o40_750);
    let fifo = MkNod { parent: ROOT, name: name(b"pipe"), mode: 0o10_640, device: 0, umask: 0 };
    assert_eq!(asker.ask(&fifo, |entry| entry.attributes.file_type), Ok(FileType::Fifo));
    assert!(at("pipe").metadata().expect("it is there").file_type().is_fifo());
    let link = SymLink { parent: ROOT, name: name(b"symbolic"), target: b"any/where" };
    assert_eq!(asker.ask(&link, |entry| entry.attributes.file_type), Ok(FileType::SymLink));
    assert_eq!(at("symbolic").read_link().expect("it is there").as_os_str(), "any/where");
    let file = lookup(&mut asker, b"file").node;
    let link = Link { node: file, parent: directory.node, name: name(b"hard") };
    assert_eq!(asker.ask(&link, |entry| (entry.node, entry.attributes.links)), Ok((file, 2)));
    assert_eq!(at("directory/hard").metadata().expect("it is there").nlink(), 2);

    let rename = Rename { parent: directory.node, name: name(b"hard"), new_parent: ROOT, new_name: name(b"moved") };
    assert_eq!(asker.ask(&rename, |()| ()), Ok(()));
    assert!(at("moved").exists() && !at("directory/hard").exists());
    let rename2 =
        |flags| Rename2 { parent: ROOT, name: name(b"moved"), new_parent: ROOT, new_name: name(b"link"), flags };
    let taken = asker.ask(&rename2(RenameFlags::NO_REPLACE), |()| ());
    assert_eq!(taken, Err(ReplyError::Remote(Errno::EEXIST)));
    assert_eq!(asker.ask(&rename2(RenameFlags::EXCHANGE), |()| ()), Ok(()));
    assert!(at("moved").is_symlink() && !at("link").is_symlink());
    assert_eq!(asker.ask(&Unlink { parent: ROOT, name: name(b"moved") }, |()| ()), Ok(()));
    assert!(!at("moved").is_symlink());
    let busy = asker.ask(&Unlink { parent: ROOT, name: name(b"directory") }, |()| ());
    assert_eq!(busy, Err(ReplyError::Remote(Errno::EISDIR)));
    assert_eq!(asker.ask(&RmDir { parent: ROOT, name: name(b"directory") }, |()| ()), Ok(()));
    assert!(!at("directory").exists());
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_rv_contents_are_created_written_and_made_stable() {
    let served = served();
    let (mut asker, _) = session(served.path());
    let flags = OpenFlags::READ_WRITE;
    let create = Create { parent: ROOT, name: name(b"new"), mode: 0o604, umask: 0, flags, set_ids: SetIds::Keep };
    let created = asker.ask(&create, |created| created).expect("a file");
    let (node, handle) = (created.entry.node, created.opened.handle.unwrap_or_default());
    let write = |offset, size| Write {
        node,
        handle,
        offset,
        size,
        open_flags: create.sent_flags(),
        flags: WriteFlags::empty(),
        lock_owner: None,
    };
    assert_eq!(asker.ask_with(&write(0, 5), b"first", |count| count), Ok(5));
    assert_eq!(asker.ask_with(&write(100_000, 4), b"last", |count| count), Ok(4));
    let host = served.path().join("new");
    let contents = std::fs::read(&host).expect("it is there");
    assert_eq!((contents.len(), &contents[..5], &contents[100_000..]), (100_004, &b"first"[..], &b"last"[..]));
    assert_eq!(host.metadata().expect("it is there").mode(), 0o100_604);
    let allocate = FAllocate { node, handle, offset: 0, length: 200_000, mode: AllocateMode::empty() };
    assert_eq!(asker.ask(&allocate, |()| ()), Ok(()));
    assert_eq!(host.metadata().expect("it is there").len(), 200_000);
    for what in [SyncWhat::Data, SyncWhat::All] {
        assert_eq!(asker.ask(&FSync { node, handle, what }, |()| ()), Ok(()));
    }
    assert_eq!(asker.ask(&Flush { node, handle, lock_owner: LockOwner(1) }, |()| ()), Ok(()));
    assert_eq!(asker.ask(&Release::new(node, handle, create.sent_flags()), |()| ()), Ok(()));
    let opened = asker.ask(&OpenDir::new(ROOT), |opened| opened).expect("an open directory");
    let sync = FSyncDir { node: ROOT, handle: opened.handle.unwrap_or_default(), what: SyncWhat::All };
    assert_eq!(asker.ask(&sync, |()| ()), Ok(()));
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_rv_attributes_are_changed() {
    let served = served();
    let host = served.path().join("file");
    let (mut asker, session) = session(served.path());
    let node = lookup(&mut asker, b"file").node;
    let mut change = |changes| {
        let set = SetAttr { node, expected: Some(FileType::Regular), changes };
        asker.ask(&set, |reply| reply.attributes).expect("it may be changed")
    };
    let mode = change(AttributeChanges { mode: Some(0o100_640), ..AttributeChanges::default() }).mode();
    assert_eq!((mode, host.metadata().expect("it is there").mode()), (0o100_640, 0o100_640));
    let size = change(AttributeChanges { size: Some(3), ..AttributeChanges::default() }).size;
    assert_eq!((size, std::fs::read(&host).expect("it is there")), (3, b"con".to_vec()));
    let then = Timestamp { seconds: 1_000_000_007, nanoseconds: 123_456_789 };
    let modified = Some(TimeChange::To(then));
    change(AttributeChanges { modified, accessed: Some(TimeChange::Now), ..AttributeChanges::default() });
    let metadata = host.metadata().expect("it is there");
    assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (then.seconds, i64::from(then.nanoseconds)));
    if rustix::process::geteuid().is_root() {
        change(AttributeChanges { uid: Some(1234), gid: Some(4321), ..AttributeChanges::default() });
        let metadata = host.metadata().expect("it is there");
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
    }
    let (handle, _) = open(&mut asker, &session, node, OpenFlags::READ_WRITE);
    let changes = AttributeChanges { handle: Some(handle), size: Some(10), ..AttributeChanges::default() };
    let by_handle = SetAttr { node, expected: None, changes };
    assert_eq!(asker.ask(&by_handle, |reply| reply.attributes.size), Ok(10));
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_xattr_attributes_are_set_and_removed() {
    let served = served();
    let (mut asker, session) = session(served.path());
    let node = lookup(&mut asker, b"file").node;
    let xattr = XattrName::new(b"user.colour").expect("a name");
    let form = SetXattrForm::of(&session);
    let set = |value, mode| SetXattr { node, name: xattr, value, mode, form };
    match asker.ask(&set(b"red", XattrMode::Create), |()| ()) {
        Err(ReplyError::Remote(Errno::EOPNOTSUPP)) => return eprintln!("this file system has no extended attributes"),
        set => assert_eq!(set, Ok(())),
    }
    let again = asker.ask(&set(b"red", XattrMode::Create), |()| ());
    assert_eq!(again, Err(ReplyError::Remote(Errno::EEXIST)));
    assert_eq!(asker.ask(&set(b"green", XattrMode::Replace), |()| ()), Ok(()));
    let mut value = [0; 16];
    let path = served.path().join("file");
    let len = rustix::fs::getxattr(&path, "user.colour", &mut value[..]).expect("it was set");
    assert_eq!(&value[..len], b"green");
    assert_eq!(asker.ask(&RemoveXattr { node, name: xattr }, |()| ()), Ok(()));
    assert!(rustix::fs::getxattr(&path, "user.colour", &mut value[..]).is_err());
    assert_eq!(asker.server().offences(), [""; 0]);
}
