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
//! The command line word `parts=a,b` selects parts; those that need two cores are left out where there is one.
//! `tests/bench/guest/sched.c` does the same parts on Linux, with the same numbers of operations.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "sched-bench/between.rs"]
mod between;
#[path = "sched-bench/local.rs"]
mod local;
#[path = "sched-bench/markers.rs"]
mod markers;
#[path = "sched-bench/measure.rs"]
mod measure;

toro::entry!(main);

/// A part's name, and what does it and reports it by that name.
type Part = (&'static str, fn(&str));

/// The parts; those that need two cores do nothing in a machine with one.
const PARTS: [Part; 11] = [
    ("yield", local::switch),
    ("spawn", local::spawn),
    ("spawn-other", between::spawn),
    ("ping-poll", between::ping_polling),
    ("ping-sleep", between::ping_sleeping),
    ("wake", between::wake),
    ("alloc", local::allocate),
    ("alloc-other", between::allocate),
    ("message", local::message),
    ("stream", between::stream),
    ("sleep", local::sleep),
];

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
