//! What the commands of a drive do.

use super::super::drive::Kind;
use super::super::lies::Lies;
use super::super::transfer::Direction;
use super::{BSY, Channel, ERR, READY, Work};

const ABRT: u8 = 1 << 2;
const LBA: u8 = 1 << 6;

impl Channel {
    pub(super) fn last_is_long(&self) -> bool {
        self.commands.last().is_some_and(|(_, code)| is_long(*code))
    }

    /// Address and number of blocks of a transfer.
    fn extent(&self, code: u8) -> (u64, usize) {
        let count = self.current[2];
        self.must(self.current[6] & LBA != 0, "AT-10: the address is no LBA");
        if !is_long(code) {
            self.must(self.current[6] & 0xa0 == 0xa0, "AT-10: bits that were always one");
            return (self.lba(), if count == 0 { 256 } else { count.into() });
        }
        let [_, _, count_high, fourth, fifth, sixth, ..] = self.previous.map(u64::from);
        let lba = (self.lba() & 0xff_ffff) | fourth << 24 | fifth << 32 | sixth << 40;
        let blocks = usize::from(count) | (count_high as usize) << 8;
        (lba, if blocks == 0 { 65_536 } else { blocks })
    }

    fn abort(&mut self) {
        let lba = self.lba();
        self.fail(ABRT, lba);
    }

    pub(super) fn execute(&mut self, code: u8) {
        self.work = Work::None;
        let lies = self.lies.clone();
        if self.lies.only.is_some_and(|only| !only(code)) {
            self.lies = Lies { only: lies.only, end_with_reset: lies.end_with_reset, ..Lies::default() };
            self.execute_truly(code);
            self.lies = lies;
            return;
        }
        self.execute_truly(code);
    }

    fn execute_truly(&mut self, code: u8) {
        let features = self.current[1];
        let Some(drive) = self.drive() else { return };
        match (code, drive.kind) {
            (0xec, Kind::Cdrom) | (0xa1, Kind::Disk) => {
                if drive.kind == Kind::Cdrom {
                    self.show_signature();
                }
                self.work = Work::None;
                self.status = READY | ERR;
                self.error = ABRT;
                self.interrupt();
            }
            (0xec, _) | (0xa1, _) => {
                let bytes = drive.words.iter().flat_map(|word| word.to_le_bytes()).collect();
                self.offer(Direction::In, bytes, 512, 0, code);
            }
            (0xa0, Kind::Cdrom) => self.await_packet(),
            (_, Kind::Cdrom) => self.abort(),
            (0xc6, _) => {
                let count = self.current[2];
                let Some(drive) = self.drive() else { return };
                let most = drive.words[47] as u8;
                if drive.refuses_multiple || !count.is_power_of_two() || count > most {
                    return self.abort();
                }
                drive.multiple = count;
                self.done();
            }
            (0xe7, _) | (0xea, _) => {
                let lba = 0;
                match self.failing(code, lba, 512) {
                    Some((bad, error)) => self.fail(error, bad),
                    None => self.done(),
                }
            }
            (0xef, _) if features == 0x82 && !drive.refuses_features => {
                if let Some(drive) = self.drive() {
                    drive.is_cache_off = true;
                }
                self.done();
            }
            (0x20 | 0x24 | 0xc4 | 0x29 | 0x30 | 0x34 | 0xc5 | 0x39 | 0xc8 | 0x25 | 0xca | 0x35, _) => {
                self.transfer(code);
            }
            _ => self.abort(),
        }
    }

    fn transfer(&mut self, code: u8) {
        let (lba, blocks) = self.extent(code);
        let Some(drive) = self.drive() else { return };
        let Some(range) = drive.range(lba, blocks) else { return self.abort() };
        let (block_size, multiple) = (drive.block_size, usize::from(drive.multiple));
        let direction =
            if matches!(code, 0x30 | 0x34 | 0xc5 | 0x39 | 0xca | 0x35) { Direction::Out } else { Direction::In };
        let buffer = match direction {
            Direction::In => drive.contents[range].to_vec(),
            Direction::Out => vec![0; range.len()],
        };
        let block = match code {
            0xc8 | 0x25 | 0xca | 0x35 => {
                self.work = Work::Dma { direction, buffer, lba, code };
                self.status = BSY;
                return;
            }
            0xc4 | 0x29 | 0xc5 | 0x39 if multiple == 0 => return self.abort(),
            0xc4 | 0x29 | 0xc5 | 0x39 => multiple * block_size,
            _ => block_size,
        };
        self.offer(direction, buffer, block, lba, code);
    }
}

/// Which way the data of a DMA command goes.
pub(super) fn dma_direction(code: u8) -> Option<Direction> {
    match code {
        0xc8 | 0x25 => Some(Direction::In),
        0xca | 0x35 => Some(Direction::Out),
        _ => None,
    }
}

/// Whether a command takes an address of 48 bits.
fn is_long(code: u8) -> bool {
    matches!(code, 0x24 | 0x29 | 0x34 | 0x39 | 0x25 | 0x35 | 0xea)
}
