//! The two sides, and the referee between them.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use toro_core::driver::Armed;
use toro_core::{DmaBuf, DmaPool};
use virtio_queue_rt::{Direction, FeatureBits, MmioTransport, Notify, QueueIndex, Reset, Virtqueue};
use virtio_sim::clock::CLOCK;
use virtio_sim::{Device, DeviceQueue, MmioModel, SimMemory};

use super::Wishes;
use super::aim::Aim;
use super::bell::{Bell, Looks, Woken};
use crate::processors::pin;

/// Descriptors in the queue: few, so that each word is used again soon.
const SIZE: u16 = 4;
/// One sleep in so many begins without a look.
const AT_ONCE: u64 = 64;
/// How often the progress is told.
const PROGRESS: Duration = Duration::from_secs(3);

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Census {
    pub rounds: u64,
    pub kicks: u64,
    /// Publications after which none was wanted.
    pub quiet_kicks: u64,
    pub interrupts: u64,
    /// Completions after which none was wanted.
    pub quiet_interrupts: u64,
    /// How often a side was really asleep.
    pub slept: u64,
    pub elapsed: Duration,
}

/// What did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The device slept beside a request.
    Kick,
    /// The driver slept beside a completion.
    Interrupt,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kick => "a kick",
            Self::Interrupt => "an interrupt",
        })
    }
}

/// Wake-ups that are not delivered, to see that this is noticed: the one with this number, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Swallow {
    pub kick: Option<u64>,
    pub interrupt: Option<u64>,
}

impl Swallow {
    pub const NOTHING: Self = Self { kick: None, interrupt: None };
}

/// What both sides have beside the ring.
#[derive(Default)]
struct Between {
    kick: Bell,
    interrupt: Bell,
    /// There will be no more requests, or something was lost.
    is_over: AtomicBool,
    /// How many requests came back.
    finished: AtomicU64,
}

impl Between {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.kick.ring();
        self.interrupt.ring();
    }
}

/// One side of the game.
struct Side<'a> {
    between: &'a Between,
    patience: Duration,
    /// The wake-up of the other side that is not delivered.
    swallow: Option<u64>,
    woke: u64,
    let_sleep: u64,
    waits: u64,
    slept: u64,
}

impl<'a> Side<'a> {
    fn new(between: &'a Between, patience: Duration, swallow: Option<u64>) -> Self {
        Self { between, patience, swallow, woke: 0, let_sleep: 0, waits: 0, slept: 0 }
    }

    /// Wakes the other side by its bell if it asked for it.
    fn wake(&mut self, bell: &Bell, notify: Notify) {
        match notify {
            Notify::Suppressed => self.let_sleep += 1,
            Notify::Needed => {
                self.woke += 1;
                if self.swallow != Some(self.woke) {
                    bell.ring();
                }
            }
        }
    }

    fn sleep(&mut self, bell: &Bell) -> Woken {
        self.waits += 1;
        let looks = if self.waits.is_multiple_of(AT_ONCE) { Looks::None } else { Looks::Some };
        let woken = bell.wait(self.patience, looks);
        self.slept += u64::from(woken != Woken::Looking);
        woken
    }

    /// Answers each request, a number, with that number plus one, until it is over.
    fn serve(&mut self, mut queue: DeviceQueue) -> Option<Lost> {
        let between = self.between;
        while !between.is_over() {
            if let Some(chain) = queue.pop() {
                let number = queue.peek(chain.writable[0].0, 8).try_into().map_or(0, u64::from_le_bytes);
                let written = queue.write(&chain, &(number + 1).to_le_bytes());
                let is_wanted = queue.push_and_signal(chain.head.into(), written);
                self.wake(&between.interrupt, if is_wanted { Notify::Needed } else { Notify::Suppressed });
                continue;
            }
            between.kick.forget();
            if between.is_over() {
                break;
            }
            if !queue.enable_kicks()
                && self.sleep(&between.kick) == Woken::Never
                && queue.enable_kicks()
                && !between.is_over()
            {
                between.end();
                return Some(Lost::Kick);
            }
            queue.disable_kicks();
        }
        None
    }

    /// Sends so many requests and waits for each batch.
    fn drive(&mut self, mut driver: Driver, rounds: u64) -> Result<Option<Lost>> {
        let between = self.between;
        let (mut sent, mut finished) = (0, 0);
        while finished < rounds {
            let most = match driver.asking.dither() {
                0 => SIZE.into(),
                1 => 2,
                _ => 1,
            };
            while sent < rounds.min(finished + most) {
                driver.submit(sent)?;
                sent += 1;
            }
            driver.asking.wait();
            let notify = driver.queue.publish();
            match notify {
                Notify::Needed => driver.asking.was_late(),
                Notify::Suppressed => driver.asking.was_early(),
            }
            self.wake(&between.kick, notify);
            while finished < sent {
                if driver.take()? {
                    finished += 1;
                    between.finished.store(finished, Ordering::Relaxed);
                    continue;
                }
                driver.completing.wait();
                between.interrupt.forget();
                if between.is_over() {
                    return Ok(None);
                }
                match driver.queue.arm() {
                    Armed::WorkPending => driver.completing.was_late(),
                    Armed::Idle => match self.sleep(&between.interrupt) {
                        Woken::Looking => driver.completing.was_early(),
                        Woken::Asleep => {}
                        // Not by `arm`, which may be what is wrong.
                        Woken::Never if driver.take()? => return Ok(Some(Lost::Interrupt)),
                        // The device has not completed anything: it is for itself to say why.
                        Woken::Never => {}
                    },
                }
            }
        }
        Ok(None)
    }
}

/// What the driver's side plays with.
struct Driver {
    queue: Virtqueue<DmaBuf, u64>,
    pool: DmaPool,
    /// When the device asks for kicks, and when it completes.
    asking: Aim,
    completing: Aim,
}

impl Driver {
    fn submit(&mut self, number: u64) -> Result<()> {
        let mut buffer = self.pool.take().context("as many buffers as the queue holds")?;
        buffer.extend(&number.to_le_bytes()).map_err(|error| anyhow!("{error}"))?;
        let refused = self.queue.submit((), buffer, Direction::FromDevice, (), number);
        refused.map(|_| ()).map_err(|refused| anyhow!("request {number} was refused: {:?}", refused.reason))
    }

    /// Takes out what finished next, if something did.
    fn take(&mut self) -> Result<bool> {
        let Some(done) = self.queue.poll().map_err(|fault| anyhow!("{fault}"))? else { return Ok(false) };
        ensure!(done.payload[..] == (done.cookie + 1).to_le_bytes(), "a wrong answer to {}", done.cookie);
        self.pool.recycle(done.payload);
        Ok(true)
    }
}

/// Sends so many requests to and fro; returns what was counted and what was lost.
///
/// # Errors
///
/// The driver does not start, or a wrong answer came back.
pub fn play(wishes: Wishes, rounds: u64, patience: Duration, swallow: Swallow) -> Result<(Census, Option<Lost>)> {
    let (driver, other) = set_up(wishes)?;
    let between = Between::default();
    let mut driving = Side::new(&between, patience, swallow.kick);
    let mut serving = Side::new(&between, patience, swallow.interrupt);
    let start = Instant::now();
    let (missed_interrupt, missed_kick) = thread::scope(|scope| {
        let device = scope.spawn(|| {
            pin(1);
            serving.serve(other)
        });
        // A thread too, so that the main one may go on wherever it likes.
        let driver = scope.spawn(|| {
            pin(0);
            let driven = driving.drive(driver, rounds);
            between.end();
            driven
        });
        let mut told = start;
        while !driver.is_finished() {
            thread::sleep(Duration::from_millis(20));
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                let finished = between.finished.load(Ordering::Relaxed);
                eprintln!("bench: by {wishes}: {finished} of {rounds} rounds in {} s", start.elapsed().as_secs());
            }
        }
        (driver.join(), device.join())
    });
    let missed_interrupt = missed_interrupt.unwrap_or_else(|_| Err(anyhow!("the driver panicked")))?;
    let missed_kick = missed_kick.map_err(|_| anyhow!("the device panicked"))?;
    let census = Census {
        rounds: between.finished.load(Ordering::Relaxed),
        kicks: driving.woke,
        quiet_kicks: driving.let_sleep,
        interrupts: serving.woke,
        quiet_interrupts: serving.let_sleep,
        slept: driving.slept + serving.slept,
        elapsed: start.elapsed(),
    };
    Ok((census, missed_kick.or(missed_interrupt)))
}

/// Both ends of a queue.
fn set_up(wishes: Wishes) -> Result<(Driver, DeviceQueue)> {
    let memory = SimMemory::leak();
    let mut offered = FeatureBits::VERSION_1;
    if wishes == Wishes::Indices {
        offered |= FeatureBits::EVENT_IDX;
    }
    let device = Device::new(2, offered.bits(), &[SIZE], &[]);
    let transport = MmioTransport::new(MmioModel::new(device.clone())).map_err(|error| anyhow!("{error}"))?;
    let reset = Reset::new(transport, &CLOCK).map_err(|error| anyhow!("{error}"))?;
    let negotiated = reset.negotiate(FeatureBits::EMPTY, FeatureBits::EMPTY, |bits| bits);
    let mut negotiated = negotiated.map_err(|error| anyhow!("{error}"))?;
    let queue = negotiated.queue(QueueIndex(0), SIZE, memory).map_err(|error| anyhow!("{error}"))?;
    negotiated.run();
    let pool = DmaPool::new(memory, SIZE.into(), 64).map_err(|error| anyhow!("{error}"))?;
    let other = DeviceQueue::negotiated(memory, device.queue(0), offered.bits());
    Ok((Driver { queue, pool, asking: Aim::new(1), completing: Aim::new(2) }, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Wishes; 2] = [Wishes::Flags, Wishes::Indices];

    #[test]
    fn vq_15_22_a_hundred_thousand_rounds_lose_nothing() {
        for wishes in BOTH {
            let (census, lost) = play(wishes, 100_000, Duration::from_secs(20), Swallow::NOTHING).expect("it starts");
            assert_eq!((census.rounds, lost), (100_000, None), "{census:?}");
            assert!(census.kicks > 0 && census.interrupts > 0 && census.slept > 0, "{census:?}");
        }
    }

    #[test]
    fn a_wake_up_that_does_not_arrive_is_noticed() {
        for wishes in BOTH {
            for (swallow, what) in [
                (Swallow { kick: Some(5), interrupt: None }, Lost::Kick),
                (Swallow { kick: None, interrupt: Some(5) }, Lost::Interrupt),
            ] {
                let (census, lost) = play(wishes, 100_000, Duration::from_millis(300), swallow).expect("it starts");
                assert_eq!(lost, Some(what), "{census:?}");
            }
        }
    }
}
