//! What threads cost: the Toro side of `cargo xtask bench sched`.
//!
//! Each part is done for a while to warm up and then between two markers, instructions that the counting plugin of
//! `tests/bench` knows and that do nothing otherwise. Then a line says how often the operation was done and how long that
//! took:
//!
//! ```text
//!   LB <part> n=<operations> ns=<nanoseconds in all> [p50=<ns> p99=<ns> max=<ns>]
//!   LB-END
//! ```
//!
//! The command line word `parts=a,b` selects parts. `tests/bench/guest/sched.c` does the same parts on Linux, with the
//! same numbers of operations.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "sched-bench/local.rs"]
mod local;
#[path = "sched-bench/measure.rs"]
mod measure;

toro::entry!(main);

/// The parts, by name.
const PARTS: [(&str, fn(&str)); 4] =
    [("yield", local::switch), ("spawn", local::spawn), ("alloc", local::allocate), ("sleep", local::sleep)];

fn main() {
    toro::println!("LB-UP");
    let wanted = toro::env::option("parts");
    for (name, part) in PARTS {
        if wanted.is_none_or(|wanted| wanted.split(',').any(|word| word == name)) {
            part(name);
        }
    }
    toro::println!("LB-END");
}
