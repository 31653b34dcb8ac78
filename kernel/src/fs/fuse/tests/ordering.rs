//! What is sent after what. The rules are the model's, in [`device::order`](super::device): here are clients that have reason
//! to break them.

use core::cell::Cell;
use std::vec;

use fuse_proto::{InitFlags, Opcode};

use super::device::Order;
use super::*;
use crate::fs::options::WritePosition;
use crate::fs::vfs::{Collision, Sync};

const BOTH: Rights = Rights::ReadAndWrite(WritePosition::Anywhere);

const ORDERS: [Order; 4] = [Order::FirstFirst, Order::LastFirst, Order::Any(3), Order::Any(11)];

/// A slow server, which answers in some order.
fn slow(order: Order, options: Options) -> Mount {
    let mount = mount_with(options, |server| {
        server.file("d/f", &[1; 40_000]);
        server.file("d/g", b"g");
        server.directory("e");
        server.manners.minor = 45;
        server.manners.max_write = 4096;
        server.manners.init_flags |= InitFlags::FLOCK_LOCKS;
    });
    let mount = mount.expect("the server is willing");
    mount.model.lock().behaviour.order = order;
    mount.model.lock().behaviour.delay = 3;
    mount
}

fn all(mut check: impl FnMut(Mount)) {
    for order in ORDERS {
        for options in [options(), Options::default()] {
            check(slow(order, options));
        }
    }
}

#[test]
fn fu_fr_10_a_new_file_is_written_when_it_is_there_and_closed_when_it_is_written() {
    all(|mount| {
        for name in [&b"new"[..], b"newer"] {
            let file = mount.find("e").and_then(|directory| directory.create_and_open(name, 0o644, BOTH));
            let file = file.expect("the name is free");
            assert_eq!(file.write_at(&[7; 20_000], 0), Ok(20_000));
            assert_eq!(file.write_at(&[8; 20_000], 0), Ok(20_000), "several WRITEs at once");
            assert_eq!((file.sync(Sync::All), file.set_len(30_000)), (Ok(()), Ok(())));
            drop(file);
        }
        assert_eq!(mount.bytes("e/new"), [&[8; 20_000][..], &[0; 10_000]].concat());
        mount.pump.settle();
        assert_eq!((mount.count("CREATE"), mount.count("RELEASE")), (2, 2));
        mount.finish();
    });
}

#[test]
fn fu_fr_10_who_gives_up_leaves_the_handle_and_the_node_until_the_answers_are_there() {
    // Nobody waits for the answers any more, and the file is dropped and forgotten while they are under way.
    for opcode in [Opcode::Read, Opcode::Write, Opcode::FSync, Opcode::SetAttr, Opcode::GetAttr, Opcode::CopyFileRange]
    {
        all(|mount| {
            // Which of the two copies depends on the server's version.
            let copy = Opcode::CopyFileRange64.raw();
            mount.model.lock().behaviour.swallow.extend([opcode.raw(), copy]);
            let (file, target) = (mount.open_to_write("d/f", BOTH), mount.open_to_write("d/g", BOTH));
            let (Ok(file), Ok(target)) = (file, target) else { panic!("they exist") };
            let mut bytes = vec![0; 20_000];
            let outcome = match opcode {
                Opcode::Read => file.read_at(&mut bytes, 0).map(drop),
                Opcode::Write => file.write_at(&bytes, 0).map(drop),
                Opcode::FSync => file.sync(Sync::Data),
                Opcode::SetAttr => file.set_len(5),
                Opcode::GetAttr => file.metadata().map(drop),
                _ => file.copy_to(0, target.identity().expect("it has a number"), 0, 100).map(drop),
            };
            if opcode != Opcode::GetAttr {
                assert_eq!(outcome, Err(Errno::ETIMEDOUT), "{opcode}");
            }
            drop((file, target));
            mount.client.names.clear();
            mount.pump.advance(Duration::from_secs(10));
            mount.client.tidy_up();
            mount.pump.settle();
            mount.model.lock().behaviour.swallow.clear();
            mount.pump.settle();
            mount.finish();
        });
    }
}

#[test]
fn fu_fr_10_nodes_of_a_request_are_held_until_it_is_answered_wherever_it_names_them() {
    for opcode in [Opcode::Rename, Opcode::Rename2, Opcode::Link] {
        all(|mount| {
            mount.model.lock().behaviour.swallow.insert(opcode.raw());
            mount.server(|server| {
                if opcode == Opcode::Rename {
                    server.manners.unsupported.insert(Opcode::Rename2.raw());
                }
            });
            let (from, to, file) = (mount.find("d"), mount.find("e"), mount.find("d/g"));
            let (Ok(from), Ok(to), Ok(file)) = (from, to, file) else { panic!("they exist") };
            let outcome = match opcode {
                Opcode::Rename => from.rename(b"g", to.id(), b"h", Collision::Replace),
                Opcode::Rename2 => from.rename(b"g", to.id(), b"h", Collision::Refuse),
                _ => to.link(b"h", file.id()),
            };
            if mount.count(opcode.name()) > 0 {
                assert_eq!(outcome, Err(Errno::ETIMEDOUT), "{opcode}");
            }
            drop((from, to, file));
            mount.client.names.clear();
            mount.pump.settle();
            mount.model.lock().behaviour.swallow.clear();
            mount.pump.settle();
            mount.finish();
        });
    }
}

#[test]
fn fu_fr_10_a_session_ends_when_nothing_is_under_way() {
    all(|mount| {
        let done = Rc::new(Cell::new(0));
        for path in ["d/f", "d/g", "e"] {
            let (client, done) = (Rc::clone(&mount.client), Rc::clone(&done));
            mount.pump.meanwhile(move || {
                let root = client.root().expect("mounted");
                let found = resolve(&root, path.as_bytes(), LastLink::Follow, Freshness::Server);
                assert!(found.and_then(|found| found.node.metadata()).is_ok());
                done.set(done.get() + 1);
            });
        }
        let file = mount.open_to_write("d/f", BOTH).expect("it exists");
        assert_eq!(file.write_at(&[9; 10_000], 100), Ok(10_000));
        drop(file);
        assert_eq!(done.get(), 3);
        // RELEASE and FORGETs are still to be sent.
        mount.finish();
    });
}
