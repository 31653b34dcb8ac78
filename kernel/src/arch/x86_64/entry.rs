//! From a boot loader's first instruction to Rust: three entry points of one image.
//!
//! ```text
//!   toro_pvh_entry          32 bits, ebx = hvm_start_info             QEMU, Firecracker, Cloud Hypervisor
//!   toro_multiboot2_entry   32 bits, eax = magic, ebx = information   GRUB, on BIOS and on UEFI
//!   toro_linux_entry        64 bits, rsi = zero page                  monitors that know no PVH
//!            |
//!            |  leave long mode, so that there is one road from here
//!            v
//!   ebp = magic number of the protocol, ebx = address of what the loader says, no paging
//!            |
//!            v
//!   boot::start(magic, address)
//! ```
//!
//! How each loader finds its entry: PVH by the ELF note below, Multiboot2 by the header at the beginning of the image, which
//! is within the first 32 KiB of the file, and Linux' protocol by the ELF header. None of them gives a stack, or one that can
//! be kept; all have interrupts off. Of segments, tables and control registers each leaves something else, UEFI under GRUB
//! most of all. So nothing of it is used, and the code here
//!
//! 1. takes its own segments. The 64-bit entry comes with page tables that map the first GiB, in which the image lies, and
//!    goes back to protected mode from there (Intel SDM volume 3, "Switching Out of IA-32e Mode");
//! 2. zeroes `.bss`: a loader zeroes it on the first boot, but not every one does so again on a warm reset;
//! 3. builds an identity map of the first 4 GiB from 2 MiB pages, read-write-execute, which lives only until
//!    [`crate::mm`] has built the final one;
//! 4. sets CR4, EFER and CR0 to what is written here, not to what was there before plus something, and so enters long mode;
//! 5. calls [`crate::boot::start`] on the boot stack with a null frame pointer, where backtraces end.
//!
//! ```text
//!   toro_boot_page_tables: PML4 | PDPT | PD 0 | PD 1 | PD 2 | PD 3      one page each
//! ```
//!
//! AT&T syntax, because LLVM's Intel syntax has no far jump with an immediate selector.

use core::arch::global_asm;

use super::core_local;
use crate::boot::{linux, pvh};

global_asm!(
    r#"
    # The PVH note (Xen public/elfnote.h: XEN_ELFNOTE_PHYS32_ENTRY = 18).
    .pushsection .note.Xen, "a", @note
    .balign 4
    .long 4
    .long 4
    .long 18
    .asciz "Xen"
    .balign 4
    .long toro_pvh_entry
    .popsection

    # The Multiboot2 header (Multiboot2 Specification 2.0, 3.1): magic, i386, length, checksum, tags at multiples of 8.
    .pushsection .text.toro_multiboot2, "a"
    .balign 8
20: .long 0xE85250D6
    .long 0
    .long 21f - 20b
    .long -(0xE85250D6 + 0 + (21f - 20b))
    # The memory map is needed, the rest used where it is.
    .short 1, 0
    .long 12
    .long 6
    .balign 8
    .short 1, 1
    .long 24
    .long 1, 3, 14, 15
    .balign 8
    # The 32-bit entry.
    .short 3, 0
    .long 12
    .long toro_multiboot2_entry
    .balign 8
    # Modules at the beginning of a page.
    .short 6, 0
    .long 8
    .short 0, 0
    .long 8
21: .popsection

    .pushsection .text.toro_entry, "ax"
    .code64
    .globl toro_linux_entry
    .type toro_linux_entry, @function
toro_linux_entry:
    cli
    cld
    movl %esi, %ebx
    shrq $32, %rsi               # a zero page out of reach is none
    jz 2f
    xorl %ebx, %ebx
2:  movl ${linux_magic}, %ebp
    lgdt 12f
    movl $toro_boot_stack_top, %esp
    movq %cr4, %rax
    andl $0x1020, %eax           # PAE and LA57, which long mode does not let go of; no PCIDE, without which PG can go
    movq %rax, %cr4
    pushq $0x10
    pushq $3f
    lretq

    .code32
3:  movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %cr0, %eax
    andl $0x7FFFFFFF, %eax       # not PG
    movl %eax, %cr0
    jmp 5f
    .size toro_linux_entry, . - toro_linux_entry

    .globl toro_multiboot2_entry
    .type toro_multiboot2_entry, @function
toro_multiboot2_entry:
    movl %eax, %ebp
    jmp 4f
    .size toro_multiboot2_entry, . - toro_multiboot2_entry

    .globl toro_pvh_entry
    .type toro_pvh_entry, @function
toro_pvh_entry:
    movl ${pvh_magic}, %ebp
4:  cli
    cld
    lgdt 12f
    movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss

5:  movl $toro_bss_start, %edi
    movl $toro_bss_end, %ecx
    subl %edi, %ecx
    shrl $2, %ecx
    xorl %eax, %eax
    rep stosl

    # PML4[0] -> PDPT, PDPT[0..4] -> PD 0..3; 3 = present, writable
    movl $toro_boot_page_tables, %edi
    leal 0x1003(%edi), %eax
    movl %eax, (%edi)
    leal 0x2003(%edi), %eax
    movl $4, %ecx
    leal 0x1000(%edi), %edx
6:  movl %eax, (%edx)
    addl $0x1000, %eax
    addl $8, %edx
    loop 6b

    # 4 * 512 pages of 2 MiB; 0x83 = present, writable, page size
    movl $0x83, %eax
    movl $2048, %ecx
    leal 0x2000(%edi), %edx
7:  movl %eax, (%edx)
    addl $0x200000, %eax
    addl $8, %edx
    loop 7b

    movl %edi, %cr3
    movl $0x20, %eax             # PAE
    movl %eax, %cr4
    movl $0xC0000080, %ecx       # EFER
    movl $0x100, %eax            # LME
    xorl %edx, %edx
    wrmsr
    movl $0x80010011, %eax       # PG, WP, ET, PE
    movl %eax, %cr0
    ljmp $0x08, $8f

    .code64
8:  xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl $toro_boot_stack_top, %esp
    pushq $2                     # flags: none, but the bit that is always set
    popfq
    movl %ebp, %edi
    movl %ebx, %esi
    xorl %ebp, %ebp
    call {start}
    ud2
    .size toro_pvh_entry, . - toro_pvh_entry

    .balign 8
    .skip 6
12: .word 31
    .quad 13f
13: .quad 0
    .quad 0x00AF9B000000FFFF     # 0x08: 64-bit code, ring 0
    .quad 0x00CF9B000000FFFF     # 0x10: 32-bit code, ring 0
    .quad 0x00CF93000000FFFF     # 0x18: data
    .popsection
"#,
    linux_magic = const linux::MAGIC,
    pvh_magic = const pvh::MAGIC,
    start = sym start_trampoline,
    options(att_syntax)
);

/// Receives control from the assembly above, once, on the boot stack.
extern "sysv64" fn start_trampoline(magic: u32, address: u64) -> ! {
    // SAFETY: called once, here, first thing; all that follows is behind a call that is not inlined.
    unsafe { core_local::install_boot_core() };
    boot(magic, address)
}

#[inline(never)]
fn boot(magic: u32, address: u64) -> ! {
    crate::boot::start(magic, address)
}
