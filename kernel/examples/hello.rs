//! The smallest application.
#![no_std]
#![no_main]

toro::entry!(main);

fn main() {
    toro::println!("hello, world");
}
