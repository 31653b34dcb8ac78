//! What a monitor or firmware writes into a guest's memory before it starts.

use crate::mm::physical::PhysicalMemory;

/// The header of an ACPI table.
const HEADER: usize = 36;
const MIB: usize = 1 << 20;

/// The first megabyte, in which all of it lies, and nothing else.
pub struct LowMemory(Vec<u8>);

impl LowMemory {
    pub fn new() -> Self {
        Self(vec![0; MIB])
    }

    /// Writes `bytes` at `address`, where nothing else may be yet.
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        let place = &mut self.0[address as usize..][..bytes.len()];
        assert!(place.iter().all(|&byte| byte == 0), "two things at {address:#x}");
        place.copy_from_slice(bytes);
    }

    /// Writes `tables` one behind the other from `address` on, then a table of pointers to them, and the root pointer at
    /// `root`.
    pub fn write_tables(&mut self, root: u64, address: u64, tables: &[Vec<u8>]) {
        let mut next = address;
        let mut pointers = Vec::new();
        for table in tables {
            self.write(next, table);
            pointers.extend(next.to_le_bytes());
            next = (next + table.len() as u64).next_multiple_of(8);
        }
        self.write(next, &table(b"XSDT", 1, &pointers));
        self.write(root, &root_pointer(next));
    }
}

impl PhysicalMemory for LowMemory {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(address).ok()?;
        self.0.get(start..start.checked_add(length)?)
    }
}

/// Words as bytes, one behind the other.
pub fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Lets the bytes sum to zero by the one at `at`.
pub fn sum(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_sub(byte));
    bytes
}

/// One entry of a memory map: address, size and type.
pub type MemoryEntry = (u64, u64, u32);

/// What both boot protocols say.
pub struct Boot<'a> {
    pub command_line: u64,
    pub rsdp: u64,
    pub map: &'a [MemoryEntry],
    /// Address and length of the initial RAM disk.
    pub initrd: Option<(u64, u64)>,
}

/// PVH start information of version 1, with the list of modules right behind it and the memory map at `map`.
pub fn start_information(memory: &mut LowMemory, at: u64, map: u64, boot: &Boot<'_>) {
    let modules = at + 0x40;
    let count = if boot.initrd.is_some() { 1 } else { 0 };
    let mut information = words([0x336e_c578, 1, 0, count]);
    for pointer in [modules, boot.command_line, boot.rsdp, map] {
        information.extend(pointer.to_le_bytes());
    }
    information.extend(words([boot.map.len() as u32, 0]));
    memory.write(at, &information);
    if let Some((address, length)) = boot.initrd {
        memory.write(modules, &[address, length, 0, 0].map(u64::to_le_bytes).concat());
    }
    for (index, (address, size, kind)) in boot.map.iter().enumerate() {
        let entry = [address.to_le_bytes(), size.to_le_bytes()].concat();
        memory.write(map + 24 * index as u64, &[entry, words([*kind, 0])].concat());
    }
}

/// The zero page of Linux' 64-bit protocol.
pub fn zero_page(memory: &mut LowMemory, at: u64, boot: &Boot<'_>) {
    let halves = |value: u64| (words([value as u32]), words([(value >> 32) as u32]));
    let (command_line, command_line_high) = halves(boot.command_line);
    memory.write(at + 0x70, &boot.rsdp.to_le_bytes());
    memory.write(at + 0xC8, &command_line_high);
    memory.write(at + 0x1E8, &[boot.map.len() as u8]);
    memory.write(at + 0x1FE, &0xAA55u16.to_le_bytes());
    memory.write(at + 0x202, b"HdrS");
    memory.write(at + 0x210, &[0xFF]);
    memory.write(at + 0x228, &command_line);
    if let Some((address, length)) = boot.initrd {
        memory.write(at + 0x218, &halves(address).0);
        memory.write(at + 0x21C, &halves(length).0);
    }
    for (index, (address, size, kind)) in boot.map.iter().enumerate() {
        let entry = [address.to_le_bytes(), size.to_le_bytes()].concat();
        memory.write(at + 0x2D0 + 20 * index as u64, &[entry, words([*kind])].concat());
    }
}

fn root_pointer(xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0VENDOR\x02\0\0\0\0".to_vec();
    bytes = sum(bytes, 8);
    bytes.extend(36u32.to_le_bytes());
    bytes.extend(xsdt.to_le_bytes());
    bytes.extend([0; 4]);
    sum(bytes, 32)
}

/// A whole table.
pub fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(b"VENDORMACHINE ");
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(b"TORO\x01\0\0\0");
    assert_eq!(bytes.len(), HEADER);
    bytes.extend(body);
    sum(bytes, 9)
}

/// A table of interrupt controllers with these entries.
pub fn madt(entries: &[Vec<u8>]) -> Vec<u8> {
    table(b"APIC", 5, &[words([0xFEE0_0000, 0]), entries.concat()].concat())
}

/// A processor by its local APIC.
pub fn local_apic(id: u8) -> Vec<u8> {
    vec![0, 8, id, id, 1, 0, 0, 0]
}

/// A processor by its local x2APIC.
pub fn local_x2apic(id: u32) -> Vec<u8> {
    [vec![9, 16, 0, 0], words([id, 1, id])].concat()
}

/// The one I/O APIC of a small machine.
pub fn io_apic() -> Vec<u8> {
    [vec![1, 12, 0, 0], words([0xFEC0_0000, 0])].concat()
}

/// An ISA interrupt's other place, signalling as usual for its bus.
pub fn interrupt_override(irq: u8, gsi: u32) -> Vec<u8> {
    [vec![2, 10, 0, irq], words([gsi]), vec![0, 0]].concat()
}

/// Memory-mapped configuration space of one segment.
pub fn mcfg(address: u64, last_bus: u8) -> Vec<u8> {
    table(b"MCFG", 1, &[vec![0; 8], address.to_le_bytes().to_vec(), vec![0, 0, 0, last_bus, 0, 0, 0, 0]].concat())
}

/// A generic address structure of one byte: 0 is memory, 1 a port.
pub fn register(space: u8, address: u64) -> Vec<u8> {
    [vec![space, 8, 0, 1], address.to_le_bytes().to_vec()].concat()
}

/// A fixed description table: `fields` are bytes at offsets of the whole table.
pub fn fadt(length: usize, revision: u8, fields: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (offset, field) in fields {
        bytes[*offset..][..field.len()].copy_from_slice(field);
    }
    table(b"FACP", revision, &bytes[HEADER..])
}

/// Offsets in a fixed description table.
pub mod field {
    pub const DSDT: usize = 40;
    pub const PM1A_CONTROL: usize = 64;
    pub const PM_TIMER: usize = 76;
    pub const FLAGS: usize = 112;
    pub const RESET_REGISTER: usize = 116;
    pub const RESET_VALUE: usize = 128;
    pub const X_DSDT: usize = 140;
    pub const SLEEP_CONTROL: usize = 244;
    pub const SLEEP_STATUS: usize = 256;

    pub const RESET_SUPPORTED: u32 = 1 << 10;
    pub const HARDWARE_REDUCED: u32 = 1 << 20;
}

/// AML: a package length in front of what it counts, itself among it (ACPI 6.5 §20.2.4).
fn counted(body: &[u8]) -> Vec<u8> {
    let head = match body.len() + 1 {
        length @ ..0x40 => vec![length as u8],
        length => {
            let length = length + 1;
            assert!(length < 1 << 12, "longer than two bytes count");
            vec![0x40 | (length & 0xF) as u8, (length >> 4) as u8]
        }
    };
    [head, body.to_vec()].concat()
}

/// `Scope (\_SB) { ... }`
pub fn system_bus(body: &[Vec<u8>]) -> Vec<u8> {
    [vec![0x10], counted(&[b"_SB_".to_vec(), body.concat()].concat())].concat()
}

/// `Device (NAME) { ... }`
pub fn device(name: &[u8; 4], body: &[Vec<u8>]) -> Vec<u8> {
    [vec![0x5B, 0x82], counted(&[name.to_vec(), body.concat()].concat())].concat()
}

/// `Name (NAME, value)`
pub fn name(name: &[u8; 4], value: &[u8]) -> Vec<u8> {
    [&[0x08], &name[..], value].concat()
}

/// A string.
pub fn string(text: &str) -> Vec<u8> {
    [b"\x0D", text.as_bytes(), b"\0"].concat()
}

/// `Package { byte, ... }`
pub fn package(bytes: &[u8]) -> Vec<u8> {
    let elements = bytes.iter().flat_map(|&byte| [0x0A, byte]);
    [vec![0x12], counted(&[bytes.len() as u8].into_iter().chain(elements).collect::<Vec<_>>())].concat()
}

/// `ResourceTemplate () { ... }`
pub fn resources(list: &[Vec<u8>]) -> Vec<u8> {
    let list = [list.concat(), vec![0x79, 0]].concat();
    [vec![0x11], counted(&[vec![0x0A, list.len() as u8], list].concat())].concat()
}

/// `Memory32Fixed (ReadWrite, base, size)`
pub fn memory(base: u32, size: u32) -> Vec<u8> {
    [vec![0x86, 9, 0, 1], words([base, size])].concat()
}

/// `Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { gsi }`
pub fn interrupt(gsi: u32) -> Vec<u8> {
    [vec![0x89, 6, 0, 0b011, 1], words([gsi])].concat()
}

/// `IO (Decode16, port, port, 1, length)`
pub fn ports(port: u16, length: u8) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0x47, 1, low, high, low, high, 1, length]
}
