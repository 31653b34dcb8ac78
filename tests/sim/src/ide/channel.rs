//! A channel: the registers of its two drives, and when they may be read and written. What commands do is in
//! [`commands`].

mod commands;

use std::time::Duration;

use toro_core::Instant;

use self::commands::dma_direction;
use super::drive::{Drive, Kind};
use super::lies::Lies;
use super::master::{self, Master};
use super::transfer::{Direction, Transfer};
use super::{Clock, identify};
use crate::SimMemory;

pub(super) const ERR: u8 = 1 << 0;
pub(super) const DRQ: u8 = 1 << 3;
/// DRDY and DSC.
pub(super) const READY: u8 = 0x50;
pub(super) const BSY: u8 = 1 << 7;

/// Device fault.
pub(super) const DF: u8 = 1 << 5;

const SECOND: u8 = 1 << 4;
const NIEN: u8 = 1 << 1;
const SRST: u8 = 1 << 2;
const HOB: u8 = 1 << 7;

/// How soon a drive answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once, as QEMU's do where they need no file.
    Quick,
    /// When the test calls [`Controller::run`](super::Controller::run).
    Slow,
}

/// What the drives are in the middle of.
#[derive(Clone, Debug)]
pub(super) enum Work {
    None,
    /// A command that has not begun.
    Pending,
    Port(Transfer),
    Dma {
        direction: Direction,
        buffer: Vec<u8>,
        lba: u64,
        code: u8,
    },
    Packet {
        packet: Vec<u8>,
        limit: usize,
    },
    Pieces {
        answer: Vec<u8>,
        limit: usize,
    },
}

/// What happens when the drive goes on.
#[derive(Clone, Debug)]
pub(super) enum Deferred {
    Command(u8),
    Block,
    Store,
    Packet { packet: Vec<u8>, limit: usize },
    Piece,
    Reset,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    pub(super) memory: &'static SimMemory,
    clock: &'static Clock,
    /// What is connected.
    pub drives: [Option<Drive>; 2],
    pub(super) selected: usize,
    /// By offset in the command block; what was written last, and before.
    pub(super) current: [u8; 8],
    previous: [u8; 8],
    pub(super) status: u8,
    pub(super) error: u8,
    control: u8,
    /// Status reads that still show what was before, and until when they do.
    pub(super) settling: u8,
    settled: Instant,
    stale: u8,
    intrq: bool,
    pub(super) master: Master,
    pub(super) work: Work,
    pub(super) deferred: Option<Deferred>,
    /// Of a packet's answer, what comes after the piece that moves now.
    pub(super) rest: Option<(Vec<u8>, usize)>,
    reset_began: Option<Instant>,
    rest_until: Instant,
    /// How soon it answers.
    pub pace: Pace,
    /// How it lies.
    pub lies: Lies,
    /// Whether what a driver must not do fails the test.
    pub is_strict: bool,
    /// Whether a slow drive goes on when it has been looked at often enough.
    pub runs_by_itself: bool,
    /// Whether it stays busy for some looks after the end of a command.
    pub lingers: bool,
    looks: u32,
    pub(super) lingering: u32,
    /// Whether nothing holds the bus's lines where no drive is.
    pub is_floating: bool,
    /// Whether the controller makes two transfers of 32 bits at the data port.
    pub is_wide: bool,
    /// Accesses to the data port, of 16 and of 32 bits.
    pub data_accesses: [u32; 2],
    /// How often it has interrupted the processor.
    pub interrupts: u32,
    /// Commands that drives have taken: which one, and the code.
    pub commands: Vec<(usize, u8)>,
    /// How often it was reset.
    pub resets: u32,
    /// How often the status and the alternate status have been read.
    pub status_reads: u32,
    /// See above.
    pub alternate_reads: u32,
    /// Writes of the drive register, and those that chose the other drive.
    pub drive_writes: u32,
    /// See above.
    pub selections: u32,
    /// The task file of the last command: current and previous registers.
    pub last: ([u8; 8], [u8; 8]),
}

impl Channel {
    pub(super) fn new(memory: &'static SimMemory, clock: &'static Clock) -> Self {
        Self {
            memory,
            clock,
            drives: [None, None],
            selected: 0,
            current: [0; 8],
            previous: [0; 8],
            status: READY,
            error: 1,
            control: 0,
            settling: 0,
            settled: Instant::from_nanos(0),
            stale: 0,
            intrq: false,
            master: Master::default(),
            work: Work::None,
            deferred: None,
            rest: None,
            reset_began: None,
            rest_until: Instant::from_nanos(0),
            pace: Pace::Quick,
            lies: Lies::default(),
            is_strict: true,
            runs_by_itself: false,
            lingers: false,
            looks: 0,
            lingering: 0,
            is_floating: false,
            is_wide: true,
            data_accesses: [0; 2],
            interrupts: 0,
            commands: Vec::new(),
            resets: 0,
            status_reads: 0,
            alternate_reads: 0,
            drive_writes: 0,
            selections: 0,
            last: Default::default(),
        }
    }

    /// Fails the test of a driver that does what it must not.
    #[track_caller]
    pub(super) fn must(&self, condition: bool, rule: &str) {
        assert!(condition || !self.is_strict, "{rule}");
    }

    pub(super) fn drive(&mut self) -> Option<&mut Drive> {
        self.drives[self.selected].as_mut()
    }

    pub(super) fn is_quick(&self) -> bool {
        self.pace == Pace::Quick && !self.lies.busy
    }

    /// Whether interrupts reach the processor.
    pub fn admits_interrupts(&self) -> bool {
        self.control & NIEN == 0
    }

    /// Whether the deeper half of the registers is shown.
    pub fn shows_upper_half(&self) -> bool {
        self.control & HOB != 0
    }

    /// Whether the bus master is active.
    pub fn is_mastering(&self) -> bool {
        self.master.status & master::ACTIVE != 0
    }

    /// Commands that have not begun.
    pub fn deferred_commands(&self) -> usize {
        usize::from(matches!(self.deferred, Some(Deferred::Command(_))))
    }

    /// As if somebody had asked for data and left.
    pub fn be_in_the_middle(&mut self) {
        self.status = READY | DRQ;
    }

    /// Lets the drive go on; says whether it has interrupted.
    pub fn run(&mut self) -> bool {
        let before = self.interrupts;
        if !self.lies.busy && !self.lies.gone {
            self.go_on();
            if matches!(self.work, Work::Dma { .. }) {
                self.dma();
            }
        }
        self.interrupts != before
    }

    pub(super) fn go_on(&mut self) {
        match self.deferred.take() {
            None => {}
            Some(Deferred::Command(code)) => self.execute(code),
            Some(Deferred::Block) => self.offer_block(),
            Some(Deferred::Store) => self.store_all(),
            Some(Deferred::Packet { packet, limit }) => self.packet(&packet, limit),
            Some(Deferred::Piece) => self.next_piece(),
            Some(Deferred::Reset) => self.after_reset(),
        }
    }

    /// Raises the line.
    pub(super) fn interrupt(&mut self) {
        if self.lies.no_interrupt {
            return;
        }
        // Edge-triggered: a line that is up already says nothing new; one that was masked is lost.
        if self.admits_interrupts() && !self.intrq {
            self.interrupts += 1;
            self.master.status |= master::INTR;
        }
        self.intrq = true;
        self.settling = 0;
    }

    fn shown_status(&mut self) -> u8 {
        if self.lies.gone {
            return u8::MAX;
        }
        self.looks += 1;
        if self.runs_by_itself && self.looks.is_multiple_of(50) {
            self.go_on();
        }
        if self.lingering > 0 {
            self.lingering -= 1;
            return BSY;
        }
        if self.settling > 0 && self.clock.peek() < self.settled {
            self.settling -= 1;
            return self.stale;
        }
        match (&self.drives[self.selected], self.drives.iter().all(Option::is_none)) {
            (_, true) if self.is_floating => u8::MAX,
            (None, _) => 0,
            (Some(_), _) => self.status,
        }
    }

    pub(super) fn alternate(&mut self) -> u8 {
        self.alternate_reads += 1;
        self.shown_status()
    }

    pub(super) fn read(&mut self, offset: usize) -> u8 {
        if self.lies.gone {
            return u8::MAX;
        }
        if offset == 7 {
            self.status_reads += 1;
            self.intrq = false;
            return self.shown_status();
        }
        if self.drives.iter().all(Option::is_none) {
            return if self.is_floating { u8::MAX } else { 0 };
        }
        match offset {
            1 => self.error,
            2..=5 if self.control & HOB != 0 => self.previous[offset],
            2..=6 => self.current[offset],
            _ => u8::MAX,
        }
    }

    pub(super) fn write(&mut self, offset: usize, value: u8) {
        let is_busy = (self.status & (BSY | DRQ) != 0 || self.lingering > 0) && self.drives[self.selected].is_some();
        if is_busy || self.lies.gone {
            // Lost, as the drive does not listen.
            return self.must(self.lies.any(), "AT-5: the command block is written while the drive is busy");
        }
        self.must(self.clock.peek() >= self.rest_until, "AT-6: the command block is written too soon after a reset");
        self.control &= !HOB;
        match offset {
            1..=5 => {
                self.previous[offset] = self.current[offset];
                self.current[offset] = value;
            }
            6 => {
                self.drive_writes += 1;
                let drive = usize::from(value & SECOND != 0);
                if drive != self.selected {
                    self.selections += 1;
                    self.settle(BSY);
                }
                self.selected = drive;
                self.current[6] = value;
            }
            7 => self.command(value),
            _ => {}
        }
    }

    /// The next status reads still show something else.
    pub(super) fn settle(&mut self, stale: u8) {
        (self.settling, self.stale) = (3, stale);
        self.settled = self.clock.peek().saturating_add(Duration::from_nanos(400));
    }

    fn command(&mut self, code: u8) {
        self.must(
            self.settling == 0 || self.clock.peek() >= self.settled,
            "AT-4: a command follows the selection at once",
        );
        let is_free = self.deferred.is_none() && matches!(self.work, Work::None) || self.lies.any();
        self.must(is_free, "AT-27: one command at a time");
        self.intrq = false;
        if self.drives[self.selected].is_none() {
            return;
        }
        self.must(!self.is_started() || self.lies.any(), "AT-17, AT-18: the master runs while a command is written");
        if let Some(direction) = dma_direction(code) {
            self.must_be_prepared(direction);
        }
        self.commands.push((self.selected, code));
        self.last = (self.current, self.previous);
        let stale = self.status;
        self.status = BSY;
        self.error = 0;
        self.work = Work::Pending;
        self.deferred = Some(Deferred::Command(code));
        self.settle(stale);
        if self.lies.early_interrupt {
            self.interrupt();
        }
        if self.is_quick() {
            self.go_on();
        }
    }

    /// The address in the registers, and whether it is the long one that a command wants.
    pub(super) fn lba(&self) -> u64 {
        let [_, _, _, low, mid, high, device, _] = self.current.map(u64::from);
        low | mid << 8 | high << 16 | (device & 0x0f) << 24
    }

    pub(super) fn set_lba(&mut self, lba: u64) {
        let [low, mid, high, fourth, fifth, sixth, ..] = lba.to_le_bytes();
        self.current[3..6].copy_from_slice(&[low, mid, high]);
        if self.last_is_long() {
            self.previous[3..6].copy_from_slice(&[fourth, fifth, sixth]);
        } else {
            self.current[6] = (self.current[6] & 0xf0) | (fourth & 0x0f);
        }
    }

    pub(super) fn write_control(&mut self, value: u8) {
        let now = self.clock.peek();
        let was_reset = self.control & SRST != 0;
        self.control = value;
        if value & SRST != 0 {
            self.reset_began.get_or_insert(now);
            self.work = Work::None;
            self.deferred = None;
            self.rest = None;
            self.intrq = false;
            self.selected = 0;
            self.status = BSY;
        } else if was_reset {
            let began = self.reset_began.take().unwrap_or(now);
            self.must(now.saturating_since(began) >= Duration::from_micros(5), "AT-6: the reset is too short");
            self.rest_until = now.saturating_add(Duration::from_millis(2));
            self.resets += 1;
            if self.lies.end_with_reset {
                self.lies = Lies::default();
            }
            self.later(Deferred::Reset);
        }
    }

    fn after_reset(&mut self) {
        self.selected = 0;
        self.status = READY;
        self.error = 1;
        self.settling = 0;
        for drive in self.drives.iter_mut().flatten() {
            drive.multiple = 0;
            drive.is_cache_off = false;
            if drive.kind == Kind::Cdrom {
                drive.attentions = 1;
            }
        }
        self.show_signature();
    }

    fn show_signature(&mut self) {
        let is_packet_device = self.is_packet_device();
        self.current[2..6].copy_from_slice(if is_packet_device { &[1, 1, 0x14, 0xeb] } else { &[1, 1, 0, 0] });
    }

    /// The description of the drive in a place, to be changed.
    pub fn words(&mut self, drive: usize) -> &mut identify::Words {
        &mut self.drives[drive].as_mut().expect("the test has connected it").words
    }
}
