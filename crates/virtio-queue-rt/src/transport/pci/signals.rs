//! How a function interrupts, and what that asks of its transport: vectors to map, a status to read.
//!
//! Who has a device to himself gives it one message, or several and does not care which queue has which. Where the
//! queues of a device have owners on several cores, each message interrupts one of them, and a queue must have its
//! owner's or none: [`Interrupts::Assigned`] says which that is.

use toro_core::driver::DeviceFault;
use toro_core::io::{ReadWrite, Reg, Registers};
use toro_core::pci::msix::{self, MsiMessage, MsiX};
use toro_core::pci::{self, Command, ConfigSpace};

use crate::transport::{InterruptStatus, QueueIndex, Signalling, TransportError};

/// What a vector register holds when its event has none.
const NO_VECTOR: u16 = 0xffff;

/// How a PCI function is to interrupt.
#[derive(Clone, Copy, Debug)]
pub enum Interrupts<'a> {
    /// Not at all: the driver looks by itself.
    Polled,
    /// By its interrupt line (INTx), which it may share with other functions.
    Line,
    /// By MSI-X messages. With one, all events share it; with more, the first is for configuration changes and
    /// queue *n* has number *n* + 1, or the last. None at all is as [`Polled`](Self::Polled).
    Messages(&'a [MsiMessage]),
    /// By MSI-X messages, of which each queue has its own and never another. No messages at all is as
    /// [`Polled`](Self::Polled).
    Assigned {
        /// The messages. The first is also for configuration changes.
        messages: &'a [MsiMessage],
        /// The number of a queue's message. A queue whose number is beyond the messages does not interrupt.
        of_queue: fn(QueueIndex) -> u16,
    },
}

impl<'a> Interrupts<'a> {
    fn messages(self) -> &'a [MsiMessage] {
        match self {
            Self::Polled | Self::Line => &[],
            Self::Messages(messages) | Self::Assigned { messages, .. } => messages,
        }
    }
}

/// Lets the function decode its BARs, access memory by itself, and use its line if it is to interrupt by that.
pub(in crate::transport) fn enable(config: &dyn ConfigSpace, interrupts: Interrupts<'_>) {
    pci::enable(config, Command::IO_SPACE | Command::MEMORY_SPACE | Command::BUS_MASTER);
    match interrupts {
        Interrupts::Line => pci::disable(config, Command::INTERRUPT_DISABLE),
        Interrupts::Polled | Interrupts::Messages(_) | Interrupts::Assigned { .. } => {
            pci::enable(config, Command::INTERRUPT_DISABLE);
        }
    }
}

/// How a function interrupts, set up.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) enum Signals {
    Polled,
    Line,
    /// By this many vectors, of which there is at least one.
    Messages {
        vectors: u16,
        /// Which of them a queue has, if that was said.
        of_queue: Option<fn(QueueIndex) -> u16>,
    },
}

impl Signals {
    /// Sets the MSI-X table up with the messages, or switches it off if there are none.
    pub fn new<R: Registers + Clone>(
        config: &dyn ConfigSpace,
        bars: &[Option<R>; 6],
        interrupts: Interrupts<'_>,
    ) -> Result<Self, TransportError> {
        let messages = interrupts.messages();
        if messages.is_empty() {
            // Whoever had the function before may have left it on.
            msix::disable(config);
            return Ok(if matches!(interrupts, Interrupts::Line) { Self::Line } else { Self::Polled });
        }
        let mut msix = MsiX::enable(config, bars).ok_or(TransportError::Missing("MSI-X table"))?;
        let mut vectors = 0;
        for message in messages.iter().take(msix.vectors().into()) {
            msix.set(vectors, *message).ok_or(TransportError::Missing("MSI-X vector"))?;
            vectors += 1;
        }
        let of_queue = match interrupts {
            Interrupts::Assigned { of_queue, .. } => Some(of_queue),
            _ => None,
        };
        Ok(Self::Messages { vectors, of_queue })
    }

    /// How queues interrupt.
    pub fn signalling(self) -> Signalling {
        match self {
            Self::Polled => Signalling::Polled,
            Self::Line => Signalling::Line,
            Self::Messages { vectors, .. } => Signalling::Messages(vectors),
        }
    }

    /// Whether MSI-X is enabled.
    pub fn has_messages(self) -> bool {
        matches!(self, Self::Messages { .. })
    }

    /// Maps configuration changes to the first vector, after a reset, which forgets that. A device that has no vector
    /// left for them is still usable.
    pub fn map_config<R: Registers>(self, registers: &R, register: Reg<u16, ReadWrite>) {
        if self.has_messages() && !map(registers, register, 0) {
            register.write(registers, NO_VECTOR);
        }
    }

    /// Maps a queue, which is selected, to its vector; where queues have no vector of their own for sure, to the one
    /// that all can share.
    pub fn map_queue<R: Registers>(
        self,
        registers: &R,
        register: Reg<u16, ReadWrite>,
        queue: QueueIndex,
    ) -> Result<(), TransportError> {
        let Self::Messages { vectors, of_queue } = self else { return Ok(()) };
        // A device may run out of vectors (§4.1.5.1.2); whatever it says instead is no vector of this driver's.
        let is_mapped = match of_queue.map(|of_queue| of_queue(queue)) {
            Some(own) if own < vectors => map(registers, register, own),
            Some(_) => {
                register.write(registers, NO_VECTOR);
                true
            }
            None => {
                let own = queue.0.saturating_add(1).min(vectors - 1);
                map(registers, register, own) || (own != 0 && map(registers, register, 0))
            }
        };
        if is_mapped { Ok(()) } else { Err(TransportError::NoVector(queue)) }
    }

    /// What an interrupt means. `take` reads the interrupt status, which clears it and takes the line down: exactly
    /// once for each interrupt of a line, and never with messages (§4.1.4.5.2).
    pub fn acknowledge(self, take: impl FnOnce() -> u8) -> Result<InterruptStatus, DeviceFault> {
        match self {
            Self::Polled | Self::Messages { .. } => Ok(InterruptStatus { queues: true, configuration: true }),
            Self::Line => match take() {
                u8::MAX => Err(DeviceFault::Gone),
                bits => Ok(InterruptStatus::from_bits(bits.into())),
            },
        }
    }
}

/// Writes a vector and says whether the device took it.
fn map<R: Registers>(registers: &R, register: Reg<u16, ReadWrite>, vector: u16) -> bool {
    register.write(registers, vector);
    register.read(registers) == vector
}
