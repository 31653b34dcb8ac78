//! What is remembered, for how long, and what the server is told of it.

use std::format;
use std::string::String;
use std::vec::Vec;

use fuse_proto::Opcode;
use fuse_proto::ops::OpenedFlags;
use proptest::prelude::*;

use super::device::Order;
use super::server::Contents;
use super::*;

mod contents;
mod names;

const SECOND: Duration = Duration::from_secs(1);

fn small_file(mount: &Mount) {
    let file = mount.open("dir/page.html").expect("it exists");
    let len = file.metadata().expect("it exists").len();
    let data = file.read_buffer(0, 65_536).expect("it can be read");
    assert_eq!((data.len() as u64, data.len()), (len, 4096));
}

#[test]
fn a_small_file_with_warm_names_costs_open_read_release() {
    let mount = mount(|server| server.file("dir/page.html", &[7; 4096]));
    small_file(&mount);
    mount.pump.settle();
    let before = mount.model.lock().server.counts.clone();
    small_file(&mount);
    mount.pump.settle();
    let after = mount.model.lock().server.counts.clone();
    let new: Vec<_> = after.iter().filter(|(name, count)| before.get(*name) != Some(count)).collect();
    assert_eq!(new, [(&"OPEN", &2), (&"READ", &2), (&"RELEASE", &2)]);
    mount.finish();
}

#[test]
fn a_file_that_was_open_just_now_costs_a_read() {
    let options = Options { idle_handles: 4, ..options() };
    let mount = mount_with(options, |server| server.file("dir/page.html", &[7; 4096])).expect("willing");
    for round in 1..=5 {
        small_file(&mount);
        mount.pump.settle();
        assert_eq!((mount.count("OPEN"), mount.count("READ"), mount.count("RELEASE")), (1, round, 0));
    }
    assert!(mount.client.deadline().is_some());
    mount.advance(2 * SECOND);
    mount.client.tidy_up();
    mount.pump.settle();
    assert_eq!(mount.count("RELEASE"), 1);
    assert_eq!(mount.client.deadline(), None);
    mount.finish();
}

#[test]
fn idle_handles_are_few() {
    let options = Options { idle_handles: 4, ..options() };
    let mount = mount_with(options, |server| {
        (0..20).for_each(|i| {
            server.file(&format!("f{i}"), b"x");
        })
    });
    let mount = mount.expect("willing");
    for i in 0..20 {
        drop(mount.open(&format!("f{i}")).expect("it exists"));
    }
    mount.pump.settle();
    assert_eq!(mount.count("RELEASE"), 16);
    mount.finish();
}

#[test]
fn a_handle_in_use_outlives_its_idle_time() {
    let options = Options { idle_handles: 4, ..options() };
    let mount = mount_with(options, |server| server.file("f", b"x")).expect("willing");
    drop(mount.open("f").expect("it exists"));
    let file = mount.open("f").expect("it exists");
    mount.advance(5 * SECOND);
    mount.client.tidy_up();
    mount.pump.settle();
    assert_eq!(mount.count("RELEASE"), 0);
    let mut byte = [0];
    assert_eq!((file.read_at(&mut byte, 0), byte), (Ok(1), *b"x"));
    drop(file);
    mount.pump.settle();
    assert_eq!(mount.count("RELEASE"), 0, "it is idle again");
    mount.advance(5 * SECOND);
    mount.client.tidy_up();
    mount.pump.settle();
    assert_eq!((mount.count("OPEN"), mount.count("RELEASE")), (1, 1));
    mount.finish();
}

#[test]
fn a_replaced_file_is_not_read_through_the_old_handle() {
    let options = Options { idle_handles: 4, ..options() };
    let mount = mount_with(options, |server| {
        server.file("f", b"old");
        server.manners.name_lifetime = Duration::ZERO;
        server.manners.attr_lifetime = Duration::ZERO;
    })
    .expect("willing");
    let read = || {
        let mut bytes = [0; 3];
        mount.open("f").expect("it exists").read_at(&mut bytes, 0).expect("it can be read");
        bytes
    };
    assert_eq!(&read(), b"old");
    mount.model.lock().server.file("f", b"new");
    assert_eq!(&read(), b"new");
    mount.finish();
}

#[test]
fn a_deep_tree_comes_apart_on_a_small_stack() {
    let run = || {
        let path: String = "a/".repeat(2000) + "f";
        let mount = mount(|server| {
            server.file(&path, b"x");
            server.manners.name_lifetime = SECOND;
        });
        assert!(mount.find(&path).is_ok());
        assert!(mount.client.names.len() > 2000);
        mount.model.lock().server.remove("a");
        mount.advance(SECOND);
        assert!(mount.find("a").is_err());
        mount.pump.settle();
        assert_eq!(mount.model.lock().server.debts(), [""; 0]);
        mount.finish();
    };
    let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(run).expect("the host has threads");
    thread.join().expect("the stack was deep enough");
}

#[test]
fn hd_fs_15_a_number_with_a_new_generation_is_another_object() {
    let mount = mount(|server| {
        server.file("f", b"old");
        server.manners.name_lifetime = Duration::ZERO;
    });
    let old = mount.find("f").expect("it exists");
    let number = old.id();
    {
        let mut inner = mount.model.lock();
        let inode = inner.server.inodes.get_mut(&number).expect("it exists");
        inode.generation += 1;
        inode.contents = Contents::File(b"new!".to_vec());
    }
    let new = mount.find("f").expect("it exists");
    assert_eq!((new.id(), new.metadata().map(|metadata| metadata.len())), (number, Ok(4)));
    assert_eq!(old.metadata().err(), Some(Errno::ESTALE));
    drop(old);
    assert!(new.metadata().is_ok());
    assert!(mount.find("f").is_ok_and(|again| Rc::ptr_eq(&again, &new)));
    drop(new);
    mount.finish();
}

#[test]
fn hd_fs_15_a_number_with_another_type_is_another_object() {
    let mount = mount(|server| {
        server.file("f", b"old");
        server.manners.name_lifetime = Duration::ZERO;
        server.manners.attr_lifetime = Duration::ZERO;
    });
    let old = mount.find("f").expect("it exists");
    let contents = Contents::Directory(std::collections::BTreeMap::new());
    mount.model.lock().server.inodes.get_mut(&old.id()).expect("it exists").contents = contents;
    assert_eq!(old.metadata().err(), Some(Errno::EIO), "GETATTR of a file that became a directory");
    assert!(mount.find("f").is_ok_and(|new| new.file_type().is_dir()));
    assert_eq!(old.metadata().err(), Some(Errno::ESTALE));
    drop(old);
    mount.finish();
}

#[test]
fn fu_sem_5_attributes_that_were_asked_for_earlier_do_not_win() {
    let mount = mount(|server| {
        server.file("f", b"123");
        server.manners.attr_lifetime = Duration::ZERO;
    });
    let node = mount.find("f").expect("it exists");
    // Two threads ask; the second is answered first, and with a larger size than the first.
    let mut answers = 0;
    {
        let mut inner = mount.model.lock();
        inner.server.manners.attr_lifetime = SECOND;
        inner.behaviour.order = Order::LastFirst;
        inner.behaviour.spoil = Some(Box::new(move |opcode, reply| {
            if opcode == Opcode::GetAttr {
                answers += 1;
                reply[16 + 16 + 8] = if answers == 1 { 10 } else { 3 };
            }
        }));
    }
    let (pump, other) = (mount.pump.clone(), Rc::clone(&node));
    mount.pump.meanwhile(move || {
        pump.advance(Duration::from_micros(1));
        assert_eq!(other.metadata().map(|metadata| metadata.len()), Ok(10));
    });
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(3), "its own answer");
    assert_eq!(node.metadata().map(|metadata| metadata.len()), Ok(10), "what is remembered");
    drop(node);
    mount.finish();
}

#[test]
fn special_files_are_looked_at_but_not_opened() {
    let mount = mount(|server| {
        server.put("pipe", Contents::Fifo);
        server.link("link", "pipe");
        server.file("dir/f", b"");
    });
    assert_eq!(mount.open("pipe").err(), Some(Errno::ENXIO));
    assert_eq!(mount.open("link").err(), Some(Errno::ENXIO));
    assert_eq!(mount.open("dir").err(), Some(Errno::EISDIR));
    let file = mount.find("dir/f").expect("it exists");
    assert_eq!(file.open_directory().err(), Some(Errno::ENOTDIR));
    assert_eq!(file.lookup(b"x", Freshness::Cached).err(), Some(Errno::ENOTDIR));
    assert_eq!(mount.count("OPEN"), 0);
    drop(file);
    mount.finish();
}

#[derive(Clone, Debug)]
enum Step {
    Find(usize),
    Drop(usize),
    Open(usize),
    List,
    Wait(u64),
    Replace(usize),
    Remove(usize),
    TimeOut(usize),
}

const PATHS: [&str; 6] = ["f", "d/f", "d/e/f", "d/e", "g", "d/link"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PATHS.len()).prop_map(Step::Find),
        2 => (0..8usize).prop_map(Step::Drop),
        2 => (0..PATHS.len()).prop_map(Step::Open),
        1 => Just(Step::List),
        2 => (0..1500u64).prop_map(Step::Wait),
        1 => (0..PATHS.len()).prop_map(Step::Replace),
        1 => (0..PATHS.len()).prop_map(Step::Remove),
        1 => (0..PATHS.len()).prop_map(Step::TimeOut),
    ]
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn fu_t_4_the_ledger_is_even_whatever_happens(
        steps in proptest::collection::vec(step(), 1..60),
        names in 1..6usize,
        idle_handles in 0..3usize,
        lifetime in 0..2u64,
        seed: u64,
    ) {
        let options = Options { names, idle_handles, ..options() };
        let mount = mount_with(options, |server| {
            server.file("f", b"1");
            server.file("d/f", b"2");
            server.file("d/e/f", b"3");
            server.link("d/link", "../f");
            server.manners.name_lifetime = Duration::from_secs(lifetime);
            server.manners.attr_lifetime = Duration::from_secs(lifetime);
        }).expect("willing");
        mount.model.lock().behaviour.order = Order::Any(seed);
        let mut nodes = Vec::new();
        let mut files = Vec::new();
        for step in steps {
            match step {
                Step::Find(path) => nodes.extend(mount.find(PATHS[path])),
                Step::Drop(index) if index < nodes.len() => drop(nodes.remove(index)),
                Step::Drop(index) if index < files.len() => drop(files.remove(index)),
                Step::Drop(_) => {}
                Step::Open(path) => files.extend(mount.open(PATHS[path])),
                Step::List => {
                    let root = mount.client.root().expect("mounted");
                    let mut listing = root.open_directory().expect("it is a directory");
                    let _ = listing.next();
                }
                Step::Wait(milliseconds) => {
                    mount.advance(Duration::from_millis(milliseconds));
                    mount.client.tidy_up();
                    mount.pump.turn();
                }
                Step::Replace(path) => {
                    let mut inner = mount.model.lock();
                    // Only files are replaced, so that the directories on the way stay.
                    if PATHS[path].ends_with('f') {
                        inner.server.file(PATHS[path], b"new");
                    }
                }
                Step::Remove(path) if PATHS[path].ends_with('f') => mount.model.lock().server.remove(PATHS[path]),
                Step::Remove(_) => {}
                Step::TimeOut(path) => {
                    mount.model.lock().behaviour.swallow.extend([Opcode::Lookup.raw(), Opcode::Open.raw()]);
                    let _ = mount.open(PATHS[path]);
                    mount.model.lock().behaviour.swallow.clear();
                }
            }
        }
        drop((nodes, files));
        mount.finish();
    }
}
