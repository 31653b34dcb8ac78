//! Writing files: every byte where it belongs, and nobody who sees the old ones afterwards.

use core::cell::{Cell, RefCell};
use std::string::String;
use std::vec;
use std::vec::Vec;

use fuse_proto::ops::OpenedFlags;
use fuse_proto::{InitFlags, Opcode};
use proptest::prelude::*;

use super::device::Order;
use super::*;
use crate::fs::fuse::connection::Connection;
use crate::fs::options::WritePosition;
use crate::fs::vfs::Appended;

mod appending;
mod closing;
mod seeing;

const BOTH: Rights = Rights::ReadAndWrite(WritePosition::Anywhere);
const ALONE: Rights = Rights::Write(WritePosition::Anywhere);
const APPEND: Rights = Rights::Write(WritePosition::End);

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn small_writes(server: &mut Server) {
    server.manners.max_write = 4096;
}

#[test]
fn fu_sem_10_a_large_write_is_several_requests_one_behind_the_other_where_the_file_grows() {
    let new = bytes(50_000);
    let mount = mount(|server| {
        server.file("f", b"old");
        small_writes(server);
    });
    mount.model.lock().behaviour.delay = 3;
    let file = mount.open_to_write("f", BOTH).expect("it exists");
    assert_eq!(file.write_at(&new, 1), Ok(50_000));
    assert!(mount.bytes("f") == [b"o", &new[..]].concat());
    let mut read = vec![0; 60_000];
    assert_eq!(file.read_at(&mut read, 0), Ok(50_001));
    assert!(read[..50_001] == mount.bytes("f"));
    let pieces: Vec<_> = (0..13).map(|piece| (1 + piece * 4096, if piece == 12 { 848 } else { 4096 })).collect();
    assert_eq!(mount.model.lock().server.written, pieces);
    assert_eq!(mount.model.lock().most_writes, 1);
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_10_inside_of_a_file_several_writes_are_under_way_at_once() {
    let mount = mount(|server| {
        server.file("f", &[0; 60_000]);
        small_writes(server);
    });
    mount.model.lock().behaviour.delay = 3;
    mount.model.lock().behaviour.order = Order::Any(5);
    let file = mount.open_to_write("f", ALONE).expect("it exists");
    let new = bytes(50_000);
    assert_eq!(file.write_at(&new, 100), Ok(50_000));
    let host = mount.bytes("f");
    assert!(host[100..50_100] == new && host[..100] == [0; 100] && host[50_100..].iter().all(|&byte| byte == 0));
    assert_eq!((mount.count("WRITE"), mount.model.lock().most_writes), (13, 4));
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_10_what_was_written_in_part_is_written_on() {
    for order in [Order::FirstFirst, Order::LastFirst, Order::Any(3)] {
        let new = bytes(20_000);
        let mount = mount(|server| {
            server.file("f", &[7; 30_000]);
            server.manners.longest_write = 3000;
            small_writes(server);
        });
        mount.model.lock().behaviour.order = order;
        let file = mount.open_to_write("f", ALONE).expect("it exists");
        assert_eq!(file.write_at(&new, 10), Ok(20_000));
        assert!(mount.bytes("f")[10..20_010] == new);
        assert!(mount.bytes("f")[20_010..] == [7; 9990]);
        drop(file);
        mount.finish();
    }
}

#[test]
fn hd_fs_23_a_write_of_nothing_or_of_more_than_all_is_eio() {
    for claim in [0_u32, 101, u32::MAX] {
        let mount = mount(|server| server.file("f", &[7; 200]));
        let file = mount.open_to_write("f", ALONE).expect("it exists");
        mount.model.lock().behaviour.spoil = Some(Box::new(move |opcode, reply| {
            if opcode == Opcode::Write {
                reply[16..20].copy_from_slice(&claim.to_le_bytes());
            }
        }));
        assert_eq!(file.write_at(&[1; 100], 0), Err(Errno::EIO), "{claim}");
        assert_eq!(mount.count("WRITE"), 1, "nothing is tried again");
        drop(file);
        mount.finish();
    }
}

#[test]
fn a_full_disk_is_found_out_by_the_next_write_and_leaves_no_hole() {
    let mount = mount(|server| {
        server.file("f", b"");
        server.manners.room = 10_000;
        small_writes(server);
    });
    mount.model.lock().behaviour.delay = 2;
    let file = mount.open_to_write("f", ALONE).expect("it exists");
    let new = bytes(20_000);
    assert_eq!(file.write_at(&new, 0), Ok(10_000));
    assert!(mount.bytes("f") == new[..10_000]);
    assert_eq!(file.write_at(&new[10_000..], 10_000), Err(Errno::ENOSPC));
    assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(10_000));
    drop(file);
    mount.finish();
}

#[test]
fn an_error_in_the_middle_is_the_end_of_what_was_written() {
    let mount = mount(|server| {
        server.file("f", &[0; 60_000]);
        small_writes(server);
    });
    let file = mount.open_to_write("f", ALONE).expect("it exists");
    let mut writes = 0;
    mount.model.lock().behaviour.spoil = Some(Box::new(move |opcode, reply| {
        writes += usize::from(opcode == Opcode::Write);
        if opcode == Opcode::Write && writes == 3 {
            reply[4..8].copy_from_slice(&(-5_i32).to_le_bytes());
        }
    }));
    assert_eq!(file.write_at(&bytes(50_000), 0), Ok(8192));
    assert!(mount.count("WRITE") <= 7, "those that were under way, and no more");
    assert_eq!(mount.client.connection.in_flight(), 0, "none can overtake a later one");
    drop(file);
    mount.finish();
}

#[test]
fn offsets_beyond_all_are_errors() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.open_to_write("f", BOTH).expect("it exists");
    assert_eq!(file.write_at(b"xx", i64::MAX as u64 - 1), Err(Errno::EFBIG));
    assert_eq!(file.write_at(b"xx", u64::MAX), Err(Errno::EFBIG));
    assert_eq!((file.write_at(b"", 5), mount.count("WRITE")), (Ok(0), 0));
    drop(file);
    mount.finish();
}

#[test]
fn what_a_file_was_not_opened_for_is_ebadf() {
    let mount = mount(|server| server.file("f", b"x"));
    let reader = mount.open("f").expect("it exists");
    assert_eq!(reader.write_at(b"y", 0), Err(Errno::EBADF));
    assert_eq!(reader.append(b"y"), Err(Errno::EBADF));
    assert_eq!(reader.set_len(0), Err(Errno::EBADF));
    let writer = mount.open_to_write("f", ALONE).expect("it exists");
    assert_eq!(writer.read_at(&mut [0], 0), Err(Errno::EBADF));
    assert_eq!(writer.read_buffer(0, 1).err(), Some(Errno::EBADF));
    assert_eq!(mount.bytes("f"), b"x");
    drop((reader, writer));
    mount.finish();
}

#[test]
fn emptying_a_file_is_part_of_opening_it_where_that_was_agreed() {
    for (flags, opens, changes) in [(InitFlags::BASIC, 1, 0), (InitFlags::BASIC - InitFlags::ATOMIC_O_TRUNC, 1, 1)] {
        let mount = mount(|server| {
            server.file("f", b"old contents");
            server.manners.init_flags = flags;
        });
        let reader = mount.open("f").expect("it exists");
        assert_eq!(reader.metadata().map(|metadata| metadata.len()), Ok(12));
        let before = mount.count("OPEN");
        let node = mount.find("f").expect("it exists");
        let file = node.open_for_writing(ALONE, Contents::Truncate).expect("it exists");
        assert_eq!((mount.count("OPEN") - before, mount.count("SETATTR")), (opens, changes));
        assert_eq!(mount.bytes("f"), b"");
        assert_eq!(reader.metadata().map(|metadata| metadata.len()), Ok(0));
        assert_eq!(reader.read_at(&mut [0; 5], 0), Ok(0));
        assert_eq!(file.write_at(b"new", 0), Ok(3));
        drop((reader, node, file));
        mount.finish();
    }
}

#[test]
fn fu_sem_7_a_server_without_open_files_is_written_and_emptied() {
    let mount = mount(|server| {
        server.file("f", b"old contents");
        server.manners.unsupported.insert(Opcode::Open.raw());
    });
    for _ in 0..2 {
        let node = mount.find("f").expect("it exists");
        let file = node.open_for_writing(ALONE, Contents::Truncate).expect("it exists");
        assert_eq!(mount.bytes("f"), b"");
        assert_eq!(file.write_at(b"new", 0), Ok(3));
        assert_eq!(file.flush(), Ok(()));
        drop((node, file));
    }
    assert_eq!((mount.count("OPEN"), mount.count("RELEASE"), mount.count("FLUSH")), (1, 0, 0));
    assert_eq!(mount.bytes("f"), b"new");
    mount.finish();
}

#[test]
fn a_write_that_is_never_answered_times_out_and_keeps_its_buffer() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.open_to_write("f", ALONE).expect("it exists");
    mount.model.lock().behaviour.swallow.insert(Opcode::Write.raw());
    assert_eq!(file.write_at(b"y", 0), Err(Errno::ETIMEDOUT));
    assert_eq!(mount.client.connection.in_flight(), 1, "the device still owns the data");
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!((mount.client.connection.in_flight(), mount.bytes("f")), (0, b"y".to_vec()));
    drop(file);
    mount.finish();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write { offset: usize, length: usize, letter: u8 },
    Append { length: usize, letter: u8 },
    SetLength(usize),
    Read { offset: usize, length: usize },
    ReadBuffer { offset: usize, length: usize },
    Length,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let (offset, length) = (0..100_000_usize, prop_oneof![0..20_000_usize, 60_000..200_000_usize]);
    let step = prop_oneof![
        (offset.clone(), length.clone(), 1..u8::MAX).prop_map(|(offset, length, letter)| Step::Write {
            offset,
            length,
            letter
        }),
        (length.clone(), 1..u8::MAX).prop_map(|(length, letter)| Step::Append { length, letter }),
        offset.clone().prop_map(Step::SetLength),
        (offset.clone(), length.clone()).prop_map(|(offset, length)| Step::Read { offset, length }),
        (offset, length).prop_map(|(offset, length)| Step::ReadBuffer { offset, length }),
        Just(Step::Length),
    ];
    prop::collection::vec((0..3_usize, step), 1..40)
}

proptest! {
    #![proptest_config(cases(60))]

    /// Three handles, any order of answers, any lifetime: always what a slice of bytes would say.
    #[test]
    fn any_sequence_of_reads_and_writes_is_as_if_the_file_were_a_vector(
        steps in steps(), seed in any::<u64>(), lifetime in 0..2_u64, longest in 1000..5000_usize, direct in any::<bool>(),
        borrows in any::<bool>(),
    ) {
        let options = Options { contents: 1 << 20, ..options() };
        let mount = mount_with(options, |server| {
            server.file("f", b"");
            server.manners.attr_lifetime = Duration::from_secs(lifetime * 1000);
            server.manners.longest_write = longest;
            if direct {
                server.manners.opened |= OpenedFlags::DIRECT_IO;
            }
            small_writes(server);
        }).expect("willing");
        mount.model.lock().behaviour.order = Order::Any(seed);
        mount.model.lock().behaviour.borrows = borrows;
        let files: [_; 3] = core::array::from_fn(|_| mount.open_to_write("f", BOTH).expect("it exists"));
        let log = mount.open_to_write("f", APPEND).expect("it exists");
        let mut expected: Vec<u8> = Vec::new();
        for (who, step) in steps {
            let file = &files[who];
            let part = |offset: usize, length: usize| {
                let start = offset.min(expected.len());
                expected[start..(start + length).min(expected.len())].to_vec()
            };
            match step {
                Step::Write { offset, length, letter } => {
                    prop_assert_eq!(file.write_at(&vec![letter; length], offset as u64), Ok(length));
                    if length > 0 {
                        expected.resize(expected.len().max(offset + length), 0);
                        expected[offset..offset + length].fill(letter);
                    }
                }
                Step::Append { length, letter } => {
                    expected.resize(expected.len() + length, letter);
                    let end = expected.len() as u64;
                    prop_assert_eq!(log.append(&vec![letter; length]), Ok(Appended { count: length, end }));
                }
                Step::SetLength(length) => {
                    prop_assert_eq!(file.set_len(length as u64), Ok(()));
                    expected.resize(length, 0);
                }
                Step::Read { offset, length } => {
                    let mut buffer = vec![0; length];
                    let count = file.read_at(&mut buffer, offset as u64).expect("it can be read");
                    prop_assert!(buffer[..count] == part(offset, length));
                }
                Step::ReadBuffer { offset, length } => {
                    let buffer = file.read_buffer(offset as u64, length).expect("it can be read");
                    prop_assert!(buffer[..] == part(offset, length));
                }
                Step::Length => {
                    prop_assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(expected.len() as u64));
                }
            }
        }
        prop_assert!(mount.bytes("f") == expected);
        drop((files, log));
        mount.finish();
    }
}
