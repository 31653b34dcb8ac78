//! [`Chip`]: registers, EEPROM and PHY.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use toro_core::Instant;
use toro_core::driver::net::LinkState;

use super::transmit::Transmitter;
use super::{EepromKind, Lies, Nature, Pace};
use crate::SimMemory;
use crate::ide::Clock;

/// Where registers are, by the manual's names.
#[allow(missing_docs, reason = "these are the manual's own names")]
pub mod offsets {
    pub const CTRL: usize = 0x0000;
    pub const STATUS: usize = 0x0008;
    pub const EERD: usize = 0x0014;
    pub const MDIC: usize = 0x0020;
    pub const ICR: usize = 0x00c0;
    pub const ITR: usize = 0x00c4;
    pub const IMS: usize = 0x00d0;
    pub const IMC: usize = 0x00d8;
    pub const RCTL: usize = 0x0100;
    pub const TCTL: usize = 0x0400;
    pub const TIPG: usize = 0x0410;
    pub const RDBAL: usize = 0x2800;
    pub const RDLEN: usize = 0x2808;
    pub const RDH: usize = 0x2810;
    pub const RDT: usize = 0x2818;
    pub const RDTR: usize = 0x2820;
    pub const RADV: usize = 0x282c;
    pub const TDBAL: usize = 0x3800;
    pub const TDLEN: usize = 0x3808;
    pub const TDH: usize = 0x3810;
    pub const TDT: usize = 0x3818;
    pub const RXCSUM: usize = 0x5000;
    pub const MTA: usize = 0x5200;
    pub const RA: usize = 0x5400;
    pub const END: usize = 0x2_0000;
}
use offsets::*;

/// Causes of interrupts.
#[allow(missing_docs, reason = "these are the manual's own names")]
pub mod causes {
    pub const TXDW: u32 = 1 << 0;
    pub const TXQE: u32 = 1 << 1;
    pub const LSC: u32 = 1 << 2;
    pub const RXDMT0: u32 = 1 << 4;
    pub const RXO: u32 = 1 << 6;
    pub const RXT0: u32 = 1 << 7;
}

const CTRL_RST: u32 = 1 << 26;
const CTRL_SLU: u32 = 1 << 6;
const STATUS_LU: u32 = 1 << 1;
const ENABLE: u32 = 1 << 1;
/// How long QEMU receives nothing after a write of receive control.
const PAUSE: Duration = Duration::from_secs(1);

/// What the device is made of.
#[derive(Debug)]
pub struct Chip {
    pub(super) memory: &'static SimMemory,
    pub(super) clock: &'static Clock,
    registers: Vec<u32>,
    /// The EEPROM's 64 words.
    pub eeprom: [u16; 64],
    /// How it is read.
    pub eeprom_kind: EepromKind,
    /// The PHY's control register.
    pub phy_control: u16,
    /// After whose manners it is.
    pub nature: Nature,
    /// When frames go out.
    pub pace: Pace,
    /// What it does that no device does.
    pub lies: Lies,
    /// PCI's command register.
    pub(super) command: u16,
    pub(super) is_strict: bool,
    /// Reads and writes, by offset.
    pub(super) accesses: BTreeMap<usize, (u32, u32)>,
    /// What was written since the last reset.
    written: BTreeSet<usize>,
    reset_at: Option<Instant>,
    /// How often it was reset.
    pub resets: u32,
    /// Until when nothing is received.
    paused_until: Instant,
    pub(super) transmitter: Transmitter,
    /// A frame that arrives just before the causes are read the next time.
    pub early: Option<Vec<u8>>,
    /// What has gone out.
    pub(super) sent: Vec<Vec<u8>>,
    /// Context descriptors that were fetched.
    pub contexts: u32,
    /// Transmit descriptors that were written back.
    pub reports: u32,
}

impl Chip {
    pub(super) fn new(memory: &'static SimMemory, clock: &'static Clock, mac: [u8; 6]) -> Self {
        let mut chip = Self {
            memory,
            clock,
            registers: vec![0; END / 4],
            eeprom: [0; 64],
            eeprom_kind: EepromKind::Old,
            phy_control: 0x1140,
            nature: Nature::Emulated,
            pace: Pace::Quick,
            lies: Lies::default(),
            command: 0,
            is_strict: true,
            accesses: BTreeMap::new(),
            written: BTreeSet::new(),
            reset_at: None,
            resets: 0,
            paused_until: Instant::from_nanos(0),
            transmitter: Transmitter::default(),
            early: None,
            sent: Vec::new(),
            contexts: 0,
            reports: 0,
        };
        chip.set_eeprom(mac);
        chip.load_address(mac);
        chip.set(STATUS, STATUS_LU);
        // What the firmware, or whoever ran before, may have left.
        chip.set(RCTL, 0);
        chip.set(RDTR, 77);
        chip.set(ITR, 77);
        chip.set(MTA + 4 * 9, u32::MAX);
        chip.set(RDH, 5);
        chip.set(TDH, 5);
        chip
    }

    /// Puts an address into the EEPROM, and makes its sum right.
    pub fn set_eeprom(&mut self, mac: [u8; 6]) {
        for (word, pair) in self.eeprom.iter_mut().zip(mac.as_chunks::<2>().0) {
            *word = u16::from_le_bytes(*pair);
        }
        let sum = self.eeprom[..63].iter().fold(0_u16, |sum, word| sum.wrapping_add(*word));
        self.eeprom[63] = 0xbaba_u16.wrapping_sub(sum);
    }

    /// Puts an address where frames are compared with it.
    pub fn load_address(&mut self, [a, b, c, d, e, f]: [u8; 6]) {
        self.set(RA, u32::from_le_bytes([a, b, c, d]));
        self.set(RA + 4, 1 << 31 | u32::from_le_bytes([e, f, 0, 0]));
    }

    /// A register's content, without side effects.
    pub fn peek(&self, offset: usize) -> u32 {
        self.registers[offset / 4]
    }

    /// Changes a register, without side effects.
    pub fn set(&mut self, offset: usize, value: u32) {
        self.registers[offset / 4] = value;
    }

    /// The base address whose lower half is at `offset`.
    pub(super) fn base(&self, offset: usize) -> u64 {
        u64::from(self.peek(offset)) | u64::from(self.peek(offset + 4)) << 32
    }

    /// Fails the test unless the driver did as it must, or need not.
    #[track_caller]
    pub(super) fn require(&self, holds: bool, requirement: &str) {
        assert!(holds || !self.is_strict, "{requirement}");
    }

    pub(super) fn is_master(&self) -> bool {
        self.command & 4 != 0
    }

    pub(super) fn is_paused(&self) -> bool {
        self.nature == Nature::Emulated && self.clock.peek() < self.paused_until
    }

    /// Raises causes.
    pub(super) fn raise(&mut self, causes: u32) {
        self.set(ICR, self.peek(ICR) | causes);
    }

    /// Whether the interrupt line is up.
    pub(super) fn line(&self) -> bool {
        (self.peek(ICR) | self.lies.stuck_causes) & self.peek(IMS) != 0
    }

    pub(super) fn set_link(&mut self, link: LinkState) {
        let status = self.peek(STATUS) & !STATUS_LU;
        self.set(STATUS, status | if link == LinkState::Up { STATUS_LU } else { 0 });
        self.raise(causes::LSC);
    }

    pub(super) fn read(&mut self, offset: usize) -> u32 {
        self.accesses.entry(offset).or_default().0 += 1;
        self.check_access(offset);
        match offset {
            _ if self.lies.is_gone => u32::MAX,
            CTRL if self.lies.never_resets && self.resets > 0 => self.peek(CTRL) | CTRL_RST,
            RDH | RDT | TDH | TDT if let Some(lie) = self.lies.indices => lie,
            ICR => {
                if let Some(frame) = self.early.take() {
                    self.deliver(&frame);
                }
                let causes = self.peek(ICR) | self.lies.stuck_causes;
                self.set(ICR, 0);
                causes
            }
            EERD => self.read_eeprom(),
            _ => self.peek(offset),
        }
    }

    pub(super) fn write(&mut self, offset: usize, value: u32) {
        self.accesses.entry(offset).or_default().1 += 1;
        self.check_access(offset);
        if self.lies.is_gone {
            return;
        }
        self.written.insert(offset);
        match offset {
            CTRL => self.write_control(value),
            MDIC => self.write_phy(value),
            ICR => self.set(ICR, self.peek(ICR) & !value),
            IMS => self.set(IMS, self.peek(IMS) | value),
            IMC => self.set(IMS, self.peek(IMS) & !value),
            RCTL => self.write_receive_control(value),
            TCTL => {
                if value & ENABLE != 0 {
                    self.check_written(&[TDBAL, TDBAL + 4, TDLEN, TDH, TDT, TIPG], "E1-8");
                }
                self.set(TCTL, value);
                self.transmit_now();
            }
            RDLEN | TDLEN => {
                self.require(value.is_multiple_of(128) && (128..=4096 * 16).contains(&value), "E1-21: a ring's length");
                self.set(offset, value & 0xf_ff80);
            }
            RDBAL | TDBAL => {
                self.require(value.is_multiple_of(16), "E1-7: a ring's base");
                self.set(offset, value & !15);
            }
            RDH | TDH => {
                self.require(value == 0, "E1-3: heads begin at 0");
                self.set(offset, value & 0xffff);
            }
            RDT => self.write_receive_tail(value),
            // Whatever was in the ring is not any more.
            TDT if self.peek(TCTL) & ENABLE == 0 && value == self.peek(TDH) => self.set(TDT, value),
            TDT => {
                self.require(value < self.ring_size(TDLEN).max(1), "E1-15: a tail beyond its ring");
                self.check_reports(value);
                self.set(TDT, value & 0xffff);
                self.transmit_now();
            }
            RDTR => {
                self.require(value == 0, "E1-23: the delay timer hangs some devices");
                self.set(RDTR, value);
            }
            RA..0x5480 => {
                let is_high = offset & 4 != 0;
                let is_valid = self.peek(offset | 4) >> 31 != 0;
                self.require(is_high || !is_valid, "E1-5: half an address is compared with");
                self.set(offset, value);
            }
            STATUS => {}
            _ => self.set(offset, value),
        }
    }

    /// Descriptors of the ring whose length is at this offset.
    pub(super) fn ring_size(&self, length: usize) -> u32 {
        self.peek(length) / 16
    }

    fn check_access(&self, offset: usize) {
        assert!(offset.is_multiple_of(4) && offset < END, "an access askew, at {offset:#x}");
        self.require(self.command & 2 != 0, "E1-1: memory decoding is off");
        if let Some(at) = self.reset_at {
            let rest = self.clock.peek().saturating_since(at);
            self.require(rest >= Duration::from_millis(1), "E1-2: the device is not left alone after a reset");
        }
    }

    fn check_written(&self, offsets: &[usize], id: &str) {
        for offset in offsets {
            self.require(self.written.contains(offset), &format!("{id}: {offset:#x} is not programmed yet"));
        }
    }

    fn write_control(&mut self, value: u32) {
        if value & CTRL_RST != 0 {
            let is_silent = [RCTL, TCTL].iter().all(|&control| self.peek(control) & ENABLE == 0);
            self.require(is_silent && self.peek(IMS) == 0, "E1-2: reset while it works");
            self.resets += 1;
            self.reset_at = Some(self.clock.peek());
            self.written.clear();
            self.transmitter = Transmitter::default();
            if self.nature == Nature::Hardware {
                let (address, status) = ([RA, RA + 4].map(|at| self.peek(at)), self.peek(STATUS));
                self.registers.fill(0);
                self.set(RA, address[0]);
                self.set(RA + 4, address[1]);
                self.set(STATUS, status);
                return;
            }
        } else {
            let wrong = 1 << 3 | 1 << 7 | 1 << 11 | 1 << 12 | 1 << 30 | 1 << 31;
            self.require(value & CTRL_SLU != 0 && value & wrong == 0, "E1-6: how the link comes up");
        }
        self.set(CTRL, value & !CTRL_RST);
    }

    fn write_receive_control(&mut self, value: u32) {
        if value & ENABLE != 0 {
            self.check_written(&[RDBAL, RDBAL + 4, RDLEN, RDH, RDT], "E1-8");
            self.check_written(&[RDTR, RADV, ITR, IMC], "E1-3");
            let groups: Vec<_> = (0..128).map(|word| MTA + 4 * word).collect();
            self.check_written(&groups, "E1-3");
            let addresses: Vec<_> = (0..16).map(|index| RA + 8 * index + 4).collect();
            self.check_written(&addresses, "E1-5");
            // 2,048 bytes, broadcast, without the check sequence, hash offset 0, no long frames, no bad ones, no loopback.
            let wrong = 1 << 2 | 1 << 5 | 3 << 6 | 3 << 12 | 3 << 16 | 1 << 18 | 1 << 25;
            self.require(
                value & wrong == 0 && value & (1 << 15) != 0 && value & (1 << 26) != 0,
                "E1-9: receive control",
            );
        }
        self.set(RCTL, value);
        self.paused_until = self.clock.peek().saturating_add(PAUSE);
    }

    fn read_eeprom(&self) -> u32 {
        let register = self.peek(EERD);
        if register & 1 == 0 || self.lies.has_no_eeprom {
            return register;
        }
        let (done, shift) = match self.eeprom_kind {
            EepromKind::Old => (1 << 4, 8),
            EepromKind::New => (1 << 1, 2),
        };
        let word = self.eeprom[(register >> shift & 0x3f) as usize];
        u32::from(word) << 16 | register & 0xfffe | done
    }

    fn write_phy(&mut self, value: u32) {
        const READY: u32 = 1 << 28;
        const ERROR: u32 = 1 << 30;
        let answer = match value >> 26 & 3 {
            _ if self.lies.has_no_phy => value & !READY,
            _ if self.lies.phy_fails || value >> 21 & 31 != 1 => value | READY | ERROR,
            1 => {
                self.phy_control = value as u16;
                value | READY
            }
            _ => value & 0xffff_0000 | u32::from(self.phy_control) | READY,
        };
        self.set(MDIC, answer);
    }
}
