//! What the server says of its own accord.

use std::collections::VecDeque;
use std::vec::Vec;

use toro_core::driver::Armed;

use super::*;
use crate::fs::scheduler::Work;

/// A mount of a server that can say something. Names and attributes hold for a day.
fn talkative<R>(prepare: impl FnOnce(&mut Server) -> R) -> Mount {
    let mut server = Server::new();
    prepare(&mut server);
    let model = Model::new(server);
    model.lock().messages = Some(VecDeque::new());
    mount_model(model, options()).expect("the server is willing")
}

/// A message with this code.
fn message(code: u32, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let length = 16 + payload.len() as u32;
    [&length.to_le_bytes()[..], &code.to_le_bytes(), &[0; 8], &payload].concat()
}

fn stale_node(node: u64) -> Vec<u8> {
    message(2, &[&node.to_le_bytes(), &(-1_i64).to_le_bytes(), &0_i64.to_le_bytes()])
}

fn stale_entry(parent: u64, name: &[u8]) -> Vec<u8> {
    message(3, &[&parent.to_le_bytes(), &(name.len() as u32).to_le_bytes(), &[0; 4], name, &[0]])
}

fn deleted(parent: u64, child: u64, name: &[u8]) -> Vec<u8> {
    let length = (name.len() as u32).to_le_bytes();
    message(6, &[&parent.to_le_bytes(), &child.to_le_bytes(), &length, &[0; 4], name, &[0]])
}

fn tell(mount: &Mount, bytes: Vec<u8>) {
    mount.model.lock().messages.as_mut().expect("it can say something").push_back(bytes);
}

#[test]
fn attributes_that_are_stale_are_asked_for_again() {
    let mount = talkative(|server| server.file("f", b"x"));
    let file = mount.find("f").expect("it exists");
    let number = file.id();
    assert_eq!(file.metadata().map(|metadata| metadata.len), Ok(1));
    mount.server(|server| server.inode("f").contents = server::Contents::File(b"longer".to_vec()));
    assert_eq!(file.metadata().map(|metadata| metadata.len), Ok(1), "they hold for a day");
    tell(&mount, stale_node(number));
    mount.pump.settle();
    assert_eq!(file.metadata().map(|metadata| metadata.len), Ok(6));
    drop(file);
    mount.finish();
}

#[test]
fn names_that_are_stale_are_asked_for_again() {
    type Say = fn(u64) -> Vec<u8>;
    let says: [Say; 3] = [|_| stale_entry(1, b"f"), |child| deleted(1, child, b"f"), |_| message(8, &[])];
    for say in says {
        let mount = talkative(|server| server.file("f", b"x"));
        let old = mount.find("f").expect("it exists").id();
        mount.server(|server| {
            server.file("f", b"another");
        });
        assert_eq!(mount.find("f").map(|node| node.id()), Ok(old), "the name holds for a day");
        tell(&mount, say(old));
        mount.pump.settle();
        assert_ne!(mount.find("f").expect("it exists").id(), old);
        mount.finish();
    }
}

#[test]
fn hd_fs_43_what_makes_no_sense_is_dropped() {
    let mount = talkative(|server| server.file("f", b"x"));
    let known = mount.find("f").expect("it exists").id();
    let lookups = mount.count("LOOKUP");
    let mut long = stale_entry(1, b"f");
    long[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut answer = stale_entry(1, b"f");
    answer[8] = 2;
    for nonsense in [
        Vec::new(),
        [0; 15].to_vec(),
        [0xFF; 64].to_vec(),
        message(0, &[]),
        message(77, &[b"something newer"]),
        message(7, &[]),
        message(2, &[&[0; 24]]),
        stale_entry(999, b"f"),
        stale_entry(1, b"a/b"),
        stale_entry(1, b"unknown"),
        deleted(1, 1, b"f"),
        stale_node(424_242),
        long,
        answer,
    ] {
        tell(&mount, nonsense);
    }
    mount.pump.settle();
    assert_eq!(mount.find("f").map(|node| node.id()), Ok(known));
    assert_eq!(mount.count("LOOKUP"), lookups, "the name still holds");
    mount.finish();
}

#[test]
fn messages_are_taken_when_nothing_is_in_flight_and_the_core_sleeps_after_them() {
    let mount = talkative(|server| server.file("f", b"x"));
    let connection = &mount.client.connection;
    assert_eq!((mount.pump.turn(), connection.arm()), (Work::None, Armed::Idle));
    for _ in 0..1000 {
        tell(&mount, message(8, &[]));
    }
    assert_eq!(connection.arm(), Armed::WorkPending);
    assert_eq!(mount.pump.turn(), Work::Done);
    assert!(mount.model.lock().messages.as_ref().is_some_and(|left| !left.is_empty()), "others have their turn, too");
    mount.pump.settle();
    assert_eq!((mount.pump.turn(), connection.arm()), (Work::None, Armed::Idle));
    mount.finish();
}
