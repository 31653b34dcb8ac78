//! Large reads: straight into the caller's memory, without a copy, and safe whatever the device does.

use std::vec;
use std::vec::Vec;

use fuse_proto::Opcode;
use toro_core::driver::DeviceFault;

use super::device::Order;
use super::*;
use crate::fs::fuse::Statistics;

const KIB: usize = 1024;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A mount whose device memory can be lent to.
fn mount_lending(options: Options, prepare: impl FnOnce(&mut Server)) -> Mount {
    let mount = mount_with(options, prepare).expect("willing");
    mount.model.lock().behaviour.borrows = true;
    mount
}

fn statistics(mount: &Mount) -> Statistics {
    mount.client.statistics.get()
}

#[test]
fn large_reads_are_copied_by_nobody() {
    let contents = bytes(3 << 20);
    for block in [64 * KIB, 100 * KIB, 256 * KIB, 1 << 20, 3 << 20] {
        let mount = mount_lending(options(), |server| {
            server.file("f", &contents);
        });
        mount.model.lock().behaviour.order = Order::Any(block as u64);
        mount.model.lock().behaviour.delay = 2;
        let file = mount.open("f").expect("it exists");
        let mut all = vec![0; contents.len()];
        for (number, part) in all.chunks_mut(block).enumerate() {
            assert_eq!(file.read_at(part, (number * block) as u64), Ok(part.len()));
        }
        assert!(all == contents, "in blocks of {block}");
        let statistics = statistics(&mount);
        assert_eq!(statistics.bytes_read, contents.len() as u64);
        assert_eq!(statistics.bytes_copied, 0, "in blocks of {block}");
        assert_eq!(statistics.reads as usize, contents.len().div_ceil(block.min(256 * KIB)));
        assert_eq!(mount.most_reads(), (block / (256 * KIB)).clamp(1, 4), "several of a large one");
        drop(file);
        mount.finish();
    }
}

#[test]
fn where_memory_cannot_be_lent_it_is_copied() {
    let contents = bytes(1 << 20);
    let mount = mount_lending(options(), |server| {
        server.file("f", &contents);
    });
    mount.model.lock().behaviour.borrows = false;
    let file = mount.open("f").expect("it exists");
    let mut all = vec![0; contents.len()];
    assert_eq!(file.read_at(&mut all, 0), Ok(contents.len()));
    assert!(all == contents);
    assert_eq!(statistics(&mount).bytes_copied, contents.len() as u64);
    drop(file);
    mount.finish();
}

#[test]
fn small_reads_are_read_ahead_and_large_ones_take_what_is_there() {
    let contents = bytes(1 << 20);
    let mount = mount_lending(options(), |server| {
        server.file("f", &contents);
    });
    let file = mount.open("f").expect("it exists");
    let mut all = vec![0; contents.len()];
    for round in 0..10 {
        assert_eq!(file.read_at(&mut all[round * 1000..][..1000], round as u64 * 1000), Ok(1000));
    }
    assert_eq!(file.read_at(&mut all[10_000..], 10_000), Ok(contents.len() - 10_000));
    assert!(all == contents);
    let copied = statistics(&mount).bytes_copied as usize;
    assert!((10_000..500_000).contains(&copied), "what was read ahead, and no more: {copied}");
    drop(file);
    mount.finish();
}

#[test]
fn hd_fs_22_a_short_answer_ends_the_file_there() {
    let contents = bytes(1 << 20);
    let mount = mount_lending(options(), |server| {
        server.file("f", &contents);
    });
    let file = mount.open("f").expect("it exists");
    // It has shrunk on the host since the attributes were asked for.
    mount.server(|server| server.inode("f").contents = server::Contents::File(contents[..300 * KIB].to_vec()));
    let mut all = vec![0; 1 << 20];
    assert_eq!(file.read_at(&mut all, 0), Ok(300 * KIB));
    assert!(all[..300 * KIB] == contents[..300 * KIB]);
    assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(300 * KIB as u64), "asked for again");
    // And it has grown.
    mount.server(|server| server.inode("f").contents = server::Contents::File(contents.clone()));
    mount.advance(Duration::from_secs(100_000));
    assert_eq!(file.read_at(&mut all, 0), Ok(1 << 20));
    assert!(all == contents);
    drop(file);
    mount.finish();
}

#[test]
fn hd_fs_21_an_answer_of_more_than_was_asked_for_is_eio() {
    let mount = mount_lending(options(), |server| {
        server.file("f", &bytes(1 << 20));
    });
    let file = mount.open("f").expect("it exists");
    let spoil = |number: usize| {
        let mut reads = 0;
        mount.model.lock().behaviour.spoil = Some(Box::new(move |opcode, reply| {
            reads += usize::from(opcode == Opcode::Read);
            if opcode == Opcode::Read && reads == number {
                reply[..4].copy_from_slice(&(16 + 256 * 1024 + 1_u32).to_le_bytes());
            }
        }));
    };
    let mut all = vec![0; 1 << 20];
    spoil(1);
    assert_eq!(file.read_at(&mut all, 0), Err(Errno::EIO));
    spoil(3);
    assert_eq!(file.read_at(&mut all, 0), Ok(1 << 20), "what was read before counts, and the rest is asked for again");
    assert!(all == bytes(1 << 20));
    mount.model.lock().behaviour.spoil = None;
    drop(file);
    mount.finish();
}

#[test]
fn a_write_is_seen_by_large_reads() {
    let mount = mount_lending(options(), |server| {
        server.file("f", &[1; 200_000]);
    });
    let (reader, node) = (mount.open("f").expect("it exists"), mount.find("f").expect("it exists"));
    let writer = node.open_for_writing(Rights::Write(crate::fs::options::WritePosition::Anywhere), Contents::Keep);
    let writer = writer.expect("it exists");
    let mut all = vec![0; 300_000];
    assert_eq!(reader.read_at(&mut all, 0), Ok(200_000));
    assert_eq!(writer.write_at(&[2; 100_000], 150_000), Ok(100_000));
    assert_eq!(reader.read_at(&mut all, 0), Ok(250_000));
    assert!(all[..150_000] == [1; 150_000] && all[150_000..250_000] == [2; 100_000]);
    drop((reader, writer, node));
    mount.finish();
}

#[test]
fn hd_fs_37_memory_that_does_not_come_back_is_fetched_by_a_reset() {
    let mount = mount_lending(options(), |server| {
        server.file("f", &bytes(1 << 20));
    });
    let file = mount.open("f").expect("it exists");
    mount.model.lock().behaviour.swallow.insert(Opcode::Read.raw());
    let before = mount.client.now();
    let mut all = vec![7; 100 * KIB];
    assert_eq!(file.read_at(&mut all, 0), Err(Errno::ETIMEDOUT));
    assert!(mount.client.now() >= before.saturating_add(2 * options().patience), "it was waited for twice");
    assert_eq!(mount.model.lock().resets, 1);
    // Nobody writes to it any more.
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!(all, [7; 100 * KIB]);
    assert_eq!(file.read_at(&mut all, 0), Err(Errno::EIO), "the session has ended");
    drop(file);
    mount.client.shutdown();
}

#[test]
fn hd_fs_37_memory_that_comes_back_late_costs_no_reset() {
    let mount = mount_lending(options(), |server| {
        server.file("f", &bytes(1 << 20));
    });
    let file = mount.open("f").expect("it exists");
    mount.model.lock().behaviour.swallow.insert(Opcode::Read.raw());
    let (model, pump) = (mount.model.clone(), mount.pump.clone());
    let patience = options().patience;
    // After the first wait has ended, during the second.
    mount.pump.meanwhile(move || {
        pump.advance(patience);
        let late = pump.clone();
        pump.meanwhile(move || {
            late.advance(Duration::from_secs(5));
            model.lock().behaviour.swallow.clear();
        });
    });
    let mut all = vec![7; 100 * KIB];
    assert_eq!(file.read_at(&mut all, 0), Err(Errno::ETIMEDOUT));
    assert_eq!(mount.model.lock().resets, 0);
    assert_eq!(file.read_at(&mut all, 0), Ok(100 * KIB), "and nothing is lost");
    assert!(all == bytes(1 << 20)[..100 * KIB]);
    drop(file);
    mount.finish();
}

#[test]
fn a_fault_fetches_what_was_lent() {
    let mount = mount_lending(options(), |server| {
        server.file("f", &bytes(1 << 20));
    });
    let file = mount.open("f").expect("it exists");
    mount.model.lock().behaviour.swallow.insert(Opcode::Read.raw());
    let model = mount.model.clone();
    mount.pump.meanwhile(move || model.lock().behaviour.fault = Some(DeviceFault::NeedsReset));
    let mut all = vec![7; 600 * KIB];
    assert_eq!(file.read_at(&mut all, 0), Err(Errno::EIO));
    assert_eq!(mount.model.lock().resets, 1);
    drop(file);
    mount.client.shutdown();
}

#[test]
fn a_device_that_cannot_be_reset_is_waited_for_until_it_gives_back() {
    let mount = mount_lending(options(), |server| {
        server.file("f", &bytes(1 << 20));
    });
    let file = mount.open("f").expect("it exists");
    mount.model.lock().behaviour.swallow.insert(Opcode::Read.raw());
    mount.model.lock().behaviour.refused_resets = 3;
    let mut all = vec![7; 100 * KIB];
    assert_eq!(file.read_at(&mut all, 0), Err(Errno::ETIMEDOUT));
    let inner = mount.model.lock();
    assert_eq!((inner.behaviour.refused_resets, inner.resets), (0, 1));
    drop(inner);
    drop(file);
    mount.client.shutdown();
}
