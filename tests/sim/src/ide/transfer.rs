//! Data through the data port, and the ends of commands.

use super::channel::{BSY, Channel, DF, DRQ, Deferred, ERR, READY, Work};

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// Data on its way through the data port.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    direction: Direction,
    buffer: Vec<u8>,
    at: usize,
    /// Where the block ends that is moving now.
    end: usize,
    block: usize,
    /// Of the first byte.
    lba: u64,
    code: u8,
}

impl Channel {
    /// Begins to move a buffer, block by block.
    pub(super) fn offer(&mut self, direction: Direction, buffer: Vec<u8>, block: usize, lba: u64, code: u8) {
        self.work = Work::Port(Transfer { direction, buffer, at: 0, end: 0, block, lba, code });
        self.offer_block();
    }

    /// Asks for the next block.
    pub(super) fn offer_block(&mut self) {
        let Work::Port(transfer) = &mut self.work else { return };
        transfer.end = (transfer.at + transfer.block).min(transfer.buffer.len());
        let blocks = (transfer.end - transfer.at) / self.drives[self.selected].as_ref().map_or(512, |d| d.block_size);
        let is_first = transfer.at == 0;
        let (direction, code) = (transfer.direction, transfer.code);
        let block_size = self.block_size();
        let Work::Port(transfer) = &self.work else { return };
        let lba = transfer.lba + (transfer.at / block_size) as u64;
        if direction == Direction::In
            && let Some((bad, error)) = self.failing(code, lba, blocks * block_size)
        {
            return self.fail(error, bad);
        }
        if self.lies.never_drq {
            self.status = READY;
            return;
        }
        self.status = READY | DRQ;
        // The first block to be written is asked for in silence.
        if direction == Direction::In || !is_first {
            self.interrupt();
        }
    }

    /// An access of 16 bits to the data port.
    pub(super) fn read_16(&mut self) -> u16 {
        self.data_accesses[0] += 1;
        self.read_data()
    }

    /// One of 32, which the controller makes two of.
    pub(super) fn read_32(&mut self) -> u32 {
        self.data_accesses[1] += 1;
        if !self.takes_32_bits() {
            return 0;
        }
        let [low, high] = [self.read_data(), self.read_data()].map(u32::from);
        low | high << 16
    }

    /// As reads.
    pub(super) fn write_16(&mut self, value: u16) {
        self.data_accesses[0] += 1;
        self.write_data(value);
    }

    pub(super) fn write_32(&mut self, value: u32) {
        self.data_accesses[1] += 1;
        if self.takes_32_bits() {
            self.write_data(value as u16);
            self.write_data((value >> 16) as u16);
        }
    }

    /// Whether as many move now: not the last two bytes of a block.
    fn takes_32_bits(&self) -> bool {
        self.must(self.is_wide, "AT-33: 32 bits at a data port of 16");
        let fits = match &self.work {
            Work::Port(transfer) => transfer.end - transfer.at >= 4,
            Work::Packet { packet, .. } => packet.len() <= 8,
            _ => true,
        };
        self.must(fits, "AT-33: 32 bits where there are 16 left");
        self.is_wide && fits
    }

    fn read_data(&mut self) -> u16 {
        if self.lies.gone {
            return u16::MAX;
        }
        if self.lies.extra_drq && !matches!(self.work, Work::Port(_)) {
            return 0xeeee;
        }
        let Work::Port(transfer) = &mut self.work else {
            self.must(false, "AT-13: data is read that is not there");
            return u16::MAX;
        };
        if transfer.direction == Direction::Out || self.status & DRQ == 0 {
            self.must(false, "AT-13: data is read that nobody offers");
            return u16::MAX;
        }
        let mut pair = [0; 2];
        for byte in &mut pair {
            *byte = transfer.buffer.get(transfer.at).copied().unwrap_or(0xee);
            transfer.at += 1;
        }
        if transfer.at >= transfer.end {
            self.end_of_block();
        }
        u16::from_le_bytes(pair)
    }

    fn write_data(&mut self, value: u16) {
        if let Work::Packet { packet, limit } = &mut self.work {
            packet.extend(value.to_le_bytes());
            if packet.len() == 12 {
                let (packet, limit) = (packet.clone(), *limit);
                self.work = Work::None;
                self.later(Deferred::Packet { packet, limit });
            }
            return;
        }
        let Work::Port(transfer) = &mut self.work else {
            return self.must(false, "AT-14: data is written that nobody asked for");
        };
        if transfer.direction == Direction::In || self.status & DRQ == 0 {
            return self.must(false, "AT-14: data is written that nobody asked for");
        }
        for byte in value.to_le_bytes() {
            if let Some(place) = transfer.buffer.get_mut(transfer.at) {
                *place = byte;
            }
            transfer.at += 1;
        }
        if transfer.at >= transfer.end {
            self.end_of_block();
        }
    }

    /// A block has moved.
    fn end_of_block(&mut self) {
        let Work::Port(transfer) = &self.work else { return };
        let is_last = transfer.at >= transfer.buffer.len();
        match (transfer.direction, is_last) {
            (Direction::In, true) => {
                if let Some((answer, limit)) = self.rest.take() {
                    self.work = Work::Pieces { answer, limit };
                    return self.later(Deferred::Piece);
                }
                // Nothing interrupts after the last block.
                self.work = Work::None;
                self.status = READY;
                if self.lies.extra_drq {
                    // It is not seen at once.
                    self.status |= DRQ;
                    self.settle(READY);
                }
                self.lingering = if self.lingers { 60 } else { 0 };
            }
            (Direction::Out, true) => self.later(Deferred::Store),
            _ => self.later(Deferred::Block),
        }
    }

    /// All data has come: it is written to the disk.
    pub(super) fn store_all(&mut self) {
        let Work::Port(Transfer { buffer, lba, code, .. }) = std::mem::replace(&mut self.work, Work::None) else {
            return;
        };
        let block_size = self.block_size();
        let failing = self.failing(code, lba, buffer.len());
        let whole = failing.map_or(buffer.len(), |(bad, _)| (bad - lba) as usize * block_size);
        self.store(lba, &buffer[..whole]);
        match failing {
            Some((bad, error)) => self.fail(error, bad),
            None => {
                self.done();
                if self.lies.extra_drq {
                    self.status |= DRQ;
                }
            }
        }
    }

    /// Writes blocks of the selected disk.
    pub(super) fn store(&mut self, lba: u64, bytes: &[u8]) {
        if let Some(drive) = self.drive()
            && let Some(range) = drive.range(lba, bytes.len() / drive.block_size)
        {
            drive.contents[range].copy_from_slice(bytes);
        }
    }

    pub(super) fn failing(&mut self, code: u8, lba: u64, bytes: usize) -> Option<(u64, u8)> {
        let drive = self.drive()?;
        let blocks = bytes / drive.block_size;
        drive.failing(code, lba, blocks)
    }

    pub(super) fn block_size(&self) -> usize {
        self.drives[self.selected].as_ref().map_or(512, |drive| drive.block_size)
    }

    /// The command is done.
    pub(super) fn done(&mut self) {
        self.work = Work::None;
        self.be_ready();
        self.interrupt();
    }

    pub(super) fn be_ready(&mut self) {
        self.status = READY;
        self.error = 0;
    }

    /// The command has failed at a block.
    pub(super) fn fail(&mut self, error: u8, lba: u64) {
        self.work = Work::None;
        self.rest = None;
        let is_faulty = self.drive().is_some_and(|drive| drive.is_faulty);
        self.status = READY | if is_faulty { DF } else { ERR };
        self.error = error;
        if !self.is_packet_device() {
            self.set_lba(self.lies.failed_lba.unwrap_or(lba));
        }
        self.interrupt();
    }

    /// Does something now, or when the test lets the drive go on.
    pub(super) fn later(&mut self, deferred: Deferred) {
        self.deferred = Some(deferred);
        self.status = BSY;
        if self.is_quick() {
            self.go_on();
        }
    }
}
