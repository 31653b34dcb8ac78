#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), no_std)]
// On a host the crate exists for its tests, and much of what they test is used by bare-metal code only.
#![cfg_attr(not(target_os = "none"), allow(dead_code))]
// Unsafe code lives in `arch` and `mm`. Elsewhere only tests and the call of the application have any.
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(all(not(target_os = "none"), not(test)))]
extern crate std;

pub mod acpi;
#[cfg(target_os = "none")]
#[allow(unsafe_code)]
pub mod arch;
pub mod boot;
mod bus;
mod calendar;
mod command_line;
#[cfg(target_os = "none")]
#[doc(hidden)]
pub mod console;
#[cfg(target_os = "none")]
mod drivers;
pub mod env;
#[cfg(feature = "fs")]
pub mod fs;
#[cfg(all(feature = "block", not(feature = "fs")))]
#[path = "fs/only_block.rs"]
pub mod fs;
pub mod io;
#[cfg(target_os = "none")]
mod logger;
mod macros;
pub mod message;
#[allow(unsafe_code)]
pub mod mm;
pub mod mp_table;
#[cfg(feature = "net")]
pub mod net;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
mod parts;
pub mod process;
mod pvclock;
pub mod sched;
pub mod shutdown;
#[cfg(feature = "net")]
pub mod socket;
mod sorted_map;
#[cfg(target_os = "none")]
pub mod sync;
pub mod time;

#[cfg(target_os = "none")]
pub use sched::cores as core;
#[cfg(target_os = "none")]
pub use sched::thread;
pub use toro_core::driver;
