//! Segments, as far as long mode still has them, and the stacks on which faults are handled.
//!
//! A fault may be a stack overflow, so no fault handler runs on the stack it interrupted. Exceptions share one stack of
//! the interrupt stack table; those that may strike while another is being handled have one each:
//!
//! | stack | for |
//! |---|---|
//! | 1 | every exception without a stack of its own |
//! | 2 | double fault |
//! | 3 | non-maskable interrupt |
//! | 4 | machine check |

use core::cell::{Cell, OnceCell};
use core::ops::Range;

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

use crate::core_local;

/// Stack table index of the stack that exceptions share.
pub const EXCEPTION_STACK: u16 = 0;
/// Stack table index for double faults.
pub const DOUBLE_FAULT_STACK: u16 = 1;
/// Stack table index for non-maskable interrupts.
pub const NMI_STACK: u16 = 2;
/// Stack table index for machine checks.
pub const MACHINE_CHECK_STACK: u16 = 3;

/// Enough for a report with formatting in an unoptimised build.
const FAULT_STACK_SIZE: usize = 32 * 1024;
const FAULT_STACKS: usize = 4;
/// Bytes for the fault stacks of a core.
pub(super) const FAULT_STACKS_SIZE: usize = FAULT_STACK_SIZE * FAULT_STACKS;

// `linker.ld` has the same number.
const _: () = assert!(FAULT_STACKS_SIZE == 128 * 1024);

unsafe extern "C" {
    /// Memory for the boot core's fault stacks, [`FAULT_STACKS_SIZE`] bytes that `linker.ld` sets aside; not zeroed.
    static toro_boot_fault_stacks: u8;
}

/// What the processor reads of a core's segments.
struct Segments {
    task_state: OnceCell<TaskStateSegment>,
    table: OnceCell<GlobalDescriptorTable>,
    /// Where the fault stacks begin.
    fault_stacks: Cell<u64>,
}

core_local! {
    static SEGMENTS: Segments =
        Segments { task_state: OnceCell::new(), table: OnceCell::new(), fault_stacks: Cell::new(0) };
}

/// The addresses of this core's fault stacks.
pub fn fault_stacks() -> Range<u64> {
    let start = SEGMENTS.get().fault_stacks.get();
    start..start + FAULT_STACKS_SIZE as u64
}

/// As [`initialise`], for the boot core, whose fault stacks are part of the image.
pub(super) fn initialise_boot_core() {
    let start = (&raw const toro_boot_fault_stacks).addr() as u64;
    // SAFETY: memory of the image of that size, on a page boundary and used by nothing else (linker.ld); the boot core calls
    // this once, before it has a table.
    unsafe { initialise(start) };
}

/// Builds and loads the calling core's segment table, and its task state with fault stacks from `stacks` on.
///
/// # Safety
///
/// `stacks` is the address of [`FAULT_STACKS_SIZE`] bytes of memory, aligned to 16, mapped for writing for good, and used
/// by nothing else.
pub(super) unsafe fn initialise(stacks: u64) {
    let segments = SEGMENTS.get();
    segments.fault_stacks.set(stacks);
    let task_state = segments.task_state.get_or_init(|| {
        let mut task_state = TaskStateSegment::new();
        // The structure is packed, so the table is set as a whole.
        let mut tops = [VirtAddr::zero(); 7];
        for (top, number) in tops.iter_mut().zip(1..=FAULT_STACKS) {
            *top = VirtAddr::new_truncate(stacks + (number * FAULT_STACK_SIZE) as u64);
        }
        task_state.interrupt_stack_table = tops;
        task_state
    });
    let mut table = GlobalDescriptorTable::new();
    let code = table.append(Descriptor::kernel_code_segment());
    let task = table.append(Descriptor::tss_segment(task_state));
    segments.table.get_or_init(|| table).load();
    // SAFETY: the selector is that of the 64-bit ring 0 code segment in the table just loaded, which stays.
    unsafe { CS::set_reg(code) };
    // SAFETY: long mode at ring 0 permits null data segments.
    unsafe { SS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as above.
    unsafe { DS::set_reg(SegmentSelector::NULL) };
    // SAFETY: as above.
    unsafe { ES::set_reg(SegmentSelector::NULL) };
    // SAFETY: the selector is that of the task state segment in the table just loaded; both stay.
    unsafe { load_tss(task) };
}
