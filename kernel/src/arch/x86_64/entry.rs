//! From the machine monitor's first instruction to Rust: the PVH entry point.
//!
//! A PVH loader (QEMU, Firecracker, Cloud Hypervisor) reads the 32-bit entry address from the ELF note below and starts
//! there in 32-bit protected mode, paging off, interrupts off, flat segments, **without a stack**, with the physical
//! address of `hvm_start_info` in `ebx`. The code here
//!
//! 1. zeroes `.bss`: a loader zeroes it on the first boot, but not every one does so again on a warm reset;
//! 2. builds an identity map of the first 4 GiB from 2 MiB pages, read-write-execute, which lives only until
//!    [`crate::mm`] has built the final one;
//! 3. enables long mode and jumps to 64-bit code;
//! 4. calls [`crate::boot::start`] on the boot stack with a null frame pointer, where backtraces end.
//!
//! ```text
//!   toro_boot_page_tables: PML4 | PDPT | PD 0 | PD 1 | PD 2 | PD 3      one page each
//! ```
//!
//! AT&T syntax, because LLVM's Intel syntax has no far jump with an immediate selector.

use core::arch::global_asm;

use super::core_local;

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

    .pushsection .text.toro_entry, "ax"
    .code32
    .globl toro_pvh_entry
    .type toro_pvh_entry, @function
toro_pvh_entry:
    cli
    cld
    movl %ebx, %esi

    movl $toro_bss_start, %edi
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
2:  movl %eax, (%edx)
    addl $0x1000, %eax
    addl $8, %edx
    loop 2b

    # 4 * 512 pages of 2 MiB; 0x83 = present, writable, page size
    movl $0x83, %eax
    movl $2048, %ecx
    leal 0x2000(%edi), %edx
3:  movl %eax, (%edx)
    addl $0x200000, %eax
    addl $8, %edx
    loop 3b

    movl %edi, %cr3
    movl %cr4, %eax
    orl $0x20, %eax              # PAE
    movl %eax, %cr4
    movl $0xC0000080, %ecx       # EFER
    rdmsr
    orl $0x100, %eax             # LME
    wrmsr
    movl %cr0, %eax
    andl $0x9FFFFFFB, %eax       # not CD, NW, EM
    orl $0x80010001, %eax        # PG, WP, PE
    movl %eax, %cr0

    lgdt 5f
    ljmp $0x08, $4f

    .code64
4:  xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    movl %eax, %gs
    movl %eax, %ss
    movl $toro_boot_stack_top, %esp
    xorl %ebp, %ebp
    movl %esi, %edi
    call {start}
    ud2
    .size toro_pvh_entry, . - toro_pvh_entry

    .balign 8
5:  .word 15
    .long 6f
    .balign 8
6:  .quad 0
    .quad 0x00AF9B000000FFFF     # 64-bit code, ring 0
    .popsection
"#,
    start = sym start_trampoline,
    options(att_syntax)
);

/// Receives control from the assembly above, once, on the boot stack.
extern "sysv64" fn start_trampoline(start_info: u64) -> ! {
    // SAFETY: called once, here, first thing; all that follows is behind a call that is not inlined.
    unsafe { core_local::install_boot_core() };
    boot(start_info)
}

#[inline(never)]
fn boot(start_info: u64) -> ! {
    crate::boot::start(start_info)
}
