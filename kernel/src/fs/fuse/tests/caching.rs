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
fn fu_sem_4_a_name_holds_for_as_long_as_the_server_said() {
    let mount = mount(|server| {
        server.file("a/b", b"x");
        server.manners.name_lifetime = SECOND;
    });
    assert!(mount.find("a/b").is_ok());
    assert!(mount.find("a/b").is_ok());
    assert_eq!(mount.count("LOOKUP"), 2);
    mount.advance(SECOND);
    assert!(mount.find("a/b").is_ok());
    assert_eq!(mount.count("LOOKUP"), 4);
    mount.pump.settle();
    assert_eq!(mount.count("FORGET") + mount.count("BATCH_FORGET"), 0, "the nodes came back and stayed");
    mount.finish();
}

#[test]
fn fu_sem_4_without_a_lifetime_every_walk_asks() {
    let mount = mount(|server| {
        server.file("a/b", b"x");
        server.manners.name_lifetime = Duration::ZERO;
        server.manners.attr_lifetime = Duration::ZERO;
    });
    let node = mount.find("a/b").expect("it exists");
    assert!(mount.find("a/b").is_ok());
    assert_eq!(mount.count("LOOKUP"), 4);
    assert!(node.metadata().is_ok() && node.metadata().is_ok());
    assert_eq!(mount.count("GETATTR"), 3, "one for the root, two for these");
    drop(node);
    mount.finish();
}

#[test]
fn fu_sem_4_only_an_entry_without_a_node_makes_an_absence_last() {
    for (negative_entries, lookups) in [(true, 1), (false, 2)] {
        let mount = mount(|server| server.manners.negative_entries = negative_entries);
        assert_eq!(mount.find("none").err(), Some(Errno::ENOENT));
        assert_eq!(mount.find("none").err(), Some(Errno::ENOENT));
        assert_eq!(mount.count("LOOKUP"), lookups);
        mount.finish();
    }
}

#[test]
fn a_name_that_vanished_leaves_the_cache() {
    let mount = mount(|server| {
        server.file("f", b"x");
        server.manners.name_lifetime = SECOND;
        server.manners.negative_entries = false;
    });
    assert!(mount.find("f").is_ok());
    mount.model.lock().server.remove("f");
    assert!(mount.find("f").is_ok(), "it still holds");
    mount.advance(SECOND);
    assert_eq!(mount.find("f").err(), Some(Errno::ENOENT));
    mount.pump.settle();
    assert_eq!(mount.model.lock().server.debts(), [""; 0]);
    assert_eq!(mount.client.names.len(), 0);
    mount.finish();
}

#[test]
fn an_absence_ends_when_its_time_is_over() {
    let mount = mount(|server| server.manners.name_lifetime = SECOND);
    assert!(mount.find("f").is_err());
    mount.model.lock().server.file("f", b"x");
    assert!(mount.find("f").is_err());
    mount.advance(SECOND);
    assert!(mount.find("f").is_ok());
    mount.finish();
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let options = Options { names: 8, ..options() };
    let mount = mount_with(options, |server| {
        (0..100).for_each(|i| {
            server.file(&format!("f{i}"), b"x");
        })
    });
    let mount = mount.expect("willing");
    for i in 0..100 {
        assert!(mount.find(&format!("f{i}")).is_ok());
        assert!(mount.find("f0").is_ok());
    }
    mount.pump.settle();
    assert!(mount.client.names.len() <= 8);
    assert!(mount.model.lock().server.debts().len() <= 8);
    assert!(mount.count("LOOKUP") <= 115, "f0 stays: {}", mount.count("LOOKUP"));
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

fn remembering<R>(prepare: impl FnOnce(&mut Server) -> R) -> Mount {
    mount_with(Options { idle_handles: 4, contents: 20_000, ..options() }, prepare).expect("willing")
}

fn read(mount: &Mount, path: &str) -> Vec<u8> {
    let file = mount.open(path).expect("it exists");
    let mut bytes = [0; 5000];
    let count = file.read_at(&mut bytes, 0).expect("it can be read");
    assert!(file.read_buffer(0, 5000).is_ok_and(|buffer| *buffer == bytes[..count]));
    assert!(file.read_at(&mut bytes[..2], count as u64).is_ok_and(|count| count == 0));
    assert!(file.read_buffer(1, 1).is_ok_and(|buffer| *buffer == bytes[1..count.min(2)]));
    bytes[..count].to_vec()
}

fn change(mount: &Mount, path: &str, bytes: &[u8]) {
    let number = mount.find(path).expect("it exists").id();
    mount.model.lock().server.inodes.get_mut(&number).expect("it exists").contents = Contents::File(bytes.to_vec());
}

#[test]
fn a_small_file_is_read_once_while_its_attributes_hold() {
    let mount = remembering(|server| {
        server.file("f", b"old");
        server.manners.attr_lifetime = SECOND;
        server.manners.opened = OpenedFlags::empty();
    });
    for _ in 0..3 {
        assert_eq!(read(&mount, "f"), b"old");
    }
    assert_eq!(mount.count("READ"), 1);
    change(&mount, "f", b"new");
    assert_eq!(read(&mount, "f"), b"old", "the server said that it would not change");
    mount.advance(SECOND);
    assert_eq!(read(&mount, "f"), b"new");
    assert_eq!(mount.client.contents.used(), 0, "attributes that ran out are not asked for by a read");
    assert!(mount.open("f").is_ok_and(|file| file.metadata().is_ok()));
    assert_eq!((read(&mount, "f"), mount.client.contents.used()), (b"new".to_vec(), 3));
    mount.finish();
}

#[test]
fn contents_do_not_survive_other_attributes() {
    let mount = remembering(|server| {
        server.file("f", b"old");
        server.manners.name_lifetime = Duration::ZERO;
    });
    assert_eq!(read(&mount, "f"), b"old");
    change(&mount, "f", b"longer");
    assert_eq!(read(&mount, "f"), b"longer", "LOOKUP brought the new size");
    mount.finish();
}

#[test]
fn hd_fs_22_contents_that_came_short_are_not_remembered() {
    let mount = remembering(|server| {
        server.file("f", b"12345");
    });
    assert!(mount.find("f").is_ok());
    change(&mount, "f", b"123");
    assert_eq!(read(&mount, "f"), b"123");
    assert_eq!(mount.open("f").and_then(|file| file.metadata()).map(|metadata| metadata.len()), Ok(3));
    mount.finish();
}

#[test]
fn fu_sem_9_a_file_opened_anew_is_read_anew_unless_the_server_says_otherwise() {
    for (opened, reads) in [(OpenedFlags::empty(), 2), (OpenedFlags::KEEP_CACHE, 1)] {
        let mount = mount_with(Options { contents: 20_000, ..options() }, |server| {
            server.file("f", b"old");
            server.manners.opened = opened;
        })
        .expect("willing");
        for _ in 0..2 {
            assert_eq!(read(&mount, "f"), b"old");
            mount.pump.settle();
        }
        assert_eq!((mount.count("OPEN"), mount.count("READ")), (2, reads));
        mount.finish();
    }
}

#[test]
fn what_is_read_past_all_caches_is_not_remembered() {
    for zero in [false, true] {
        let mount = remembering(|server| {
            server.file("f", b"old");
            if zero {
                server.manners.attr_lifetime = Duration::ZERO;
            } else {
                server.manners.opened = OpenedFlags::DIRECT_IO;
            }
        });
        assert_eq!(read(&mount, "f"), b"old");
        change(&mount, "f", b"new");
        assert_eq!((read(&mount, "f"), mount.client.contents.used()), (b"new".to_vec(), 0));
        mount.finish();
    }
}

#[test]
fn contents_take_no_more_memory_than_they_may() {
    let mount = remembering(|server| {
        (0..50).for_each(|i| {
            server.file(&format!("f{i}"), &[i; 3000]);
        });
        server.file("large", &[1; 25_000]);
    });
    for i in 0..50 {
        assert_eq!(read(&mount, &format!("f{i}")), [i; 3000]);
        assert!(mount.client.contents.used() <= 20_000);
    }
    assert_eq!(mount.client.contents.used(), 18_000);
    let reads = mount.count("READ");
    read(&mount, "f49");
    assert_eq!(mount.count("READ"), reads, "the newest stay");
    drop(mount.open("large").expect("it exists").read_buffer(0, 30_000));
    assert_eq!(mount.client.contents.used(), 18_000);
    mount.client.names.clear();
    mount.client.idle.clear();
    mount.pump.settle();
    assert_eq!(mount.client.contents.used(), 0, "contents go with their nodes");
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
