//! Reading straight into the caller's memory: no copy, for who reads much at a time.
//!
//! ```text
//!   caller's buffer  [ piece 0 | piece 1 | piece 2 ]   lent to the device, each piece as the payload of one READ
//!                        ^         ^         ^
//!   device           writes them, in any order; then the buffer is the caller's again
//! ```
//!
//! A read of less than [`LARGE`] bytes goes through buffers of the device, where it can be read ahead and remembered. A
//! larger one is lent to the device ([`toro_core::dma::lend`]) where the platform's memory is such that devices reach the
//! caller's, and where the carrier can be reset. Nothing is read ahead for who reads like that: there is no memory of his to
//! read it into, and he asks for so much at a time that a round trip is a small part of it.
//!
//! What comes of a short answer in the middle is the end of the file, as for other reads (HD-FS-22); pieces behind it have
//! been written to the caller's buffer all the same, but are not counted.
//!
//! # A server that does not answer
//!
//! Whoever has lent memory cannot give up: the device may write to it at any time. He waits for the connection's patience as
//! others do, and once more for the interrupted request to come back. Then the session is ended and the device is reset, so
//! that it gives back what it has; all that was open on this mount fails from then on, until it is mounted anew. A device
//! that does not confirm a reset keeps the memory, and he waits for it for ever, as there is nothing else that would be safe.

use alloc::vec::Vec;
use core::cell::Cell;

use fuse_proto::Errno;
use toro_core::DmaBuf;
use toro_core::dma::lend;

use super::FuseFile;
use super::reading::Piece;
use crate::fs::fuse::connection::{HomeComing, Late};

/// Reads of at least so many bytes go straight into the caller's memory.
pub(super) const LARGE: usize = 64 * 1024;

/// Most pieces of one read that are under way together.
const AT_ONCE: usize = 4;

impl FuseFile {
    /// Reads a part of what fits into `buffer`, of a file that has `left` bytes from `offset` on as far as is known: how many
    /// bytes came, and whether the file ends behind them. `None` if this read is none that can be lent for.
    pub(super) fn read_straight(
        &self,
        buffer: &mut [u8],
        offset: u64,
        left: u64,
    ) -> Option<Result<(usize, bool), Errno>> {
        let client = self.client();
        let lender = client.connection.lender()?;
        let piece = self.limit();
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)).min(piece.saturating_mul(AT_ONCE));
        let room = buffer.get_mut(..length)?;
        let home_coming = Cell::new(HomeComing::begin(&client.connection));
        let outcome = lend::<AT_ONCE, _>(
            lender,
            room,
            piece,
            |buffers| self.read_pieces(buffers, offset),
            || home_coming.set(client.connection.wait_for_home(home_coming.get())),
        )?;
        Some(outcome.map(|(read, is_short)| {
            if is_short && left != u64::MAX {
                self.handle.node.distrust_attributes();
            }
            (read, is_short || read as u64 >= left)
        }))
    }

    /// Sends READs into these buffers, which lie one behind the other, and waits for all: how many bytes came from the first
    /// on, and whether that is less than there was room for.
    fn read_pieces<const N: usize>(&self, buffers: [Option<DmaBuf>; N], offset: u64) -> Result<(usize, bool), Errno> {
        let client = self.client();
        let mut result = Ok(());
        let mut pieces: Vec<Piece> = Vec::with_capacity(N);
        let mut at = offset;
        for buffer in buffers.into_iter().flatten() {
            let operation = self.operation(at, buffer.len());
            at = at.saturating_add(buffer.len() as u64);
            if result.is_err() {
                continue;
            }
            match client.connection.submit(&operation, Some(buffer), Late::Nothing, self.handle.keep()) {
                Ok(ticket) => {
                    client.statistics.count_request();
                    pieces.push(Piece::new(client, operation, ticket));
                }
                Err(errno) => result = Err(errno),
            }
        }
        let mut read = 0;
        let mut is_short = false;
        for piece in pieces {
            let asked = piece.length();
            // The buffer that comes back is dropped at once, and so is home.
            let came = piece.finish().map(|data| data.len());
            match came {
                _ if is_short => {}
                Ok(count) => {
                    read += count;
                    is_short = count < asked;
                }
                Err(errno) => {
                    result = Err(errno);
                    break;
                }
            }
        }
        match result {
            Err(errno) if read == 0 => Err(errno),
            // An error behind the first byte is reported by the next read.
            Err(_) => Ok((read, false)),
            Ok(()) => Ok((read, is_short)),
        }
    }
}
