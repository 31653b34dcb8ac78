//! Names that are created, moved and removed.

use std::collections::BTreeMap;
use std::vec::Vec;

use fuse_proto::{FileType, InitFlags, Opcode};

use super::device::Order;
use super::server::Contents;
use super::*;
use crate::fs::namespace::Namespace;
use crate::fs::options::{Rights, WritePosition};
use crate::fs::vfs::{Collision, SpecialFile};

const BOTH: Rights = Rights::ReadAndWrite(WritePosition::Anywhere);

fn exists(mount: &Mount, path: &str) -> bool {
    match mount.find(path) {
        Ok(_) => true,
        Err(errno) => {
            assert_eq!(errno, Errno::ENOENT, "{path}");
            false
        }
    }
}

#[test]
fn fu_sem_1_everything_that_is_made_is_a_reference() {
    let mount = mount(|server| server.directory("d"));
    let directory = mount.find("d").expect("it exists");
    let file = directory.create(b"file", 0o640).expect("free");
    let open = directory.create_and_open(b"open", 0o600, BOTH).expect("free");
    let below = directory.create_directory(b"below", 0o750).expect("free");
    directory.create_symlink(b"link", b"../somewhere").expect("free");
    directory.create_special(b"pipe", 0o622, SpecialFile::Fifo).expect("free");
    directory.create_special(b"socket", 0o700, SpecialFile::Socket).expect("free");
    directory.create_special(b"device", 0o660, SpecialFile::CharacterDevice(0x0103)).expect("free");
    directory.link(b"another", file.id()).expect("free");
    assert_eq!(
        mount.tree(),
        ["d", "d/another", "d/below", "d/device", "d/file", "d/link", "d/open", "d/pipe", "d/socket"]
    );
    {
        let mut inner = mount.model.lock();
        let held = &inner.server.lookups;
        assert_eq!((held.len(), held.values().sum::<u64>()), (8, 9), "one each, and the file has two names");
        let modes =
            ["d/file", "d/open", "d/below", "d/pipe", "d/device"].map(|path| inner.server.inode(path).permissions);
        assert_eq!(modes, [0o640, 0o600, 0o750, 0o622, 0o660]);
        assert_eq!(inner.server.inode("d/file").links, 2);
        assert!(matches!(inner.server.inode("d/device").contents, Contents::Special(FileType::CharDevice, 0x0103)));
        assert!(matches!(&inner.server.inode("d/link").contents, Contents::Link(to) if to == b"../somewhere"));
    }
    assert_eq!(file.metadata().map(|metadata| metadata.links()), Ok(2));
    drop((directory, file, open, below));
    mount.finish();
}

#[test]
fn a_file_is_created_and_opened_in_one_request() {
    let mount = mount(|_| {});
    let file = mount.root().create_and_open(b"f", 0o600, BOTH).expect("free");
    assert_eq!((mount.count("CREATE"), mount.count("MKNOD"), mount.count("OPEN")), (1, 0, 0));
    assert_eq!(file.metadata().map(|metadata| metadata.len()), Ok(0));
    assert_eq!(mount.root().create_and_open(b"f", 0o600, BOTH).err(), Some(Errno::EEXIST));
    drop(file);
    mount.pump.settle();
    assert_eq!(mount.count("RELEASE"), 1);
    mount.finish();
}

#[test]
fn fu_sem_8_without_create_a_file_is_made_and_then_opened() {
    let mount = mount(|server| server.manners.unsupported.insert(Opcode::Create.raw()));
    for name in [&b"a"[..], b"b"] {
        drop(mount.root().create_and_open(name, 0o600, BOTH).expect("free"));
    }
    assert_eq!((mount.count("CREATE"), mount.count("MKNOD"), mount.count("OPEN")), (1, 2, 2));
    assert_eq!(mount.root().create_and_open(b"a", 0o600, BOTH).err(), Some(Errno::EEXIST));
    mount.finish();
}

#[test]
fn what_has_a_name_already_is_not_made_again() {
    let mount = mount(|server| server.file("d/f", b"x"));
    let directory = mount.find("d").expect("it exists");
    let other = directory.create(b"other", 0o600).expect("free");
    let results = [
        directory.create(b"f", 0o600).err(),
        directory.create_and_open(b"f", 0o600, BOTH).err(),
        directory.create_directory(b"f", 0o700).err(),
        directory.create_symlink(b"f", b"x").err(),
        directory.create_special(b"f", 0o600, SpecialFile::Fifo).err(),
        directory.link(b"f", other.id()).err(),
    ];
    assert_eq!(results, [Some(Errno::EEXIST); 6]);
    drop((directory, other));
    mount.finish();
}

#[test]
fn fu_sem_6_a_new_name_takes_the_place_of_its_absence() {
    let mount = mount(|server| server.directory("d"));
    let directory = mount.find("d").expect("it exists");
    let before = directory.metadata().expect("it exists").modified_time();
    assert!(!exists(&mount, "d/f"));
    let file = directory.create(b"f", 0o600).expect("free");
    let lookups = mount.count("LOOKUP");
    assert!(mount.find("d/f").is_ok_and(|found| Rc::ptr_eq(&found, &file)));
    assert_eq!(mount.count("LOOKUP"), lookups, "the entry was an answer to that, too");
    assert!(directory.metadata().is_ok_and(|metadata| metadata.modified_time() > before), "the directory has changed");
    drop((directory, file));
    mount.finish();
}

#[test]
fn fu_sem_1_what_loses_its_name_is_known_to_the_server() {
    for lifetime in [0, 60] {
        let mount = mount(|server| {
            server.manners.name_lifetime = Duration::from_secs(lifetime);
            server.file("gone", b"");
            server.file("moved", b"");
            server.directory("directory");
        });
        let root = mount.root();
        // Nobody has looked at any of them, or nobody has kept them.
        assert_eq!(root.remove(b"gone"), Ok(()), "a server that does not know the file says EIO");
        assert_eq!(root.remove_directory(b"directory"), Ok(()));
        assert_eq!(root.rename(b"moved", root.id(), b"here", Collision::Replace), Ok(()));
        assert_eq!(mount.tree(), ["here"]);
        drop(root);
        mount.finish();
    }
}

#[test]
fn fu_sem_6_a_removed_name_is_gone_at_once() {
    let mount = mount(|server| {
        server.file("d/f", b"x");
        server.directory("d/e");
    });
    let directory = mount.find("d").expect("it exists");
    let before = directory.metadata().expect("it exists").modified_time();
    assert!(exists(&mount, "d/f") && exists(&mount, "d/e"));
    assert_eq!((directory.remove(b"f"), directory.remove_directory(b"e")), (Ok(()), Ok(())));
    assert!(!exists(&mount, "d/f") && !exists(&mount, "d/e"));
    assert!(directory.metadata().is_ok_and(|metadata| metadata.modified_time() > before));
    assert_eq!(mount.tree(), ["d"]);
    assert_eq!(directory.remove(b"f"), Err(Errno::ENOENT));
    drop(directory);
    assert_eq!(mount.debts().len(), 1, "the directory, which has a name in the cache");
    mount.finish();
}

#[test]
fn removing_the_wrong_thing_is_an_error() {
    let mount = mount(|server| server.file("d/e/f", b"x"));
    let directory = mount.find("d").expect("it exists");
    let file = mount.find("d/e/f").expect("it exists");
    assert_eq!(directory.remove(b"e"), Err(Errno::EISDIR));
    assert_eq!(directory.remove_directory(b"e"), Err(Errno::ENOTEMPTY));
    assert_eq!(mount.find("d/e").and_then(|e| e.remove_directory(b"f")), Err(Errno::ENOTDIR));
    assert_eq!(file.remove(b"x"), Err(Errno::ENOTDIR));
    assert_eq!(file.create(b"x", 0o600).err(), Some(Errno::ENOTDIR));
    assert_eq!(directory.link(b"x", directory.id()), Err(Errno::EPERM));
    assert!(exists(&mount, "d/e/f"));
    drop((directory, file));
    mount.finish();
}

fn two_directories() -> Mount {
    mount(|server| {
        server.file("a/f", b"first");
        server.file("b/g", b"second");
    })
}

#[test]
fn a_name_is_moved_and_keeps_its_node() {
    let mount = two_directories();
    let (a, b) = (mount.find("a").expect("it exists"), mount.find("b").expect("it exists"));
    let file = mount.find("a/f").expect("it exists");
    assert!(!exists(&mount, "b/h"));
    a.rename(b"f", b.id(), b"h", Collision::Replace).expect("it can be moved");
    let lookups = mount.count("LOOKUP");
    assert!(mount.find("b/h").is_ok_and(|found| Rc::ptr_eq(&found, &file)));
    assert_eq!(mount.count("LOOKUP"), lookups, "the name is known");
    assert!(!exists(&mount, "a/f"));
    assert_eq!(mount.tree(), ["a", "b", "b/g", "b/h"]);
    assert_eq!((mount.count("RENAME"), mount.count("RENAME2")), (1, 0));
    drop((a, b, file));
    mount.finish();
}

#[test]
fn a_name_that_is_taken_is_replaced_refused_or_exchanged() {
    for collision in [Collision::Replace, Collision::Refuse, Collision::Exchange] {
        let mount = two_directories();
        let (a, b) = (mount.find("a").expect("it exists"), mount.find("b").expect("it exists"));
        let (f, g) = (mount.find("a/f").expect("it exists"), mount.find("b/g").expect("it exists"));
        let result = a.rename(b"f", b.id(), b"g", collision);
        let (at_f, at_g) = (mount.find("a/f").ok(), mount.find("b/g").ok());
        let same = |found: &Option<Rc<dyn Node>>, node| found.as_ref().is_some_and(|found| Rc::ptr_eq(found, node));
        match collision {
            Collision::Replace => assert!(result.is_ok() && at_f.is_none() && same(&at_g, &f)),
            Collision::Refuse => assert!(result == Err(Errno::EEXIST) && same(&at_f, &f) && same(&at_g, &g)),
            Collision::Exchange => assert!(result.is_ok() && same(&at_f, &g) && same(&at_g, &f)),
        }
        let links = g.metadata().map(|metadata| metadata.links());
        assert_eq!(links, Ok(if collision == Collision::Replace { 0 } else { 1 }), "{collision:?}");
        drop((a, b, f, g, at_f, at_g));
        mount.finish();
    }
}

#[test]
fn fu_sem_8_without_rename2_only_replacing_works() {
    for is_unknown in [true, false] {
        let mount = two_directories();
        {
            let manners = &mut mount.model.lock().server.manners;
            manners.rename_flags = false;
            if is_unknown {
                manners.unsupported.insert(Opcode::Rename2.raw());
            }
        }
        let (a, b) = (mount.find("a").expect("it exists"), mount.find("b").expect("it exists"));
        for collision in [Collision::Refuse, Collision::Exchange, Collision::Exchange] {
            assert_eq!(a.rename(b"f", b.id(), b"h", collision), Err(Errno::EINVAL));
        }
        assert_eq!(mount.count("RENAME2"), if is_unknown { 1 } else { 3 }, "what is unknown stays unknown");
        assert_eq!(a.rename(b"f", b.id(), b"g", Collision::Replace), Ok(()));
        assert_eq!(mount.tree(), ["a", "b", "b/g"]);
        drop((a, b));
        mount.finish();
    }
}

#[test]
fn what_cannot_be_moved_stays() {
    let mount = mount(|server| {
        server.file("d/e/f", b"x");
        server.file("g", b"x");
        server.directory("empty");
    });
    let (root, e) = (mount.root(), mount.find("d/e").expect("it exists"));
    let file = mount.find("g").expect("it exists");
    let rename = |from: &[u8], to: u64, name: &[u8]| root.rename(from, to, name, Collision::Replace).err();
    assert_eq!(rename(b"d", e.id(), b"d"), Some(Errno::EINVAL), "below itself");
    assert_eq!(rename(b"d", 1, b"g"), Some(Errno::ENOTDIR));
    assert_eq!(rename(b"g", 1, b"empty"), Some(Errno::EISDIR));
    assert_eq!(rename(b"empty", 1, b"d"), Some(Errno::ENOTEMPTY));
    assert_eq!(rename(b"none", 1, b"x"), Some(Errno::ENOENT));
    assert_eq!(rename(b"g", file.id(), b"x"), Some(Errno::ENOTDIR));
    assert_eq!(rename(b"g", 4711, b"x"), Some(Errno::ESTALE), "a directory that nobody has");
    assert_eq!(rename(b"d", 1, b"empty"), None);
    assert_eq!(mount.tree(), ["empty", "empty/e", "empty/e/f", "g"]);
    assert!(mount.find("empty/e").is_ok_and(|found| Rc::ptr_eq(&found, &e)));
    drop((root, e, file));
    mount.finish();
}

#[test]
fn fu_sem_17_names_that_are_none_are_not_sent() {
    let mount = mount(|server| server.file("f", b"x"));
    let (root, file) = (mount.root(), mount.find("f").expect("it exists"));
    let sent = mount.model.lock().server.counts.clone();
    let long = [b'x'; 256];
    for (name, errno) in [
        (&b"."[..], Errno::EINVAL),
        (b"..", Errno::EINVAL),
        (b"a/b", Errno::EINVAL),
        (b"", Errno::ENOENT),
        (&long, Errno::ENAMETOOLONG),
    ] {
        let results = [
            root.create(name, 0o600).err(),
            root.create_and_open(name, 0o600, BOTH).err(),
            root.create_directory(name, 0o700).err(),
            root.create_symlink(name, b"x").err(),
            root.create_special(name, 0o600, SpecialFile::Fifo).err(),
            root.link(name, file.id()).err(),
            root.remove(name).err(),
            root.remove_directory(name).err(),
            root.rename(b"f", 1, name, Collision::Replace).err(),
            root.rename(name, 1, b"f", Collision::Replace).err(),
        ];
        assert_eq!(results, [Some(errno); 10], "{}", name.escape_ascii());
    }
    for (target, errno) in [(&b""[..], Errno::ENOENT), (&[b'x'; 4096], Errno::ENAMETOOLONG), (b"a\0", Errno::EINVAL)] {
        assert_eq!(root.create_symlink(b"l", target), Err(errno));
    }
    assert_eq!(mount.model.lock().server.counts, sent);
    drop((root, file));
    mount.finish();
}

#[test]
fn fu_sem_14_a_file_without_a_name_lives_as_long_as_it_is_open() {
    let mount = mount(|server| server.file("f", b"still here"));
    let file = mount.open("f").expect("it exists");
    let number = mount.find("f").expect("it exists").id();
    assert_eq!(mount.root().remove(b"f"), Ok(()));
    assert!(!exists(&mount, "f"));
    let mut bytes = [0; 10];
    assert_eq!((file.read_at(&mut bytes, 0), &bytes), (Ok(10), b"still here"));
    assert_eq!(file.metadata().map(|metadata| metadata.links()), Ok(0));
    let changes = crate::fs::metadata::AttributeChanges { mode: Some(0o400), ..Default::default() };
    assert_eq!(file.set_attributes(&changes), Ok(()));
    assert!(mount.model.lock().server.inodes.contains_key(&number));
    drop(file);
    assert_eq!(mount.debts(), [""; 0]);
    assert!(!mount.model.lock().server.inodes.contains_key(&number), "the server could let go of it");
    mount.finish();
}

#[test]
fn fu_sem_12_a_directory_that_was_replaced_is_looked_up_once_more() {
    let mount = mount(|server| server.file("d/f", b"x"));
    let namespace = Namespace::new();
    namespace.mount(b"/", mount.file_system()).expect("free");
    assert!(namespace.metadata(b"/d/f").is_ok() && !namespace.exists(b"/d/new").expect("it can be asked for"));
    {
        let mut inner = mount.model.lock();
        let old = inner.server.number("d").expect("it exists");
        inner.server.gone.insert(old);
        inner.server.directory("d");
    }
    namespace.create_dir(b"/d/new").expect("the new directory was found");
    assert_eq!(mount.count("MKDIR"), 2, "refused, and done");
    assert_eq!(mount.tree(), ["d", "d/new"]);
    mount.model.lock().server.manners.refuse_changes = Some(Errno::ESTALE);
    assert!(namespace.remove_dir(b"/d/new").is_err());
    assert_eq!(mount.count("RMDIR"), 2, "once more, and not for ever");
    mount.model.lock().server.gone.clear();
    drop(namespace);
    mount.finish();
}

#[test]
fn fu_sem_16_the_server_decides_what_may_be_changed() {
    let mount = mount(|server| server.file("d/f", b"x"));
    let directory = mount.find("d").expect("it exists");
    for errno in [Errno::EACCES, Errno::EPERM, Errno::EROFS, Errno::ENOSPC] {
        mount.model.lock().server.manners.refuse_changes = Some(errno);
        assert_eq!(directory.create(b"g", 0o600).err(), Some(errno));
        assert_eq!(directory.remove(b"f").err(), Some(errno));
        assert_eq!(directory.rename(b"f", 1, b"f", Collision::Replace).err(), Some(errno));
        assert!(exists(&mount, "d/f"));
    }
    drop(directory);
    mount.finish();
}

#[test]
fn fu_sem_19_inode_numbers_identify_nothing() {
    let mount = mount(|server| {
        server.file("f", b"one");
        server.file("g", b"three");
        server.manners.one_inode = true;
    });
    let (f, g) = (mount.find("f").expect("it exists"), mount.find("g").expect("it exists"));
    let (of_f, of_g) = (f.metadata().expect("it exists"), g.metadata().expect("it exists"));
    assert_eq!((of_f.inode(), of_g.inode()), (7, 7));
    assert_ne!(f.id(), g.id());
    assert_eq!(mount.root().rename(b"f", 1, b"g", Collision::Exchange), Ok(()));
    assert!(mount.find("f").is_ok_and(|found| Rc::ptr_eq(&found, &g)));
    drop((f, g));
    mount.finish();
}

/// Two threads at once: `first` has sent its request when `second` runs, and is answered after it, as of before.
fn overtake(mount: &Mount, second: impl FnOnce() + 'static) {
    {
        let mut inner = mount.model.lock();
        inner.behaviour.prompt = true;
        inner.behaviour.order = Order::LastFirst;
    }
    mount.pump.meanwhile(second);
}

#[test]
fn fu_sem_6_a_name_that_was_removed_meanwhile_does_not_come_back() {
    let mount = mount(|server| server.file("f", b"x"));
    let root = mount.root();
    overtake(&mount, {
        let root = Rc::clone(&root);
        move || assert_eq!(root.remove(b"f"), Ok(()))
    });
    assert!(mount.find("f").is_ok(), "it was there when it was looked for");
    assert_eq!(mount.count("LOOKUP"), 2, "the removal asks as well");
    assert!(!exists(&mount, "f"));
    drop(root);
    mount.finish();
}

#[test]
fn fu_sem_6_an_absence_that_has_ended_meanwhile_is_not_remembered() {
    let mount = mount(|_| {});
    let root = mount.root();
    overtake(&mount, {
        let root = Rc::clone(&root);
        move || assert!(root.create(b"f", 0o600).is_ok())
    });
    assert!(!exists(&mount, "f"), "it was not there when it was looked for");
    assert!(exists(&mount, "f"));
    drop(root);
    mount.finish();
}

#[test]
fn fu_sem_6_of_two_changes_at_once_neither_is_remembered() {
    let mount = mount(|_| {});
    let root = mount.root();
    overtake(&mount, {
        let root = Rc::clone(&root);
        move || assert_eq!(root.remove(b"f"), Ok(()))
    });
    // Created, then removed; the answers come the other way round.
    assert!(root.create(b"f", 0o600).is_ok());
    assert!(!exists(&mount, "f"));
    drop(root);
    mount.finish();
}

#[test]
fn fu_sem_6_a_listing_that_is_older_than_a_change_brings_nothing_back() {
    let mount = mount(|server| {
        server.file("f", b"x");
        server.file("g", b"x");
    });
    let root = mount.root();
    let mut listing = root.open_directory().expect("it is a directory");
    overtake(&mount, {
        let root = Rc::clone(&root);
        move || assert_eq!(root.remove(b"f"), Ok(()))
    });
    let names: Vec<_> =
        core::iter::from_fn(|| listing.next().expect("it can be listed")).map(|entry| entry.name).collect();
    assert_eq!(names, [b"f"[..].into(), b"g"[..].into()]);
    assert!(!exists(&mount, "f") && exists(&mount, "g"));
    drop((root, listing));
    mount.finish();
}

#[test]
fn names_that_stay_are_listed_once_while_others_come_and_go() {
    for plus in [true, false] {
        let mount = mount(|server| {
            (0..1000).for_each(|i| {
                server.file(&std::format!("d/{i:04}"), b"x");
            });
            if !plus {
                server.manners.init_flags = InitFlags::BASIC - InitFlags::DO_READDIRPLUS;
            }
            server.manners.max_pages = 1;
        });
        let directory = mount.find("d").expect("it exists");
        let mut listing = directory.open_directory().expect("it is a directory");
        let mut seen = BTreeMap::new();
        let mut round = 0;
        while let Some(entry) = listing.next().expect("it can be listed") {
            *seen.entry(entry.name.to_vec()).or_insert(0) += 1;
            if round % 50 == 0 {
                // One that has been listed, one that has not, and a new one.
                let _ = directory.remove(&entry.name);
                let _ = directory.remove(std::format!("{:04}", 999 - round / 50).as_bytes());
                assert!(directory.create(std::format!("new {round}").as_bytes(), 0o600).is_ok());
            }
            round += 1;
        }
        assert!(seen.values().all(|&times| times == 1), "{seen:?}");
        let stayed = mount.tree().into_iter().filter(|path| path.len() == "d/0000".len());
        assert!(stayed.inspect(|path| assert!(seen.contains_key(&path.as_bytes()[2..]), "{path}")).count() > 900);
        drop((directory, listing));
        mount.finish();
    }
}
