//! Reports of panics and processor faults.
//!
//! Either stops all other cores first, and ends the machine: there is one application, and a thread that died half-way through something cannot be left
//! behind safely. A report goes to the console in a format that programs can read, addresses raw, to be symbolised on
//! the host with the image's symbol table:
//!
//! ```text
//! panic in thread `main` on core 0 at src/main.rs:10:5: index out of bounds
//! backtrace:
//!   #0 0x0000000000101234
//!   #1 0x0000000000105678
//! [toro] exit status 101
//! ```
//!
//! ```text
//! fault in thread `worker` on core 1: page fault (vector 14, error 0x2) at 0x0000000000103456, address 0xffff900000003ff8
//! stack overflow in thread `worker`
//!   rax=0x... rbx=0x... ...
//! backtrace:
//!   #0 0x0000000000103456
//! [toro] exit status 102
//! ```
//!
//! A backtrace line is two blanks, `#`, the frame's number, one blank and 16 hexadecimal digits after `0x`. Frame 0 of a
//! fault is the faulting instruction; every other frame is a return address, so the call is just before it.
//!
//! An image that is built for size (`cargo xtask build --small`, which sets `toro_small`) says which thread panicked on which
//! core, and where by its backtrace, but not why: thousands of places that may panic then need neither text nor location,
//! which is a tenth of the image.
//!
//! # How far the backtrace is believed
//!
//! It follows frame pointers (`-Cforce-frame-pointers=yes`), which a crash may have damaged. So every frame must lie in
//! a stack that the kernel knows, above the last one in the same stack, its return address must lie in the kernel's
//! text, and there are at most [`MAX_FRAMES`] of them.

use core::fmt::Display;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::arch::{core_index, cpu, interrupt, power, smp, trap};
use crate::{console, shutdown};

/// Lines of a backtrace.
const MAX_FRAMES: usize = 64;

/// Reports under way: a report that fails itself must not begin another.
static REPORTS: AtomicU32 = AtomicU32::new(0);
/// The core that reports, or [`NOBODY`].
static REPORTER: AtomicUsize = AtomicUsize::new(NOBODY);
const NOBODY: usize = usize::MAX;

/// Begins a report: all other cores stop. The second one of a core is short, its third one silent. A core that fails
/// while another reports has nothing to say any more.
pub(crate) fn begin_report() {
    interrupt::admit_none();
    let me = core_index();
    match REPORTER.compare_exchange(NOBODY, me, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => {
            smp::stop_others();
            console::seize();
        }
        Err(other) if other != me => cpu::halt(),
        Err(_) => {}
    }
    match REPORTS.fetch_add(1, Ordering::Relaxed) {
        0 => {}
        1 => {
            crate::println!("failure while reporting a failure");
            shutdown::exit(shutdown::PANIC)
        }
        _ => power::triple_fault(),
    }
}

/// Prints the backtrace that begins at `frame`, a frame pointer, after `first` if there is a faulting instruction.
pub(crate) fn print_backtrace(first: Option<u64>, frame: u64) {
    crate::println!("backtrace:");
    let frames = first.into_iter().chain(trap::return_addresses(frame)).take(MAX_FRAMES);
    for (number, address) in frames.enumerate() {
        crate::println!("  #{number} {address:#018x}");
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let (_, frame) = cpu::stack_registers();
    begin_report();
    let (thread, core) = (crate::sched::current_name(), core_index());
    describe(thread, core, info);
    print_backtrace(None, frame);
    shutdown::exit(shutdown::PANIC)
}

/// Who panicked, where, and why.
#[cfg(not(toro_small))]
fn describe(thread: impl Display, core: usize, info: &PanicInfo<'_>) {
    match info.location() {
        Some(location) => {
            crate::println!("panic in thread `{thread}` on core {core} at {location}: {}", info.message());
        }
        None => crate::println!("panic in thread `{thread}` on core {core}: {}", info.message()),
    }
}

/// Who panicked. As nothing asks for what the panic says, the linker leaves that out wherever a panic may begin.
#[cfg(toro_small)]
fn describe(thread: impl Display, core: usize, _info: &PanicInfo<'_>) {
    crate::println!("panic in thread `{thread}` on core {core}");
}
