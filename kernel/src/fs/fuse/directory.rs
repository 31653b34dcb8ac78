//! Listing a directory.
//!
//! With READDIRPLUS the server sends attributes along with the names, and counts a reference on every node it
//! names. Those are handed to the name cache at once, all of a reply together, so that what a consumer does not
//! get to is not lost; looking at each file of a listing then costs no further request. A server that does not
//! implement READDIRPLUS says so once, and is asked with READDIR from then on.
//!
//! # Which of the two
//!
//! ```text
//!   READDIRPLUS 4 KiB        READDIR 64 KiB                        nobody has looked at a file of the directory meanwhile
//!                            READDIRPLUS 64 KiB                    somebody has
//! ```
//!
//! A node costs server and client several times what a name costs, and most who list a directory want names. So where the
//! server leaves it to us (READDIRPLUS_AUTO), only the first few names come with nodes, and more do when somebody looks at
//! files of this directory while it is listed. A server that gave READDIRPLUS without that gets nothing else.
//!
//! Positions are cookies of the server. A reply that leads nowhere is an error, and so is a listing that takes
//! more than [`REPLIES_MAX`] replies: it goes in a circle.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::any::Any;

use fuse_proto::ops::{OpenDir, Opened, ReadDir, ReadDirPlus, ReleaseDir};
use fuse_proto::{DirEntry, DirOffset, Errno, FileHandle, InitFlags, ListedNode, Opcode, Operation, Plan};

use super::connection::{Answer, Closing, Keep, Late, payload};
use super::file_type;
use super::node::{FuseNode, Version};
use crate::fs::vfs::{OpenDirectory, RawEntry};

/// Bytes asked for at a time.
const LISTING: u32 = 64 * 1024;

/// Bytes asked for at first, where it is not known whether anybody wants the nodes.
const FIRST_NODES: u32 = 4 * 1024;

/// Most replies that make up one listing: 4 GiB of names.
const REPLIES_MAX: u32 = 65_536;

/// A directory that is being listed.
pub struct FuseDirectory {
    node: Rc<FuseNode>,
    handle: Rc<DirectoryHandle>,
    position: DirOffset,
    entries: VecDeque<RawEntry>,
    replies: u32,
    state: State,
}

/// An open directory of the server, released when nobody lists it and no request uses it any more (FU-FR-10).
struct DirectoryHandle {
    node: Rc<FuseNode>,
    /// `None` if the server keeps none.
    handle: Option<FileHandle>,
}

enum State {
    Listing,
    Failed(Errno),
    Ended,
}

impl FuseDirectory {
    /// Opens a directory.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn open(node: &Rc<FuseNode>) -> Result<Self, Errno> {
        let client = node.client();
        let opened = match client.plan(Opcode::OpenDir) {
            Plan::Skip => Opened::WITHOUT_HANDLE,
            _ => {
                let operation = OpenDir::new(node.number());
                let late = Late::OpenDir(operation);
                match client.connection.call(&operation, late, node.keep(), |opened| opened) {
                    Err(Errno::ENOSYS) if client.learn_unsupported(Opcode::OpenDir) == Some(Plan::Skip) => {
                        Opened::WITHOUT_HANDLE
                    }
                    reply => reply?,
                }
            }
        };
        Ok(Self {
            node: Rc::clone(node),
            handle: Rc::new(DirectoryHandle { node: Rc::clone(node), handle: opened.handle }),
            position: DirOffset::START,
            entries: VecDeque::new(),
            replies: 0,
            state: State::Listing,
        })
    }

    /// The handle, or the one that stands for none.
    pub fn handle(&self) -> FileHandle {
        self.handle.handle.unwrap_or_default()
    }

    /// What a request through the handle keeps alive.
    pub fn keep(&self) -> Keep {
        let handle: Rc<dyn Any> = Rc::clone(&self.handle) as Rc<dyn Any>;
        Some(handle)
    }

    /// Asks for more names.
    fn fetch(&mut self) -> Result<(), Errno> {
        self.node.check()?;
        self.replies += 1;
        if self.replies > REPLIES_MAX {
            return Err(Errno::EIO);
        }
        let client = Rc::clone(self.node.client());
        if let Some(most) = self.bytes_with_nodes() {
            match self.fetch_with_nodes(self.size(most)) {
                Err(Errno::ENOSYS) if client.learn_unsupported(Opcode::ReadDirPlus).is_some() => {}
                // A name was removed between the server's reading the directory and its looking at the file.
                Err(Errno::ENOENT) => {}
                result => return result,
            }
        }
        self.fetch_names(self.size(LISTING))
    }

    /// Whether to ask for nodes along with the names, and for how many bytes at most.
    fn bytes_with_nodes(&self) -> Option<u32> {
        let client = self.node.client();
        if client.plan(Opcode::ReadDirPlus) != Plan::Send {
            return None;
        }
        let is_choice = client.session.borrow().flags().contains(InitFlags::READDIRPLUS_AUTO);
        let is_first = self.position == DirOffset::START;
        let was_looked_at = self.node.forget_looks();
        match (is_choice, is_first, was_looked_at) {
            (false, ..) => Some(LISTING),
            (true, true, _) => Some(FIRST_NODES),
            (true, false, true) => Some(LISTING),
            (true, false, false) => None,
        }
    }

    fn size(&self, most: u32) -> u32 {
        self.node.client().max_read().min(most)
    }

    fn exchange<O: Operation>(&self, operation: &O, size: u32, late: Late) -> Result<Answer, Errno> {
        let connection = &self.node.client().connection;
        let size = usize::try_from(size).unwrap_or(0);
        let payload = connection.buffer_in_time(size)?;
        connection.submit(operation, Some(payload), late, self.keep())?.wait()
    }

    fn fetch_with_nodes(&mut self, size: u32) -> Result<(), Errno> {
        let operation = ReadDirPlus { node: self.node.number(), handle: self.handle(), offset: self.position, size };
        let client = Rc::clone(self.node.client());
        let asked = client.next_version();
        let answer = self.exchange(&operation, size, Late::List(operation))?;
        let listing = payload(&operation, answer.unique, &answer.buffers)
            .and_then(|payload| Ok((payload.is_empty(), operation.parse(payload)?)));
        let result = listing.map_err(|error| client.connection.judge(error)).map(|(is_empty, mut listing)| {
            self.end_if(is_empty);
            for listed in listing.by_ref() {
                match listed {
                    Ok(listed) => {
                        let entry = self.entry(&listed.dirent);
                        self.take(entry, listed.node, asked);
                    }
                    Err(error) => self.state = State::Failed(client.connection.judge(error)),
                }
            }
            self.position = listing.position();
        });
        client.connection.recycle(answer.buffers);
        result
    }

    fn fetch_names(&mut self, size: u32) -> Result<(), Errno> {
        let operation = ReadDir { node: self.node.number(), handle: self.handle(), offset: self.position, size };
        let client = Rc::clone(self.node.client());
        let answer = self.exchange(&operation, size, Late::Nothing)?;
        let listing = payload(&operation, answer.unique, &answer.buffers)
            .and_then(|payload| Ok((payload.is_empty(), operation.parse(payload)?)));
        let result = listing.map_err(|error| client.connection.judge(error)).map(|(is_empty, mut listing)| {
            self.end_if(is_empty);
            for listed in listing.by_ref() {
                match listed {
                    Ok(dirent) => self.entries.extend(self.entry(&dirent)),
                    Err(error) => self.state = State::Failed(client.connection.judge(error)),
                }
            }
            self.position = listing.position();
        });
        client.connection.recycle(answer.buffers);
        result
    }

    fn end_if(&mut self, is_empty: bool) {
        if is_empty {
            self.state = State::Ended;
        }
    }

    fn entry(&self, dirent: &DirEntry<'_>) -> Option<RawEntry> {
        (!dirent.is_dot_or_dot_dot()).then(|| RawEntry {
            name: dirent.name.into(),
            inode: dirent.inode,
            file_type: dirent.file_type.map(file_type),
        })
    }

    /// Takes a name and what came with it; every reference finds an owner, or is returned.
    fn take(&mut self, entry: Option<RawEntry>, listed: ListedNode, asked: Version) {
        let client = self.node.client();
        match (entry, listed) {
            (Some(mut entry), ListedNode::Known(known)) => {
                entry.file_type = Some(file_type(known.attributes.file_type));
                let node = client.receive(&known, asked);
                self.node.remember(&entry.name, Some(node), known.name_lifetime, asked);
                self.entries.push_back(entry);
            }
            (None, ListedNode::Known(known)) => client.connection.forget(known.node, 1),
            (entry, ListedNode::Rejected { forget, .. }) => {
                if let Some(node) = forget {
                    client.connection.forget(node, 1);
                }
                self.entries.extend(entry);
            }
            (entry, ListedNode::Unknown) => self.entries.extend(entry),
        }
    }
}

impl OpenDirectory for FuseDirectory {
    fn next(&mut self) -> Result<Option<RawEntry>, Errno> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            match self.state {
                State::Ended => return Ok(None),
                State::Failed(errno) => {
                    self.state = State::Ended;
                    return Err(errno);
                }
                State::Listing => {
                    if let Err(errno) = self.fetch() {
                        self.state = State::Failed(errno);
                    }
                }
            }
        }
    }
}

impl Drop for DirectoryHandle {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            let closing = Closing::Directory(ReleaseDir { node: self.node.number(), handle });
            self.node.client().connection.release(closing, self.node.keep());
        }
    }
}
