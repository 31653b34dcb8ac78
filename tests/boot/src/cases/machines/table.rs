//! The table of all boots as Markdown.
//!
//! ```text
//!   | Machine | By     | 8 MiB     | 128 MiB   | 3 GiB     | 5 GiB     |
//!   | pc      | PVH    | 1 (2 4 8) | 1 8 (2 4) | 4 (1 2 8) | 2 (1 4 8) |
//! ```
//!
//! The numbers are those of cores; the ones in brackets are booted by the long test only.

use std::fmt::Write as _;

use super::{Cell, LEAST, MACHINES, MEMORY, Way, When};

/// What the rows are called, by the way of booting.
const WAYS: [(Way, &str); 4] = [
    (Way::Pvh, "PVH"),
    (Way::Linux, "Linux, 64 bits"),
    (Way::Grub("bios"), "Multiboot2, GRUB, BIOS"),
    (Way::Grub("uefi"), "Multiboot2, GRUB, UEFI"),
];

/// The table of `cells`. A cell of which `has_booted` is not true is struck out.
pub fn render(cells: &[Cell], has_booted: impl Fn(&Cell) -> bool) -> String {
    let sizes: Vec<u32> = [LEAST].into_iter().chain(MEMORY).collect();
    let mut table = String::from("| Machine | By |");
    for size in &sizes {
        let _ = match size {
            0..1024 => write!(table, " {size} MiB |"),
            _ => write!(table, " {} GiB |", size / 1024),
        };
    }
    table += "\n|---|---|";
    table += &"---|".repeat(sizes.len());
    table += "\n";
    for (machine, (_, name)) in MACHINES.iter().enumerate() {
        for (way, by) in WAYS {
            let row: Vec<_> = cells.iter().filter(|cell| cell.machine == machine && cell.way == way).collect();
            if row.is_empty() {
                continue;
            }
            let _ = write!(table, "| {name} | {by} |");
            for size in &sizes {
                let numbers = |when: When| {
                    let place = row.iter().filter(|cell| cell.memory == *size && cell.when == when);
                    let words = place.map(|cell| {
                        if has_booted(cell) { cell.cores.to_string() } else { format!("~~{}~~", cell.cores) }
                    });
                    words.collect::<Vec<_>>().join(" ")
                };
                let words = match (numbers(When::Always), numbers(When::Long)) {
                    (always, long) if long.is_empty() => always,
                    (always, long) if always.is_empty() => format!("({long})"),
                    (always, long) => format!("{always} ({long})"),
                };
                let _ = write!(table, " {} |", if words.is_empty() { "-" } else { &words });
            }
            table += "\n";
        }
    }
    table
}
