//! The boot order, as a table of contents.

pub mod information;
pub mod linux;
pub mod multiboot2;
pub mod pvh;

#[cfg(target_os = "none")]
mod modules;
#[cfg(target_os = "none")]
mod start;
mod timer;

#[cfg(target_os = "none")]
pub use modules::{Module, modules};
#[cfg(target_os = "none")]
pub(crate) use start::{start, start_core};
