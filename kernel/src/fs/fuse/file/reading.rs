//! Reading files: several requests at once, and ahead of the reader.
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
//!
//! # Changes
//!
//! What was asked for in advance is as old as the question. Each change of a file from here is counted at its node, and a
//! reader that finds another count than before drops its pieces: nobody who reads after a write has returned sees what was
//! there before it.

use alloc::collections::VecDeque;
use alloc::rc::Rc;

use fuse_proto::Errno;
use fuse_proto::ops::{OpenedFlags, Read};
use toro_core::DmaBuf;

use super::FuseFile;
use super::straight::LARGE;
use crate::fs::fuse::Client;
use crate::fs::fuse::connection::{Late, Ticket, payload};
use crate::fs::fuse::contents::{self, Contents};

/// Most pieces that are asked for in advance.
const AHEAD: usize = 3;

/// Bytes asked for at a time when somebody reads on and on with a small buffer.
const PIECE: usize = 64 * 1024;

/// What a reader has asked for in advance.
#[derive(Default)]
pub(super) struct Stream {
    /// After how many changes of the file it began; it ends with the next.
    changes: u64,
    pieces: VecDeque<Piece>,
    /// What is left of a piece of which a part was taken, and where it begins.
    rest: Option<(u64, Chunk)>,
    /// Where a sequential reader reads next.
    next: u64,
    /// How many reads were sequential.
    streak: u32,
}

/// A READ in flight.
pub(super) struct Piece {
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
    /// It is copied from, by a reader who does without reading ahead from there on.
    UseUp,
    /// It is handed out.
    HandOut,
}

impl FuseFile {
    /// Where the file ends, if that is known and still holds.
    fn known_size(&self) -> Option<u64> {
        if self.handle.opened.contains(OpenedFlags::DIRECT_IO) {
            return None;
        }
        self.handle.node.known_size()
    }

    /// The whole contents, if they are remembered and still hold.
    fn contents(&self) -> Result<Option<Rc<Contents>>, Errno> {
        self.handle.node.check()?;
        Ok(self.handle.node.contents().filter(|_| !self.handle.opened.contains(OpenedFlags::DIRECT_IO)))
    }

    pub(super) fn operation(&self, offset: u64, length: usize) -> Read {
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
        let changes = self.handle.node.changes();
        self.stream.borrow_mut().keep_up(changes);
        let left = self.known_size().map_or(u64::MAX, |size| size.saturating_sub(offset));
        if left == 0 || wanted == 0 {
            let mut data = self.client().connection.buffer_in_time(1)?;
            data.set_len(0).map_err(|_| Errno::EIO)?;
            return Ok(Chunk { data, is_last: left == 0 });
        }
        if let Some(chunk) = self.take_rest(offset) {
            return Ok(chunk);
        }
        let until = self.handle.node.attributes_until();
        let (prepared, length) = self.plan(offset, wanted, left, purpose);
        let piece = match prepared {
            Some(piece) => piece.claim(),
            None => self.ask(offset, length)?,
        };
        match purpose {
            Purpose::Copy => self.read_ahead(&piece, wanted, left, PIECE.min(self.limit())),
            Purpose::HandOut => self.read_ahead(&piece, wanted, left, length),
            Purpose::UseUp => {}
        }
        let asked = piece.operation.size;
        let result = piece.finish();
        let node = &self.handle.node;
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
            node.distrust_attributes();
        } else if offset == 0 && read == left && node.changes() == changes {
            if self.client().contents.remember(node, &data, until) {
                self.client().statistics.count_copied(data.len());
            }
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
        let mut stream = self.stream.borrow_mut();
        if stream.changes == self.handle.node.changes() {
            stream.rest = Some((offset, chunk));
        }
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
        let length = length.min(self.limit()).min(usize::try_from(left).unwrap_or(usize::MAX));
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
        self.client().statistics.count_request();
        Ok(Piece::new(self.client(), operation, ticket))
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
        client.statistics.count_request();
        Some(piece)
    }

    /// A buffer of `length` bytes put together from pieces that were asked for with other lengths.
    fn assemble(&self, offset: u64, length: usize, first: Chunk) -> Result<DmaBuf, Errno> {
        let connection = &self.client().connection;
        let mut buffer = connection.buffer_in_time(length)?;
        let taken = first.data.len().min(length);
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), first.data.get(..taken)) {
            to.copy_from_slice(from);
            self.client().statistics.count_copied(taken);
        }
        let mut filled = taken;
        if first.data.len() > length {
            let Chunk { mut data, is_last } = first;
            data.pull_front(length).map_err(|_| Errno::EIO)?;
            self.keep_rest(offset.saturating_add(length as u64), Chunk { data, is_last });
        } else {
            connection.recycle_buffer(first.data);
            let rest = buffer.get_mut(taken..).unwrap_or_default();
            filled += self.read_rest(rest, offset.saturating_add(taken as u64))?;
        }
        buffer.set_len(filled).map_err(|_| Errno::EIO)?;
        Ok(buffer)
    }

    /// See [`OpenFile::read_at`](crate::fs::vfs::OpenFile::read_at).
    pub(super) fn read_into(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.check_readable()?;
        let statistics = &self.client().statistics;
        if let Some(contents) = self.contents()? {
            let from = part(&contents, offset, buffer.len());
            buffer.get_mut(..from.len()).unwrap_or_default().copy_from_slice(from);
            statistics.count_hit(from.len());
            return Ok(from.len());
        }
        let done = self.read_rest(buffer, offset)?;
        statistics.count_read(done);
        Ok(done)
    }

    /// Reads until `buffer` is full or the file ends, from the server.
    fn read_rest(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let (count, is_last) = match self.read_some(rest, at) {
                Ok(read) => read,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            };
            done += count;
            if is_last {
                break;
            }
        }
        Ok(done)
    }

    /// Reads at least one byte unless the file ends: how many, and whether it ends behind them or they are all.
    fn read_some(&self, buffer: &mut [u8], offset: u64) -> Result<(usize, bool), Errno> {
        self.handle.node.check()?;
        let left = self.known_size().map_or(u64::MAX, |size| size.saturating_sub(offset));
        // What is short is left to those who remember it.
        let mut purpose = Purpose::Copy;
        if buffer.len() >= LARGE && left > contents::LONGEST as u64 {
            if self.has_in_advance(offset) {
                purpose = Purpose::UseUp;
            } else if let Some(read) = self.read_straight(buffer, offset, left) {
                return read;
            }
        }
        let mut chunk = self.chunk(offset, buffer.len(), purpose)?;
        let count = buffer.len().min(chunk.data.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), chunk.data.get(..count)) {
            to.copy_from_slice(from);
        }
        self.client().statistics.count_copied(count);
        if count < chunk.data.len() {
            chunk.data.pull_front(count).map_err(|_| Errno::EIO)?;
            self.keep_rest(offset.saturating_add(count as u64), chunk);
            return Ok((count, true));
        }
        self.client().connection.recycle_buffer(chunk.data);
        Ok((count, chunk.is_last))
    }

    /// Whether what begins at `offset` is here or on its way.
    fn has_in_advance(&self, offset: u64) -> bool {
        let mut stream = self.stream.borrow_mut();
        stream.keep_up(self.handle.node.changes());
        stream.rest.as_ref().is_some_and(|&(at, _)| at == offset)
            || stream.pieces.iter().any(|piece| piece.operation.offset == offset)
    }

    /// See [`OpenFile::read_buffer`](crate::fs::vfs::OpenFile::read_buffer).
    pub(super) fn read_owned(&self, offset: u64, length: usize) -> Result<DmaBuf, Errno> {
        self.check_readable()?;
        let length = length.min(self.limit());
        let statistics = &self.client().statistics;
        if let Some(contents) = self.contents()? {
            let from = part(&contents, offset, length);
            let mut buffer = self.client().connection.buffer_in_time(from.len())?;
            buffer.copy_from_slice(from);
            statistics.count_hit(from.len());
            return Ok(buffer);
        }
        let chunk = self.chunk(offset, length, Purpose::HandOut)?;
        let data = if chunk.data.len() == length || (chunk.data.len() < length && chunk.is_last) {
            chunk.data
        } else {
            self.assemble(offset, length, chunk)?
        };
        statistics.count_read(data.len());
        Ok(data)
    }
}

/// Up to `length` bytes of `contents` from `offset`.
fn part(contents: &[u8], offset: u64, length: usize) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(contents.len());
    let end = start.saturating_add(length).min(contents.len());
    contents.get(start..end).unwrap_or_default()
}

impl Stream {
    /// Drops what is older than the last change.
    fn keep_up(&mut self, changes: u64) {
        if self.changes != changes {
            *self = Self { changes, next: self.next, streak: self.streak, ..Self::default() };
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

    /// A READ that somebody waits for.
    pub(super) fn new(client: &Rc<Client>, operation: Read, ticket: Ticket) -> Self {
        Self { client: Rc::clone(client), operation, ticket: Some(ticket), charge: 0 }
    }

    /// How many bytes it asks for.
    pub(super) fn length(&self) -> usize {
        self.operation.size as usize
    }

    /// Waits for the bytes.
    pub(super) fn finish(mut self) -> Result<DmaBuf, Errno> {
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
