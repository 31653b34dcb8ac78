//! Changes at random, two at a time, answered late, in any order or never: what the client says is what the server has, and
//! in the end nothing is owed.

use core::cell::Cell;
use std::vec::Vec;

use fuse_proto::Opcode;
use proptest::prelude::*;

use super::device::Order;
use super::server::Contents;
use super::*;
use crate::fs::metadata::AttributeChanges;
use crate::fs::options::{Rights, WritePosition};
use crate::fs::vfs::Collision;

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    CreateAndOpen(usize),
    MakeDirectory(usize),
    Symlink(usize),
    Link(usize, usize),
    Remove(usize),
    RemoveDirectory(usize),
    Rename(usize, usize, u8),
    SetMode(usize, u32),
    Find(usize),
    List(usize),
}

/// What happens to a step's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Comes,
    ComesTooLate,
}

const PATHS: [&str; 7] = ["a", "b", "d", "d/a", "d/b", "d/e", "d/e/a"];

fn step() -> impl Strategy<Value = Step> {
    let path = || 0..PATHS.len();
    prop_oneof![
        3 => path().prop_map(Step::Create),
        2 => path().prop_map(Step::CreateAndOpen),
        3 => path().prop_map(Step::MakeDirectory),
        1 => path().prop_map(Step::Symlink),
        2 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        3 => path().prop_map(Step::Remove),
        2 => path().prop_map(Step::RemoveDirectory),
        4 => (path(), path(), 0..3u8).prop_map(|(from, to, collision)| Step::Rename(from, to, collision)),
        2 => (path(), 0..0o1000u32).prop_map(|(path, mode)| Step::SetMode(path, mode)),
        2 => path().prop_map(Step::Find),
        1 => path().prop_map(Step::List),
    ]
}

fn find(client: &Rc<Client>, path: &str) -> Result<Rc<dyn Node>, Errno> {
    let root = client.root()?;
    resolve(&root, path.as_bytes(), LastLink::Keep, Freshness::Cached).map(|resolved| resolved.node)
}

fn place(client: &Rc<Client>, path: usize) -> Result<(Rc<dyn Node>, &'static [u8]), Errno> {
    let path = PATHS[path];
    let (parent, name) = path.rsplit_once('/').unwrap_or(("/", path));
    Ok((find(client, parent)?, name.as_bytes()))
}

/// Does one step; open files are kept.
fn act(client: &Rc<Client>, step: &Step) -> Result<Option<Box<dyn OpenFile>>, Errno> {
    match *step {
        Step::Create(path) => {
            let (parent, name) = place(client, path)?;
            drop(parent.create(name, 0o600)?);
        }
        Step::CreateAndOpen(path) => {
            let (parent, name) = place(client, path)?;
            return parent.create_and_open(name, 0o600, Rights::ReadAndWrite(WritePosition::Anywhere)).map(Some);
        }
        Step::MakeDirectory(path) => {
            let (parent, name) = place(client, path)?;
            drop(parent.create_directory(name, 0o700)?);
        }
        Step::Symlink(path) => {
            let (parent, name) = place(client, path)?;
            parent.create_symlink(name, b"somewhere")?;
        }
        Step::Link(from, to) => {
            let (node, (parent, name)) = (find(client, PATHS[from])?, place(client, to)?);
            parent.link(name, node.id())?;
        }
        Step::Remove(path) => {
            let (parent, name) = place(client, path)?;
            parent.remove(name)?;
        }
        Step::RemoveDirectory(path) => {
            let (parent, name) = place(client, path)?;
            parent.remove_directory(name)?;
        }
        Step::Rename(from, to, collision) => {
            let ((parent, name), (target, new_name)) = (place(client, from)?, place(client, to)?);
            let collision = [Collision::Replace, Collision::Refuse, Collision::Exchange][usize::from(collision)];
            parent.rename(name, target.id(), new_name, collision)?;
        }
        Step::SetMode(path, mode) => {
            let changes = AttributeChanges { mode: Some(mode), ..AttributeChanges::default() };
            find(client, PATHS[path])?.set_attributes(&changes)?;
        }
        Step::Find(path) => drop(find(client, PATHS[path])?.metadata()?),
        Step::List(path) => {
            let mut listing = find(client, PATHS[path])?.open_directory()?;
            while listing.next()?.is_some() {}
        }
    }
    Ok(None)
}

/// What the client says about every path is what the server has.
fn compare(mount: &Mount) {
    for path in PATHS {
        let found = find(&mount.client, path).and_then(|node| Ok((node.id(), node.metadata()?)));
        let inner = mount.model.lock();
        let server = &inner.server;
        match (found, server.number(path)) {
            (Ok((id, metadata)), Some(number)) => {
                let inode = &server.inodes[&number];
                assert_eq!(id, number, "{path}");
                let seen =
                    (metadata.mode() & 0o7777, metadata.links(), metadata.len(), metadata.modified_time().nanoseconds);
                let size = match &inode.contents {
                    Contents::Directory(names) => names.len(),
                    Contents::Link(target) => target.len(),
                    _ => 0,
                };
                let kept = (u32::from(inode.permissions), inode.links, size as u64, inode.modified.nanoseconds);
                assert_eq!(seen, kept, "{path}");
            }
            (Err(Errno::ENOENT | Errno::ENOTDIR), None) => {}
            (found, number) => panic!("{path}: {:?} instead of {number:?}", found.map(|(id, _)| id)),
        }
    }
}

/// MKDIR is answered after another thread has found what it made, and changed it; that thread has let go of it again.
#[test]
fn fu_sem_5_an_answer_from_before_a_change_is_not_believed_by_a_new_node() {
    let mount = mount_with(Options { names: 2, ..options() }, |server| {
        server.manners.name_lifetime = Duration::from_secs(86_400);
        server.manners.attr_lifetime = Duration::from_secs(86_400);
    })
    .expect("willing");
    {
        let behaviour = &mut mount.model.lock().behaviour;
        behaviour.prompt = true;
        behaviour.order = Order::Any(0);
    }
    let client = Rc::clone(&mount.client);
    mount.pump.meanwhile(move || drop(act(&client, &Step::SetMode(1, 0))));
    act(&mount.client, &Step::MakeDirectory(1)).map(drop).expect("there is none yet");
    mount.pump.settle();
    compare(&mount);
    mount.finish();
}

const CHANGES: [Opcode; 9] = [
    Opcode::MkNod,
    Opcode::MkDir,
    Opcode::SymLink,
    Opcode::Link,
    Opcode::Create,
    Opcode::Unlink,
    Opcode::RmDir,
    Opcode::Rename,
    Opcode::SetAttr,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fu_sem_5_and_6_and_fu_t_4_what_the_client_says_is_what_the_server_has(
        steps in proptest::collection::vec((step(), step(), prop_oneof![4 => Just(Fate::Comes), 1 => Just(Fate::ComesTooLate)]), 1..30),
        names in prop_oneof![1..4usize, Just(100)],
        lifetime in 0..2u64,
        delay in 0..4usize,
        seed: u64,
    ) {
        let mount = mount_with(Options { names, ..options() }, |server| {
            server.file("d/a", b"");
            server.manners.name_lifetime = Duration::from_secs(lifetime * 86_400);
            server.manners.attr_lifetime = Duration::from_secs(lifetime * 86_400);
        })
        .expect("willing");
        {
            let behaviour = &mut mount.model.lock().behaviour;
            behaviour.prompt = true;
            behaviour.delay = delay;
            behaviour.order = Order::Any(seed);
        }
        let mut files = Vec::new();
        for (first, second, fate) in steps {
            if fate == Fate::ComesTooLate {
                mount.model.lock().behaviour.swallow.extend(CHANGES.map(Opcode::raw));
            }
            // At the first one's first wait, or after it, if it has none.
            let second = Rc::new(Cell::new(Some(second)));
            let (client, pending) = (Rc::clone(&mount.client), Rc::clone(&second));
            mount.pump.meanwhile(move || drop(pending.take().map(|second| act(&client, &second))));
            files.extend(act(&mount.client, &first).ok().flatten());
            drop(second.take().map(|second| act(&mount.client, &second)));
            mount.model.lock().behaviour.swallow.clear();
            mount.pump.settle();
            compare(&mount);
            files.truncate(3);
        }
        drop(files);
        mount.finish();
    }
}
