# A kernel that does nothing: enters by PVH, prints a line on the first serial port and ends QEMU by isa-debug-exit, as
# `hello` of Toro does. What remains of a boot is the monitor's.
#
#   cc -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-Ttext-segment=0x100000 -Wl,-e,start -o empty empty.S

    .section .note.Xen, "a", @note      # XEN_ELFNOTE_PHYS32_ENTRY
    .balign 4
    .long 4
    .long 4
    .long 18
    .asciz "Xen"
    .balign 4
    .long start

    .section .note.GNU-stack, "", @progbits

    .text
    .code32                             # protected mode, no paging, no stack
    .globl start
start:
    cld
    movl $line, %esi
    movl $(line_end - line), %ecx
    movw $0x3f8, %dx
    rep outsb
    movw $0xf4, %dx
    movl $0x10, %eax                    # exit status 0 of an application of Toro
    outl %eax, %dx
1:  cli
    hlt
    jmp 1b

line:
    .ascii "hello\r\n"
line_end:
