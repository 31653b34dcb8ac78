//! What is remembered of longer files: in pieces, within bounds, and never what was there before a change.

use std::vec;
use std::vec::Vec;

use fuse_proto::ops::OpenedFlags;

use super::*;

const KIB: usize = 1024;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn remembering(limit: usize, prepare: impl FnOnce(&mut Server)) -> Mount {
    mount_with(Options { contents: limit, idle_handles: 4, ..options() }, prepare).expect("willing")
}

/// Reads all with small buffers.
fn stream(file: &dyn OpenFile, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; length];
    loop {
        let count = file.read_at(&mut buffer, all.len() as u64).expect("it can be read");
        all.extend_from_slice(&buffer[..count]);
        if count < length {
            return all;
        }
    }
}

#[test]
fn a_file_that_fits_is_read_once_whatever_the_buffers() {
    let contents = bytes(200 * KIB + 77);
    let mount = remembering(1 << 20, |server| {
        server.file("f", &contents);
    });
    let file = mount.open("f").expect("it exists");
    assert!(stream(&*file, 1000) == contents);
    assert_eq!((mount.count("READ"), mount.client.contents.used()), (4, contents.len()));
    for length in [1, 4096, 50_000, 300 * KIB] {
        let mut buffer = vec![0; length];
        for offset in [0, 1, 65_000, 65_536, 204_877, 204_876, 1 << 40] {
            let count = file.read_at(&mut buffer, offset).expect("it can be read");
            let start = (offset as usize).min(contents.len());
            assert!(buffer[..count] == contents[start..contents.len().min(start + length)], "{length} at {offset}");
            assert_eq!(mount.count("READ"), 4, "{length} at {offset}");
            assert!(file.read_buffer(offset, length).is_ok_and(|buffer| buffer.len() == count.min(file.read_limit())));
            assert_eq!(mount.count("READ"), 4, "{length} at {offset}, into a buffer of its own");
        }
    }
    assert_eq!(mount.count("READ"), 4);
    drop(file);
    mount.finish();
}

#[test]
fn a_few_bytes_bring_the_piece_they_are_in() {
    let contents = bytes(150 * KIB);
    let mount = remembering(1 << 20, |server| {
        server.file("f", &contents);
    });
    let file = mount.open("f").expect("it exists");
    let mut buffer = [0; 100];
    for offset in [70 * KIB, 90 * KIB, 127 * KIB, 140 * KIB, 149 * KIB] {
        assert_eq!(file.read_at(&mut buffer, offset as u64), Ok(100));
        assert!(buffer == contents[offset..offset + 100]);
    }
    assert_eq!((mount.count("READ"), mount.client.contents.used()), (2, 86 * KIB));
    // Across the border of two pieces, and into one that is not here.
    assert_eq!(file.read_at(&mut buffer, 128 * KIB as u64 - 50), Ok(100));
    assert_eq!(file.read_at(&mut buffer, 64 * KIB as u64 - 50), Ok(100));
    assert!(buffer == contents[64 * KIB - 50..64 * KIB + 50]);
    drop(file);
    mount.finish();
}

#[test]
fn pieces_take_no_more_memory_than_they_may_and_a_cache_can_be_off() {
    let mount = remembering(512 * KIB, |server| {
        for number in 0..20 {
            server.file(&std::format!("f{number}"), &bytes(100 * KIB));
        }
        server.file("long", &bytes(200 * KIB));
    });
    for number in 0..20 {
        let file = mount.open(&std::format!("f{number}")).expect("it exists");
        assert!(stream(&*file, 5000) == bytes(100 * KIB));
        assert!(mount.client.contents.used() <= 512 * KIB);
    }
    assert!(mount.client.contents.used() > 400 * KIB);
    let before = mount.client.contents.used();
    assert!(stream(&*mount.open("long").expect("it exists"), 5000) == bytes(200 * KIB));
    assert_eq!(mount.client.contents.used(), before, "more than a quarter of the cache");
    mount.finish();
    let mount = remembering(0, |server| {
        server.file("f", b"x");
    });
    let file = mount.open("f").expect("it exists");
    assert_eq!((file.read_at(&mut [0; 5], 0), file.read_at(&mut [0; 5], 0)), (Ok(1), Ok(1)));
    assert_eq!((mount.count("READ"), mount.client.contents.used()), (2, 0));
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_9_pieces_go_when_the_server_says_so() {
    for (opened, remembered) in [
        (OpenedFlags::KEEP_CACHE, 100 * KIB),
        (OpenedFlags::empty(), 0),
        (OpenedFlags::DIRECT_IO | OpenedFlags::KEEP_CACHE, 0),
    ] {
        let mount = mount_with(Options { contents: 1 << 20, ..options() }, |server| {
            server.file("f", &bytes(100 * KIB));
            server.manners.opened = opened;
        })
        .expect("willing");
        assert!(stream(&*mount.open("f").expect("it exists"), 5000) == bytes(100 * KIB));
        mount.pump.settle();
        let file = mount.open("f").expect("it exists");
        assert_eq!(mount.client.contents.used(), remembered, "{opened:?}");
        assert!(stream(&*file, 5000) == bytes(100 * KIB));
        drop(file);
        mount.finish();
    }
}

#[test]
fn what_was_on_its_way_when_the_file_changed_on_the_host_is_not_remembered() {
    let mount = remembering(4 << 20, |server| {
        server.file("f", &[1; 300 * KIB]);
        server.manners.attr_lifetime = Duration::from_secs(1);
        server.manners.name_lifetime = Duration::ZERO;
    });
    let file = mount.open("f").expect("it exists");
    let mut buffer = [0; 5000];
    for round in 0..4 {
        assert_eq!(file.read_at(&mut buffer, round * 5000), Ok(5000));
    }
    mount.pump.settle();
    mount.server(|server| {
        server.inode("f").contents = server::Contents::File(vec![2; 300 * KIB]);
        server.inode("f").modified.seconds += 1;
    });
    // The walk to it brings new attributes.
    assert!(mount.find("f").is_ok());
    assert!(stream(&*file, 5000) == vec![2; 300 * KIB]);
    assert!(stream(&*file, 5000) == vec![2; 300 * KIB]);
    drop(file);
    mount.finish();
}
