//! The state in which Firecracker enters a kernel that has no PVH note (its `arch/x86_64/regs.rs`, `gdt.rs`, `mod.rs`).
//!
//! ```text
//!   0x00500  descriptors: nothing, 64-bit code, data          0x0A000  page table of level 3
//!   0x07000  zero page                                        0x0B000  page table of level 2: 512 pages of 2 MiB
//!   0x08FF0  rsp, rbp                                         0x20000  command line
//!   0x09000  page table of level 4
//!
//!   rsi = 0x7000   rflags = 2   cr3 = 0x9000   cr4 = PAE   efer = LME, LMA   cr0 = PE, ET, PG, and NW, CD as after a reset
//!   cs = 8, 0x00AF9B000000FFFF   ds, es, fs, gs, ss = 0x10   no interrupt descriptors
//! ```
//!
//! So one GiB is mapped, and nothing but this is promised to a kernel. What differs: the task register is not loaded, and the
//! memory map is that of the machine at hand.

use core::arch::asm;

use crate::machine::put;
use crate::start::{Start, Trouble};

const DESCRIPTORS: u64 = 0x500;
const ZERO_PAGE: u64 = 0x7000;
const LEVEL_4: u64 = 0x9000;
const LEVEL_3: u64 = 0xa000;
const LEVEL_2: u64 = 0xb000;
const COMMAND_LINE: u64 = 0x2_0000;
/// Where base memory ends.
const LOW_END: u64 = 0x9_fc00;
const E820_ENTRIES: usize = 128;

/// Writes below 640 KiB, which is this module's alone.
fn place(address: u64, bytes: &[u8]) {
    assert!((DESCRIPTORS..LOW_END).contains(&address) && address + (bytes.len() as u64) <= LOW_END);
    // SAFETY: this program lies higher; of what QEMU has left there, all that is used has been copied by then.
    unsafe { put(address, bytes) };
}

/// Enters the kernel; comes back only where that cannot be.
pub fn enter(start: &Start, entry: u64) -> Trouble {
    if start.command_line.len() as u64 >= LOW_END - COMMAND_LINE {
        return Trouble::NoRoom;
    }
    let page = zero_page(start);
    // What QEMU has left may overlap, but `put` copies as if by way of a buffer, and this is the last look at it.
    place(COMMAND_LINE, start.command_line);
    place(COMMAND_LINE + start.command_line.len() as u64, &[0]);
    place(ZERO_PAGE, &page);

    place(LEVEL_4, &[0; 4096]);
    place(LEVEL_4, &(LEVEL_3 | 3).to_le_bytes());
    place(LEVEL_3, &[0; 4096]);
    place(LEVEL_3, &(LEVEL_2 | 3).to_le_bytes());
    for index in 0..512 {
        place(LEVEL_2 + index * 8, &(index << 21 | 0x83).to_le_bytes());
    }
    let descriptors: [u64; 4] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0];
    for (index, descriptor) in (0..).zip(descriptors) {
        place(DESCRIPTORS + index * 8, &descriptor.to_le_bytes());
    }
    jump(entry)
}

/// The zero page, with the header that Firecracker makes up.
fn zero_page(start: &Start) -> [u8; 4096] {
    let mut page = [0; 4096];
    let mut put = |offset: usize, bytes: &[u8]| page[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0x1fe, &0xaa55_u16.to_le_bytes());
    put(0x202, b"HdrS");
    put(0x210, &[0xff]);
    put(0x228, &(COMMAND_LINE as u32).to_le_bytes());
    put(0x230, &0x0100_0000_u32.to_le_bytes());
    put(0x238, &(start.command_line.len() as u32 + 1).to_le_bytes());
    put(0x70, &start.rsdp.to_le_bytes());
    let mut count = 0;
    for entry in start.memory_map.chunks_exact(24).take(E820_ENTRIES) {
        put(0x2d0 + usize::from(count) * 20, &entry[..20]);
        count += 1;
    }
    put(0x1e8, &[count]);
    page
}

fn jump(entry: u64) -> ! {
    #[repr(C, packed)]
    struct Table {
        limit: u16,
        base: u64,
    }
    let table = Table { limit: 31, base: DESCRIPTORS };
    let none = Table { limit: 0, base: 0 };
    // SAFETY: does not come back. The page tables map this program, which lies below 1 GiB, at its own addresses; the descriptors
    // are where the table says. The kernel is what is asked for.
    unsafe {
        asm!(
            "cli",
            "cld",
            "lgdt [{table}]",
            "lidt [{none}]",
            "mov cr3, {root}",
            "mov eax, 0x20",
            "mov cr4, rax",
            "mov ecx, 0xc0000080",
            "xor edx, edx",
            "mov eax, 0x500",
            "wrmsr",
            "mov eax, 0xe0000011",
            "mov cr0, rax",
            "mov eax, 0x10",
            "mov ds, eax",
            "mov es, eax",
            "mov fs, eax",
            "mov gs, eax",
            "mov ss, eax",
            "mov esp, 0x8ff0",
            "push 8",
            "push rdi",
            "mov esi, 0x7000",
            // The entry goes off the stack with the code segment, and leaves rsp where it should be.
            "push 2",
            "popfq",
            "mov ebp, 0x8ff0",
            "xor eax, eax",
            "xor ebx, ebx",
            "xor ecx, ecx",
            "xor edx, edx",
            "xor edi, edi",
            "retfq",
            // Those that are used late are none of those that are set early.
            table = in(reg) &raw const table,
            none = in(reg) &raw const none,
            root = in(reg) LEVEL_4,
            in("rdi") entry,
            options(noreturn),
        )
    }
}

const _: () = assert!(LEVEL_2 + 4096 <= COMMAND_LINE && ZERO_PAGE + 4096 <= 0x8ff0);
