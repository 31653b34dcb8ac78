//! [`Card`]: the device as a whole, taken into service and out of it (manual §14).
//!
//! ```text
//!   silence: no interrupts, no frames --> reset --> settle, 5 ms --> prepare --> rings --> start
//!       ^                                                                                  |
//!       +------------------------------- hung, or dropped ---------------------------------+
//! ```
//!
//! What a reset leaves in the registers is not relied upon: QEMU's leaves everything. Each register that matters is written
//! before the device is started.
//!
//! The device can reach memory from [`Card::prepare`] on and until [`Card::stop`] says that it cannot. What it knows stays
//! allocated in between.

use core::time::Duration;

use toro_core::driver::net::LinkState;
use toro_core::driver::{AttachError, DeviceFault};
use toro_core::pci::{self, Command, ConfigSpace};
use toro_core::time::TimedOut;
use toro_core::{Clock, Deadline, Registers};

use crate::filter::Filter;
use crate::model::Model;
use crate::registers::{self as names, Causes, Control, TransmitControl};

/// After a reset is asked for, how long the device is left alone: it reads its EEPROM then.
const SETTLING: Duration = Duration::from_millis(5);
/// How long a reset may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a frame may still be on its way when the device is stopped.
const LAST_FRAME: Duration = Duration::from_millis(10);

/// The device and how it is reached.
pub(crate) struct Card<R, C> {
    pub(crate) registers: R,
    config: C,
    pub(crate) model: Model,
    pub(crate) clock: &'static dyn Clock,
    /// In units of the register.
    interrupt_gap: u32,
}

/// A reset on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reset {
    settled: Deadline,
    end: Deadline,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Waiting,
    Done,
}

/// Whether the device can still reach memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Cut,
    Unknown,
}

impl<R: Registers, C: ConfigSpace> Card<R, C> {
    /// Switches the registers on.
    ///
    /// # Errors
    ///
    /// There are none, or nobody answers.
    pub(crate) fn new(
        registers: R,
        config: C,
        model: Model,
        clock: &'static dyn Clock,
        interrupt_gap: Duration,
    ) -> Result<Self, AttachError> {
        if registers.len() < names::END {
            return Err(AttachError::Resources("registers in memory space"));
        }
        // Whoever had the device before may have left it receiving.
        pci::disable(&config, Command::BUS_MASTER | Command::INTERRUPT_DISABLE);
        pci::enable(&config, Command::MEMORY_SPACE);
        if !names::flush(&registers) {
            return Err(AttachError::Fault(DeviceFault::Gone));
        }
        let units = interrupt_gap.as_nanos() / u128::from(names::INTERRUPT_GAP_UNIT);
        let interrupt_gap = units.min(u128::from(names::LONGEST_INTERRUPT_GAP)) as u32;
        Ok(Self { registers, config, model, clock, interrupt_gap })
    }

    /// No interrupts, and no frames in either direction.
    fn silence(&self) {
        names::MASK_CLEAR.write(&self.registers, u32::MAX);
        names::RECEIVE_CONTROL.write(&self.registers, 0);
        names::TRANSMIT_CONTROL.write(&self.registers, 0);
    }

    /// Silences the device and asks it to reset.
    pub(crate) fn reset(&self) -> Reset {
        self.silence();
        names::flush(&self.registers);
        let control = names::CONTROL.read(&self.registers);
        names::CONTROL.write(&self.registers, control | Control::RESET.bits());
        Reset { settled: Deadline::after(self.clock, SETTLING), end: Deadline::after(self.clock, PATIENCE) }
    }

    /// Looks how far the reset is.
    ///
    /// # Errors
    ///
    /// It takes too long.
    pub(crate) fn look(&self, reset: &Reset) -> Result<Progress, TimedOut> {
        if !reset.settled.is_over() {
            return Ok(Progress::Waiting);
        }
        // All ones, too, is "still resetting".
        if names::CONTROL.read(&self.registers) & Control::RESET.bits() == 0 {
            return Ok(Progress::Done);
        }
        if reset.end.is_over() { Err(TimedOut) } else { Ok(Progress::Waiting) }
    }

    /// Resets the device and waits for it.
    ///
    /// # Errors
    ///
    /// It takes too long.
    pub(crate) fn reset_and_wait(&self) -> Result<(), TimedOut> {
        let reset = self.reset();
        loop {
            if self.look(&reset)? == Progress::Done {
                return Ok(());
            }
            self.clock.relax();
        }
    }

    /// After a reset: everything but the rings.
    pub(crate) fn prepare(&self, filter: &Filter) {
        let registers = &self.registers;
        names::MASK_CLEAR.write(registers, u32::MAX);
        names::CAUSES.take(registers);
        pci::enable(&self.config, Command::BUS_MASTER);

        let mut control = Control::from_bits_retain(names::CONTROL.read(registers));
        control.remove(
            Control::LINK_RESET | Control::INVERT_LOSS | Control::FORCE_SPEED | Control::FORCE_DUPLEX | Control::VLAN,
        );
        control.remove(Control::RESET | Control::PHY_RESET);
        control.remove(Control::RECEIVE_FLOW_CONTROL | Control::TRANSMIT_FLOW_CONTROL);
        control.insert(Control::SET_LINK_UP | Control::AUTO_SPEED);
        names::CONTROL.write(registers, control.bits());
        names::FLOW_CONTROL_ADDRESS_LOW.write(registers, 0);
        names::FLOW_CONTROL_ADDRESS_HIGH.write(registers, 0);
        names::FLOW_CONTROL_TYPE.write(registers, 0);
        names::FLOW_CONTROL_TIMER.write(registers, 0);

        names::INTERRUPT_GAP.write(registers, self.interrupt_gap);
        names::RECEIVE_DELAY.write(registers, 0);
        names::RECEIVE_ABSOLUTE_DELAY.write(registers, 0);
        names::TRANSMIT_DELAY.write(registers, 0);
        names::TRANSMIT_ABSOLUTE_DELAY.write(registers, 0);
        names::RECEIVE_CHECKSUM.write(registers, names::LOOK_AT_SUMS);
        names::TRANSMIT_GAP.write(registers, names::COPPER_GAPS);
        if self.model.counts_descriptors_on_demand() {
            let thresholds = names::TRANSMIT_THRESHOLDS.read(registers);
            names::TRANSMIT_THRESHOLDS.write(registers, thresholds | names::COUNT_DESCRIPTORS);
        }
        filter.install(registers);
    }

    /// With the rings in place: frames, and interrupts.
    pub(crate) fn start(&self, filter: &Filter) {
        names::TRANSMIT_CONTROL.write(&self.registers, TransmitControl::all().bits());
        filter.start(&self.registers);
        self.interrupt_for(names::WAKING);
    }

    /// Lets more causes interrupt.
    pub(crate) fn interrupt_for(&self, causes: Causes) {
        names::MASK_SET.write(&self.registers, causes.bits());
    }

    /// Lets fewer.
    pub(crate) fn no_interrupt_for(&self, causes: Causes) {
        names::MASK_CLEAR.write(&self.registers, causes.bits());
    }

    /// Takes the causes of interrupts, and the line down.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    #[inline]
    pub(crate) fn take_causes(&self) -> Result<Causes, DeviceFault> {
        match names::CAUSES.take(&self.registers) {
            names::NOBODY => Err(DeviceFault::Gone),
            causes => Ok(Causes::from_bits_retain(causes)),
        }
    }

    /// The state of the link.
    ///
    /// # Errors
    ///
    /// Nobody answers.
    pub(crate) fn link(&self) -> Result<LinkState, DeviceFault> {
        match names::STATUS.read(&self.registers) {
            names::NOBODY => Err(DeviceFault::Gone),
            status if status & names::LINK_UP != 0 => Ok(LinkState::Up),
            _ => Ok(LinkState::Down),
        }
    }

    /// Stops the device and takes its way to memory.
    pub(crate) fn stop(&self) -> Reach {
        self.silence();
        if names::flush(&self.registers) {
            // A frame that is being moved ends in this time, and has no other sign.
            let _ = Deadline::after(self.clock, LAST_FRAME).wait_until(|| false);
        }
        pci::disable(&self.config, Command::BUS_MASTER);
        match pci::command(&self.config) {
            // It is not there any more, and neither are its accesses.
            gone if gone.bits() == u16::MAX => Reach::Cut,
            command if command.contains(Command::BUS_MASTER) => Reach::Unknown,
            _ => Reach::Cut,
        }
    }
}
