//! One command, as the registers see it: written, its data moved, its end noticed.
//!
//! ```text
//!   begin --> Entry: BSY = DRQ = 0, task file, command
//!               |-- NonData   until BSY = 0
//!               |-- In        BSY = 0, DRQ: read a block; until all that was asked for has come
//!               |-- Out       BSY = 0, DRQ: write a block; after the last one until BSY = 0
//!               |-- Dma       until the bus master has INTR
//!               '-- Packet    BSY = 0, DRQ: twelve bytes, then In with lengths that the device says
//!                      |
//!                      v
//!               outcome: Ok, or a Trouble
//! ```
//!
//! A step looks at the registers once, moves one block at most, and never waits: what is not ready is looked at again at
//! the next step, until its time is over.
//!
//! # What a drive may do
//!
//! Say anything. How many blocks move is what the command says, never for how long DRQ is set; if it is still set when all
//! has moved, the drive is not where we think it is, and only a reset helps. So does BSY for ever, and a bus master that
//! reports an error or does not stop. `0xff` is a drive that is not there any more.

mod master;
mod port;

use core::time::Duration;

use toro_core::{Instant, Registers};

use crate::command::{Command, Protocol};
use crate::memory::{Cursor, Memory};
use crate::prd::PrdTable;
use crate::registers::{Direction, Error, Master, NIEN, Ports, Status, Stopped};

/// How long a drive that has just finished may stay busy before the next command.
const ENTRY_PATIENCE: Duration = Duration::from_secs(2);
/// When to look again at what does not interrupt, at first; later, after an eighth of the time that it has taken so far.
const POLL: Duration = Duration::from_micros(100);

/// What went wrong with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The drive says that it failed. `lba` is what the address registers hold.
    Drive { error: Error, lba: u64 },
    /// A packet device gave too much, too little, or an odd number of bytes, but has ended the command.
    Spoilt,
    /// No progress in time.
    Silent,
    /// Nobody has taken the command.
    Deaf,
    /// Data is asked for, or offered, that nobody spoke of.
    Extra,
    /// The bus master failed.
    Master,
    /// The drive is not there any more.
    Gone,
}

/// Whether a step got anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Moved,
    Waiting,
}

/// Whether the channel interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// Its line leads to the owner.
    Line,
    /// Nobody hears it: the owner looks when [`deadline`](toro_core::driver::block::BlockDevice::deadline) says.
    Polled,
}

/// How far a command has come.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// It is not written yet.
    Entry,
    NonData,
    Pio {
        direction: Direction,
        left: usize,
        block: usize,
        wait: Wait,
    },
    Dma {
        direction: Direction,
        grace: Option<Instant>,
    },
    PacketOut,
    PacketIn {
        left: usize,
        excess: usize,
    },
}

/// What ends a wait for BSY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The drive interrupts.
    Interrupt,
    /// Nothing: it has to be looked at.
    Look,
}

#[derive(Clone, Copy, Debug)]
struct Active {
    drive: usize,
    command: Command,
    phase: Phase,
    cursor: Cursor,
    /// When it last got somewhere, and until when it must again.
    since: Instant,
    until: Instant,
}

/// The registers of a channel, and the command that they are busy with.
pub(crate) struct Engine<R> {
    pub(crate) ports: Ports<R>,
    pub(crate) table: Option<PrdTable>,
    /// The drive that the registers speak to, if that is known.
    selected: Option<usize>,
    /// What the device control register holds.
    control: u8,
    active: Option<Active>,
    outcome: Option<Result<(), Trouble>>,
}

impl<R: Registers> Engine<R> {
    pub(crate) fn new(ports: Ports<R>, table: Option<PrdTable>) -> Self {
        Self { ports, table, selected: None, control: 0, active: None, outcome: None }
    }

    /// Lets the channel interrupt, or not.
    pub(crate) fn set_interrupts(&mut self, interrupts: Interrupts) {
        let control = match interrupts {
            Interrupts::Line => 0,
            Interrupts::Polled => NIEN,
        };
        self.control = control;
        self.ports.control(control);
    }

    /// Turns to a drive and gives its status, 400 ns later if it was not this one before. While the other one is busy, or
    /// wants to move data, nothing is written, and it is that one's status.
    pub(crate) fn select(&mut self, drive: usize) -> Status {
        if self.selected != Some(drive) {
            let status = self.ports.alternate();
            if !status.is_floating() && status.intersects(Status::BSY | Status::DRQ) {
                return status;
            }
            self.ports.select(drive);
            self.selected = Some(drive);
            return self.ports.settle();
        }
        self.ports.alternate()
    }

    /// Takes note of a reset: it selects the first drive.
    pub(crate) fn note_reset(&mut self) {
        self.selected = Some(0);
    }

    /// Gives up whatever is going on. Says whether the bus master has stopped.
    pub(crate) fn abandon(&mut self) -> Stopped {
        self.outcome = None;
        let stopped = self.ports.stop_master();
        if stopped == Stopped::Yes {
            self.active = None;
        }
        stopped
    }

    /// What became of the command, once.
    pub(crate) fn take_outcome(&mut self) -> Option<Result<(), Trouble>> {
        self.outcome.take()
    }

    /// Sets a command going, whose data begins at `cursor`.
    pub(crate) fn begin(&mut self, drive: usize, command: Command, cursor: Cursor, now: Instant) {
        self.outcome = None;
        let until = now.saturating_add(ENTRY_PATIENCE);
        self.active = Some(Active { drive, command, phase: Phase::Entry, cursor, since: now, until });
    }

    /// Goes on with it as far as that is possible now, one block at most.
    pub(crate) fn step(&mut self, mut memory: Memory<'_>, now: Instant) -> Progress {
        let Some(mut active) = self.active else { return Progress::Waiting };
        let outcome = match active.phase {
            Phase::Entry => self.enter(&mut active, &mut memory),
            Phase::Dma { direction, grace } => self.master(&mut active, direction, grace, now),
            _ => self.transfer(&mut active, &mut memory),
        };
        match outcome {
            Outcome::Waiting if now < active.until => {
                self.active = Some(active);
                return Progress::Waiting;
            }
            Outcome::Waiting => self.end(Err(Trouble::Silent)),
            Outcome::Moved => {
                active.since = now;
                active.until = now.saturating_add(active.command.patience);
                self.active = Some(active);
            }
            Outcome::Over(result) => self.end(result),
        }
        Progress::Moved
    }

    fn end(&mut self, result: Result<(), Trouble>) {
        self.active = None;
        self.outcome = Some(result);
    }

    /// Writes the command, if the channel is free for it.
    fn enter(&mut self, active: &mut Active, memory: &mut Memory<'_>) -> Outcome {
        let status = self.select(active.drive);
        if status.is_floating() {
            return Outcome::Over(Err(Trouble::Gone));
        }
        if status.contains(Status::BSY) {
            return Outcome::Waiting;
        }
        if status.contains(Status::DRQ) {
            return Outcome::Over(Err(Trouble::Extra));
        }
        let Command { code, file, protocol, .. } = active.command;
        if let Protocol::Dma { direction, bytes } = protocol {
            let (Some(table), Memory::Request(segments)) = (&self.table, memory) else {
                return Outcome::Over(Err(Trouble::Master));
            };
            table.fill(segments, active.cursor, bytes);
            self.ports.prepare_master(table.address(), direction);
        }
        self.ports.write_task_file(active.drive, &file);
        self.ports.command(code);
        active.phase = match protocol {
            Protocol::NonData => Phase::NonData,
            Protocol::Pio { direction, bytes, block } => {
                // A drive asks for the first block without an interrupt.
                let wait = if direction == Direction::Out { Wait::Look } else { Wait::Interrupt };
                Phase::Pio { direction, left: bytes, block, wait }
            }
            Protocol::Dma { direction, .. } => {
                self.ports.start_master(direction);
                Phase::Dma { direction, grace: None }
            }
            Protocol::Packet { .. } => Phase::PacketOut,
        };
        if !matches!(protocol, Protocol::Dma { .. }) {
            self.ports.settle();
        }
        Outcome::Moved
    }

    /// What the drive says about a command that failed, before anything else is written to its registers.
    fn failure(&self, command: &Command) -> Trouble {
        let error = self.ports.error();
        Trouble::Drive { error, lba: self.ports.address(command.file.width, self.control) }
    }

    /// Whether a step would get anywhere.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        let Some(active) = &self.active else { return self.outcome.is_some() };
        if now >= active.until {
            return true;
        }
        if let Phase::Dma { grace, .. } = active.phase {
            let master = self.ports.master_status();
            if master.intersects(Master::INTR | Master::ERROR) {
                return true;
            }
            let has_ended = !master.contains(Master::ACTIVE) && !self.ports.alternate().contains(Status::BSY);
            return has_ended && grace.is_none_or(|end| now >= end);
        }
        let status = self.ports.alternate();
        if status.contains(Status::BSY) && !status.is_floating() {
            return false;
        }
        // A drive that is not busy and has nothing to say yet is looked at again later.
        let is_dawdling = matches!(active.phase, Phase::Pio { left: 1.., .. } | Phase::PacketOut)
            && !status.is_empty()
            && !status.intersects(Status::DRQ | Status::ERR | Status::DF);
        !is_dawdling
    }

    /// When to look again at the latest.
    pub(crate) fn deadline(&self, interrupts: Interrupts, now: Instant) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let waited = now.saturating_since(active.since);
        let soon = now.saturating_add(POLL.max(waited / 8)).min(active.until);
        Some(match active.phase {
            _ if interrupts == Interrupts::Polled => soon,
            Phase::Entry | Phase::PacketOut | Phase::Pio { wait: Wait::Look, .. } => soon,
            Phase::Dma { grace: Some(end), .. } => end.min(active.until),
            // Not busy, and nothing to say: perhaps it will not interrupt.
            Phase::Pio { left: 1.., .. } if !self.ports.alternate().contains(Status::BSY) => soon,
            _ => active.until,
        })
    }
}

enum Outcome {
    Waiting,
    Moved,
    Over(Result<(), Trouble>),
}
