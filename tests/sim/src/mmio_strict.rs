//! A virtio-mmio register block as particular as Firecracker's.
//!
//! Firecracker passes over what is out of order, answers what is of the wrong width with zeroes, and ends its guest for an
//! available ring that makes no sense. A driver that relies on any of it does not work there, so this block fails the test
//! instead:
//!
//! | what | when |
//! |---|---|
//! | status | 0, 1, 3, 11, 15, in these steps; FAILED at any time |
//! | accepted features | at status 3; each word once, as its bits add up |
//! | registers of queues | at status 11 |
//! | notification, acknowledgement | at status 15 |
//! | every queue that exists is ready | when the status becomes 15 |
//! | registers below 0x100 | by 32 bits, and only those that Firecracker has: no shared memory, no reset of queues |
//! | device configuration | read in any width, written from status 3 on |

use toro_core::Registers;

use crate::device::Device;
use crate::mmio::MmioModel;

const FAILED: u32 = 0x80;
const DRIVER: u8 = 3;
const FEATURES_OK: u8 = 11;
const DRIVER_OK: u8 = 15;

/// The registers of a device in Firecracker.
#[derive(Debug, Clone)]
pub struct StrictMmio {
    registers: MmioModel,
}

impl StrictMmio {
    /// Shows a device.
    pub fn new(device: Device) -> Self {
        Self { registers: MmioModel::new(device) }
    }

    fn device(&self) -> &Device {
        &self.registers.device
    }

    fn status(&self) -> u8 {
        self.device().state().status
    }

    fn demand(&self, status: u8, offset: usize) {
        assert_eq!(self.status(), status, "register {offset:#x} is written at another status than {status}");
    }

    /// A step to the next status, or back to 0.
    fn check_step(&self, value: u32) {
        let status = self.status();
        let is_next = matches!((status, value), (_, 0) | (0, 1) | (1, 3) | (DRIVER, 11) | (FEATURES_OK, 15));
        assert!(is_next, "the status goes from {status} to {value}");
        if value == u32::from(DRIVER_OK) {
            let state = self.device().state();
            let missing =
                state.queues.iter().zip(&state.queue_max).position(|(queue, max)| *max > 0 && !queue.is_ready);
            assert_eq!(missing, None, "NEEDS_RESET: a queue is not ready");
        }
    }

    /// The bits of what is accepted only add up.
    fn check_features(&self, value: u32) {
        let state = self.device().state();
        let known = match state.driver_select {
            0 => state.accepted as u32,
            _ => (state.accepted >> 32) as u32,
        };
        assert_eq!(known & !value, 0, "features that were accepted cannot be taken back");
    }
}

impl Registers for StrictMmio {
    fn len(&self) -> usize {
        0x1000
    }

    fn read8(&self, offset: usize) -> u8 {
        self.registers.read8(offset)
    }

    fn read16(&self, offset: usize) -> u16 {
        self.registers.read16(offset)
    }

    fn read32(&self, offset: usize) -> u32 {
        let is_known = matches!(offset, 0x00..=0x10 | 0x34 | 0x44 | 0x60 | 0x70 | 0xfc | 0x100..);
        assert!(is_known, "Firecracker has nothing to read at {offset:#x}");
        self.registers.read32(offset)
    }

    fn write8(&self, offset: usize, value: u8) {
        assert!(self.status() >= DRIVER, "configuration is written before there is a driver");
        self.registers.write8(offset, value);
    }

    fn write16(&self, offset: usize, value: u16) {
        self.registers.write16(offset, value);
    }

    fn write32(&self, offset: usize, value: u32) {
        match offset {
            0x014 | 0x024 | 0x030 => {}
            0x020 => {
                self.demand(DRIVER, offset);
                self.check_features(value);
            }
            0x038 | 0x044 | 0x080..=0x0a4 => self.demand(FEATURES_OK, offset),
            0x050 => {
                self.demand(DRIVER_OK, offset);
                let queues = self.device().state().queue_max.iter().filter(|max| **max > 0).count();
                assert!((value as usize) < queues, "there is no queue {value} to notify");
            }
            0x064 => self.demand(DRIVER_OK, offset),
            // A driver that gives up may say so; nobody listens.
            0x070 if value & FAILED != 0 => return,
            0x070 => self.check_step(value),
            _ => panic!("Firecracker has nothing to write at {offset:#x}"),
        }
        self.registers.write32(offset, value);
    }
}
