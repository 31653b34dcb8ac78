//! Serving a request: the commands that it takes, and what is tried when they fail.
//!
//! ```text
//!   First ---> Again ---> Port ---> AfterReset ---> failed; the drive too, if it no longer answers
//!     as it is   once more  without   after a reset
//!                           the bus   of the channel,
//!                           master    without the bus master
//! ```
//!
//! A drive that says that it failed, and is ready for the next command, climbs these rungs one by one; only data spoilt on
//! the cable is worth the reset. One that does not answer, or answers what was not asked, is beyond the first three.
//!
//! A request that is longer than a command, or than the table of the bus master, becomes several commands. What was moved
//! by those before stays moved.

use toro_core::driver::block::{BlockError, BlockOperation, SECTOR};
use toro_core::{Instant, Registers};

use crate::channel::{Channel, News, Work};
use crate::command::{Action, Command, Extent, Method, PacketLength};
use crate::drive::{Drive, Transfer};
use crate::engine::{Progress, Trouble};
use crate::identity::Flush;
use crate::memory::{Cursor, Memory};
use crate::packet::{self, Sense};
use crate::prd;
use crate::registers::{Direction, Error};
use crate::setup::{Expected, Setup, request_sense};

/// What has been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    First,
    Again,
    Port,
    AfterReset,
}

/// What the command in flight is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The request itself.
    Main,
    /// Asking a packet device why that failed.
    Sense,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    drive: usize,
    /// Where the current command's data begins.
    cursor: Cursor,
    /// Bytes moved by the commands before.
    done: usize,
    /// Bytes of the current command.
    piece: usize,
    /// How the current command moves them.
    method: Method,
    transfer: Transfer,
    rung: Rung,
    stage: Stage,
    /// The blocks of the current command.
    extent: Extent,
    /// Whether the bus master has failed it.
    has_failed_by_master: bool,
}

/// A request that waits for the end of a reset.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Interrupted {
    /// To be tried again.
    Again(Attempt),
    /// It has failed; the reset is for others.
    Over(BlockError),
}

impl<R: Registers> Channel<R> {
    /// Begins with the first request in the queue.
    pub(crate) fn start(&mut self, now: Instant) {
        let Some((drive, operation, request)) = self.first() else { return };
        let is_reachable = prd::is_reachable(&request.data);
        let Some(known) = self.drives[drive] else {
            self.work = Work::Done(Err(BlockError::Interrupted));
            return;
        };
        if operation == BlockOperation::Identify {
            let result = self.tell_serial(&known);
            self.work = Work::Done(result);
            return;
        }
        if operation == BlockOperation::Flush && known.flush().is_none() {
            // Nothing to make stable, or nothing to do it with.
            self.work = Work::Done(if known.has_cache { Err(BlockError::Unsupported) } else { Ok(()) });
            return;
        }
        let attempt = Attempt {
            drive,
            cursor: Cursor::default(),
            done: 0,
            piece: 0,
            method: Method::Single,
            transfer: if is_reachable && self.engine.table.is_some() { known.transfer } else { Transfer::Pio },
            rung: Rung::First,
            stage: Stage::Main,
            extent: Extent { lba: 0, blocks: 0, block_size: known.block_size() },
            has_failed_by_master: false,
        };
        self.issue(attempt, now);
    }

    fn tell_serial(&mut self, drive: &Drive) -> Result<(), BlockError> {
        let (_, _, request) = self.first().ok_or(BlockError::Failed)?;
        let buffer = request.data.as_mut_slice().first_mut().ok_or(BlockError::Failed)?;
        let serial = drive.identity.serial;
        buffer.get_mut(..serial.len()).ok_or(BlockError::Failed)?.copy_from_slice(&serial);
        Ok(())
    }

    /// Sends the next command of a request.
    fn issue(&mut self, mut attempt: Attempt, now: Instant) {
        let Some(known) = self.drives[attempt.drive] else {
            self.work = Work::Done(Err(BlockError::Interrupted));
            return;
        };
        let Some(command) = self.command(&mut attempt, &known) else {
            self.work = Work::Done(Err(BlockError::Unsupported));
            return;
        };
        attempt.stage = Stage::Main;
        self.engine.begin(attempt.drive, command, attempt.cursor, now);
        self.work = Work::Request(attempt);
    }

    /// What the request needs next.
    fn command(&mut self, attempt: &mut Attempt, known: &Drive) -> Option<Command> {
        let (_, operation, request) = self.first()?;
        let (direction, sector) = match operation {
            BlockOperation::Read { sector } => (Direction::In, sector),
            BlockOperation::Write { sector } => (Direction::Out, sector),
            BlockOperation::Flush => {
                attempt.piece = 0;
                let action = if known.flush()? == Flush::Long { Action::FlushExt } else { Action::Flush };
                return Some(Command::action(action));
            }
            _ => return None,
        };
        let block_size = known.block_size();
        let left = usize::try_from(request.data.len()).ok()?.checked_sub(attempt.done)?;
        let lba = (sector + (attempt.done / SECTOR) as u64) / known.sectors_per_block();
        let Some(geometry) = known.geometry() else {
            attempt.piece = left.min(packet::MOST_BLOCKS * block_size);
            let blocks = u16::try_from(attempt.piece / block_size).ok()?;
            let packet = packet::read(u32::try_from(lba).ok()?, blocks);
            return Some(Command::packet(packet, attempt.piece, PacketLength::Exact, packet::PIECE));
        };
        let most = left.min(geometry.most_blocks() * block_size);
        attempt.method = match attempt.transfer {
            Transfer::Dma => Method::Dma,
            Transfer::Pio => known.port_method(),
        };
        attempt.piece = match attempt.method {
            Method::Dma => prd::fitting(&request.data, attempt.cursor, most, block_size),
            _ => most,
        };
        if attempt.piece == 0 {
            // Buffers so small that a table of them does not make a block.
            attempt.transfer = Transfer::Pio;
            (attempt.method, attempt.piece) = (known.port_method(), most);
        }
        attempt.extent = Extent { lba, blocks: attempt.piece / block_size, block_size };
        Some(Command::transfer(direction, attempt.method, attempt.extent))
    }

    /// Goes on with the command in flight.
    pub(crate) fn advance(&mut self, now: Instant) -> Progress {
        let Work::Request(attempt) = self.work else { return Progress::Waiting };
        let memory = match (attempt.stage, self.queue.first()) {
            (Stage::Main, Some(request)) => Memory::Request(&mut request.data),
            _ => Memory::Own(&mut self.scratch),
        };
        let progress = self.engine.step(memory, now);
        match self.engine.take_outcome() {
            None => progress,
            Some(outcome) => {
                self.take_outcome(attempt, outcome, now);
                Progress::Moved
            }
        }
    }

    fn take_outcome(&mut self, attempt: Attempt, outcome: Result<(), Trouble>, now: Instant) {
        match (attempt.stage, outcome) {
            (Stage::Main, Ok(())) => self.go_on(attempt, now),
            (Stage::Main, Err(Trouble::Drive { .. })) if self.is_packet_device(attempt.drive) => {
                self.scratch.fill(0);
                self.engine.begin(attempt.drive, request_sense(), Cursor::default(), now);
                self.work = Work::Request(Attempt { stage: Stage::Sense, ..attempt });
            }
            (Stage::Sense, Ok(()) | Err(Trouble::Drive { .. } | Trouble::Spoilt)) => self.take_sense(attempt, now),
            (_, Err(trouble)) => self.climb(attempt, trouble, now),
        }
    }

    fn is_packet_device(&self, drive: usize) -> bool {
        self.drives[drive].is_some_and(|drive| drive.geometry().is_none())
    }

    /// A command is done: the next piece, or the end.
    fn go_on(&mut self, mut attempt: Attempt, now: Instant) {
        if attempt.has_failed_by_master
            && let Some(drive) = &mut self.drives[attempt.drive]
            && drive.note_failure()
        {
            log::warn!("{}: drive {}: no DMA any more", self.name(), attempt.drive);
        }
        attempt.has_failed_by_master = false;
        attempt.done += attempt.piece;
        let Some((_, _, request)) = self.first() else { return };
        attempt.cursor = attempt.cursor.advanced(&request.data, attempt.piece);
        if attempt.done as u64 >= request.data.len() {
            self.work = Work::Done(Ok(()));
            return;
        }
        attempt.rung = Rung::First;
        self.issue(attempt, now);
    }

    /// A packet device says why it failed.
    fn take_sense(&mut self, mut attempt: Attempt, now: Instant) {
        let result = match self.sense() {
            Sense::Attention => {
                // Another medium, perhaps: whoever asked for this one's sectors must know.
                self.news = News::Some;
                if attempt.rung == Rung::First {
                    attempt.rung = Rung::Again;
                    return self.issue(attempt, now);
                }
                BlockError::Failed
            }
            Sense::NotReady => BlockError::Failed,
            Sense::Illegal => BlockError::Unsupported,
            Sense::Medium => BlockError::Medium { sector: None },
            Sense::Other => BlockError::Failed,
        };
        self.work = Work::Done(Err(result));
    }

    /// Tries something else, or gives up.
    fn climb(&mut self, mut attempt: Attempt, trouble: Trouble, now: Instant) {
        if trouble == Trouble::Gone {
            log::warn!("{}: gone", self.name());
            self.drives = [None; 2];
            self.news = News::Some;
            self.work = Work::Done(Err(BlockError::Interrupted));
            return;
        }
        let by_master = attempt.method == Method::Dma && attempt.piece > 0;
        let is_spoilt = is_spoilt_on_the_way(trouble);
        // What the medium cannot give is not the bus master's fault.
        attempt.has_failed_by_master |= by_master && !matches!(attempt.error(trouble), BlockError::Medium { .. });
        if let Trouble::Drive { error, .. } = trouble
            && error.contains(Error::ABRT)
            && matches!(attempt.method, Method::Multiple(_))
            && let Some(drive) = &mut self.drives[attempt.drive]
        {
            // Perhaps it does not know that command any more.
            drive.multiple = 0;
        }
        let is_civil = matches!(trouble, Trouble::Drive { .. } | Trouble::Spoilt);
        attempt.rung = match attempt.rung {
            Rung::First if is_civil => Rung::Again,
            Rung::Again if is_civil && by_master => Rung::Port,
            Rung::First | Rung::Again | Rung::Port if !is_civil || is_spoilt => Rung::AfterReset,
            _ => return self.give_up(&attempt, trouble, is_civil),
        };
        if attempt.rung >= Rung::Port {
            attempt.transfer = Transfer::Pio;
        }
        if attempt.rung == Rung::AfterReset {
            log::warn!("{}: drive {}: {trouble:?}, resetting", self.name(), attempt.drive);
            self.interrupted = Some(Interrupted::Again(attempt));
            self.begin_setup(Setup::with_reset(Expected::Same));
        } else {
            self.issue(attempt, now);
        }
    }

    fn give_up(&mut self, attempt: &Attempt, trouble: Trouble, is_civil: bool) {
        let error = attempt.error(trouble);
        if is_civil {
            self.work = Work::Done(Err(error));
            return;
        }
        log::error!("{}: drive {} is out of service: {error}", self.name(), attempt.drive);
        self.drives[attempt.drive] = None;
        self.news = News::Some;
        // The other drive cannot be reached as long as this one is in the middle of something.
        self.interrupted = Some(Interrupted::Over(error));
        self.begin_setup(Setup::with_reset(Expected::Same));
    }

    /// The drives are ready, or not: goes on with the request that had to wait for that.
    pub(crate) fn after_setup(&mut self, now: Instant) {
        self.work = Work::Idle;
        match self.interrupted.take() {
            Some(Interrupted::Again(attempt)) => self.issue(attempt, now),
            Some(Interrupted::Over(error)) => self.work = Work::Done(Err(error)),
            None => {}
        }
    }
}

impl Attempt {
    /// What the owner is told.
    fn error(&self, trouble: Trouble) -> BlockError {
        match trouble {
            Trouble::Drive { error, .. } if error.contains(Error::ICRC) => BlockError::Transfer,
            Trouble::Drive { error, lba } if error.intersects(Error::UNC | Error::IDNF | Error::AMNF) => {
                BlockError::Medium { sector: self.failed_sector(lba) }
            }
            Trouble::Drive { .. } => BlockError::Failed,
            Trouble::Silent | Trouble::Deaf => BlockError::TimedOut,
            Trouble::Spoilt | Trouble::Extra => BlockError::Protocol,
            Trouble::Master => BlockError::Transfer,
            Trouble::Gone => BlockError::Interrupted,
        }
    }

    /// The sector of an address that the drive calls bad, if that is one of the command's.
    fn failed_sector(&self, lba: u64) -> Option<u64> {
        let Extent { lba: first, blocks, block_size } = self.extent;
        (first..first + blocks as u64).contains(&lba).then(|| lba * (block_size / SECTOR) as u64)
    }
}

/// Whether data has suffered between drive and memory.
fn is_spoilt_on_the_way(trouble: Trouble) -> bool {
    matches!(trouble, Trouble::Drive { error, .. } if error.contains(Error::ICRC))
}
