//! MSI (PCI Local Bus 3.0 §6.8.1): one interrupt as a memory write, described in the configuration space itself.
//!
//! ```text
//!   capability: [0] id, next, message control   [4] address low   [8] data                   32-bit addresses
//!                                                                 [8] address high, [12] data   64-bit ones
//! ```
//!
//! A function may ask for several messages; it is given one, which all of its causes then share.

use super::ConfigSpace;
use super::capability::{Capability, MSI, capabilities};
use super::msix::MsiMessage;

const ENABLE: u16 = 1 << 0;
/// How many messages are enabled, as a power of two.
const MULTIPLE: u16 = 7 << 4;
const WIDE: u16 = 1 << 7;

/// Lets a function send this message, and no other, instead of raising its line. `None`, and no change, if it cannot.
pub fn enable(config: &dyn ConfigSpace, message: MsiMessage) -> Option<()> {
    let Capability { offset, .. } = capabilities(config).find(|c| c.id == MSI && c.offset <= 0xf0)?;
    let control = config.read16(offset + 2);
    let (address, data) = (message.address(), u16::try_from(message.data()).ok()?);
    let is_wide = control & WIDE != 0;
    if !is_wide && address > u64::from(u32::MAX) {
        return None;
    }
    // Off while it is half written.
    config.write16(offset + 2, control & !ENABLE);
    config.write32(offset + 4, address as u32);
    if is_wide {
        config.write32(offset + 8, (address >> 32) as u32);
        config.write16(offset + 12, data);
    } else {
        config.write16(offset + 8, data);
    }
    config.write16(offset + 2, control & !MULTIPLE | ENABLE);
    Some(())
}

/// Switches MSI off, if the function has it and whoever had the function before left it on.
pub fn disable(config: &dyn ConfigSpace) {
    for Capability { offset, .. } in capabilities(config).filter(|c| c.id == MSI) {
        let control = config.read16(offset + 2);
        if control & ENABLE != 0 {
            config.write16(offset + 2, control & !ENABLE);
        }
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::super::testing::Model;
    use super::super::{CAPABILITIES_POINTER, STATUS};
    use super::*;

    fn function(control: u16) -> Model {
        let config = Model::new();
        config.set(usize::from(STATUS), &[0x10, 0]);
        config.set(usize::from(CAPABILITIES_POINTER), &[0xd0]);
        config.set(0xd0, &[MSI, 0]);
        config.set(0xd2, &control.to_le_bytes());
        config
    }

    fn message(address: u64, data: u32) -> MsiMessage {
        // SAFETY: nothing is written anywhere.
        unsafe { MsiMessage::new(address, data) }
    }

    #[test]
    fn the_message_is_where_the_width_of_the_address_puts_it() {
        let narrow = function(0x0032);
        enable(&narrow, message(0xfee0_1000, 0x31)).expect("it can");
        assert_eq!((narrow.read32(0xd4), narrow.read16(0xd8)), (0xfee0_1000, 0x31));
        assert_eq!(narrow.read16(0xd2), 0x0003, "one message of two");
        let wide = function(0x0080);
        enable(&wide, message(0x1_fee0_1000, 0x32)).expect("it can");
        assert_eq!((wide.read32(0xd4), wide.read32(0xd8), wide.read16(0xdc)), (0xfee0_1000, 1, 0x32));
        assert_eq!(wide.read16(0xd2), 0x0081);
        disable(&wide);
        assert_eq!(wide.read16(0xd2), 0x0080);
    }

    #[test]
    fn what_cannot_be_said_is_not_enabled() {
        let narrow = function(0);
        assert_eq!(enable(&narrow, message(0x1_fee0_1000, 1)), None);
        assert_eq!(enable(&narrow, message(0xfee0_1000, 0x1_0000)), None);
        assert_eq!(narrow.read16(0xd2), 0);
        let none = Model::new();
        assert_eq!(enable(&none, message(0xfee0_1000, 1)), None);
        let short = function(0);
        short.set(usize::from(CAPABILITIES_POINTER), &[0xf4]);
        short.set(0xf4, &[MSI, 0]);
        assert_eq!(enable(&short, message(0xfee0_1000, 1)), None, "it would end behind the configuration space");
    }
}
