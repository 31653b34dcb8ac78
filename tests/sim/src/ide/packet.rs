//! The packets that a CD-ROM drive takes.

use super::channel::{Channel, DRQ, READY, Work};
use super::drive::Kind;
use super::transfer::Direction;

/// Reasons in the count register.
const COMMAND: u8 = 1;
const TO_HOST: u8 = 2;
const OVER: u8 = 3;

const NOT_READY: (u8, u8) = (2, 0x3a);
const ILLEGAL: (u8, u8) = (5, 0x24);
const ATTENTION: (u8, u8) = (6, 0x29);

impl Channel {
    /// A packet shall come.
    pub(super) fn await_packet(&mut self) {
        let limit = u16::from_le_bytes([self.current[4], self.current[5]]);
        self.must(limit > 0 && limit.is_multiple_of(2) && limit <= 0xfffe, "AT-29: the byte count limit is odd");
        self.current[2] = self.lies.packet_reason.unwrap_or(COMMAND);
        self.work = Work::Packet { packet: Vec::new(), limit: limit.into() };
        // Without an interrupt, as the drive's description says.
        self.status = READY | DRQ;
    }

    /// It has come.
    pub(super) fn packet(&mut self, packet: &[u8], limit: usize) {
        let Some(drive) = self.drive() else { return };
        let is_for_sense = packet[0] == 0x03;
        if drive.attentions > 0 && !is_for_sense {
            drive.attentions -= 1;
            return self.check(ATTENTION);
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        let answer = match packet[0] {
            0x03 => {
                let mut sense = vec![0; 18];
                (sense[0], sense[2], sense[7], sense[12]) = (0x70, drive.sense.0, 10, drive.sense.1);
                drive.sense = (0, 0);
                sense.truncate(packet[4].into());
                sense
            }
            _ if !drive.has_medium => return self.check(NOT_READY),
            0x25 => {
                let last = drive.blocks() as u32 - 1;
                [last.to_be_bytes(), 2048_u32.to_be_bytes()].concat()
            }
            0x28 => {
                let (lba, blocks) = (number(&packet[2..6]) as u64, number(&packet[7..9]));
                if let Some((_, key)) = drive.failing(0x28, lba, blocks) {
                    return self.check((key, 0x11));
                }
                match drive.range(lba, blocks) {
                    Some(range) => {
                        let mut answer = drive.contents[range].to_vec();
                        answer.truncate(self.lies.most_packet_bytes.unwrap_or(usize::MAX));
                        answer
                    }
                    None => return self.check(ILLEGAL),
                }
            }
            _ => return self.check(ILLEGAL),
        };
        self.work = Work::Pieces { answer, limit };
        self.next_piece();
    }

    /// Offers the next piece of an answer, or ends.
    pub(super) fn next_piece(&mut self) {
        let Work::Pieces { mut answer, limit } = std::mem::replace(&mut self.work, Work::None) else { return };
        if answer.is_empty() && self.lies.packet_count.is_none() {
            self.current[2] = OVER;
            return self.done();
        }
        let honest = answer.len().min(limit);
        let count = self.lies.packet_count.map_or(honest, usize::from);
        if self.lies.packet_count_once {
            self.lies.packet_count = None;
        }
        let mut piece: Vec<u8> = answer.drain(..honest.min(count)).collect();
        piece.resize(count.next_multiple_of(2), 0xee);
        let [low, high] = (count as u16).to_le_bytes();
        (self.current[2], self.current[4], self.current[5]) = (self.lies.reason.unwrap_or(TO_HOST), low, high);
        let block = piece.len().max(2);
        self.rest = Some((answer, limit));
        self.offer(Direction::In, piece, block, 0, 0xa0);
    }

    /// CHECK CONDITION.
    fn check(&mut self, sense: (u8, u8)) {
        if let Some(drive) = self.drive() {
            drive.sense = sense;
        }
        self.current[2] = OVER;
        let lba = self.lba();
        self.fail(sense.0 << 4, lba);
    }

    pub(super) fn is_packet_device(&mut self) -> bool {
        self.drive().is_some_and(|drive| drive.kind == Kind::Cdrom)
    }
}
