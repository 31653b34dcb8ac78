//! A channel: two drives that share their registers, and so one command at a time.
//!
//! ```text
//!   submit --> Queue [first, ...]      Work: Idle     -> first request -> Request
//!                       |                    Request  -> command, command, ..      -> Done
//!                       |                               trouble: again, otherwise, after a reset (Setup), or not
//!                       v                    Done     -> out of the queue, to the owner
//!                  BlockCompletion
//! ```
//!
//! The request that is served stays in the queue until it is over: whatever happens to this object meanwhile, its buffers
//! are where the bus master can do no harm to others.

use core::time::Duration;

use toro_core::driver::block::{BlockCompletion, BlockError, BlockOperation, BlockRequest};
use toro_core::driver::{AttachError, DeviceFault, RequestId};
use toro_core::{Clock, Deadline, Dma, Instant, Registers};

use crate::attempt::{Attempt, Interrupted};
use crate::drive::{Drive, Transfer};
use crate::engine::{Engine, Interrupts, Progress};
use crate::queue::Queue;
use crate::registers::{ChannelRegisters, DataWidth, Ports, Stopped};
use crate::setup::{Expected, Setup};

/// Room for what a drive says about itself.
pub(crate) const SCRATCH_BYTES: usize = 512;
/// Steps at a time: a command, and its first block.
const STEPS: usize = 3;

/// What a channel is busy with.
pub(crate) enum Work {
    Idle,
    /// Getting its drives ready; after a reset, with a request waiting for the end.
    Setup(Setup),
    /// Serving the first request in the queue.
    Request(Attempt),
    /// The first request is over.
    Done(Result<(), BlockError>),
}

/// One channel.
pub(crate) struct Channel<R: Registers> {
    pub(crate) engine: Engine<R>,
    pub(crate) drives: [Option<Drive>; 2],
    /// The drives that a setup has found so far.
    pub(crate) found: [Option<Drive>; 2],
    pub(crate) queue: Queue,
    pub(crate) work: Work,
    /// What the first request was about when the channel had to be reset.
    pub(crate) interrupted: Option<Interrupted>,
    pub(crate) scratch: [u8; SCRATCH_BYTES],
    pub(crate) interrupts: Interrupts,
    pub(crate) transfer: Transfer,
    pub(crate) memory: Dma,
    pub(crate) clock: &'static dyn Clock,
    /// Whether disks have come, gone or changed since the owner last asked.
    pub(crate) news: News,
    fault: Option<DeviceFault>,
    number: usize,
}

/// Whether something is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    None,
    Some,
}

/// What a platform has for both channels.
pub(crate) struct Platform {
    pub(crate) transfer: Transfer,
    pub(crate) data_width: DataWidth,
    pub(crate) memory: Dma,
    pub(crate) clock: &'static dyn Clock,
}

impl<R: Registers> Channel<R> {
    /// A channel that is about to look for its drives.
    pub(crate) fn new(
        registers: ChannelRegisters<R>,
        interrupts: Interrupts,
        number: usize,
        platform: &Platform,
    ) -> Self {
        let Platform { transfer, data_width, memory, clock } = *platform;
        let mut channel = Self {
            engine: Engine::new(Ports::new(registers, data_width, number), None),
            drives: [None; 2],
            found: [None; 2],
            queue: Queue::new(),
            work: Work::Idle,
            interrupted: None,
            scratch: [0; SCRATCH_BYTES],
            interrupts,
            transfer,
            memory,
            clock,
            news: News::None,
            fault: None,
            number,
        };
        channel.begin_setup(Setup::first(clock.now()));
        channel
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.number == 0 { "primary channel" } else { "secondary channel" }
    }

    pub(crate) fn fault(&self) -> Option<DeviceFault> {
        self.fault
    }

    /// Begins the first request if nothing else is going on.
    pub(crate) fn publish(&mut self) {
        let now = self.clock.now();
        if self.fault.is_none() && matches!(self.work, Work::Idle) && !self.queue.is_empty() {
            self.start(now);
            self.advance(now);
            self.advance(now);
        }
    }

    /// Goes on as far as one may without waiting; gives a request that is over.
    pub(crate) fn poll(&mut self) -> Result<Option<BlockCompletion>, DeviceFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        for _ in 0..STEPS {
            let now = self.clock.now();
            match self.work {
                Work::Idle if self.queue.is_empty() => break,
                Work::Idle => self.start(now),
                Work::Done(result) => return Ok(self.finish(result, now)),
                Work::Setup(setup) => match self.step_setup(setup, now) {
                    Ok(Progress::Moved) => {}
                    Ok(Progress::Waiting) => break,
                    Err(fault) => {
                        self.fault = Some(fault);
                        return Err(fault);
                    }
                },
                Work::Request(_) => {
                    if self.advance(now) == Progress::Waiting {
                        break;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes the first request out of the queue, and begins the next one.
    fn finish(&mut self, result: Result<(), BlockError>, now: Instant) -> Option<BlockCompletion> {
        self.work = Work::Idle;
        let (place, request) = self.queue.pop()?;
        if !self.queue.is_empty() {
            self.start(now);
            self.advance(now);
        }
        Some(BlockCompletion { id: self.id(place), request, result })
    }

    /// The number of the request in a place.
    pub(crate) fn id(&self, place: usize) -> RequestId {
        RequestId((self.number << 8 | place) as u16)
    }

    /// Whether a look would find something to do.
    pub(crate) fn is_ready(&self) -> bool {
        match &self.work {
            Work::Idle => !self.queue.is_empty(),
            Work::Done(_) => true,
            Work::Setup(setup) => self.clock.now() >= setup.deadline(self.clock.now()),
            Work::Request(_) => self.engine.is_ready(self.clock.now()),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let now = self.clock.now();
        match &self.work {
            Work::Idle => (!self.queue.is_empty()).then_some(now),
            Work::Done(_) => Some(now),
            Work::Setup(setup) => Some(setup.deadline(now)),
            Work::Request(_) => self.engine.deadline(self.interrupts, now),
        }
    }

    /// Resets the channel and looks for its drives anew; hands back what was waiting once the bus master keeps away from
    /// it.
    pub(crate) fn reset(
        &mut self,
        patience: Duration,
        unfinished: &mut dyn FnMut(BlockCompletion),
    ) -> Result<(), AttachError> {
        self.fault = None;
        self.interrupted = None;
        self.begin_setup(Setup::with_reset(Expected::Any));
        self.finish_setup(patience)?;
        while let Some((place, request)) = self.queue.pop() {
            unfinished(BlockCompletion { id: self.id(place), request, result: Err(BlockError::Interrupted) });
        }
        Ok(())
    }

    /// Waits for the end of a setup.
    pub(crate) fn finish_setup(&mut self, patience: Duration) -> Result<(), AttachError> {
        let deadline = Deadline::after(self.clock, patience);
        while let Work::Setup(setup) = self.work {
            let progress = self.step_setup(setup, self.clock.now()).inspect_err(|fault| self.fault = Some(*fault))?;
            if deadline.is_over() {
                self.fault = Some(DeviceFault::NeedsReset);
                return Err(AttachError::TimedOut);
            }
            if progress == Progress::Waiting {
                self.clock.relax();
            }
        }
        Ok(())
    }

    /// The first request: which drive it is for, and what it wants.
    pub(crate) fn first(&mut self) -> Option<(usize, BlockOperation, &mut BlockRequest)> {
        let request = self.queue.first()?;
        Some((usize::from(request.unit & 1), request.operation, request))
    }
}

impl<R: Registers> Drop for Channel<R> {
    /// Memory that the bus master might still reach outlives this object, for ever.
    fn drop(&mut self) {
        self.engine.set_interrupts(Interrupts::Polled);
        if self.engine.abandon() == Stopped::No {
            core::mem::forget(self.queue.pop());
            core::mem::forget(self.engine.table.take());
        }
    }
}
