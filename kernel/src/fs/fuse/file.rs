//! Open files: handles that are shared, and reads that run ahead.
//!
//! # Handles
//!
//! All readers of a file share one handle of the server. When the last of them is gone, the handle stays open a
//! little longer ([`Options::idle_time`](super::Options)), so a file that is asked for again and again costs
//! READ only, neither OPEN nor RELEASE. That is honest because a handle is reached through a *node*: the path is
//! still walked, within the lifetimes that the server gave, and a file that was replaced on the host has
//! another node. What the host sees is that a removed file's space is freed later by the idle time.
//!
//! RELEASE is sent exactly once, by whoever drops the handle last; nobody waits for it.
//!
//! # Reading ahead
//!
//! ```text
//!   offset   0         64K      128K      192K      256K
//!            [ given ][ waited ][ in flight ][ in flight ]
//!                               `--- pieces: at most AHEAD, within the mount's budget of memory
//! ```
//!
//! A reader that goes on where it stopped is sequential, and the pieces behind the one it wants are asked for in
//! advance. Pieces are as long as what the reader asks for, so that one that wants an owned buffer gets the very
//! memory that the device wrote to. A reader that jumps drops its pieces: their memory comes back as they are
//! answered.
//!
//! # The end of the file
//!
//! A short answer is the end of the file at that offset (HD-FS-22), and what was asked for behind it is dropped.
//! If the attributes said otherwise, they are asked for again at the next use. While attributes hold, nothing is
//! read beyond the size that they give; files that the server wants read past all caches have no such limit.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::any::Any;
use core::cell::{Cell, RefCell};

use fuse_proto::ops::{Open, OpenFlags, Opened, OpenedFlags, Read, Release};
use fuse_proto::{Errno, FileHandle, Opcode, Plan};
use toro_core::{DmaBuf, Instant};

use super::connection::{Closing, Keep, Late, Ticket, payload};
use super::node::FuseNode;
use super::{Client, metadata};
use crate::fs::metadata::Metadata;
use crate::fs::vfs::OpenFile;

/// Most pieces that are asked for in advance.
const AHEAD: usize = 3;

/// Bytes asked for at a time when somebody reads on and on with a small buffer.
const PIECE: usize = 64 * 1024;

/// An open file of the server.
pub struct Handle {
    node: Rc<FuseNode>,
    /// `None` if the server keeps none.
    handle: Option<FileHandle>,
    flags: OpenFlags,
    opened: OpenedFlags,
    /// Until when it waits for another reader; `None` while it has one.
    idle_until: Cell<Option<Instant>>,
    /// Whether it is among the idle handles.
    listed: Cell<bool>,
}

impl Handle {
    fn open(node: &Rc<FuseNode>) -> Result<Rc<Self>, Errno> {
        if let Some(handle) = node.handle.borrow().upgrade() {
            handle.idle_until.set(None);
            return Ok(handle);
        }
        let client = node.client();
        let operation = Open::new(node.number(), OpenFlags::LARGE_FILE, &client.session.borrow());
        let opened = match client.plan(Opcode::Open) {
            Plan::Skip => Opened::WITHOUT_HANDLE,
            _ => match client.connection.call(&operation, Late::Open(operation), node.keep(), |opened| opened) {
                Err(Errno::ENOSYS) if client.learn_unsupported(Opcode::Open) == Some(Plan::Skip) => {
                    Opened::WITHOUT_HANDLE
                }
                reply => reply?,
            },
        };
        let handle = Rc::new(Self {
            node: Rc::clone(node),
            handle: opened.handle,
            flags: operation.flags(),
            opened: opened.flags,
            idle_until: Cell::new(None),
            listed: Cell::new(false),
        });
        *node.handle.borrow_mut() = Rc::downgrade(&handle);
        Ok(handle)
    }

    fn keep(self: &Rc<Self>) -> Keep {
        let handle: Rc<dyn Any> = Rc::clone(self) as Rc<dyn Any>;
        Some(handle)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(handle) = self.handle {
            let closing = Closing::File(Release { node: self.node.number(), handle, flags: self.flags });
            self.node.client().connection.release(closing, self.node.keep());
        }
    }
}

/// Handles that wait for another reader.
#[derive(Default)]
pub struct IdleHandles {
    handles: RefCell<VecDeque<Rc<Handle>>>,
    /// The first of their ends, or earlier.
    deadline: Cell<Option<Instant>>,
}

impl IdleHandles {
    /// Keeps a handle that has lost a reader until then, as one of at most `limit`.
    fn park(&self, handle: Rc<Handle>, until: Instant, limit: usize) {
        handle.idle_until.set(Some(until));
        if limit == 0 || handle.listed.replace(true) {
            return;
        }
        self.deadline.set(Some(self.deadline.get().map_or(until, |earlier| earlier.min(until))));
        let mut handles = self.handles.borrow_mut();
        let oldest = if handles.len() >= limit { handles.pop_front() } else { None };
        handles.push_back(handle);
        drop(handles);
        if let Some(oldest) = oldest {
            oldest.listed.set(false);
        }
    }

    /// Lets go of those whose time is over.
    pub fn expire(&self, now: Instant) {
        if self.deadline.get().is_none_or(|deadline| now < deadline) {
            return;
        }
        let mut next: Option<Instant> = None;
        let count = self.handles.borrow().len();
        for _ in 0..count {
            let Some(handle) = self.handles.borrow_mut().pop_front() else { break };
            match handle.idle_until.get() {
                Some(until) if now < until => {
                    next = Some(next.map_or(until, |earlier| earlier.min(until)));
                    self.handles.borrow_mut().push_back(handle);
                }
                // In use again, or over.
                _ => handle.listed.set(false),
            }
        }
        self.deadline.set(next);
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// Lets go of all.
    pub fn clear(&self) {
        let handles = core::mem::take(&mut *self.handles.borrow_mut());
        handles.iter().for_each(|handle| handle.listed.set(false));
        self.deadline.set(None);
    }
}

/// A reader of a file.
pub struct FuseFile {
    handle: Rc<Handle>,
    stream: RefCell<Stream>,
}

/// What a reader has asked for in advance.
#[derive(Default)]
struct Stream {
    pieces: VecDeque<Piece>,
    /// What is left of a piece of which a part was taken, and where it begins.
    rest: Option<(u64, Chunk)>,
    /// Where a sequential reader reads next.
    next: u64,
    /// How many reads were sequential.
    streak: u32,
}

/// A READ in flight.
struct Piece {
    client: Rc<Client>,
    operation: Read,
    ticket: Option<Ticket>,
    /// What it takes of the memory for reading ahead.
    charge: usize,
}

/// Bytes of a file.
struct Chunk {
    data: DmaBuf,
    /// Whether the file ends with them.
    is_last: bool,
}

/// What the memory that is read into is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It is copied from, so it may hold more than was asked for.
    Copy,
    /// It is handed out.
    HandOut,
}

impl FuseFile {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn open(node: &Rc<FuseNode>) -> Result<Self, Errno> {
        Ok(Self { handle: Handle::open(node)?, stream: RefCell::default() })
    }

    fn client(&self) -> &Rc<Client> {
        self.handle.node.client()
    }

    /// Where the file ends, if that is known and still holds.
    fn known_size(&self) -> Option<u64> {
        if self.handle.opened.contains(OpenedFlags::DIRECT_IO) {
            return None;
        }
        self.handle.node.known_size()
    }

    fn operation(&self, offset: u64, length: usize) -> Read {
        Read {
            node: self.handle.node.number(),
            handle: self.handle.handle.unwrap_or_default(),
            offset,
            size: u32::try_from(length).unwrap_or(u32::MAX),
            flags: self.handle.flags,
        }
    }

    /// Bytes from `offset` on: at least one unless the file ends there, and not necessarily all that are wanted.
    fn chunk(&self, offset: u64, wanted: usize, purpose: Purpose) -> Result<Chunk, Errno> {
        self.handle.node.check()?;
        let left = self.known_size().map_or(u64::MAX, |size| size.saturating_sub(offset));
        if left == 0 || wanted == 0 {
            let mut data = self.client().connection.buffer_in_time(1)?;
            data.set_len(0).map_err(|_| Errno::EIO)?;
            return Ok(Chunk { data, is_last: left == 0 });
        }
        if let Some(chunk) = self.take_rest(offset) {
            return Ok(chunk);
        }
        let (prepared, length) = self.plan(offset, wanted, left, purpose);
        let piece = match prepared {
            Some(piece) => piece.claim(),
            None => self.ask(offset, length)?,
        };
        let ahead = if purpose == Purpose::Copy { PIECE.min(self.read_limit()) } else { length };
        self.read_ahead(&piece, wanted, left, ahead);
        let asked = piece.operation.size;
        let result = piece.finish();
        let mut stream = self.stream.borrow_mut();
        let data = match result {
            Ok(data) => data,
            Err(errno) => {
                stream.pieces.clear();
                return Err(errno);
            }
        };
        let read = data.len() as u64;
        let is_short = read < u64::from(asked);
        let is_last = is_short || read >= left;
        stream.next = offset.saturating_add(read);
        if is_last {
            stream.pieces.clear();
        }
        if is_short && left != u64::MAX {
            self.handle.node.distrust_attributes();
        }
        Ok(Chunk { data, is_last })
    }

    fn take_rest(&self, offset: u64) -> Option<Chunk> {
        match self.stream.borrow_mut().rest.take() {
            Some((at, chunk)) if at == offset => Some(chunk),
            _ => None,
        }
    }

    fn keep_rest(&self, offset: u64, chunk: Chunk) {
        self.stream.borrow_mut().rest = Some((offset, chunk));
    }

    /// Whether a piece for `offset` is on its way, and how long one should be.
    fn plan(&self, offset: u64, wanted: usize, left: u64, purpose: Purpose) -> (Option<Piece>, usize) {
        let mut stream = self.stream.borrow_mut();
        if stream.next == offset {
            stream.streak = stream.streak.saturating_add(1);
        } else {
            stream.streak = 0;
        }
        let length = match purpose {
            Purpose::Copy if stream.streak > 1 || wanted > PIECE => PIECE,
            _ => wanted,
        };
        let length = length.min(self.read_limit()).min(usize::try_from(left).unwrap_or(usize::MAX));
        while stream.pieces.front().is_some_and(|piece| piece.operation.offset != offset) {
            stream.pieces.pop_front();
        }
        (stream.pieces.pop_front(), length)
    }

    /// Sends the READ that somebody waits for.
    fn ask(&self, offset: u64, length: usize) -> Result<Piece, Errno> {
        let connection = &self.client().connection;
        let operation = self.operation(offset, length);
        let payload = connection.buffer_in_time(length)?;
        let ticket = connection.submit(&operation, Some(payload), Late::Nothing, self.handle.keep())?;
        Ok(Piece { client: Rc::clone(self.client()), operation, ticket: Some(ticket), charge: 0 })
    }

    /// Sends READs for what comes behind `current`, as far as that is worth it and there is memory.
    /// Each is `length` bytes long.
    fn read_ahead(&self, current: &Piece, wanted: usize, left: u64, length: usize) {
        let mut stream = self.stream.borrow_mut();
        let window = match stream.streak {
            _ if wanted as u64 > u64::from(current.operation.size) => AHEAD,
            0 => 0,
            // A longer file, from its beginning: a second piece is likely to be wanted.
            1 if left != u64::MAX => 1,
            1 => 0,
            2 => 1,
            _ => AHEAD,
        };
        let end = current.operation.offset.saturating_add(left);
        let last = stream.pieces.back().unwrap_or(current);
        let mut offset = last.operation.offset.saturating_add(u64::from(last.operation.size));
        while stream.pieces.len() < window && offset < end {
            let length = length.min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            let Some(piece) = self.ask_ahead(offset, length) else { return };
            offset = offset.saturating_add(length as u64);
            stream.pieces.push_back(piece);
        }
    }

    fn ask_ahead(&self, offset: u64, length: usize) -> Option<Piece> {
        let client = self.client();
        if !client.charge_read_ahead(length) {
            return None;
        }
        let operation = self.operation(offset, length);
        // From here on the piece pays back what it was charged.
        let mut piece = Piece { client: Rc::clone(client), operation, ticket: None, charge: length };
        let payload = client.connection.buffer(length)?;
        let ticket = client.connection.try_submit(&operation, Some(payload), Late::Nothing, self.handle.keep())?;
        piece.ticket = Some(ticket);
        Some(piece)
    }

    /// A buffer of `length` bytes put together from pieces that were asked for with other lengths.
    fn assemble(&self, offset: u64, length: usize, first: Chunk) -> Result<DmaBuf, Errno> {
        let connection = &self.client().connection;
        let mut buffer = connection.buffer_in_time(length)?;
        let taken = first.data.len().min(length);
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), first.data.get(..taken)) {
            to.copy_from_slice(from);
        }
        let mut filled = taken;
        if first.data.len() > length {
            let Chunk { mut data, is_last } = first;
            data.pull_front(length).map_err(|_| Errno::EIO)?;
            self.keep_rest(offset.saturating_add(length as u64), Chunk { data, is_last });
        } else {
            connection.recycle_buffer(first.data);
            let rest = buffer.get_mut(taken..).unwrap_or_default();
            filled += self.read_at(rest, offset.saturating_add(taken as u64))?;
        }
        buffer.set_len(filled).map_err(|_| Errno::EIO)?;
        Ok(buffer)
    }
}

impl OpenFile for FuseFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.handle.node.attributes(self.handle.handle).map(|attributes| metadata(&attributes))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let mut chunk = match self.chunk(at, rest.len(), Purpose::Copy) {
                Ok(chunk) => chunk,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            };
            let count = rest.len().min(chunk.data.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..count), chunk.data.get(..count)) {
                to.copy_from_slice(from);
            }
            done += count;
            if count < chunk.data.len() {
                chunk.data.pull_front(count).map_err(|_| Errno::EIO)?;
                self.keep_rest(at.saturating_add(count as u64), chunk);
                break;
            }
            let is_last = chunk.is_last;
            self.client().connection.recycle_buffer(chunk.data);
            if is_last {
                break;
            }
        }
        Ok(done)
    }

    fn read_buffer(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno> {
        let length = length.min(self.read_limit());
        let chunk = self.chunk(offset, length, Purpose::HandOut)?;
        if chunk.data.len() == length || (chunk.data.len() < length && chunk.is_last) {
            return Ok(chunk.data);
        }
        self.assemble(offset, length, chunk)
    }

    fn read_limit(&self) -> usize {
        self.client().read_limit()
    }
}

impl Drop for FuseFile {
    fn drop(&mut self) {
        let client = Rc::clone(self.client());
        // This reader and the list hold it; a request in flight may, too.
        if self.handle.handle.is_some() && client.options.idle_handles > 0 {
            let until = client.now().saturating_add(client.options.idle_time);
            client.idle.park(Rc::clone(&self.handle), until, client.options.idle_handles);
        }
    }
}

impl Piece {
    /// Somebody wants it now, so it is no longer ahead of anybody.
    fn claim(mut self) -> Self {
        self.refund();
        self
    }

    fn refund(&mut self) {
        let charge = core::mem::take(&mut self.charge);
        if charge > 0 {
            self.client.refund_read_ahead(charge);
        }
    }

    /// Waits for the bytes.
    fn finish(mut self) -> Result<DmaBuf, Errno> {
        let connection = &self.client.connection;
        let mut answer = self.ticket.take().ok_or(Errno::EIO)?.wait()?;
        let length = payload(&self.operation, answer.unique, &answer.buffers).map(<[u8]>::len);
        let data = answer.buffers.payload.take();
        connection.recycle(answer.buffers);
        match (length, data) {
            (Ok(length), Some(mut data)) => {
                data.set_len(length).map_err(|_| Errno::EIO)?;
                Ok(data)
            }
            (Err(error), data) => {
                data.into_iter().for_each(|data| connection.recycle_buffer(data));
                Err(connection.judge(error))
            }
            (Ok(_), None) => Err(Errno::EIO),
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.refund();
    }
}
