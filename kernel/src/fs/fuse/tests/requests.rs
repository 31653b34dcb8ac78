//! Requests in flight: waiting, giving up, late answers, faults.

use core::cell::Cell;

use fuse_proto::ops::{GetAttr, StatFs};
use fuse_proto::{NodeId, Opcode};
use toro_core::driver::{Armed, DeviceFault};

use super::device::Order;
use super::*;
use crate::fs::fuse::connection::Late;
use crate::fs::scheduler::Work;
use crate::fs::vfs::Upkeep;

const ROOT_ATTRIBUTES: GetAttr = GetAttr { node: NodeId::ROOT, handle: None, expected: None };

fn swallow(mount: &Mount, opcode: Opcode) {
    mount.model.lock().behaviour.swallow.insert(opcode.raw());
}

fn answer_all(mount: &Mount) {
    mount.model.lock().behaviour.swallow.clear();
    mount.pump.settle();
}

#[test]
fn a_session_begins_and_ends() {
    let mount = mount(|server| server.file("f", b"x"));
    assert_eq!(mount.count("INIT"), 1);
    assert_eq!(mount.client.stats().map(|stats| (stats.block_size, stats.blocks_free)), Ok((512, 400)));
    mount.finish();
}

#[test]
fn fu_fr_12_a_farewell_without_an_answer_is_good() {
    let mount = mount(|server| server.manners.silent_destroy = true);
    mount.finish();
}

#[test]
fn nothing_is_sent_after_the_end() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.find("f").expect("it exists");
    mount.client.shutdown();
    assert_eq!(file.metadata().err(), Some(Errno::ESTALE));
    assert_eq!(mount.client.stats().err(), Some(Errno::ENOTCONN));
    assert!(mount.find("f").is_err());
    drop(file);
    mount.pump.settle();
    mount.client.shutdown();
    assert_eq!(mount.model.lock().server.offences, [""; 0]);
}

#[test]
fn what_is_submitted_together_is_published_once() {
    let mount = mount(|_| {});
    let connection = &mount.client.connection;
    let before = mount.model.lock().notifications;
    let tickets: [_; 5] = core::array::from_fn(|_| {
        connection.submit(&ROOT_ATTRIBUTES, None, Late::Nothing, None).map_err(drop).expect("there is room")
    });
    assert_eq!(mount.model.lock().notifications, before, "submitting does not notify");
    assert_eq!(mount.pump.turn(), Work::Done);
    assert_eq!(mount.model.lock().notifications, before + 1);
    for ticket in tickets {
        assert!(ticket.wait().is_ok());
    }
    mount.finish();
}

#[test]
fn an_answer_is_awaited_while_somebody_wants_it() {
    let mount = mount(|_| {});
    let connection = &mount.client.connection;
    let ask = || connection.submit(&ROOT_ATTRIBUTES, None, Late::Nothing, None).map_err(drop).expect("there is room");
    assert!(!connection.awaits_answer(), "nothing was asked");
    swallow(&mount, Opcode::GetAttr);
    let (first, second) = (ask(), ask());
    assert_eq!(mount.pump.turn(), Work::Done);
    assert_eq!(mount.pump.turn(), Work::None);
    drop(first);
    assert!(connection.awaits_answer(), "one of two is wanted");
    drop(second);
    assert_eq!((connection.awaits_answer(), connection.in_flight()), (false, 2));
    answer_all(&mount);
    let third = ask();
    assert!(connection.awaits_answer());
    assert!(third.wait().is_ok());
    assert!(!connection.awaits_answer(), "it was answered");
    swallow(&mount, Opcode::GetAttr);
    let lost = ask();
    connection.close(Errno::EIO);
    assert!(!connection.awaits_answer(), "a lost device does not answer");
    assert_eq!(lost.wait().map(drop), Err(Errno::EIO));
    assert!(!connection.awaits_answer());
}

#[test]
fn answers_in_any_order_find_their_waiters() {
    for order in [Order::LastFirst, Order::Any(1), Order::Any(7)] {
        let mount = mount(|_| {});
        mount.model.lock().behaviour.order = order;
        let connection = &mount.client.connection;
        let attributes = connection.submit(&ROOT_ATTRIBUTES, None, Late::Nothing, None).map_err(drop);
        let status = connection.submit(&StatFs { node: NodeId::ROOT }, None, Late::Nothing, None).map_err(drop);
        let attributes = attributes.and_then(|ticket| ticket.wait().map_err(drop)).expect("answered");
        let status = status.and_then(|ticket| ticket.wait().map_err(drop)).expect("answered");
        assert_eq!((attributes.reply().len(), status.reply().len()), (16 + 104, 16 + 80));
        connection.recycle(attributes.buffers);
        connection.recycle(status.buffers);
        mount.finish();
    }
}

#[test]
fn a_full_device_makes_threads_wait_and_loses_nothing() {
    let mut server = Server::new();
    for name in ["a", "b", "c"] {
        server.file(name, b"x");
    }
    let model = Model::new(server);
    model.lock().limits.in_flight = 1;
    let mount = mount_model(model, options()).expect("one request at a time will do");
    let found = Rc::new(Cell::new(0));
    for name in ["b", "c"] {
        let (client, found) = (Rc::clone(&mount.client), Rc::clone(&found));
        mount.pump.meanwhile(move || {
            let root = client.root().expect("mounted");
            assert!(root.lookup(name.as_bytes(), Freshness::Cached).is_ok());
            found.set(found.get() + 1);
        });
    }
    assert!(mount.find("a").is_ok());
    assert_eq!(found.get(), 2);
    assert_eq!(mount.model.lock().most_in_flight, 1);
    mount.finish();
}

#[test]
fn a_request_that_is_never_answered_times_out() {
    let mount = mount(|_| {});
    swallow(&mount, Opcode::StatFs);
    assert_eq!(mount.client.stats().err(), Some(Errno::ETIMEDOUT));
    assert_eq!(mount.client.connection.in_flight(), 1, "the device still owns the buffers");
    answer_all(&mount);
    assert_eq!(mount.client.connection.in_flight(), 0);
    assert!(mount.client.stats().is_ok());
    mount.finish();
}

#[test]
fn hd_fs_37_a_late_answer_to_lookup_is_forgotten() {
    let mount = mount(|server| server.file("f", b"x"));
    swallow(&mount, Opcode::Lookup);
    assert_eq!(mount.find("f").err(), Some(Errno::ETIMEDOUT));
    answer_all(&mount);
    assert_eq!(mount.count("FORGET"), 1);
    mount.finish();
}

#[test]
fn hd_fs_37_a_late_answer_to_open_is_released() {
    let mount = mount(|server| server.file("d/f", b"x"));
    swallow(&mount, Opcode::Open);
    assert_eq!(mount.open("d/f").err(), Some(Errno::ETIMEDOUT));
    answer_all(&mount);
    assert_eq!(mount.count("RELEASE"), 1);
    swallow(&mount, Opcode::OpenDir);
    let directory = mount.find("d").expect("it exists");
    assert_eq!(directory.open_directory().err(), Some(Errno::ETIMEDOUT));
    answer_all(&mount);
    assert_eq!(mount.count("RELEASEDIR"), 1);
    drop(directory);
    mount.finish();
}

#[test]
fn hd_fs_37_a_late_listing_is_forgotten() {
    let mount = mount(|server| {
        (0..20).for_each(|i| {
            server.file(&std::format!("f{i}"), b"x");
        })
    });
    swallow(&mount, Opcode::ReadDirPlus);
    let root = mount.client.root().expect("mounted");
    let mut listing = root.open_directory().expect("it is a directory");
    assert_eq!(listing.next(), Err(Errno::ETIMEDOUT));
    assert_eq!(listing.next(), Ok(None), "the listing has ended");
    drop((listing, root));
    answer_all(&mount);
    assert_eq!(mount.model.lock().server.debts(), [""; 0]);
    mount.finish();
}

#[test]
fn a_fault_fails_who_waits_and_who_comes_later() {
    let mount = mount(|server| server.file("f", b"x"));
    let model = mount.model.clone();
    mount.pump.meanwhile(move || model.lock().behaviour.fault = Some(DeviceFault::NeedsReset));
    assert_eq!(mount.find("f").err(), Some(Errno::EIO));
    assert_eq!(mount.client.stats().err(), Some(Errno::EIO));
    assert_eq!(mount.client.connection.in_flight(), 0);
    assert_eq!(mount.pump.turn(), Work::None, "a lost device does not keep the core awake");
    mount.client.shutdown();
}

#[test]
fn before_the_core_sleeps_everything_is_sent() {
    let mount = mount(|_| {});
    let connection = &mount.client.connection;
    let before = mount.model.lock().notifications;
    let ticket = connection.submit(&ROOT_ATTRIBUTES, None, Late::Nothing, None).map_err(drop).expect("there is room");
    assert_eq!(connection.arm(), Armed::Idle);
    assert_eq!(mount.model.lock().notifications, before + 1);
    assert_eq!(connection.next_poll(), None);
    assert!(ticket.wait().is_ok());
    mount.finish();
}

#[test]
fn a_lost_device_lets_the_core_sleep() {
    let mount = mount(|_| {});
    mount.model.lock().behaviour.fault = Some(DeviceFault::Gone);
    assert_eq!(mount.client.connection.arm(), Armed::WorkPending, "the news is worth another round");
    assert_eq!(mount.client.connection.arm(), Armed::Idle);
    assert_eq!(mount.pump.turn(), Work::None);
    mount.client.shutdown();
}

#[test]
fn releasing_a_file_takes_no_time() {
    let mount = mount(|server| server.file("f", b"x"));
    let file = mount.open("f").expect("it exists");
    let before = mount.client.now();
    drop(file);
    assert_eq!(mount.client.now(), before);
    assert_eq!(mount.count("RELEASE"), 0);
    mount.pump.settle();
    assert_eq!(mount.count("RELEASE"), 1);
    mount.finish();
}

#[test]
fn fu_fr_11_forgets_wait_for_room_and_travel_together() {
    let mount = mount_with(Options { names: 1, ..options() }, |server| {
        (0..300).for_each(|i| {
            server.file(&std::format!("f{i}"), b"x");
        });
    })
    .expect("the server is willing");
    mount.model.lock().limits.high_priority_in_flight = 1;
    let root = mount.client.root().expect("mounted");
    let mut nodes: Vec<_> =
        (0..300).map(|i| root.lookup(std::format!("f{i}").as_bytes(), Freshness::Cached).expect("it exists")).collect();
    nodes.clear();
    mount.pump.settle();
    assert!(mount.count("BATCH_FORGET") >= 4 && mount.count("BATCH_FORGET") < 20);
    // One name is still in the cache.
    assert_eq!(mount.model.lock().server.debts().len(), 1);
    mount.finish();
}

#[test]
fn fu_fr_11_forgets_wait_for_each_other_but_not_for_long() {
    let forget_delay = Duration::from_millis(100);
    let mount = mount_with(Options { names: 1, forget_delay, ..options() }, |server| {
        (0..100).for_each(|i| {
            server.file(&std::format!("f{i}"), b"x");
        });
    })
    .expect("the server is willing");
    let root = mount.client.root().expect("mounted");
    let look = |i: usize| root.lookup(std::format!("f{i}").as_bytes(), Freshness::Cached).map(drop);
    let connection = &mount.client.connection;
    (0..10).for_each(|i| look(i).expect("it exists"));
    assert_eq!(mount.count("FORGET") + mount.count("BATCH_FORGET"), 0);
    assert!(connection.is_busy());
    assert_eq!(connection.arm(), Armed::Idle);
    let until = connection.next_poll().expect("it is not forgotten");
    assert!(until > mount.client.now() && until <= mount.client.now().saturating_add(forget_delay));
    mount.pump.advance(forget_delay);
    mount.pump.settle();
    assert_eq!((mount.count("FORGET"), mount.count("BATCH_FORGET")), (0, 1));
    assert_eq!(connection.next_poll(), None);
    // As many as go together do not wait.
    let nodes: Vec<_> = (10..90).map(|i| root.lookup(std::format!("f{i}").as_bytes(), Freshness::Cached)).collect();
    drop(nodes);
    mount.pump.turn();
    assert_eq!((mount.count("FORGET"), mount.count("BATCH_FORGET")), (0, 3));
    look(90).expect("it exists");
    // Nor do any at the end.
    let before = mount.client.now();
    mount.client.shutdown();
    assert!(mount.client.now() < before.saturating_add(forget_delay));
    mount.finish();
}

#[test]
fn fu_ini_14_a_refused_session_is_no_mount() {
    let refused = mount_with(options(), |server| server.manners.unsupported.insert(Opcode::Init.raw()));
    assert_eq!(refused.err(), Some(Errno::ENOSYS));
}

#[test]
fn a_server_that_says_nothing_at_all_is_no_mount() {
    let model = Model::new(Server::new());
    model.lock().behaviour.swallow.insert(Opcode::Init.raw());
    assert_eq!(mount_model(model, options()).err(), Some(Errno::ETIMEDOUT));
}
