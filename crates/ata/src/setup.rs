//! Which drives there are, and getting them ready: when the controller is taken into service, and after a reset of the
//! channel.
//!
//! ```text
//!    attach ---+                                   +---------------------- for each drive ----------------------+
//!              v                                   |                                                            |
//!   [Pulse -> Rest -> Busy] ------------------> Look -> Identify -> DisableCache -> SetMultiple                 |
//!    a reset, only where one is needed             '--> IdentifyPacket --------------------> Capacity <-> Sense |
//!                                                                                                               v
//!                                                                                                             over
//! ```
//!
//! Nothing is waited for where nothing is: a floating bus and registers that remember nothing are noticed at once, and so
//! is a second drive whose registers the first one answers, by its status of zero after a command.
//!
//! A reset concerns both drives, ends READ MULTIPLE's agreement, and may bring back another drive than went into it: a
//! drive that does not describe itself as before is none of ours any more.

use core::time::Duration;

use toro_core::driver::DeviceFault;
use toro_core::{Deadline, Instant, Registers};

use crate::channel::{Channel, News, Work};
use crate::command::{Action, Command, IdentifyKind, PacketLength};
use crate::drive::{Drive, Transfer};
use crate::engine::{Interrupts, Progress, Trouble};
use crate::identity::{DESCRIPTION_BYTES, Identity, IdentityError, Kind, Words};
use crate::memory::{Cursor, Memory};
use crate::packet;
use crate::prd::PrdTable;
use crate::registers::{NIEN, SRST, Status, Stopped};

/// How long a channel may be busy that nobody has used yet, before it is reset.
const LOOK_PATIENCE: Duration = Duration::from_secs(1);
/// Length of a reset pulse, and how long drives are left alone after it.
const PULSE: Duration = Duration::from_micros(5);
const REST: Duration = Duration::from_millis(2);
/// How long drives may take to come back from a reset: they may have to spin up.
const RESET_PATIENCE: Duration = Duration::from_secs(31);
/// When to look again at a drive that is busy with itself.
const POLL: Duration = Duration::from_millis(1);
/// How often a medium's capacity is asked for: after a reset, and after a change, the first answer is that.
const MOST_QUESTIONS: u8 = 5;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pulse,
    Rest { until: Instant },
    Busy { until: Instant },
    Look { until: Instant },
    Identify(IdentifyKind),
    DisableCache,
    SetMultiple(u8),
    Capacity,
    Sense,
}

/// A setup on its way.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    step: Step,
    drive: usize,
    expected: Expected,
    may_reset: MayReset,
    questions: u8,
}

/// Which drives are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Any that are there.
    Any,
    /// Those that the channel has had so far.
    Same,
}

/// Whether a channel that does not behave is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MayReset {
    Once,
    NoMore,
}

impl Setup {
    /// Looks for drives that nobody has used yet.
    pub(crate) fn first(now: Instant) -> Self {
        let step = Step::Look { until: now.saturating_add(LOOK_PATIENCE) };
        Self { step, drive: 0, expected: Expected::Any, may_reset: MayReset::Once, questions: 0 }
    }

    /// Resets a channel, and then looks for drives.
    pub(crate) fn with_reset(expected: Expected) -> Self {
        Self { step: Step::Pulse, drive: 0, expected, may_reset: MayReset::NoMore, questions: 0 }
    }

    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        match self.step {
            Step::Rest { until } => until,
            _ => now.saturating_add(POLL),
        }
    }
}

impl<R: Registers> Channel<R> {
    /// Begins; what the drives are taken for stays as it is until this is over.
    pub(crate) fn begin_setup(&mut self, setup: Setup) {
        self.engine.set_interrupts(Interrupts::Polled);
        self.found = [None; 2];
        self.work = Work::Setup(setup);
    }

    /// The drive that `setup` is looking for, if it has been there before.
    fn expected(&self, setup: &Setup) -> Option<Drive> {
        (setup.expected == Expected::Same).then_some(self.drives[setup.drive]).flatten()
    }

    /// Goes on with it.
    pub(crate) fn step_setup(&mut self, mut setup: Setup, now: Instant) -> Result<Progress, DeviceFault> {
        match setup.step {
            Step::Pulse => self.pulse(&mut setup),
            Step::Rest { until } if now < until => return Ok(Progress::Waiting),
            Step::Rest { .. } => setup.step = Step::Busy { until: now.saturating_add(RESET_PATIENCE) },
            Step::Busy { until } => {
                let status = self.engine.ports.alternate();
                if status.contains(Status::BSY) && !status.is_floating() && now < until {
                    return Ok(Progress::Waiting);
                }
                // Still at it after all that: its memory is lost to it.
                if self.engine.abandon() == Stopped::No {
                    return Err(DeviceFault::NeedsReset);
                }
                setup.step = Step::Look { until: now.saturating_add(LOOK_PATIENCE) };
            }
            Step::Look { until } => {
                if self.look(&mut setup, until, now) == Progress::Waiting {
                    return Ok(Progress::Waiting);
                }
            }
            step => {
                let progress = self.engine.step(Memory::Own(&mut self.scratch), now);
                match self.engine.take_outcome() {
                    Some(outcome) => self.take_answer(&mut setup, step, outcome, now),
                    None => return Ok(progress),
                }
            }
        }
        if let Work::Setup(current) = &mut self.work {
            *current = setup;
        }
        Ok(Progress::Moved)
    }

    /// The reset itself. What is waited for is some microseconds.
    fn pulse(&mut self, setup: &mut Setup) {
        self.engine.ports.stop_master();
        self.engine.ports.control(SRST | NIEN);
        let over = Deadline::after(self.clock, PULSE);
        let _ = over.wait_until(|| {
            self.engine.ports.alternate();
            false
        });
        self.engine.set_interrupts(Interrupts::Polled);
        self.engine.note_reset();
        setup.drive = 0;
        setup.step = Step::Rest { until: self.clock.now().saturating_add(REST) };
    }

    /// Sees whether the drive is there and free, and asks what it is.
    fn look(&mut self, setup: &mut Setup, until: Instant, now: Instant) -> Progress {
        let expected = self.expected(setup);
        let is_expected = setup.expected == Expected::Any || expected.is_some();
        let status = self.engine.select(setup.drive);
        if !is_expected || status.is_floating() {
            self.next_drive(setup, now);
        } else if status.contains(Status::BSY) && now < until {
            return Progress::Waiting;
        } else if status.intersects(Status::BSY | Status::DRQ) {
            // What somebody else has begun.
            self.reset_or_skip(setup, now);
        } else if !self.engine.ports.remembers() {
            self.next_drive(setup, now);
        } else {
            let is_packet_device = expected.is_some_and(|drive| drive.geometry().is_none());
            let kind = if is_packet_device { IdentifyKind::Packet } else { IdentifyKind::Disk };
            self.ask(setup, Step::Identify(kind), Command::identify(kind), now);
        }
        Progress::Moved
    }

    fn ask(&mut self, setup: &mut Setup, step: Step, command: Command, now: Instant) {
        setup.step = step;
        self.scratch.fill(0);
        self.engine.begin(setup.drive, command, Cursor::default(), now);
    }

    fn reset_or_skip(&mut self, setup: &mut Setup, now: Instant) {
        match setup.may_reset {
            MayReset::Once => {
                // From the start: the first drive may not have survived it.
                self.found = [None; 2];
                *setup = Setup::with_reset(setup.expected);
            }
            MayReset::NoMore => {
                log::warn!("{}: drive {} does not answer", self.name(), setup.drive);
                self.found[setup.drive] = None;
                self.next_drive(setup, now);
            }
        }
    }

    /// Goes on with the answer to a question.
    fn take_answer(&mut self, setup: &mut Setup, step: Step, outcome: Result<(), Trouble>, now: Instant) {
        let is_civil = matches!(outcome, Ok(()) | Err(Trouble::Drive { .. } | Trouble::Spoilt));
        match step {
            Step::Identify(IdentifyKind::Disk) => match outcome {
                Err(Trouble::Drive { lba, .. }) if is_packet_signature(lba) => {
                    let kind = IdentifyKind::Packet;
                    self.ask(setup, Step::Identify(kind), Command::identify(kind), now);
                }
                Ok(()) => self.meet(setup, Identity::of_disk(&self.description()), now),
                Err(Trouble::Silent | Trouble::Extra) => self.reset_or_skip(setup, now),
                Err(_) => self.next_drive(setup, now),
            },
            Step::Identify(IdentifyKind::Packet) => match outcome {
                Ok(()) => self.meet(setup, Identity::of_packet_device(&self.description()), now),
                Err(Trouble::Silent | Trouble::Extra) => self.reset_or_skip(setup, now),
                Err(_) => self.next_drive(setup, now),
            },
            // A drive that has forgotten how to answer is not one to go on with.
            _ if !is_civil => self.reset_or_skip(setup, now),
            Step::DisableCache => {
                if outcome.is_ok()
                    && let Some(drive) = &mut self.found[setup.drive]
                {
                    drive.has_cache = false;
                }
                self.agree_on_multiple(setup, now);
            }
            Step::SetMultiple(blocks) => {
                if outcome.is_ok()
                    && let Some(drive) = &mut self.found[setup.drive]
                {
                    drive.multiple = blocks;
                }
                self.next_drive(setup, now);
            }
            Step::Capacity if outcome.is_ok() => {
                if let (Some(drive), Some((answer, _))) =
                    (&mut self.found[setup.drive], self.scratch.split_first_chunk())
                {
                    drive.medium = packet::capacity(answer);
                }
                self.next_drive(setup, now);
            }
            Step::Capacity if setup.questions < MOST_QUESTIONS => {
                self.ask(setup, Step::Sense, request_sense(), now);
            }
            // A drive without a medium says so in this way.
            Step::Sense if self.sense() == packet::Sense::Attention => self.ask_capacity(setup, now),
            _ => self.next_drive(setup, now),
        }
    }

    fn description(&self) -> Words<'_> {
        const { assert!(DESCRIPTION_BYTES == crate::channel::SCRATCH_BYTES) };
        Words(&self.scratch)
    }

    /// What the drive says was wrong.
    pub(crate) fn sense(&self) -> packet::Sense {
        self.scratch.first_chunk().map_or(packet::Sense::Other, packet::Sense::of)
    }

    /// Takes a drive into service, if it is sound, and the same as before.
    fn meet(&mut self, setup: &mut Setup, identity: Result<Identity, IdentityError>, now: Instant) {
        let number = setup.drive;
        let identity = match identity {
            Ok(identity) => identity,
            Err(error) => {
                log::warn!("{}: drive {number}: {error}", self.name());
                return self.next_drive(setup, now);
            }
        };
        let mut drive = Drive::new(identity, self.transfer);
        if let Some(before) = self.expected(setup) {
            if before.identity != identity {
                log::warn!("{}: drive {number} is another one after a reset", self.name());
                return self.next_drive(setup, now);
            }
            drive.keep_lessons(&before);
        } else {
            log::debug!("{}: drive {number}: {}", self.name(), identity.model());
        }
        self.found[number] = Some(drive);
        match identity.kind {
            Kind::Packet => self.ask_capacity(setup, now),
            Kind::Disk(geometry) if geometry.has_cache && geometry.flush.is_none() => {
                self.ask(setup, Step::DisableCache, Command::action(Action::DisableCache), now);
            }
            Kind::Disk(_) => self.agree_on_multiple(setup, now),
        }
    }

    fn agree_on_multiple(&mut self, setup: &mut Setup, now: Instant) {
        let blocks = self.found[setup.drive].and_then(|drive| drive.geometry().map(|geometry| geometry.multiple));
        match blocks {
            Some(blocks @ 2..) => {
                let command = Command::action(Action::SetMultiple(blocks));
                self.ask(setup, Step::SetMultiple(blocks), command, now);
            }
            _ => self.next_drive(setup, now),
        }
    }

    fn ask_capacity(&mut self, setup: &mut Setup, now: Instant) {
        setup.questions += 1;
        let bytes = packet::CAPACITY_BYTES;
        let command = Command::packet(packet::READ_CAPACITY, bytes, PacketLength::Exact, packet::PIECE);
        self.ask(setup, Step::Capacity, command, now);
    }

    /// Looks at the other drive, or ends.
    fn next_drive(&mut self, setup: &mut Setup, now: Instant) {
        setup.questions = 0;
        if setup.drive == 0 {
            setup.drive = 1;
            setup.step = Step::Look { until: now.saturating_add(LOOK_PATIENCE) };
            return;
        }
        let has_changed = |(now, before): (&Option<Drive>, &Option<Drive>)| now.is_some() != before.is_some();
        if self.found.iter().zip(&self.drives).any(has_changed) {
            self.news = News::Some;
        }
        self.drives = self.found;
        let wants_table = self.drives.iter().flatten().any(|drive| drive.transfer == Transfer::Dma);
        if wants_table && self.engine.table.is_none() && self.engine.ports.has_master() {
            self.engine.table = PrdTable::new(self.memory);
        }
        if self.drives.iter().any(Option::is_some) {
            self.engine.set_interrupts(self.interrupts);
        }
        self.after_setup(now);
    }
}

/// REQUEST SENSE.
pub(crate) fn request_sense() -> Command {
    Command::packet(packet::REQUEST_SENSE, packet::SENSE_BYTES, PacketLength::AtMost, packet::PIECE)
}

/// Whether LBA mid and high are those that a packet device shows instead of an answer.
fn is_packet_signature(address: u64) -> bool {
    let [_, mid, high, ..] = address.to_le_bytes();
    matches!([mid, high], [0x14, 0xeb] | [0x69, 0x96])
}
