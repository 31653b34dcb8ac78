//! [`NoWire`]: the device of a core that has none. Such a core can still talk to itself.

use toro_core::driver::net::{Burst, Changes, Frame, LinkState, MacAddress, NetDevice, NetLimits, ReceiveFilter};
use toro_core::driver::{Armed, DeviceFault};

/// A device without a wire: nothing arrives, and nothing leaves.
pub(super) struct NoWire;

impl NetDevice for NoWire {
    /// One of the locally administered kind (IEEE 802 §8.2), which nobody ever sees.
    fn mac(&self) -> MacAddress {
        MacAddress([0x02, 0, 0, 0, 0, 1])
    }

    fn limits(&self) -> NetLimits {
        NetLimits::plain(1514, 0)
    }

    fn link(&mut self) -> LinkState {
        LinkState::Down
    }

    fn changes(&mut self) -> Result<Changes, DeviceFault> {
        Ok(Changes::default())
    }

    fn set_filter(&mut self, _: &ReceiveFilter<'_>) -> Result<(), DeviceFault> {
        Ok(())
    }

    fn receive(&mut self, _: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        Ok(())
    }

    fn transmit(&mut self, frames: &mut Burst<Frame>) -> Result<(), DeviceFault> {
        *frames = Burst::new();
        Ok(())
    }

    fn frame(&mut self, _: usize) -> Option<Frame> {
        None
    }

    fn arm(&mut self) -> Result<Armed, DeviceFault> {
        Ok(Armed::Idle)
    }
}
