//! Attributes that are set.

use fuse_proto::{Opcode, Timestamp};

use super::device::Order;
use super::*;
use crate::fs::metadata::{AttributeChanges, FileTime, TimeChange};
use crate::fs::options::{Contents, Rights, WritePosition};

const SECOND: Duration = Duration::from_secs(1);

fn mode(mode: u32) -> AttributeChanges {
    AttributeChanges { mode: Some(mode), ..AttributeChanges::default() }
}

#[test]
fn what_is_set_is_what_is_seen() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.find("f").expect("it exists");
    let before = file.metadata().expect("it exists").changed_time();
    let time = FileTime { seconds: -5, nanoseconds: 7 };
    let changes = AttributeChanges {
        mode: Some(0o4751),
        uid: Some(1000),
        gid: Some(100),
        accessed: Some(TimeChange::To(time)),
        modified: Some(TimeChange::Now),
    };
    assert_eq!(file.set_attributes(&changes), Ok(()));
    let gets = mount.count("GETATTR");
    let metadata = file.metadata().expect("it exists");
    assert_eq!((metadata.mode(), metadata.uid(), metadata.gid()), (0o104_751, 1000, 100));
    assert_eq!(metadata.accessed_time(), time);
    assert!(metadata.changed_time() > before && metadata.modified_time() > before);
    assert_eq!((mount.count("SETATTR"), mount.count("GETATTR")), (1, gets), "the answer says how it is now");
    {
        let mut inner = mount.model.lock();
        let inode = inner.server.inode("f");
        assert_eq!((inode.permissions, inode.uid, inode.gid), (0o4751, 1000, 100));
        assert_eq!(inode.accessed, Timestamp { seconds: -5, nanoseconds: 7 });
    }
    assert_eq!(file.set_attributes(&AttributeChanges::default()), Ok(()));
    assert_eq!(mount.count("SETATTR"), 1, "nothing to set");
    drop(file);
    mount.finish();
}

#[test]
fn attributes_are_set_through_a_handle_where_one_is_open() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.find("f").expect("it exists");
    let open = file.open().expect("it can be opened");
    assert_eq!((file.set_attributes(&mode(0o600)), open.set_attributes(&mode(0o640))), (Ok(()), Ok(())));
    assert_eq!(mount.model.lock().server.with_handle, 2);
    drop(open);
    mount.pump.settle();
    assert_eq!(file.set_attributes(&mode(0o644)), Ok(()));
    assert_eq!(mount.model.lock().server.with_handle, 2);
    drop(file);
    mount.finish();
}

#[test]
fn what_is_refused_is_not_believed() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.find("f").expect("it exists");
    for errno in [Errno::EPERM, Errno::EROFS] {
        mount.model.lock().server.manners.refuse_changes = Some(errno);
        assert_eq!(file.set_attributes(&mode(0o600)), Err(errno));
        assert_eq!(file.metadata().map(|metadata| metadata.mode()), Ok(0o100_644));
    }
    drop(file);
    mount.finish();
}

#[test]
fn hd_fs_17_attributes_of_another_kind_are_refused() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.find("f").expect("it exists");
    mount.model.lock().behaviour.spoil = Some(Box::new(|opcode, reply| {
        if opcode == Opcode::SetAttr {
            reply[16 + 16 + 60..16 + 16 + 64].copy_from_slice(&0o040_755u32.to_le_bytes());
        }
    }));
    assert_eq!(file.set_attributes(&mode(0o600)), Err(Errno::EIO));
    mount.model.lock().behaviour.spoil = None;
    assert_eq!(file.metadata().map(|metadata| metadata.mode()), Ok(0o100_600), "what came of it is asked for");
    drop(file);
    mount.finish();
}

/// A file whose attributes have to be asked for, while the server carries out in order and answers in the opposite one.
fn racing() -> (Mount, Rc<dyn Node>) {
    let mount = mount(|server| {
        server.file("f", b"x");
        server.manners.attr_lifetime = Duration::ZERO;
    });
    let file = mount.find("f").expect("it exists");
    {
        let mut inner = mount.model.lock();
        inner.server.manners.attr_lifetime = SECOND;
        inner.behaviour.prompt = true;
        inner.behaviour.order = Order::LastFirst;
    }
    (mount, file)
}

#[test]
fn fu_sem_5_attributes_from_before_a_change_do_not_win() {
    let (mount, file) = racing();
    let other = Rc::clone(&file);
    mount.pump.meanwhile(move || assert_eq!(other.set_attributes(&mode(0o600)), Ok(())));
    let get = |metadata: crate::fs::metadata::Metadata| metadata.mode();
    assert_eq!(file.metadata().map(get), Ok(0o100_644), "as it was when it was asked for");
    assert_eq!(file.metadata().map(get), Ok(0o100_600), "as it is");
    assert_eq!(mount.count("GETATTR"), 2, "one for the root, one for the file, and what SETATTR said");
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_5_of_two_changes_at_once_neither_answer_is_believed() {
    let (mount, file) = racing();
    let other = Rc::clone(&file);
    mount.pump.meanwhile(move || assert_eq!(other.set_attributes(&mode(0o640)), Ok(())));
    assert_eq!(file.set_attributes(&mode(0o600)), Ok(()));
    assert_eq!(file.metadata().map(|metadata| metadata.mode()), Ok(0o100_640), "the server carried it out last");
    assert_eq!(mount.count("GETATTR"), 2, "it was asked");
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_5_a_name_that_brings_old_attributes_does_not_win() {
    let (mount, file) = racing();
    let root = mount.root();
    let other = Rc::clone(&file);
    mount.pump.meanwhile(move || assert_eq!(other.set_attributes(&mode(0o600)), Ok(())));
    assert!(root.lookup(b"f", Freshness::Server).is_ok());
    assert_eq!(file.metadata().map(|metadata| metadata.mode()), Ok(0o100_600));
    drop((root, file));
    mount.finish();
}

#[test]
fn fu_sem_5_a_change_that_was_given_up_counts() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.find("f").expect("it exists");
    mount.model.lock().behaviour.swallow.insert(Opcode::SetAttr.raw());
    assert_eq!(file.set_attributes(&mode(0o600)), Err(Errno::ETIMEDOUT));
    assert_eq!(file.metadata().map(|metadata| metadata.mode()), Ok(0o100_644), "not yet");
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!(file.metadata().map(|metadata| metadata.mode()), Ok(0o100_600));
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_5_a_write_that_was_given_up_counts() {
    let mount = mount(|server| server.file("f", b"x"));
    let node = mount.find("f").expect("it exists");
    let file = node.open_for_writing(Rights::Write(WritePosition::Anywhere), Contents::Keep).expect("it can be");
    mount.model.lock().behaviour.swallow.insert(Opcode::Write.raw());
    assert_eq!(file.write_at(b"longer", 0), Err(Errno::ETIMEDOUT));
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(1), "not yet");
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(6));
    drop((node, file));
    mount.finish();
}

#[test]
fn fu_sem_5_an_answer_from_before_a_change_does_not_last_if_the_object_was_forgotten_meanwhile() {
    let mount = mount(|server| {
        server.manners.name_lifetime = Duration::from_secs(60);
        server.manners.attr_lifetime = Duration::from_secs(60);
    });
    mount.model.lock().behaviour.prompt = true;
    // While MKNOD is on its way back: the file is found, changed and let go of.
    let client = Rc::clone(&mount.client);
    mount.pump.meanwhile(move || {
        let found = client.root().and_then(|root| root.lookup(b"f", Freshness::Cached)).expect("it is made");
        assert_eq!(found.set_attributes(&mode(0o400)), Ok(()));
    });
    let file = mount.root().create(b"f", 0o600).expect("it is new");
    assert_eq!(file.metadata().map(|metadata| metadata.mode()), Ok(0o100_400));
    drop(file);
    mount.finish();
}

#[test]
fn everything_is_made_stable_with_one_request() {
    let mount = mount(|server| server.directory("d"));
    assert!(mount.find("d").and_then(|directory| directory.create(b"f", 0o600)).is_ok());
    assert_eq!((mount.client.sync(), mount.client.sync()), (Ok(()), Ok(())));
    assert_eq!((mount.count("SYNCFS"), mount.count("FSYNCDIR")), (2, 0));
    mount.finish();
}

#[test]
fn fu_sem_8_without_syncfs_what_was_changed_is_made_stable_piece_by_piece() {
    let mount = mount(|server| {
        server.directory("d");
        server.manners.unsupported.insert(Opcode::SyncFs.raw());
    });
    let directory = mount.find("d").expect("it exists");
    assert!(directory.create(b"f", 0o600).is_ok());
    assert_eq!((mount.client.sync(), mount.count("FSYNCDIR")), (Ok(()), 1));
    assert_eq!((mount.client.sync(), mount.count("FSYNCDIR")), (Ok(()), 1), "nothing has changed since");
    assert_eq!(mount.count("SYNCFS"), 1);
    assert!(directory.create(b"g", 0o600).is_ok());
    assert_eq!((mount.client.sync(), mount.count("FSYNCDIR")), (Ok(()), 2));
    // A file that is written, read nowhere and closed.
    let rights = Rights::Write(WritePosition::Anywhere);
    let file = mount.find("d/f").expect("it exists").open_for_writing(rights, Contents::Keep).expect("it can be");
    assert_eq!(file.write_at(b"bytes", 0), Ok(5));
    drop(file);
    let number = mount.find("d/f").expect("it exists").id();
    assert_eq!((mount.client.sync(), mount.client.sync(), mount.count("FSYNCDIR")), (Ok(()), Ok(()), 2));
    assert_eq!(mount.model.lock().server.synced.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [number]);
    mount.model.lock().server.manners.unsupported.insert(Opcode::FSyncDir.raw());
    assert_eq!((directory.sync_directory(), directory.sync_directory()), (Ok(()), Ok(())));
    assert_eq!(mount.count("FSYNCDIR"), 3, "it is not asked for again");
    drop(directory);
    mount.finish();
}

#[test]
fn what_is_lost_to_syncing_is_no_success() {
    let mount = mount_with(Options { names: 1, ..options() }, |server| {
        server.directory("d");
        server.file("f", b"x");
        server.manners.unsupported.insert(Opcode::SyncFs.raw());
    })
    .expect("willing");
    assert!(mount.find("d").and_then(|directory| directory.create(b"f", 0o600)).is_ok());
    assert!(mount.find("f").is_ok());
    assert_eq!(mount.client.sync(), Err(Errno::EOPNOTSUPP), "the directory is not known any more");
    mount.finish();
}

#[test]
fn a_directory_is_made_stable() {
    let mount = mount(|server| server.file("d/f", b"x"));
    let directory = mount.find("d").expect("it exists");
    assert_eq!((directory.sync_directory(), mount.count("FSYNCDIR")), (Ok(()), 1));
    assert_eq!(mount.find("d/f").and_then(|file| file.sync_directory()), Err(Errno::ENOTDIR));
    drop(directory);
    mount.pump.settle();
    assert_eq!(mount.count("RELEASEDIR"), 1);
    mount.finish();
}
