//! What looks at files and changes nothing.

use std::os::unix::fs::MetadataExt;

use fuse_proto::ops::{
    Access, AccessMask, BatchForget, Forget, GetAttr, GetLk, LSeek, LockKind, OpenDir, OpenFlags, Read, ReadDir,
    ReadDirPlus, ReadLink, Release, ReleaseDir, SeekWhat, StatFs,
};
use fuse_proto::ops::{FileLock, GetXattr, GetXattrLen, ListXattr, ListXattrLen};
use fuse_proto::{DirOffset, Errno, FileType, LockOwner, NodeId, ReplyError, XattrName};
use rustix::fs::XattrFlags;

use super::{lookup, open, served, session};

#[test]
fn fu_rv_objects_are_found_and_read() {
    let served = served();
    let (mut asker, session) = session(served.path());
    let root = GetAttr { node: NodeId::ROOT, handle: None, expected: Some(FileType::Directory) };
    let inode = asker.ask(&root, |reply| reply.attributes.inode).expect("the root");
    assert_eq!(inode, served.path().metadata().expect("it was made").ino());
    let file = lookup(&mut asker, b"file");
    assert_eq!((file.attributes.size, file.attributes.file_type), (8, FileType::Regular));
    let link = lookup(&mut asker, b"link");
    assert_eq!(asker.ask(&ReadLink { node: link.node }, <[u8]>::to_vec), Ok(b"elsewhere".to_vec()));
    assert_eq!(asker.ask(&StatFs { node: NodeId::ROOT }, |status| status.name_len), Ok(255));
    assert_eq!(asker.ask(&Access { node: file.node, mask: AccessMask::READ | AccessMask::WRITE }, |()| ()), Ok(()));
    let execute = asker.ask(&Access { node: file.node, mask: AccessMask::EXECUTE }, |()| ());
    assert_eq!(execute, Err(ReplyError::Remote(Errno::EACCES)));

    let (handle, flags) = open(&mut asker, &session, file.node, OpenFlags::empty());
    let by_handle = GetAttr { node: file.node, handle: Some(handle), expected: Some(FileType::Regular) };
    assert_eq!(asker.ask(&by_handle, |reply| reply.attributes.size), Ok(8));
    let read = Read { node: file.node, handle, offset: 3, size: 100, flags };
    assert_eq!(asker.ask(&read, <[u8]>::to_vec), Ok(b"tents".to_vec()));
    let seek = |offset, what| LSeek { node: file.node, handle, offset, what };
    assert_eq!(asker.ask(&seek(2, SeekWhat::Data), |offset| offset), Ok(2));
    assert_eq!(asker.ask(&seek(2, SeekWhat::Hole), |offset| offset), Ok(8));
    assert_eq!(asker.ask(&seek(8, SeekWhat::Data), |offset| offset), Err(ReplyError::Remote(Errno::ENXIO)));
    assert_eq!(asker.ask(&Release::new(file.node, handle, flags), |()| ()), Ok(()));
    asker.tell(&Forget { node: link.node, lookups: 1 });
    asker.tell(&BatchForget { nodes: &[Forget { node: file.node, lookups: 1 }] });
    // What has no references any more is not known any more.
    let stale = asker.ask(&ReadLink { node: link.node }, <[u8]>::to_vec);
    assert_eq!(stale, Err(ReplyError::Remote(Errno::EBADF)));
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_dir_directories_are_listed_in_both_ways() {
    let served = served();
    let (mut asker, _) = session(served.path());
    let opened = asker.ask(&OpenDir::new(NodeId::ROOT), |opened| opened).expect("an open directory");
    let handle = opened.handle.unwrap_or_default();
    let node = NodeId::ROOT;
    let (offset, size) = (DirOffset::START, 4096);
    let names = asker.ask(&ReadDir { node, handle, offset, size }, |entries| {
        let entries = entries.map(|entry| entry.expect("a good record"));
        let mut names: Vec<_> =
            entries.filter(|entry| !entry.is_dot_or_dot_dot()).map(|entry| entry.name.to_vec()).collect();
        names.sort();
        names
    });
    assert_eq!(names, Ok(vec![b"file".to_vec(), b"link".to_vec()]));
    let nodes = asker.ask(&ReadDirPlus { node, handle, offset, size }, |entries| entries.into_references().count());
    assert_eq!(nodes, Ok(2));
    assert_eq!(asker.ask(&ReleaseDir { node, handle }, |()| ()), Ok(()));
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_xattr_attributes_are_listed_and_read() {
    let served = served();
    let path = served.path().join("file");
    if rustix::fs::setxattr(&path, "user.colour", b"blue", XattrFlags::empty()).is_err() {
        eprintln!("this file system has no extended attributes");
        return;
    }
    let (mut asker, _) = session(served.path());
    let node = lookup(&mut asker, b"file").node;
    let name = XattrName::new(b"user.colour").expect("a name");
    assert_eq!(asker.ask(&GetXattrLen { node, name }, |len| len), Ok(4));
    assert_eq!(asker.ask(&GetXattr { node, name, capacity: 16 }, <[u8]>::to_vec), Ok(b"blue".to_vec()));
    let short = asker.ask(&GetXattr { node, name, capacity: 3 }, <[u8]>::to_vec);
    assert_eq!(short, Err(ReplyError::Remote(Errno::ERANGE)));
    let other = GetXattr { node, name: XattrName::new(b"user.size").expect("a name"), capacity: 16 };
    assert_eq!(asker.ask(&other, <[u8]>::to_vec), Err(ReplyError::Remote(Errno::ENODATA)));
    let len = asker.ask(&ListXattrLen { node }, |len| len).expect("a list");
    let has = asker.ask(&ListXattr { node, capacity: len }, |mut names| names.any(|found| found == name));
    assert_eq!(has, Ok(true));
    assert_eq!(asker.server().offences(), [""; 0]);
}

#[test]
fn fu_lk_locks_that_it_does_not_have_are_enosys() {
    let served = served();
    let (mut asker, session) = session(served.path());
    let node = lookup(&mut asker, b"file").node;
    let (handle, _) = open(&mut asker, &session, node, OpenFlags::empty());
    let get = GetLk { node, handle, owner: LockOwner(7), lock: FileLock::whole_file(LockKind::Read, 1) };
    assert_eq!(asker.ask(&get, |found| found), Err(ReplyError::Remote(Errno::ENOSYS)));
    assert_eq!(asker.server().offences(), [""; 0]);
}
