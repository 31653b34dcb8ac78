//! Listing directories.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::vec::Vec;

use fuse_proto::{InitFlags, Opcode};
use zerocopy::{FromBytes, IntoBytes};

use super::server::Contents;
use super::*;
use crate::fs::metadata::FileType;
use crate::fs::vfs::RawEntry;

fn list(mount: &Mount, path: &str) -> Result<Vec<RawEntry>, Errno> {
    let mut listing = mount.find(path)?.open_directory()?;
    core::iter::from_fn(|| listing.next().transpose()).collect()
}

fn crowd(server: &mut Server) {
    for index in 0..1000 {
        server.file(&format!("d/file number {index}"), b"x");
    }
    server.file("d/sub/f", b"x");
    server.link("d/link", "sub");
}

#[test]
fn every_name_is_listed_once_and_looking_at_it_costs_nothing() {
    let mount = mount(|server| {
        crowd(server);
        server.manners.init_flags = InitFlags::BASIC - InitFlags::READDIRPLUS_AUTO;
    });
    let entries = list(&mount, "d").expect("it can be listed");
    let names: BTreeSet<_> = entries.iter().map(|entry| entry.name.to_vec()).collect();
    assert_eq!((entries.len(), names.len()), (1002, 1002));
    assert!(mount.count("READDIRPLUS") > 3 && mount.count("READDIR") == 0);
    let lookups = mount.count("LOOKUP");
    assert!(mount.find("d/file number 7").is_ok_and(|node| node.metadata().is_ok()));
    assert_eq!((mount.count("LOOKUP"), mount.count("GETATTR")), (lookups, 1));
    let kind = |name: &[u8]| entries.iter().find(|entry| *entry.name == *name).and_then(|entry| entry.file_type);
    assert_eq!(kind(b"sub"), Some(FileType::Directory));
    assert_eq!(kind(b"link"), Some(FileType::Symlink));
    mount.finish();
}

#[test]
fn a_name_that_goes_while_its_node_is_looked_for_ends_no_listing() {
    let mount = mount(|server| {
        crowd(server);
        server.manners.init_flags = InitFlags::BASIC - InitFlags::READDIRPLUS_AUTO;
        server.manners.refuse_nodes = Some(Errno::ENOENT);
    });
    let names = list(&mount, "d").map(|entries| entries.into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>());
    assert_eq!(names.map(|names| names.len()), Ok(1002));
    mount.finish();
}

#[test]
fn where_it_is_left_to_us_only_the_first_names_come_with_nodes() {
    let mount = mount(crowd);
    let names = list(&mount, "d").map(|entries| entries.into_iter().map(|entry| entry.name).collect::<BTreeSet<_>>());
    assert_eq!(names.map(|names| names.len()), Ok(1002));
    assert!(mount.count("READDIRPLUS") == 1 && mount.count("READDIR") > 0);
    assert!(mount.client.names.len() < 30, "{}", mount.client.names.len());
    mount.finish();
}

#[test]
fn who_looks_at_the_files_of_a_listing_gets_all_with_nodes() {
    let mount = mount(crowd);
    let directory = mount.find("d").expect("it is there");
    let mut listing = directory.open_directory().expect("it can be listed");
    while let Some(entry) = listing.next().expect("the names are good") {
        let node = directory.lookup(&entry.name, Freshness::Cached).expect("it is there");
        assert!(node.metadata().is_ok());
    }
    assert!(mount.count("READDIRPLUS") > 2 && mount.count("READDIR") == 0);
    assert_eq!(mount.count("LOOKUP"), 1, "that of the directory");
    drop((listing, directory));
    mount.finish();
}

#[test]
fn hd_fs_46_without_readdirplus_names_are_listed_with_readdir() {
    for hide_kinds in [false, true] {
        let mount = mount(|server| {
            crowd(server);
            server.manners.hide_kinds = hide_kinds;
            server.manners.unsupported.insert(Opcode::ReadDirPlus.raw());
        });
        for _ in 0..2 {
            let entries = list(&mount, "d").expect("it can be listed");
            assert_eq!(entries.len(), 1002);
            assert!(entries.iter().all(|entry| entry.file_type.is_none() == hide_kinds));
        }
        assert_eq!(mount.count("READDIRPLUS"), 1);
        mount.finish();
    }
}

#[test]
fn without_the_flag_readdirplus_is_not_even_tried() {
    let mount = mount(|server| {
        crowd(server);
        server.manners.init_flags = InitFlags::BASIC - InitFlags::DO_READDIRPLUS;
    });
    assert_eq!(list(&mount, "d").map(|entries| entries.len()), Ok(1002));
    assert_eq!(mount.count("READDIRPLUS"), 0);
    mount.finish();
}

#[test]
fn a_listing_that_is_left_early_owes_nothing() {
    let mount = mount(crowd);
    let mut listing = mount.find("d").and_then(|node| node.open_directory()).expect("it can be listed");
    assert!(listing.next().is_ok_and(|entry| entry.is_some()));
    drop(listing);
    mount.pump.settle();
    assert_eq!(mount.count("RELEASEDIR"), 1);
    mount.finish();
}

#[test]
fn an_empty_directory_has_no_names() {
    let mount = mount(|server| server.put("d", Contents::Directory(BTreeMap::new())));
    assert_eq!(list(&mount, "d"), Ok(Vec::new()));
    mount.finish();
}

/// Spoils the first record of every READDIR reply, at `offset` of the record.
fn spoil(mount: &Mount, offset: usize, bytes: &'static [u8]) {
    mount.model.lock().behaviour.spoil = Some(Box::new(move |opcode, reply| {
        let at = 16 + offset;
        if opcode == Opcode::ReadDir && reply.len() >= at + bytes.len() {
            reply[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }));
}

fn plain() -> Mount {
    mount(|server| {
        server.file("d/name", b"x");
        server.file("d/other", b"x");
        server.manners.unsupported.insert(Opcode::ReadDirPlus.raw());
    })
}

#[test]
fn hd_fs_24_to_27_names_that_are_none_are_an_error() {
    let spoils: [(usize, &'static [u8]); 4] = [
        (16, &[0, 0, 0, 0]),             // a name of no bytes
        (16, &[0, 1, 0, 0]),             // of 256
        (16, &[0xFF, 0xFF, 0xFF, 0xFF]), // of all the bytes there are
        (24, b"/"),                      // a path
    ];
    for (offset, bytes) in spoils {
        let mount = plain();
        spoil(&mount, offset, bytes);
        assert_eq!(list(&mount, "d").err(), Some(Errno::EIO), "{bytes:?} at {offset}");
        mount.finish();
    }
}

#[test]
fn hd_fs_25_a_listing_without_one_whole_record_is_an_error() {
    let mount = plain();
    mount.model.lock().behaviour.spoil = Some(Box::new(|opcode, reply| {
        if opcode == Opcode::ReadDir {
            reply.truncate(16 + 20);
            reply[..4].copy_from_slice(&36u32.to_le_bytes());
        }
    }));
    assert_eq!(list(&mount, "d").err(), Some(Errno::EIO));
    mount.finish();
}

#[test]
fn hd_fs_28_a_listing_that_goes_nowhere_ends() {
    let mount = plain();
    // All cookies are 0, so every reply is the first one again.
    mount.model.lock().behaviour.spoil = Some(Box::new(|opcode, reply| {
        if opcode == Opcode::ReadDir {
            let mut rest = &mut reply[16..];
            while let Ok((dirent, after)) = fuse_proto::dirent::WireDirEntry::mut_from_prefix(rest) {
                dirent.next.as_mut_bytes().fill(0);
                let length = (dirent.name_len.get() as usize).next_multiple_of(8);
                rest = &mut after[length..];
            }
        }
    }));
    assert_eq!(list(&mount, "d").err(), Some(Errno::EIO));
    mount.finish();
}

#[test]
fn hd_fs_30_a_listed_node_that_is_refused_is_forgotten() {
    let mount = mount(|server| server.file("d/name", b"x"));
    mount.model.lock().behaviour.spoil = Some(Box::new(|opcode, reply| {
        if opcode == Opcode::ReadDirPlus && reply.len() > 16 {
            // The third record, behind `.` and `..`; its mode.
            let at = 16 + 2 * 160 + 40 + 60;
            reply[at..at + 4].fill(0);
        }
    }));
    let entries = list(&mount, "d").expect("the names are good");
    assert_eq!((entries.len(), entries[0].file_type), (1, Some(FileType::File)));
    mount.pump.settle();
    assert_eq!(mount.model.lock().server.debts().len(), 1, "only the directory is held");
    mount.finish();
}
