//! Telling a server that nobody waits any more.

use fuse_proto::NodeId;
use fuse_proto::Opcode;
use fuse_proto::ops::GetAttr;

use super::*;
use crate::fs::fuse::Interrupts;
use crate::fs::fuse::connection::Late;
use crate::fs::vfs::Upkeep;

fn understood() -> Options {
    Options { interrupts: Interrupts::Sent, ..options() }
}

fn mounted(options: Options) -> Mount {
    mount_with(options, |server| server.file("f", b"x")).expect("the server is willing")
}

fn swallow(mount: &Mount, opcode: Opcode) {
    mount.model.lock().behaviour.swallow.insert(opcode.raw());
}

#[test]
fn fs_2_hd_fs_37_a_request_that_timed_out_is_interrupted_once_and_keeps_its_buffers() {
    let mount = mounted(understood());
    swallow(&mount, Opcode::StatFs);
    assert_eq!(mount.client.stats().err(), Some(Errno::ETIMEDOUT));
    mount.pump.settle();
    assert_eq!(mount.count("INTERRUPT"), 1);
    assert_eq!(mount.client.connection.in_flight(), 1, "the device still owns the buffers");
    assert_eq!(mount.client.stats().err(), Some(Errno::ETIMEDOUT));
    mount.pump.settle();
    let interrupted = mount.model.lock().server.interrupted.clone();
    assert_eq!(interrupted.len(), 2);
    assert_ne!(interrupted[0], interrupted[1], "each by its own number");
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!((mount.client.connection.in_flight(), mount.count("INTERRUPT")), (0, 2));
    mount.finish();
}

#[test]
fn a_server_that_may_not_understand_is_told_nothing() {
    let mount = mounted(options());
    swallow(&mount, Opcode::StatFs);
    assert_eq!(mount.client.stats().err(), Some(Errno::ETIMEDOUT));
    mount.pump.settle();
    assert_eq!(mount.count("INTERRUPT"), 0);
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    mount.finish();
}

#[test]
fn who_did_not_wait_interrupts_nothing() {
    let mount = mounted(understood());
    swallow(&mount, Opcode::GetAttr);
    let operation = GetAttr { node: NodeId::ROOT, handle: None, expected: None };
    drop(mount.client.connection.submit(&operation, None, Late::Nothing, None).map_err(drop).expect("there is room"));
    mount.pump.settle();
    assert_eq!(mount.count("INTERRUPT"), 0);
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    mount.finish();
}

#[test]
fn fu_fr_11_interrupts_and_forgets_wait_for_room_and_none_is_lost() {
    let mount = mounted(understood());
    let node = mount.find("f").expect("it exists");
    mount.model.lock().limits.high_priority_in_flight = 0;
    swallow(&mount, Opcode::StatFs);
    for _ in 0..3 {
        assert_eq!(mount.client.stats().err(), Some(Errno::ETIMEDOUT));
    }
    drop(node);
    mount.client.names.clear();
    mount.pump.settle();
    assert_eq!((mount.count("INTERRUPT"), mount.count("FORGET")), (0, 0));
    assert!(mount.client.connection.next_poll().is_some(), "it is tried again without an interrupt of the device");
    mount.model.lock().limits.high_priority_in_flight = 1;
    mount.pump.settle();
    assert_eq!((mount.count("INTERRUPT"), mount.count("FORGET")), (3, 1));
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    mount.finish();
}

#[test]
fn what_is_answered_before_its_interrupt_could_be_sent_is_not_interrupted() {
    let mount = mounted(understood());
    mount.model.lock().limits.high_priority_in_flight = 0;
    swallow(&mount, Opcode::StatFs);
    assert_eq!(mount.client.stats().err(), Some(Errno::ETIMEDOUT));
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
    assert_eq!(mount.client.connection.in_flight(), 0);
    mount.model.lock().limits.high_priority_in_flight = 4;
    mount.pump.settle();
    assert_eq!(mount.count("INTERRUPT"), 0);
    mount.finish();
}
