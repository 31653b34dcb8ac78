//! What QEMU says: the PVH start information (Xen public/arch-x86/hvm/start_info.h).

use core::fmt;

use crate::machine::bytes;

/// Why a kernel was not entered.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// There is no start information, or it has no memory map.
    Start,
    /// There is no module.
    NoKernel,
    /// The module is no ELF executable for this processor.
    NotElf,
    /// Where the kernel or something for it belongs, there is no room.
    NoRoom,
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Start => "there is no start information with a memory map",
            Self::NoKernel => "there is no kernel: -initrd FILE",
            Self::NotElf => "the kernel is no ELF executable for x86-64",
            Self::NoRoom => "there is no room where the kernel belongs",
        })
    }
}

/// What there is to hand over.
pub struct Start {
    /// The kernel's ELF file.
    pub kernel: &'static [u8],
    /// Its command line, without a terminator.
    pub command_line: &'static [u8],
    /// Entries of 24 bytes: address, size, type, and nothing.
    pub memory_map: &'static [u8],
    /// Where the root pointer of ACPI is, or 0.
    pub rsdp: u64,
}

/// The number at `offset`, little-endian, as far as there are bytes.
pub fn number<const N: usize>(bytes: &[u8], offset: usize) -> Option<u64> {
    let mut number = [0; 8];
    number[..N].copy_from_slice(bytes.get(offset..)?.get(..N)?);
    Some(u64::from_le_bytes(number))
}

/// Reads the start information.
pub fn read(address: u64) -> Result<Start, Trouble> {
    const MAGIC: u64 = 0x336e_c578;
    let header = bytes(address, 56).filter(|header| number::<4>(header, 0) == Some(MAGIC)).ok_or(Trouble::Start)?;
    let field = |offset| number::<8>(header, offset).ok_or(Trouble::Start);
    let entries = number::<4>(header, 48).ok_or(Trouble::Start)?;
    let memory_map = bytes(field(40)?, entries * 24).ok_or(Trouble::Start)?;

    let modules = number::<4>(header, 12).ok_or(Trouble::Start)?;
    let module = bytes(field(16)?, 32).filter(|_| modules > 0).ok_or(Trouble::NoKernel)?;
    let place = number::<8>(module, 0).zip(number::<8>(module, 8));
    let kernel = place.and_then(|(start, size)| bytes(start, size)).ok_or(Trouble::NoKernel)?;

    let line = field(24)?;
    let length = (0..64 * 1024).find(|&offset| bytes(line + offset, 1).is_none_or(|byte| byte == [0])).unwrap_or(0);
    let command_line = bytes(line, length).unwrap_or_default();
    Ok(Start { kernel, command_line, memory_map, rsdp: field(32)? })
}
