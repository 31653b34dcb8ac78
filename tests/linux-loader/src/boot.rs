//! From QEMU's first jump to Rust: PVH, as [`tests/other-os`](../../other-os/src/boot.rs) explains.
//!
//! The first 4 GiB are mapped at their own addresses, as QEMU may put the module anywhere below. Interrupts stay off, and there
//! is no table of handlers: a fault resets the machine, which QEMU, told so, takes for the end.

core::arch::global_asm!(
    r#"
    .pushsection .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18                          # lengths of name and value; 18: a 32-bit physical entry point
    .asciz "Xen"
    .long linux_loader_entry
    .popsection

    .pushsection .bss.boot, "aw", @nobits
    .balign 4096
page_tables:
    .skip 6 * 4096
    .skip 64 * 1024
stack_top:
    .popsection

    .pushsection .text.boot, "ax"
    .code32
    .globl linux_loader_entry
linux_loader_entry:
    mov edi, offset page_tables
    lea eax, [edi + 0x1003]                 # 3: present, writable
    mov [edi], eax
    lea eax, [edi + 0x2003]
    xor ecx, ecx
2:  mov [edi + ecx * 8 + 0x1000], eax
    add eax, 0x1000
    inc ecx
    cmp ecx, 4
    jne 2b
    mov eax, 0x83                           # present, writable, a page of 2 MiB
    xor ecx, ecx
3:  mov [edi + ecx * 8 + 0x2000], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 2048
    jne 3b

    mov cr3, edi
    mov eax, cr4
    or eax, 0x20                            # physical address extension
    mov cr4, eax
    mov ecx, 0xc0000080                     # extended features: long mode
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    or eax, 0x80000001                      # paging, protection
    mov cr0, eax

    lgdt [descriptors_location]
    mov esp, offset stack_top
    push 8
    mov eax, offset linux_loader_64
    push eax
    retf

    .code64
linux_loader_64:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, offset stack_top
    xor ebp, ebp
    mov edi, ebx
    call {start}
    ud2

    .balign 8
descriptors:
    .quad 0
    .quad 0x00af9b000000ffff                # 64-bit code
descriptors_location:
    .word 15
    .long descriptors
    .popsection
"#,
    start = sym start,
);

extern "sysv64" fn start(start_info: u64) -> ! {
    crate::main(start_info)
}
