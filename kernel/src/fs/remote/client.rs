//! The file system of another core, as this one sees it: each object is a number there.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::{self, Vec};
use core::cell::Cell;

use fuse_proto::Errno;
use toro_core::DmaBuf;

use super::answer::Reply;
#[cfg(feature = "fs-write")]
use super::exports::PlaceAnswer;
use super::exports::{Batch, Exports, FileAnswer, NodeAnswer, Number};
use super::{Answer, Carrier, Job, Question};
use crate::fs::metadata::{FileType, Metadata};
#[cfg(feature = "fs-write")]
use crate::fs::options::{Contents, Rights};
use crate::fs::path::{LastLink, Resolved};
#[cfg(feature = "fs-write")]
use crate::fs::path::{NamedPlace, Place};
use crate::fs::pieces::one_after_the_other;
#[cfg(feature = "fs-write")]
use crate::fs::vfs::SeekTarget;
use crate::fs::vfs::{FileSystem, Freshness, Node, OpenDirectory, OpenFile, RawEntry};

#[cfg(feature = "fs-write")]
mod changing;
#[cfg(feature = "fs-mounts")]
mod upkeep;

/// The most bytes that one answer to `read_at`, or one job of `write_at`, carries. Larger ones take several.
const PIECE: usize = 256 * 1024;

/// A file system of another core.
pub struct RemoteFileSystem<C: Carrier> {
    connection: Rc<Connection<C>>,
    number: Number,
}

/// The way to the owner, until this core shuts the file system down.
struct Connection<C> {
    carrier: C,
    is_closed: Cell<bool>,
}

impl<C: Carrier> Connection<C> {
    fn call<T: Reply>(&self, function: impl FnOnce(&Exports) -> Result<T, Errno> + Send + 'static) -> Result<T, Errno> {
        T::unwrap(self.ask(Box::new(move |exports| function(exports).map(T::wrap)))?)
    }

    /// The part of a call that is the same for all of them.
    fn ask(&self, question: Question) -> Result<Answer, Errno> {
        if self.is_closed.get() {
            return Err(Errno::ENOTCONN);
        }
        self.carrier.call(question)
    }

    #[cfg(feature = "fs-write")]
    fn call_long<T: Reply>(
        &self,
        function: impl FnOnce(&Exports) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        if self.is_closed.get() {
            return Err(Errno::ENOTCONN);
        }
        T::unwrap(self.carrier.call_long(Box::new(move |exports| function(exports).map(T::wrap)))?)
    }
}

impl<C: Carrier> RemoteFileSystem<C> {
    /// The owner's file system with this number.
    pub fn new(carrier: C, number: Number) -> Self {
        Self { connection: Rc::new(Connection { carrier, is_closed: Cell::new(false) }), number }
    }
}

impl<C: Carrier> FileSystem for RemoteFileSystem<C> {
    fn root(&self) -> Result<Rc<dyn Node>, Errno> {
        let number = self.number;
        let root = self.connection.call(move |exports| exports.root(number))?;
        Ok(RemoteNode::shared(&self.connection, root))
    }

    fn resolve(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Resolved, Errno> {
        let (number, path) = (self.number, Box::<[u8]>::from(path));
        let (node, path) = self.connection.call(move |exports| exports.resolve(number, &path, last_link, freshness))?;
        Ok(Resolved { node: RemoteNode::shared(&self.connection, node), path })
    }

    #[cfg(feature = "fs-write")]
    fn locate(&self, path: &[u8], last_link: LastLink, freshness: Freshness) -> Result<Place, Errno> {
        let (number, path) = (self.number, Box::<[u8]>::from(path));
        let place = self.connection.call(move |exports| exports.locate(number, &path, last_link, freshness))?;
        let shared = |node| RemoteNode::shared(&self.connection, node);
        Ok(match place {
            PlaceAnswer::Directory(node) => Place::Directory(shared(node)),
            PlaceAnswer::Name { directory, name, node } => {
                Place::Name(NamedPlace { directory: shared(directory), name, node: node.map(shared) })
            }
        })
    }

    #[cfg(feature = "fs-write")]
    fn sync(&self) -> Result<(), Errno> {
        let number = self.number;
        self.connection.call(move |exports| exports.sync(number))
    }

    /// The owner keeps what it has; only this core takes leave.
    fn shutdown(&self) {
        self.connection.is_closed.set(true);
    }
}

/// An object of the owner. Dropping it tells the owner so, without waiting.
struct Handle<C: Carrier> {
    connection: Rc<Connection<C>>,
    number: Number,
}

impl<C: Carrier> Handle<C> {
    fn call<T: Reply>(
        &self,
        function: impl FnOnce(&Exports, Number) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        let number = self.number;
        self.connection.call(move |exports| function(exports, number))
    }
}

impl<C: Carrier> Drop for Handle<C> {
    fn drop(&mut self) {
        self.connection.carrier.post(Job::Close(self.number));
    }
}

struct RemoteNode<C: Carrier> {
    handle: Handle<C>,
    id: u64,
    file_type: FileType,
}

impl<C: Carrier> RemoteNode<C> {
    fn shared(connection: &Rc<Connection<C>>, answer: NodeAnswer) -> Rc<dyn Node> {
        let NodeAnswer { number, id, file_type } = answer;
        Rc::new(Self { handle: Handle { connection: Rc::clone(connection), number }, id, file_type })
    }

    fn file(&self, FileAnswer { number, read_limit }: FileAnswer) -> Box<dyn OpenFile> {
        let connection = Rc::clone(&self.handle.connection);
        Box::new(RemoteFile { handle: Handle { connection, number }, read_limit })
    }

    /// Has something done to a name in this directory.
    fn call_with<T: Reply>(
        &self,
        name: &[u8],
        function: impl FnOnce(&Exports, Number, &[u8]) -> Result<T, Errno> + Send + 'static,
    ) -> Result<T, Errno> {
        let name = Box::<[u8]>::from(name);
        self.handle.call(move |exports, number| function(exports, number, &name))
    }
}

impl<C: Carrier> Node for RemoteNode<C> {
    fn id(&self) -> u64 {
        self.id
    }

    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.handle.call(Exports::metadata)
    }

    fn lookup(&self, name: &[u8], freshness: Freshness) -> Result<Rc<dyn Node>, Errno> {
        let name = Box::<[u8]>::from(name);
        let node = self.handle.call(move |exports, number| exports.lookup(number, &name, freshness))?;
        Ok(Self::shared(&self.handle.connection, node))
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        self.handle.call(Exports::read_link)
    }

    fn open(&self) -> Result<Box<dyn OpenFile>, Errno> {
        Ok(self.file(self.handle.call(Exports::open)?))
    }

    #[cfg(feature = "fs-write")]
    fn open_for_writing(&self, rights: Rights, contents: Contents) -> Result<Box<dyn OpenFile>, Errno> {
        let open = move |exports: &Exports, number| exports.open_for_writing(number, rights, contents);
        Ok(self.file(self.handle.call(open)?))
    }

    fn open_directory(&self) -> Result<Box<dyn OpenDirectory>, Errno> {
        let number = self.handle.call(Exports::open_directory)?;
        let handle = Handle { connection: Rc::clone(&self.handle.connection), number };
        Ok(Box::new(RemoteListing { handle, batch: Vec::new().into_iter(), end: None }))
    }

    #[cfg(feature = "fs-write")]
    fn create_and_open(&self, name: &[u8], mode: u32, rights: Rights) -> Result<Box<dyn OpenFile>, Errno> {
        let create = move |exports: &Exports, number, name: &[u8]| exports.create_and_open(number, name, mode, rights);
        Ok(self.file(self.call_with(name, create)?))
    }
}

#[cfg(not(feature = "fs-write"))]
impl<C: Carrier> crate::fs::vfs::NodeChanges for RemoteNode<C> {}

struct RemoteFile<C: Carrier> {
    handle: Handle<C>,
    read_limit: usize,
}

impl<C: Carrier> OpenFile for RemoteFile<C> {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.handle.call(Exports::file_metadata)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        one_after_the_other(buffer.chunks_mut(PIECE).map(|piece| (piece.len(), piece)), |done, piece| {
            let (at, length) = (offset.saturating_add(done as u64), piece.len());
            let bytes = self.handle.call(move |exports, number| exports.read_at(number, at, length))?;
            let count = bytes.len().min(length);
            piece[..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        })
    }

    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno> {
        self.handle.call(move |exports, number| exports.read_buffer(number, offset, length))
    }

    fn read_limit(&self) -> usize {
        self.read_limit
    }

    #[cfg(feature = "fs-write")]
    fn seek(&self, offset: u64, target: SeekTarget) -> Result<u64, Errno> {
        self.handle.call(move |exports, number| exports.seek(number, offset, target))
    }
}

#[cfg(not(feature = "fs-write"))]
impl<C: Carrier> crate::fs::vfs::FileChanges for RemoteFile<C> {}

/// Bytes that can be sent.
fn owned(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut sent = Vec::new();
    sent.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOMEM)?;
    sent.extend_from_slice(bytes);
    Ok(sent)
}

struct RemoteListing<C: Carrier> {
    handle: Handle<C>,
    batch: vec::IntoIter<RawEntry>,
    /// How the listing ends behind the batch, if the owner has said so.
    end: Option<Result<(), Errno>>,
}

impl<C: Carrier> OpenDirectory for RemoteListing<C> {
    fn next(&mut self) -> Result<Option<RawEntry>, Errno> {
        loop {
            if let Some(entry) = self.batch.next() {
                return Ok(Some(entry));
            }
            if let Some(end) = self.end.replace(Ok(())) {
                return end.map(|()| None);
            }
            // An error here ends the listing, too: the end has been set.
            let Batch { entries, end } = self.handle.call(|exports, number| Ok(exports.next_batch(number)))?;
            (self.batch, self.end) = (entries.into_iter(), end);
        }
    }
}
