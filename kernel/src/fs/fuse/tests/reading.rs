//! Reading files: every byte, in any order, within bounds.

use std::vec;
use std::vec::Vec;

use fuse_proto::Opcode;
use fuse_proto::ops::OpenedFlags;
use proptest::prelude::*;

use super::device::Order;
use super::server::Contents;
use super::*;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn set_contents(mount: &Mount, number: u64, bytes: &[u8]) {
    mount.model.lock().server.inodes.get_mut(&number).expect("it exists").contents = Contents::File(bytes.to_vec());
}

/// Reads a file from its beginning with buffers of `length`, as a server of files does.
fn stream(file: &dyn OpenFile, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let buffer = file.read_buffer(all.len() as u64, length).expect("it can be read");
        all.extend_from_slice(&buffer);
        if buffer.len() < length.min(file.read_limit()) {
            return all;
        }
    }
}

#[test]
fn a_file_is_streamed_whole_with_several_requests_in_flight() {
    let contents = bytes(3_000_000);
    for length in [4096, 65_536, 100_000, 1 << 20] {
        let mount = mount(|server| server.file("f", &contents));
        mount.model.lock().behaviour.delay = 3;
        mount.model.lock().behaviour.order = Order::Any(length as u64);
        let file = mount.open("f").expect("it exists");
        assert!(stream(&*file, length) == contents, "with buffers of {length}");
        assert_eq!(mount.model.lock().most_reads, 4, "one that is waited for, three ahead");
        assert!(mount.model.lock().server.largest_read <= file.read_limit());
        drop(file);
        mount.finish();
    }
}

#[test]
fn fu_sem_10_one_large_read_is_several_requests_at_once() {
    let contents = bytes(1_500_000);
    let mount = mount(|server| server.file("f", &contents));
    mount.model.lock().behaviour.delay = 3;
    let file = mount.open("f").expect("it exists");
    let mut all = vec![0; 2_000_000];
    assert_eq!(file.read_at(&mut all, 0), Ok(1_500_000));
    all.truncate(1_500_000);
    assert!(all == contents);
    assert_eq!((mount.most_reads(), mount.count("READ")), (4, 23));
    drop(file);
    mount.finish();
}

#[test]
fn reading_ahead_keeps_to_its_budget() {
    let options = Options { read_ahead: 150_000, ..options() };
    let mount = mount_with(options, |server| server.file("f", &bytes(2_000_000))).expect("willing");
    mount.model.lock().behaviour.delay = 3;
    let file = mount.open("f").expect("it exists");
    assert_eq!(stream(&*file, 65_536).len(), 2_000_000);
    assert_eq!(mount.model.lock().most_reads, 3, "one that is waited for, two that fit in the budget");
    drop(file);
    mount.pump.settle();
    assert_eq!(mount.client.read_ahead.get(), (0, 0), "all was paid back");
    mount.finish();
}

#[test]
fn a_small_file_is_one_request_and_no_more_than_its_size() {
    let mount = mount(|server| server.file("f", &bytes(4096)));
    let file = mount.open("f").expect("it exists");
    assert_eq!(stream(&*file, 65_536).len(), 4096);
    assert_eq!((mount.count("READ"), mount.largest_read()), (1, 4096));
    let mut buffer = [0; 5000];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(4096));
    assert_eq!(file.read_at(&mut buffer, 4096), Ok(0));
    assert_eq!(mount.count("READ"), 2);
    drop(file);
    mount.finish();
}

#[test]
fn small_sequential_reads_are_served_from_large_requests() {
    let contents = bytes(1_000_000);
    let mount = mount(|server| server.file("f", &contents));
    let file = mount.open("f").expect("it exists");
    let mut all = Vec::new();
    let mut buffer = [0; 1000];
    loop {
        let count = file.read_at(&mut buffer, all.len() as u64).expect("it can be read");
        all.extend_from_slice(&buffer[..count]);
        if count < buffer.len() {
            break;
        }
    }
    assert!(all == contents);
    assert!(mount.count("READ") < 20, "{} requests", mount.count("READ"));
    drop(file);
    mount.finish();
}

#[test]
fn small_reads_here_and_there_ask_for_no_more_than_they_need() {
    let mount = mount(|server| server.file("f", &bytes(1_000_000)));
    let file = mount.open("f").expect("it exists");
    let mut buffer = [0; 100];
    for offset in [500_000, 10, 900_000, 300_000] {
        assert_eq!(file.read_at(&mut buffer, offset), Ok(100));
    }
    assert_eq!((mount.count("READ"), mount.largest_read()), (4, 100));
    drop(file);
    mount.finish();
}

#[test]
fn hd_fs_22_a_file_that_shrank_ends_where_it_ends_now() {
    let contents = bytes(1_000_000);
    for order in [Order::FirstFirst, Order::LastFirst] {
        let mount = mount(|server| server.file("f", &contents));
        mount.model.lock().behaviour.order = order;
        let number = mount.find("f").expect("it exists").id();
        let file = mount.open("f").expect("it exists");
        assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(1_000_000));
        let first = file.read_buffer(0, 65_536).expect("it can be read");
        assert_eq!(first.len(), 65_536);
        set_contents(&mount, number, &contents[..100_000]);
        let mut length = first.len();
        loop {
            let buffer = file.read_buffer(length as u64, 65_536).expect("it can be read");
            length += buffer.len();
            if buffer.len() < 65_536 {
                break;
            }
        }
        // One piece was on its way before.
        assert!(length <= 131_072, "{length}");
        assert!(file.read_buffer(length as u64, 65_536).is_ok_and(|buffer| buffer.is_empty()));
        assert_eq!(mount.client.read_ahead.get(), (0, 0), "what was asked for behind the end is dropped");
        assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(100_000), "the old size is not believed");
        drop(file);
        mount.finish();
    }
}

#[test]
fn a_file_that_grew_is_read_on_once_its_attributes_are_old() {
    let mount = mount(|server| {
        server.file("f", b"short");
        server.manners.attr_lifetime = Duration::from_secs(1);
    });
    let number = mount.find("f").expect("it exists").id();
    let file = mount.open("f").expect("it exists");
    let mut buffer = [0; 100];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(5));
    set_contents(&mount, number, b"longer now");
    assert_eq!(file.read_at(&mut buffer, 5), Ok(0));
    mount.advance(Duration::from_secs(1));
    assert_eq!(file.read_at(&mut buffer, 5), Ok(5));
    assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(10));
    drop(file);
    mount.finish();
}

#[test]
fn a_file_past_all_caches_has_the_size_that_reading_finds() {
    let mount = mount(|server| {
        server.file("f", b"short");
        server.manners.opened = OpenedFlags::DIRECT_IO;
    });
    let number = mount.find("f").expect("it exists").id();
    let file = mount.open("f").expect("it exists");
    set_contents(&mount, number, b"longer now");
    let mut buffer = [0; 100];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(10));
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_7_a_server_without_handles_gets_no_open_and_no_release() {
    let mount = mount(|server| {
        server.file("d/f", b"contents");
        server.manners.unsupported.extend([Opcode::Open.raw(), Opcode::OpenDir.raw()]);
    });
    for _ in 0..3 {
        let file = mount.open("d/f").expect("no handle is needed");
        let mut buffer = [0; 8];
        assert_eq!((file.read_at(&mut buffer, 0), &buffer), (Ok(8), b"contents"));
        let mut listing = mount.find("d").and_then(|node| node.open_directory()).expect("no handle is needed");
        assert!(listing.next().is_ok_and(|entry| entry.is_some()));
    }
    mount.pump.settle();
    let counts = ["OPEN", "RELEASE", "OPENDIR", "RELEASEDIR"].map(|opcode| mount.count(opcode));
    assert_eq!(counts, [1, 0, 1, 0]);
    mount.finish();
}

#[test]
fn a_read_beyond_the_largest_offset_is_an_error_of_the_caller() {
    let mount = mount(|server| {
        server.file("f", b"x");
        server.manners.opened = OpenedFlags::DIRECT_IO;
    });
    let file = mount.open("f").expect("it exists");
    let mut buffer = [0; 8];
    for offset in [i64::MAX as u64, u64::MAX - 3, u64::MAX] {
        assert_eq!(file.read_at(&mut buffer, offset), Err(Errno::EINVAL));
        assert_eq!(file.read_buffer(offset, 8).err(), Some(Errno::EINVAL));
    }
    assert!(file.read_buffer(0, 0).is_ok_and(|buffer| buffer.is_empty()));
    drop(file);
    mount.finish();
}

#[test]
fn a_read_that_is_never_answered_times_out_and_the_file_goes_on() {
    let mount = mount(|server| server.file("f", &bytes(500_000)));
    let file = mount.open("f").expect("it exists");
    mount.model.lock().behaviour.swallow.insert(Opcode::Read.raw());
    assert_eq!(file.read_buffer(0, 65_536).err(), Some(Errno::ETIMEDOUT));
    mount.model.lock().behaviour.swallow.clear();
    assert_eq!(stream(&*file, 65_536).len(), 500_000);
    drop(file);
    mount.pump.settle();
    assert_eq!(mount.client.read_ahead.get(), (0, 0));
    mount.finish();
}

#[test]
fn two_readers_of_one_file_do_not_disturb_each_other() {
    let contents = bytes(400_000);
    let mount = mount(|server| server.file("f", &contents));
    let file: Rc<dyn OpenFile> = mount.open("f").expect("it exists").into();
    let (other, expected) = (Rc::clone(&file), contents.clone());
    mount.pump.meanwhile(move || {
        assert!(other.read_buffer(200_000, 50_000).is_ok_and(|buffer| *buffer == expected[200_000..250_000]));
    });
    assert!(stream(&*file, 50_000) == contents);
    drop(file);
    mount.finish();
}

#[derive(Clone, Debug)]
enum Access {
    Copy {
        offset: u64,
        length: usize,
    },
    HandOut {
        offset: u64,
        length: usize,
    },
    /// Goes on where the last one stopped.
    Next {
        length: usize,
    },
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        1 => (0..60_000u64, 0..30_000usize).prop_map(|(offset, length)| Access::Copy { offset, length }),
        1 => (0..60_000u64, 1..30_000usize).prop_map(|(offset, length)| Access::HandOut { offset, length }),
        3 => (1..9000usize).prop_map(|length| Access::Next { length }),
    ]
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn every_read_returns_what_the_file_holds(
        accesses in proptest::collection::vec(access(), 1..40),
        length in 0..50_000usize,
        max_pages in 1..4u16,
        direct: bool,
        remember: bool,
        seed: u64,
    ) {
        let contents = bytes(length);
        let options = Options { contents: if remember { 100_000 } else { 0 }, ..options() };
        let mount = mount_with(options, |server| {
            server.file("f", &contents);
            server.manners.max_pages = max_pages;
            if direct {
                server.manners.opened = OpenedFlags::DIRECT_IO;
                server.manners.attr_lifetime = Duration::ZERO;
            }
        }).expect("the server is willing");
        mount.model.lock().behaviour.order = Order::Any(seed);
        let file = mount.open("f").expect("it exists");
        let slice = |offset: u64, length: usize| {
            let start = contents.len().min(offset as usize);
            &contents[start..contents.len().min(start + length)]
        };
        let mut next = 0;
        for access in accesses {
            match access {
                Access::Copy { offset, length } => {
                    let mut buffer = vec![0xAA; length];
                    let count = file.read_at(&mut buffer, offset).expect("it can be read");
                    prop_assert_eq!(&buffer[..count], slice(offset, length));
                    next = offset + count as u64;
                }
                Access::HandOut { offset, length } => {
                    let buffer = file.read_buffer(offset, length).expect("it can be read");
                    prop_assert_eq!(&*buffer, slice(offset, length.min(file.read_limit())));
                    next = offset + buffer.len() as u64;
                }
                Access::Next { length } => {
                    let buffer = file.read_buffer(next, length).expect("it can be read");
                    prop_assert_eq!(&*buffer, slice(next, length.min(file.read_limit())));
                    next += buffer.len() as u64;
                }
            }
        }
        prop_assert!(mount.model.lock().server.largest_read <= usize::from(max_pages) * 4096);
        drop(file);
        mount.finish();
    }
}
