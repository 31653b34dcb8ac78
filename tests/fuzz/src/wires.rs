//! [`Wires`]: a transport without registers, for targets that are about queues.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

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
    status: DeviceStatus,
}

/// One end of the wires; clones are the same end.
#[derive(Debug, Clone)]
pub struct Wires {
    board: Rc<RefCell<Board>>,
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
            status: DeviceStatus::empty(),
        };
        Self { board: Rc::new(RefCell::new(board)) }
    }

    /// The other end.
    pub fn board(&self) -> RefMut<'_, Board> {
        self.board.borrow_mut()
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
        assert!(status.contains(self.board().status), "INI-5: status bits are only added");
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
        Ok(InterruptStatus::NONE)
    }

    fn signalling(&self) -> Signalling {
        Signalling::Polled
    }

    fn config(&self) -> &dyn Registers {
        &Nothing
    }

    fn config_generation(&self) -> Option<u32> {
        None
    }

    fn shared_memory(&self, _: u8) -> Option<SharedMemory> {
        None
    }
}

/// No registers at all.
struct Nothing;

impl Registers for Nothing {
    fn len(&self) -> usize {
        0
    }
    fn read8(&self, _: usize) -> u8 {
        u8::MAX
    }
    fn read16(&self, _: usize) -> u16 {
        u16::MAX
    }
    fn read32(&self, _: usize) -> u32 {
        u32::MAX
    }
    fn write8(&self, _: usize, _: u8) {}
    fn write16(&self, _: usize, _: u16) {}
    fn write32(&self, _: usize, _: u32) {}
}
