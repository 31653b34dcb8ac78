//! Changes whose answers break the rules, or come when nobody waits for them any more.

use std::vec::Vec;

use fuse_proto::Opcode;

use super::*;
use crate::fs::options::{Rights, WritePosition};
use crate::fs::vfs::{Collision, SpecialFile};

const BOTH: Rights = Rights::ReadAndWrite(WritePosition::Anywhere);

type Change = fn(&Rc<dyn Node>) -> Result<(), Errno>;

/// Everything that makes a name, by the operation that does it.
const MAKERS: [(Opcode, Change); 6] = [
    (Opcode::MkNod, |directory| directory.create(b"new", 0o600).map(drop)),
    (Opcode::MkNod, |directory| directory.create_special(b"new", 0o600, SpecialFile::Fifo)),
    (Opcode::MkDir, |directory| directory.create_directory(b"new", 0o700).map(drop)),
    (Opcode::SymLink, |directory| directory.create_symlink(b"new", b"target")),
    (Opcode::Create, |directory| directory.create_and_open(b"new", 0o600, BOTH).map(drop)),
    (Opcode::Link, |directory| {
        let file = directory.lookup(b"f", Freshness::Cached)?;
        directory.link(b"new", file.id())
    }),
];

fn place() -> (Mount, Rc<dyn Node>) {
    let mount = mount(|server| server.file("d/f", b"x"));
    let directory = mount.find("d").expect("it exists");
    assert!(directory.lookup(b"f", Freshness::Cached).is_ok());
    assert_eq!(directory.lookup(b"new", Freshness::Cached).err(), Some(Errno::ENOENT));
    (mount, directory)
}

fn spoil(mount: &Mount, target: Opcode, at: usize, bytes: &'static [u8]) {
    mount.model.lock().behaviour.spoil = Some(Box::new(move |opcode, reply: &mut Vec<u8>| {
        if opcode == target && reply.len() > 16 {
            reply[16 + at..16 + at + bytes.len()].copy_from_slice(bytes);
        }
    }));
}

#[test]
fn hd_fs_12_to_14_what_was_made_is_neither_nothing_nor_the_root_nor_its_directory() {
    for (opcode, make) in MAKERS {
        for number in [&[0u8][..], &[1], &[2]] {
            let (mount, directory) = place();
            assert_eq!(directory.id(), 2);
            spoil(&mount, opcode, 0, number);
            assert_eq!(make(&directory), Err(Errno::EIO), "{opcode} of {number:?}");
            mount.model.lock().behaviour.spoil = None;
            // The server's own word is true: it was made.
            assert!(directory.lookup(b"new", Freshness::Cached).is_ok(), "the absence is not remembered");
            drop(directory);
            // What was forgotten is another node than the one that was counted.
            mount.client.shutdown();
        }
    }
}

#[test]
fn hd_fs_16_a_link_to_another_node_is_refused() {
    let (mount, directory) = place();
    spoil(&mount, Opcode::Link, 0, &[99]);
    let file = directory.lookup(b"f", Freshness::Cached).expect("it exists");
    assert_eq!(directory.link(b"new", file.id()), Err(Errno::EIO));
    drop((directory, file));
    mount.client.shutdown();
}

#[test]
fn hd_fs_17_and_fu_rv_8_what_was_made_is_of_the_kind_that_was_asked_for() {
    for (opcode, make) in MAKERS {
        // A socket, which only a socket may be, and no kind at all.
        for mode in [&0o140_755u32.to_le_bytes(), &[0; 4]] {
            let (mount, directory) = place();
            if opcode == Opcode::Link && mode != &[0; 4] {
                // A node that comes back as another kind is another node, see HD-FS-15.
                continue;
            }
            let mode: &'static [u8] = if mode == &[0; 4] { &[0; 4] } else { &[0xED, 0xC1, 0, 0] };
            spoil(&mount, opcode, 40 + 60, mode);
            assert_eq!(make(&directory), Err(Errno::EIO), "{opcode}");
            mount.model.lock().behaviour.spoil = None;
            assert_eq!(mount.debts().len(), 2, "the directory and its file; {opcode} owes nothing");
            assert!(directory.lookup(b"new", Freshness::Cached).is_ok());
            drop(directory);
            mount.finish();
        }
    }
}

#[test]
fn hd_fs_37_what_was_made_for_nobody_is_given_back() {
    for (opcode, make) in MAKERS {
        let (mount, directory) = place();
        mount.model.lock().behaviour.swallow.insert(opcode.raw());
        assert_eq!(make(&directory), Err(Errno::ETIMEDOUT), "{opcode}");
        assert_eq!(directory.lookup(b"new", Freshness::Cached).err(), Some(Errno::ENOENT), "not yet");
        mount.model.lock().behaviour.swallow.clear();
        assert_eq!(mount.debts().len(), 2, "the directory and its file; {opcode} owes nothing");
        assert!(directory.lookup(b"new", Freshness::Cached).is_ok(), "now it is there, and that is seen");
        drop(directory);
        mount.finish();
    }
}

#[test]
fn hd_fs_37_what_was_removed_or_moved_late_is_gone() {
    let changes: [(Opcode, Change); 2] = [
        (Opcode::Unlink, |directory| directory.remove(b"f")),
        (Opcode::Rename, |directory| directory.rename(b"f", 1, b"moved", Collision::Replace)),
    ];
    for (opcode, change) in changes {
        let (mount, directory) = place();
        mount.model.lock().behaviour.swallow.insert(opcode.raw());
        assert_eq!(change(&directory), Err(Errno::ETIMEDOUT));
        assert!(directory.lookup(b"f", Freshness::Cached).is_ok(), "still there");
        mount.model.lock().behaviour.swallow.clear();
        mount.pump.settle();
        assert_eq!(directory.lookup(b"f", Freshness::Cached).err(), Some(Errno::ENOENT));
        assert_eq!(mount.find("moved").is_ok(), opcode == Opcode::Rename);
        drop(directory);
        mount.finish();
    }
}

#[test]
fn a_change_on_a_lost_device_fails() {
    let (mount, directory) = place();
    mount.model.lock().behaviour.fault = Some(toro_core::driver::DeviceFault::NeedsReset);
    for (_, make) in MAKERS {
        assert_eq!(make(&directory), Err(Errno::EIO));
    }
    drop(directory);
    mount.client.shutdown();
}
