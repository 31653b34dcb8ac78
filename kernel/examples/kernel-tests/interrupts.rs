//! Interrupts preserve every register, wherever they strike.

use core::arch::naked_asm;

use toro::arch::{apic, interrupt};

/// Rounds with one timer interrupt each.
const ROUNDS: u32 = 300;
/// Turns of the spin loop per round; far more than the timer takes.
const TURNS: u64 = 100_000;
/// The pattern of register number `n` is this times `n + 1`.
const PATTERN: u64 = 0x0123_4567_89AB_CDEF;

/// Fills the registers with patterns, spins `turns` times with interrupts enabled, counting down in `r15`, and stores
/// what the registers hold then at `result`: rax rbx rcx rdx rsi rdi rbp r8-r15.
///
/// # Safety
///
/// `result` is valid for writes. Interrupts are disabled on entry, and again on return.
#[unsafe(naked)]
unsafe extern "sysv64" fn spin(result: *mut [u64; 15], turns: u64) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "mov r15, rsi",
        "mov rax, {pattern}",
        "mov rbx, rax",
        "add rbx, rax",
        "lea rcx, [rbx + rax]",
        "lea rdx, [rcx + rax]",
        "lea rsi, [rdx + rax]",
        "lea rdi, [rsi + rax]",
        "lea rbp, [rdi + rax]",
        "lea r8, [rbp + rax]",
        "lea r9, [r8 + rax]",
        "lea r10, [r9 + rax]",
        "lea r11, [r10 + rax]",
        "lea r12, [r11 + rax]",
        "lea r13, [r12 + rax]",
        "lea r14, [r13 + rax]",
        // A handler returns with interrupts disabled, so they are enabled in every turn.
        "2:",
        "sti",
        "dec r15",
        "jnz 2b",
        "cli",
        "push rax",
        "mov rax, [rsp + 8]",
        "mov [rax + 8], rbx",
        "pop rbx",
        "mov [rax], rbx",
        "mov [rax + 16], rcx",
        "mov [rax + 24], rdx",
        "mov [rax + 32], rsi",
        "mov [rax + 40], rdi",
        "mov [rax + 48], rbp",
        "mov [rax + 56], r8",
        "mov [rax + 64], r9",
        "mov [rax + 72], r10",
        "mov [rax + 80], r11",
        "mov [rax + 88], r12",
        "mov [rax + 96], r13",
        "mov [rax + 104], r14",
        "mov [rax + 112], r15",
        "pop rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        pattern = const PATTERN,
    )
}

pub fn run() {
    let before = interrupt::count();
    let mut expected = [0; 15];
    for (number, value) in (1u64..).zip(expected.iter_mut().take(14)) {
        *value = PATTERN.wrapping_mul(number);
    }
    for round in 0..ROUNDS {
        // Different times, so that different instructions are struck.
        apic::set_timer(Some(20_000 + u64::from(round) * 7));
        let mut found = [0; 15];
        // SAFETY: `found` can be written; threads run with interrupts disabled.
        unsafe { spin(&mut found, TURNS) };
        assert_eq!(found, expected, "an interrupt has changed a register in round {round}");
    }
    let taken = interrupt::count() - before;
    toro::println!("{taken} interrupts in {ROUNDS} rounds");
    assert!(taken >= u64::from(ROUNDS) / 2, "too few interrupts for a test");
}
