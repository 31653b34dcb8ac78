//! Everything that goes by status and DRQ: commands without data, and data that the processor moves.
//!
//! ```text
//!   BSY = 0 ?  status, once for each interrupt   ERR, DF --> failed
//!                |                               all 0   --> nobody has taken the command
//!                |-- DRQ, data left       a block moves, of the length that was asked for
//!                |-- DRQ, none left       nobody spoke of that: a reset
//!                |-- DRQ, packet          its reason says what is wanted: the packet, or a piece as long as it says
//!                '-- no DRQ               over, or not ready with the next block
//! ```
//!
//! A packet device measures its own pieces. What it has beyond the buffer is read and thrown away, up to a limit, and the
//! command has failed then.

use toro_core::Registers;

use super::{Active, Engine, Outcome, Phase, Trouble, Wait};
use crate::command::{Command, PacketLength, Protocol};
use crate::memory::Memory;
use crate::registers::{Direction, Status};

/// The most that a packet device may send in excess before it is given up.
const MOST_EXCESS: usize = 64 * 1024;

/// Reasons of a packet device: it wants a packet; it has data.
const COMMAND: u8 = 1;
const TO_HOST: u8 = 2;

impl<R: Registers> Engine<R> {
    /// Everything that goes by status and DRQ.
    pub(super) fn transfer(&mut self, active: &mut Active, memory: &mut Memory<'_>) -> Outcome {
        let status = self.ports.alternate();
        if status.is_floating() {
            return Outcome::Over(Err(Trouble::Gone));
        }
        if status.contains(Status::BSY) {
            return Outcome::Waiting;
        }
        // Once for each interrupt: this takes it back.
        let status = self.ports.status();
        if status.has_failed() {
            return Outcome::Over(Err(self.failure(&active.command)));
        }
        if status.is_empty() {
            return Outcome::Over(Err(Trouble::Deaf));
        }
        let wants_data = status.contains(Status::DRQ);
        match active.phase {
            Phase::Pio { direction, left: left @ 1.., block, .. } if wants_data => {
                self.block(active, memory, direction, left.min(block));
                let left = left.saturating_sub(block);
                active.phase = Phase::Pio { direction, left, block, wait: Wait::Interrupt };
                // After the last block that was read nothing interrupts any more.
                if direction == Direction::In && left == 0 { self.after_last() } else { Outcome::Moved }
            }
            Phase::Pio { left: 1.., .. } => Outcome::Waiting,
            Phase::PacketOut if wants_data => self.send_packet(active),
            Phase::PacketOut => Outcome::Waiting,
            Phase::PacketIn { left, excess } if wants_data => self.receive_piece(active, memory, left, excess),
            Phase::PacketIn { left, excess } => Outcome::Over(packet_end(&active.command, left, excess)),
            _ if wants_data => Outcome::Over(Err(Trouble::Extra)),
            _ => Outcome::Over(Ok(())),
        }
    }

    /// Moves one block.
    fn block(&mut self, active: &mut Active, memory: &mut Memory<'_>, direction: Direction, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let chunk = memory.chunk(&mut active.cursor, left);
            if chunk.is_empty() {
                break;
            }
            left -= chunk.len();
            match direction {
                Direction::In => self.ports.read_data(chunk),
                Direction::Out => self.ports.write_data(chunk),
            }
        }
    }

    /// Looks at a drive that has given all its data.
    fn after_last(&self) -> Outcome {
        let status = self.ports.settle();
        let is_extra = !status.is_floating() && !status.contains(Status::BSY) && status.contains(Status::DRQ);
        Outcome::Over(if is_extra { Err(Trouble::Extra) } else { Ok(()) })
    }

    fn send_packet(&mut self, active: &mut Active) -> Outcome {
        let Protocol::Packet { packet, bytes, .. } = active.command.protocol else {
            return Outcome::Over(Err(Trouble::Extra));
        };
        if self.ports.reason() & 3 != COMMAND {
            return Outcome::Over(Err(Trouble::Extra));
        }
        self.ports.write_data(&packet);
        self.ports.settle();
        active.phase = Phase::PacketIn { left: bytes, excess: 0 };
        Outcome::Moved
    }

    /// Takes what a packet device says that it has; what there is no room for is thrown away.
    fn receive_piece(&mut self, active: &mut Active, memory: &mut Memory<'_>, left: usize, excess: usize) -> Outcome {
        let offered = usize::from(u16::from_le_bytes(self.ports.mid_and_high()));
        if self.ports.reason() & 3 != TO_HOST || offered == 0 {
            return Outcome::Over(Err(Trouble::Extra));
        }
        let taken = offered.min(left);
        // A whole number of words; the last byte of an odd number comes in one of its own.
        let taken = taken - taken % 2;
        self.block(active, memory, Direction::In, taken);
        let rest = offered - taken;
        self.ports.drain_data(rest.div_ceil(2));
        let excess = excess + rest;
        self.ports.settle();
        active.phase = Phase::PacketIn { left: left - taken, excess };
        if excess > MOST_EXCESS { Outcome::Over(Err(Trouble::Extra)) } else { Outcome::Moved }
    }
}

/// How a packet command ended that gave all it wanted to.
fn packet_end(command: &Command, left: usize, excess: usize) -> Result<(), Trouble> {
    let may_be_short = matches!(command.protocol, Protocol::Packet { length: PacketLength::AtMost, .. });
    if excess == 0 && (left == 0 || may_be_short) { Ok(()) } else { Err(Trouble::Spoilt) }
}
