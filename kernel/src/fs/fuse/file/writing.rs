//! Writing files: in order where a file grows, several requests at once where it does not.
//!
//! ```text
//!   caller's bytes   [ piece 0 ][ piece 1 ][ piece 2 ][ piece 3 ]      each at most what server and device take
//!                        |copy      |copy
//!   DMA memory       [ data   ] [ data   ]                            a buffer of its own for each WRITE
//! ```
//!
//! # Pieces
//!
//! Inside of a file, up to [`AT_ONCE`] pieces are under way. Behind its end there is one at a time: if one failed and a later
//! one did not, as on a disk that is nearly full, the file would keep a hole and bytes behind it that nobody has been told of.
//!
//! A server may write less than it was asked to. What it wrote counts, the pieces behind are waited for, and everything from
//! there on is sent again, piece by piece (FU-SEM-10). An answer of more than was asked for, or of nothing, is EIO
//! (HD-FS-23), so every round gets further.
//!
//! # Appending
//!
//! The server has opened the file with `O_APPEND` and puts the bytes behind the end as it knows it. We send the offset that
//! we know, for servers that do not keep to that (FU-SEM-11). Threads of this core append to a file one after the other, so
//! that one's pieces are not mixed with another's.
//!
//! # What is still under way
//!
//! A request that timed out may still be carried out later. All other pieces are waited for before a write returns, so that a
//! later write is not overtaken by an earlier one.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::time::Duration;

use fuse_proto::Errno;
use fuse_proto::ops::{Write, WriteFlags};
use fuse_proto::{Operation, ReplyError};

use super::FuseFile;
use crate::fs::fuse::connection::{Connection, Late, Ticket};
use crate::fs::fuse::node::{Change, Extent};
use crate::fs::lock::Lock;
use crate::fs::vfs::Appended;

/// Most pieces of one write that are under way together.
const AT_ONCE: usize = 4;

/// How long appending may take while others wait to append: each of its requests has a deadline, so it ends by itself.
const TURN: Duration = Duration::from_secs(u32::MAX as u64);

/// A WRITE in flight.
struct Piece {
    /// Where it begins, counted from the first byte of the caller's.
    start: usize,
    operation: Write,
    ticket: Ticket,
    /// Noted by `note_written`, or when it is answered too late.
    change: Rc<Change>,
}

impl FuseFile {
    /// See [`OpenFile::write_at`](crate::fs::vfs::OpenFile::write_at).
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.check_writable()?;
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| i64::try_from(end).is_ok());
        let end = end.ok_or(Errno::EFBIG)?;
        let is_inside = self.handle.node.known_size().is_some_and(|size| end <= size);
        self.send(bytes, offset, if is_inside { AT_ONCE } else { 1 })
    }

    /// See [`OpenFile::append`](crate::fs::vfs::OpenFile::append).
    pub(super) fn write_behind_the_end(&self, bytes: &[u8]) -> Result<Appended, Errno> {
        self.check_writable()?;
        let node = &self.handle.node;
        let new_turns = || Lock::new((), self.client().connection.scheduler(), TURN);
        let turns = Rc::clone(node.appending.get_or_init(|| Rc::new(new_turns())));
        turns.with(|()| {
            let end = match node.known_size() {
                Some(size) => size,
                None => node.attributes(self.handle.handle)?.size,
            };
            if end.checked_add(bytes.len() as u64).is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(Errno::EFBIG);
            }
            let count = self.send(bytes, end, 1)?;
            Ok(Appended { count, end: end.saturating_add(count as u64) })
        })?
    }

    /// Sends all, with up to `at_once` pieces under way, and returns how many bytes from the first on were written.
    fn send(&self, bytes: &[u8], offset: u64, at_once: usize) -> Result<usize, Errno> {
        let mut done = 0;
        let mut result = Ok(());
        let mut at_once = at_once;
        while done < bytes.len() && result.is_ok() {
            let before = done;
            result = self.send_pieces(bytes, offset, &mut done, at_once);
            if result.is_ok() && done < bytes.len() {
                // A piece was written in part. What comes behind it goes out again.
                at_once = 1;
                debug_assert!(done > before);
            }
        }
        let node = &self.handle.node;
        node.note_written(offset.saturating_add(done as u64));
        match result {
            Err(errno) if done == 0 => Err(errno),
            _ => {
                self.client().statistics.count_written(done);
                Ok(done)
            }
        }
    }

    /// Sends pieces from `done` on until all have been sent or one was not written whole; moves `done` behind what was
    /// written without a gap. Nothing is under way afterwards.
    fn send_pieces(&self, bytes: &[u8], offset: u64, done: &mut usize, at_once: usize) -> Result<(), Errno> {
        let mut flying: VecDeque<Piece> = VecDeque::new();
        let mut sent = *done;
        let mut result = Ok(());
        let mut is_whole = true;
        loop {
            while is_whole && result.is_ok() && sent < bytes.len() && flying.len() < at_once {
                let rest = bytes.get(sent..).unwrap_or_default();
                let piece = rest.get(..rest.len().min(self.client().write_limit())).unwrap_or_default();
                match self.send_piece(piece, sent, offset, flying.is_empty()) {
                    Ok(Some(flight)) => {
                        flying.push_back(flight);
                        sent += piece.len();
                    }
                    Ok(None) => break,
                    Err(errno) => result = Err(errno),
                }
            }
            let Some(piece) = flying.pop_front() else { return result };
            let (start, asked) = (piece.start, piece.operation.size as usize);
            let written = piece.finish(&self.client().connection);
            if !is_whole || result.is_err() {
                // It was on its way behind one that did not get through.
                continue;
            }
            match written {
                Ok(count) => {
                    *done = start + count;
                    is_whole = count == asked;
                }
                Err(errno) => result = Err(errno),
            }
        }
    }

    /// Sends one piece; `None` if there is no room for it now and something else is under way that makes some.
    fn send_piece(&self, bytes: &[u8], start: usize, offset: u64, is_only: bool) -> Result<Option<Piece>, Errno> {
        let connection = &self.client().connection;
        let data = match connection.buffer(bytes.len()) {
            Some(buffer) => Some(buffer),
            None if is_only => Some(connection.buffer_in_time(bytes.len())?),
            None => None,
        };
        let Some(mut data) = data else { return Ok(None) };
        data.copy_from_slice(bytes);
        self.client().statistics.count_copied(bytes.len());
        let operation = Write {
            node: self.handle.node.number(),
            handle: self.handle.handle.unwrap_or_default(),
            offset: offset.saturating_add(start as u64),
            size: u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL)?,
            open_flags: self.handle.flags,
            flags: WriteFlags::empty(),
            lock_owner: None,
        };
        let change = self.handle.node.begin_change(Extent::Contents, self.handle.keep());
        let ticket = connection.submit_data(&operation, data, Late::Nothing, change.keep())?;
        Ok(Some(Piece { start, operation, ticket, change }))
    }
}

impl Piece {
    /// Waits for the answer: how many bytes were written.
    fn finish(self, connection: &Rc<Connection>) -> Result<usize, Errno> {
        let answer = self.ticket.wait()?;
        self.change.is_noted();
        let written: Result<u32, ReplyError> = self.operation.decode(answer.unique, answer.reply());
        connection.recycle(answer.buffers);
        written.map(|count| count as usize).map_err(|error| connection.judge(error))
    }
}
