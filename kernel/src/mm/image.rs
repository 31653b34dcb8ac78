//! Where the kernel's own image lies: the symbols of `linker.ld` as ranges.

use core::ops::Range;

unsafe extern "C" {
    static toro_image_start: u8;
    static toro_image_end: u8;
    static toro_text_start: u8;
    static toro_text_end: u8;
    static toro_rodata_start: u8;
    static toro_rodata_end: u8;
    static toro_data_start: u8;
    static toro_boot_stack_guard: u8;
    static toro_boot_stack_bottom: u8;
    static toro_boot_stack_top: u8;
}

macro_rules! address {
    ($symbol:ident) => {
        (&raw const $symbol).addr() as u64
    };
}

/// The whole image, from the first page to the last.
pub fn whole() -> Range<u64> {
    address!(toro_image_start)..address!(toro_image_end).next_multiple_of(super::PAGE_SIZE)
}

/// Code.
pub fn text() -> Range<u64> {
    address!(toro_text_start)..address!(toro_text_end)
}

/// Constants.
pub fn rodata() -> Range<u64> {
    address!(toro_rodata_start)..address!(toro_rodata_end)
}

/// Data below the boot stack's guard page.
pub fn data() -> Range<u64> {
    address!(toro_data_start)..address!(toro_boot_stack_guard)
}

/// The unmapped page under the boot stack.
pub fn boot_stack_guard() -> Range<u64> {
    address!(toro_boot_stack_guard)..address!(toro_boot_stack_bottom)
}

/// The stack on which the kernel boots and on which the core's loop runs; it ends the image.
pub fn boot_stack() -> Range<u64> {
    address!(toro_boot_stack_bottom)..address!(toro_boot_stack_top)
}
