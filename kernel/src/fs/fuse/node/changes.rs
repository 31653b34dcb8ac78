//! Changes of names: what is created, renamed and removed below a directory.
//!
//! ```text
//!   NameChange { names, nodes } --- kept by the request --->  answered, or given up and answered later
//!        |                                                        |
//!        '-- while it is under way: what the cache says           '-- dropped: the names leave the cache, answers that
//!            is as good as before                                     were asked for before it are not remembered, the
//!                                                                     attributes of directories and nodes are unknown
//! ```
//!
//! What is known of a name ends with its change (FU-SEM-6), whatever the server answered and whoever still waits: a request
//! that was given up may be carried out later. Therefore the change is a value that the request keeps alive, and its end is
//! what invalidates. When the change has succeeded and nothing else has changed the directories meanwhile, the cache then
//! learns what is true now: a new name with the lifetime of the server's entry, a moved one with what was left of its own.
//! A removed name is *not* remembered as absent, because the server has not said for how long that would be true.
//!
//! # What is owed
//!
//! Each entry in an answer is one reference (FU-SEM-1), which finds its owner in [`Client::receive`](super::Client).
//! An answer that nobody waits for any more is settled by the connection: the node is forgotten, and what CREATE has
//! opened is released before.
//!
//! # What must be known to the server
//!
//! The virtiofsd written in C answers EIO to UNLINK, RMDIR and RENAME of a name whose object nobody has a reference to. So what
//! loses its name is looked up before, unless the cache knows it, and held until the answer has come; Linux does the same.
//!
//! # What a server may lack
//!
//! CREATE: MKNOD and OPEN in its place (FU-SEM-8). RENAME2: there is RENAME for what it can do, and EINVAL for the rest.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;

use fuse_proto::ops::{
    Create, Created, Link, MkDir, MkNod, OpenFlags, Rename, Rename2, RenameFlags, RmDir, SetIds, SymLink, Unlink,
};
use fuse_proto::{Entry, Errno, FileType, Name, Opcode, Operation, Plan};

use super::names::checked;
use super::{FuseNode, Version};
use crate::fs::fuse::cache::CachedNode;
use crate::fs::fuse::connection::Late;
use crate::fs::fuse::file::{FuseFile, open_flags};
use crate::fs::options::Rights;
use crate::fs::vfs::{Collision, Freshness, SpecialFile};

/// The bits of a mode that say no kind.
const PERMISSIONS: u32 = 0o7777;

/// The longest target of a symbolic link, in bytes.
const TARGET_MAX: usize = 4095;

/// A change that is under way. Its end makes what was known of its names and nodes unknown.
struct NameChange {
    /// The names that change, each with its directory.
    names: Vec<(Rc<FuseNode>, Box<[u8]>)>,
    /// Nodes whose attributes change with them.
    nodes: Vec<Rc<FuseNode>>,
    /// When it was asked for.
    asked: Version,
}

/// How a change went besides succeeding.
struct Outcome<T> {
    value: T,
    /// When the change was asked for.
    asked: Version,
    /// Whether no other change of the same directories came in between, so that what this one says is true now.
    is_alone: bool,
}

impl NameChange {
    fn invalidate(&self) {
        for (directory, name) in &self.names {
            directory.note_name_change(name);
            directory.client.unstable.insert(directory);
        }
        self.nodes.iter().for_each(|node| node.note_attribute_change());
    }

    fn is_alone(&self) -> bool {
        self.names.iter().all(|(directory, _)| self.asked > directory.names_changed.get())
    }
}

impl Drop for NameChange {
    fn drop(&mut self) {
        self.invalidate();
    }
}

impl FuseNode {
    /// Takes note that `name` in this directory has been changed, or may have been: nothing that was asked for before says
    /// what it means.
    pub fn note_name_change(&self, name: &[u8]) {
        self.names_changed.set(self.client.next_version());
        self.client.names.remove(self, name);
        self.note_attribute_change();
    }

    /// Changes `names`, and with them `nodes`, by `operation`.
    fn change<O: Operation, T>(
        &self,
        names: Vec<(Rc<FuseNode>, Box<[u8]>)>,
        nodes: Vec<Rc<FuseNode>>,
        operation: &O,
        late: Late,
        use_reply: impl FnOnce(O::Reply<'_>) -> T,
    ) -> Result<Outcome<T>, Errno> {
        let asked = self.client.next_version();
        let change = Rc::new(NameChange { names, nodes, asked });
        let keep: Rc<dyn Any> = Rc::clone(&change) as Rc<dyn Any>;
        let result = self.client.connection.call(operation, late, Some(keep), use_reply);
        let is_alone = change.is_alone();
        if result.is_err() {
            // Where it was given up, the request has the change, and ends it once more.
            change.invalidate();
        }
        drop(change);
        result.map(|value| Outcome { value, asked, is_alone })
    }

    fn place(&self, name: &[u8]) -> (Rc<FuseNode>, Box<[u8]>) {
        (self.handle_to_self(), name.into())
    }

    /// Creates what `operation` creates under this name.
    fn make<'n, O>(&self, name: &'n [u8], operation: impl FnOnce(Name<'n>) -> O) -> Result<Rc<FuseNode>, Errno>
    where
        O: for<'a> Operation<Reply<'a> = Entry>,
    {
        self.check_directory()?;
        let operation = operation(checked(name)?);
        let late = Late::Entry { parent: self.number() };
        let outcome = self.change([self.place(name)].into(), Vec::new(), &operation, late, |entry| entry)?;
        Ok(self.receive(name, &outcome, &outcome.value))
    }

    /// Takes over the entry of a new name.
    fn receive<T>(&self, name: &[u8], outcome: &Outcome<T>, entry: &Entry) -> Rc<FuseNode> {
        let node = self.client.receive(entry, outcome.asked);
        if outcome.is_alone {
            self.remember(name, Some(Rc::clone(&node)), entry.name_lifetime, self.names_changed.get());
        }
        node
    }

    fn permissions(&self, mode: u32) -> u32 {
        // There are no masks here.
        self.client.session.borrow().masked(mode & PERMISSIONS, 0)
    }

    /// Creates a file.
    pub(super) fn make_file(&self, name: &[u8], mode: u32) -> Result<Rc<FuseNode>, Errno> {
        self.make_node(name, FileType::Regular, mode, 0)
    }

    fn make_node(&self, name: &[u8], kind: FileType, mode: u32, device: u32) -> Result<Rc<FuseNode>, Errno> {
        let mode = self.permissions(mode) | kind.mode_bits();
        self.make(name, |name| MkNod { parent: self.number(), name, mode, device, umask: 0 })
    }

    pub(super) fn make_special(&self, name: &[u8], mode: u32, what: SpecialFile) -> Result<Rc<FuseNode>, Errno> {
        let (kind, device) = match what {
            SpecialFile::Fifo => (FileType::Fifo, 0),
            SpecialFile::Socket => (FileType::Socket, 0),
            SpecialFile::CharacterDevice(device) => (FileType::CharDevice, device),
            SpecialFile::BlockDevice(device) => (FileType::BlockDevice, device),
        };
        self.make_node(name, kind, mode, device)
    }

    pub(super) fn make_directory(&self, name: &[u8], mode: u32) -> Result<Rc<FuseNode>, Errno> {
        let mode = self.permissions(mode);
        self.make(name, |name| MkDir { parent: self.number(), name, mode, umask: 0 })
    }

    pub(super) fn make_symlink(&self, name: &[u8], target: &[u8]) -> Result<Rc<FuseNode>, Errno> {
        match target {
            [] => return Err(Errno::ENOENT),
            target if target.len() > TARGET_MAX => return Err(Errno::ENAMETOOLONG),
            target if target.contains(&0) => return Err(Errno::EINVAL),
            _ => {}
        }
        self.make(name, |name| SymLink { parent: self.number(), name, target })
    }

    /// Creates a file and opens it, in one step if the server has one.
    pub(super) fn make_open_file(&self, name: &[u8], mode: u32, rights: Rights) -> Result<FuseFile, Errno> {
        self.check_directory()?;
        if self.client.plan(Opcode::Create) == Plan::Send {
            match self.create_in_one_step(name, mode, rights) {
                Err(Errno::ENOSYS) if self.client.learn_unsupported(Opcode::Create).is_some() => {}
                result => return result,
            }
        }
        let node = self.make_file(name, mode)?;
        FuseFile::open_for_writing(&node, rights, crate::fs::options::Contents::Keep)
    }

    fn create_in_one_step(&self, name: &[u8], mode: u32, rights: Rights) -> Result<FuseFile, Errno> {
        let flags = open_flags(rights) | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let (parent, mode) = (self.number(), self.permissions(mode));
        let operation = Create { parent, name: checked(name)?, mode, umask: 0, flags, set_ids: SetIds::Keep };
        let late = Late::Create { parent, flags };
        let outcome = self.change([self.place(name)].into(), Vec::new(), &operation, late, |created| created)?;
        let Created { entry, opened } = &outcome.value;
        let node = self.receive(name, &outcome, entry);
        Ok(FuseFile::created(&node, *opened, rights))
    }

    /// Gives another node of this file system a name in this directory.
    pub(super) fn make_link(&self, name: &[u8], node: u64) -> Result<(), Errno> {
        self.check_directory()?;
        let source = self.client.find_node(node)?;
        source.check()?;
        if source.identity.file_type == FileType::Directory {
            return Err(Errno::EPERM);
        }
        let operation = Link { node: source.number(), parent: self.number(), name: checked(name)? };
        let late = Late::Entry { parent: self.number() };
        let outcome = self.change([self.place(name)].into(), [source].into(), &operation, late, |entry| entry)?;
        self.receive(name, &outcome, &outcome.value);
        Ok(())
    }

    /// Removes the name of something that is no directory.
    pub(super) fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        let (parent, name) = (self.number(), checked(name)?);
        self.take_name(name, &Unlink { parent, name })
    }

    /// Removes an empty directory.
    pub(super) fn unlink_directory(&self, name: &[u8]) -> Result<(), Errno> {
        let (parent, name) = (self.number(), checked(name)?);
        self.take_name(name, &RmDir { parent, name })
    }

    fn take_name<O>(&self, name: Name<'_>, operation: &O) -> Result<(), Errno>
    where
        O: for<'a> Operation<Reply<'a> = ()>,
    {
        let name = name.as_bytes();
        // Held until the answer has come: see the module.
        let _held = self.find(name, Freshness::Cached)?;
        let known = self.client.names.peek(self, name);
        let known = known.map(|known| known.node);
        let attempt = |node: Option<&Rc<FuseNode>>| {
            self.change(
                [self.place(name)].into(),
                node.cloned().into_iter().collect(),
                operation,
                Late::Nothing,
                |()| (),
            )
        };
        match attempt(known.as_ref()) {
            // QEMU's server says so of names that nobody has looked up, or has no reference to any more.
            Err(Errno::EIO) => {
                let node = self.find(name, Freshness::Server)?;
                attempt(Some(&node))?;
                node.lose_name();
            }
            outcome => {
                outcome?;
                known.iter().for_each(|node| node.lose_name());
            }
        }
        Ok(())
    }

    /// Moves a name from this directory to another one.
    pub(super) fn move_name(&self, from: &[u8], directory: u64, to: &[u8], collision: Collision) -> Result<(), Errno> {
        self.check_directory()?;
        let target = self.client.find_node(directory)?;
        target.check_directory()?;
        let (parent, name) = (self.number(), checked(from)?);
        let (new_parent, new_name) = (target.number(), checked(to)?);
        let flags = match collision {
            Collision::Replace => RenameFlags::empty(),
            Collision::Refuse => RenameFlags::NO_REPLACE,
            Collision::Exchange => RenameFlags::EXCHANGE,
        };
        // Held until the answer has come: see the module.
        let _held = self.find(from, Freshness::Cached)?;
        let (moved, other) = (self.client.names.peek(self, from), self.client.names.peek(&target, to));
        let names = || Vec::from([self.place(from), target.place(to)]);
        let nodes = || moved.iter().chain(&other).map(|known| Rc::clone(&known.node)).collect();
        let plan = self.client.session.borrow().plan_rename(flags);
        let outcome = match plan {
            Plan::Send => {
                let operation = Rename2 { parent, name, new_parent, new_name, flags };
                match self.change(names(), nodes(), &operation, Late::Nothing, |()| ()) {
                    Err(Errno::ENOSYS) => {
                        return Err(match self.client.learn_unsupported(Opcode::Rename2) {
                            Some(Plan::Refuse(errno)) => errno,
                            _ => Errno::EINVAL,
                        });
                    }
                    outcome => outcome?,
                }
            }
            Plan::UseInstead(_) => {
                let operation = Rename { parent, name, new_parent, new_name };
                self.change(names(), nodes(), &operation, Late::Nothing, |()| ())?
            }
            Plan::Refuse(errno) => return Err(errno),
            _ => return Err(Errno::EINVAL),
        };
        let is_moved = |other: &CachedNode| moved.as_ref().is_some_and(|moved| Rc::ptr_eq(&moved.node, &other.node));
        if let (Collision::Replace, Some(replaced)) = (collision, other.as_ref().filter(|other| !is_moved(other))) {
            replaced.node.lose_name();
        }
        if outcome.is_alone {
            let put = |directory: &Rc<FuseNode>, name: &[u8], known: Option<CachedNode>| {
                if let Some(CachedNode { node, until }) = known {
                    self.client.names.insert(directory, name, Some(node), until);
                }
            };
            put(&target, to, moved);
            if collision == Collision::Exchange {
                put(&self.handle_to_self(), from, other);
            }
        }
        Ok(())
    }
}
