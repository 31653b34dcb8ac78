//! [`Wires`]: a transport without registers, for targets that are about queues.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toro_core::driver::DeviceFault;
use toro_core::{Deadline, Registers};
use virtio_queue_rt::transport::{Interface, InterruptStatus, RingAddresses, SharedMemory, Signalling};
use virtio_queue_rt::{DeviceStatus, DeviceType, Doorbell, FeatureBits, QueueIndex, Transport, TransportError};

/// What is at the other end of the wires.
#[derive(Debug)]
pub struct Board {
    /// Which interface it speaks.
    pub interface: Interface,
    /// What it offers.
    pub offered: FeatureBits,
    /// What the driver accepted.
    pub accepted: FeatureBits,
    /// The size of its one queue.
    pub queue_size: u16,
    /// Where that is, once the driver said so.
    pub rings: Option<RingAddresses>,
    /// How often it was kicked.
    pub kicks: u32,
    /// The available index that the last kick told.
    pub told: u16,
    /// Whether it confirms resets.
    pub confirms: bool,
    /// The device's configuration.
    pub config: Vec<u8>,
    /// Whether it ignores what is written there.
    pub is_stubborn: bool,
    /// What it says of its interrupt.
    pub interrupt: InterruptStatus,
    status: DeviceStatus,
}

impl Board {
    /// The device asks for a reset.
    pub fn needs_reset(&mut self) {
        self.status |= DeviceStatus::DEVICE_NEEDS_RESET;
    }
}

/// One end of the wires; clones are the same end.
#[derive(Debug, Clone)]
pub struct Wires {
    board: Arc<Mutex<Board>>,
}

impl Wires {
    /// To a device that is fresh.
    pub fn new(interface: Interface, offered: FeatureBits, queue_size: u16) -> Self {
        let board = Board {
            interface,
            offered,
            accepted: FeatureBits::EMPTY,
            queue_size,
            rings: None,
            kicks: 0,
            told: 0,
            confirms: true,
            config: Vec::new(),
            is_stubborn: false,
            interrupt: InterruptStatus::NONE,
            status: DeviceStatus::empty(),
        };
        Self { board: Arc::new(Mutex::new(board)) }
    }

    /// The other end.
    pub fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Wires {
    fn device_type(&self) -> DeviceType {
        DeviceType(4)
    }

    fn interface(&self) -> Interface {
        self.board().interface
    }

    fn ring_features(&self) -> FeatureBits {
        match self.interface() {
            Interface::Modern => FeatureBits::RING,
            Interface::Legacy { .. } => FeatureBits::RING_LEGACY,
        }
    }

    fn reset(&mut self, deadline: Deadline) -> Result<(), TransportError> {
        deadline.wait_until(|| self.board().confirms).map_err(|_| TransportError::TimedOut)?;
        let mut board = self.board();
        (board.rings, board.status, board.accepted) = (None, DeviceStatus::empty(), FeatureBits::EMPTY);
        Ok(())
    }

    fn status(&self) -> DeviceStatus {
        self.board().status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        // The device's own wish for a reset is not the driver's to repeat.
        let before = self.board().status - DeviceStatus::DEVICE_NEEDS_RESET;
        assert!(status.contains(before), "INI-5: status bits are only added");
        self.board().status = status;
    }

    fn device_features(&mut self) -> FeatureBits {
        self.board().offered
    }

    fn set_driver_features(&mut self, accepted: FeatureBits) {
        assert!(self.board().offered.contains(accepted), "FTR-1: accepted what was not offered");
        self.board().accepted = accepted;
    }

    fn max_queue_size(&mut self, queue: QueueIndex) -> u16 {
        if queue.0 == 0 { self.board().queue_size } else { 0 }
    }

    fn enable_queue(&mut self, queue: QueueIndex, rings: &RingAddresses) -> Result<Doorbell, TransportError> {
        let mut board = self.board();
        assert!(board.rings.is_none(), "a queue set up twice");
        assert!(rings.size <= board.queue_size, "VQ-4: larger than the device's maximum");
        board.rings = Some(*rings);
        Ok(Doorbell::new(queue, 0))
    }

    fn reset_queue(&mut self, _: QueueIndex, deadline: Deadline) -> Result<(), TransportError> {
        deadline.wait_until(|| self.board().confirms).map_err(|_| TransportError::TimedOut)?;
        self.board().rings = None;
        Ok(())
    }

    fn notify(&self, _: Doorbell, available: u16) {
        let mut board = self.board();
        assert!(board.status.contains(DeviceStatus::DRIVER_OK), "INI-9: a kick before DRIVER_OK");
        board.kicks += 1;
        board.told = available;
    }

    fn acknowledge_interrupt(&self) -> Result<InterruptStatus, DeviceFault> {
        Ok(std::mem::take(&mut self.board().interrupt))
    }

    fn signalling(&self) -> Signalling {
        Signalling::Line
    }

    fn config(&self) -> &dyn Registers {
        self
    }

    fn config_generation(&self) -> Option<u32> {
        None
    }

    fn shared_memory(&self, _: u8) -> Option<SharedMemory> {
        None
    }
}

/// The configuration; beyond its end everything is all ones.
impl Wires {
    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        let board = self.board();
        let end = offset.saturating_add(N);
        board.config.get(offset..end).and_then(|bytes| bytes.try_into().ok()).unwrap_or([u8::MAX; N])
    }
}

impl Registers for Wires {
    fn len(&self) -> usize {
        self.board().config.len()
    }
    fn read8(&self, offset: usize) -> u8 {
        self.field::<1>(offset)[0]
    }
    fn read16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.field(offset))
    }
    fn read32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.field(offset))
    }
    fn write8(&self, offset: usize, value: u8) {
        let mut board = self.board();
        if !board.is_stubborn
            && let Some(byte) = board.config.get_mut(offset)
        {
            *byte = value;
        }
    }
    fn write16(&self, _: usize, _: u16) {}
    fn write32(&self, _: usize, _: u32) {}
}
