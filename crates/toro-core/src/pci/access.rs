//! The two ways to the configuration space of a function on a PC: [`Ecam`] and [`ConfigPorts`].
//!
//! ```text
//!   memory   base of the segment + bus << 20 | device << 15 | function << 12      4 KiB per function
//!   ports    0xCF8  1 at bit 31, bus << 16 | device << 11 | function << 8 | offset
//!            0xCFC  the word there                                               256 bytes per function
//! ```
//!
//! Where the memory is, the firmware's tables say (MCFG). The ports are there on every PC with a PCI bus.

use core::fmt;

use super::ConfigSpace;
use crate::io::{ReadWrite, Reg, Registers};

/// Which function of which device on which bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionAddress {
    bus: u8,
    device: u8,
    function: u8,
}

impl FunctionAddress {
    /// The function with these numbers; `None` if there is no device 32 or higher, or no function 8 or higher.
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device < 32 && function < 8 { Some(Self { bus, device, function }) } else { None }
    }

    /// The number of its bus.
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// The number of its device on the bus: 0 to 31.
    pub const fn device(self) -> u8 {
        self.device
    }

    /// Its number in the device: 0 to 7.
    pub const fn function(self) -> u8 {
        self.function
    }

    /// All three in 16 bits, as the buses have them.
    const fn index(self) -> u16 {
        (self.bus as u16) << 8 | (self.device as u16) << 3 | self.function as u16
    }

    /// Where its configuration space begins, in bytes from the start of the segment's memory-mapped one, which is
    /// where that of bus 0 is or would be.
    pub const fn ecam_offset(self) -> u64 {
        (self.index() as u64) << 12
    }
}

impl fmt::Display for FunctionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// The configuration space of one function by its 4 KiB of memory (PCI Express 6.0 §7.2.2).
#[derive(Clone, Debug)]
pub struct Ecam<R> {
    registers: R,
}

impl<R: Registers> Ecam<R> {
    /// Length of one function's part, in bytes.
    pub const LEN: usize = 4096;

    /// The function whose part of the memory this is: see [`FunctionAddress::ecam_offset`]. What it is shorter than
    /// [`LEN`](Self::LEN) is not reached.
    pub const fn new(registers: R) -> Self {
        Self { registers }
    }
}

impl<R: Registers> ConfigSpace for Ecam<R> {
    fn read32(&self, offset: u16) -> u32 {
        self.registers.read32(offset.into())
    }

    fn write32(&self, offset: u16, value: u32) {
        self.registers.write32(offset.into(), value);
    }

    fn write16(&self, offset: u16, value: u16) {
        self.registers.write16(offset.into(), value);
    }
}

const ADDRESS: Reg<u32, ReadWrite> = Reg::at(0);
const DATA: usize = 4;
const ENABLE: u32 = 1 << 31;
/// Bytes that the ports reach of each function.
const REACH: u16 = 256;

/// The configuration space of one function by the ports 0xCF8 and 0xCFC (PCI Local Bus 3.0 §3.2.2.3.2).
///
/// Each access is two: of the address, then of the data. Whoever has several cores serialises them, with a lock
/// around every call:
///
/// ```
/// use toro_core::pci::ConfigSpace;
/// use toro_core::pci::access::{ConfigPorts, FunctionAddress};
/// use toro_core::Registers;
/// # use std::sync::Mutex;
///
/// struct Locked<R>(Mutex<R>, FunctionAddress);
///
/// impl<R: Registers> ConfigSpace for Locked<R> {
///     fn read32(&self, offset: u16) -> u32 {
///         ConfigPorts::new(&*self.0.lock().unwrap(), self.1).read32(offset)
///     }
///     // and so on
/// #   fn write32(&self, offset: u16, value: u32) {
/// #       ConfigPorts::new(&*self.0.lock().unwrap(), self.1).write32(offset, value);
/// #   }
/// #   fn write16(&self, offset: u16, value: u16) {
/// #       ConfigPorts::new(&*self.0.lock().unwrap(), self.1).write16(offset, value);
/// #   }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ConfigPorts<R> {
    ports: R,
    function: FunctionAddress,
}

impl<R: Registers> ConfigPorts<R> {
    /// A function by the eight ports from 0xCF8.
    pub const fn new(ports: R, function: FunctionAddress) -> Self {
        Self { ports, function }
    }

    /// Whether there is a PCI bus behind the eight ports from 0xCF8: the address port of a host bridge keeps what is
    /// written to it.
    pub fn is_present(ports: &R) -> bool {
        ADDRESS.write(ports, ENABLE);
        ADDRESS.read(ports) == ENABLE
    }

    /// Selects the word at an offset; `false` if the ports do not reach it.
    fn select(&self, offset: u16) -> bool {
        if offset >= REACH {
            return false;
        }
        ADDRESS.write(&self.ports, ENABLE | u32::from(self.function.index()) << 8 | u32::from(offset & !3));
        true
    }
}

impl<R: Registers> ConfigSpace for ConfigPorts<R> {
    fn read32(&self, offset: u16) -> u32 {
        if !offset.is_multiple_of(4) || !self.select(offset) {
            return u32::MAX;
        }
        self.ports.read32(DATA)
    }

    fn write32(&self, offset: u16, value: u32) {
        if offset.is_multiple_of(4) && self.select(offset) {
            self.ports.write32(DATA, value);
        }
    }

    fn write16(&self, offset: u16, value: u16) {
        if offset.is_multiple_of(2) && self.select(offset) {
            // The half of the data port itself, so that the other half of the word is not written.
            self.ports.write16(DATA + usize::from(offset & 2), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::{Cell, RefCell};

    use super::super::{COMMAND, Command, VENDOR_ID, enable};
    use super::*;

    fn address(bus: u8, device: u8, function: u8) -> FunctionAddress {
        FunctionAddress::new(bus, device, function).expect("it can be")
    }

    /// A host bridge with one function behind it, reached by ports: 8 bytes of them.
    struct Bridge {
        address: Cell<u32>,
        function: FunctionAddress,
        bytes: RefCell<[u8; 256]>,
    }

    impl Bridge {
        fn new(function: FunctionAddress) -> Self {
            let mut bytes = [0; 256];
            bytes[..4].copy_from_slice(&[0xf4, 0x1a, 0x41, 0x10]);
            Self { address: Cell::new(0), function, bytes: RefCell::new(bytes) }
        }

        /// Where the data ports lead now.
        fn window(&self) -> Option<usize> {
            let FunctionAddress { bus, device, function } = self.function;
            let expected = 0x8000_0000 | u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
            let address = self.address.get();
            (address & !0xfc == expected).then_some((address & 0xfc) as usize)
        }

        fn write(&self, offset: usize, bytes: &[u8]) {
            assert!(offset >= 4, "the address port takes whole words only");
            if let Some(window) = self.window() {
                let at = window + offset - 4;
                self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    impl Registers for Bridge {
        fn len(&self) -> usize {
            8
        }
        fn read8(&self, _: usize) -> u8 {
            unreachable!("words are enough")
        }
        fn read16(&self, _: usize) -> u16 {
            unreachable!("words are enough")
        }
        fn read32(&self, offset: usize) -> u32 {
            match (offset, self.window()) {
                (0, _) => self.address.get(),
                (4, Some(at)) => {
                    let bytes = self.bytes.borrow();
                    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
                }
                _ => u32::MAX,
            }
        }
        fn write8(&self, offset: usize, value: u8) {
            self.write(offset, &[value]);
        }
        fn write16(&self, offset: usize, value: u16) {
            self.write(offset, &value.to_le_bytes());
        }
        fn write32(&self, offset: usize, value: u32) {
            match offset {
                0 => self.address.set(value),
                _ => self.write(offset, &value.to_le_bytes()),
            }
        }
    }

    #[test]
    fn addresses_are_what_there_can_be() {
        assert_eq!(FunctionAddress::new(0, 32, 0), None);
        assert_eq!(FunctionAddress::new(0, 0, 8), None);
        let last = address(255, 31, 7);
        assert_eq!((last.bus(), last.device(), last.function()), (255, 31, 7));
        assert_eq!(last.ecam_offset(), 0x0fff_f000);
        assert_eq!(address(1, 2, 3).ecam_offset(), 0x0011_3000);
        assert_eq!(std::format!("{}", address(10, 2, 3)), "0a:02.3");
    }

    #[test]
    fn ports_reach_the_function_that_they_are_for() {
        let bridge = Bridge::new(address(3, 17, 5));
        assert!(ConfigPorts::is_present(&bridge));
        let config = ConfigPorts::new(&bridge, address(3, 17, 5));
        assert_eq!((config.read16(VENDOR_ID), config.read16(2), config.read8(3)), (0x1af4, 0x1041, 0x10));
        // The status register beside it clears by writing ones: it must not be written.
        bridge.bytes.borrow_mut()[6..8].copy_from_slice(&[0x10, 0xff]);
        enable(&config, Command::BUS_MASTER);
        assert_eq!(bridge.bytes.borrow()[4..8], [4, 0, 0x10, 0xff]);
        config.write16(COMMAND + 2, 0x1234);
        assert_eq!(config.read32(COMMAND), 0x1234_0004);
        config.write32(0xfc, 0x0403_0201);
        assert_eq!(bridge.bytes.borrow()[0xfc..], [1, 2, 3, 4]);
        // Others are not there.
        for other in [address(3, 17, 4), address(3, 16, 5), address(2, 17, 5)] {
            assert_eq!(ConfigPorts::new(&bridge, other).read32(0), u32::MAX);
        }
    }

    #[test]
    fn ports_do_not_reach_beyond_256_bytes_nor_askew() {
        let bridge = Bridge::new(address(0, 0, 0));
        let config = ConfigPorts::new(&bridge, address(0, 0, 0));
        let before = *bridge.bytes.borrow();
        assert_eq!((config.read32(0x100), config.read32(2), config.read32(0xfffc)), (u32::MAX, u32::MAX, u32::MAX));
        config.write32(0x100, 0);
        config.write16(0x100, 0);
        config.write32(2, 0);
        config.write16(1, 0);
        assert_eq!(*bridge.bytes.borrow(), before);
        assert_eq!(bridge.address.get(), 0, "not even the address was written");
    }

    #[test]
    fn without_a_bridge_there_is_no_bus() {
        struct Nobody;
        impl Registers for Nobody {
            fn len(&self) -> usize {
                8
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
        assert!(!ConfigPorts::is_present(&Nobody));
        assert_eq!(ConfigPorts::new(&Nobody, address(0, 0, 0)).read16(VENDOR_ID), u16::MAX);
    }

    /// Memory: what the registers hold is what the function says.
    struct Memory(RefCell<[u8; 4096]>);

    impl Memory {
        fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
            self.0.borrow().get(offset..offset + N).map_or([0xff; N], |bytes| bytes.try_into().expect("as many"))
        }

        fn put(&self, offset: usize, bytes: &[u8]) {
            if let Some(place) = self.0.borrow_mut().get_mut(offset..offset + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }

    impl Registers for Memory {
        fn len(&self) -> usize {
            4096
        }
        fn read8(&self, offset: usize) -> u8 {
            u8::from_le_bytes(self.get(offset))
        }
        fn read16(&self, offset: usize) -> u16 {
            u16::from_le_bytes(self.get(offset))
        }
        fn read32(&self, offset: usize) -> u32 {
            u32::from_le_bytes(self.get(offset))
        }
        fn write8(&self, offset: usize, value: u8) {
            self.put(offset, &[value]);
        }
        fn write16(&self, offset: usize, value: u16) {
            self.put(offset, &value.to_le_bytes());
        }
        fn write32(&self, offset: usize, value: u32) {
            self.put(offset, &value.to_le_bytes());
        }
    }

    #[test]
    fn memory_reaches_all_4096_bytes() {
        let memory = Memory(RefCell::new([0; 4096]));
        memory.put(0, &[0xf4, 0x1a, 0x00, 0x10]);
        let config = Ecam::new(&memory);
        assert_eq!((config.read16(VENDOR_ID), config.read8(3)), (0x1af4, 0x10));
        memory.put(6, &[0x10, 0xff]);
        enable(&config, Command::MEMORY_SPACE);
        assert_eq!(memory.get::<4>(4), [2, 0, 0x10, 0xff]);
        config.write32(0xffc, 0x0403_0201);
        assert_eq!(memory.get::<4>(0xffc), [1, 2, 3, 4]);
        assert_eq!(config.read32(0x1000), u32::MAX);
    }
}
