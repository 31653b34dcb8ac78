//! A drive as it is known now, and the disk that this makes of it.

use toro_core::driver::block::{Disk, SECTOR};

use crate::command::Method;
use crate::identity::{Flush, Geometry, Identity, Kind};
use crate::packet;

/// How often the bus master may fail where the data port then does not, until a drive is spared it.
const MOST_FAILURES: u8 = 2;

/// How data moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// By the bus master, where controller, drive and buffers allow it.
    Dma,
    /// Through the data port: slower, and nothing but the processor touches memory.
    Pio,
}

/// A drive.
#[derive(Clone, Copy)]
pub(crate) struct Drive {
    pub(crate) identity: Identity,
    pub(crate) transfer: Transfer,
    /// Blocks at a time that it has agreed to; 0: one.
    pub(crate) multiple: u8,
    /// Of a packet device: the blocks of the medium, 0 without one.
    pub(crate) medium: u64,
    /// Whether what it holds back can be lost.
    pub(crate) has_cache: bool,
    failures: u8,
}

impl Drive {
    pub(crate) fn new(identity: Identity, transfer: Transfer) -> Self {
        let (transfer, has_cache) = match identity.kind {
            Kind::Disk(Geometry { has_dma: true, has_cache, .. }) => (transfer, has_cache),
            Kind::Disk(Geometry { has_cache, .. }) => (Transfer::Pio, has_cache),
            Kind::Packet => (Transfer::Pio, false),
        };
        Self { identity, transfer, multiple: 0, medium: 0, has_cache, failures: 0 }
    }

    pub(crate) fn geometry(&self) -> Option<&Geometry> {
        match &self.identity.kind {
            Kind::Disk(geometry) => Some(geometry),
            Kind::Packet => None,
        }
    }

    pub(crate) fn block_size(&self) -> usize {
        self.geometry().map_or(packet::BLOCK_BYTES, |geometry| geometry.block_size as usize)
    }

    /// Sectors of 512 bytes in a block.
    pub(crate) fn sectors_per_block(&self) -> u64 {
        (self.block_size() / SECTOR) as u64
    }

    /// The disk; `None` for a packet device without a medium.
    pub(crate) fn disk(&self) -> Option<Disk> {
        let block_size = self.block_size() as u32;
        let (blocks, physical_block_size) = match self.geometry() {
            Some(geometry) => (geometry.blocks, geometry.physical_block_size),
            None => (self.medium, block_size),
        };
        (blocks > 0).then(|| Disk {
            sectors: blocks * self.sectors_per_block(),
            block_size,
            physical_block_size,
            is_read_only: self.geometry().is_none(),
            has_cache: self.has_cache,
        })
    }

    pub(crate) fn flush(&self) -> Option<Flush> {
        self.geometry().and_then(|geometry| geometry.flush)
    }

    /// How blocks go through the data port.
    pub(crate) fn port_method(&self) -> Method {
        if self.multiple > 1 { Method::Multiple(self.multiple) } else { Method::Single }
    }

    /// Takes note that the bus master failed where the data port did not; says whether that was once too often.
    pub(crate) fn note_failure(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        let is_enough = self.failures >= MOST_FAILURES && self.transfer == Transfer::Dma;
        if is_enough {
            self.transfer = Transfer::Pio;
        }
        is_enough
    }

    /// What was learnt about a drive survives its being set up anew.
    pub(crate) fn keep_lessons(&mut self, before: &Self) {
        self.failures = before.failures;
        self.transfer = before.transfer;
    }
}
