//! Loading an ELF executable for x86-64, linked at its physical addresses.

use crate::machine::put;
use crate::start::{Trouble, number};

/// Kernels belong above the first MiB, as Firecracker has it.
const LOWEST: u64 = 0x10_0000;
const PT_LOAD: u64 = 1;

unsafe extern "C" {
    static linux_loader_start: u8;
}

/// Copies the segments of `file` to where they belong; gives the entry point of its header.
pub fn load(file: &'static [u8]) -> Result<u64, Trouble> {
    // 64 bits, little-endian; an executable; x86-64.
    if !file.starts_with(b"\x7fELF\x02\x01") || number::<4>(file, 16) != Some(62 << 16 | 2) {
        return Err(Trouble::NotElf);
    }
    let field = |offset| number::<8>(file, offset).ok_or(Trouble::NotElf);
    let (entry, table) = (field(24)?, field(32)?);
    let count = number::<2>(file, 56).ok_or(Trouble::NotElf)? as usize;
    let table = file.get(table as usize..).ok_or(Trouble::NotElf)?;
    let highest = ((&raw const linux_loader_start).addr() as u64).min(file.as_ptr().addr() as u64);
    for header in table.chunks_exact(56).take(count) {
        let field = |offset| number::<8>(header, offset).ok_or(Trouble::NotElf);
        if number::<4>(header, 0) != Some(PT_LOAD) {
            continue;
        }
        let (offset, address, in_file, in_memory) = (field(8)?, field(24)?, field(32)?, field(40)?);
        let contents =
            file.get(offset as usize..).and_then(|rest| rest.get(..in_file as usize)).ok_or(Trouble::NotElf)?;
        let end = address.checked_add(in_memory).ok_or(Trouble::NoRoom)?;
        if address < LOWEST || end > highest || in_memory < in_file {
            return Err(Trouble::NoRoom);
        }
        // SAFETY: above the first MiB and below this program, and below the module, the one thing that is still referred to there.
        unsafe { put(address, contents) };
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut rest = address + in_file;
        while rest < end {
            let length = (end - rest).min(4096);
            // SAFETY: as above.
            unsafe { put(rest, &ZEROS[..length as usize]) };
            rest += length;
        }
    }
    if entry < LOWEST { Err(Trouble::NotElf) } else { Ok(entry) }
}
