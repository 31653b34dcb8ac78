//! The driver: the device, two rings, and the trait [`NetDevice`].

use core::fmt;

use toro_core::driver::net::{
    Burst, Changes, Frame, LinkState, MacAddress, NetDevice, NetLimits, Offloads, ReceiveFilter,
};
use toro_core::driver::{Armed, AttachError, DeviceFault};
use toro_core::pci::ConfigSpace;
use toro_core::{Clock, Dma, DmaPool, Registers};

use crate::card::{Card, Progress, Reach, Reset};
use crate::filter::Filter;
use crate::model::Model;
use crate::offload::MAX_FRAME;
use crate::options::{Counters, Options, Segmenting};
use crate::receive::ReceiveRing;
use crate::registers::Causes;
use crate::transmit::{LONGEST, Reclaimed, TransmitRing};
use crate::watchdog::{self, Watchdog};
use crate::{eeprom, phy};

/// Interrupts in a row for nothing that are no accident any more.
const STORM: u16 = 1000;
/// Resets in a row that did not help.
const HOPELESS: u8 = 3;

/// A network interface.
///
/// `R` are its registers, `C` its configuration space.
pub struct E1000<R: Registers, C: ConfigSpace> {
    card: Card<R, C>,
    receive: ReceiveRing,
    transmit: TransmitRing,
    pool: DmaPool,
    large: Option<DmaPool>,
    mac: MacAddress,
    offloads: Offloads,
    filter: Filter,
    state: State,
    watchdog: Watchdog,
    link: LinkState,
    /// The device has said that something about the link has changed.
    is_link_stale: bool,
    /// A reset is over, of which whoever arms next shall hear: there is room to transmit.
    has_restarted: bool,
    /// Whether the caller was last told that it cannot transmit now, and waits for a completion.
    is_starved: bool,
    /// Whether completions interrupt.
    wakes_when_sent: bool,
    /// Interrupts in a row for nothing.
    empty_interrupts: u16,
    /// Resets since anything was received or sent.
    vain_resets: u8,
    counters: Counters,
}

/// What the device is in the middle of.
enum State {
    Running,
    Resetting(Reset),
    Failed(DeviceFault),
}

impl<R: Registers, C: ConfigSpace> E1000<R, C> {
    /// Takes the device with these registers, those of BAR 0, into service.
    ///
    /// # Errors
    ///
    /// Why it cannot be used. It is left reset, and without access to memory.
    pub fn new(
        model: Model,
        registers: R,
        config: C,
        memory: Dma,
        clock: &'static dyn Clock,
        options: &Options,
    ) -> Result<Self, AttachError> {
        let card = Card::new(registers, config, model, clock, options.interrupt_gap)?;
        card.reset_and_wait()?;
        let mac = eeprom::address(&card.registers, model, clock).unwrap_or(options.fallback_mac);
        let (large, max_tcp4, max_tcp6) = match options.segmentation {
            Segmenting::Off => (None, 0, 0),
            Segmenting::Ipv4(count) => (Some(count), LONGEST, 0),
            Segmenting::Ipv4AndIpv6(count) => (Some(count), LONGEST, LONGEST),
        };
        let large = large.map(|count| DmaPool::new(memory, usize::from(count.get()), LONGEST + 1)).transpose()?;
        let transmit = TransmitRing::new(memory, options.transmit_slots)?;
        let mut this = Self {
            receive: ReceiveRing::new(memory, options)?,
            pool: DmaPool::new(memory, transmit.capacity() + usize::from(options.receive_spare), MAX_FRAME)?,
            transmit,
            large,
            mac,
            offloads: Offloads { checksum: true, max_tcp4, max_tcp6 },
            filter: Filter::new(mac),
            state: State::Running,
            watchdog: Watchdog::new(clock.now()),
            link: LinkState::Down,
            is_link_stale: false,
            has_restarted: false,
            is_starved: false,
            wakes_when_sent: false,
            empty_interrupts: 0,
            vain_resets: 0,
            counters: Counters::default(),
            card,
        };
        this.start();
        phy::wake(&this.card.registers, clock);
        this.link = this.card.link()?;
        Ok(this)
    }

    /// What did not go as it should.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Puts a device that was reset to work.
    fn start(&mut self) {
        self.card.prepare(&self.filter);
        self.receive.install(&self.card.registers);
        self.counters.lost += self.transmit.install(&self.card.registers);
        self.receive.refill(&self.card.registers);
        self.card.start(&self.filter);
        self.watchdog = Watchdog::new(self.card.clock.now());
        self.wakes_when_sent = false;
        self.empty_interrupts = 0;
        self.state = State::Running;
    }

    fn fail(&mut self, fault: DeviceFault) -> DeviceFault {
        self.state = State::Failed(fault);
        fault
    }

    /// Where the device is; drives a reset on.
    #[inline]
    fn turn(&mut self) -> Result<Turn, DeviceFault> {
        match &self.state {
            State::Running => Ok(Turn::Running),
            State::Failed(fault) => Err(*fault),
            State::Resetting(reset) => match self.card.look(reset) {
                Ok(Progress::Waiting) => Ok(Turn::Resetting),
                Ok(Progress::Done) => {
                    self.start();
                    // Nobody has said how the link is since.
                    self.is_link_stale = true;
                    self.has_restarted = true;
                    Ok(Turn::Running)
                }
                Err(_) => {
                    // The device still has its memory. It stays so until the device is dropped.
                    let fault = self.card.link().err().unwrap_or(DeviceFault::NeedsReset);
                    Err(self.fail(fault))
                }
            },
        }
    }

    /// Begins a reset, if there is hope that it helps.
    fn reset(&mut self, why: &str) -> Result<(), DeviceFault> {
        if self.vain_resets == HOPELESS {
            return Err(self.fail(DeviceFault::NeedsReset));
        }
        log::warn!("{}: {why}; it is reset", self.mac);
        self.vain_resets += 1;
        self.counters.resets += 1;
        self.state = State::Resetting(self.card.reset());
        Ok(())
    }

    /// Something went through the device.
    fn has_moved(&mut self) {
        self.empty_interrupts = 0;
        self.vain_resets = 0;
    }

    fn reclaim(&mut self) -> Reclaimed {
        let reclaimed = self.transmit.reclaim(&mut self.pool);
        if reclaimed == Reclaimed::Some {
            self.has_moved();
        }
        reclaimed
    }

    /// Looks whether the device still sends, if it is time.
    #[inline]
    fn watch(&mut self) -> Result<(), DeviceFault> {
        let now = self.card.clock.now();
        if !self.watchdog.is_due(now) {
            return Ok(());
        }
        self.reclaim();
        if self.transmit.in_flight() > 0 {
            match self.card.link() {
                Ok(LinkState::Up) => {}
                Ok(LinkState::Down) => self.watchdog.excuse(),
                Err(fault) => return Err(self.fail(fault)),
            }
        }
        match self.watchdog.look(now, self.transmit.in_flight(), self.transmit.progress()) {
            watchdog::Verdict::Fine => Ok(()),
            watchdog::Verdict::Hung => self.reset("sends nothing any more"),
        }
    }

    /// Judges an interrupt that the device says it has raised and that nothing was found for.
    fn count_empty_interrupt(&mut self, causes: Causes) -> Result<(), DeviceFault> {
        if !causes.intersects(crate::registers::WAKING) {
            return Ok(());
        }
        self.empty_interrupts += 1;
        if self.empty_interrupts == STORM { self.reset("interrupts for nothing") } else { Ok(()) }
    }
}

/// What can be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Running,
    /// Nothing, until the reset is over.
    Resetting,
}

impl<R: Registers + Send, C: ConfigSpace + Send> NetDevice for E1000<R, C> {
    fn mac(&self) -> MacAddress {
        self.mac
    }

    fn limits(&self) -> NetLimits {
        NetLimits { max_frame: MAX_FRAME, transmit_slots: self.transmit.capacity(), offloads: self.offloads }
    }

    fn link(&mut self) -> LinkState {
        match self.state {
            State::Running => self.card.link().unwrap_or(LinkState::Down),
            _ => LinkState::Down,
        }
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        if self.turn()? == Turn::Resetting || !self.is_link_stale {
            return Ok(Changes::default());
        }
        self.is_link_stale = false;
        let link = match self.card.link() {
            Ok(link) => link,
            Err(fault) => return Err(self.fail(fault)),
        };
        let before = core::mem::replace(&mut self.link, link);
        Ok(Changes { link: (link != before).then_some(link), announce: false })
    }

    fn set_filter(&mut self, filter: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        let next = Filter::of(self.mac, filter);
        match self.turn()? {
            Turn::Running => self.filter.replace(&self.card.registers, next),
            // It is told when it starts.
            Turn::Resetting => self.filter = next,
        }
        Ok(())
    }

    fn receive(&mut self, out: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        if self.turn()? == Turn::Resetting {
            return Ok(());
        }
        let before = out.len();
        let dropped = self.receive.receive(out);
        self.counters.malformed += dropped.malformed;
        self.counters.damaged += dropped.damaged;
        if out.len() > before {
            self.has_moved();
        }
        // Also when nothing came: frames that were held before may have come home.
        self.receive.refill(&self.card.registers);
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        if self.turn()? == Turn::Running {
            self.watch()?;
        }
        if matches!(self.state, State::Resetting(_)) {
            self.is_starved |= !frames.is_empty();
            return Ok(());
        }
        if !self.transmit.fits(frames.len()) {
            self.reclaim();
        }
        loop {
            self.counters.refused += self.transmit.transmit(&self.card.registers, frames, self.offloads);
            // Where the device is emulated, what was just handed over may be gone already.
            if frames.is_empty() || self.reclaim() == Reclaimed::Nothing {
                break;
            }
        }
        self.is_starved |= !frames.is_empty();
        Ok(())
    }

    fn frame(&mut self, len: usize) -> Option<Frame> {
        let is_large = len > MAX_FRAME;
        if is_large && len > self.offloads.max_tcp4.max(self.offloads.max_tcp6) {
            return None;
        }
        let take = |this: &mut Self| if is_large { this.large.as_mut()?.take() } else { this.pool.take() };
        if let Some(buffer) = take(self) {
            return Some(Frame::from_buffer(buffer));
        }
        self.is_starved = true;
        if matches!(self.state, State::Running) {
            self.reclaim();
        }
        take(self).map(Frame::from_buffer)
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        if self.turn()? == Turn::Running {
            self.watch()?;
        }
        // No interrupt tells the end of a reset; it takes milliseconds.
        let has_restarted = core::mem::take(&mut self.has_restarted);
        if has_restarted || matches!(self.state, State::Resetting(_)) || self.receive.is_waiting() {
            return Ok(Armed::WorkPending);
        }
        if self.is_starved && self.reclaim() == Reclaimed::Some {
            self.is_starved = false;
            return Ok(Armed::WorkPending);
        }
        // Whoever holds all frames himself waits for no completion, and must not be woken by one.
        self.is_starved &= self.transmit.in_flight() > 0;
        if self.is_starved != self.wakes_when_sent {
            self.wakes_when_sent = self.is_starved;
            match self.is_starved {
                true => self.card.interrupt_for(Causes::SENT),
                false => self.card.no_interrupt_for(Causes::SENT),
            }
        }
        // Before the look: what comes after it raises the line again.
        let causes = match self.card.take_causes() {
            Ok(causes) => causes,
            Err(fault) => return Err(self.fail(fault)),
        };
        let has_changed = causes.intersects(Causes::LINK | Causes::SEQUENCE);
        self.is_link_stale |= has_changed;
        let has_room = self.is_starved && self.reclaim() == Reclaimed::Some;
        self.is_starved &= !has_room;
        if has_changed || has_room || self.receive.is_waiting() {
            return Ok(Armed::WorkPending);
        }
        self.count_empty_interrupt(causes)?;
        Ok(if matches!(self.state, State::Resetting(_)) { Armed::WorkPending } else { Armed::Idle })
    }
}

impl<R: Registers, C: ConfigSpace> Drop for E1000<R, C> {
    fn drop(&mut self) {
        if self.card.stop() == Reach::Unknown {
            log::error!("{}: it cannot be kept from memory, which stays allocated", self.mac);
            self.receive.leak();
            self.transmit.leak();
        }
    }
}

impl<R: Registers, C: ConfigSpace> fmt::Debug for E1000<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E1000({:?}, {}, {} in flight)", self.card.model, self.mac, self.transmit.in_flight())
    }
}
